"""The optimality proof of chapter 4 as seven numbers at a point, each at least the next."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ncbook.ufm.formulas import objective
from ncbook.ufm.gap_budgets import mean_margins
from ncbook.ufm.margins import best_margin, loss_of_margin
from ncbook.ufm.model import UFM, need_cross_entropy, need_free_features
from ncbook.ufm.points import prepare


@dataclass(frozen=True)
class Chain:
    """The proof of chapter 4 at one point: each number is at least the next, and all agree at a global minimum."""

    objective: float
    balanced: float  # the decays replaced by sqrt(lambda_W lambda_H) ||H W'||_*
    without_bias: float  # the bias decay dropped
    equal_rivals: float  # Jensen inside each sample: all wrong classes get the same logit
    equal_margins: float  # Jensen across samples: all margins replaced by their mean
    aligned: float  # the nuclear norm replaced by its bound through the mean margin
    minimum: float  # the best mean margin: the closed-form minimum
    mean_margin: float

    @property
    def steps(self) -> tuple[float, ...]:
        """The seven values, largest first."""
        return astuple(self)[:7]


def inequality_chain(problem: UFM, W: Tensor, H: Tensor, b: Tensor) -> Chain:
    """Return the seven numbers of the optimality proof at a point, each at least the next.

    Args:
        problem: the model, with positive ``weight_decay`` and ``feature_decay``.
        W: classifier (K, d). H: features (N, d), ordered by class. b: bias (K,).

    Returns:
        Chain: from the objective at the point down to the global minimum over ``feature_dim >= K - 1``.

    Raises:
        ValueError: as ``certificate`` does, or for unequal classes, of which this proof does not speak.

    Source: chapter 4, equations of the proof.
    """
    W, H, b = prepare(problem, W, H, b)
    need_cross_entropy(problem, "inequality_chain")
    need_free_features(problem, "inequality_chain")
    K, logits = problem.num_classes, H @ W.T
    fit = float(cross_entropy(logits + b, problem.labels))
    nuclear = problem.joint_decay * float(torch.linalg.svdvals(logits).sum())
    margins = mean_margins(problem, W, H, b)
    mean = margins.mean()
    best = best_margin(K, problem.q)
    linear = best.price * max(0.0, float(mean))
    return Chain(
        objective=float(objective(problem, W, H, b)),
        balanced=fit + nuclear + problem.bias_decay / 2 * float(b.square().sum()),
        without_bias=fit + nuclear,
        equal_rivals=float(loss_of_margin(margins, K).mean()) + nuclear,
        equal_margins=float(loss_of_margin(mean, K)) + nuclear,
        aligned=float(loss_of_margin(mean.clamp(min=0.0), K)) + linear,
        minimum=best.value,
        mean_margin=float(mean),
    )
