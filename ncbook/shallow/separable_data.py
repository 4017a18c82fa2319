"""Orthogonally separable data: the test, generators with prescribed margins, and what real data misses.

A labelled set is *orthogonally separable* when samples of one class have positive inner products and samples of
different classes negative ones. Source: Phuong and Lampert (2021); Min, Zhu and Vidal (2025), Assumption 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ncbook import checks


class Separability(NamedTuple):
    """The two margins of a data set; it is orthogonally separable if and only if both are positive."""

    mu_s: float  # the smallest cosine between two samples of the same class (1 where no class has two)
    mu_d: float  # minus the largest cosine between two samples of different classes


@dataclass(frozen=True)
class Violations:
    """By how much a data set fails to be orthogonally separable."""

    separability: Separability
    same: float  # share of same-class pairs whose cosine is not positive
    different: float  # share of different-class pairs whose cosine is not negative


def separability(inputs: Tensor, labels: Tensor) -> Separability:
    """Return the margins ``(mu_s, mu_d)``: the data are orthogonally separable iff both are positive.

    Args:
        inputs: (N, D) without a zero row. labels: (N,) integers with at least two classes present.

    Raises:
        ValueError: for a wrong shape, a non-finite entry, a zero row, or fewer than two classes.

    Source: Min, Zhu and Vidal (2025), Assumption 1, with the constants read as the extreme cosines.
    """
    return _violations(*_checked(inputs, labels)).separability


def violations(inputs: Tensor, labels: Tensor) -> Violations:
    """Return the margins together with the share of pairs on the wrong side of zero.

    Args and errors as in `separability`.
    """
    return _violations(*_checked(inputs, labels))


def _checked(inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    X = checks.tensor("inputs", inputs, "N, D").detach().double()
    y = checks.labels("labels", labels, num_samples=len(X))
    if len(torch.unique(y)) < 2:
        raise ValueError(f"labels must name at least two classes, got only {int(y[0])}")
    zero = (X.abs().amax(dim=1) == 0).nonzero()
    if len(zero):
        raise ValueError(f"inputs must have no zero row, got one at index {int(zero[0])}")
    return X, y


def _cosines(X: Tensor) -> Tensor:
    unit = torch.nn.functional.normalize(X / X.abs().amax(dim=1, keepdim=True), dim=1)
    return unit @ unit.T


def _violations(X: Tensor, y: Tensor) -> Violations:
    cosines = _cosines(X)
    same = y[:, None] == y[None, :]
    within = cosines[same & ~torch.eye(len(y), dtype=torch.bool)]
    between = cosines[~same]
    mu_s = float(within.min()) if len(within) else 1.0
    failed = float((within <= 0).double().mean()) if len(within) else 0.0
    return Violations(Separability(mu_s, -float(between.max())), failed, float((between >= 0).double().mean()))


def centred(inputs: Tensor) -> Tensor:
    """Return the inputs with their global mean removed: the step that brings image data near separability.

    Pixels are non-negative, so no two images have a negative inner product before it.

    Args:
        inputs: (N, D).

    Raises:
        ValueError: for a wrong shape or a non-finite entry.

    Source: Min, Zhu and Vidal (2025), appendix on the MNIST experiment.
    """
    X = checks.tensor("inputs", inputs, "N, D")
    return X - X.mean(dim=0)


def separable_subset(inputs: Tensor, labels: Tensor) -> Tensor:
    """Return the sorted indices (M,) of an orthogonally separable subset, grown greedily with the classes taking turns.

    A turn adds the sample of its class that agrees in sign with most samples still possible, and rules out those it
    disagrees with. A larger separable subset may exist. Nothing is moved, so centre real data first.

    Args and errors as in `separability`; also ``ValueError`` if a class gets no sample at all.
    """
    X, y = _checked(inputs, labels)
    cosines = _cosines(X)
    agrees = torch.where(y[:, None] == y[None, :], cosines > 0, cosines < 0)
    possible, kept = torch.ones(len(y), dtype=torch.bool), []
    while bool(possible.any()):
        for k in torch.unique(y):
            candidates = (possible & (y == k)).nonzero()[:, 0]
            if len(candidates):
                best = int(candidates[agrees[candidates][:, possible].sum(dim=1).argmax()])
                kept.append(best)
                possible &= agrees[best]
                possible[best] = False
    lost = sorted(set(y.tolist()) - set(y[kept].tolist()))
    if lost:
        raise ValueError(f"inputs must keep every class, but the separable subset found has none of {lost}")
    return torch.tensor(sorted(kept))


def orthogonal_data(
    num_classes: int,
    samples_per_class: int,
    input_dim: int,
    mu_s: float,
    mu_d: float,
    *,
    norms: tuple[float, float] = (1.0, 1.0),
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """Draw random data whose separability is exactly ``(mu_s, mu_d)``, for any number of classes.

    Each sample is ``sqrt(1 - tau) c_k + sqrt(tau) z`` with class centres of pairwise cosine ``-rho`` and ``z`` uniform
    on the sphere of a subspace of its class's own, the first two of a class opposite; ``tau`` and ``rho`` follow from
    the two margins. With equal norms the max-margin directions are the centres; unequal ``norms`` tilt them.

    Args:
        num_classes: K >= 2. samples_per_class: n >= 2.
        input_dim: D >= 3 K, so that the classes' own subspaces have at least two dimensions.
        mu_s, mu_d: the margins, in (0, 1).
        norms: sample lengths are uniform between these two; cosines do not depend on them.
        seed: of the draw and of the Haar-random rotation of the whole set.

    Returns:
        inputs (N, D) in float64 and labels (N,), ordered by class, ``N = K n``.

    Raises:
        ValueError: for an argument out of range, or ``mu_d > (1 + mu_s) / (2 (K - 1))``, which no centres can meet
            (no data set at all exceeds ``1/(K - 1)``).

    Source: constructed for this book; the bound ``mu_d <= 1/(K - 1)`` is proved in chapter 7.
    """
    K = checks.integer("num_classes", num_classes, minimum=2)
    n = checks.integer("samples_per_class", samples_per_class, minimum=2)
    D = checks.integer("input_dim", input_dim, minimum=3 * K)
    for name, value in (("mu_s", mu_s), ("mu_d", mu_d)):
        if checks.number(name, value, positive=True) >= 1:
            raise ValueError(f"{name} must be < 1, got {value!r}")
    g = torch.Generator().manual_seed(checks.integer("seed", seed, minimum=0))
    y = torch.arange(K).repeat_interleave(n)
    own = (D - K) // K
    z = torch.nn.functional.normalize(torch.randn(K * n, own, generator=g, dtype=torch.float64), dim=1)
    # The first two of each class are antipodes: the smallest cosine in z is then exactly -1, which fixes tau.
    z.view(K, n, own)[:, 1] = -z.view(K, n, own)[:, 0]
    tau = (1 - mu_s) / 2
    if mu_d > (1 - tau) / (K - 1):
        room = f"(1 + mu_s) / (2 (K - 1)) = {(1 - tau) / (K - 1):.4f}"
        raise ValueError(f"mu_d must be at most {room} for {K} classes and mu_s={mu_s}, got {mu_d}")
    X = torch.zeros(K * n, D, dtype=torch.float64)
    X[:, :K] = math.sqrt(1 - tau) * _centres(K, mu_d / (1 - tau))[y]
    for k in range(K):
        X[y == k, K + k * own : K + (k + 1) * own] = math.sqrt(tau) * z[y == k]
    return _lengths(X, norms, g) @ _rotation(D, g), y


def planar_data(
    num_classes: int,
    samples_per_class: int,
    spread: float,
    *,
    norms: tuple[float, float] = (1.0, 1.0),
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """Draw data in the plane, one fan of directions a class: separable for a small ``spread``, not for a large one.

    Class ``k`` points at ``90 + 360 k / K`` degrees, give or take ``spread`` degrees, both ends of the fan included, so
    the margins are exactly ``cos(2 spread)`` and ``-cos(360/K - 2 spread)`` (the latter for ``spread <= 180/K``).

    Args:
        num_classes: 2 or 3; no more classes have pairwise obtuse angles in the plane.
        samples_per_class: n >= 2. spread: degrees in [0, 180/K].
        norms: sample lengths are uniform between these two. seed: of the draw.

    Returns:
        inputs (N, 2) in float64 and labels (N,), ordered by class.

    Raises:
        ValueError: for an argument out of range.
    """
    K = checks.integer("num_classes", num_classes, minimum=2)
    n = checks.integer("samples_per_class", samples_per_class, minimum=2)
    if K > 3:
        raise ValueError(f"num_classes must be 2 or 3 in the plane, got {K}")
    if checks.number("spread", spread) > 180 / K:
        raise ValueError(f"spread must be at most {180 / K:g} degrees for {K} classes, got {spread!r}")
    g = torch.Generator().manual_seed(checks.integer("seed", seed, minimum=0))
    offset = 2 * torch.rand(K, n, generator=g, dtype=torch.float64) - 1
    offset[:, 0], offset[:, 1] = -1.0, 1.0
    degrees = 90 + 360 / K * torch.arange(K, dtype=torch.float64)[:, None] + spread * offset
    angle = torch.deg2rad(degrees).reshape(-1)
    X = torch.stack([torch.cos(angle), torch.sin(angle)], dim=1)
    return _lengths(X, norms, g), torch.arange(K).repeat_interleave(n)


def _centres(K: int, rho: float) -> Tensor:
    """K unit vectors in K dimensions with pairwise inner product ``-rho``: the square root of their Gram matrix."""
    mean = torch.full((K, K), 1 / K, dtype=torch.float64)
    eye = torch.eye(K, dtype=torch.float64)
    return math.sqrt(1 + rho) * (eye - mean) + math.sqrt(max(0.0, 1 - (K - 1) * rho)) * mean


def _lengths(X: Tensor, norms: tuple[float, float], g: torch.Generator) -> Tensor:
    low, high = checks.sequence("norms", norms, 2)
    if not 0 < checks.number("norms", low) <= checks.number("norms", high):
        raise ValueError(f"norms must be (low, high) with 0 < low <= high, got {norms!r}")
    return X * (low + (high - low) * torch.rand(len(X), 1, generator=g, dtype=torch.float64))


def _rotation(D: int, g: torch.Generator) -> Tensor:
    q, r = torch.linalg.qr(torch.randn(D, D, generator=g, dtype=torch.float64))
    return q * torch.sign(torch.diagonal(r))
