"""Recorded runs and where they came from; `python -m ncbook.experiments` runs them.

The experiments are this room's public names: ``from ncbook.experiments import collapse_speed, memory_arms``.
"""

from typing import TYPE_CHECKING

from ncbook._lazy import lazily

if TYPE_CHECKING:
    from ncbook.experiments import collapse_speed, memory_arms, memory_command
    from ncbook.experiments.records import provenance

__all__ = ["collapse_speed", "memory_arms", "memory_command", "provenance"]

__getattr__ = lazily(
    __name__, {"collapse_speed": (), "memory_arms": (), "memory_command": (), "records": ("provenance",)}
)
