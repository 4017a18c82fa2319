"""Neural collapse, measured: NC1-NC4 and their relatives, for features in memory, as a stream, or of a whole network.

`neural_collapse` reads features that are at hand, `NeuralCollapse` takes them batch by batch, on one process or many,
`measure` runs a network over its data; all return a `NeuralCollapseReport`, whose docstring defines every quantity.
`python -m ncbook.metrics` measures saved arrays.
"""

from typing import TYPE_CHECKING

from ncbook._lazy import lazily
from ncbook.metrics.baselines import Baselines
from ncbook.metrics.class_table import ClassTable
from ncbook.metrics.in_memory import neural_collapse
from ncbook.metrics.network import find_classifier, measure
from ncbook.metrics.reports import NeuralCollapseReport
from ncbook.metrics.unseen import (
    UnseenReport,
    few_shot_accuracy,
    out_of_distribution_cosine,
    unseen_collapse,
    variability_collapse_index,
)

if TYPE_CHECKING:
    from ncbook.metrics.callbacks import lightning_callback, trainer_callback
    from ncbook.metrics.saved_arrays import main
    from ncbook.metrics.stream import NeuralCollapse

__all__ = [
    "Baselines",
    "ClassTable",
    "NeuralCollapse",
    "NeuralCollapseReport",
    "UnseenReport",
    "few_shot_accuracy",
    "find_classifier",
    "lightning_callback",
    "main",
    "measure",
    "neural_collapse",
    "out_of_distribution_cosine",
    "trainer_callback",
    "unseen_collapse",
    "variability_collapse_index",
]

__getattr__ = lazily(
    __name__,
    {
        "callbacks": ("lightning_callback", "trainer_callback"),
        "saved_arrays": ("main",),
        "stream": ("NeuralCollapse",),
    },
)
