"""The shallow network, its gradient flow, and where the flow goes."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ncbook import shallow
from ncbook.shallow import ShallowReLU, gradient_flow
from ncbook.shallow import log_time as flow

BINARY = ["exponential", "logistic"]


def problem(K: int, seed: int = 0, n: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    return shallow.orthogonal_data(K, n, 3 * K, 0.2, 0.3 / (K - 1), norms=(0.7, 1.3), seed=seed)


def log_grid(*times: float) -> torch.Tensor:
    return torch.tensor(times, dtype=torch.float64)


def reference_loss(W: torch.Tensor, V: torch.Tensor, X: torch.Tensor, y: torch.Tensor, loss: str) -> torch.Tensor:
    out = torch.relu(X @ W.T) @ V.T
    if loss == "cross_entropy":
        return torch.nn.functional.cross_entropy(out, y, reduction="sum")
    margin = out[:, 0] * (2 * y - 1)
    return torch.exp(-margin).sum() if loss == "exponential" else 2 * torch.nn.functional.softplus(-margin).sum()


@given(seed=st.integers(0, 9999), loss=st.sampled_from(flow.LOSSES), scale=st.sampled_from([1e-3, 1.0, 3.0]))
@settings(max_examples=30, deadline=None)
def test_loss_and_gradient_agree_with_autograd(seed: int, loss: str, scale: float) -> None:
    K = 3 if loss == "cross_entropy" else 2
    X, y = problem(K, seed=seed % 7)
    net = ShallowReLU.random(5, X.shape[1], K if loss == "cross_entropy" else 1, scale=scale, seed=seed)
    W, V = net.W.clone().requires_grad_(), net.V.clone().requires_grad_()
    log_loss = torch.log(reference_loss(W, V, X, y, loss))
    dW, dV = torch.autograd.grad(log_loss, (W, V))
    value, gW, gV = shallow.loss_and_gradient(net, X, y, loss)
    assert value == pytest.approx(float(log_loss.detach()), abs=1e-12)
    # float64 round-off of a few hundred products, relative to the largest entry
    assert torch.allclose(gW, dW, atol=1e-12 * (1 + float(dW.abs().max())))
    assert torch.allclose(gV, dV, atol=1e-12 * (1 + float(dV.abs().max())))


@pytest.mark.parametrize("loss", flow.LOSSES)
@pytest.mark.parametrize("far", [50.0, 1e4])
def test_log_loss_neither_underflows_nor_overflows(loss: str, far: float) -> None:
    import numpy as np

    y = np.array([0, 1])
    good = np.diag([far, far]) if loss == "cross_entropy" else np.array([[-far], [far]])
    value, pull = flow.log_loss(y, loss)(good.copy())
    # Two samples, each of loss c exp(-far), with c = 2 for this scaling of the logistic loss.
    assert value == pytest.approx(-far + math.log(4 if loss == "logistic" else 2), rel=1e-12)
    assert np.isfinite(pull).all() and float(np.abs(pull).sum(axis=1)[0]) > 0.4
    bad_value, bad_pull = flow.log_loss(y, loss)(-good)
    assert math.isfinite(bad_value) and bad_value > math.log(far) and np.isfinite(bad_pull).all()


@pytest.mark.parametrize("loss", flow.LOSSES)
def test_the_flow_agrees_with_small_gradient_steps(loss: str) -> None:
    K = 3 if loss == "cross_entropy" else 2
    X, y = problem(K)
    start = ShallowReLU.random(6, X.shape[1], K if K == 3 else 1, scale=0.3, seed=4)
    end, steps = 0.2, 4_000
    W, V = start.W.clone(), start.V.clone()
    for _ in range(steps):
        value, gW, gV = shallow.loss_and_gradient(ShallowReLU(W, V), X, y, loss)
        rate = math.exp(value) * end / steps
        W, V = W - rate * gW, V - rate * gV
    run = gradient_flow(start, X, y, log_grid(math.log(end)), loss=loss, rtol=1e-8)
    # Euler's global error is of the order of the step, 5e-5, times a constant of order 10.
    assert torch.allclose(run.W[0], W, atol=1e-3) and torch.allclose(run.V[0], V, atol=1e-3)
    assert run.complete and run.log_times.tolist() == [math.log(end)]


def test_one_neuron_on_one_point_follows_the_closed_form() -> None:
    # One sample x = 1 of each class, one neuron each, exponential loss: a = w^2 obeys a' = 2 a exp(-a), and
    # t = (Ei(a) - Ei(a0)) / 2 with Ei the exponential integral.
    from scipy.special import expi

    X, y = torch.tensor([[1.0], [-1.0]], dtype=torch.float64), torch.tensor([1, 0])
    eps = 1e-2
    start = ShallowReLU(
        torch.tensor([[eps], [-eps]], dtype=torch.float64), torch.tensor([[eps, -eps]], dtype=torch.float64)
    )
    run = gradient_flow(start, X, y, torch.linspace(-1, 10, 23, dtype=torch.float64), loss="exponential", rtol=1e-8)
    a = run.W[:, 0, 0] ** 2
    t = torch.from_numpy(expi(a.numpy()) - expi(eps**2)) / 2
    assert torch.allclose(torch.log(t), run.log_times, atol=1e-5)


CASES = [
    (2, "exponential", 0, "random"),
    (2, "exponential", 0, "semi_local"),
    (2, "logistic", 1, "random"),
    (2, "logistic", 1, "semi_local"),
    (2, None, 2, "random"),
    (2, None, 2, "semi_local"),
    (3, None, 0, "random"),
    (3, None, 0, "semi_local"),
    (3, None, 1, "random"),
    (3, None, 1, "semi_local"),
    (4, None, 0, "random"),
    (4, None, 0, "semi_local"),
    (4, None, 1, "semi_local"),
    (4, None, 2, "semi_local"),
]


@pytest.mark.parametrize(("K", "loss", "seed", "start"), CASES)
def test_a_long_flow_meets_the_predicted_limit(K: int, loss: str | None, seed: int, start: str) -> None:
    X, y = problem(K, seed)
    outputs = 1 if loss else K
    if start == "random":
        net = ShallowReLU.random(8 * K, X.shape[1], outputs, seed=seed)
    else:
        net = ShallowReLU.semi_local(X, y, 8 * K, num_outputs=outputs, seed=seed)
    run = gradient_flow(net, X, y, log_grid(30.0, 300.0, 3000.0), loss=loss, rtol=1e-4)
    limit = shallow.predicted_limit(X, y)
    directions, scales, classifier = shallow.measured_limit(run.network(), X, y)
    # The direction settles like 1 / log t: at log t = 3000 with a constant of a few, three digits.
    assert float((directions - limit.directions).norm(dim=1).max()) < 2e-2
    assert float((scales - limit.scales).abs().max()) < 5e-4
    assert float((classifier - limit.classifier(outputs)).abs().max()) < 5e-4
    found = shallow.collapse(run.network().features(X), y, run.network().V)
    exact = shallow.collapse(limit.features(X, y), y, limit.classifier(outputs))
    assert found.directional_nc1 < 1e-8 and found.nc2_frame < 1e-6 and found.nc3 < 1e-3
    assert found.nc1 == pytest.approx(exact.nc1, rel=0.05) and exact.nc1 > 1e-3


def test_a_random_start_with_four_classes_can_keep_a_shared_neuron() -> None:
    X, y = problem(4, seed=2)
    run = gradient_flow(ShallowReLU.random(32, 12, 4, seed=2), X, y, log_grid(3000.0), rtol=1e-4)
    # Why the multi-class statement assumes more of its start than the binary one.
    assert int((shallow.assignment(run.network(), X, y) == shallow.SHARED).sum()) == 1
    assert shallow.collapse(run.network().features(X), y, run.network().V).nc2_frame > 1e-5


def test_the_distance_to_the_limit_keeps_shrinking() -> None:
    X, y = problem(3)
    limit = shallow.predicted_limit(X, y)
    run = gradient_flow(ShallowReLU.random(24, 9, 3, seed=0), X, y, log_grid(300.0, 3000.0), rtol=1e-4)
    far, near = (float((shallow.measured_limit(run.network(i), X, y)[0] - limit.directions).norm()) for i in range(2))
    # Like 1 / sqrt(log t) where the start of phase two has a part outside the span of the support vectors, else faster.
    assert far / near > 0.95 * math.sqrt(10)


def test_what_lies_outside_the_support_vectors_stands_still() -> None:
    X, y = shallow.orthogonal_data(3, 10, 9, 0.2, 0.15, norms=(0.5, 2.0), seed=3)
    limit = shallow.predicted_limit(X, y)
    run = gradient_flow(ShallowReLU.random(40, 9, 3, seed=0), X, y, log_grid(300.0, 1500.0), rtol=1e-5)
    sizes = []
    for k in range(3):
        own = X[y == k]
        Q = torch.linalg.qr(own[own @ limit.directions[k] < limit.margins[k] + 1e-9].T).Q
        mine = shallow.assignment(run.network(), X, y) == k
        outside = run.W[:, mine] - run.W[:, mine] @ Q @ Q.T
        sizes.append(float(outside[1].norm()))
        # Other samples pull exponentially little; 1e-3 leaves room for the integrator.
        assert float((outside[1] - outside[0]).norm()) < 1e-3
    assert max(sizes) > 0.1


def test_late_directional_nc1_scales_with_the_square_of_the_start() -> None:
    X, y = problem(2, n=10)
    found = []
    for eps in (1e-3, 1e-1):
        run = gradient_flow(ShallowReLU.random(20, 6, 1, scale=eps, seed=0), X, y, log_grid(1000.0), rtol=1e-4)
        found.append(shallow.collapse(run.network().features(X), y, run.network().V).directional_nc1)
    # eps^2 / log t: a factor 1e4; a start of 0.1 is not quite in the limit of small starts.
    assert found[1] / found[0] == pytest.approx(1e4, rel=0.5)


@pytest.mark.parametrize("scale", [1e-4, 1e-2, 1.0])
def test_error_measures_of_the_integrator_are_small(scale: float) -> None:
    X, y = problem(3)
    net = ShallowReLU.random(20, 9, 3, scale=scale, balanced=False, seed=1)
    run = gradient_flow(net, X, y, torch.linspace(-4, 12, 17, dtype=torch.float64), rtol=1e-6)
    assert run.balance_error < 1e-4 and run.loss_increase < 1e-9
    # The other conserved quantity of cross-entropy: the sum of V over classes.
    drift = (run.V.sum(dim=1) - net.V.sum(dim=0)).abs().max() / run.network().norm
    assert float(drift) < 1e-4


def test_error_measures_see_a_bad_integration() -> None:
    X, y = problem(3)
    net = ShallowReLU.random(20, 9, 3, scale=0.1, seed=1)
    rough, fine = (gradient_flow(net, X, y, log_grid(2.0, 6.0), rtol=r) for r in (3e-2, 1e-7))
    assert rough.balance_error > 30 * fine.balance_error and fine.steps > rough.steps


@given(seed=st.integers(0, 9999), outputs=st.sampled_from([1, 3]))
@settings(max_examples=20, deadline=None)
def test_the_gradient_conserves_balance_exactly(seed: int, outputs: int) -> None:
    K = max(outputs, 2)
    X, y = problem(K, seed=seed % 5)
    net = ShallowReLU.random(7, X.shape[1], outputs, scale=1.0, seed=seed)
    _, gW, gV = shallow.loss_and_gradient(net, X, y)
    rate = (net.W * gW).sum(dim=1) - (net.V * gV).sum(dim=0)
    assert float(rate.abs().max()) < 1e-13 * (1 + float(gW.abs().max()))


@given(seed=st.integers(0, 9999), scale=st.sampled_from([1e-3, 0.5, 2.0]), loss=st.sampled_from(BINARY))
@settings(max_examples=20, deadline=None)
def test_binary_activations_are_one_way_doors(seed: int, scale: float, loss: str) -> None:
    X, y = problem(2, seed=seed % 5)
    net = ShallowReLU.random(9, 6, 1, scale=scale, seed=seed)
    _, gW, _ = shallow.loss_and_gradient(net, X, y, loss)
    sign = torch.where(y == 1, 1.0, -1.0).double()
    # d/dt of sign(v_j) y_i <w_j, x_i>, up to the positive factor L: never negative.
    rate = torch.sign(net.V[0])[:, None] * sign * (-gW @ X.T)
    assert float(rate.min()) >= -1e-15


@given(seed=st.integers(0, 9999), K=st.integers(2, 5), scale=st.sampled_from([1e-3, 0.5, 2.0]))
@settings(max_examples=20, deadline=None)
def test_neurons_never_leave_their_cone(seed: int, K: int, scale: float) -> None:
    X, y = problem(K, seed=seed % 5)
    net = ShallowReLU.semi_local(X, y, 3 * K, scale=scale, seed=seed)
    before = shallow.assignment(net, X, y)
    assert bool(shallow.in_cone(net, X, y).all())
    run = gradient_flow(net, X, y, torch.linspace(-3, 8, 12, dtype=torch.float64), rtol=1e-4)
    for i in range(len(run)):
        assert torch.equal(shallow.assignment(run.network(i), X, y), before)
        assert bool(shallow.in_cone(run.network(i), X, y).all())


def test_plateau_length_has_the_predicted_slope() -> None:
    X, y = shallow.orthogonal_data(2, 10, 8, 0.3, 0.3, seed=0)
    rate = max(float(X[y == k].sum(dim=0).norm()) for k in range(2))
    times = torch.log(torch.linspace(0.01, 3.0, 400, dtype=torch.float64))
    plateau = []
    for eps in (1e-4, 1e-8):
        run = gradient_flow(ShallowReLU.random(20, 8, 1, scale=eps, seed=0), X, y, times, rtol=1e-4)
        plateau.append(math.exp(run.log_time_of_loss(0.9)))
    # d (plateau) / d log(1/eps) = 1 / ||x_+||; 2 % is what the grid of times leaves.
    assert (plateau[1] - plateau[0]) / math.log(1e4) == pytest.approx(1 / rate, rel=2e-2)


def test_a_class_without_live_neurons_is_never_learned() -> None:
    X, y = problem(2, n=5)
    # One neuron starts at a sample of class 0; the one with the sign of class 1 starts where no sample reaches it.
    net = ShallowReLU(
        1e-3 * torch.stack([X[0], -X.sum(dim=0)]), 1e-3 * torch.tensor([[-1.0, 1.0]], dtype=torch.float64)
    )
    assert shallow.assignment(net, X, y).tolist() == [0, shallow.DEAD]
    run = gradient_flow(net, X, y, log_grid(5.0, 8.0), loss="exponential", max_steps=2000)
    assert torch.equal(run.W[:, 1], net.W[1].expand(2, -1)) and torch.equal(run.V[:, 0, 1], net.V[0, 1].expand(2))
    # Five samples of class 1 keep the loss of a zero output.
    assert math.exp(float(run.log_loss[-1])) == pytest.approx(5, rel=1e-2)


def test_max_steps_ends_a_flow_early_and_says_so() -> None:
    X, y = problem(2)
    run = gradient_flow(ShallowReLU.random(4, 6, 1), X, y, log_grid(-8.0, 1e6), max_steps=60)
    assert not run.complete and run.steps == 60 and len(run) == len(run.W) == len(run.log_loss) == 1


def test_log_time_of_loss_interpolates_and_may_be_missing() -> None:
    times, values = log_grid(0.0, 1.0, 2.0), torch.log(torch.tensor([1.0, 1.0, 0.25], dtype=torch.float64))
    run = shallow.Flow(times, torch.ones(3, 1, 1), torch.ones(3, 1, 1), values, 0.0, 1, 0.0, 0.0, True)
    assert run.log_time_of_loss(0.5) == pytest.approx(1.5)
    assert math.isnan(run.log_time_of_loss(0.1))
    with pytest.raises(ValueError, match=r"fraction must be in \(0, 1\)"):
        run.log_time_of_loss(1.0)


def test_stochastic_gradient_descent_with_one_batch_is_gradient_descent() -> None:
    X, y = problem(3)
    net = ShallowReLU.random(6, 9, 3, scale=0.5, seed=2)
    value, gW, gV = shallow.loss_and_gradient(net, X, y)
    rate = 0.1 * math.exp(value) / len(X)
    after = shallow.stochastic_gradient_descent(net, X, y, epochs=1, batch_size=len(X), learning_rate=0.1)
    assert torch.allclose(after.W, net.W - rate * gW, atol=1e-14)
    assert torch.allclose(after.V, net.V - rate * gV, atol=1e-14)


def test_stochastic_gradient_descent_is_reproducible_and_learns() -> None:
    X, y = problem(3)
    net = ShallowReLU.random(12, 9, 3, scale=1e-2)
    options = {"epochs": 150, "batch_size": 5, "learning_rate": 0.2}
    first, again, other = (shallow.stochastic_gradient_descent(net, X, y, **options, seed=s) for s in (0, 0, 1))
    assert torch.equal(first.W, again.W) and not torch.equal(first.W, other.W)
    assert torch.equal(first(X).argmax(dim=1), y)


X3, Y3 = problem(3)
NET3, NET1 = ShallowReLU.random(4, 9, 3), ShallowReLU.random(4, 9, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ShallowReLU(torch.ones(3, 2), torch.ones(1, 4)), "V must be"),
        (lambda: ShallowReLU(torch.ones(3), torch.ones(1, 3)), "W must be"),
        (lambda: ShallowReLU.random(0, 2, 1), "width"),
        (lambda: ShallowReLU.random(2, 2, 1, scale=0), "scale"),
        (lambda: ShallowReLU.random(2, 2, 1, seed=-1), "seed"),
        (lambda: ShallowReLU.semi_local(X3, Y3, 2), "width"),
        (lambda: ShallowReLU.semi_local(X3, Y3, 5, num_outputs=1), "num_outputs"),
        (lambda: ShallowReLU.semi_local(X3, Y3.clamp(max=0), 5), "num_classes"),
        (lambda: ShallowReLU.semi_local(X3, 2 * (Y3 > 0), 5), "labels must hold every class"),
        (lambda: ShallowReLU.semi_local(0 * X3, Y3, 5), "no zero row"),
        (lambda: NET3.features(X3[:, :4]), "inputs must be"),
        (lambda: shallow.loss_and_gradient(NET3, X3, Y3 + 1), "labels must lie in"),
        (lambda: shallow.loss_and_gradient(NET1, X3, Y3), "labels must lie in 0"),
        (
            lambda: shallow.loss_and_gradient(NET3, X3, Y3, "hinge"),
            'loss must be "exponential"',
        ),
        (lambda: shallow.loss_and_gradient(NET1, X3, Y3.clamp(max=1), "cross_entropy"), "loss must be binary"),
        (lambda: shallow.loss_and_gradient(NET3, X3, Y3.clamp(max=1), "logistic"), "loss must be cross_entropy"),
        (lambda: flow.log_loss(Y3.numpy(), "logistic"), "labels must be 0 or 1"),
        (lambda: gradient_flow(NET3, X3, Y3, log_grid(1.0, 1.0)), "log_times must be increasing"),
        (lambda: gradient_flow(NET3, X3, Y3, log_grid()), "log_times must be increasing"),
        (lambda: gradient_flow(NET3, X3, Y3, log_grid(1.0), rtol=0), "rtol"),
        (lambda: gradient_flow(NET3, X3, Y3, log_grid(1.0), max_steps=0), "max_steps"),
        (lambda: shallow.assignment(NET3, X3, Y3[:2]), "labels must have one entry"),
        (lambda: shallow.in_cone(NET1, X3, Y3), "labels must lie in"),
        (lambda: shallow.measured_limit(NET3, X3, 2 * (Y3 > 0)), "every class"),
        (
            lambda: shallow.stochastic_gradient_descent(NET3, X3, Y3, epochs=0, batch_size=1, learning_rate=0.1),
            "epochs",
        ),
        (
            lambda: shallow.stochastic_gradient_descent(NET3, X3, Y3, epochs=1, batch_size=0, learning_rate=0.1),
            "batch_size",
        ),
        (
            lambda: shallow.stochastic_gradient_descent(NET3, X3, Y3, epochs=1, batch_size=1, learning_rate=0),
            "learning_rate",
        ),
    ],
)
def test_bad_arguments_are_refused(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call()
