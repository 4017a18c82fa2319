"""Infinitely wide two-layer ReLU networks at their random start: two kernels, and how collapsed a kernel is."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ncbook import checks


def nngp_kernel(inputs: Tensor) -> Tensor:
    """Return ``2 E[relu(<w, x>) relu(<w, x'>)]`` over standard Gaussian ``w``: the features of a wide random layer.

    Args:
        inputs: (N, D) without a zero row.

    Returns:
        (N, N), float64, with the squared lengths of the inputs on the diagonal.

    Raises:
        ValueError: for a wrong shape, a non-finite entry or a zero row.

    Source: Cho and Saul (2009), the arc-cosine kernel of degree 1, times 2.
    """
    lengths, cosines = _polar(inputs)
    angles = cosines.arccos()
    return lengths * (angles.sin() + (math.pi - angles) * cosines) / math.pi


def tangent_kernel(inputs: Tensor) -> Tensor:
    """Return the neural tangent kernel of a wide two-layer ReLU network whose layers are both trained.

    ``nngp_kernel(inputs)``, from the outer weights, plus ``2 <x, x'> P(<w, x> > 0, <w, x'> > 0)``, from the inner ones.

    Args and errors as in `nngp_kernel`.

    Source: Jacot, Gabriel and Hongler (2018); the arc-cosine kernel of degree 0 is Cho and Saul's (2009).
    """
    lengths, cosines = _polar(inputs)
    return nngp_kernel(inputs) + lengths * cosines * (1 - cosines.arccos() / math.pi)


def kernel_trace_quotient(kernel: Tensor, labels: Tensor) -> float:
    """Return ``tr(Sigma_W) / tr(Sigma_B)`` of features that are known by their inner products only.

    The same number as ``metrics.neural_collapse(features, labels).nc1_trace_quotient`` where
    ``kernel = features @ features.T``. Classes count alike, whatever their sizes.

    Args:
        kernel: (N, N), symmetric. labels: (N,), every class ``0 … K - 1`` present, K >= 2.

    Raises:
        ValueError: for a wrong shape, a non-finite entry, a missing class, or class means that coincide.

    Source: the quotient, Hui, Belkin and Nakkiran (2022); that a kernel gives it, Kothapalli and Tirer (2025).
    """
    theta = checks.tensor("kernel", kernel, "N, N").detach().double()
    if theta.shape[0] != theta.shape[1]:
        raise ValueError(f"kernel must be (N, N), got {tuple(theta.shape)}")
    y = checks.labels("labels", labels, num_samples=len(theta))
    counts = torch.bincount(y)
    if len(counts) < 2 or bool((counts == 0).any()):
        raise ValueError(f"labels must hold every class 0 … K - 1 with K >= 2, got counts {counts.tolist()}")
    average = one_hot(y).double() / counts  # (N, K): a column averages over its class
    means = average.T @ theta @ average  # the class means' inner products
    within = float((average.T @ theta.diagonal()).mean() - means.diagonal().mean())
    between = float(means.diagonal().mean() - means.mean())
    if between <= 1e-14 * float(theta.diagonal().mean()):
        raise ValueError(f"kernel must tell the class means apart, got a between-class trace of {between:.1e}")
    return within / between


def _polar(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the products of lengths and the cosines of all pairs."""
    X = checks.tensor("inputs", inputs, "N, D").detach().double()
    r = X.norm(dim=1)
    if len(r) and not float(r.min()) > 0:
        raise ValueError(f"inputs must have no zero row, got one at index {int(r.argmin())}")
    unit = X / r[:, None]
    return r[:, None] * r, (unit @ unit.T).clamp(-1, 1).fill_diagonal_(1)
