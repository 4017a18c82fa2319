"""Neural collapse as a stream: one pass over batches, on one process or many, with the numbers of the whole.

The state holds class counts, means and scatters, and one ``d x d`` scatter matrix. Every batch is folded in about
the means so far, never as a sum of squares, so nothing cancels however far the features lie from the origin.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from ncbook import checks
from ncbook.metrics.class_moments import (
    BLOCK_ENTRIES,
    Averaging,
    Moments,
    SecondRead,
    add_by_class,
    averaging,
    blocks,
    check_classes,
    feature_matrix,
    first_samples,
    nearest_mean,
    row_squares,
    whitener,
)
from ncbook.metrics.reports import NeuralCollapseReport, classifier_arguments, report
from ncbook.metrics.stream_state import Parts, add_gram, directions_of, merge
from ncbook.metrics.unit_rows import deviations, unit_rows


class _Opaque:
    """Carries a report past torchmetrics, which rebuilds dataclasses and cannot rebuild a frozen one."""

    def __init__(self, report: NeuralCollapseReport) -> None:
        self.report = report


class NeuralCollapse(Metric):
    """Neural collapse of features that come batch by batch and are not kept.

    The same numbers as `ncbook.metrics.neural_collapse`, whatever the batches, their order, and the number of
    processes. Each sample costs one row of a ``d x N by N x d`` product in float64. The state takes
    ``8 (d^2 + 3 K d)`` bytes; synchronising gathers one state from each process.

    ``nc4`` and ``nearest_mean_accuracy`` compare each sample with the *final* class means, which a single pass does
    not know: they are ``None``, unless the means are given (`class_means` of an earlier pass) to compare with.
    ``accuracy`` needs ``logits``.

    Args:
        num_classes: K >= 2.
        feature_dim: d >= 1.
        within: what the covariance within classes averages over: every "sample", or every "class" first. A stream
            cannot know the final class sizes, so "class" needs ``class_counts``.
        between: what the global mean and the covariance between classes average over.
        class_counts: (K,) the number of samples each class will have had by the time of `compute`.
        class_means: (K, d) means to judge nearest-mean decisions by.

    Raises:
        ValueError: for sizes out of range, an unknown averaging, ``within="class"`` without ``class_counts``, or
            counts or means of another shape.

    Source: Chan, Golub and LeVeque (1983) for merging moments; the quantities as in `NeuralCollapseReport`.
    """

    is_differentiable = False
    higher_is_better = None
    full_state_update = False
    state: Tensor
    class_means_given: Tensor | None

    def __init__(
        self,
        num_classes: int,
        feature_dim: int,
        *,
        within: Averaging = "sample",
        between: Averaging = "class",
        class_counts: Tensor | None = None,
        class_means: Tensor | None = None,
        **kwargs: Any,
    ) -> None:
        # compute takes arguments, so a cached value could answer another question.
        super().__init__(compute_with_cache=False, **kwargs)
        self.num_classes = checks.integer("num_classes", num_classes, minimum=2)
        self.feature_dim = checks.integer("feature_dim", feature_dim)
        self.within, self.between = averaging("within", within), averaging("between", between)
        if self.within == "class" and class_counts is None:
            raise ValueError("class_counts must be given with within='class': a stream cannot know the class sizes")
        if class_counts is not None:
            class_counts = checks.labels("class_counts", class_counts, self.num_classes)
            check_classes(class_counts)
        self.class_counts = class_counts
        if class_means is not None:
            checks.tensor("class_means", class_means, "K, d", K=self.num_classes, d=self.feature_dim)
            class_means = class_means.detach().double()
        self.register_buffer("class_means_given", class_means, persistent=False)
        sizes = (self.num_classes, self.feature_dim)
        packed = torch.zeros(Parts.size(*sizes), dtype=torch.float64)
        reduce = functools.partial(merge, num_classes=sizes[0], feature_dim=sizes[1], row_scales=self._row_scales())
        self.add_state("state", packed, dist_reduce_fx=reduce, persistent=True)

    def update(self, features: Tensor, labels: Tensor, logits: Tensor | None = None) -> None:
        """Fold a batch in; a batch with an error in it leaves the state as it was.

        Args:
            features: (B, d), any floating dtype, on any device.
            labels: (B,) integers in 0 … K - 1. A batch need not hold every class.
            logits: (B, K), the classifier's outputs, for ``accuracy`` and ``nc4``: with every batch or with none.

        Raises:
            ValueError: for a wrong shape or dtype, labels out of range, or a NaN or an infinity (naming the sample).
        """
        features = feature_matrix(features, self.feature_dim).to(self.state.device)
        labels = checks.labels("labels", labels, len(features), self.num_classes).to(features.device)
        if logits is not None:
            checks.tensor("logits", logits, "B, K", B=len(features), K=self.num_classes)
        parts, size = self._parts(), max(1024, BLOCK_ENTRIES // self.feature_dim)
        if len(features) > size:  # more than one block: look at all of it before changing anything
            for rows, _, start in blocks(features, labels):
                unit_rows(rows, start)
        decisions = None if logits is None else logits.detach().argmax(1).to(features.device)
        # At least 1024 rows a product: every product reads and writes the d x d matrix once.
        for rows, of, start in blocks(features, labels, size):
            units, nonzero = unit_rows(rows, start)
            self._judge(parts, rows, of, None if decisions is None else decisions[start : start + len(rows)])
            self._fold(parts, rows, units, nonzero, of)

    def forward(self, *args: Any, **kwargs: Any) -> None:
        """Do what `update` does. A batch seldom holds every class, so there is no value of one batch."""
        self.update(*args, **kwargs)

    def compute(self, weight: Tensor | None = None, bias: Tensor | None = None) -> NeuralCollapseReport:
        """Return the report on all samples so far, of all processes.

        Args:
            weight: (K, d), the classifier's rows; without it NC3 and its relatives are ``None``.
            bias: (K,), the classifier's bias; a missing one counts as zero. Needs ``weight``.

        Raises:
            ValueError: for a wrong shape, a class without samples, a bias without a weight, or class counts other
                than the ``class_counts`` announced.
        """
        parts = self._parts()
        check_classes(parts.counts)
        if self.class_counts is not None and not torch.equal(parts.counts.cpu(), self.class_counts.double().cpu()):
            raise ValueError(f"class_counts must be what came, {parts.counts.int().tolist()}, got others")
        weight, bias = classifier_arguments(weight, bias, self.feature_dim, parts.counts.device, self.num_classes)
        moments = Moments(
            parts.counts,
            parts.references,
            parts.offsets,
            parts.scatters,
            parts.direction_counts,
            parts.direction_scatters,
        )
        between_map = whitener(moments, self.between)
        upper = torch.triu(parts.scatter)
        T, scatter = between_map.matrix, upper + torch.triu(upper, 1).T
        whitened = float(((T @ scatter) * T).sum())
        whitened /= self.num_classes if self.within == "class" else float(parts.counts.sum())
        judged = torch.equal(parts.judged, parts.counts)
        given = self.class_means_given is not None
        read = SecondRead(
            moments,
            whitened,
            nearest=parts.nearest if given else None,
            right=parts.right if judged else None,
            agreeing=parts.agreeing if given and judged else None,
        )
        return report(read, between_map, weight, bias, self.within, self.between)

    @property
    def class_means(self) -> Tensor:
        """The class means so far (K, d), float64, of this process; zero for a class without samples."""
        parts = self._parts()
        return parts.references + parts.offsets

    def _parts(self) -> Parts:
        if self.state.dtype != torch.float64:
            raise ValueError(f"the state must stay in float64 for its digits, got {self.state.dtype}")
        return Parts.of(self.state, self.num_classes, self.feature_dim)

    def _row_scales(self) -> Tensor | None:
        """Scale of each class's rows in the scatter matrix: ``Sigma_W`` must be linear in what is summed."""
        if self.within == "sample" or self.class_counts is None:
            return None
        return self.class_counts.double().rsqrt()

    def _judge(self, parts: Parts, rows: Tensor, labels: Tensor, chosen: Tensor | None) -> None:
        """Count decisions: of the classifier, and of the nearest given mean."""

        def count(into: Tensor, hits: Tensor) -> None:
            into.add_(torch.bincount(labels, weights=hits.double(), minlength=self.num_classes))

        if chosen is not None:
            count(parts.judged, torch.ones_like(labels))
            count(parts.right, chosen == labels)
        if self.class_means_given is not None:
            nearest = nearest_mean(rows, self.class_means_given)
            count(parts.nearest, nearest == labels)
            if chosen is not None:
                count(parts.agreeing, nearest == chosen)

    def _fold(self, parts: Parts, rows: Tensor, units: Tensor, nonzero: Tensor, labels: Tensor) -> None:
        """Add rows (B, d) to the moments, each by one row of one product.

        With ``n_a`` samples of mean ``a`` so far and ``n_b`` new ones of mean ``b``, the scatter grows by
        ``S_b + n_a n_b / (n_a + n_b) (b - a)(b - a)'``, which is ``sum z z'`` over the new samples for
        ``z = h - a - (1 - sqrt(n_a / (n_a + n_b))) (b - a)``.
        """
        # Only the classes at hand are touched: a batch of 256 holds few of 1000.
        present, of, samples = torch.unique(labels, return_inverse=True, return_counts=True)
        before, first = parts.counts[present], first_samples(of, len(present))
        references = torch.where((before == 0)[:, None], rows[first], parts.references[present])
        self._fold_directions(parts, rows, units, nonzero, references, present, of)

        rows -= references[of]
        share = samples / (before + samples)
        shift = add_by_class(torch.zeros_like(references), rows, of) / samples[:, None] - parts.offsets[present]
        rows -= (parts.offsets[present] + (1 - (1 - share).sqrt())[:, None] * shift)[of]
        parts.references[present] = references
        parts.offsets[present] += share[:, None] * shift
        parts.scatters[present] += torch.bincount(of, weights=row_squares(rows))
        parts.counts[present] += samples
        scales = self._row_scales()
        add_gram(parts.scatter, rows if scales is None else rows.mul_(scales.to(rows.device)[labels][:, None]))

    @staticmethod
    def _fold_directions(
        parts: Parts,
        rows: Tensor,
        units: Tensor,
        nonzero: Tensor,
        references: Tensor,
        present: Tensor,
        of: Tensor,
    ) -> None:
        """Add the directions of rows (B, d), measured from those of the references, to their moments."""
        axes = directions_of(references)
        turns = units.sub_(axes[of])
        squares = row_squares(turns)
        near = ((squares < 1e-6) & nonzero).nonzero()[:, 0]  # digits are lost below: compute them again
        if len(near):
            turns[near] = deviations(rows[near], axes[of[near]])
            squares[near] = row_squares(turns[near])
        if not bool(nonzero.all()):
            turns *= nonzero[:, None]
        weights = nonzero.double()
        samples, before = torch.bincount(of, weights=weights), parts.direction_counts[present]
        mean = add_by_class(torch.zeros_like(axes), turns, of) / samples.clamp_min(1)[:, None]
        sums = torch.bincount(of, weights=squares * weights)
        off = sums - samples * row_squares(mean)
        # From an axis among the samples the difference keeps its digits, unless that sample is an outlier.
        if bool((off < 1e-4 * sums).any()):
            off = torch.bincount(of, weights=row_squares(turns - mean[of]) * weights)
        share = samples / (before + samples).clamp_min(1)
        shift = (mean - parts.direction_offsets[present]) * (samples > 0)[:, None]
        parts.direction_scatters[present] += off + before * share * row_squares(shift)
        parts.direction_offsets[present] += share[:, None] * shift
        parts.direction_counts[present] += samples

    def _wrap_compute(self, compute: Callable) -> Callable:
        """Keep torchmetrics' synchronisation around `compute`, and its hands off the frozen report."""
        boxed = super()._wrap_compute(lambda *args, **kwargs: _Opaque(compute(*args, **kwargs)))

        @functools.wraps(compute)
        def unboxed(*args: Any, **kwargs: Any) -> NeuralCollapseReport:
            try:
                return boxed(*args, **kwargs).report
            finally:
                if self._is_synced:  # an error inside would otherwise leave this process with everyone's state
                    self.unsync()

        return unboxed
