"""What is decided about a feature vector: its nearest class mean, and the highest output of the classifier."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ncbook.metrics.members import FEW

# Scores held at once: 2 MB, which stay in the caches; of a vocabulary 128 rows, up to 64 MB, lest it be read too often.
SCORES, LEAST_ROWS, MOST_SCORES = 2**18, 128, 2**23
MANY = 64  # classes from which on float32 scores pay
UNIT = 2.0**-24  # float32 rounds to within this share
SAFE = 1e-12, 1e12  # between these float32 products neither over- nor underflow


@dataclass(frozen=True)
class Scores:
    """One score a class for each feature vector ``h``: ``<weight_k, h - centre> + offset_k``; the highest decides."""

    weight: Tensor  # (K, d), float64
    offsets: Tensor | None  # (K,), None for zeros
    centre: Tensor | None  # (d,), None for zero

    def of(self, rows: Tensor, out: Tensor | None = None) -> Tensor:
        """Return the scores (B, K) of rows (B, d) from which the centre is already subtracted."""
        if self.offsets is None:
            return torch.mm(rows, self.weight.T, out=out)
        return torch.addmm(self.offsets, rows, self.weight.T, out=out)

    def highest(self, rows: Tensor) -> Tensor:
        """Return the class of the highest score of each row (B,), the first of equally high ones.

        A part of the rows at a time, in one buffer: a block of rows against a vocabulary would be gigabytes, and fresh
        buffers, each a little further up, add up to as much. Of many classes float32 decides where it safely can.
        """
        K = len(self.weight)
        size = max(SCORES // K, min(LEAST_ROWS, MOST_SCORES // K), 1)
        buffer = rows.new_empty(min(size, len(rows)), K)
        chosen = torch.empty(len(rows), dtype=torch.int64, device=rows.device)
        quick = self._quick if K >= MANY and rows.device.type == "cpu" and keeps_single() else None
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            if self.centre is not None:
                part = part - self.centre
            if quick is None:
                chosen[start : start + size] = self.of(part, buffer[: len(part)]).max(1).indices
                continue
            found, unsure = quick.highest(part, buffer)
            if len(unsure):
                found[unsure] = self.of(part[unsure], buffer[: len(unsure)]).max(1).indices
            chosen[start : start + size] = found
            if 4 * len(unsure) > len(part):
                quick = None  # it does not pay
        return chosen

    @functools.cached_property
    def _quick(self) -> _Quick | None:
        largest = float(torch.linalg.vector_norm(self.weight, dim=1).max())
        offset = 0.0 if self.offsets is None else float(self.offsets.abs().max())
        if not (SAFE[0] < largest < SAFE[1] and offset < SAFE[1]):
            return None
        single = Scores(self.weight.float(), None if self.offsets is None else self.offsets.float(), None)
        return _Quick(single, largest, offset)


@dataclass(frozen=True)
class _Quick:
    """Decides in float32, and tells where float64 might decide otherwise.

    With ``u`` float32's unit round-off, a float32 score of ``d`` terms is off by at most ``(d + 6) u ||w|| ||h|| +
    3 u |offset|``: both factors are rounded, then ``d`` products and sums in whatever order, then the offset.

    Source: Higham (2002), Accuracy and Stability of Numerical Algorithms, section 3.1.
    """

    single: Scores
    largest: float  # norm of a class's weight
    offset: float  # the largest, in absolute value

    def highest(self, rows: Tensor, buffer: Tensor) -> tuple[Tensor, Tensor]:
        """Return the class of the highest score of each row, and the rows for which that is not sure.

        The memory of the float64 ``buffer`` holds the scores: those of both precisions are never needed at once.
        """
        lengths = torch.linalg.vector_norm(rows, dim=1)
        single = buffer.view(-1).view(torch.float32)[: buffer.numel()].view_as(buffer)
        scores = self.single.of(rows.float(), single[: len(rows)])
        best, chosen = scores.max(1)
        gap = best - scores.scatter_(1, chosen[:, None], -math.inf).amax(1)
        error = 1.02 * UNIT * ((rows.shape[1] + 6) * self.largest * lengths + 3 * self.offset)
        sure = (gap > 2 * error) & (lengths > SAFE[0]) & (lengths < SAFE[1])
        return chosen, (~sure).nonzero()[:, 0]


def keeps_single() -> bool:
    """Tell whether a product of float32 matrices keeps float32's digits: a setting may trade them for speed."""
    if os.environ.get("ONEDNN_DEFAULT_FPMATH_MODE", "strict").lower() != "strict":
        return False
    setting = getattr(torch.backends.mkldnn, "matmul", None)
    if setting is None:  # before torch 2.9
        return torch.get_float32_matmul_precision() == "highest"
    return setting.fp32_precision in ("none", "ieee")


@dataclass(frozen=True)
class Head:
    """The whole classifier, and where the measured classes are among its rows."""

    weight: Tensor  # (K, d), float64
    bias: Tensor | None  # (K,)
    classes: Tensor | None  # (K',) the rows of the measured classes, None for all

    @property
    def scores(self) -> Scores:
        """The classifier's outputs."""
        return Scores(self.weight, self.bias, None)

    def decide(self, rows: Tensor) -> Tensor:
        """Return the place of the decision of each row among the measured classes; -1 for a class left out."""
        return self.place(self.scores.highest(rows))

    def place(self, chosen: Tensor) -> Tensor:
        """Return the place of each chosen class (B,) among the measured ones; -1 for a class left out."""
        if self.classes is None:
            return chosen
        place = torch.searchsorted(self.classes, chosen).clamp_max(len(self.classes) - 1)
        return torch.where(self.classes[place] == chosen, place, -1)

    def measured(self) -> tuple[Tensor, Tensor | None]:
        """Return the rows and biases of the measured classes."""
        if self.classes is None:
            return self.weight, self.bias
        return self.weight[self.classes], None if self.bias is None else self.bias[self.classes]


def nearest_mean(means: Tensor) -> Scores:
    """Return scores whose highest is the nearest of the ``means`` (K, d); the first of equally near ones."""
    centre = means.mean(0)
    centred = means - centre
    lengths = torch.linalg.vector_norm(centred, dim=1)
    # ||h - m||^2 = ||h||^2 - 2 <h, m> + ||m||^2 about the centre, so that an offset costs no digits; one digit at most
    # where the offset is small, and then it need not be subtracted from every sample.
    offsets = -lengths.square() / 2
    if float(torch.linalg.vector_norm(centre)) < 10 * float(lengths.max()):
        return Scores(centred, offsets - centred @ centre, None)
    return Scores(centred, offsets, centre)


def both(nearest: Scores, head: Head) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Return the map from rows to the nearest mean and the classifier's decision: for few classes by one product."""
    outputs, K = head.scores, len(nearest.weight)
    if len(outputs.weight) > FEW or nearest.centre is not None:
        return lambda rows: (nearest.highest(rows), head.place(outputs.highest(rows)))
    assert nearest.offsets is not None
    bias = torch.zeros_like(outputs.weight[:, 0]) if outputs.offsets is None else outputs.offsets
    joined = Scores(torch.cat((nearest.weight, outputs.weight)), torch.cat((nearest.offsets, bias)), None)

    def decide(rows: Tensor) -> tuple[Tensor, Tensor]:
        scores = joined.of(rows)
        return scores[:, :K].max(1).indices, head.place(scores[:, K:].max(1).indices)

    return decide
