"""One row for each class: by loops over samples, in memory and streamed, and how it prints."""

from __future__ import annotations

import math

import pytest
import torch

from ncbook.metrics import NeuralCollapse, neural_collapse
from tests.ncbook.metrics.reference import classes, same


def test_a_row_is_what_a_loop_over_the_samples_of_its_class_finds() -> None:
    features, labels, weight, bias = classes(6, 8, [9, 3, 5, 1, 7, 4], noise=1.5)
    report = neural_collapse(features, labels, weight, bias, classes=[0, 1, 2, 4, 5])
    table = report.per_class
    assert table is not None and table.number == [0, 1, 2, 4, 5] and table.count == [9, 3, 5, 7, 4]
    means = {k: features[labels == k].mean(0) for k in table.number}
    variance = {k: float((features[labels == k] - means[k]).square().sum(1).mean()) for k in means}
    centre = torch.stack(list(means.values())).mean(0)
    decided = (features @ weight.T + bias).argmax(1)
    for row in table.rows():
        k = row["number"]
        own = features[labels == k]
        nearest = [min(means, key=lambda j: float((h - means[j]).norm())) for h in own]
        pairs = {
            j: (variance[j] + variance[k]) / 2 / float((means[j] - means[k]).square().sum()) for j in means if j != k
        }
        m = means[k] - centre
        wanted = {
            "spread": math.sqrt(variance[k]),
            "length": float(m.norm()),
            "cosine": float(torch.nn.functional.cosine_similarity(m, weight[k], dim=0)),
            "accuracy": float((decided[labels == k] == k).double().mean()),
            "agreement": float((decided[labels == k] == torch.tensor(nearest)).double().mean()),
            "nearest_mean_accuracy": sum(j == k for j in nearest) / len(own),
            "confusion": max(pairs.values()),
        }
        assert {name: row[name] for name in wanted} == pytest.approx(wanted, rel=1e-12)
        assert row["confuser"] == max(pairs, key=pairs.__getitem__)


def test_the_averages_of_the_report_are_averages_of_its_columns() -> None:
    features, labels, weight, bias = classes(5, 8, [6] * 5, noise=1.5)
    r = neural_collapse(features, labels, weight, bias)
    table = r.per_class
    mean = lambda column: sum(column) / len(column)
    assert (mean(table.accuracy), mean(table.agreement)) == pytest.approx((r.accuracy, r.nc4), rel=1e-12)
    between = mean([x**2 for x in table.length])
    assert r.nc1_trace_quotient == pytest.approx(mean([x**2 for x in table.spread]) / between, rel=1e-12)


def test_the_stream_has_the_same_table_but_for_what_one_pass_cannot_know() -> None:
    features, labels, weight, bias = classes(6, 8, [9, 3, 5, 2, 7, 4], noise=1.5)
    whole = neural_collapse(features, labels, weight, bias).per_class.as_dict()
    stream = NeuralCollapse(6, 8)
    for h, y in zip(features.split(7), labels.split(7)):
        stream.update(h, y, h @ weight.T + bias)
    once = stream.compute(weight, bias).per_class.as_dict()
    for name, column in whole.items():
        if name in ("agreement", "nearest_mean_accuracy"):
            assert once[name] == [None] * 6
        else:
            assert once[name] == pytest.approx(column, rel=1e-9), name


def test_a_class_whose_variance_was_not_seen_has_neither_spread_nor_confuser() -> None:
    features, labels, _, _ = classes(3, 5, [4, 1, 3], noise=0.5)
    table = neural_collapse(features, labels, correction=1).per_class
    assert math.isnan(table.spread[1]) and math.isnan(table.confusion[1]) and table.confuser == [2, None, 0]
    alone = neural_collapse(features[:0].new_tensor([[1.0, 0], [0, 1]]), torch.tensor([0, 1])).per_class
    assert alone.confuser == [None, None] and alone.cosine == [None, None]


def test_a_table_prints_twenty_rows_and_becomes_a_frame() -> None:
    few = neural_collapse(*classes(3, 5, [4, 5, 6], noise=0.5)[:2]).per_class
    lines = str(few).splitlines()
    assert len(lines) == 4 and lines[0].split()[:3] == ["number", "count", "spread"] and "cosine" not in lines[0]
    many = neural_collapse(*classes(30, 5, [2] * 30, noise=0.5)[:2]).per_class
    assert str(many).splitlines()[-1] == "… 30 classes" and len(str(many).splitlines()) == 22
    assert len({len(column) for column in many.as_dict().values()}) == 1


def test_a_frame_larger_than_a_tile_has_the_pairs_of_all_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels, weight, bias = classes(11, 6, [3] * 11, noise=0.7)
    whole = neural_collapse(features, labels, weight, bias)
    monkeypatch.setattr("ncbook.metrics.geometry.TILE", 4)
    tiled = neural_collapse(features, labels, weight, bias)
    same(tiled, whole.as_dict(), 1e-12)
    assert tiled.per_class.as_dict()["confusion"] == pytest.approx(whole.per_class.confusion, rel=1e-12)
    assert tiled.per_class.confuser == whole.per_class.confuser
