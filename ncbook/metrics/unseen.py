"""Collapse of features that training has not seen: test data, new classes, other data; and a linear probe's view."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from ncbook import checks
from ncbook.metrics.arrays import as_tensor, feature_matrix, label_vector
from ncbook.metrics.class_moments import (
    EPS,
    Moments,
    check_classes,
    first_read,
    second_read,
)
from ncbook.metrics.decisions import Head, nearest_mean
from ncbook.metrics.members import Members, add_by_class
from ncbook.metrics.reports import classifier_arguments
from ncbook.metrics.unit_rows import row_squares
from ncbook.metrics.whitening import whitener


@dataclass(frozen=True)
class UnseenReport:
    """How far features that training has not seen collapse, to their own class means and to those of training.

    Attributes:
        nc1_weak: NC1 of the unseen features about their own class means, between which ``Sigma_B`` is taken as well:
            weak test collapse, Hui, Belkin and Nakkiran (2022).
        nc1_strong: the same about the class means of training, which also give ``Sigma_B``: strong test collapse.
        nc1_shift: the part of ``nc1_strong`` that is there because the class means have moved; the rest is spread.
        nc4: share of unseen samples for which the classifier decides as the nearest class mean of training does,
            Papyan et al. (2020); ``None`` without a classifier.
        accuracy: share of unseen samples the classifier gets right; ``None`` without a classifier.
        nearest_mean_accuracy: share of unseen samples nearest to the mean that their class has in training.
    """

    nc1_weak: float
    nc1_strong: float
    nc1_shift: float
    nc4: float | None
    accuracy: float | None
    nearest_mean_accuracy: float

    def as_dict(self) -> dict[str, float | None]:
        """Return the fields as a plain dictionary, in order."""
        return dataclasses.asdict(self)


def unseen_collapse(
    features: Tensor,
    labels: Tensor,
    class_means: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
) -> UnseenReport:
    """Measure unseen features against the class means of training.

    Args:
        features: (N, d), any floating dtype, of unseen samples.
        labels: (N,) integers in 0 … K - 1, each class present.
        class_means: (K, d), of the training features, as `NeuralCollapse.class_means` gives them.
        weight: (K, d), the classifier's rows, for ``nc4`` and ``accuracy``.
        bias: (K,), the classifier's bias; a missing one counts as zero. Needs ``weight``.

    Raises:
        ValueError: for a wrong shape or dtype, labels out of range, a class without samples, class means that
            coincide, or a NaN or an infinity.

    Source: Papyan, Han and Donoho (2020) for NC4; Hui, Belkin and Nakkiran (2022) for both forms of test collapse.
    """
    features = feature_matrix(features)
    class_means = as_tensor("class_means", class_means)
    means = checks.tensor("class_means", class_means, "K, d", d=features.shape[1]).detach().double()
    means = means.to(features.device)
    K = len(means)
    labels = label_vector("labels", labels, len(features)).to(features.device)
    checks.labels("labels", labels, None, K)
    weight, bias = classifier_arguments(weight, bias, features.shape[1], features.device, K)
    read = first_read(features, labels, K)
    own = whitener(read.moments, "class")
    weak = second_read(features, labels, read, own.matrix, "sample").whitened / K
    ones = torch.ones(K, dtype=torch.float64, device=means.device)
    train = whitener(Moments(ones, means, torch.zeros_like(means), 0 * ones, ones, 0 * ones), "class")
    if train.rank == 0 or own.rank == 0:
        raise ValueError(f"{'class_means' if train.rank == 0 else 'features'} must have class means that differ")
    spread = second_read(features, labels, read, train.matrix, "sample").whitened / K
    moved = read.moments.means - means
    shift = float(read.moments.counts @ row_squares(moved @ train.matrix.T)) / len(features) / K
    nearest = nearest_mean(means).highest(features.double())
    chosen = None if weight is None else Head(weight, bias, None).decide(features.double())
    share = lambda hits: float(hits.double().mean())
    return UnseenReport(
        nc1_weak=weak,
        nc1_strong=spread + shift,
        nc1_shift=shift,
        nc4=None if chosen is None else share(chosen == nearest),
        accuracy=None if chosen is None else share(chosen == labels),
        nearest_mean_accuracy=share(nearest == labels),
    )


def few_shot_accuracy(
    features: Tensor, labels: Tensor, shots: int = 5, *, episodes: int = 20, seed: int = 0
) -> tuple[float, float]:
    """Return how well the nearest mean of a few samples tells classes apart, and the standard error of that.

    Each episode draws ``shots`` samples of every class for its mean, and tries all others.

    Args:
        features: (N, d), of classes that training has usually not seen.
        labels: (N,) integers in 0 … K - 1, each class with more than ``shots`` samples.
        shots: samples a class to learn from.
        episodes: draws to average over, at least 2.
        seed: of the draws.

    Returns:
        The accuracy, the mean over episodes of the mean over classes, and the standard error of the mean.

    Raises:
        ValueError: for a wrong shape or dtype, or a class of too few samples.

    Source: Galanti, György and Hutter (2022), the nearest-class-centre classifier of new classes.
    """
    features = checks.tensor("features", feature_matrix(features), "N, d").double()
    labels = checks.labels("labels", label_vector("labels", labels, len(features))).to(features.device)
    checks.integer("shots", shots)
    checks.integer("episodes", episodes, minimum=2)
    rng = torch.Generator().manual_seed(checks.integer("seed", seed, minimum=0))
    counts = torch.bincount(labels)
    if int(counts.min()) <= shots:
        raise ValueError(f"labels must hold more than shots = {shots} samples of every class, got {int(counts.min())}")
    K, found = len(counts), []
    for _ in range(episodes):
        order = torch.randperm(len(labels), generator=rng).to(labels.device)
        order = order[labels[order].argsort(stable=True)]  # by class, and random within
        rank = torch.arange(len(order), device=labels.device) - (counts.cumsum(0) - counts)[labels[order]]
        few, rest = order[rank < shots], order[rank >= shots]
        means = features[few].view(K, shots, -1).mean(1)
        hits = nearest_mean(means).highest(features[rest]) == labels[rest]
        found.append(Members(labels[rest], K).totals(hits) / (counts - shots))
    values = torch.stack(found).mean(1)
    return float(values.mean()), float(values.std() / episodes**0.5)


def out_of_distribution_cosine(class_means: Tensor, features: Tensor) -> float:
    """Return the mean over classes of ``|cosine|`` between a class mean and the mean of other data, called NC5.

    Args:
        class_means: (K, d), of training features, not centred.
        features: (N, d), of data from elsewhere.

    Returns:
        A number in [0, 1]; zero where the other data is on average orthogonal to every class.

    Raises:
        ValueError: for a wrong shape, or a mean that is zero.

    Source: Ammar et al. (2024), NECO.
    """
    features = feature_matrix(features)
    class_means = as_tensor("class_means", class_means)
    means = checks.tensor("class_means", class_means, "K, d", d=features.shape[1]).detach().double()
    other = checks.tensor("features", features, "N, d").double().mean(0).to(means.device)
    lengths = torch.linalg.vector_norm(means, dim=1) * torch.linalg.vector_norm(other)
    if bool((lengths == 0).any()):
        raise ValueError("class_means and the mean of features must not be zero: they have no direction")
    return float((means @ other / lengths).abs().mean())


def variability_collapse_index(features: Tensor, labels: Tensor) -> float:
    """Return the VCI, ``1 - tr(pinv(Sigma_T) Sigma_B) / rank(Sigma_B)``, with samples counted equally.

    ``Sigma_T`` is the covariance of all samples. The index is zero at collapse and at most one, the same after any
    invertible linear map of the features, and one minus the mean squared correlation that linear probes for the
    classes reach. At ``d >= N - 1`` such probes can reach one on anything, and it says nothing. Right to 1e-12.

    Args:
        features: (N, d), any floating dtype.
        labels: (N,) integers in 0 … K - 1, each class present.

    Raises:
        ValueError: for a wrong shape or dtype, a class without samples, class means that coincide, or a NaN.

    Source: Xu and Liu (2023), Quantifying the Variability Collapse of Neural Networks, definition of VCI.
    """
    rows = checks.tensor("features", feature_matrix(features), "N, d").double()
    labels = checks.labels("labels", label_vector("labels", labels, len(rows))).to(rows.device)
    counts = torch.bincount(labels).double()
    check_classes(counts)
    moments = first_read(rows, labels, len(counts)).moments
    rank = whitener(moments, "sample").rank
    if rank == 0:
        raise ValueError("features must have class means that differ, got means that coincide")
    # With U an orthonormal basis of the centred features, tr(pinv(Sigma_T) Sigma_B) is ||U' Y||^2 for the classes'
    # indicators Y, each of norm one: no d x d matrix is inverted.
    basis, triangle = torch.linalg.qr(rows - rows.mean(0))
    left, singular, _ = torch.linalg.svd(triangle, full_matrices=False)
    basis = basis @ left[:, singular > EPS * max(rows.shape) * singular[0]]
    sums = add_by_class(torch.zeros(len(counts), basis.shape[1]).to(basis), basis, labels)
    return 1 - float((row_squares(sums) / counts).sum()) / rank
