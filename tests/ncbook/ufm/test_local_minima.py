"""Local minima are proved below ``K - 1`` dimensions and in the ReLU valley; saddles and other points are refused."""

from dataclasses import replace
from fractions import Fraction

import flint
import mpmath
import pytest
import torch

from ncbook import _intervals as intervals
from ncbook.etf import simplex_etf
from ncbook.ufm import UFM, hessian, local_minima, pack, prove_local_minimum, superclass_saddle
from tests.ncbook.ufm.test_enclosures import fraction, minimum, objective

SHARP = UFM(6, 1, 4, 0.01, 0.01)


@pytest.fixture(autouse=True)
def sixty_digits():
    with mpmath.workdps(60):
        yield


def solved(problem: UFM, seed: int = 0, **options):
    found = problem.solve(seed, **options)
    return found.W, found.H, found.b


def groups(problem: UFM, *sizes: int):
    """Each group of classes a simplex ETF in dimensions of its own, and from there to the bottom."""
    frames = [simplex_etf(k, k - 1) if k > 1 else torch.zeros(1, 0) for k in sizes]
    start = 2 * torch.block_diag(*(frame.double() for frame in frames))
    return solved(problem, start=(start, start, torch.zeros(problem.num_classes, dtype=torch.float64)))


def two_minima(problem: UFM):
    """Points of two different values, the lower first, from random starts."""
    values: dict[float, tuple] = {}
    for seed in range(200):
        found = problem.solve(seed)
        values.setdefault(round(found.value, 5), (found.W, found.H, found.b))
        if len(values) == 2:
            return [values[v] for v in sorted(values)]
    raise AssertionError(f"one value only: {values.keys()}")


def valley(problem: UFM, axes: list[list[int]]):
    """The last class dead, the others each on its own axes, and from there to the bottom."""
    n, H = problem.samples_per_class, torch.zeros(problem.num_samples, problem.feature_dim, dtype=torch.float64)
    W = torch.zeros(problem.num_classes, problem.feature_dim, dtype=torch.float64)
    for k, own in enumerate(axes):
        H[k * n : (k + 1) * n, own] = 2 / len(own) ** 0.5
        W[:, own] -= 0.5
        W[k, own] += 2
    start = W, H, torch.zeros(problem.num_classes, dtype=torch.float64)
    return solved(problem, start=start, nonnegative=True)


def test_below_the_threshold_two_minima_of_different_values_are_proved() -> None:
    seven = UFM(7, 1, 3, 0.001, 0.001)
    for problem, points in (
        (SHARP, [groups(SHARP, 4, 2), groups(SHARP, 3, 3)]),
        (seven, two_minima(seven)),
    ):
        good, worse = (prove_local_minimum(problem, *point) for point in points)
        assert worse.value.lower - good.value.upper > Fraction(1, 2000)
        for proved in (good, worse):
            assert proved.radius < 1e-5 and proved.curvature > 1e-6
            assert proved.value.width < Fraction(1, 10**28)
            turns = problem.feature_dim * (problem.feature_dim - 1) // 2
            assert proved.symmetries == turns + 1  # and the shift of the free bias


def test_which_groups_of_simplexes_are_minima() -> None:
    eight = UFM(8, 1, 6, 0.01, 0.01)
    values = [prove_local_minimum(eight, *groups(eight, *sizes)).value for sizes in ((6, 2), (4, 4))]
    assert values[0].upper < values[1].lower
    for problem, sizes in ((eight, (5, 3)), (SHARP, (5, 1))):
        with pytest.raises(ArithmeticError, match="no strict minimum"):
            prove_local_minimum(problem, *groups(problem, *sizes))


@pytest.mark.parametrize("bias_decay", [0.0, 0.01])
@pytest.mark.parametrize("axes", [[[0], [1, 2], [3, 4]], [[0, 1, 2, 3], [4, 5], [6, 7]]], ids=["d=5", "d=8"])
def test_the_valley_of_a_dead_class_is_proved_and_above_the_optimum(axes: list[list[int]], bias_decay: float) -> None:
    problem = UFM(4, 3, max(map(max, axes)) + 1, 5e-3, 5e-3, bias_decay)
    point = valley(problem, axes)
    assert not point[1][-3:].any()
    proved = prove_local_minimum(problem, *point, nonnegative=True)
    assert proved.multiplier > 1e-3 and proved.curvature > 1e-5 and proved.radius < 1e-6
    best = problem.optimum(nonnegative=True)
    assert proved.value.lower > fraction(objective(problem, best.W, best.H, best.b)) + Fraction(1, 100)
    with pytest.raises(ArithmeticError):  # without the sign condition it is no minimum
        prove_local_minimum(problem, *point)


@pytest.mark.parametrize(
    ("K", "n", "d", "bias_decay"), [(2, 3, 1, 0.1), (4, 1, 3, 0.01), (4, 2, 6, 0.0), (5, 1, 4, 0.0)]
)
def test_the_optimum_is_strict_up_to_its_orbit(K: int, n: int, d: int, bias_decay: float) -> None:
    problem = UFM(K, n, d, 0.01, 0.005, bias_decay)
    best = problem.optimum(generator=torch.Generator().manual_seed(0))
    proved = prove_local_minimum(problem, best.W, best.H, best.b)
    assert fraction(minimum(problem)) in proved.value
    assert proved.symmetries == (K - 1) * (d - K + 1) + (K - 1) * (K - 2) // 2 + (bias_decay == 0)
    assert proved.free + proved.symmetries == K * d + K * n * d + K


def test_the_value_shrinks_with_the_digits() -> None:
    point = solved(SHARP)
    coarse, fine = (prove_local_minimum(SHARP, *point, digits=digits).value for digits in (20, 40))
    assert fine.width < coarse.width / 10**15
    assert coarse.lower <= fine.lower <= fine.upper <= coarse.upper


def test_the_origin_is_a_minimum_only_where_the_decay_wins() -> None:
    origin = torch.zeros(3, 2), torch.zeros(3, 2), torch.zeros(3)
    strong, weak = UFM(3, 1, 2, 0.34, 0.34, 0.1), UFM(3, 1, 2, 0.33, 0.33, 0.1)
    assert prove_local_minimum(strong, *origin).symmetries == 0
    with pytest.raises(ArithmeticError, match=r"curvature in the slice is -0\.00"):
        prove_local_minimum(weak, *origin)


def test_saddles_and_points_elsewhere_are_refused() -> None:
    problem = UFM(4, 2, 3, 0.005, 0.005, 0.01)
    saddle = superclass_saddle(problem, [[0, 1], [2, 3]])
    with pytest.raises(ArithmeticError, match="no strict minimum"):
        prove_local_minimum(problem, *saddle)
    best = problem.optimum()
    for size, proved in ((1e-6, True), (1e-2, False), (0.3, False)):
        W = best.W + size * torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        if proved:
            assert 1e-7 < prove_local_minimum(problem, W, best.H, best.b).radius < 1e-4
            continue
        with pytest.raises(ArithmeticError, match=r"no (strict )?minimum"):
            prove_local_minimum(problem, W, best.H, best.b)


def test_a_minimum_that_can_slide_is_refused() -> None:
    problem = UFM(4, 2, 6, 0.01, 0.01, 0.01)
    best = problem.optimum(nonnegative=True)  # two axes are free, and the frame may grow onto them
    with pytest.raises(ArithmeticError, match="feature held at zero has the slope"):
        prove_local_minimum(problem, best.W, best.H, best.b, nonnegative=True)
    problem = replace(problem, feature_dim=4)
    best = problem.optimum(nonnegative=True)
    assert prove_local_minimum(problem, best.W, best.H, best.b, nonnegative=True).multiplier > 0


def test_without_the_symmetries_nothing_is_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    point = solved(SHARP)
    monkeypatch.setattr(local_minima._Symmetries, "moves", lambda self, x: [])
    with pytest.raises(ArithmeticError):
        prove_local_minimum(SHARP, *point)


def test_moves_that_leave_the_slice_where_it_is_are_refused() -> None:
    point = solved(SHARP)
    x = [flint.arb(y) for y in pack(point).tolist()]
    with intervals.precision(30):
        good = local_minima._Symmetries.build(SHARP, point, torch.zeros_like(point[1], dtype=torch.bool))
        assert good.are_regular(x)
        twice = good.combinations.copy()
        twice[:, 0] = twice[:, 1]
        assert not replace(good, combinations=twice).are_regular(x)
        assert not good.are_regular([y + flint.arb(0, 10) for y in x])


def test_each_move_leaves_the_objective_as_it_is() -> None:
    W, H, b = SHARP.random_point(0)
    moves = local_minima._Symmetries(SHARP, [(0, 1), (1, 3)], [], torch.zeros(0).numpy()).moves(
        pack((W, H, b)).tolist()
    )
    slope = pack(SHARP.gradient(W, H, b))
    assert len(moves) == 3 and all(abs(float(slope @ move)) < 1e-15 for move in moves)
    assert all(any(move) for move in moves)


def deviation(matrix, reference: torch.Tensor) -> float:
    return max(
        abs(float(x.mid()) - y) for row, line in zip(matrix.tolist(), reference.tolist()) for x, y in zip(row, line)
    )


def test_the_derivatives_are_those_of_the_objective() -> None:
    for seed in range(20):
        problem = UFM(2 + seed % 4, 1 + seed % 3, 1 + seed % 5, 0.02, 0.05, [0.0, 0.3][seed % 2])
        point = problem.random_point(seed)
        reference = hessian(problem, *point)
        with intervals.precision(30):
            every = list(range(len(reference)))
            at = local_minima._Balls(problem, [flint.arb(x) for x in pack(point).tolist()], every)
            assert fraction(objective(problem, *point)) in intervals.enclose(at.objective())
            slope = [float(x.mid()) for x in at.gradient()]
            assert abs(pack(problem.gradient(*point)) - slope).max() < 1e-15
            assert deviation(at.hessian(), reference) < 1e-14
            some = every[::2]
            part = local_minima._Balls(problem, at.x, some).hessian()
            assert deviation(part, reference[some][:, some]) < 1e-14
            assert deviation(part, 1.04 * reference[some][:, some]) > 1e-3


def test_balls_hold_the_derivatives_of_every_point_in_them() -> None:
    problem = UFM(3, 2, 2, 0.02, 0.05, 0.3)
    centre = pack(problem.random_point(0))
    generator = torch.Generator().manual_seed(0)
    with intervals.precision(30):
        every = list(range(len(centre)))
        around = local_minima._Balls(problem, [flint.arb(x) for x in centre.tolist()], every, 0.01)
        rows, slope = around.hessian().tolist(), around.gradient()
        for _ in range(20):
            x = centre + 0.01 * (2 * torch.rand(len(every), generator=generator, dtype=torch.float64).numpy() - 1)
            at = local_minima._Balls(problem, [flint.arb(y) for y in x.tolist()], every)
            assert all(a.contains(b) for a, b in zip(slope, at.gradient()))
            assert all(a.contains(b) for r, s in zip(rows, at.hessian().tolist()) for a, b in zip(r, s))


@pytest.mark.parametrize("change", [-1, 0.96])
def test_a_wrong_hessian_is_no_proof(change: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the bound raised above what the matrix has, the pivots say no."""
    with intervals.precision(30):
        A = flint.arb_mat([[2, 1], [1, 2]])
        middle = torch.tensor([[2.0, 1.0], [1.0, 2.0]]).double().numpy()
        assert local_minima._curvature_exceeds(1 * A, 0.97, middle)
        assert not local_minima._curvature_exceeds(change * A, 0.97, middle)


def test_a_problem_too_large_and_a_negative_feature_are_refused() -> None:
    large = UFM(10, 10, 4, 0.01, 0.01)
    with pytest.raises(ValueError, match="400 variables"):
        prove_local_minimum(large, *large.random_point(0))
    with pytest.raises(ValueError, match="H must be >= 0"):
        prove_local_minimum(SHARP, *SHARP.random_point(0), nonnegative=True)


def test_classes_of_unequal_sizes_are_proved_too() -> None:
    problem = UFM(3, (4, 2, 1), 2, 0.01, 0.01)
    found = problem.solve(0)
    proved = prove_local_minimum(problem, *found.point)
    assert abs(float(proved.value.lower) - found.value) < 1e-12 and proved.symmetries == 2
    with intervals.precision(30):
        x = [flint.arb(y) for y in pack(found.point).tolist()]
        at = local_minima._Balls(problem, x, list(range(len(x))))
        assert deviation(at.hessian(), hessian(problem, *found.point)) < 1e-14
