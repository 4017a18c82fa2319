"""Recorded runs and where they came from; `python -m ncbook.experiments NAME` runs them.

Each experiment is a module and a public name of this room, and all use the same words: a ``Plan`` is everything that is
fixed, an *arm* is one of the ways that are compared, ``build(plan, images, arm, seed)`` is the network of one run, and
``run(plan, images, arm, seed)`` is the run. Where an arm is tuned, a ``Setting`` of it stands for the arm.
"""

from typing import TYPE_CHECKING

from ncbook._lazy import lazily

if TYPE_CHECKING:
    from ncbook.experiments import collapse_speed, memory_arms, optimisers
    from ncbook.experiments.command import main
    from ncbook.experiments.records import described, origin, provenance, recorded, write_record

__all__ = [
    "collapse_speed",
    "described",
    "main",
    "memory_arms",
    "optimisers",
    "origin",
    "provenance",
    "recorded",
    "write_record",
]

__getattr__ = lazily(
    __name__,
    {
        "collapse_speed": (),
        "memory_arms": (),
        "optimisers": (),
        "command": ("main",),
        "records": ("described", "origin", "provenance", "recorded", "write_record"),
    },
)
