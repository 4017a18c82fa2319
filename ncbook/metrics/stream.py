"""Neural collapse as a stream: one pass over batches, on one process or many, with the numbers of the whole.

The state holds class counts, means and scatters, and one ``d x d`` scatter matrix. Every batch is folded in about
the means so far, never as a sum of squares, so nothing cancels however far the features lie from the origin.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from ncbook import checks
from ncbook.metrics.arrays import as_tensor, feature_matrix, label_vector
from ncbook.metrics.choices import Averaging, Choices
from ncbook.metrics.class_moments import (
    BLOCK_ENTRIES,
    Moments,
    SecondRead,
    blocks,
    check_classes,
    first_samples,
)
from ncbook.metrics.decisions import Head, Scores, nearest_mean
from ncbook.metrics.members import Members, at_hand
from ncbook.metrics.reports import LeftOut, NeuralCollapseReport, classifier_arguments, plotted, report
from ncbook.metrics.scratch import Scratch
from ncbook.metrics.stream_state import Parts, add_gram, fold_directions, grow, merge
from ncbook.metrics.unit_rows import inverse_norms, plainly_finite, row_squares
from ncbook.metrics.whitening import whitener


def _again(features: Tensor, index: Tensor | slice) -> Tensor:
    return features[index].double()


class _Opaque:
    """Carries a report past torchmetrics, which rebuilds dataclasses and cannot rebuild a frozen one."""

    def __init__(self, report: NeuralCollapseReport) -> None:
        self.report = report


class NeuralCollapse(Metric):
    """Neural collapse of features that come batch by batch and are not kept.

    The same numbers as `ncbook.metrics.neural_collapse`, whatever the batches, their order, and the number of
    processes. Each sample costs one row of a ``d x N by N x d`` product in float64. The state takes
    ``8 (d^2 + 3 K d)`` bytes, and three blocks of 1024 rows (or of 1 MB) beside it to work in; synchronising gathers
    one state from each process.

    ``nc4`` and ``nearest_mean_accuracy`` compare each sample with the *final* class means, which a single pass does
    not know: they are ``None``, unless the means are given (`class_means` of an earlier pass) to compare with.
    ``accuracy`` needs ``logits``.

    Args:
        num_classes: K >= 2.
        feature_dim: d >= 1.
        within: what the covariance within classes averages over: every "sample", or every "class" first. A stream
            cannot know the final class sizes, so "class" needs ``class_counts``.
        between: what the global mean and the covariance between classes average over.
        correction: as in `neural_collapse`.
        classes: the classes to measure, as in `neural_collapse`.
        min_samples: leave out classes with fewer samples, as in `neural_collapse`. What a sample added to the scatter
            cannot be taken back, so more than 2 (a single sample adds none) needs ``class_counts``.
        ignore_index: samples with this label are left out; ``None`` for no such label.
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
    asked: Tensor | None

    def __init__(
        self,
        num_classes: int,
        feature_dim: int,
        *,
        within: Averaging = "sample",
        between: Averaging = "class",
        correction: int = 0,
        classes: Sequence[int] | None = None,
        min_samples: int | None = None,
        ignore_index: int | None = -100,
        class_counts: Tensor | None = None,
        class_means: Tensor | None = None,
        **kwargs: Any,
    ) -> None:
        # compute takes arguments, so a cached value could answer another question.
        super().__init__(compute_with_cache=False, **kwargs)
        self.num_classes = checks.integer("num_classes", num_classes, minimum=2)
        self.feature_dim = checks.integer("feature_dim", feature_dim)
        self.choices = Choices(within, between, correction, classes, min_samples, ignore_index)
        self.choices.check_head(self.num_classes)
        self.within, self.between = within, between
        if self.within == "class" and class_counts is None:
            raise ValueError("class_counts must be given with within='class': a stream cannot know the class sizes")
        if (min_samples or 0) > 2 and class_counts is None:
            raise ValueError(f"class_counts must be given with min_samples > 2, got min_samples = {min_samples}")
        if class_counts is not None:
            class_counts = as_tensor("class_counts", class_counts)
            class_counts = checks.labels("class_counts", class_counts, self.num_classes)
            if min_samples is None:
                check_classes(class_counts if classes is None else class_counts[list(self.choices.classes or ())])
        self.class_counts = class_counts
        if class_means is not None:
            class_means = as_tensor("class_means", class_means)
            checks.tensor("class_means", class_means, "K, d", K=self.num_classes, d=self.feature_dim)
            class_means = class_means.detach().double()
        self.register_buffer("asked", self._asked(), persistent=False)
        self.register_buffer("class_means_given", class_means, persistent=False)
        self._scratch = Scratch()
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
        labels = label_vector("labels", labels, len(features)).to(features.device)
        if logits is not None:
            logits = as_tensor("logits", logits)
            checks.tensor("logits", logits, "B, K", B=len(features), K=self.num_classes)
        dropped, labels = self._dropped(labels)
        if dropped == len(labels):
            self._parts().dropped.add_(dropped)
            return
        # At least d rows a product, or 1024: every product reads and writes the d x d matrix once.
        parts, size = self._parts(), max(min(1024, self.feature_dim), BLOCK_ENTRIES // self.feature_dim)
        if len(features) > size and not plainly_finite(features):  # look at all of it before changing anything
            for rows, _, start in blocks(features, labels, scratch=self._scratch):
                inverse_norms(rows, start)
        decisions = None if logits is None else logits.detach().argmax(1).to(features.device)
        for rows, of, start in blocks(features, labels, size, self._scratch):
            inverse = inverse_norms(rows, start)[0]
            index = start if isinstance(start, Tensor) else slice(start, start + len(rows))
            self._judge(parts, rows, of, None if decisions is None else decisions[index])
            self._fold(parts, rows, of, inverse, functools.partial(_again, features, index))
        parts.dropped.add_(dropped)

    def _dropped(self, labels: Tensor) -> tuple[int, Tensor]:
        """Return how many samples are left out, and the labels with -1 for them, checked."""
        index, out = self.choices.ignore_index, None
        if index is not None and bool((labels == index).any()):
            out = labels == index
        if out is None or not bool(out.all()):
            checks.labels("labels", labels if out is None else labels[~out], None, self.num_classes)
        if self.asked is not None:
            others = ~self.asked.to(labels.device)[labels.clamp_min(0)]
            out = others if out is None else out | others
        count = 0 if out is None else int(out.sum())
        return count, labels if out is None else labels.masked_fill(out, -1)

    def _asked(self) -> Tensor | None:
        """Return a mask (K,) of the classes whose samples are folded in; None for all."""
        asked = torch.ones(self.num_classes, dtype=torch.bool)
        if self.choices.classes is not None:
            asked = ~asked
            asked[list(self.choices.classes)] = True
        if self.choices.min_samples is not None and self.class_counts is not None:
            asked &= self.class_counts.cpu() >= self.choices.min_samples
        return None if bool(asked.all()) else asked

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
        kept, left_out = self._kept(parts)
        announced = None if self.class_counts is None else self.class_counts.double().cpu()
        if announced is not None and not torch.equal(parts.counts[kept].cpu(), announced[kept.cpu()]):
            raise ValueError(f"class_counts must be what came, {parts.counts.int().tolist()}, got others")
        weight, bias = classifier_arguments(weight, bias, self.feature_dim, parts.counts.device, self.num_classes)
        head = None if weight is None else Head(weight, bias, kept if left_out.classes_left_out else None)
        names = ("counts", "references", "offsets", "scatters", "direction_counts", "direction_scatters")
        # Whole views where nothing is left out: no copies of (K, d).
        part = {
            name: getattr(parts, name) if left_out.classes is None else getattr(parts, name)[kept] for name in names
        }
        moments = Moments(**part)
        between_map = whitener(moments, self.between)
        upper = torch.triu(parts.scatter)
        T, scatter = between_map.matrix, upper + torch.triu(upper, 1).T
        whitened = float(((T @ scatter) * T).sum())
        degrees = moments.degrees(self.choices.correction)
        # With within="class" the rows came scaled by their classes' sizes.
        whitened /= float((degrees > 0).sum()) if self.within == "class" else max(1.0, float(degrees.sum()))
        judged = torch.equal(parts.judged[kept], parts.counts[kept])
        given = self.class_means_given is not None
        read = SecondRead(
            moments,
            whitened,
            nearest=parts.nearest[kept] if given else None,
            right=parts.right[kept] if judged else None,
            agreeing=parts.agreeing[kept] if given and judged else None,
        )
        return report(read, between_map, head, self.choices, left_out)

    def _kept(self, parts: Parts) -> tuple[Tensor, LeftOut]:
        """Return the classes to measure, and what is left out."""
        counts, choices = parts.counts, self.choices
        kept = torch.ones_like(counts, dtype=torch.bool) if self.asked is None else self.asked.to(counts.device)
        if choices.min_samples is not None:
            kept = kept & (counts >= choices.min_samples)
        elif bool((kept & (counts == 0)).any()):
            check_classes(counts.where(kept, torch.ones_like(counts)))
        numbers = kept.nonzero()[:, 0]
        if len(numbers) < 2:
            raise ValueError(f"labels must leave at least 2 classes to measure, got {len(numbers)} of {len(counts)}")
        out = len(counts) - len(numbers)
        samples = int(parts.dropped) + int(counts.sum()) - int(counts[numbers].sum())
        return numbers, LeftOut(tuple(numbers.tolist()) if out else None, out, samples)

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
        # A class of one sample has no scatter to scale, and one of none has no rows.
        return (self.class_counts.double() - self.choices.correction).clamp_min(1).rsqrt()

    def _judge(self, parts: Parts, rows: Tensor, labels: Tensor, chosen: Tensor | None) -> None:
        """Count decisions: of the classifier, and of the nearest given mean."""
        hits: dict[str, Tensor] = {}
        if chosen is not None:
            hits |= {"judged": torch.ones_like(labels, dtype=torch.bool), "right": chosen == labels}
        if self.class_means_given is not None:
            numbers, scores = self._given
            nearest = numbers[scores.highest(rows)]
            hits["nearest"] = nearest == labels
            if chosen is not None:
                hits["agreeing"] = nearest == chosen
        if hits:
            totals = Members(labels, self.num_classes).totals(torch.stack(tuple(hits.values()), 1))
            for name, total in zip(hits, totals.unbind(1)):
                getattr(parts, name).add_(total)

    @functools.cached_property
    def _given(self) -> tuple[Tensor, Scores]:
        """The classes that can be measured, and scores whose highest is the nearest of their given means."""
        given = self.class_means_given
        assert given is not None
        asked = torch.ones_like(given[:, 0]) if self.asked is None else self.asked
        numbers = asked.to(given.device).nonzero()[:, 0]
        return numbers, nearest_mean(given[numbers])

    def _fold(self, parts: Parts, rows: Tensor, labels: Tensor, inverse: Tensor, again: Callable[[], Tensor]) -> None:
        """Add rows (B, d) to the moments, each by one row of one product; ``again`` returns what is overwritten here.

        With ``n_a`` samples of mean ``a`` so far and ``n_b`` new ones of mean ``b``, the scatter grows by
        ``S_b + n_a n_b / (n_a + n_b) (b - a)(b - a)'``, which is ``sum z z'`` over the new samples for
        ``z = h - a - (1 - sqrt(n_a / (n_a + n_b))) (b - a)``.
        """
        present, of, samples = at_hand(labels, self.num_classes)
        before, members = parts.counts[present], Members(of, len(samples), self._scratch)
        references, new = parts.references[present], (before == 0)[:, None]
        if bool(new.any()):
            references = torch.where(new, rows[first_samples(of, len(samples))], references)
            parts.references[present] = references
        members.subtract(rows, references)
        fold_directions(parts, rows, inverse, references, present, members, again)
        share, offsets = samples / (before + samples), parts.offsets[present]
        shift = members.add(torch.zeros_like(references), rows).div_(samples[:, None]).sub_(offsets)
        members.subtract(rows, torch.addcmul(offsets, (1 - (1 - share).sqrt())[:, None], shift))
        grow(parts.offsets, present, shift.mul_(share[:, None]))
        parts.scatters[present] += members.totals(row_squares(rows))
        parts.counts[present] += samples
        scales = self._row_scales()
        add_gram(parts.scatter, rows if scales is None else rows.mul_(scales.to(rows.device)[labels][:, None]))

    def plot(self, val: Any = None, ax: Any = None) -> Any:
        """Plot the measures that vanish at collapse, on a logarithmic axis; return the figure and its axes.

        Args:
            val: the report to plot, or a sequence of them, one a step; by default what `compute` returns now.
            ax: Matplotlib axes to draw in; new ones by default.

        Raises:
            ValueError: for something else than reports, or axes.
        """
        figure, axes = self._plot(plotted(self.compute() if val is None else val, ax), ax)
        axes.set_yscale("log")  # type: ignore[union-attr]
        return figure, axes

    def _apply(self, fn: Callable, *args: Any, **kwargs: Any) -> Any:
        """Follow the model to other devices, except to MPS, which has no float64: the state then stays where it is."""
        if fn(torch.zeros(1)).device.type == "mps":
            return self
        self.__dict__.pop("_given", None)
        return super()._apply(fn, *args, **kwargs)

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
