"""Gradient flow on a two-layer ReLU network as an ordinary differential equation, out to ``log t`` in the thousands.

Two things make that possible. The loss and its gradient are kept as logarithms, so a loss of ``exp(-10000)`` does not
underflow; and the clock is changed to ``d tau = L dt``, in which the flow is ``d theta / d tau = -grad log L`` and
never slows down as the loss falls. An adaptive Runge-Kutta method (scipy's ``RK45``) then integrates the flow itself,
not a large-step imitation of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import RK45
from scipy.special import log_expit

from ncbook import checks

Array = NDArray[np.float64]
LOSSES = ("exponential", "logistic", "cross_entropy")
LogLoss = Callable[[Array], tuple[float, Array]]


def log_loss(labels: NDArray[np.int64], loss: str) -> LogLoss:
    """Return a function from outputs (N, K) to ``log L`` and the gradient (N, K) of ``-log L`` in the outputs.

    ``L`` is summed over samples. For one output, class 1 has sign ``y = +1`` and class 0 ``y = -1``:
    ``exponential`` is ``exp(-y f)``, ``logistic`` is ``2 log(1 + exp(-y f))``, both of slope -1 in ``y f`` at 0.
    ``cross_entropy`` takes K outputs.

    Args:
        labels: (N,) integers. loss: one of ``LOSSES``.

    Raises:
        ValueError: for an unknown loss, or a binary loss with labels other than 0 and 1.
    """
    checks.option("loss", loss, *LOSSES)
    if loss == "cross_entropy":
        return _cross_entropy(labels)
    if labels.max() > 1:
        raise ValueError(f"labels must be 0 or 1 for the {loss} loss, got {labels.max()}")
    sign = np.where(labels == 1, 1.0, -1.0)

    def value(outputs: Array) -> tuple[float, Array]:
        a = -sign * outputs[:, 0]
        if loss == "exponential":
            total = _logsumexp(a)
            return total, (sign * np.exp(a - total))[:, None]
        total = np.log(2.0) + _logsumexp(_log_softplus(a))
        return total, (sign * np.exp(np.log(2.0) + log_expit(a) - total))[:, None]

    return value


def _cross_entropy(labels: NDArray[np.int64]) -> LogLoss:
    rows = np.arange(len(labels))

    def value(outputs: Array) -> tuple[float, Array]:
        # The loss of a sample is softplus(a), a the log-sum-exp of the other logits minus the right one.
        gaps = outputs - outputs[rows, labels][:, None]
        gaps[rows, labels] = -np.inf
        top = gaps.max(axis=1, keepdims=True)
        odds = np.exp(gaps - top)
        mass = odds.sum(axis=1)
        a = top[:, 0] + np.log(mass)
        total = _logsumexp(_log_softplus(a))
        weight = np.exp(log_expit(a) - total)
        gradient = -odds * (weight / mass)[:, None]
        gradient[rows, labels] = weight
        return total, gradient

    return value


def _logsumexp(a: Array) -> float:
    top = a.max()
    return float(top + np.log(np.exp(a - top).sum()))


def _log_softplus(a: Array) -> Array:
    # Below -35, softplus(a) and exp(a) agree to double precision, and the first would lose its digits.
    return np.where(a < -35.0, a, np.log(np.logaddexp(0.0, np.maximum(a, -35.0))))


class Clocked:
    """The flow in the time ``tau``, with ``log(1 + t)`` carried along as the last coordinate of the state."""

    def __init__(self, inputs: Array, loss: LogLoss, W: Array, V: Array) -> None:
        self.inputs, self.loss, self.shapes = inputs, loss, (W.shape, V.shape)
        self.start = np.concatenate([W.ravel(), V.ravel(), [0.0]])
        self.log_start = self.evaluate(W, V)[0]

    def weights(self, state: Array) -> tuple[Array, Array]:
        """Return views (h, D) and (K, h) of a state."""
        size = self.shapes[0][0] * self.shapes[0][1]
        return state[:size].reshape(self.shapes[0]), state[size:-1].reshape(self.shapes[1])

    def evaluate(self, W: Array, V: Array) -> tuple[float, Array, Array]:
        """Return ``log L``, the gradient of ``-log L`` in the outputs, and the features."""
        features = np.maximum(self.inputs @ W.T, 0.0)
        return (*self.loss(features @ V.T), features)

    def __call__(self, _: float, state: Array) -> Array:
        W, V = self.weights(state)
        value, pull, features = self.evaluate(W, V)
        velocity = np.empty_like(state)
        dW, dV = self.weights(velocity)
        dW[:] = ((pull @ V) * (features > 0)).T @ self.inputs
        dV[:] = pull.T @ features
        # dt / d tau = 1 / L, and d log(1 + t) = dt / (1 + t): the exponent stays moderate where t itself overflows.
        velocity[-1] = np.exp(min(-value - state[-1], 50.0))
        return velocity


def integrate(flow: Clocked, log_times: Array, rtol: float, max_steps: int) -> Iterator[tuple[Array | None, float]]:
    """Advance the flow, yielding ``(state, 0)`` at each of ``log_times`` and ``(None, increase)`` after each step.

    ``increase`` is how much ``log L`` rose over the latest accepted step (0 when it fell): an error measure, since the
    exact flow never raises the loss. Ends early after ``max_steps`` accepted steps.
    """
    size = np.sqrt(np.mean(flow.start[:-1] ** 2))
    # Weights are resolved relative to the small start, so that directions are right while everything is tiny.
    tolerance = np.full(flow.start.shape, 0.01 * rtol * size)
    tolerance[-1] = 1e-9
    solver = RK45(flow, 0.0, flow.start, np.inf, rtol=rtol, atol=tolerance)
    targets = np.logaddexp(0.0, log_times)
    done, before = 0, flow.log_start
    for _ in range(max_steps):
        solver.step()
        if solver.status == "failed":
            return
        after = flow.evaluate(*flow.weights(solver.y))[0]
        increase, before = max(0.0, after - before), after
        yield None, increase
        dense = solver.dense_output() if done < len(targets) and solver.y[-1] >= targets[done] else None
        while dense is not None and done < len(targets) and solver.y[-1] >= targets[done]:
            yield _at(dense, solver.t_old, solver.t, targets[done]), 0.0
            done += 1
        if done == len(targets):
            return


def _at(dense: Callable[[float], Array], low: float, high: float, target: float) -> Array:
    """Return the state at which the carried ``log(1 + t)`` equals ``target``, by bisection inside one step."""
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if dense(middle)[-1] < target else (low, middle)
    return dense(high)
