"""The dual value of a multiplier, rounded down, for the convex losses other than cross-entropy.

The multiplier is ``Y``, shape (N, K), with ``||Y||_2 <= sqrt(lambda_W lambda_H)``; it is handed over as ``N Y``. No
point has an objective below ``-conjugate(Y) - ||Y'1||^2/(2 lambda_b)``, the conjugate being that of the mean loss; a
good ``Y`` is the loss's gradient at some logits, scaled into the ball.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ncbook._landscape import with_labels

if TYPE_CHECKING:
    from ncbook.ufm.model import UFM

_U = 2.0**-53  # unit round-off of float64


def squared_dual(problem: UFM, Y: Tensor) -> float:
    """``-conjugate`` of the squared error minus the bias's price, rounded down, of the floats ``N Y``."""
    N = problem.num_samples
    own = Y.gather(1, problem.labels[:, None])[:, 0]
    terms = (-own / N).tolist() + (-(Y * Y) / (2 * N)).flatten().tolist()
    total = math.fsum(terms) - 8 * _U * math.fsum(map(abs, terms))
    if not problem.has_bias:
        return total
    sums = [math.fsum(column) / N for column in Y.T.tolist()]
    norm = math.sqrt(math.fsum(y * y for y in sums)) * (1 + 16 * _U)
    # Where the objective is at most 1/2, its value at zero: ||1 b'|| <= ||residual|| + ||one-hot|| + ||H W'||, that is
    # sqrt(N) ||b|| <= 2 sqrt(N) + 1/(2 sqrt(lambda_W lambda_H)).
    price = norm * (2 + 1 / (2 * problem.joint_decay * math.sqrt(N))) * (1 + 16 * _U)
    if problem.bias_decay > 0:
        price = min(price, norm * norm / (2 * problem.bias_decay) * (1 + 16 * _U))
    return total - price


def smoothed_dual(problem: UFM, off: Tensor, smoothing: float) -> float:
    """The entropy of ``targets + N Y`` minus the bias's price, rounded down.

    ``N Y`` has the floats ``off`` (N, K) off the labels, and on the labels minus the exact sum of the others.
    """
    K, N, labels = problem.num_classes, problem.num_samples, problem.labels
    share = smoothing / K
    rivals = ~one_hot(labels, K).bool()
    others = (off[rivals] + share).view(N, K - 1)
    # Rounding moves an entry by at most this, and the answer on the label by K - 1 times as much and its own rounding.
    slip = 4 * _U * (float(off.abs().max()) + share)
    if float(others.min()) < slip:
        return -math.inf  # not proved to be probabilities
    right = 1 - others.sum(dim=1)
    bound = _entropy_from_below(others, slip).sum(dim=1) + _entropy_from_below(right, (K + 2) * (slip + _U))
    entropy = math.fsum(bound.tolist()) * (1 - (K + 16) * _U) / N
    if not problem.has_bias:
        return entropy
    columns = with_labels(off, labels).T.tolist()
    sums = [math.fsum(column) / N for column in columns]
    loose = 4 * K * _U * float(off.abs().max())  # of the label entries, which were summed in floats
    # As for cross-entropy, with a weight of 1 - smoothing + smoothing/K on the label, in a loss of at most N/n_k log K.
    l1 = (math.fsum(map(abs, sums)) + K * loose) * (1 + 8 * _U)
    weight = 1 - smoothing + share
    spread = math.log(K) * (N / min(problem.class_sizes) / weight + math.sqrt(2) / problem.joint_decay) * (1 + 8 * _U)
    price = l1 / 2 * spread
    if problem.bias_decay > 0:
        price = min(price, math.fsum((abs(y) + loose) ** 2 for y in sums) / (2 * problem.bias_decay))
    return entropy - price * (1 + 32 * _U)


def _entropy_from_below(p: Tensor, slip: float) -> Tensor:
    """The least ``-x log x`` within ``slip`` of each entry: concave, so at one of the two ends."""
    low, high = (p - slip).clamp(min=0.0), (p + slip).clamp(max=1.0)
    ends = [-torch.xlogy(x, x) for x in (low, high)]
    return torch.minimum(*ends) * (1 - 16 * _U)


def largest_scale(off: Tensor, labels: Tensor, share: float) -> float:
    """The largest factor of ``N Y`` for which ``targets + factor N Y`` has no entry below zero, nearly."""
    rivals = ~one_hot(labels, off.shape[1]).bool()
    below = float(-off[rivals].min()) if bool((off[rivals] < 0).any()) else 0.0
    above = float(off.sum(dim=1).max())
    room = [share / below] if below > 0 else []
    room += [(1 - (off.shape[1] - 1) * share) / above] if above > 0 else []
    return min(room, default=1.0) * (1 - 2.0**-40)
