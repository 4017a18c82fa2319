"""The normalised problem in the form that pymanopt's optimisers take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ncbook._lazy import optional
from ncbook.sphere import formulas
from ncbook.sphere.formulas import Point

pymanopt, manifolds = optional("pymanopt"), optional("pymanopt.manifolds")
optimizers = optional("pymanopt.optimizers")


def as_pymanopt(problem: Any) -> Any:
    """Return a `SphericalUFM` as a pymanopt problem, on oblique manifolds of unit *columns*: (d, K) and (d, N)."""
    sizes = problem.num_classes, problem.num_samples
    manifold = manifolds.Product([manifolds.Oblique(problem.feature_dim, size) for size in sizes])
    last: dict[str, Any] = {}

    def at(*point: np.ndarray) -> tuple[Point, tuple[Tensor, Tensor]]:
        """The point and its residual: what every Hessian product at one point shares, and many come in a row."""
        # By identity: the optimiser makes new arrays for a new point, and holding on to these keeps them apart.
        if not last or any(x is not y for x, y in zip(last["key"], point)):
            last.update(key=point, point=rows(point), residual=formulas.residual(problem, *rows(point)))
        return last["point"], last["residual"]

    @pymanopt.function.numpy(manifold)
    def cost(W: np.ndarray, H: np.ndarray) -> float:
        return formulas.value(problem, *rows((W, H)))

    @pymanopt.function.numpy(manifold)
    def gradient(W: np.ndarray, H: np.ndarray) -> list[np.ndarray]:
        point, residual = at(W, H)
        G = problem.temperature * residual[0]
        return columns((G.T @ point.H, G @ point.W))

    @pymanopt.function.numpy(manifold)
    def hessian(W: np.ndarray, H: np.ndarray, dW: np.ndarray, dH: np.ndarray) -> list[np.ndarray]:
        point, residual = at(W, H)
        return columns(formulas.euclidean_hessian(problem, point, rows((dW, dH)), residual))

    return pymanopt.Problem(manifold, cost, euclidean_gradient=gradient, euclidean_hessian=hessian)


def rows(point: Sequence[np.ndarray]) -> Point:
    """The book's layout, unit rows, of pymanopt's columns."""
    return Point(*(torch.from_numpy(x.T) for x in point))


def columns(point: Sequence[Tensor]) -> list[np.ndarray]:
    """The inverse of ``rows``."""
    return [x.detach().cpu().double().numpy().T for x in point]
