"""Gradient flow of two-layer ReLU networks, and stochastic gradient descent beside it.

The network ``f(x) = V relu(W x)`` is trained on a summed loss without weight decay from a small balanced start.
Source: Min, Zhu and Vidal (2025).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ncbook import checks
from ncbook.shallow import log_time as flow
from ncbook.shallow.network import ShallowReLU


def loss_and_gradient(
    network: ShallowReLU, inputs: Tensor, labels: Tensor, loss: str | None = None
) -> tuple[float, Tensor, Tensor]:
    """Return ``log L`` of the summed loss and the gradient of ``log L`` with respect to ``W`` and ``V``.

    The gradient of ``L`` is ``exp(log L)`` times that. The derivative of the ReLU at 0 is taken as 0.

    Args:
        network, inputs (N, D), labels (N,). loss: ``exponential`` or ``logistic`` for one output (default
            ``exponential``), ``cross_entropy`` for more.

    Raises:
        ValueError: for a wrong shape, labels the network has no output for, or a loss that does not fit its outputs.
    """
    field = _field(network, inputs, labels, loss)
    velocity = field(0.0, field.start)
    dW, dV = field.weights(velocity)
    return field.log_start, -torch.from_numpy(dW.copy()), -torch.from_numpy(dV.copy())


def _field(network: ShallowReLU, inputs: Tensor, labels: Tensor, loss: str | None) -> flow.Clocked:
    checks.instance("network", network, ShallowReLU)
    X = checks.tensor("inputs", inputs, "N, D", D=network.W.shape[1]).detach().double().cpu().numpy()
    K = len(network.V)
    y = checks.labels("labels", labels, num_samples=len(X), num_classes=max(K, 2)).cpu().numpy()
    name = ("exponential" if K == 1 else "cross_entropy") if loss is None else loss
    value = flow.log_loss(y, name)
    if (name == "cross_entropy") != (K > 1):
        raise ValueError(f"loss must be {'cross_entropy' if K > 1 else 'binary'} for {K} output(s), got {loss!r}")
    W, V = (t.detach().double().cpu().numpy() for t in (network.W, network.V))
    return flow.Clocked(X, value, W, V)


@dataclass(frozen=True)
class Flow:
    """A gradient-flow trajectory at chosen times, with the error measures of its integration."""

    log_times: Tensor  # (T,): natural logarithms, since t itself may be as large as e^10000
    W: Tensor  # (T, h, D)
    V: Tensor  # (T, K, h)
    log_loss: Tensor  # (T,)
    log_loss_start: float  # at t = 0
    steps: int  # accepted steps of the integrator
    balance_error: float  # largest drift of ||w_j||^2 - ||v_j||^2, relative to ||theta||^2: 0 for the exact flow
    loss_increase: float  # largest rise of log L over one step: 0 for the exact flow
    complete: bool  # False where max_steps ended the run before the last time asked for

    def __len__(self) -> int:
        return len(self.log_times)

    def network(self, index: int = -1) -> ShallowReLU:
        """Return the network at one of the times, the last by default.

        Raises:
            ValueError: if ``index`` is not an integer in ``-T … T - 1``.
        """
        i = checks.integer("index", index, minimum=-len(self))
        if i >= len(self):
            raise ValueError(f"index must be below {len(self)}, the number of times, got {i}")
        return ShallowReLU(self.W[i], self.V[i])

    def log_time_of_loss(self, fraction: float) -> float:
        """Return the log time at which the loss has fallen to ``fraction`` of its start, interpolated; nan if never.

        Raises:
            ValueError: if ``fraction`` is not in (0, 1).
        """
        if not 0 < checks.number("fraction", fraction) < 1:
            raise ValueError(f"fraction must be in (0, 1), got {fraction!r}")
        below = (self.log_loss - self.log_loss_start <= math.log(fraction)).nonzero()
        if len(below) == 0 or int(below[0]) == 0:
            return math.nan
        i = int(below[0])
        low, high = (float(v) for v in self.log_loss[i - 1 : i + 1])
        part = (self.log_loss_start + math.log(fraction) - low) / (high - low)
        return float(self.log_times[i - 1] + part * (self.log_times[i] - self.log_times[i - 1]))


def gradient_flow(
    network: ShallowReLU,
    inputs: Tensor,
    labels: Tensor,
    log_times: Tensor,
    *,
    loss: str | None = None,
    rtol: float = 1e-5,
    max_steps: int = 50_000,
) -> Flow:
    """Integrate ``d theta / dt = -grad L(theta)`` and return the network at the given log times.

    The clock is rescaled by the loss, so both phases are resolved and ``log t`` may run into the thousands;
    the number of steps grows like the largest ``log t``.

    Args:
        network: the start. inputs: (N, D). labels: (N,).
        log_times: (T,) increasing natural logarithms of the times to record.
        loss: as in `loss_and_gradient`. rtol: relative tolerance of the adaptive steps.
        max_steps: end there, with the times reached so far and ``complete=False`` (data that the network cannot
            fit never reach a large ``log t``).

    Raises:
        ValueError: for a wrong shape, times that do not increase, or an argument out of range.

    Source: the flow of Min, Zhu and Vidal (2025), equation (3); the change of clock is this book's.
    """
    times = checks.tensor("log_times", log_times, "T").detach().double()
    if len(times) == 0 or bool((times.diff() <= 0).any()):
        raise ValueError("log_times must be increasing and not empty")
    tolerance = checks.number("rtol", rtol, positive=True)
    field = _field(network, inputs, labels, loss)
    steps, worst, states = 0, 0.0, []
    for state, increase in flow.integrate(field, times.numpy(), tolerance, checks.integer("max_steps", max_steps)):
        if state is None:
            steps, worst = steps + 1, max(worst, increase)
        else:
            states.append(state)
    return _trajectory(network, field, times, states, steps, worst)


def _trajectory(
    start: ShallowReLU, field: flow.Clocked, times: Tensor, states: list[np.ndarray], steps: int, worst: float
) -> Flow:
    T, shapes = len(states), field.shapes
    pairs = [field.weights(state) for state in states]
    W = torch.from_numpy(np.array([w for w, _ in pairs]).reshape(T, *shapes[0]))
    V = torch.from_numpy(np.array([v for _, v in pairs]).reshape(T, *shapes[1]))
    values = torch.tensor([field.evaluate(w, v)[0] for w, v in pairs], dtype=torch.float64)
    drift = W.square().sum(dim=2) - V.square().sum(dim=1) - start.imbalance.double()
    size = W.square().sum(dim=(1, 2)) + V.square().sum(dim=(1, 2))
    error = float((drift.abs().amax(dim=1) / size).max()) if T else math.nan
    return Flow(times[:T], W, V, values, field.log_start, steps, error, worst, len(times) == T)


def stochastic_gradient_descent(
    network: ShallowReLU,
    inputs: Tensor,
    labels: Tensor,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int = 0,
) -> ShallowReLU:
    """Train on the *mean* cross-entropy of shuffled batches, without momentum or decay, and return the result.

    This is how such networks are trained in practice; a large-step imitation of the flow.

    Args:
        network: K outputs. inputs: (N, D) of the network's dtype. labels: (N,).
        epochs, batch_size: at least 1. learning_rate: > 0. seed: of the shuffling.

    Raises:
        ValueError: for a wrong shape or an argument out of range.
    """
    checks.instance("network", network, ShallowReLU)
    X = checks.tensor("inputs", inputs, "N, D", D=network.W.shape[1])
    y = checks.labels("labels", labels, num_samples=len(X), num_classes=len(network.V))
    step, size = checks.number("learning_rate", learning_rate, positive=True), checks.integer("batch_size", batch_size)
    g = torch.Generator().manual_seed(checks.integer("seed", seed, minimum=0))
    W, V = network.W.clone(), network.V.clone()
    for _ in range(checks.integer("epochs", epochs)):
        for batch in torch.randperm(len(X), generator=g).split(size):
            A = torch.relu(X[batch] @ W.T)
            residual = torch.softmax(A @ V.T, dim=1) - torch.nn.functional.one_hot(y[batch], len(V))
            residual = residual.to(W.dtype) * (step / len(batch))
            dW = ((residual @ V) * (A > 0)).T @ X[batch]
            V -= residual.T @ A
            W -= dW
    return ShallowReLU(W, V)
