"""What a measurement is asked for: which classes and samples count, and how averages are taken."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ncbook import checks

Averaging = Literal["class", "sample"]


@dataclass(frozen=True)
class Choices:
    """The options that `neural_collapse`, `NeuralCollapse` and `measure` share; `neural_collapse` explains them.

    Raises:
        ValueError: naming the option, what came and what was expected.
    """

    within: Averaging = "sample"
    between: Averaging = "class"
    correction: int = 0
    classes: Sequence[int] | None = None
    min_samples: int | None = None
    ignore_index: int | None = -100

    def __post_init__(self) -> None:
        averaging("within", self.within)
        averaging("between", self.between)
        if checks.integer("correction", self.correction, minimum=0) > 1:
            raise ValueError(f"correction must be 0 or 1, got {self.correction}")
        if self.min_samples is not None:
            checks.integer("min_samples", self.min_samples)
        index = self.ignore_index
        if index is not None and (isinstance(index, bool) or not isinstance(index, int) or abs(index) > checks.LARGEST):
            raise ValueError(f"ignore_index must be an integer of 64 bits or None, got {index!r}")
        if self.classes is not None:
            object.__setattr__(self, "classes", _class_list(self.classes))

    def as_options(self) -> dict[str, Any]:
        """Return the options as keywords."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def check_head(self, num_classes: int) -> None:
        """Raise ``ValueError`` if a class asked for is not among ``num_classes``."""
        if self.classes is not None and self.classes[-1] >= num_classes:
            raise ValueError(f"classes must lie in 0 … {num_classes - 1}, got {self.classes[-1]}")


def averaging(name: str, value: str) -> Averaging:
    """Return ``value`` if it is "class" or "sample", or raise ``ValueError``."""
    if isinstance(value, str) and value in ("class", "sample"):
        return value  # type: ignore[return-value]
    raise ValueError(f"{name} must be 'class' or 'sample', got {value!r}")


def _class_list(classes: Any) -> tuple[int, ...]:
    values = classes.tolist() if hasattr(classes, "tolist") else classes
    if isinstance(values, (str, bytes)) or not isinstance(values, (Sequence, range, set, frozenset)):
        raise ValueError(f"classes must be a sequence of class numbers, got {type(classes).__name__}")
    found = tuple(sorted({checks.integer("classes", value, minimum=0) for value in values}))
    if len(found) < 2 or len(found) < len(values):
        raise ValueError(f"classes must name at least 2 different classes, each once, got {list(values)[:20]}")
    return found


@dataclass(frozen=True)
class Selection:
    """Which samples and classes are measured: the labels renumbered, and what was left out."""

    labels: Tensor  # (N,) in 0 … K' - 1, or -1 where a sample is left out
    num_classes: int  # K', measured
    classes: Tensor | None  # (K',) their numbers in the head, ascending; None where all are measured
    classes_left_out: int
    samples_left_out: int


def select(labels: Tensor, head: int | None, choices: Choices) -> Selection:
    """Choose among labels (N,) of a head with ``head`` classes (or as many as the labels and ``classes`` name).

    Raises:
        ValueError: for labels out of range, a class without samples that was not allowed to lack them, fewer than
            two classes, or no sample.
    """
    ignored = labels == choices.ignore_index if choices.ignore_index is not None else torch.zeros_like(labels).bool()
    counted = labels[~ignored] if bool(ignored.any()) else labels
    if len(counted) == 0:
        raise ValueError(f"labels must hold a sample to measure, got only ignore_index = {choices.ignore_index}")
    checks.labels("labels", counted, None, head)
    K = head if head is not None else max(int(counted.max()), *(choices.classes or (0,))) + 1
    choices.check_head(K)
    if K < 2:
        raise ValueError(f"labels must hold at least 2 classes, got {K}")
    if choices.classes is None and choices.min_samples is None:
        return _every_class(labels, ignored, len(counted), K)
    present, counts = torch.unique(counted, return_counts=True)
    wanted = present if choices.classes is None else present.new_tensor(choices.classes)
    found = torch.isin(present, wanted)
    if choices.min_samples is not None:
        found &= counts >= choices.min_samples
    elif int(found.sum()) < len(wanted):
        missing = int(wanted[~torch.isin(wanted, present)][0])
        raise ValueError(
            f"labels must hold at least one sample of every class, got none of class {missing}"
            f" among the {len(wanted)} in classes: leave it out, or give min_samples=1"
        )
    kept = present[found]
    if len(kept) < 2:
        raise ValueError(f"labels must leave at least 2 classes to measure, got {len(kept)} of {K}")
    place = torch.searchsorted(kept, labels.clamp_min(0)).clamp_max(len(kept) - 1)
    renumbered = torch.where((kept[place] == labels) & ~ignored, place, -1)
    out = len(labels) - int(counts[found].sum())
    return Selection(renumbered, len(kept), kept if len(kept) < K else None, K - len(kept), out)


def _every_class(labels: Tensor, ignored: Tensor, counted: int, K: int) -> Selection:
    if counted < K:  # before anything of the size of a mistaken label is made
        raise ValueError(
            f"labels must hold a sample of every class, got {counted} for {K} classes;"
            " min_samples=1 leaves classes without samples out"
        )
    out = len(labels) - counted
    return Selection(labels.masked_fill(ignored, -1) if out else labels, K, None, 0, out)
