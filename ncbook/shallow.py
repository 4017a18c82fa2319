"""Two-layer ReLU networks and their gradient flow.

The network is ``f(x) = V relu(W x)`` without biases, trained on a summed loss without weight decay from a small
balanced start. Source: Min, Zhu and Vidal (2025). The data are in `ncbook.orthogonal_data`, the limit in
`ncbook.max_margin`, the integrator in `ncbook.flow`, the neurons in `ncbook.neurons`; the first two are imported here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ncbook import checks, flow
from ncbook.max_margin import (
    Collapse,
    Limit,
    class_directions,
    collapse,
    max_margin,
    predicted_limit,
    pseudo_labels,
)
from ncbook.orthogonal_data import Separability, separability

__all__ = [
    "Collapse", "Flow", "Limit", "Separability", "ShallowReLU", "class_directions", "collapse", "gradient_flow",
    "loss_and_gradient", "max_margin", "predicted_limit", "pseudo_labels", "separability",
    "stochastic_gradient_descent",
]  # fmt: skip


@dataclass(frozen=True)
class ShallowReLU:
    """The network ``f(x) = V relu(W x)``: one row of ``W`` and one column of ``V`` make one neuron.

    Args:
        W: inner weights (h, D). V: outer weights (K, h), or (1, h) for a binary network with one output.

    Raises:
        ValueError: for a wrong shape, a non-finite entry, or numbers of neurons that differ.
    """

    W: Tensor
    V: Tensor

    def __post_init__(self) -> None:
        checks.tensor("W", self.W, "h, D")
        checks.tensor("V", self.V, "K, h", h=len(self.W))

    @classmethod
    def random(
        cls, width: int, input_dim: int, num_outputs: int, *, scale: float = 1e-3, balanced: bool = True, seed: int = 0
    ) -> ShallowReLU:
        """Draw Gaussian inner weights with ``E ||w_j||^2 = scale^2`` and outer weights in random directions.

        Args:
            width: h. input_dim: D. num_outputs: K, or 1 for a binary network.
            scale: epsilon > 0. balanced: make ``||v_j|| = ||w_j||``; otherwise ``E ||v_j||^2 = scale^2``.
            seed: of the draw.

        Raises:
            ValueError: for an argument out of range.

        Source: Min, Zhu and Vidal (2025), Assumption 2.
        """
        h, D = checks.integer("width", width), checks.integer("input_dim", input_dim)
        K = checks.integer("num_outputs", num_outputs)
        eps = checks.number("scale", scale, positive=True)
        g = torch.Generator().manual_seed(checks.integer("seed", seed, minimum=0))
        W = eps / math.sqrt(D) * torch.randn(h, D, generator=g, dtype=torch.float64)
        V = eps / math.sqrt(K) * torch.randn(K, h, generator=g, dtype=torch.float64)
        return cls(W, V * (W.norm(dim=1) / V.norm(dim=0)) if balanced else V)

    @classmethod
    def semi_local(
        cls,
        inputs: Tensor,
        labels: Tensor,
        width: int,
        *,
        scale: float = 1e-3,
        num_outputs: int | None = None,
        seed: int = 0,
    ) -> ShallowReLU:
        """Start each neuron at a random sample and its pseudo-label: ``w_j = eps x_i/||x_i||``, ``v_j = eps e~_(y_i)``.

        Args:
            inputs: (N, D) without zero rows. labels: (N,), every class ``0 … K - 1`` present.
            width: h >= K; the first K neurons take one class each, the others any sample.
            scale: epsilon > 0. num_outputs: K (the default), or 1 when K = 2. seed: of the draw.

        Raises:
            ValueError: for a wrong shape or an argument out of range.

        Source: Min, Zhu and Vidal (2025), the practical scheme given for their semi-local Assumption 4.
        """
        X = checks.tensor("inputs", inputs, "N, D").detach().double()
        y = checks.labels("labels", labels, num_samples=len(X))
        K = int(y.max()) + 1
        targets = pseudo_labels(K, num_outputs)
        h, eps = checks.integer("width", width, minimum=K), checks.number("scale", scale, positive=True)
        g = torch.Generator().manual_seed(checks.integer("seed", seed, minimum=0))
        order = torch.randperm(len(X), generator=g)
        if bool((torch.bincount(y, minlength=K) == 0).any()):
            raise ValueError(f"labels must hold every class 0 … {K - 1}, got counts {torch.bincount(y).tolist()}")
        firsts = [int(order[y[order] == k][0]) for k in range(K)]
        picks = torch.cat([torch.tensor(firsts), torch.randint(len(X), (h - K,), generator=g)])
        length = X[picks].norm(dim=1, keepdim=True)
        if bool((length == 0).any()):
            raise ValueError(f"inputs must have no zero row, got one at index {int(picks[int(length.argmin())])}")
        return cls(eps * X[picks] / length, eps * targets[:, y[picks]])

    def features(self, inputs: Tensor) -> Tensor:
        """Return the last-layer features ``relu(W x)``, (N, h)."""
        X = checks.tensor("inputs", inputs, "N, D", D=self.W.shape[1])
        return torch.relu(X @ self.W.T)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the outputs (N, K)."""
        return self.features(inputs) @ self.V.T

    @property
    def norm(self) -> float:
        """``||theta||``, of all weights together."""
        return math.sqrt(float(self.W.square().sum() + self.V.square().sum()))

    @property
    def imbalance(self) -> Tensor:
        """``||w_j||^2 - ||v_j||^2`` of each neuron (h,): conserved by gradient flow."""
        return self.W.square().sum(dim=1) - self.V.square().sum(dim=0)

    def direction(self) -> ShallowReLU:
        """Return the same network with ``||theta|| = 1``; outputs scale by the square of the old norm."""
        return ShallowReLU(self.W / self.norm, self.V / self.norm)


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
    X = checks.tensor("inputs", inputs, "N, D", D=network.W.shape[1]).detach().double().cpu().numpy()
    K = len(network.V)
    y = checks.labels("labels", labels, num_samples=len(X), num_classes=max(K, 2)).cpu().numpy()
    name = loss or ("exponential" if K == 1 else "cross_entropy")
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
        """Return the network at one of the times, the last by default."""
        return ShallowReLU(self.W[index], self.V[index])

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
