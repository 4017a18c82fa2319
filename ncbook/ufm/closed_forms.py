"""The minima that are proved: frames of simplex and orthogonal kind, at the length that the loss and decays choose."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ncbook._landscape import AtPoint
from ncbook.etf import simplex_etf
from ncbook.ufm.formulas import Point
from ncbook.ufm.losses import SquaredError
from ncbook.ufm.margins import best_margin

if TYPE_CHECKING:
    from ncbook.ufm.model import UFM


class At(AtPoint):
    b = property(lambda self: self.point.b, doc="Bias (K,).")


@dataclass(frozen=True)
class Optimum(At):
    """A global minimum in closed form: its ``value``, the logit ``margin`` and squared norm of each row of ``W``.

    With unequal classes ``margin`` and ``squared_weight_norm`` are tuples, one number a class.
    """

    value: float
    margin: float | tuple[float, ...]  # correct logit minus any other, the same for every sample (of a class)
    squared_weight_norm: float | tuple[float, ...]  # squared Euclidean norm of one row of W


def least_value(problem: UFM, nonnegative: bool) -> float:
    """The value that no point is below."""
    if isinstance(problem.loss, SquaredError):
        N, mu = problem.num_samples, problem.joint_decay
        terms = []
        for size, t, weight in zip(_sizes(problem), *_squared_lengths(problem, nonnegative)):
            terms.append(weight * (size - t) ** 2 / (2 * N) + mu * t)
        return math.fsum(terms)
    return best_margin(problem.num_classes, problem.q, nonnegative=nonnegative, loss=problem.loss).value


def closed_form(problem: UFM, nonnegative: bool, generator: torch.Generator | None) -> Optimum:
    """The minimum as a point; a ``generator`` turns the frame."""
    squared = isinstance(problem.loss, SquaredError)
    return (_squared if squared else _softmax)(problem, nonnegative, generator)


def _softmax(problem: UFM, nonnegative: bool, generator: torch.Generator | None) -> Optimum:
    K, d = problem.num_classes, problem.feature_dim
    best = best_margin(K, problem.q, nonnegative=nonnegative, loss=problem.loss)
    need_room(d, K if nonnegative else K - 1, K)
    if nonnegative:
        frame = _axes(K, d, generator)
        # Rows of the centred frame have norm sqrt((K - 1)/K), rows of the frame norm 1: fourth roots even this out.
        uneven, length = (K / (K - 1)) ** 0.25, math.sqrt(best.margin)
        W, means = uneven * (frame - frame.mean(dim=0)), frame / uneven
    else:
        W = means = simplex_etf(K, d, generator=generator)
        length = math.sqrt((K - 1) / K * best.margin)
    n = problem.class_sizes[0]
    # (n lambda_H / lambda_W)^(1/4), each root apart so that no ratio of extreme decays overflows.
    stretch = (math.sqrt(n) * math.sqrt(problem.feature_decay)) ** 0.5 / problem.weight_decay**0.25
    W = length * stretch * W
    H = (length / stretch * means).repeat_interleave(n, dim=0)
    point = Point(W, H, torch.zeros(K, dtype=torch.float64))
    return Optimum(point, best.value, best.margin, float(W[0].square().sum()))


def _axes(K: int, d: int, generator: torch.Generator | None) -> torch.Tensor:
    axes = torch.arange(d)
    if generator is not None:
        axes = torch.randperm(d, generator=generator, device=generator.device).cpu()
    return torch.eye(K, d, dtype=torch.float64)[:, axes]


def need_room(feature_dim: int, least: int, num_classes: int) -> None:
    """Raise ``ValueError`` where the frame does not fit."""
    if feature_dim < least:
        name = "a simplex ETF" if least == num_classes - 1 else "an orthogonal frame"
        raise ValueError(f"feature_dim must be >= {least} for {name} of {num_classes} classes, got {feature_dim}")


def _sizes(problem: UFM) -> list[float]:
    """The singular values of the one-hot labels."""
    return [math.sqrt(n) for n in problem.class_sizes]


def _squared_lengths(problem: UFM, nonnegative: bool) -> tuple[list[float], list[float]]:
    """Singular values of the best logits, and the share of the loss that no bias takes over, each of them.

    The last direction is that of all ones, where there is a bias to share it with (equal classes only).
    """
    K, N, mu = problem.num_classes, problem.num_samples, problem.joint_decay
    sizes = _sizes(problem)
    weights = [1.0] * K
    if problem.has_bias:
        if nonnegative:
            raise ValueError("bias_decay must be math.inf for squared error and features >= 0: no other form is proved")
        if not isinstance(problem.samples_per_class, int):
            raise ValueError(
                "samples_per_class must be equal for squared error with a bias (bias_decay=math.inf has none): "
                f"no closed form is proved with {problem.samples_per_class}"
            )
        weights[-1] = problem.bias_decay / (1 + problem.bias_decay)
    # The least of weight (t - size)^2 / (2N) + mu t over t >= 0: soft thresholding.
    return [max(0.0, s - N * mu / w) if w > 0 else 0.0 for s, w in zip(sizes, weights)], weights


def _squared(problem: UFM, nonnegative: bool, generator: torch.Generator | None) -> Optimum:
    K, d = problem.num_classes, problem.feature_dim
    sizes, (t, _) = _sizes(problem), _squared_lengths(problem, nonnegative)
    need_room(d, K - 1 if problem.has_bias and t[-1] == 0 else K, K)
    ratio = problem.feature_decay**0.5 / problem.weight_decay**0.5
    b = torch.zeros(K, dtype=torch.float64)
    if not problem.has_bias:  # one direction a class, each at its own length
        frame = _axes(K, d, generator) if nonnegative else _axes(K, d, None) @ _rotation(d, generator)
        scales = torch.tensor(t, dtype=torch.float64).sqrt()[:, None]
        W, means = scales * frame, scales / torch.tensor(sizes, dtype=torch.float64)[:, None] * frame
        margins = [x / s for x, s in zip(t, sizes)]
    else:  # K - 1 directions of the simplex, and the one of all ones
        if t[-1] > 0:
            frame = _axes(K, d, None)
            mean = frame.mean(dim=0)
            W = math.sqrt(t[0]) * (frame - mean) + math.sqrt(t[-1]) * mean
        else:
            # Rows of I - 11'/K, in d dimensions.
            W = math.sqrt(t[0] * (K - 1) / K) * simplex_etf(K, d)
        W = W @ _rotation(d, generator)
        means = W / sizes[0]
        b += (1 - t[-1] / sizes[0]) / (K * (1 + problem.bias_decay))
        margins = [t[0] / sizes[0]] * K
    point = Point(math.sqrt(ratio) * W, (means / math.sqrt(ratio))[problem.labels], b)
    norms = point.W.square().sum(dim=1).tolist()
    value = least_value(problem, nonnegative)
    if isinstance(problem.samples_per_class, int):
        return Optimum(point, value, margins[0], norms[0])
    return Optimum(point, value, tuple(margins), tuple(norms))


def _rotation(d: int, generator: torch.Generator | None) -> torch.Tensor:
    if generator is None:
        return torch.eye(d, dtype=torch.float64)
    gaussian = torch.randn(d, d, generator=generator, dtype=torch.float64, device=generator.device).cpu()
    Q, R = torch.linalg.qr(gaussian)
    return Q * R.diagonal().sign()
