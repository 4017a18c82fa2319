"""What the rooms of theory share about softmax landscapes: the residual without cancellation, and a way out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


def off_class(logits: Tensor, labels: Tensor) -> Tensor:
    """Softmax probabilities (N, K) with the entry of the right class set to zero."""
    return torch.softmax(logits, dim=1).scatter(1, labels[:, None], 0.0)


def with_labels(off: Tensor, labels: Tensor) -> Tensor:
    """P - one-hot from the off-class probabilities: 1 - p_y by subtraction would cancel where p_y is near 1."""
    return off.scatter(1, labels[:, None], -off.sum(dim=1, keepdim=True))


@dataclass(frozen=True)
class AtPoint:
    """What holds a point: as ``point``, and as its parts."""

    point: Any
    W = property(lambda self: self.point.W, doc="Classifier (K, d).")
    H = property(lambda self: self.point.H, doc="Features (N, d).")


@dataclass(frozen=True)
class Escape:
    """A direction of negative curvature, or the reason why the proof offers none.

    Unpacks as ``direction, curvature``.
    """

    direction: Any  # a point's parts, as ``Point`` names them; None where there is no way out
    curvature: float  # second derivative of the objective along the direction; nan where there is none
    reason: str

    def __iter__(self) -> Iterator[Any]:
        return iter((self.direction, self.curvature))
