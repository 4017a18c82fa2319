"""Shuffled labels and isotropic noise: what a report is held against."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch

from ncbook.metrics import neural_collapse
from tests.ncbook.metrics.reference import classes, same, seeded


def noise(sizes: list[int], d: int, draw: int, **options: Any) -> Any:
    labels = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    features = torch.randn(len(labels), d, generator=seeded(draw), dtype=torch.float64)
    return neural_collapse(features, labels, **options)


@pytest.mark.parametrize("sizes, within, between, correction", [
    ([5] * 4, "sample", "class", 0),
    *(([2, 3, 9, 6], *choices) for choices in itertools.product(("sample", "class"), ("sample", "class"), (0, 1))),
])  # fmt: skip
def test_noise_scores_the_nc1_it_is_told(sizes: list[int], within: Any, between: Any, correction: int) -> None:
    options: dict[str, Any] = {"within": within, "between": between, "correction": correction}
    seen = torch.tensor([noise(sizes, 20, seed, **options).nc1 for seed in range(200)])
    told = noise(sizes, 20, 0, shuffles=1, **options).baselines.nc1_noise
    assert abs(float(seen.mean()) - told) < 4 * float(seen.std()) / 200**0.5
    assert float(seen.std()) / 200**0.5 < 0.04 * told  # so the line above can fail


@pytest.mark.parametrize("K, d, n", [(10, 512, 20), (10, 512, 200), (4, 100, 10), (30, 300, 5)])
def test_noise_scores_about_the_nc2_it_is_told_however_many_samples(K: int, d: int, n: int) -> None:
    seen = [noise([n] * K, d, seed).nc2_means for seed in range(20)]
    told = noise([n] * K, d, 0, shuffles=1).baselines.nc2_noise
    assert told == pytest.approx(math.sqrt((K - 2) * (K + 1) / ((K - 1) * d)))
    assert sum(seen) / 20 == pytest.approx(told, rel=0.08)


def test_shuffled_labels_are_what_a_shuffle_by_hand_scores() -> None:
    features, labels, weight, bias = classes(4, 9, [6, 9, 5, 7], noise=0.3)
    labels[3] = -100
    r = neural_collapse(features, labels, weight, bias, shuffles=2, seed=5)
    same(r, neural_collapse(features, labels, weight, bias).as_dict())
    rng, kept, by_hand = seeded(5), labels >= 0, []
    for _ in range(2):
        mixed = labels[kept][torch.randperm(int(kept.sum()), generator=rng)]
        by_hand.append(neural_collapse(features[kept], mixed))
    for name in ("nc1", "nc1_trace_quotient", "cdnv", "directional_nc1", "nc2_means"):
        wanted = sum(getattr(one, name) for one in by_hand) / 2
        assert getattr(r.baselines, f"{name}_shuffled") == pytest.approx(wanted, rel=1e-9)
    assert r.baselines.nc1_shuffled > 5 * r.nc1 and r.baselines.shuffles == 2


def test_noise_has_no_expected_nc1_without_room() -> None:
    assert math.isnan(noise([5] * 4, 4, 0, shuffles=1).baselines.nc1_noise)
    assert noise([5] * 4, 5, 0).baselines is None


def test_baselines_print_below_the_report_and_go_to_the_logger() -> None:
    r = noise([5] * 4, 9, 0, shuffles=1)
    assert str(r.baselines) in str(r)
    scalars = r.as_scalars("train/")
    assert scalars["train/nc1_shuffled"] == r.baselines.nc1_shuffled and scalars["train/num_samples"] == 20.0
    assert all(isinstance(v, float) for v in scalars.values())
    assert "train/nc4" not in scalars and "train/within" not in scalars


@pytest.mark.parametrize("options, message", [
    ({"shuffles": -1}, "shuffles must be an integer >= 0, got -1"),
    ({"shuffles": 1, "seed": -1}, "seed must be an integer >= 0, got -1"),
])  # fmt: skip
def test_bad_requests_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        noise([5] * 4, 9, 0, **options)
