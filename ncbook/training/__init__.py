"""One short loop to read (`fit`), one long loop to trust (`train`), and the last layer that training leaves behind."""

from typing import TYPE_CHECKING

from ncbook._lazy import lazily
from ncbook.training.checkpoint import CheckpointError
from ncbook.training.crowds import StackedMuon, fit_crowd, newton_schulz
from ncbook.training.last_layers import (
    DIGITS_RECIPE,
    CollapseProbe,
    LastLayer,
    TrainedLastLayer,
    last_layer,
    recalibrate,
    spread_epochs,
    trained_last_layer,
)
from ncbook.training.loop import Callback, History, Recipe, State, few_classes, fit, shuffled

if TYPE_CHECKING:
    from ncbook.training.precisions import bf16_is_native
    from ncbook.training.resumable import Hardware, Precision, Run, train

__all__ = [
    "DIGITS_RECIPE",
    "Callback",
    "CheckpointError",
    "CollapseProbe",
    "Hardware",
    "History",
    "LastLayer",
    "Precision",
    "Recipe",
    "Run",
    "StackedMuon",
    "State",
    "TrainedLastLayer",
    "bf16_is_native",
    "few_classes",
    "fit",
    "fit_crowd",
    "last_layer",
    "newton_schulz",
    "recalibrate",
    "shuffled",
    "spread_epochs",
    "train",
    "trained_last_layer",
]

__getattr__ = lazily(
    __name__,
    {
        "precisions": ("bf16_is_native",),
        "resumable": (
            "Precision",
            "Hardware",
            "Run",
            "train",
        ),
    },
)
