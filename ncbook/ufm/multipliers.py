"""What a point proposes as a multiplier of the dual problem: its answers, after the best bias for its logits.

Both certificates, in floating point and without rounding, start from here. Nothing in this file has to be exact: any
multiplier that fits gives a bound.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ncbook._landscape import off_class
from ncbook.ufm.losses import SquaredError, smoothing_of
from ncbook.ufm.model import UFM


def best_bias(problem: UFM, logits: Tensor, start: Tensor) -> Tensor:
    """Return the best bias for fixed ``H W'``, by damped Newton; if that fails the bound is loose but still a bound."""
    labels, loss = problem.labels, problem.loss
    if not problem.has_bias:
        return start
    if isinstance(loss, SquaredError):
        return -problem.num_samples * loss._gradient(logits, labels).mean(dim=0) / (1 + problem.bias_decay)
    sizes = torch.tensor(problem.class_sizes, dtype=logits.dtype)
    # What smoothing moves from the labels to all classes: zero without it, and for equal classes.
    moved = smoothing_of(loss) * (sizes / problem.num_samples - 1 / problem.num_classes)
    b = start - start.mean() if problem.bias_decay == 0 else start
    best, best_norm = b, math.inf
    for _ in range(60):
        off = off_class(logits + b, labels)
        leaving = torch.zeros_like(b).index_add(0, labels, off.sum(dim=1))
        gradient = (off.sum(dim=0) - leaving) / problem.num_samples + problem.bias_decay * b + moved
        norm = float(gradient.abs().sum())
        if not norm < 0.5 * best_norm and norm < 1e-15:
            break
        if norm < best_norm:
            best, best_norm = b, norm
        P = off.scatter_add(1, labels[:, None], 1 - off.sum(dim=1, keepdim=True))
        coupling = (P.T @ P / problem.num_samples).fill_diagonal_(0.0)
        # The Hessian is a weighted graph Laplacian: its diagonal is minus the sum of the rest of the row.
        laplacian = torch.diag(coupling.sum(dim=1) + problem.bias_decay) - coupling
        if problem.bias_decay == 0:
            # A constant shift changes nothing; filling that direction in makes the system regular.
            laplacian = laplacian + torch.diagonal(laplacian).mean() / problem.num_classes
        factor, failed = torch.linalg.cholesky_ex(laplacian)
        if bool(failed):
            break
        step = torch.cholesky_solve(gradient[:, None], factor)[:, 0]
        if not bool(torch.isfinite(step).all()):
            break
        # Log-sum-exp changes its curvature by a factor e^(2 |step|): damp far away, full steps nearby.
        reach = 2 * float(step.abs().max())
        b = b - step * (math.log1p(reach) / reach if reach > 0 else 1.0)
    return best
