"""The stream as a torchmetrics.Metric."""

from __future__ import annotations

import math
import pickle
from typing import Any

import pytest
import torch

from ncbook.metrics import NeuralCollapse, neural_collapse
from tests.ncbook.metrics.reference import HARD, classes, same, streamed
from tests.ncbook.metrics.test_bad_input import GOOD, with_entry


def test_nearest_means_given_make_nc4_exact() -> None:
    features, labels, weight, bias = classes(4, 5, [6, 2, 9, 4], noise=1.5)
    logits = features @ weight.T + bias
    for within in ("sample", "class"):
        whole = neural_collapse(features, labels, weight, bias, within=within)
        assert 0 < whole.nc4 < 1  # otherwise nothing is tested
        first = streamed(features, labels, [5], within=within, class_counts=torch.bincount(labels))
        options = {"within": within, "class_means": first.class_means, "class_counts": torch.bincount(labels)}
        second = NeuralCollapse(4, 5, **options)
        for h, y, z in zip(features.split(3), labels.split(3), logits.split(3)):
            second(h, y, z)
        same(second.compute(weight, bias), {n: getattr(whole, n) for n in ("nc4", "accuracy", "nearest_mean_accuracy")})


def test_a_stream_read_once_does_not_claim_nc4() -> None:
    features, labels, weight, bias = HARD["unbalanced"]
    stream = NeuralCollapse(4, 7)
    stream.update(features[:10], labels[:10], (features @ weight.T + bias)[:10])
    stream.update(features[10:], labels[10:])
    r = stream.compute(weight, bias)
    assert r.nc4 is None and r.nearest_mean_accuracy is None
    assert r.accuracy is None  # logits came for some samples only


def test_state_dict_carries_a_stream_over() -> None:
    features, labels, weight, bias = HARD["unbalanced"]
    before, after = streamed(features[:15], labels[:15], [4], num_classes=4), NeuralCollapse(4, 7)
    after.load_state_dict(before.state_dict())
    for stream in (before, after, pickle.loads(pickle.dumps(before))):
        stream.update(features[15:], labels[15:])
        assert stream.compute(weight, bias) == streamed(features, labels, [4, 4, 4, 3, 99]).compute(weight, bias)


def test_reset_forgets_everything() -> None:
    features, labels, _, _ = HARD["unbalanced"]
    stream = streamed(features + 5, labels, [4])
    stream.reset()
    with pytest.warns(UserWarning, match="before the"), pytest.raises(ValueError, match="got none of class 0"):
        stream.compute()
    stream.update(features, labels)
    assert stream.compute() == streamed(features, labels, [99]).compute()


def test_compute_answers_the_question_asked_and_does_not_end_the_stream() -> None:
    features, labels, weight, bias = classes(4, 7, [9, 4, 5, 6], noise=0.5)
    stream = streamed(features[:20], labels[:20], [20])
    with_weight, without = stream.compute(weight, bias), stream.compute()
    assert with_weight.nc3 is not None and without.nc3 is None
    stream.update(features[20:], labels[20:])
    assert stream.compute().num_samples == len(labels)


def test_low_precision_of_the_model_around_it_does_not_reach_the_state() -> None:
    model = torch.nn.Module()
    model.metric = NeuralCollapse(4, 7)
    model.half()
    features, labels, _, _ = HARD["unbalanced"]
    model.metric.update(features, labels)
    assert model.metric.compute() == streamed(features, labels, [99]).compute()
    model.metric.set_dtype(torch.float32)
    with pytest.raises(ValueError, match="the state must stay in float64"):
        model.metric.update(features, labels)


def test_a_bad_batch_leaves_the_state_as_it_was() -> None:
    stream = NeuralCollapse(4, 3)
    stream.update(*GOOD[:2])
    state = stream.state.clone()
    bad = [
        ((with_entry(math.nan), GOOD[1]), "features must be finite, got nan at sample 5, coordinate 2"),
        ((GOOD[0], GOOD[1] + 1), "labels must lie in 0 … 3"),
        ((GOOD[0][:, :2], GOOD[1]), r"features must be \(N, d\) with N >= 1 and d = 3, got \(8, 2\)"),
        ((*GOOD[:2], torch.zeros(8, 3)), r"logits must be \(B=8, K=4\), got \(8, 3\)"),
    ]
    for arguments, message in bad:
        with pytest.raises(ValueError, match=message):
            stream.update(*arguments)
    assert torch.equal(stream.state, state)


def test_a_stream_that_cannot_be_is_refused() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"num_classes": 1}, "num_classes must be an integer >= 2"),
        ({"feature_dim": 0}, "feature_dim must be an integer >= 1"),
        ({"within": "class"}, "class_counts must be given"),
        ({"class_counts": torch.tensor([1, 2])}, "class_counts must have one entry per sample"),
        ({"class_counts": torch.tensor([1, 2, 0, 4])}, "got none of class 2"),
        ({"class_means": torch.zeros(3, 3)}, r"class_means must be \(K=4, d=3\)"),
    ]
    for change, message in cases:
        with pytest.raises(ValueError, match=message):
            NeuralCollapse(**({"num_classes": 4, "feature_dim": 3} | change))


def test_announced_class_counts_must_come_true() -> None:
    stream = NeuralCollapse(4, 3, within="class", class_counts=torch.tensor([2, 2, 2, 3]))
    stream.update(*GOOD[:2])
    with pytest.raises(ValueError, match=r"class_counts must be what came, \[2, 2, 2, 2\]"):
        stream.compute()
    with pytest.raises(ValueError, match=r"weight must be \(K=4, d=3\)"):
        streamed(*GOOD[:2], [3]).compute(torch.eye(3))
