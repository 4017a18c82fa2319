"""What chapters said and was false, or stood unproved: each test fails on the old statement."""

import math
import re

import pytest
import torch
from scipy.optimize import minimize_scalar

from ncbook import shallow, sphere, ufm
from ncbook.etf import simplex_etf
from ncbook.shallow import ShallowReLU
from ncbook.sphere import SphericalUFM
from ncbook.ufm import UFM
from tests.chapters.test_chapters import CHAPTERS, prose

DECAY = 5e-3


def page(number):
    return prose(next(p for p in CHAPTERS if p.stem.startswith(number)))


def eye(size):
    return torch.eye(size, dtype=torch.float64)


@pytest.fixture(scope="module")
def dead_class():
    """K = 4, n = 3: class 0 has no features, the others have positive ones, in three dimensions."""
    W = torch.cat([-torch.ones(1, 3), eye(3)])
    H = torch.cat([torch.zeros(3, 3), eye(3).repeat_interleave(3, dim=0)])
    return UFM(4, 3, 3, DECAY, DECAY).solve(start=(W, H, torch.zeros(4).double()), nonnegative=True)


@pytest.mark.parametrize("feature_dim", [5, 9, 16])
def test_spare_axes_do_not_remove_the_valley_behind_a_relu(dead_class, feature_dim):
    """The old page: one spare axis is enough. Here the solver comes back, from all around, however many there are."""
    problem, owner = UFM(4, 3, feature_dim, DECAY, DECAY), torch.arange(feature_dim) % 3
    axes = torch.nn.functional.normalize(eye(3)[owner].T)
    lowest = problem.optimum(nonnegative=True).value
    assert dead_class.value > lowest + 0.01
    for seed in range(5):
        dW, dH, db = problem.random_point(seed, 0.05)
        start = dead_class.W @ axes + dW, (dead_class.H @ axes + dH).abs(), dead_class.b + db
        assert problem.solve(start=start, nonnegative=True).value == pytest.approx(dead_class.value, abs=1e-8)


def test_the_certificate_holds_on_the_face_and_the_lost_class_is_pushed_back(dead_class):
    problem = UFM(4, 3, 3, DECAY, DECAY)
    G, live = problem.residual(dead_class.W, dead_class.H, dead_class.b), problem.labels > 0
    assert float(torch.linalg.matrix_norm(G[live], 2)) == pytest.approx(problem.joint_decay, rel=1e-6)
    p = torch.softmax(dead_class.b, dim=0)
    formula = -(1 - p[0] + (1 - p[0]) / 3) * dead_class.W[0] / problem.num_samples
    torch.testing.assert_close((G[~live] @ dead_class.W)[0], formula, rtol=1e-6, atol=1e-9)
    assert formula.min() > 0


def test_two_triangles_are_a_stable_point_above_the_minimum():
    """The old page: below K - 1 nothing worse shows up."""
    height = lambda t: math.log(1 + 2 * math.exp(-1.5 * t) + 3 * math.exp(-t)) + 0.06 * t
    t = minimize_scalar(height, bounds=(0, 20), method="bounded", options={"xatol": 1e-12}).x
    problem = UFM(6, 1, 4, 1e-2, 1e-2)
    W = math.sqrt(t) * torch.block_diag(simplex_etf(3, 2), simplex_etf(3, 2))
    point = W, W.clone(), torch.zeros(6, dtype=torch.float64)
    eigenvalues = torch.linalg.eigvalsh(ufm.hessian(problem, *point))
    assert max(float(g.abs().max()) for g in problem.gradient(*point)) < 1e-8
    assert eigenvalues[0] > -1e-8 and int((eigenvalues.abs() < 1e-8).sum()) == 7
    assert min(problem.solve(seed).value for seed in range(4)) < height(t) - 1e-3


@pytest.mark.parametrize(
    ("K", "n", "d", "bias_decay"), [(3, 2, 2, 0.0), (4, 2, 6, 0.0), (5, 1, 4, 0.1), (4, 3, 4, 1e-3)]
)
def test_the_hessian_at_the_minimum_vanishes_on_the_orbit_only(K, n, d, bias_decay):
    problem = UFM(K, n, d, 3e-3, 1e-3, bias_decay)
    eigenvalues = torch.linalg.eigvalsh(ufm.hessian(problem, *problem.optimum().point))
    kernel = (K - 1) * (d - K + 1) + (K - 1) * (K - 2) // 2 + (bias_decay == 0)
    assert int((eigenvalues < 1e-9 * eigenvalues[-1]).sum()) == kernel


def test_with_one_output_a_neuron_can_lower_the_margin_of_a_sample_of_the_other_class():
    """The old proof: every neuron contributes at least 0 to a margin. With one output that is false."""
    inputs, labels = shallow.orthogonal_data(2, 6, 6, 0.2, 0.2, seed=0)
    net = ShallowReLU.random(30, 6, 1, scale=1.0, seed=0)
    sides = torch.where(labels == 1, 1.0, -1.0).double()
    contributions = net.V[0][:, None] * (net.W @ inputs.T).relu() * sides
    assert contributions.min() < -0.01
    assert "eq-shallow-closing" in page("07")


def test_multipliers_of_the_margin_problem_give_outer_weights_that_sum_to_zero():
    assert "eq-shallow-sum" in page("07")
    rates = torch.rand(7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    multipliers = torch.cat([rates.sum(1, keepdim=True), -rates], dim=1)  # sum over l of lambda_l (e_k - e_l)
    assert multipliers.sum(dim=1).abs().max() < 1e-12


@pytest.mark.parametrize(
    ("number", "old"),
    [
        ("03", "at the minimum: False"),
        ("04", "It does not show that no other point is better"),
        ("04", "the only place where equal class sizes are used"),
        ("05", "One spare axis is enough"),
        ("05", "nothing worse shows up. That is an observation"),
        ("05", "jiang2024"),
        ("07", "With one output the same argument uses"),
        ("07", "Ji and Telgarsky (2020)"),
    ],
)
def test_the_old_sentence_is_gone(number, old):
    assert old not in page(number)


def test_two_dimensions_hold_nobody_back_from_the_best_of_two_dimensions():
    """The old page measured a run in two dimensions against a bound that two dimensions cannot reach."""
    problem = UFM(4, 5, 2, 5e-3, 1e-3, 1e-2)
    ends = [problem.solve(seed).value for seed in range(6)]
    assert max(ends) - min(ends) < 1e-9 and min(ends) > UFM(4, 5, 6, 5e-3, 1e-3, 1e-2).optimum().value + 0.01


def test_unequal_classes_bend_the_shape_without_a_bias_too():
    """The old page blamed the bias; what loses its equality is E'E."""
    counts = torch.tensor([10, 10, 10, 1])
    E = torch.eye(4, dtype=torch.float64)[torch.arange(4).repeat_interleave(counts)]
    values = torch.linalg.svdvals(E @ (eye(4) - 0.25))[:3]
    assert values.max() / values.min() > 1.5


def test_the_flattest_direction_at_the_spheres_optimum_lies_in_the_span_of_the_rows():
    """The old page gave the directions out of the span, where the smallest is 1/n."""
    problem = SphericalUFM(10, 3, 10, 1.0)
    unit = 1 / (math.exp(problem.margin) + 9)
    values = torch.linalg.eigvalsh(sphere.hessian(problem, *problem.optimum().point)) / unit
    positive = values[values > 1e-9]
    half, theta = 0.5 * (1 + 1 / 9) * (1 + 1 / 3), 1 / 9
    assert float(positive[0]) == pytest.approx(half - math.sqrt(half**2 - 4 * theta / 3), rel=1e-9)
    assert float(positive[-1]) == pytest.approx((1 + 1 / 3) * (1 + 1 / 9), rel=1e-9)
    assert int((values <= 1e-9).sum()) == 9 + 36  # rotations of ten dimensions, one of them unused


class Unequal(SphericalUFM):
    num_samples, labels = 5, torch.tensor([0, 0, 0, 1, 2])


def test_on_spheres_unequal_classes_have_no_bad_valley_either():
    """The old theorem asked for equal classes."""
    problem = Unequal(3, 1, 3, 4.0)
    census = sphere.critical_points(problem, [problem.solve(0).point, *map(problem.random_point, range(12))])
    best = torch.tensor([sphere.certificate(problem, *point).is_global for point in census.points])
    assert best.any() and (~best).sum() > 3
    assert census.smallest[~best].max() < -1e-3
    assert float(census.value[best].max() - census.value[best].min()) < 1e-9


@pytest.mark.parametrize("number", ["03", "04", "05", "06"])
def test_a_sample_is_a_column_of_every_matrix_of_samples(number):
    """Two chapters had one sample a row, against the notation page."""
    assert not re.search(r"HW\^\\top|\{N\\times|\bEC\b|G\\mathbf 1=0", page(number))
