"""Classes and samples that are left out, classes of few samples, and the warnings of the report."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ncbook.metrics import NeuralCollapse, NeuralCollapseReport, neural_collapse
from tests.ncbook.metrics.reference import classes, same

NUMBERS = ("nc1", "nc1_trace_quotient", "cdnv", "directional_nc1", "nc2_means", "nc2_weight", "nc3", "nc3_product",
           "bias_collapse", "effective_rank", "num_samples", "num_classes", "smallest_class")  # fmt: skip


def gapped() -> tuple[Tensor, ...]:
    """Seven classes in the head; 1 and 4 have no sample, 6 has one, and two samples are padding."""
    features, labels, weight, bias = classes(7, 9, [6, 0, 5, 4, 0, 7, 1], noise=1.5)
    labels[[0, 9]] = -100
    return features, labels, weight, bias


def streamed(features: Tensor, labels: Tensor, weight: Tensor, bias: Tensor, **options: Any) -> NeuralCollapseReport:
    stream = NeuralCollapse(len(weight), features.shape[1], **options)
    for h, y in zip(features.split(4), labels.split(4)):
        stream.update(h, y, h @ weight.T + bias)
    return stream.compute(weight, bias)


@pytest.mark.parametrize("options, kept", [
    ({"min_samples": 1}, [0, 2, 3, 5, 6]),
    ({"min_samples": 2}, [0, 2, 3, 5]),
    ({"classes": [5, 0, 3]}, [0, 3, 5]),
    ({"classes": [5, 0, 6, 1], "min_samples": 2}, [0, 5]),
])  # fmt: skip
def test_what_is_left_is_measured_as_if_there_were_nothing_else(options: dict[str, Any], kept: list[int]) -> None:
    features, labels, weight, bias = gapped()
    mine = torch.isin(labels, torch.tensor(kept))
    compact = torch.searchsorted(torch.tensor(kept), labels[mine])
    alone = neural_collapse(features[mine], compact, weight[kept], bias[kept])
    whole = neural_collapse(features, labels, weight, bias, **options)
    stream = streamed(features, labels, weight, bias, **options)
    for report in (whole, stream):
        same(report, {name: getattr(alone, name) for name in NUMBERS})
        assert report.classes == tuple(kept) and report.classes_left_out == 7 - len(kept)
        assert report.samples_left_out == len(labels) - int(mine.sum())
    decided = (features[mine] @ weight.T + bias).argmax(1)  # among all seven
    assert whole.accuracy == stream.accuracy == float((decided == labels[mine]).double().mean())
    means = torch.stack([features[labels == k].mean(0) for k in kept])
    nearest = torch.tensor(kept)[torch.cdist(features[mine], means).argmin(1)]
    assert whole.nc4 == pytest.approx(float((decided == nearest).double().mean()), abs=1e-12)
    assert whole.nearest_mean_accuracy == pytest.approx(float((nearest == labels[mine]).double().mean()), abs=1e-12)


def test_labels_with_gaps_need_no_classifier_and_no_memory_for_the_gaps() -> None:
    features, labels, _, _ = classes(3, 5, [4, 5, 6], noise=0.3)
    far = torch.tensor([7, 10**12, 10**15])[labels]
    r = neural_collapse(features, far, min_samples=1)
    same(r, {name: getattr(neural_collapse(features, labels), name) for name in ("nc1", "cdnv", "nc2_means")})
    assert r.classes == (7, 10**12, 10**15) and r.classes_left_out == 10**15 + 1 - 3


def test_what_is_ignored_may_hold_anything() -> None:
    features, labels, weight, bias = classes(3, 5, [4, 5, 6], noise=0.3)
    padded = torch.cat([torch.full((2, 5), math.nan).double(), features])
    of = torch.cat([torch.tensor([-7, -7]), labels])
    r = neural_collapse(padded, of, weight, bias, ignore_index=-7)
    same(r, neural_collapse(features, labels, weight, bias).as_dict() | {"samples_left_out": 2})
    padded[5] = math.inf
    with pytest.raises(ValueError, match="features must be finite, got inf at sample 5"):
        neural_collapse(padded, of, weight, bias, ignore_index=-7)
    stream = NeuralCollapse(3, 5, ignore_index=-7)
    stream.update(padded[:2], of[:2])
    stream.update(features, labels)
    assert stream.compute().samples_left_out == 2


def test_a_stream_told_the_class_sizes_leaves_out_any_class() -> None:
    features, labels, weight, bias = gapped()
    counts = torch.bincount(labels.clamp_min(0), minlength=7) - torch.tensor([2, 0, 0, 0, 0, 0, 0])
    for within in ("sample", "class"):
        for correction in (0, 1):
            options: dict[str, Any] = {"min_samples": 5, "within": within, "correction": correction}
            got = streamed(features, labels, weight, bias, class_counts=counts, **options)
            wanted = neural_collapse(features, labels, weight, bias, **options)
            same(got, {name: getattr(wanted, name) for name in (*NUMBERS, "accuracy")})
    with pytest.raises(ValueError, match="class_counts must be given with min_samples > 2"):
        NeuralCollapse(7, 9, min_samples=3)


def test_singletons_pass_for_collapsed_until_they_are_corrected() -> None:
    """Every class has the same spread; what differs is how many samples show it."""
    many = neural_collapse(*classes(20, 30, [200] * 20, noise=0.5)[:2])
    few = classes(20, 30, [1] * 12 + [2] * 8, noise=0.5)[:2]
    raw, corrected = neural_collapse(*few), neural_collapse(*few, correction=1)
    assert raw.singletons == 12 and raw.nc1_trace_quotient < 0.3 * many.nc1_trace_quotient
    assert corrected.nc1_trace_quotient == pytest.approx(many.nc1_trace_quotient, rel=0.3)
    assert raw.cdnv < 0.3 * many.cdnv < corrected.cdnv
    assert any("12 of 20 classes have one sample" in text for text in raw.warnings) and not corrected.warnings
    assert "warning: 12 of 20 classes" in str(raw)


@pytest.mark.parametrize("within", ["sample", "class"])
def test_the_correction_is_bessels(within: Any) -> None:
    features, labels, _, _ = classes(4, 6, [5, 1, 3, 2], noise=0.7)
    r = neural_collapse(features, labels, correction=1, within=within)
    variances = [features[labels == k].var(0, correction=1).sum() for k in (0, 2, 3)]
    degrees = torch.tensor([4.0, 2, 1]).double()
    weights = degrees / degrees.sum() if within == "sample" else torch.full((3,), 1 / 3, dtype=torch.float64)
    means = torch.stack([features[labels == k].mean(0) for k in range(4)])
    gap = (means - means.mean(0)).square().sum(1).mean()
    assert r.nc1_trace_quotient == pytest.approx(float(weights @ torch.stack(variances) / gap), rel=1e-12)
    counts = torch.bincount(labels)
    stream = NeuralCollapse(4, 6, correction=1, within=within, class_counts=counts)
    stream.update(features, labels)
    same(stream.compute(), {name: getattr(r, name) for name in ("nc1", "cdnv", "directional_nc1")})


def test_merged_classes_are_warned_of() -> None:
    features, labels, _, _ = classes(4, 6, [5] * 4, noise=0.0)
    assert neural_collapse(features, labels).warnings == ()
    merged = torch.where((labels == 3)[:, None], features[labels == 2][:1], features)
    r = neural_collapse(merged + 1e-30, labels)
    assert r.between_rank == 2 and "the class means span 2 of 3 directions" in r.warnings[0]


@pytest.mark.parametrize("options, message", [
    ({"classes": [1]}, "classes must name at least 2 different classes"),
    ({"classes": [0, 0, 1]}, "each once"),
    ({"classes": 3}, "classes must be a sequence of class numbers, got int"),
    ({"classes": "01"}, "classes must be a sequence of class numbers, got str"),
    ({"classes": [0, -1]}, "classes must be an integer >= 0, got -1"),
    ({"classes": [0, 9]}, "classes must lie in 0 … 6, got 9"),
    ({"classes": [0, 1]}, "got none of class 1 among the 2 in classes"),
    ({"min_samples": 0}, "min_samples must be an integer >= 1, got 0"),
    ({"min_samples": 7}, "labels must leave at least 2 classes to measure, got 0 of 7"),
    ({"ignore_index": 0.5}, "ignore_index must be an integer of 64 bits or None"),
    ({"ignore_index": None}, "labels must lie in 0 … 6, got values from -100 to 6"),
    ({"correction": 2}, "correction must be 0 or 1, got 2"),
    ({}, "got none of class 1 among 7 classes; min_samples=1 leaves"),
])  # fmt: skip
def test_a_choice_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        neural_collapse(*gapped(), **options)


def test_only_padding_is_no_data() -> None:
    with pytest.raises(ValueError, match="got only ignore_index = -100"):
        neural_collapse(torch.ones(3, 2), torch.full((3,), -100))
