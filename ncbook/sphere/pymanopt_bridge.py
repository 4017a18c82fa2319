"""The normalised problem in the form that pymanopt's optimisers take, and a line search that never searches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pymanopt
import torch
from pymanopt.manifolds import Oblique, Product
from torch import Tensor


class LastPoint:
    """What every Hessian product at one point shares: pymanopt asks for many of them in a row."""

    def __init__(self, problem: Any) -> None:
        self.problem = problem
        self.key: tuple[Any, Any] = (None, None)

    def at(self, W: np.ndarray, H: np.ndarray) -> LastPoint:
        """Return self, with ``point``, ``residual`` and ``gradient`` those of the columns ``W`` and ``H``."""
        # By identity: the optimiser makes new arrays for a new point, and holding on to these keeps them apart.
        if self.key[0] is not W or self.key[1] is not H:
            self.key = (W, H)
            self.point = _rows(W, H)
            self.residual = self.problem._residual(*self.point)
            G = self.problem.temperature * self.residual[0]
            self.gradient = [G.T @ self.point[1], G @ self.point[0]]
        return self


class ConstantStep:
    """A pymanopt line searcher that takes ``step`` times the descent direction, every time."""

    def __init__(self, step: float) -> None:
        self.step = step

    def search(self, objective: Any, manifold: Any, x: Any, d: Any, f0: float, df0: float) -> tuple[float, Any]:
        """Return a positive number, so that no optimiser takes a small step for the end, and the new point."""
        return 1.0, manifold.retraction(x, self.step * d)


def as_pymanopt(problem: Any) -> pymanopt.Problem:
    """Return a `SphericalUFM` as a pymanopt problem, on oblique manifolds of unit *columns*: (d, K) and (d, N)."""
    sizes = problem.num_classes, problem.num_samples
    manifold = Product([Oblique(problem.feature_dim, size) for size in sizes])
    last = LastPoint(problem)

    @pymanopt.function.numpy(manifold)
    def cost(W: np.ndarray, H: np.ndarray) -> float:
        return problem._value(*_rows(W, H))

    @pymanopt.function.numpy(manifold)
    def gradient(W: np.ndarray, H: np.ndarray) -> Sequence[np.ndarray]:
        return _columns(last.at(W, H).gradient)

    @pymanopt.function.numpy(manifold)
    def hessian(W: np.ndarray, H: np.ndarray, dW: np.ndarray, dH: np.ndarray) -> Sequence[np.ndarray]:
        last.at(W, H)
        return _columns(problem._euclidean_hessian(*last.point, *_rows(dW, dH), residual=last.residual))

    return pymanopt.Problem(manifold, cost, euclidean_gradient=gradient, euclidean_hessian=hessian)


def _rows(*columns: np.ndarray) -> list[Tensor]:
    return [torch.from_numpy(c.T) for c in columns]


def _columns(rows: Sequence[Tensor]) -> tuple[np.ndarray, ...]:
    return tuple(r.numpy().T for r in rows)
