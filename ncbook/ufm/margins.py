"""The one-dimensional problem that the optimality proof ends in: what a margin gains, and what it costs."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from ncbook import checks
from ncbook.ufm.losses import CrossEntropy, Focal, LabelSmoothing, Loss, focal_slope

_DEFAULT = CrossEntropy()


class BestMargin(NamedTuple):
    """The minimum of ``log(1 + (K - 1) e^-s) + price s`` over margins ``s >= 0`` (of another loss in its place)."""

    value: float
    margin: float
    price: float  # what the decays ask for one unit of margin


def best_margin(num_classes: int, q: float, *, nonnegative: bool = False, loss: Loss = _DEFAULT) -> BestMargin:
    """Return the margin that is worth its price, in closed form: ``value`` is the model's minimum.

    ``price`` is ``(K - 1) q``, and ``sqrt(K (K - 1)) q`` for non-negative features. The margin is
    ``log((K - 1)(1/price - 1))``, that is ``log(1/q - (K - 1))`` for free features, or zero where this is negative.

    Args:
        num_classes: K. q: ``sqrt(n lambda_W lambda_H)``, as ``UFM.q``. nonnegative: for features behind a ReLU.
        loss: label smoothing ``a`` adds ``a (K - 1)/K`` to the price in both formulas. For focal loss the least value
            is found on a line, to the accuracy of floats; that it is the model's is proved for
            ``price <= (1 - 1/K)^(gamma + 1)``.

    Raises:
        ValueError: for fewer than two classes, a ``q`` that is not positive, a flag that is none, or a loss for which
            this is not the end of a proof: squared error, or focal loss at a larger price.

    Source: chapter 3; chapter 10 for the other losses.
    """
    K = checks.integer("num_classes", num_classes, minimum=2)
    q = checks.number("q", q, positive=True)
    price = q * math.sqrt(K * (K - 1)) if checks.flag("nonnegative", nonnegative) else q * (K - 1)
    checks.instance("loss", loss, Loss)
    if isinstance(loss, Focal):
        return _best_focal(K, price, loss.gamma)
    if not isinstance(loss, LabelSmoothing):
        raise ValueError(f"loss must be a function of softmax probabilities, got {loss.name}")
    smoothing = loss.smoothing
    if nonnegative:
        whole = price + smoothing * (K - 1) / K
        left, unit = K - 1 - K * whole, whole
    else:
        left, unit = 1 - K * q - smoothing, q + smoothing / K
        whole = price + smoothing * (K - 1) / K
    margin = _log_of_one_plus(left, unit) if left > 0 else 0.0
    return BestMargin(math.log1p((K - 1) * math.exp(-margin)) + whole * margin, margin, price)


def _best_focal(K: int, price: float, gamma: float) -> BestMargin:
    """The least of ``F(log(K-1) - s) + price s``: all roots of its derivative lie in one short interval."""
    most = (1 - 1 / K) ** (gamma + 1)
    if price > most:
        raise ValueError(
            f"q must make the price of a margin at most (1 - 1/K)^(gamma + 1) = {most:.4g} for focal loss, got a price "
            f"of {price:.4g}: beyond it nothing is proved"
        )
    shift = math.log(K - 1)

    def slope(s: np.ndarray | float) -> np.ndarray:
        m = torch.from_numpy(np.atleast_1d(np.asarray(s, dtype=np.float64))) - shift
        return price - focal_slope(m, gamma).numpy()

    def value(s: float) -> float:
        m = torch.tensor(s - shift, dtype=torch.float64)
        below = torch.nn.functional.logsigmoid
        return float(-torch.exp(gamma * below(-m)) * below(m)) + price * s

    # The slope of the loss is at most (1 + gamma) (1 - p)^(gamma + 1), which is the price at the far end.
    rest = (price / (1 + gamma)) ** (1 / (gamma + 1))
    grid = np.linspace(0.0, max(0.0, shift + math.log1p(-rest) - math.log(rest)) + 1e-6, 4001)
    rising = slope(grid) > 0
    roots = [
        brentq(lambda s: float(slope(s)[0]), grid[i], grid[i + 1], xtol=1e-15)
        for i in np.flatnonzero(~rising[:-1] & rising[1:])
    ]
    margin = min([0.0, *roots], key=value)
    return BestMargin(value(margin), margin, price)


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
