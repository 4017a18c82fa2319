"""A last layer fixed at a simplex ETF."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils.parametrize import register_parametrization

from ncbook import checks
from ncbook.etf import simplex_etf


class ETFClassifier(nn.Module):
    """A last layer fixed at a simplex ETF: nothing in it is trained.

    Args:
        num_classes: K >= 2.
        feature_dim: d >= K - 1.
        scale: the norm of each row, > 0. A larger one lets the same features reach smaller losses.
        generator: turns the frame by a random rotation; without it the frame is deterministic.
        nonnegative: turn the frame so that features behind a ReLU can meet it: the rows are the first K coordinate
            axes minus their mean, and the feature ``e_k`` has the same positive margin over every other class. In
            most other orientations some class is out of reach of every non-negative feature when ``d`` is near K.
        learn_scale: train one positive factor of all rows, ``exp`` of a parameter that begins at 0.
        learn_bias: train the bias.

    The rows are in ``weight`` (K, d), and ``bias`` (K,) is zero; both are buffers, so they move with the module and
    are saved with it, and no optimiser sees them, unless asked for with ``learn_scale`` and ``learn_bias``.

    Raises:
        ValueError: if ``feature_dim < num_classes - 1``, where no simplex ETF exists, or ``scale <= 0``; with
            ``nonnegative`` also if ``feature_dim < num_classes`` or a ``generator`` is given.

    Source: Zhu et al. (2021), section 5: a fixed simplex ETF as classifier.
    """

    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        num_classes: int,
        feature_dim: int,
        *,
        scale: float = 1.0,
        generator: torch.Generator | None = None,
        nonnegative: bool = False,
        learn_scale: bool = False,
        learn_bias: bool = False,
    ) -> None:
        super().__init__()
        checks.number("scale", scale, positive=True)
        checks.integer("feature_dim", feature_dim)
        for name, value in (("nonnegative", nonnegative), ("learn_scale", learn_scale), ("learn_bias", learn_bias)):
            checks.flag(name, value)
        frame = simplex_etf(num_classes, feature_dim, generator=generator, dtype=torch.float32)
        if nonnegative:
            frame = _centred_axes(num_classes, feature_dim, generator)
        self.register_buffer("weight", scale * frame)
        if learn_scale:
            register_parametrization(self, "weight", _Gain())
        bias = torch.zeros(num_classes)
        if learn_bias:
            self.register_parameter("bias", nn.Parameter(bias))
        else:
            self.register_buffer("bias", bias)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (N, K) of ``features`` (N, d)."""
        checks.tensor("features", features, "N, d", read=False, d=self.weight.shape[1])
        return linear(features, self.weight, self.bias)


class _Gain(nn.Module):
    """Multiply by a positive number that is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.log_gain = nn.Parameter(torch.zeros(()))

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.log_gain.exp()


def _centred_axes(num_classes: int, feature_dim: int, generator: torch.Generator | None) -> Tensor:
    if generator is not None:
        raise ValueError("generator must be None with nonnegative=True: the orientation is fixed")
    if feature_dim < num_classes:
        raise ValueError(f"feature_dim must be >= num_classes = {num_classes} with nonnegative=True, got {feature_dim}")
    axes = torch.eye(num_classes, feature_dim)
    return math.sqrt(num_classes / (num_classes - 1)) * (axes - axes.mean(dim=0))
