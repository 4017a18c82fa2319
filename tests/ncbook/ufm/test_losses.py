"""Each loss against autograd, its conjugate against numbers, and its closed forms against a general solver."""

import math

import pytest
import torch
from scipy.optimize import minimize

from ncbook import ufm
from ncbook.ufm import UFM, CrossEntropy, Focal, LabelSmoothing, SquaredError

LOSSES = [CrossEntropy(), SquaredError(), LabelSmoothing(0.1), LabelSmoothing(0.6), Focal(0.5), Focal(2.0), Focal(5.0)]
CONVEX = [loss for loss in LOSSES if loss.convex] + [Focal(0.0)]
LABELS = torch.tensor([0, 0, 1, 2, 3])
NONE = math.inf  # a bias decay that leaves no bias


def logits(seed, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(5, 4, generator=generator, dtype=torch.float64)


def best(problem, seeds=3):
    return min((problem.solve(seed) for seed in range(seeds)), key=lambda end: end.value)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize("scale", [0.1, 2.0, 30.0])
def test_gradient_is_the_derivative(loss, scale):
    Z = logits(1, scale).requires_grad_()
    (slope,) = torch.autograd.grad(loss.value(Z, LABELS), Z)
    assert torch.allclose(loss.gradient(Z.detach(), LABELS), slope, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_curvature_is_never_exceeded(loss):
    label = torch.tensor([1])
    largest = 0.0
    for seed in range(40):
        row = logits(seed, 0.2 + seed / 10)[0]
        H = torch.func.hessian(lambda z: loss._value(z[None], label))(row)
        largest = max(largest, float(torch.linalg.matrix_norm(H, 2)))
    assert 0.05 < largest <= loss.curvature + 1e-12


@pytest.mark.parametrize("loss", CONVEX, ids=lambda loss: loss.name)
def test_conjugate_is_the_supremum(loss):
    Y = loss.gradient(logits(3), LABELS)

    def negative(x):
        Z = torch.from_numpy(x).view(5, 4).requires_grad_()
        f = loss.value(Z, LABELS) - (Y * Z).sum()
        return float(f.detach()), torch.autograd.grad(f, Z)[0].flatten().numpy()

    found = minimize(negative, logits(4).flatten().numpy(), jac=True, options={"gtol": 1e-12})
    assert float(loss.conjugate(Y, LABELS)) == pytest.approx(-found.fun, abs=1e-9)
    for seed in range(20):  # Fenchel and Young, away from equality
        Z = logits(seed)
        assert float(loss.value(Z, LABELS) + loss.conjugate(Y, LABELS) - (Y * Z).sum()) > -1e-12


def test_conjugate_is_infinite_outside_the_simplex():
    assert float(CrossEntropy().conjugate(torch.full((5, 4), 0.1).double(), LABELS)) == math.inf
    assert float(LabelSmoothing(0.2).conjugate(2 * CrossEntropy().gradient(logits(0), LABELS), LABELS)) == math.inf


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LabelSmoothing(1.0), r"smoothing must be a finite number in \[0, 1\), got 1.0"),
        (lambda: Focal(-1.0), "gamma must be a finite number >= 0, got -1.0"),
        (lambda: CrossEntropy(0.1), "smoothing must be 0 for CrossEntropy"),
        (lambda: SquaredError().value(torch.ones(5), LABELS), "logits must be"),
        (lambda: SquaredError().gradient(torch.ones(5, 3), LABELS), "labels must lie in 0 … 2"),
        (lambda: Focal(2.0).conjugate(logits(0), LABELS), "gamma must be 0 for a convex conjugate"),
        (lambda: UFM(3, 2, 3, 0.1, 0.1, loss="focal"), "loss must be a Loss, got str"),
        (lambda: UFM(3, 2, 3, 0.1, 0.1, -math.inf), "bias_decay must be a finite number"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


CLOSED = [
    UFM(4, (20, 9, 3, 1), 6, 4e-3, 3e-3, NONE, SquaredError()),
    UFM(4, (20, 9, 3, 1), 4, 4e-3, 3e-3, NONE, SquaredError(), nonnegative=True),
    UFM(4, (9, 1, 1, 9), 5, 0.06, 0.06, NONE, SquaredError()),  # two classes die
    UFM(4, 5, 3, 5e-3, 2e-3, 0.0, SquaredError()),
    UFM(4, 5, 3, 5e-3, 2e-3, 0.02, SquaredError()),
    UFM(4, 5, 6, 5e-3, 2e-3, 0.3, SquaredError()),
    UFM(4, 5, 6, 5e-3, 2e-3, NONE, SquaredError()),
    UFM(4, 5, 5, 5e-3, 1e-3, 0.0, LabelSmoothing(0.1)),
    UFM(4, 5, 5, 5e-3, 1e-3, NONE, LabelSmoothing(0.1)),
    UFM(4, 3, 6, 5e-3, 1e-3, 0.1, LabelSmoothing(0.1), nonnegative=True),
    UFM(3, 2, 4, 0.1, 0.1, 0.0, LabelSmoothing(0.6)),  # zero
    UFM(4, 5, 5, 5e-3, 1e-3, 0.0, Focal(0.5)),
    UFM(5, 2, 4, 5e-3, 5e-3, 0.2, Focal(2.0)),
    UFM(4, 2, 6, 5e-3, 1e-3, 0.0, Focal(3.0), nonnegative=True),
    UFM(4, 5, 5, 5e-3, 1e-3, NONE),
]


@pytest.mark.parametrize("problem", CLOSED, ids=lambda p: f"{p.loss.name}-{p.bias_decay}-{p.nonnegative}")
def test_the_closed_form_is_what_the_solver_finds(problem):
    optimum, found = problem.optimum(), best(problem, 5)
    assert float(problem.objective(*optimum.point)) == pytest.approx(optimum.value, rel=1e-12)
    assert found.value == pytest.approx(optimum.value, rel=1e-8)
    assert problem.lower_bound() == optimum.value
    slope = problem.gradient(*optimum.point)
    if not problem.nonnegative:
        assert max(float(g.abs().max()) for g in slope) < 1e-9
    generator = torch.Generator().manual_seed(0)
    turned = problem.optimum(generator=generator)
    assert float(problem.objective(*turned.point)) == pytest.approx(optimum.value, rel=1e-12)
    norms = torch.as_tensor(optimum.squared_weight_norm, dtype=torch.float64)
    assert torch.allclose(turned.W.square().sum(dim=1), norms.expand(problem.num_classes), atol=1e-12)


def test_the_values_that_were_derived_apart_from_this_code():
    assert CLOSED[0].optimum().value == pytest.approx(0.0345563398, abs=5e-11)
    assert CLOSED[0].optimum().squared_weight_norm == pytest.approx((3.774, 2.4991, 1.401, 0.767), abs=5e-5)
    assert CLOSED[3].optimum().value == pytest.approx(0.0209132034, abs=5e-11)
    assert CLOSED[7].optimum().value == pytest.approx(0.4014129291, abs=5e-11)


def test_a_class_dies_exactly_where_the_theory_says():
    for size, alive in ((16, False), (17, True)):
        # N mu = 4 for one class of 16: sizes 16 and 48, mu = 4/64.
        problem = UFM(2, (size, 64 - size), 2, 1 / 16, 1 / 16, NONE, SquaredError())
        assert (problem.optimum().squared_weight_norm[0] > 0) == alive
        assert (float(best(problem).W[0].square().sum()) > 1e-4) == alive


@pytest.mark.parametrize("loss", [SquaredError(), LabelSmoothing(0.1), Focal(0.0), LabelSmoothing(0.0)])
@pytest.mark.parametrize("bias_decay", [0.0, 0.1, NONE])
@pytest.mark.parametrize("sizes", [3, (5, 2, 1)])
def test_the_certificate_is_tight_and_never_above_the_minimum(loss, bias_decay, sizes):
    problem = UFM(3, sizes, 4, 1e-2, 2e-2, bias_decay, loss)
    end = best(problem)
    certificate = ufm.certificate(problem, *end.point)
    assert certificate.is_global and certificate.spectral_ratio == pytest.approx(1, abs=1e-5)
    for seed in range(10):
        for scale in (0.0, 0.1, 1.0, 5.0):
            other = ufm.certificate(problem, *problem.random_point(seed, scale))
            assert 0 <= other.lower_bound <= end.value * (1 + 1e-12)
            assert other.gap == pytest.approx(other.value - other.lower_bound, rel=1e-12)
    assert ufm.escape_direction(problem, *end.point).direction is None


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_the_origin_is_escaped_with_the_proved_curvature(loss):
    problem = UFM(3, 2, 4, 1e-2, 2e-2, 0.0, loss)
    origin = problem.random_point(0, 0.0)
    b = ufm.unpack(problem, ufm.pack(origin)).b + (1 / 3 if isinstance(loss, SquaredError) else 0.0)
    escape = ufm.escape_direction(problem, origin.W, origin.H, b)
    sigma = float(torch.linalg.matrix_norm(problem.residual(origin.W, origin.H, b), 2))
    assert escape.curvature == pytest.approx(-2 * (sigma - problem.joint_decay), rel=1e-9)
    lowest, _ = ufm.smallest_curvature(problem, origin.W, origin.H, b)
    assert lowest == pytest.approx(ufm.block_eigenvalue(problem, sigma), rel=1e-6)


@pytest.mark.parametrize("loss", [SquaredError(), LabelSmoothing(0.2), Focal(2.0)], ids=lambda loss: loss.name)
def test_the_census_finds_minima_and_saddles(loss):
    problem = UFM(3, 1, 3, 1e-2, 1e-2, 0.0, loss)
    census = ufm.critical_points(problem, 24)
    f = problem.optimum().value
    assert float(census.value.min()) == pytest.approx(f, rel=1e-7)
    outside = census.spectral_ratio > 1 + 1e-6
    assert bool(outside.any()) and bool((census.smallest[outside] < -1e-6).all())
    if loss.convex:
        assert torch.allclose(census.value[~outside], torch.tensor(f, dtype=torch.float64), rtol=1e-6)


def test_what_no_theory_carries_is_refused_with_its_reason():
    focal = UFM(3, 2, 4, 1e-2, 1e-2, 0.0, Focal(2.0))
    relu = UFM(3, 2, 4, 1e-2, 1e-2, 0.0, nonnegative=True)
    square = UFM(3, 2, 4, 1e-2, 1e-2, 0.0, SquaredError())
    cases = [
        (lambda: ufm.certificate(focal, *focal.random_point()), "convex loss"),
        (lambda: ufm.certificate(relu, *relu.random_point()), "nonnegative=False for certificate"),
        (lambda: ufm.escape_direction(relu, *relu.random_point()), "nonnegative=False for escape_direction"),
        (lambda: ufm.smallest_curvature(relu, *relu.random_point()), "nonnegative=False for smallest_curvature"),
        (lambda: ufm.critical_points(relu, 2), "nonnegative=False for critical_points"),
        (lambda: ufm.certificate(square, *square.random_point(), exact=True), "exact must be False"),
        (lambda: ufm.exact_certificate(square, *square.random_point()), r"loss=CrossEntropy\(\) for exact"),
        (lambda: ufm.prove_local_minimum(focal, *focal.random_point()), r"loss=CrossEntropy\(\) for prove"),
        (lambda: ufm.gap_budget(square, *square.random_point()), r"loss=CrossEntropy\(\) for gap_budget"),
        (lambda: ufm.inequality_chain(square, *square.random_point()), r"loss=CrossEntropy\(\) for inequality"),
        (lambda: ufm.superclass_saddle(square, [[0, 1], [2]]), r"loss=CrossEntropy\(\) for superclass"),
        (lambda: UFM(3, 2, 4, 0.01, 0.01, 0.0, SquaredError(), True).optimum(), "bias_decay must be math.inf"),
        (lambda: UFM(3, (2, 1, 1), 4, 0.01, 0.01, 0.0, SquaredError()).optimum(), "samples_per_class must be equal"),
        (lambda: UFM(3, 2, 2, 0.01, 0.01, NONE, SquaredError()).optimum(), "feature_dim must be >= 3"),
        (lambda: UFM(3, 2, 4, 0.2, 0.2, 0.0, Focal(2.0)).optimum(), "beyond it nothing is proved"),
        (lambda: relu.objective(*focal.random_point()), "H must be >= 0"),
        (lambda: UFM(3, 2, 4, 0.1, 0.1, NONE).objective(*focal.random_point()), "b must be zero"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()


def test_focal_loss_bends_down_and_the_others_do_not():
    label = torch.tensor([0])
    row = torch.tensor([-4.0, 0.0, 0.0], dtype=torch.float64)
    for loss in LOSSES:
        H = torch.func.hessian(lambda z, loss=loss: loss._value(z[None], label))(row)
        lowest = float(torch.linalg.eigvalsh(H)[0])
        assert (lowest > -1e-12) == loss.convex
