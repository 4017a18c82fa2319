"""Neural collapse of features that are at hand: two reads, float64 throughout, nothing ``d x d``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from ncbook import checks
from ncbook.metrics.arrays import feature_matrix, label_vector
from ncbook.metrics.baselines import baselines
from ncbook.metrics.choices import Averaging, Choices, select
from ncbook.metrics.class_moments import first_read, second_read
from ncbook.metrics.decisions import Head
from ncbook.metrics.reports import LeftOut, NeuralCollapseReport, classifier_arguments, report
from ncbook.metrics.whitening import whitener


def neural_collapse(
    features: Tensor,
    labels: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    within: Averaging = "sample",
    between: Averaging = "class",
    correction: int = 0,
    classes: Sequence[int] | None = None,
    min_samples: int | None = None,
    ignore_index: int | None = -100,
    shuffles: int = 0,
    seed: int = 0,
) -> NeuralCollapseReport:
    """Measure neural collapse of features that are at hand: two reads, float64 throughout, nothing ``d x d``.

    Args:
        features: (N, d), any floating dtype and device (a NumPy array or a memory-mapped file, too).
        labels: (N,) integers in 0 … K - 1, each class present unless ``classes`` or ``min_samples`` say otherwise.
            K is the number of rows of ``weight``, or one more than the largest label.
        weight: (K, d), the classifier's rows; without it NC3, NC4 and their relatives are ``None``.
        bias: (K,), the classifier's bias; a missing one counts as zero. Needs ``weight``.
        within: what the covariance within classes averages over: every "sample" (the default, and the only choice
            a single pass over unbalanced data has), or every "class" first.
        between: what the global mean and the covariance between classes average over: every "class" equally (the
            default), or classes by their number of samples. The two differ only on unbalanced data.
        correction: 0, or 1 for variances within classes by ``n_k - 1``, free of bias: a class of one sample then shows
            no variance and is left out of NC1 and its relatives, instead of passing for collapsed. With
            ``within="sample"`` the covariance within classes is then the pooled one, over ``N - K``.
        classes: the classes to measure; samples of others are left out. The classifier's decisions are still taken
            among all its outputs, so ``accuracy`` and ``nc4`` keep their meaning.
        min_samples: leave out classes with fewer samples than this; 1 leaves out those without any.
        ignore_index: samples with this label are left out, as by PyTorch's cross-entropy; ``None`` for no such label.
        shuffles: how often to measure the same features with shuffled labels as well, for ``report.baselines``; each
            takes as long as the measurement itself.
        seed: of the shuffles.

    Returns:
        A `NeuralCollapseReport`; its docstring defines every field.

    Raises:
        ValueError: for a wrong shape or dtype, labels out of range, a class without samples, fewer than two classes,
            a NaN or an infinity (naming the sample), norms beyond 1e±140, or a bias without a weight.

    Source: Papyan, Han and Donoho (2020); Zhu et al. (2021); Galanti et al. (2022); each field names its own.
    """
    choices = Choices(within, between, correction, classes, min_samples, ignore_index)
    features = feature_matrix(features)
    weight, bias = classifier_arguments(weight, bias, features.shape[1], features.device)
    labels = label_vector("labels", labels, len(features)).to(features.device)
    chosen = select(labels, None if weight is None else len(weight), choices)
    head = None if weight is None else Head(weight, bias, chosen.classes)
    checks.integer("shuffles", shuffles, minimum=0)
    found = read_twice(features, chosen.labels, chosen.num_classes, head, choices, LeftOut.of(chosen))
    if not shuffles:
        return found
    rng, mine = torch.Generator().manual_seed(checks.integer("seed", seed, minimum=0)), chosen.labels >= 0
    others = []
    for _ in range(shuffles):
        mixed = chosen.labels.clone()
        mixed[mine] = mixed[mine][torch.randperm(int(mine.sum()), generator=rng).to(mixed.device)]
        others.append(read_twice(features, mixed, chosen.num_classes, None, choices, LeftOut.of(chosen)))
    return dataclasses.replace(found, baselines=baselines(found, others))


def read_twice(
    features: Tensor, labels: Tensor, num_classes: int, head: Head | None, choices: Choices, left_out: LeftOut
) -> NeuralCollapseReport:
    """Report on checked features (N, d) and labels (N,) in -1 … K - 1, where -1 is left out."""
    first = first_read(features, labels, num_classes)
    between_map = whitener(first.moments, choices.between)
    second = second_read(features, labels, first, between_map.matrix, choices.within, head, choices.correction)
    return report(second, between_map, head, choices, left_out)
