"""Where gradient flow goes: class max-margin directions, the predicted limit, and how collapsed a network is.

Everything here is about the direction ``theta / ||theta||`` of a bias-free two-layer ReLU network, the only part of its
weights that has a limit. Source: Min, Zhu and Vidal (2025), Theorem 1, derived again in chapter 7.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

from ncbook import checks
from ncbook.etf import etf_distance
from ncbook.metrics import neural_collapse


@dataclass(frozen=True)
class Limit:
    """The predicted direction of the weights, up to which neurons carry which class.

    ``theta / ||theta||`` has features ``phi(x) = scales[k] <directions[k], x> phi_k`` on class ``k``, with orthonormal,
    non-negative ``phi_k``, and classifier ``V = sum_k scales[k] pseudo_label_k phi_k'``.
    """

    directions: Tensor  # (K, D), unit rows: the hard-margin direction of each class alone
    margins: Tensor  # (K,), gamma_k = min over the class of <directions[k], x>
    scales: Tensor  # (K,), s_k, with 2 sum s_k^2 = 1

    def features(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return the limit's features (N, K) in the basis where ``phi_k`` is the k-th axis.

        Raises:
            ValueError: for a wrong shape, or a label without a direction.
        """
        X = checks.tensor("inputs", inputs, "N, D", D=self.directions.shape[1]).double()
        y = checks.labels("labels", labels, num_samples=len(X), num_classes=len(self.margins))
        along = self.scales[y] * (X * self.directions[y]).sum(dim=1)
        return torch.nn.functional.one_hot(y, len(self.margins)).double() * along[:, None]

    def classifier(self, num_outputs: int | None = None) -> Tensor:
        """Return the limit's classifier in the same basis: (K, K), or (1, 2) for a binary network of one output."""
        K = len(self.margins)
        return pseudo_labels(K, K if num_outputs is None else num_outputs) * self.scales


def pseudo_labels(num_classes: int, num_outputs: int | None = None) -> Tensor:
    """Return unit pseudo-labels as columns: ``sqrt(K/(K-1)) (I - 1 1'/K)``, or ``[-1, 1]`` for one output.

    Args:
        num_classes: K >= 2. num_outputs: K (the default), or 1 when K = 2.

    Raises:
        ValueError: for another number of outputs.
    """
    K = checks.integer("num_classes", num_classes, minimum=2)
    outputs = K if num_outputs is None else checks.integer("num_outputs", num_outputs)
    if outputs == 1 and K == 2:
        return torch.tensor([[-1.0, 1.0]], dtype=torch.float64)
    if outputs != K:
        raise ValueError(f"num_outputs must be {K}{' or 1' if K == 2 else ''}, got {outputs}")
    return math.sqrt(K / (K - 1)) * (torch.eye(K, dtype=torch.float64) - 1 / K)


def max_margin(inputs: Tensor) -> tuple[Tensor, float]:
    """Return the unit ``u`` that maximises ``min_i <u, x_i>``, and that margin.

    The margin is the distance from 0 to the convex hull of the rows, and ``u`` points at the nearest point.

    Args:
        inputs: (N, D).

    Returns:
        Direction (D,) and margin > 0.

    Raises:
        ValueError: for a wrong shape or a non-finite entry, or if no direction has a positive margin.

    Source: the Lawson and Hanson least-distance problem: the non-negative least-squares solution of
    ``X' a = 0, sum(a) = 1`` is proportional to the hull's nearest point, and its active-set solver is exact.
    """
    X = checks.tensor("inputs", inputs, "N, D").detach().double()
    scale = float(X.abs().max())
    if scale == 0:
        raise ValueError("inputs must not be all zero: no direction has a positive margin")
    A = np.vstack([X.T.numpy() / scale, np.ones(len(X))])
    weights = torch.from_numpy(nnls(A, np.append(np.zeros(X.shape[1]), 1.0))[0])
    nearest = (weights / weights.sum()) @ X
    length = float(nearest.norm())
    margin = float((X @ nearest).min()) / length if length > 0 else 0.0
    # Round-off only: at the solution the margin equals the length of the nearest point.
    if margin < 1e-9 * scale:
        raise ValueError("inputs must lie in an open half-space, got 0 in (or next to) their convex hull")
    return nearest / length, margin


def predicted_limit(inputs: Tensor, labels: Tensor) -> Limit:
    """Return the direction that gradient flow reaches on orthogonally separable data, before any training.

    ``s_k = sqrt(gamma_k^-1 / (2 sum_l gamma_l^-1))``: a class with a small margin gets larger weights.

    Args:
        inputs: (N, D), every class in an open half-space. labels: (N,), every class ``0 … K - 1`` present, K >= 2.

    Returns:
        Limit with directions (K, D), margins (K,) and scales (K,), in float64.

    Raises:
        ValueError: for a wrong shape, a missing class, or a class without a positive margin. Separability itself
            is not asked for, so that the prediction can be compared where its assumption fails.

    Source: Min, Zhu and Vidal (2025), Theorem 1; the formula for ``s_k`` is derived in chapter 7.
    """
    X = checks.tensor("inputs", inputs, "N, D").detach().double()
    y = checks.labels("labels", labels, num_samples=len(X))
    K = _num_classes(y)
    solved = [max_margin(X[y == k]) for k in range(K)]
    margins = torch.tensor([margin for _, margin in solved], dtype=torch.float64)
    inverse = 1 / margins
    return Limit(torch.stack([u for u, _ in solved]), margins, torch.sqrt(inverse / (2 * inverse.sum())))


@dataclass(frozen=True)
class Collapse:
    """Five measures of collapse of one network on one data set; each is 0 at perfect collapse of its kind."""

    nc1: float  # of `metrics.neural_collapse`: not 0 in the limit of this chapter
    directional_nc1: float  # of `metrics.neural_collapse`: the variance of the features scaled to unit length
    nc2_frame: float  # distance of the class directions' Gram matrix from an orthonormal frame's
    nc2_etf: float  # distance of the centred class directions' Gram matrix from a simplex ETF's
    nc3: float  # distance of the classifier from the pseudo-labels times the class directions (projected self-duality)


def collapse(features: Tensor, labels: Tensor, classifier: Tensor) -> Collapse:
    """Measure collapse of features (N, h) and classifier (K, h), or (1, h) for a binary network of one output.

    A zero feature has no direction and is left out of the directional measures. The class directions ``phi_k`` are
    the normalised means of unit features. All measures are ``nan`` where all features of a class vanish.

    Raises:
        ValueError: for a wrong shape, a missing class, or features that `metrics.neural_collapse` refuses.

    Source: Min, Zhu and Vidal (2025), appendix B.2 for the frame; Papyan, Han and Donoho (2020) for NC1; the
    directional and projected versions are this book's, made to vanish at the limit of Theorem 1.
    """
    H = checks.tensor("features", features, "N, h").detach().double()
    y = checks.labels("labels", labels, num_samples=len(H))
    K = _num_classes(y)
    V = checks.tensor("classifier", classifier, "K, h", h=H.shape[1]).detach().double()
    targets = pseudo_labels(K, len(V))
    phi = class_directions(H, y)
    if not bool((phi.norm(dim=1) > 0).all()):
        return Collapse(*[math.nan] * 5)
    gram = phi @ phi.T
    frame = gram / gram.norm() - torch.eye(K, dtype=gram.dtype) / math.sqrt(K)
    dual = (targets * (V @ phi.T).norm(dim=0)) @ phi
    centred = phi - phi.mean(dim=0)
    nc2_etf = etf_distance(centred) if float(centred.norm()) > 0 else math.nan
    nc3 = float((V - dual).norm() / V.norm())
    found = neural_collapse(H, y)
    return Collapse(found.nc1, found.directional_nc1, float(frame.norm()), nc2_etf, nc3)


def class_directions(features: Tensor, labels: Tensor) -> Tensor:
    """Return ``phi_k`` (K, h): the normalised mean of each class's unit features; zero where all of them vanish.

    Raises:
        ValueError: for a wrong shape, a non-finite entry, or a missing class.
    """
    H = checks.tensor("features", features, "N, h").detach().double()
    y = checks.labels("labels", labels, num_samples=len(H))
    unit = torch.nn.functional.normalize(H, dim=1, eps=1e-300)
    means = torch.stack([unit[y == k].mean(dim=0) for k in range(_num_classes(y))])
    return torch.nn.functional.normalize(means, dim=1, eps=1e-300)


def _num_classes(y: Tensor) -> int:
    counts = torch.bincount(y)
    if len(counts) < 2 or bool((counts == 0).any()):
        raise ValueError(f"labels must hold every class 0 … K - 1 with K >= 2, got counts {counts.tolist()}")
    return len(counts)
