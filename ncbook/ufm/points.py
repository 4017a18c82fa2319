"""A point of the unconstrained feature model: checked, in float64, and as one vector."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ncbook import checks
from ncbook.ufm.formulas import Point, flat, split
from ncbook.ufm.model import UFM, need_decay


def prepare(problem: UFM, W: Tensor, H: Tensor, b: Tensor) -> Point:
    """Return the point in float64 on the CPU, after checking the problem and the point.

    Raises:
        ValueError: if ``problem`` is not a ``UFM`` with positive ``weight_decay`` and ``feature_decay``, or the point
            has a wrong shape or a non-finite entry.
    """
    need_decay(checks.instance("problem", problem, UFM))
    problem.check_point(W, H, b)
    return Point(*(t.detach().cpu().double() for t in (W, H, b)))


def pack(point: Point) -> np.ndarray:
    """Return ``W``, ``H``, ``b`` as one float64 vector, in this order.

    Raises:
        ValueError: for anything but three tensors.
    """
    tensors = (checks.instance("point", t, Tensor) for t in checks.sequence("point", point, 3))
    return flat(tuple(t.detach().double().cpu() for t in tensors)).numpy()


def unpack(problem: UFM, x: np.ndarray | Tensor) -> Point:
    """Return the point that a vector of length ``K d + N d + K`` stands for; the inverse of ``pack``.

    Raises:
        ValueError: for a problem that is not a ``UFM``, another length, or a non-finite entry.
    """
    checks.instance("problem", problem, UFM)
    try:
        vector = x if isinstance(x, Tensor) else torch.from_numpy(np.array(x, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise ValueError(f"x must be a vector of numbers, got {checks.shown(x)}") from error
    size = problem.num_classes * (problem.feature_dim + 1) + problem.num_samples * problem.feature_dim
    return split(problem, checks.tensor("x", vector, "P", P=size))
