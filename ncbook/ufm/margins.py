"""The one-dimensional problem that the optimality proof ends in: what a margin gains, and what it costs."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ncbook import checks


class BestMargin(NamedTuple):
    """The minimum of ``log(1 + (K - 1) e^-s) + price s`` over margins ``s >= 0``."""

    value: float
    margin: float
    price: float  # what the decays ask for one unit of margin


def best_margin(num_classes: int, q: float, *, nonnegative: bool = False) -> BestMargin:
    """Return the margin that is worth its price, in closed form: ``value`` is the model's minimum.

    ``price`` is ``(K - 1) q``, and ``sqrt(K (K - 1)) q`` for non-negative features. The margin is
    ``log((K - 1)(1/price - 1))``, that is ``log(1/q - (K - 1))`` for free features, or zero where this is negative.

    Args:
        num_classes: K. q: ``sqrt(n lambda_W lambda_H)``, as ``UFM.q``. nonnegative: for features behind a ReLU.

    Raises:
        ValueError: for fewer than two classes, a ``q`` that is not positive, or a flag that is none.

    Source: chapter 3.
    """
    K = checks.integer("num_classes", num_classes, minimum=2)
    q = checks.number("q", q, positive=True)
    if checks.flag("nonnegative", nonnegative):
        price = q * math.sqrt(K * (K - 1))
        left, unit = K - 1 - K * price, price
    else:
        price = q * (K - 1)
        left, unit = 1 - K * q, q
    margin = _log_of_one_plus(left, unit) if left > 0 else 0.0
    return BestMargin(math.log1p((K - 1) * math.exp(-margin)) + price * margin, margin, price)


def loss_of_margin(margin: Tensor, num_classes: int) -> Tensor:
    """Return ``log(1 + (K - 1) e^-margin)``: the cross-entropy of a sample whose wrong logits are all equal.

    Raises:
        ValueError: for a margin that is not a finite tensor, or fewer than two classes.
    """
    checks.integer("num_classes", num_classes, minimum=2)
    real = isinstance(margin, Tensor) and margin.is_floating_point() and not margin.is_meta
    if not real or not bool(torch.isfinite(margin).all()):
        raise ValueError(f"margin must be a finite floating tensor, got {margin!r}")
    return torch.nn.functional.softplus(math.log(num_classes - 1) - margin)


def _log_of_one_plus(part: float, q: float) -> float:
    """Return ``log(1 + part / q)``: accurate for a ``part`` near zero, and where ``part / q`` would overflow."""
    if q < 1e-8:  # part is then of order one, and the 1 shifts the logarithm by q / part
        return math.log(part) - math.log(q) + math.log1p(q / part)
    return math.log1p(part / q)
