"""The losses of the model: value, gradient and convex conjugate, each of the mean over the samples.

A loss is a small frozen object. Its three functions obey one law, Fenchel and Young's: with ``G = gradient(Z, y)``,

    value(Z, y) + conjugate(Y, y) >= <Y, Z>   for every Y,   with equality at Y = G,

which is all that the certificate of chapter 4 asks of a loss. Proved in chapter 10.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid, one_hot

from ncbook import checks
from ncbook._landscape import off_class, with_labels

_OUTSIDE = 1e-9  # how far rounding may carry probabilities out of the simplex before they count as outside


@dataclass(frozen=True)
class Loss:
    """What the losses share: a mean over samples of a function of the logits (N, K) and the labels (N,)."""

    convex = True  # in the logits

    @property
    def name(self) -> str:
        """The loss in words."""
        raise NotImplementedError

    @property
    def curvature(self) -> float:
        """A number that the spectral norm of the second derivative of one sample's loss never exceeds."""
        return 0.5  # of log-sum-exp

    def value(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss, a differentiable scalar; logits (N, K), labels (N,) int64.

        Raises:
            ValueError: for a wrong shape, a non-finite entry or a label out of range, naming the argument.
        """
        return self._value(logits, _checked("logits", logits, labels))

    def gradient(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the gradient (N, K) of ``value`` in the logits, from the formula (no autograd).

        Raises:
            ValueError: for a wrong shape, a non-finite entry or a label out of range, naming the argument.
        """
        return self._gradient(logits, _checked("logits", logits, labels))

    def conjugate(self, multiplier: Tensor, labels: Tensor) -> Tensor:
        """Return the convex conjugate of ``value`` at ``multiplier`` (N, K): the supremum of ``<Y, Z> - value(Z)``.

        Infinite where the supremum is.

        Raises:
            ValueError: for a wrong shape, a non-finite entry, a label out of range, or a loss that is not convex.
        """
        return self._conjugate(multiplier, _checked("multiplier", multiplier, labels))

    # Without checks, so that torch.func can transform them.

    def _value(self, logits: Tensor, labels: Tensor) -> Tensor:
        raise NotImplementedError

    def _gradient(self, logits: Tensor, labels: Tensor) -> Tensor:
        raise NotImplementedError

    def _conjugate(self, multiplier: Tensor, labels: Tensor) -> Tensor:
        raise NotImplementedError


def _checked(name: str, values: Tensor, labels: Tensor) -> Tensor:
    checks.tensor(name, values, "N, K")
    return checks.labels("labels", labels, num_samples=len(values), num_classes=values.shape[1])


@dataclass(frozen=True)
class LabelSmoothing(Loss):
    """Cross-entropy against ``1 - smoothing`` of the label plus ``smoothing / K`` of every class.

    Args:
        smoothing: in [0, 1). Zero is cross-entropy.

    Raises:
        ValueError: for a smoothing out of range.

    Source: Szegedy et al. (2016), section 7; its optimum here is derived in chapter 10.
    """

    smoothing: float

    def __post_init__(self) -> None:
        if checks.number("smoothing", self.smoothing) >= 1:
            raise ValueError(f"smoothing must be a finite number in [0, 1), got {self.smoothing!r}")

    @property
    def name(self) -> str:
        return f"label smoothing {self.smoothing:g}"

    def _value(self, logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(logits, labels, label_smoothing=self.smoothing)

    def _gradient(self, logits: Tensor, labels: Tensor) -> Tensor:
        off = off_class(logits, labels) - self.smoothing / logits.shape[1]
        return with_labels(off.scatter(1, labels[:, None], 0.0), labels) / len(labels)

    def _conjugate(self, multiplier: Tensor, labels: Tensor) -> Tensor:
        N, K = multiplier.shape
        targets = (1 - self.smoothing) * one_hot(labels, K).to(multiplier.dtype) + self.smoothing / K
        P = N * multiplier + targets
        if float(P.min()) < -_OUTSIDE or float((P.sum(dim=1) - 1).abs().max()) > _OUTSIDE * K:
            return multiplier.new_tensor(math.inf)
        return torch.xlogy(P.clamp(min=0), P.clamp(min=0)).sum() / N


@dataclass(frozen=True)
class CrossEntropy(LabelSmoothing):
    """The negative logarithm of the softmax probability of the right class."""

    smoothing: float = 0.0

    def __post_init__(self) -> None:
        if checks.number("smoothing", self.smoothing) != 0:
            raise ValueError(f"smoothing must be 0 for CrossEntropy (see LabelSmoothing), got {self.smoothing!r}")

    @property
    def name(self) -> str:
        return "cross-entropy"

    def _value(self, logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(logits, labels)

    def _gradient(self, logits: Tensor, labels: Tensor) -> Tensor:
        return with_labels(off_class(logits, labels), labels) / len(labels)


@dataclass(frozen=True)
class SquaredError(Loss):
    """Half the squared distance of the logits to the one-hot label, summed over classes.

    Source: Tirer and Bruna (2022) for its free-feature model.
    """

    @property
    def name(self) -> str:
        return "squared error"

    @property
    def curvature(self) -> float:
        return 1.0

    def _value(self, logits: Tensor, labels: Tensor) -> Tensor:
        return (logits - one_hot(labels, logits.shape[1])).square().sum() / (2 * len(labels))

    def _gradient(self, logits: Tensor, labels: Tensor) -> Tensor:
        return (logits - one_hot(labels, logits.shape[1])) / len(labels)

    def _conjugate(self, multiplier: Tensor, labels: Tensor) -> Tensor:
        own = multiplier.gather(1, labels[:, None]).sum()
        return own + len(labels) / 2 * multiplier.square().sum()


@dataclass(frozen=True)
class Focal(Loss):
    """``-(1 - p)^gamma log p`` of the softmax probability ``p`` of the right class.

    It is a function of one number, the log-odds ``m = z_y - logsumexp(other logits)``. For ``gamma > 0`` it is not
    convex in the logits: it bends down where ``m`` is very negative.

    Args:
        gamma: >= 0. Zero is cross-entropy.

    Raises:
        ValueError: for a gamma that is negative or not finite.

    Source: Lin et al. (2017), equation 4.
    """

    gamma: float

    def __post_init__(self) -> None:
        checks.number("gamma", self.gamma)

    @property
    def convex(self) -> bool:  # type: ignore[override]
        """True for ``gamma = 0`` only."""
        return self.gamma == 0

    @property
    def name(self) -> str:
        return f"focal loss {self.gamma:g}"

    @property
    def curvature(self) -> float:
        # With u = log p: |d/du| <= 1 + gamma times the curvature of u, and the second derivative in u times
        # |grad u|^2 <= 2 (1 - p)^2; every factor (1 - p)^a is at most 1, and p |log p| <= 1 - p.
        g = self.gamma
        return (1 + g) / 2 + 6 * g + 2 * g * abs(g - 1)

    def _value(self, logits: Tensor, labels: Tensor) -> Tensor:
        m = log_odds(logits, labels)
        return -(torch.exp(self.gamma * logsigmoid(-m)) * logsigmoid(m)).mean()

    def _gradient(self, logits: Tensor, labels: Tensor) -> Tensor:
        slope = focal_slope(log_odds(logits, labels), self.gamma) / torch.sigmoid(-log_odds(logits, labels))
        slope = torch.where(torch.isfinite(slope), slope, 0.0)  # so large a log-odds that nothing is left to gain
        return slope[:, None] * with_labels(off_class(logits, labels), labels) / len(labels)

    def _conjugate(self, multiplier: Tensor, labels: Tensor) -> Tensor:
        if self.convex:
            return CrossEntropy()._conjugate(multiplier, labels)
        raise ValueError(f"gamma must be 0 for a convex conjugate that is of use: {self.name} is not convex")


def smoothing_of(loss: Loss) -> float:
    """How much the loss smooths its labels: zero for all but ``LabelSmoothing``."""
    return loss.smoothing if isinstance(loss, LabelSmoothing) else 0.0


def log_odds(logits: Tensor, labels: Tensor) -> Tensor:
    """The right logit minus the log-sum-exp of the others, (N,)."""
    own = one_hot(labels, logits.shape[1]).bool()
    rivals = torch.logsumexp(logits.masked_fill(own, -math.inf), dim=1)
    return logits.gather(1, labels[:, None])[:, 0] - rivals


def focal_slope(m: Tensor, gamma: float) -> Tensor:
    """How fast the focal loss falls with the log-odds: ``(1-p)^gamma ((1-p) + gamma p (-log p))``, > 0."""
    rest, own = torch.sigmoid(-m), torch.sigmoid(m)
    return torch.exp(gamma * logsigmoid(-m)) * (rest - gamma * own * logsigmoid(m))
