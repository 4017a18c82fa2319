"""The unconstrained-feature problem that a trained network's last layer stands for."""

from __future__ import annotations

import torch
from torch import Tensor

from ncbook import checks
from ncbook.ufm.formulas import Point
from ncbook.ufm.model import UFM


def layer_problem(
    features: Tensor,
    labels: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    weight_decay: float,
    feature_decay: float | None = None,
    bias_decay: float = 0.0,
) -> tuple[UFM, Point]:
    """Return the unconstrained-feature problem, and the point in it, that a network's last layer stands for.

    A network has no decay on its features. Without ``feature_decay`` the one is taken under which the layer is
    balanced in size, ``lambda_H = lambda_W ||W||^2 / ||H||^2``: the only value for which it could be a minimum.

    Args:
        features: last-layer inputs (N, d), any order, finite.
        labels: (N,) integers; each of the K classes at least once.
        weight: (K, d). bias: (K,), zero by default.
        weight_decay: lambda_W > 0 in the convention ``lambda/2 ||W||^2`` beside the mean cross-entropy.
        feature_decay: lambda_H > 0, or None for the balanced value.
        bias_decay: lambda_b >= 0.

    Returns:
        ``problem, (W, H, b)`` in float64 on the CPU, samples sorted by class.

    Raises:
        ValueError: for a wrong shape, a non-finite entry, a label out of range, a class without samples, a decay that
            is not positive, or an all-zero weight or feature matrix when ``feature_decay`` is to be inferred.

    Source: balance, ``lambda_W W'W = lambda_H H'H`` at critical points (chapter 4).
    """
    W = checks.tensor("weight", weight, "K, d").detach().cpu().double()
    K, d = W.shape
    H = checks.tensor("features", features, "N, d", d=d).detach().cpu().double()
    y = checks.labels("labels", labels, num_samples=len(H), num_classes=K).cpu()
    b = (
        torch.zeros(K, dtype=torch.float64)
        if bias is None
        else checks.tensor("bias", bias, "K", K=K).detach().cpu().double()
    )
    counts = torch.bincount(y, minlength=K).tolist()
    if min(counts) == 0:
        raise ValueError(f"labels must hold each of the {K} classes, got counts {counts}")
    decay = checks.number("weight_decay", weight_decay, positive=True)
    if feature_decay is None:
        size_W, size_H = float(W.square().sum()), float(H.square().sum())
        if size_W == 0 or size_H == 0:
            raise ValueError("feature_decay must be given where weight or features are all zero: balance is undefined")
        feature_decay = decay * size_W / size_H
    checks.number("feature_decay", feature_decay, positive=True)
    checks.number("bias_decay", bias_decay)
    problem = UFM(K, counts, d, decay, feature_decay, bias_decay)
    return problem, Point(W, H[torch.argsort(y, stable=True)], b)
