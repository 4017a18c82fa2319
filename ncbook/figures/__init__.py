"""What the chapters draw: one house style, `explore`, and one module a topic.

The topics are this room's public names; each is loaded, and matplotlib with it, on first use:
``from ncbook.figures import explore, landscape``.
"""

from typing import TYPE_CHECKING

from ncbook._lazy import lazily
from ncbook.figures.exploration import Exploration, explore
from ncbook.figures.in_page import LiveExperiment, live

if TYPE_CHECKING:
    from ncbook.figures import (
        codes,
        data_features,
        free_features,
        landscape,
        measuring,
        memory,
        phenomenon,
        shallow,
        simplex,
        sphere,
        style,
        uses,
    )

__all__ = [
    "Exploration",
    "LiveExperiment",
    "codes",
    "data_features",
    "explore",
    "free_features",
    "landscape",
    "live",
    "measuring",
    "memory",
    "phenomenon",
    "shallow",
    "simplex",
    "sphere",
    "style",
    "uses",
]

_TOPICS = tuple(name for name in __all__ if name.islower() and name not in ("explore", "live"))
__getattr__ = lazily(__name__, {topic: () for topic in _TOPICS})
