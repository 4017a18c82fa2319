"""What collapse is computed from: class counts, means and scatters, read from features in two passes.

Everything is accumulated in float64 about a reference point near the data, so neither a low-precision input nor a
large common offset costs digits, and no ``d x d`` matrix is formed. `ncbook.metrics` turns the result into NC1-NC4.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ncbook.metrics.choices import Averaging
from ncbook.metrics.decisions import Head, both, nearest_mean
from ncbook.metrics.members import Members
from ncbook.metrics.scratch import Scratch
from ncbook.metrics.turns import Turns
from ncbook.metrics.unit_rows import inverse_norms, row_squares, unit_differences

# 1 MB of float64 a block: it stays in the caches while a dozen operations pass over it, and each is worth its call.
BLOCK_ENTRIES = 2**17
EPS = torch.finfo(torch.float64).eps


@dataclass(frozen=True)
class Moments:
    """First and second moments of labelled features, class by class, in float64.

    Each class mean is a reference point near the class plus an offset. The offset of a collapsed class is tiny and
    keeps its digits, however far the class lies from the origin.
    """

    counts: Tensor  # (K,) samples a class
    references: Tensor  # (K, d) a point near each class
    offsets: Tensor  # (K, d) class mean minus reference
    scatters: Tensor  # (K,) sum over the class of || h - class mean ||^2
    direction_counts: Tensor  # (K,) samples a class that are not zero, so have a direction
    direction_scatters: Tensor  # (K,) sum over the class of || h/||h|| - its class mean ||^2

    def degrees(self, correction: int) -> Tensor:
        """Return (K,) what a scatter is divided by for a variance: the counts, or one less; never below zero."""
        return (self.counts - correction).clamp_min(0) if correction else self.counts

    def within_weights(self, averaging: Averaging, correction: int) -> Tensor:
        """Return (K,) weights of the classes' variances that sum to 1; zero for a class that shows none."""
        degrees = self.degrees(correction)
        shares = (degrees > 0).double() if averaging == "class" else degrees
        return shares / shares.sum()

    def class_weights(self, averaging: Averaging) -> Tensor:
        """Return (K,) weights that sum to 1: equal, or by class size."""
        if averaging == "class":
            return torch.full_like(self.scatters, 1 / len(self.counts))
        return self.counts / self.counts.sum()

    @property
    def means(self) -> Tensor:
        """The class means (K, d)."""
        return self.references + self.offsets

    def centred(self, averaging: Averaging) -> Tensor:
        """Return the class means (K, d) minus the global mean, free of a common offset's round-off."""
        relative = self.references - self.references[0]
        relative += self.offsets  # in place: of many classes, fresh memory costs more than the arithmetic
        return relative.sub_(self.class_weights(averaging) @ relative)

    def global_mean(self, averaging: Averaging) -> Tensor:
        """Return the global mean (d,)."""
        weights = self.class_weights(averaging)
        return weights @ self.references + weights @ self.offsets

    @property
    def spread(self) -> float:
        """Root-mean-square distance of the features from their mean, the scale of round-off."""
        total = self.scatters.sum() + self.counts @ row_squares(self.centred("sample"))
        return math.sqrt(float(total / self.counts.sum()))


def blocks(
    features: Tensor, labels: Tensor, at_least: int = 32, scratch: Scratch | None = None
) -> Iterator[tuple[Tensor, Tensor, int | Tensor]]:
    """Yield (rows in float64, their labels, index of the first row), a cacheful at a time.

    Rows with label -1 are left out; where there are any, the last entry holds the index of every row. The rows may be
    overwritten by whoever asked for them, and are by the next block: all share one buffer.
    """
    size = max(at_least, BLOCK_ENTRIES // features.shape[1])
    if features.device.type != "cpu":
        size *= 64
    gaps = bool((labels < 0).any())
    shape = min(size, len(features)), features.shape[1]
    buffer = (scratch or Scratch()).take("rows", shape, features.device)
    for start in range(0, len(features), size):
        rows, of = features[start : start + size], labels[start : start + size]
        if not gaps:
            yield buffer[: len(rows)].copy_(rows), of, start
            continue
        kept = (of >= 0).nonzero()[:, 0]
        if len(kept):
            yield buffer[: len(kept)].copy_(rows[kept]), of[kept], kept + start


def check_classes(counts: Tensor) -> None:
    """Raise ``ValueError`` naming the first class without samples, if there is one."""
    empty = (counts == 0).nonzero()
    if len(empty):
        raise ValueError(
            f"labels must hold at least one sample of every class, got none of class {int(empty[0])}"
            f" among {len(counts)} classes; min_samples=1 leaves classes without samples out"
        )


def first_samples(labels: Tensor, num_classes: int) -> Tensor:
    """Return the index of the first sample of each class (K,); ``len(labels)`` for a class without any."""
    index = torch.arange(len(labels), device=labels.device)
    return torch.full((num_classes,), len(labels), device=labels.device).scatter_reduce(0, labels, index, "amin")


@dataclass(frozen=True)
class FirstRead:
    """What a first look tells; the scatters are only estimates, until `second_read`."""

    moments: Moments
    direction_means: Tensor  # (K, d) class means of h / ||h||


def first_read(features: Tensor, labels: Tensor, num_classes: int) -> FirstRead:
    """Read the features once: counts, means, directions."""
    measured = labels >= 0
    counts = torch.bincount(labels[measured], minlength=num_classes).double()
    check_classes(counts)
    reference = features[int(measured.nonzero()[0])].double()  # any point near the data removes a common offset
    sums = torch.zeros(num_classes, len(reference), dtype=torch.float64, device=features.device)
    unit_sums = torch.zeros_like(sums)
    zeros, squares = torch.zeros_like(counts), torch.zeros_like(counts)
    for rows, of, start in blocks(features, labels):
        members, (inverse, nonzero) = Members(of, num_classes), inverse_norms(rows, start)
        members.add_weighted(unit_sums, rows, inverse)
        if nonzero is not None:
            zeros += members.totals(~nonzero)
        rows -= reference
        members.add(sums, rows)
        squares += members.totals(row_squares(rows))
    unit_counts = counts - zeros
    offsets, unit_means = sums / counts[:, None], unit_sums / unit_counts.clamp_min(1)[:, None]
    scatters = (squares - counts * row_squares(offsets)).clamp_min(0)
    unit_scatters = (unit_counts * (1 - row_squares(unit_means))).clamp_min(0)
    references = reference.expand_as(offsets)
    return FirstRead(Moments(counts, references, offsets, scatters, unit_counts, unit_scatters), unit_means)


@dataclass(frozen=True)
class SecondRead:
    """What a second look at each sample tells; counts are class by class (K,), ``None`` where nobody looked."""

    moments: Moments  # with exact scatters
    whitened: float  # average, as the variance within classes, of || T (h - class mean) ||^2
    nearest: Tensor | None  # samples whose nearest class mean is their own class's
    right: Tensor | None  # samples whose classifier output is their class
    agreeing: Tensor | None  # samples whose classifier output is the class of the nearest class mean


def second_read(
    features: Tensor,
    labels: Tensor,
    read: FirstRead,
    T: Tensor,
    within: Averaging,
    head: Head | None = None,
    correction: int = 0,
) -> SecondRead:
    """Read the features again, about the class means of the first read."""
    first, K = read.moments, len(read.moments.counts)
    means, zeros = first.means, torch.zeros_like(first.counts)
    # 1 - ||mean direction||^2 keeps 11 digits until it is this small; only tighter classes need their residuals.
    tight = first.direction_scatters < 1e-5 * first.direction_counts
    turns = Turns(means) if bool(tight.any()) else None
    residual_sums = torch.zeros_like(means)
    scatters, whitened = zeros.clone(), zeros.clone()
    hits = zeros[:, None].repeat(1, 3)
    decide = None if head is None else both(nearest_mean(means), head)
    # A large T is read once for every block: larger blocks then.
    scratch = Scratch()
    for rows, of, _ in blocks(features, labels, max(32, min(1024, 2 * len(T))), scratch):
        members = Members(of, K, scratch)
        inverse = inverse_norms(rows)[0] if turns is not None else rows[:0, 0]
        if decide is not None:
            near, chosen = decide(rows)
            hits += members.totals(torch.stack((near == of, chosen == of, chosen == near), 1))
        members.add(residual_sums, members.subtract(rows, means))
        squares = row_squares(rows)
        scatters += members.totals(squares)
        if turns is not None:
            turns.add(members, rows, squares, inverse)
        # T first: for few classes the product is twice as quick this way round, and so is the sum.
        whitened += members.totals((T @ rows.T).square_().sum(0))
    # The residuals of a rounded mean do not sum to zero; their mean corrects it, and all that was summed about it.
    scatters -= row_squares(residual_sums) / first.counts
    whitened -= row_squares(residual_sums @ T.T) / first.counts
    # One sample has no scatter: exactly zero, not round-off. Nor can a sum of squares be negative.
    several = first.counts > 1
    directions = first.direction_scatters
    if turns is not None:
        scatter, _, sure = turns.moments(first.direction_counts)
        directions = torch.where(tight & sure, scatter, directions)
        if bool((tight & ~sure).any()):
            _look_again(features, labels, tight & ~sure, read.direction_means, directions)
    exact = replace(
        first,
        references=means,
        offsets=residual_sums / first.counts[:, None],
        scatters=scatters.clamp_min(0) * several,
        direction_scatters=directions * (first.direction_counts > 1),
    )
    shares, degrees = exact.within_weights(within, correction), exact.degrees(correction)
    mean_whitened = float(shares @ (whitened.clamp_min(0) * several / degrees.clamp_min(1)))
    if head is None:
        return SecondRead(exact, mean_whitened, None, None, None)
    return SecondRead(exact, mean_whitened, *hits.unbind(1))


def _look_again(features: Tensor, labels: Tensor, which: Tensor, direction_means: Tensor, directions: Tensor) -> None:
    """Put into ``directions`` (K,) the scatter of the directions of the classes ``which``, sample by sample."""
    axes = torch.nn.functional.normalize(direction_means, dim=1)
    sums, squares, counts = torch.zeros_like(axes), torch.zeros_like(directions), torch.zeros_like(directions)
    for rows, of, start in blocks(features, labels.where(which[labels.clamp_min(0)], -1)):
        members, (inverse, _) = Members(of, len(directions)), inverse_norms(rows, start)
        off = unit_differences(rows, inverse, axes[of])
        members.add(sums, off)
        totals = members.totals(torch.stack((row_squares(off), (inverse > 0).double()), 1))
        squares, counts = squares + totals[:, 0], counts + totals[:, 1]
    scatter = (squares - row_squares(sums) / counts.clamp_min(1)).clamp_min(0)
    directions.copy_(torch.where(which, scatter, directions))
