"""Train a ``Crowd``: many small networks in one loop, and Muon for their stacked matrices."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ncbook import checks
from ncbook.models import Crowd


def fit_crowd(
    crowd: Crowd,
    inputs: Tensor,
    labels: Tensor,
    optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer],
    epochs: int,
    batch_size: int,
    *,
    cosine: bool = True,
    seed: int = 0,
    watch: Callable[[int], object] | None = None,
) -> None:
    """Train every network of the crowd by cross-entropy, each on its own order of the samples.

    Args:
        crowd: C networks, trained in place.
        inputs: (N, D). labels: (N,) in ``0 … K - 1``, the same for all networks.
        optimizer: over the crowd's parameters, at its learning rate; or several that share them out.
        epochs: at least 0, each of ``N // batch_size`` steps; samples left over wait for another epoch.
        batch_size: at least 2, at most N.
        cosine: lower the learning rate to zero along half a cosine.
        seed: of the orders.
        watch: called with the number of epochs that are over: with 0 before training, then after each.

    Raises:
        ValueError: for labels out of range, or sizes that do not fit.
    """
    checks.instance("crowd", crowd, Crowd)
    optimizers = (
        [optimizer] if isinstance(optimizer, torch.optim.Optimizer) else checks.sequence("optimizer", optimizer)
    )
    for each in optimizers:
        checks.instance("optimizer", each, torch.optim.Optimizer)
    checks.tensor("inputs", inputs, "N, D", D=crowd.weights[0].shape[2])
    labels = checks.samples("inputs", inputs, "labels", labels, crowd.weights[-1].shape[1])
    size, N = checks.integer("batch_size", batch_size, minimum=2), len(inputs)
    if size > N:
        raise ValueError(f"batch_size must be at most the number of inputs, {N}, got {size}")
    epochs, steps = checks.integer("epochs", epochs, minimum=0), N // size
    checks.flag("cosine", cosine)
    if watch is None:
        watch = int
    checks.function("watch", watch)(0)
    generator = torch.Generator().manual_seed(checks.integer("seed", seed, minimum=0))
    total = max(1, epochs * steps)
    shape = (lambda step: (1 + math.cos(math.pi * step / total)) / 2) if cosine else (lambda step: 1.0)
    schedules = [torch.optim.lr_scheduler.LambdaLR(each, shape) for each in optimizers]
    for epoch in range(epochs):
        order = torch.rand(crowd.count, N, generator=generator).argsort(1)[:, : steps * size]
        for index in order.split(size, dim=1):
            logits = crowd(inputs[index]).flatten(0, 1)
            # The sum over the networks: no network's gradient feels another.
            loss = cross_entropy(logits, labels[index].flatten()) * crowd.count
            crowd.zero_grad()
            loss.backward()
            for each, schedule in zip(optimizers, schedules):
                each.step()
                schedule.step()
        watch(epoch + 1)


class StackedMuon(torch.optim.Optimizer):
    """Muon for parameters (C, m, k), each slice a matrix of its own; otherwise as ``torch.optim.Muon``.

    The matrices stay in their own precision, where PyTorch goes through bfloat16. A slice of one row, such as a bias,
    is orthogonalised too: its step has length one.

    Args:
        params: of a ``Crowd``, or any of its shape.
        lr: learning rate. weight_decay: decoupled. momentum: in [0, 1), Nesterov's.

    Raises:
        ValueError: for a number out of range.

    Source: Jordan et al. (2024), Muon: an optimizer for hidden layers in neural networks.
    """

    def __init__(self, params: Iterable[Tensor], lr: float = 0.02, weight_decay: float = 0.1, momentum: float = 0.95):
        checks.number("lr", lr, positive=True)
        checks.number("weight_decay", weight_decay)
        if checks.number("momentum", momentum) >= 1:
            raise ValueError(f"momentum must be in [0, 1), got {momentum!r}")
        stacks = [checks.tensor("params", p, "C, m, k") for p in checks.sequence("params", params)]
        super().__init__(stacks, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take one step along the gradients that are there."""
        for group in self.param_groups:
            beta = group["momentum"]
            for p in (p for p in group["params"] if p.grad is not None):
                average = self.state[p].setdefault("average", torch.zeros_like(p))
                average.lerp_(p.grad, 1 - beta)
                rate = group["lr"] * max(1.0, p.shape[1] / p.shape[2]) ** 0.5
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.sub_(_five_steps(p.grad.lerp(average, beta)), alpha=rate)


def newton_schulz(matrices: Tensor) -> Tensor:
    """Return matrices with the same singular vectors and singular values near 1, by Muon's five quintic steps.

    Args:
        matrices: (…, m, k).

    Raises:
        ValueError: for anything but finite numbers in two axes or more.

    Source: Jordan et al. (2024), with the published coefficients, in the precision of ``matrices``.
    """
    if checks.tensor("matrices", matrices, "…").dim() < 2:
        raise ValueError(f"matrices must be (…, m, k), got {tuple(matrices.shape)}")
    return _five_steps(matrices)


def _five_steps(matrices: Tensor) -> Tensor:
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = matrices if matrices.shape[-2] <= matrices.shape[-1] else matrices.mT
    X = wide / torch.linalg.matrix_norm(wide, keepdim=True).clamp_min(1e-7)
    for _ in range(5):
        A = X @ X.mT
        X = a * X + (b * A + c * A @ A) @ X
    return X if wide is matrices else X.mT
