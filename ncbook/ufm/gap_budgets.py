"""Where a point's distance to the optimum comes from: ``f - f*`` as a sum of named, non-negative pieces.

The proof that the closed form of `ncbook.ufm` is optimal is a chain of inequalities. Each link loses something at a
point that is not optimal, and what it loses measures one property of neural collapse.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

from torch import Tensor
from torch.nn.functional import cross_entropy

from ncbook import checks
from ncbook.ufm.margins import best_margin, loss_of_margin
from ncbook.ufm.model import UFM, need_cross_entropy
from ncbook.ufm.points import prepare


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
        ValueError: for a wrong shape or a non-finite entry, for a zero decay or unequal classes, or if
            ``nonnegative`` and ``H`` has a negative entry.

    Source: chapter 3, the proofs of its two theorems.
    """
    W, H, b = prepare(problem, W, H, b)
    need_cross_entropy(problem, "gap_budget")
    nonnegative = checks.flag("nonnegative", nonnegative) or problem.nonnegative
    if nonnegative and bool((H < 0).any()):
        raise ValueError(f"H must be >= 0 with nonnegative=True, got a smallest entry of {float(H.min()):.3g}")
    K, n = problem.num_classes, problem.class_sizes[0]
    f_star, _, price = best_margin(K, problem.q, nonnegative=nonnegative)
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


def mean_margins(problem: UFM, W: Tensor, H: Tensor, b: Tensor) -> Tensor:
    """Return for each sample (N,) its correct logit minus the mean of the others.

    Raises:
        ValueError: for a wrong shape or a non-finite entry, naming the argument.
    """
    checks.instance("problem", problem, UFM).check_point(W, H, b)
    logits = H @ W.T + b
    own = logits.gather(1, problem.labels[:, None])[:, 0]
    return own - (logits.sum(dim=1) - own) / (problem.num_classes - 1)
