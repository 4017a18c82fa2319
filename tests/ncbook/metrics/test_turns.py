"""How directions spread within classes: nine digits from residuals, and unit vectors only where these do not do."""

from __future__ import annotations

import mpmath
import pytest
import torch
from torch import Tensor

from ncbook.metrics import NeuralCollapse, class_moments, members, neural_collapse, stream_state
from ncbook.metrics.members import Members
from ncbook.metrics.turns import Turns
from ncbook.metrics.unit_rows import axes_of, inverse_norms
from tests.ncbook.metrics.reference import classes, dot, exact, norm, seeded, streamed, total


def near(noise: float) -> tuple[Tensor, Tensor, Tensor]:
    """Rows near three points, one of them zero; their classes; the points."""
    points = torch.randn(3, 5, dtype=torch.float64, generator=seeded(1))
    of = torch.arange(12) % 3
    rows = points[of] + noise * torch.randn(12, 5, dtype=torch.float64, generator=seeded(2))
    rows[7] = 0
    return rows, of, points


@pytest.mark.parametrize("few", [0, 20], ids=["by index", "by a product"])
@pytest.mark.parametrize("noise", [1.0, 1e-2, 1e-4, 1e-8])
def test_scatter_and_mean_are_those_of_the_unit_vectors(few: int, noise: float, monkeypatch) -> None:
    monkeypatch.setattr(members, "FEW", few)
    rows, of, points = near(noise)
    turns = Turns(points.clone())
    for some in (slice(0, 5), slice(5, 12)):
        found = Members(of[some], 3)
        residuals = found.subtract(rows[some].clone(), points)
        turns.add(found, residuals, residuals.square().sum(1), inverse_norms(rows[some])[0])
    counts = torch.tensor([4.0, 3.0, 4.0], dtype=torch.float64)
    scatter, mean, sure = turns.moments(counts)
    assert bool(sure.all())
    with mpmath.workdps(60):
        exactly = lambda row: mpmath.matrix([mpmath.mpf(x) for x in row.tolist()])
        for k in range(3):
            axis = exactly(points[k]) / norm(exactly(points[k]))
            each = [exactly(h) / norm(exactly(h)) - axis for h, y in zip(rows, of) if y == k and bool(h.any())]
            middle = total(each) / len(each)
            wanted = float(sum(dot(t - middle, t - middle) for t in each))
            assert float(scatter[k]) == pytest.approx(wanted, rel=1e-9, abs=0)
            floor = 1e-9 * float(norm(middle))
            assert mean[k].tolist() == pytest.approx([float(x) for x in middle], rel=1e-9, abs=floor)


def test_residuals_along_their_point_do_not_do() -> None:
    points = torch.randn(2, 4, dtype=torch.float64, generator=seeded(3))
    of = torch.tensor([0, 0, 0, 1, 1, 1])
    rows = points[of] * torch.tensor([1.0, 1.5, 0.7, 1, 1.5, 0.7], dtype=torch.float64)[:, None]
    rows[3:] += 0.1 * torch.randn(3, 4, dtype=torch.float64, generator=seeded(4))
    found, turns = Members(of, 2), Turns(points.clone())
    residuals = found.subtract(rows.clone(), points)
    turns.add(found, residuals, residuals.square().sum(1), inverse_norms(rows)[0])
    assert turns.moments(torch.full((2,), 3.0, dtype=torch.float64))[2].tolist() == [False, True]


def outlier_first() -> tuple[Tensor, ...]:
    """The first sample of each class, which a stream measures from, far from the others, which agree to 1e-7."""
    features, labels, weight, bias = classes(3, 5, [6] * 3, noise=1e-7)
    for k in range(3):
        features[(labels == k).nonzero()[0, 0]] += torch.randn(5, dtype=torch.float64, generator=seeded(k))
    return features, labels, weight, bias


def a_class_at_the_origin() -> tuple[Tensor, ...]:
    """Its mean is zero: it has no direction, beside classes tight enough to be looked at by their residuals."""
    features, labels, weight, bias = classes(3, 4, [4] * 3, noise=1e-6)
    features[labels == 1] = torch.eye(4, dtype=torch.float64)[torch.tensor([0, 0, 1, 1])]
    features[labels == 1] *= torch.tensor([1.0, -1, 1, -1], dtype=torch.float64)[:, None]
    return features, labels, weight, bias


HARD = {
    "outlier first": outlier_first(),
    "a class at the origin": a_class_at_the_origin(),
    "turned as little as stretched": (
        classes(3, 2, [7] * 3, noise=1e-3)[0] * (1 + 0.1 * torch.rand(21, 1, dtype=torch.float64, generator=seeded(9))),
        *classes(3, 2, [7] * 3, noise=1e-3)[1:],
    ),
} | {f"noise {noise:g}": classes(3, 5, [4, 6, 5], noise=noise) for noise in (1.0, 3e-2, 3e-3, 1e-3, 1e-5, 1e-9, 1e-12)}


@pytest.mark.parametrize("case", HARD)
@pytest.mark.parametrize("within, between", [("sample", "class"), ("class", "sample")])
def test_directional_collapse_has_nine_digits(case: str, within: str, between: str) -> None:
    wanted = float(exact(*HARD[case], within, between)["directional_nc1"])
    features, labels, weight, _ = HARD[case]
    assert neural_collapse(features, labels, within=within).directional_nc1 == pytest.approx(wanted, rel=1e-9, abs=0)
    for cuts in ([3, 1, 5], [len(labels)]):
        stream = streamed(features, labels, cuts, within=within)
        assert stream.compute().directional_nc1 == pytest.approx(wanted, rel=1e-9, abs=0)
    parts = [NeuralCollapse(*weight.shape, within=within, class_counts=torch.bincount(labels)) for _ in range(2)]
    for i, (h, y) in enumerate(zip(features.split(4), labels.split(4))):
        parts[i % 2].update(h, y)
    parts[0].merge_state(parts[1])
    assert parts[0].compute().directional_nc1 == pytest.approx(wanted, rel=1e-9, abs=0)


@pytest.mark.parametrize("noise", [1.0, 1e-3, 1e-6, 1e-9])
def test_no_unit_vectors_are_formed_however_collapsed_the_features(noise: float, monkeypatch) -> None:
    def slow(*given: Tensor) -> Tensor:
        raise AssertionError("unit vectors were subtracted")

    for module in (class_moments, stream_state):
        monkeypatch.setattr(module, "unit_differences", slow)
    for K, sizes in ((4, [30] * 4), (300, [3] * 300)):  # by a product, and by index
        features, labels, _, _ = classes(K, 50, sizes, noise=noise)
        assert neural_collapse(features, labels).directional_nc1 > 0
        assert streamed(features, labels, [64]).compute().directional_nc1 > 0


def test_an_axis_and_what_rounding_took_from_it() -> None:
    points = torch.cat((torch.randn(3, 5, dtype=torch.float64, generator=seeded(5)), torch.zeros(1, 5).double()))
    axes, rest = axes_of(points)
    assert not axes[3].any() and not rest[3].any() and rest[:3].any()
    with mpmath.workdps(60):
        for point, axis, part in zip(points[:3], axes, rest):
            h = mpmath.matrix([mpmath.mpf(x) for x in point.tolist()])
            left = [x / norm(h) - mpmath.mpf(a) for x, a in zip(h, axis.tolist())]
            assert part.tolist() == pytest.approx([float(x) for x in left], rel=1e-9, abs=1e-24)
