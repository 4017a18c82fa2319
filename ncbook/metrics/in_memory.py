"""Neural collapse of features that are at hand: two reads, float64 throughout, nothing ``d x d``."""

from __future__ import annotations

from torch import Tensor

from ncbook import checks
from ncbook.metrics.class_moments import Averaging, averaging, feature_matrix, first_read, second_read, whitener
from ncbook.metrics.reports import NeuralCollapseReport, classifier_arguments, report


def neural_collapse(
    features: Tensor,
    labels: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    within: Averaging = "sample",
    between: Averaging = "class",
) -> NeuralCollapseReport:
    """Measure neural collapse of features that are at hand: two reads, float64 throughout, nothing ``d x d``.

    Args:
        features: (N, d), any floating dtype and device (a tensor over a memory-mapped file, too).
        labels: (N,) integers in 0 … K - 1, each class present. K is the number of rows of ``weight``, or one more
            than the largest label.
        weight: (K, d), the classifier's rows; without it NC3, NC4 and their relatives are ``None``.
        bias: (K,), the classifier's bias; a missing one counts as zero. Needs ``weight``.
        within: what the covariance within classes averages over: every "sample" (the default, and the only choice
            a single pass over unbalanced data has), or every "class" first.
        between: what the global mean and the covariance between classes average over: every "class" equally (the
            default), or classes by their number of samples. The two differ only on unbalanced data.

    Returns:
        A `NeuralCollapseReport`; its docstring defines every field.

    Raises:
        ValueError: for a wrong shape or dtype, labels out of range, a class without samples, fewer than two classes,
            a NaN or an infinity (naming the sample), norms beyond 1e±140, or a bias without a weight.

    Source: Papyan, Han and Donoho (2020); Zhu et al. (2021); Galanti et al. (2022); each field names its own.
    """
    within, between = averaging("within", within), averaging("between", between)
    features = feature_matrix(features)
    labels, weight, bias = _arguments(features, labels, weight, bias)
    num_classes = int(labels.max()) + 1 if weight is None else len(weight)
    if num_classes < 2:
        raise ValueError(f"labels must hold at least 2 classes, got {num_classes}")
    if num_classes > len(features):  # before anything of the size of a mistaken label is made
        raise ValueError(f"labels must hold a sample of every class, got {len(features)} for {num_classes} classes")
    first = first_read(features, labels, num_classes)
    between_map = whitener(first.moments, between)
    second = second_read(features, labels, first, between_map.matrix, within, weight, bias)
    return report(second, between_map, weight, bias, within, between)


def _arguments(
    features: Tensor, labels: Tensor, weight: Tensor | None, bias: Tensor | None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Check labels, weight and bias against the features, and bring them to their device."""
    classifier = classifier_arguments(weight, bias, features.shape[1], features.device)
    num_classes = None if weight is None else len(weight)
    return checks.labels("labels", labels, len(features), num_classes).to(features.device), *classifier
