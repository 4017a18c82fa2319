"""Test data against training's class means, new classes, other data, and the variability collapse index."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ncbook.metrics import (
    few_shot_accuracy,
    neural_collapse,
    out_of_distribution_cosine,
    unseen_collapse,
    variability_collapse_index,
)
from tests.ncbook.metrics.reference import classes, seeded


def means_of(features: Tensor, labels: Tensor) -> Tensor:
    return torch.stack([features[labels == k].mean(0) for k in range(int(labels.max()) + 1)])


def split() -> tuple[Tensor, ...]:
    """Training means, test features that have moved off them, and a classifier."""
    train, y, weight, bias = classes(4, 7, [8, 5, 9, 6], noise=0.8)
    test, of, _, _ = classes(4, 7, [5, 7, 3, 6], noise=1.0)
    return means_of(train, y), test + 0.3 * torch.randn(4, 7, generator=seeded(3)).double()[of], of, weight, bias


def test_unseen_features_are_held_against_the_means_of_training() -> None:
    means, test, of, weight, bias = split()
    r = unseen_collapse(test, of, means, weight, bias)
    centred = (means - means.mean(0)).numpy()
    inverse = np.linalg.pinv(centred.T @ centred / 4, rcond=1e-10)
    residuals = (test - means[of]).numpy()
    assert r.nc1_strong == pytest.approx(np.trace(residuals.T @ residuals / len(of) @ inverse) / 4, rel=1e-9)
    moved = (means_of(test, of) - means)[of].numpy()
    assert r.nc1_shift == pytest.approx(np.trace(moved.T @ moved / len(of) @ inverse) / 4, rel=1e-9)
    assert 0.05 * r.nc1_strong < r.nc1_shift < r.nc1_strong
    assert r.nc1_weak == pytest.approx(neural_collapse(test, of).nc1, rel=1e-12)
    nearest = torch.cdist(test, means).argmin(1)
    decided = (test @ weight.T + bias).argmax(1)
    shares = [float((a == b).double().mean()) for a, b in ((decided, nearest), (decided, of), (nearest, of))]
    assert [r.nc4, r.accuracy, r.nearest_mean_accuracy] == pytest.approx(shares, rel=1e-12)
    assert len(set(shares)) == 3  # three questions, three answers
    without = unseen_collapse(test, of, means)
    assert without.nc4 is None and without.accuracy is None and without.nc1_strong == r.nc1_strong


def test_training_features_are_no_worse_than_themselves() -> None:
    features, labels, weight, bias = classes(5, 6, [4, 5, 6, 7, 8], noise=0.7)
    r = unseen_collapse(features, labels, means_of(features, labels), weight, bias)
    own = neural_collapse(features, labels, weight, bias)
    assert (r.nc1_strong, r.nc1_weak) == pytest.approx((own.nc1, own.nc1), rel=1e-9) and r.nc1_shift < 1e-25
    assert (r.nc4, r.accuracy, r.nearest_mean_accuracy) == (own.nc4, own.accuracy, own.nearest_mean_accuracy)


def test_few_shots_are_what_a_loop_over_episodes_finds() -> None:
    features, labels, _, _ = classes(5, 20, [30] * 5, noise=2.0)
    accuracy, error = few_shot_accuracy(features, labels, 3, episodes=200, seed=1)
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        chosen = {k: rng.choice(30, 3, replace=False) for k in range(5)}
        own = {k: features[labels == k].numpy() for k in range(5)}
        centres = np.stack([own[k][chosen[k]].mean(0) for k in range(5)])
        rest = [(k, h) for k in range(5) for i, h in enumerate(own[k]) if i not in chosen[k]]
        found.append(np.mean([np.argmin(((centres - h) ** 2).sum(1)) == k for k, h in rest]))
    both = (error**2 + np.var(found) / 200) ** 0.5
    assert abs(accuracy - np.mean(found)) < 4 * both < 0.05 and 0.3 < accuracy < 0.98
    assert few_shot_accuracy(features, labels, 3, episodes=200, seed=1) == (accuracy, error)
    assert few_shot_accuracy(features, labels, 20, episodes=200)[0] > accuracy + 4 * error


def test_classes_that_are_points_need_one_shot() -> None:
    features, labels, _, _ = classes(4, 6, [3] * 4, noise=0.0)
    assert few_shot_accuracy(features, labels, 1) == (1.0, 0.0)


def test_orthogonal_data_has_no_cosine() -> None:
    means = torch.tensor([[1.0, 0, 0], [0, 2, 0]])
    assert out_of_distribution_cosine(means, torch.tensor([[1.0, 0, 3], [-1, 0, 5]])) == 0
    assert out_of_distribution_cosine(means, torch.tensor([[-3.0, 4, 0]])) == pytest.approx((0.6 + 0.8) / 2)


def test_the_variability_index_is_its_definition() -> None:
    for K, d, sizes in ((4, 6, [9, 5, 8, 7]), (5, 3, [6] * 5)):
        features, labels, _, _ = classes(K, d, sizes, noise=0.9)
        H, y = features.numpy(), labels.numpy()
        centred = H - H.mean(0)
        means = np.stack([H[y == k].mean(0) for k in range(K)])[y] - H.mean(0)
        total, between = centred.T @ centred / len(H), means.T @ means / len(H)
        wanted = 1 - np.trace(np.linalg.pinv(total) @ between) / min(K - 1, d)
        assert variability_collapse_index(features, labels) == pytest.approx(wanted, abs=1e-12)
        assert 0.05 < wanted < 0.95
        turned = features @ torch.randn(d, d, generator=seeded(1)).double() + 3  # any invertible map, NC1 is not so
        assert variability_collapse_index(turned, labels) == pytest.approx(wanted, abs=1e-11)


def test_the_variability_index_vanishes_at_collapse_and_without_room() -> None:
    features, labels, _, _ = classes(4, 6, [9] * 4, noise=1e-5)
    assert 0 < variability_collapse_index(features, labels) < 1e-8
    noise = torch.randn(12, 40, generator=seeded(0))
    assert abs(variability_collapse_index(noise, torch.arange(12) % 3)) < 1e-12


@pytest.mark.parametrize("call, message", [
    (lambda m, h, y: unseen_collapse(h, y, m[:, :3]), r"class_means must be \(K, d=7\), got \(4, 3\)"),
    (lambda m, h, y: unseen_collapse(h, y, m[:3]), r"labels must lie in 0 … 2, got values from 0 to 3"),
    (lambda m, h, y: unseen_collapse(h, y, m[:1].expand(4, -1)), "class_means must have class means that differ"),
    (lambda m, h, y: unseen_collapse(h, y.clamp_max(2), m), "got none of class 3 among 4 classes"),
    (lambda m, h, y: unseen_collapse(h, y, m, bias=m[:, 0]), "bias must come with a weight"),
    (lambda m, h, y: few_shot_accuracy(h, y, 3), "more than shots = 3 samples of every class, got 3"),
    (lambda m, h, y: few_shot_accuracy(h, y, 1, episodes=1), "episodes must be an integer >= 2, got 1"),
    (lambda m, h, y: out_of_distribution_cosine(0 * m, h), "must not be zero"),
    (lambda m, h, y: out_of_distribution_cosine(m, h / 0), "features must be finite"),
    (lambda m, h, y: variability_collapse_index(0 * h, y), "features must have class means that differ"),
    (lambda m, h, y: variability_collapse_index(h, y + 1), "got none of class 0 among 5 classes"),
])  # fmt: skip
def test_what_cannot_be_measured_is_refused(call: Any, message: str) -> None:
    means, test, of, _, _ = split()
    with pytest.raises(ValueError, match=message):
        call(means, test, of)
