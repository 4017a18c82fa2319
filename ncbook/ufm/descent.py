"""Gradient descent on the unconstrained feature model, with momentum or noise, recorded step by step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ncbook import checks
from ncbook._landscape import AtPoint
from ncbook.ufm.formulas import Point, flat, gradient, objective, split
from ncbook.ufm.model import UFM
from ncbook.ufm.points import prepare


@dataclass(frozen=True)
class Descent(AtPoint):
    """A run of gradient descent, whose end is ``point``."""

    path: tuple[Point, ...]  # one every ``record`` steps, the start first
    values: Tensor  # (steps + 1,) objective before each step and at the end
    distances: Tensor  # (steps + 1,) distance from ``origin``


def descend(
    problem: UFM,
    start: Point,
    *,
    steps: int,
    step_size: float,
    momentum: float = 0.0,
    noise: float = 0.0,
    seed: int = 0,
    origin: Point | None = None,
    record: int = 1,
) -> Descent:
    """Run gradient descent, with heavy-ball momentum or Gaussian noise on request, and record how far it gets.

    ``velocity <- momentum velocity - step_size (gradient + noise * standard normal)``, ``x <- x + velocity``.

    Args:
        problem: the model. start: ``(W, H, b)``.
        steps: how many. step_size: > 0. momentum: in [0, 1). noise: standard deviation per entry of the gradient.
        seed: of the noise. origin: distances are measured from here; ``start`` by default.
        record: keep every so many points in ``path``.

    Returns:
        Descent: the last point, objective and distance after every step, and the recorded path.

    Raises:
        ValueError: for an unsupported problem or point, or an option out of range.
    """
    x = flat(prepare(problem, *checks.sequence("start", start, 3)))
    checks.number("step_size", step_size, positive=True)
    checks.number("noise", noise)
    if checks.number("momentum", momentum) >= 1:
        raise ValueError(f"momentum must lie in [0, 1), got {momentum!r}")
    for name, value in (("steps", steps), ("record", record)):
        checks.integer(name, value)
    generator = torch.Generator().manual_seed(checks.integer("seed", seed, minimum=0))
    centre = x if origin is None else flat(prepare(problem, *checks.sequence("origin", origin, 3)))
    velocity = torch.zeros_like(x)
    values, distances, path = [], [], []
    for step in range(steps + 1):
        point = split(problem, x)
        values.append(float(objective(problem, *point)))
        distances.append(float((x - centre).norm()))
        if step % record == 0:
            path.append(point)
        if step == steps:
            break
        slope = flat(gradient(problem, *point))
        if noise > 0:
            slope = slope + noise * torch.randn(len(x), generator=generator, dtype=x.dtype)
        velocity = momentum * velocity - step_size * slope
        x = x + velocity
    as_tensor = lambda list_: torch.tensor(list_, dtype=torch.float64)
    return Descent(split(problem, x), tuple(path), as_tensor(values), as_tensor(distances))
