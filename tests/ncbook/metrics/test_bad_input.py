"""Size, source and faults of the input: an error that says what and where, or a documented value."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ncbook.metrics import NeuralCollapse, neural_collapse
from ncbook.metrics import class_moments as moments
from ncbook.metrics.reports import OCCASIONAL
from tests.ncbook.metrics.reference import HARD, VARIABILITY, classes, same, seeded, streamed


def test_nothing_is_formed_of_size_d_by_d() -> None:
    # d x d would take 80 GB here.
    features, labels, _, _ = classes(3, 100_000, [3] * 3, noise=0.3)
    r = neural_collapse(features.float(), labels)
    assert 0 < r.nc1 < 1


@pytest.mark.parametrize("size", [1, 7, 64])
def test_rows_are_read_in_any_blocks(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels, weight, bias = HARD["unbalanced"]
    whole = neural_collapse(features, labels, weight, bias)
    full = moments.blocks

    def small(features: Tensor, labels: Tensor, *_: Any) -> Any:
        for start in range(0, len(features), size):
            for rows, of, _ in full(features[start : start + size], labels[start : start + size]):
                yield rows, of, start

    monkeypatch.setattr(moments, "blocks", small)
    numbers = {k: v for k, v in whole.as_dict().items() if not isinstance(v, str)}
    same(neural_collapse(features, labels, weight, bias), numbers, tolerance=1e-12)


def test_the_input_is_left_alone() -> None:
    features, labels, weight, bias = HARD["unbalanced"]
    copies = [t.clone() for t in (features, labels, weight, bias)]
    neural_collapse(features, labels, weight, bias)
    streamed(features, labels, [4])
    assert all(torch.equal(a, b) for a, b in zip(copies, (features, labels, weight, bias)))


def test_a_tensor_that_needs_a_gradient_is_measured_without_one() -> None:
    features, labels, weight, bias = HARD["unbalanced"]
    free = neural_collapse(features, labels, weight, bias)
    held = neural_collapse(features.clone().requires_grad_(), labels, weight.clone().requires_grad_(), bias)
    assert free == held


def test_a_memory_mapped_file_is_read_block_by_block(tmp_path: Path) -> None:
    features, labels, _, _ = HARD["unbalanced"]
    np.save(tmp_path / "f.npy", features.numpy())
    mapped = torch.from_numpy(np.load(tmp_path / "f.npy", mmap_mode="c"))
    assert neural_collapse(mapped, labels) == neural_collapse(features, labels)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_numbers() -> None:
    for features, labels, weight, bias in HARD.values():
        here = neural_collapse(features, labels, weight, bias)
        numbers = {k: v for k, v in here.as_dict().items() if not isinstance(v, str)}
        same(neural_collapse(features.cuda(), labels, weight, bias.cuda()), numbers)
        stream = NeuralCollapse(len(weight), features.shape[1]).to("cuda")
        stream.update(features, labels.cuda())  # features from another device
        same(stream.compute(weight, bias), {name: getattr(here, name) for name in VARIABILITY})


GOOD = (torch.randn(8, 3, generator=seeded(0)), torch.arange(8) % 4, torch.eye(4, 3), torch.zeros(4))


def with_entry(value: float) -> Tensor:
    features = GOOD[0].clone()
    features[5, 2] = value
    return features


BAD = [
    ({"features": with_entry(math.nan)}, "features must be finite, got nan at sample 5, coordinate 2"),
    ({"features": with_entry(-math.inf)}, "features must be finite, got -inf at sample 5, coordinate 2"),
    ({"features": with_entry(1e30).double() ** 5}, "norms below 1e140, got 1.0e.150 at sample 5"),
    ({"features": GOOD[0].double() * 1e-150}, "norms below 1e-140"),
    ({"features": GOOD[0].long()}, "features must be a floating tensor"),
    ({"features": GOOD[0][0]}, r"features must be a floating tensor of shape \(N, d\), got \(3,\)"),
    ({"features": GOOD[0].tolist()}, "features must be a floating tensor of shape .* got list"),
    ({"features": GOOD[0][:, :0]}, "features must be .* d >= 1"),
    ({"labels": GOOD[1][:-1]}, r"labels must have one entry per sample \(8\), got 7"),
    ({"labels": GOOD[1] - 1}, "labels must lie in 0 … 3, got values from -1 to 2"),
    ({"labels": GOOD[1] + 1}, "labels must lie in 0 … 3, got values from 1 to 4"),
    ({"labels": GOOD[1] + 10**12, "weight": None, "bias": None}, "a sample of every class, got 8 for 1000000000004"),
    ({"labels": GOOD[1].float()}, "labels must hold integers"),
    ({"labels": GOOD[1] % 2}, "at least one sample of every class, got none of class 2 among 4 classes"),
    ({"weight": torch.eye(4)}, r"weight must be \(K, d=3\), got \(4, 4\)"),
    ({"weight": torch.full((4, 3), math.nan)}, "weight must be finite"),
    ({"bias": torch.zeros(3)}, r"bias must be \(K=4\), got \(3,\)"),
    ({"weight": None}, "bias must come with a weight"),
    ({"within": "batch"}, "within must be 'class' or 'sample', got 'batch'"),
    ({"between": "mean"}, "between must be 'class' or 'sample', got 'mean'"),
    ({"labels": torch.zeros(8).long(), "weight": None, "bias": None}, "labels must hold at least 2 classes, got 1"),
]


@pytest.mark.parametrize("change, message", BAD)
def test_a_bad_argument_is_named(change: dict[str, Any], message: str) -> None:
    arguments = dict(zip(("features", "labels", "weight", "bias"), GOOD)) | change
    with pytest.raises(ValueError, match=message):
        neural_collapse(**arguments)


def test_an_empty_class_between_others_is_an_error_without_a_weight_too() -> None:
    with pytest.raises(ValueError, match="got none of class 1 among 3 classes"):
        neural_collapse(GOOD[0], torch.tensor([0, 2] * 4))


def test_coinciding_class_means_give_infinity() -> None:
    features = torch.randn(6, 4, dtype=torch.float64, generator=seeded(3))
    both, labels = torch.cat([features, features.flip(0)]) + 1e3, torch.arange(12) // 6
    for r in (neural_collapse(both, labels), streamed(both, labels, [5]).compute()):
        assert r.nc1 == r.nc1_trace_quotient == r.cdnv == math.inf
        assert r.between_rank == 0
        assert math.isnan(r.nc2_means) and math.isnan(r.effective_rank) and math.isnan(r.between_condition)
        assert 0 < r.directional_nc1 < 1


def test_one_point_for_everything_is_undefined() -> None:
    r = neural_collapse(torch.ones(6, 4), torch.arange(6) % 2, torch.eye(2, 4))
    assert math.isnan(r.nc1) and math.isnan(r.nc1_trace_quotient) and math.isnan(r.cdnv) and math.isnan(r.nc3)


def test_one_sample_a_class_shows_no_variance_to_measure() -> None:
    r = neural_collapse(GOOD[0][:4], GOOD[1][:4])
    assert all(math.isnan(getattr(r, name)) for name in VARIABILITY)
    assert r.nc2_means > 0 and r.effective_rank > 1


def test_a_zero_classifier_has_no_direction() -> None:
    r = neural_collapse(*GOOD[:2], torch.zeros(4, 3), torch.ones(4))
    assert math.isnan(r.nc2_weight) and math.isnan(r.nc3) and math.isnan(r.nc3_product)
    assert r.bias_collapse == 2


def test_zero_features_have_no_direction_and_are_left_out_of_it() -> None:
    features, labels, _, _ = classes(2, 3, [4, 4], noise=0.3)
    padded = torch.cat([torch.zeros(2, 3, dtype=torch.float64), features, torch.zeros(1, 3, dtype=torch.float64)])
    of = torch.cat([torch.tensor([0, 1]), labels, torch.tensor([1])])
    alone = neural_collapse(features, labels).directional_nc1
    assert neural_collapse(padded, of).directional_nc1 == pytest.approx(alone, rel=1e-12)
    assert streamed(padded, of, [2, 3]).compute().directional_nc1 == pytest.approx(alone, rel=1e-12)
    assert math.isnan(neural_collapse(torch.zeros(4, 2), torch.arange(4) % 2).directional_nc1)


def test_without_a_classifier_its_quantities_are_none() -> None:
    r = neural_collapse(*GOOD[:2])
    missing = {name for name, value in r.as_dict().items() if value is None}
    weights = {f"{name}_weight" for name in ("nc2", "equinorm", "equiangularity", "max_angle", "uniformity")}
    assert missing == weights | {
        "nc0", "nc3", "nc3_product", "uniform_duality", "nc4", "bias_collapse", "accuracy",
        "nearest_mean_accuracy", "classes",
    }  # fmt: skip


def test_a_missing_bias_counts_as_zero() -> None:
    features, labels, weight, bias = HARD["unbalanced"]
    assert neural_collapse(features, labels, weight) == neural_collapse(features, labels, weight, 0 * bias)


def test_the_report_prints_every_field() -> None:
    r = neural_collapse(*GOOD[:2])
    lines = [line for line in str(r).splitlines() if not line.startswith("warning: ")]
    assert [line.split()[0] for line in lines] == [name for name in r.as_dict() if name not in OCCASIONAL]
    assert f"{r.nc1:.4g}" in lines[0] and lines[5].split() == ["nc2_weight", "-"]
