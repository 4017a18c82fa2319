"""Where a point's distance to the optimum comes from: ``f - f*`` as a sum of named, non-negative pieces.

The proof that the closed form of `ncbook.ufm` is optimal is a chain of inequalities. Each link loses something at a
point that is not optimal, and what it loses measures one property of neural collapse.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ncbook import checks
from ncbook.ufm.model import UFM


@dataclass(frozen=True)
class GapBudget:
    """The pieces of ``f - f*`` at a point, each >= 0 up to round-off and each zero exactly where it says."""

    others: float  # every sample gives all wrong classes the same logit (Jensen over classes)
    margins: float  # all samples have the same mean margin (Jensen over samples)
    collapse: float  # the features of a class are equal: NC1
    orthogonality: float  # class means are orthogonal to each other; 0 by definition for free features
    alignment: float  # class means point along the centred classifier's rows, whose mean is zero: NC3 (Cauchy-Schwarz)
    balance: float  # both decays cost the same (arithmetic and geometric mean)
    bias: float  # the bias's own decay
    length: float  # the mean margin is the best one

    @property
    def total(self) -> float:
        """The sum of all pieces: ``f - f*``."""
        return math.fsum(astuple(self))


def gap_budget(problem: UFM, W: Tensor, H: Tensor, b: Tensor, *, nonnegative: bool = False) -> GapBudget:
    """Split ``f(W, H, b) - f*`` into the losses of the proof's inequalities.

    Args:
        problem: with positive decays on ``W`` and ``H``. ``f*`` is the closed-form bound, which is attained where
            ``feature_dim >= num_classes - 1`` (``>= num_classes`` with ``nonnegative``); any dimension may be asked.
        W: classifier (K, d). H: features (N, d), ordered by class. b: bias (K,).
        nonnegative: take the bound for features ``H >= 0``, which has one more link.

    Raises:
        ValueError: for a wrong shape or a non-finite entry, for a zero decay, or if ``nonnegative`` and ``H`` has a
            negative entry.

    Source: chapter 3, the proofs of its two theorems.
    """
    checks.instance("problem", problem, UFM).check_point(W, H, b)
    if checks.flag("nonnegative", nonnegative) and bool((H < 0).any()):
        raise ValueError(f"H must be >= 0 with nonnegative=True, got a smallest entry of {float(H.min()):.3g}")
    W, H, b = W.double(), H.double(), b.double()
    K, n = problem.num_classes, problem.samples_per_class
    f_star, price = bound(problem, nonnegative=nonnegative)
    margins = mean_margins(problem, W, H, b)
    fit, average = cross_entropy(H @ W.T + b, problem.labels), margins.mean()
    per_sample = loss_of_margin(margins, K).mean()

    means = H.view(K, n, -1).mean(dim=1)
    centred = means - means.mean(dim=0)
    root = problem.joint_decay
    w, h, m = W.norm(), H.norm(), math.sqrt(n) * means.norm()
    # The longest the centred means can be: all of the means' length, or its share sqrt((K - 1)/K) in an orthant.
    reach = math.sqrt(K / (K - 1)) * math.sqrt(n) * centred.norm() if nonnegative else m
    gain = price * average.clamp(min=0)
    pieces = (
        fit - per_sample,
        per_sample - loss_of_margin(average, K),
        root * w * (h - m),
        root * w * (m - reach),
        root * w * reach - gain,
        (math.sqrt(problem.weight_decay) * w - math.sqrt(problem.feature_decay) * h).square() / 2,
        problem.bias_decay * b.square().sum() / 2,
        loss_of_margin(average, K) + gain - f_star,
    )
    return GapBudget(*(float(piece) for piece in pieces))


def bound(problem: UFM, *, nonnegative: bool = False) -> tuple[float, float]:
    """Return ``(f*, price)``: the least of ``log(1 + (K - 1) e^-s) + price s`` over margins ``s >= 0``, and the price.

    ``price`` is what the decays ask for one unit of margin: ``(K - 1) q`` with ``q = sqrt(n lambda_W lambda_H)``, and
    ``sqrt(K (K - 1)) q`` for non-negative features. ``f*`` bounds the objective from below in every feature dimension.

    Raises:
        ValueError: if the decay on ``W`` or ``H`` is zero, or an argument is of another kind.

    Source: chapter 3.
    """
    K = checks.instance("problem", problem, UFM).num_classes
    checks.flag("nonnegative", nonnegative)
    # The closed form in a dimension where its frame fits: the bound itself does not depend on the dimension.
    roomy = UFM(K, 1, K, problem.weight_decay, problem.feature_decay * problem.samples_per_class)
    q = roomy.joint_decay
    price = math.sqrt(K * (K - 1)) * q if nonnegative else (K - 1) * q
    return roomy.optimum(nonnegative=nonnegative).value, price


def mean_margins(problem: UFM, W: Tensor, H: Tensor, b: Tensor) -> Tensor:
    """Return for each sample (N,) its correct logit minus the mean of the others.

    Raises:
        ValueError: for a wrong shape or a non-finite entry, naming the argument.
    """
    checks.instance("problem", problem, UFM).check_point(W, H, b)
    logits = H @ W.T + b
    own = logits.gather(1, problem.labels[:, None])[:, 0]
    return own - (logits.sum(dim=1) - own) / (problem.num_classes - 1)


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
