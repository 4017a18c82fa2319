"""The optimality proof of chapter 4 as seven numbers at a point, each at least the next."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, softplus

from ncbook.ufm.gap_budgets import bound
from ncbook.ufm.model import UFM
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
        return (
            self.objective,
            self.balanced,
            self.without_bias,
            self.equal_rivals,
            self.equal_margins,
            self.aligned,
            self.minimum,
        )


def inequality_chain(problem: UFM, W: Tensor, H: Tensor, b: Tensor) -> Chain:
    """Return the seven numbers of the optimality proof at a point, each at least the next.

    Args:
        problem: the model, with positive ``weight_decay`` and ``feature_decay``.
        W: classifier (K, d). H: features (N, d), ordered by class. b: bias (K,).

    Returns:
        Chain: from the objective at the point down to the global minimum over ``feature_dim >= K - 1``.

    Raises:
        ValueError: as ``certificate`` does.

    Source: chapter 4, equations of the proof.
    """
    W, H, b = prepare(problem, W, H, b)
    K, labels = problem.num_classes, problem.labels
    mu = problem.joint_decay
    logits = H @ W.T
    scores = logits + b
    fit = float(cross_entropy(scores, labels))
    nuclear = mu * float(torch.linalg.svdvals(logits).sum())
    margins = K / (K - 1) * (scores.gather(1, labels[:, None])[:, 0] - scores.mean(dim=1))
    loss = lambda m: softplus(math.log(K - 1) - m)  # log(1 + (K - 1) e^-m)
    mean = margins.mean()
    minimum, price = bound(problem)
    linear = price * max(0.0, float(mean))
    return Chain(
        objective=float(problem._objective(W, H, b)),
        balanced=fit + nuclear + problem.bias_decay / 2 * float(b.square().sum()),
        without_bias=fit + nuclear,
        equal_rivals=float(loss(margins).mean()) + nuclear,
        equal_margins=float(loss(mean)) + nuclear,
        aligned=float(loss(mean.clamp(min=0.0))) + linear,
        minimum=minimum,
        mean_margin=float(mean),
    )
