"""Riemannian gradient descent on the spheres, recorded step by step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

from ncbook import checks
from ncbook._landscape import AtPoint
from ncbook.sphere.formulas import Point
from ncbook.sphere.model import SphericalUFM, prepare


@dataclass(frozen=True)
class Descent(AtPoint):
    """A run of gradient descent, whose end is ``point``."""

    path: tuple[Point, ...]  # every iterate, the start first
    values: Tensor  # (steps + 1,) objective before each step and at the end


def descend(problem: SphericalUFM, start: Point, *, steps: int, step_size: float) -> Descent:
    """Follow Riemannian gradient descent with a constant step, keeping every iterate.

    Args:
        problem: the problem. start: ``(W, H)``, unit rows.
        steps: how many. step_size: in units of the gradient, > 0.

    Raises:
        ValueError: for a bad problem, start or option.

    Source: pymanopt's steepest descent, with the retraction of ``retract``.
    """
    from ncbook.sphere.pymanopt_bridge import as_pymanopt, columns, optimizers, rows

    point = prepare(problem, *checks.sequence("start", start, 2))
    checks.number("step_size", step_size, positive=True)
    # A line search that never searches; the 1 keeps the optimiser from taking a small step for the end.
    constant = lambda objective, manifold, x, d, f0, df0: (1.0, manifold.retraction(x, step_size * d))
    descent = optimizers.SteepestDescent(
        line_searcher=SimpleNamespace(search=constant),
        max_iterations=checks.integer("steps", steps) + 1,  # one more, so that the last step's end is logged too
        min_gradient_norm=0.0,
        min_step_size=0.0,
        max_time=math.inf,
        log_verbosity=1,
        verbosity=0,
    )
    log = descent.run(as_pymanopt(problem), initial_point=columns(point)).log["iterations"]
    path = tuple(rows(x) for x in log["point"])
    return Descent(path[-1], path, torch.tensor(log["cost"], dtype=torch.float64))
