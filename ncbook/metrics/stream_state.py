"""The state of the stream: named parts of one vector, and how the states of disjoint samples merge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ncbook.metrics.members import Members, add_by_class
from ncbook.metrics.turns import Turns
from ncbook.metrics.unit_rows import axes_of, row_squares, unit_differences

SUMS = (
    "counts",
    "direction_counts",
    "scatters",
    "direction_scatters",
    "judged",
    "right",
    "nearest",
    "agreeing",
    "dropped",
)
PANELS = 8  # of columns of the scatter matrix; only those on and above the diagonal are updated


@dataclass(frozen=True)
class Parts:
    """Named views into one packed state vector, so that torchmetrics reduces all of it with one function."""

    counts: Tensor  # (K,)
    direction_counts: Tensor  # (K,) samples that are not zero
    scatters: Tensor  # (K,) sums of || h - class mean ||^2
    direction_scatters: Tensor  # (K,) sums of || h/||h|| - its class mean ||^2
    judged: Tensor  # (K,) samples that came with logits
    right: Tensor  # (K,) of those, samples the classifier got right
    nearest: Tensor  # (K,) samples nearest to the given mean of their own class
    agreeing: Tensor  # (K,) samples whose classifier decision is the class of the nearest given mean
    references: Tensor  # (K, d) the first sample of each class
    offsets: Tensor  # (K, d) class mean minus reference
    direction_offsets: Tensor  # (K, d) class mean of h/||h||, minus the direction of the reference
    dropped: Tensor  # (1,) samples that were ignored, or of classes not asked for
    scatter: Tensor  # (d, d) scatter within classes; only panels on and above the diagonal are kept

    @staticmethod
    def size(num_classes: int, feature_dim: int) -> int:
        """Return the length of the packed vector."""
        return 1 + 8 * num_classes + feature_dim * (3 * num_classes + feature_dim)

    @classmethod
    def of(cls, packed: Tensor, num_classes: int, feature_dim: int) -> Parts:
        """Return views into ``packed``."""
        K, d = num_classes, feature_dim
        shapes = [(K,)] * 8 + [(K, d)] * 3 + [(1,), (d, d)]
        lengths = [torch.Size(shape).numel() for shape in shapes]
        return cls(*(part.view(shape) for part, shape in zip(packed.split(lengths), shapes)))


def add_gram(scatter: Tensor, rows: Tensor) -> None:
    """Add ``rows' rows`` (B, d) to ``scatter`` (d, d) in place, on and above the diagonal at least.

    By panels: 9/16 of the product. SciPy's BLAS updates a triangle in one call, but with threads of its own, and two
    cores then wait for each other: twice to four times as long.
    """
    width = max(32, -(-len(scatter) // PANELS))
    for start in range(0, len(scatter), width):
        stop = start + width
        scatter[start:stop, start:].addmm_(rows[:, start:stop].T, rows[:, start:])


def grow(table: Tensor, present: Tensor | slice, by: Tensor) -> None:
    """Add the rows ``by`` to the ``present`` rows of a table, in place."""
    if isinstance(present, slice):
        table[present] += by
    else:
        add_by_class(table, by, present)


def merge(stacked: Tensor, num_classes: int, feature_dim: int, row_scales: Tensor | None = None) -> Tensor:
    """Merge packed states (P, L) of disjoint samples into the packed state (L,) of their union.

    With ``delta_p`` a part's class mean minus the merged one, the merged scatter is
    ``sum_p S_p + sum_p n_p delta_p delta_p'``: sums of positive terms, so nothing cancels.
    """
    merged = torch.zeros_like(stacked[0])
    into = Parts.of(merged, num_classes, feature_dim)
    parts = [
        p
        for p in (Parts.of(row, num_classes, feature_dim) for row in stacked)
        if bool(p.counts.any() | p.dropped.any())
    ]
    if not parts:
        return merged
    for name in SUMS:
        getattr(into, name).copy_(torch.stack([getattr(p, name) for p in parts]).sum(0))
    for p in reversed(parts):  # a class's reference is that of the first part that has one
        into.references.copy_(torch.where((p.counts > 0)[:, None], p.references, into.references))
    (axes, rest), offsets, turns = axes_of(into.references), [], []
    for p in parts:  # both measured from the merged references, and weighted
        offsets.append(p.offsets + (p.references - into.references) * (p.counts > 0)[:, None])
        axes_p, rest_p = axes_of(p.references)
        turns.append(p.direction_offsets + ((axes_p - axes) + (rest_p - rest)) * (p.counts > 0)[:, None])
        into.scatter.add_(p.scatter)
        into.offsets.add_((p.counts / into.counts.clamp_min(1))[:, None] * offsets[-1])
        share = p.direction_counts / into.direction_counts.clamp_min(1)
        into.direction_offsets.add_(share[:, None] * turns[-1])
    for p, offset, turn in zip(parts, offsets, turns):
        delta = p.counts.sqrt()[:, None] * (offset - into.offsets)
        into.scatters.add_(row_squares(delta))
        into.direction_scatters.add_(p.direction_counts * row_squares(turn - into.direction_offsets))
        add_gram(into.scatter, delta if row_scales is None else delta * row_scales.to(delta.device)[:, None])
    return merged


def fold_directions(
    parts: Parts,
    residuals: Tensor,
    inverse: Tensor,
    references: Tensor,
    present: Tensor | slice,
    members: Members,
    again: Callable[[], Tensor],
) -> None:
    """Add the directions of rows (B, d), measured from those of the references, to their moments.

    ``residuals`` (B, d) are the rows minus their references, and ``inverse`` (B,) the rows' inverse norms, 0 for a zero
    row. ``again`` returns the rows, where their residuals do not tell enough.
    """
    turns = Turns(references)
    turns.add(members, residuals, row_squares(residuals), inverse)
    samples = members.totals(inverse > 0)
    off, mean, sure = turns.moments(samples)
    if not bool(sure.all()):
        off, mean = _one_by_one(again(), inverse, references, members, samples)
    before = parts.direction_counts[present]
    share = samples / (before + samples).clamp_min(1)
    shift = mean.sub_(parts.direction_offsets[present]).mul_((samples > 0)[:, None])
    parts.direction_scatters[present] += off + before * share * row_squares(shift)
    grow(parts.direction_offsets, present, shift.mul_(share[:, None]))
    parts.direction_counts[present] += samples


def _one_by_one(
    rows: Tensor, inverse: Tensor, references: Tensor, members: Members, samples: Tensor
) -> tuple[Tensor, Tensor]:
    """Return what `Turns.moments` does, from the unit vectors themselves."""
    axes, rest = axes_of(references)
    turns = unit_differences(rows, inverse, axes[members.labels])
    mean = members.add(torch.zeros_like(axes), turns).div_(samples.clamp_min(1)[:, None])
    sums = members.totals(row_squares(turns))
    off = sums - samples * row_squares(mean)
    # From an axis among the samples the difference keeps its digits, unless that sample is an outlier.
    if bool((off < 1e-4 * sums).any()):
        off = members.totals(row_squares(members.subtract(turns, mean)) * (inverse > 0))
    return off, mean.sub_(rest)
