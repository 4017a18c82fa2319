"""Certificates of global optimality: any point of the model gives a rigorous lower bound on the minimum.

Proved in chapter 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ncbook import checks
from ncbook._intervals import round_down, round_up
from ncbook._landscape import off_class, with_labels
from ncbook.ufm.duals import largest_scale, smoothed_dual, squared_dual
from ncbook.ufm.enclosures import exact_certificate
from ncbook.ufm.formulas import objective
from ncbook.ufm.losses import SquaredError, smoothing_of
from ncbook.ufm.model import UFM, need_free_features
from ncbook.ufm.multipliers import best_bias
from ncbook.ufm.points import prepare

_U = 2.0**-53  # unit round-off of float64: the relative error of one rounded operation


@dataclass(frozen=True)
class Certificate:
    """What one point proves about the whole landscape."""

    value: float  # the objective at the point
    spectral_ratio: float  # ||G||_2 / sqrt(lambda_W lambda_H); at a critical point, <= 1 exactly when it is global
    lower_bound: float  # no point of the problem has a smaller objective
    gap: float  # value - lower_bound: the objective is at most this far above the global minimum
    is_global: bool  # gap <= tolerance * value
    tolerance: float


def certificate(
    problem: UFM, W: Tensor, H: Tensor, b: Tensor, *, tolerance: float = 1e-5, exact: bool = False
) -> Certificate:
    """Return a rigorous lower bound on the global minimum, built from any point by convex duality.

    With ``p_i`` any probabilities, ``Y = (P - one-hot)/N`` and ``||Y||_2 <= sqrt(lambda_W lambda_H)``, every point
    has an objective of at least ``mean entropy(p_i) - ||Y'1||^2 / (2 lambda_b)``. The point supplies ``P``: its
    softmax outputs, after the best bias for its ``H W'``, moved along the line through the one-hot labels until ``Y``
    fits.

    The bound holds in floating point. ``P`` is taken as the float64 numbers it is, so errors of the softmax do not
    matter; the spectral norm is bounded from above by a residual check of the computed eigenvectors; the entropy is
    rounded down by an explicit multiple of the unit round-off (assuming logarithms correct to 4 units in the last
    place); and for ``bias_decay = 0`` the left-over ``Y'1`` is paid for by a bound on how far apart the entries of
    an optimal bias can lie.

    Squared error and label smoothing have the same duality with their own conjugate in the entropy's place (chapter
    10), rounded down as carefully. Focal loss has none: it is not convex.

    Args:
        problem: the model; both ``weight_decay`` and ``feature_decay`` must be positive. Any ``feature_dim``. The loss
            must be convex and the features free.
        W: classifier (K, d). H: features (N, d), ordered by class. b: bias (K,). Any floating dtype and device.
        tolerance: ``is_global`` means ``gap <= tolerance * value``.
        exact: prove the bound in rational and interval arithmetic, where nothing is assumed of the machine's
            logarithms (needs python-flint). ``value`` and ``gap`` are then rounded up, ``lower_bound`` down;
            ``ufm.exact_certificate`` gives the intervals themselves.

    Returns:
        Certificate: ``lower_bound`` is valid at every point and tight at every global minimum with ``d >= K - 1``
            (``d >= K`` for squared error without a free bias).

    Raises:
        ValueError: for a problem that is not a ``UFM``, a loss that is not convex, features ``nonnegative``, a zero
            decay, a point of the wrong shape, a non-finite entry, or a tolerance that is not a positive number.

    Source: Zhu et al. (2021) for critical points (dual of the nuclear-norm problem); derived in chapter 4.
    """
    checks.number("tolerance", tolerance, positive=True)
    checks.flag("exact", exact)
    W, H, b = prepare(problem, W, H, b)
    need_free_features(problem, "certificate")
    if not problem.loss.convex:
        raise ValueError(f"problem must have a convex loss for a certificate by duality, got {problem.loss.name}")
    value = float(objective(problem, W, H, b))
    logits, labels = H @ W.T, problem.labels
    threshold = problem.num_samples * problem.joint_decay
    if isinstance(problem.loss, SquaredError) or smoothing_of(problem.loss) > 0:
        if exact:
            raise ValueError(f"exact must be False for {problem.loss.name}: its conjugate is bounded in floats only")
        ratio, lower = _of_other_loss(problem, logits, b, threshold)
    else:
        ratio = _norm_bound(with_labels(off_class(logits + b, labels), labels)) / threshold
        lower = _dual_value(problem, off_class(logits + best_bias(problem, logits, b), labels), threshold)
    lower = max(0.0, lower)
    gap = max(0.0, value - lower)
    if exact:
        proved = exact_certificate(problem, W, H, b)
        value, lower = round_up(proved.value.upper), max(0.0, round_down(proved.lower_bound.lower))
        gap = max(0.0, round_up(proved.gap.upper))
    return Certificate(value, ratio, lower, gap, gap <= tolerance * value, tolerance)


def _of_other_loss(problem: UFM, logits: Tensor, b: Tensor, threshold: float) -> tuple[float, float]:
    """The spectral ratio and the dual value, rounded down, for squared error and label smoothing."""
    labels, N, loss = problem.labels, problem.num_samples, problem.loss
    Y = N * loss._gradient(logits + b, labels)
    ratio = _norm_bound(Y) / threshold
    Y = N * loss._gradient(logits + best_bias(problem, logits, b), labels)
    sigma = _norm_bound(Y)
    if sigma == 0:
        return ratio, 0.0
    fits = threshold / sigma * (1 - 16 * problem.num_classes * _U)
    if isinstance(loss, SquaredError):
        # Concave in the scale, a parabola: its top, or as far as fits.
        own = float(Y.gather(1, labels[:, None]).sum())
        top = max(0.0, -own / float(Y.square().sum()))
        return ratio, max(squared_dual(problem, Y * scale) for scale in {min(1.0, fits), min(top, fits)})
    off = Y.scatter(1, labels[:, None], 0.0)
    fits = min(fits, largest_scale(off, labels, smoothing_of(loss) / problem.num_classes))
    return ratio, max(smoothed_dual(problem, off * scale, smoothing_of(loss)) for scale in {min(1.0, fits), fits})


def _norm_bound(Y: Tensor) -> float:
    """Return an upper bound on the spectral norm of the (N, K) matrix whose off-class entries are those of ``Y``.

    Nothing is trusted but the rounding of single operations: with any ``V``, ``L`` and ``M = V L V' + R`` one has
    ``||M||_2 <= ||V||_2^2 max|L| + ||R||_F``, and ``||V||_2^2 <= 1 + ||V'V - I||_F``.
    """
    N, K = Y.shape
    largest = float(Y.abs().max())
    if largest == 0:
        return 0.0
    Y = Y / largest  # entries of order one: nothing that matters can underflow below
    M = Y.T @ Y
    frobenius = float(torch.linalg.matrix_norm(Y))
    try:
        L, V = torch.linalg.eigh(M)
    except torch.linalg.LinAlgError:
        return frobenius * largest * (1 + (N * K + 64) * _U)  # cruder, but still above the spectral norm
    top = float(L.abs().max())
    stretch = float(torch.linalg.matrix_norm(V.T @ V - torch.eye(K, dtype=V.dtype)))
    residual = float(torch.linalg.matrix_norm(M - (V * L) @ V.T))
    # A sum of m rounded products is off by at most m u times the sum of their absolute values.
    stretch += (K + 3) * K * _U
    residual += (K + 3) * _U * (K * top + float(torch.linalg.matrix_norm(M)) + K * top)
    residual += (N + 2) * _U * frobenius**2
    # The label entries and the division rounded Y itself: by at most (K + 2) u of its Frobenius norm.
    sigma = math.sqrt((1 + stretch) * top + residual) + (K + 2) * _U * frobenius
    return sigma * largest * (1 + 64 * _U)


def _dual_value(problem: UFM, off: Tensor, threshold: float) -> float:
    """Return the dual objective, rounded down, of the off-class probabilities scaled into the feasible set."""
    sigma = _norm_bound(with_labels(off, problem.labels))
    if sigma == 0:
        return 0.0
    # Keep every 1 - r away from 0, where its logarithm would lose digits.
    limit = (1 - 2.0**-20) / float(off.sum(dim=1).max())
    largest = min(threshold / sigma * (1 - 8 * problem.num_classes * _U), limit)
    # The objective is concave in the scale: as the point has it (exact above the threshold), or as large as fits.
    return max(_entropy_bound(problem, off * scale) for scale in {min(1.0, largest), largest})


def _entropy_bound(problem: UFM, off: Tensor) -> float:
    """Return the dual objective of feasible off-class probabilities, rounded down."""
    K, N, labels = problem.num_classes, problem.num_samples, problem.labels
    r = off.sum(dim=1)
    terms = -torch.xlogy(off, off).sum(dim=1) - (1 - r) * torch.log1p(-r)
    # All terms are >= 0; r is off by at most K u r, which moves the last term by at most 16 K u r.
    entropy = math.fsum(terms.tolist()) * (1 - (K + 16) * _U) - 17 * K * _U * math.fsum(r.tolist())
    return entropy / N - _bias_price(problem, off, labels)


def _bias_price(problem: UFM, off: Tensor, labels: Tensor) -> float:
    """Return an upper bound on ``-(<Y'1, b> + lambda_b/2 ||b||^2)`` over all biases a minimiser may have."""
    K, N = problem.num_classes, problem.num_samples
    imbalance = []
    for k in range(K):
        inside = labels == k
        # fsum is correctly rounded: what leaves class k minus what arrives in it, without cancellation.
        imbalance.append(math.fsum((off[~inside, k]).tolist() + (-off[inside]).flatten().tolist()) / N)
    l1 = math.fsum(abs(y) for y in imbalance) * (1 + 8 * _U)
    # Where the objective is <= log K: ||H W'||_* <= log K / sqrt(lambda_W lambda_H), and in class k some sample has a
    # loss <= N/n_k log K, so that b_j - b_k <= N/n_k log K + sqrt(2) log K / sqrt(lambda_W lambda_H) for all j, k.
    spread = math.log(K) * (N / min(problem.class_sizes) + math.sqrt(2) / problem.joint_decay) * (1 + 8 * _U)
    price = l1 / 2 * spread if problem.has_bias else 0.0
    if problem.bias_decay > 0 and problem.has_bias:
        square = math.fsum(y * y for y in imbalance) * (1 + 16 * _U)
        price = min(price, square / (2 * problem.bias_decay) if square > 0 else l1)
    return price * (1 + 16 * _U)
