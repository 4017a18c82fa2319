"""Directions of feature vectors, and their differences to full relative precision.

Once a class lies on a ray to within 1e-9, two of its unit vectors agree in all but seven digits, and so their
difference has only seven correct ones. `deviations` computes that difference from the data without losing any.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def row_squares(rows: Tensor) -> Tensor:
    """Return the squared norm of each row."""
    return torch.linalg.vector_norm(rows, dim=-1).square()


def inverse_norms(rows: Tensor, start: int | Tensor = 0) -> tuple[Tensor, Tensor | None]:
    """Return what makes unit vectors of the rows (B,), 0 for a zero row; and which rows are not zero, None for all.

    Args:
        rows: (B, d), float64.
        start: index of the first row, or of every row, for the error.

    Raises:
        ValueError: naming the first sample with a NaN or an infinity, or whose norm over- or underflows float64.
    """
    norms = torch.linalg.vector_norm(rows, dim=1)
    least, greatest = (float(end) for end in norms.aminmax())  # both nan where one norm is
    if not greatest < 1e140:
        _report_bad_row(rows, norms, start)
    if least >= 1e-140:
        return norms.reciprocal(), None
    nonzero = norms > 0
    if bool((norms[nonzero] < 1e-140).any()):
        raise ValueError("features must not have norms below 1e-140, where squares underflow: rescale them")
    return torch.where(nonzero, norms, math.inf).reciprocal(), nonzero


def plainly_finite(features: Tensor) -> bool:
    """Tell by one quick look, in the features' own precision, that `inverse_norms` takes them; False is no verdict."""
    norms = torch.linalg.vector_norm(features, dim=1)
    if norms.dtype not in (torch.float32, torch.float64):
        return False
    least, greatest = (float(end) for end in norms.aminmax())
    return least > 1e-15 and greatest < 1e15


def _report_bad_row(rows: Tensor, norms: Tensor, start: int | Tensor) -> None:
    row = int((~(norms < 1e140)).nonzero()[0])
    sample = int(start[row]) if isinstance(start, Tensor) else start + row
    bad = (~torch.isfinite(rows[row])).nonzero()
    if len(bad):
        column = int(bad[0])
        raise ValueError(
            f"features must be finite, got {rows[row, column].item()} at sample {sample}, coordinate {column}"
        )
    raise ValueError(f"features must have norms below 1e140, got {norms[row].item():.1e} at sample {sample}")


def deviations(rows: Tensor, axes: Tensor) -> Tensor:
    """Return ``h / ||h|| - c`` for each row ``h`` and its axis ``c``, each entry small but right.

    With ``p = <c, h>`` and ``e = (h - p c) / p``, ``h / ||h||`` is ``(c + e) / ||c + e||``. The product ``p c`` is
    kept to twice the precision, so ``e`` is right to its own last digit; so is ``||c + e|| - 1``, from
    ``||c + e||^2 - 1 = (||c||^2 - 1) + 2 <c, e> + ||e||^2``.

    Args:
        rows: (B, d), float64, each within 60 degrees of its axis.
        axes: (B, d), float64, unit vectors up to rounding.

    Source: Dekker (1971), the product of two numbers to twice their precision.
    """
    along = (rows * axes).sum(1, keepdim=True)
    high, low = _product(along, axes)
    e = (rows - high - low) / along
    excess = _norm_excess(axes) + 2 * (axes * e).sum(1, keepdim=True) + e.square().sum(1, keepdim=True)
    growth = excess / (1 + (1 + excess).sqrt())
    return (e - growth * axes) / (1 + growth)


def unit_differences(rows: Tensor, inverse: Tensor, axes: Tensor) -> Tensor:
    """Return ``h / ||h|| - c`` for each row ``h`` of inverse norm ``inverse`` and its axis ``c``; 0 for a zero row."""
    turns = torch.addcmul(-axes, rows, inverse[:, None]).mul_((inverse > 0)[:, None])
    near = ((torch.linalg.vector_norm(turns, dim=1) < 1e-3) & (inverse > 0)).nonzero()[:, 0]
    turns[near] = deviations(rows[near], axes[near])  # digits are lost above
    return turns


def axes_of(points: Tensor) -> tuple[Tensor, Tensor]:
    """Return unit vectors (K, d) along the points, and what rounding took from them; zero for a zero point."""
    axes = torch.nn.functional.normalize(points, dim=1, eps=1e-140)
    rest = torch.zeros_like(axes)
    for some in points.any(1).nonzero()[:, 0].split(1024):
        rest[some] = deviations(points[some], axes[some])
    return axes, rest


def _product(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``a b`` exactly, as a rounded product and its rounding error."""
    (a1, a2), (b1, b2) = _halves(a), _halves(b)
    product = a * b
    return product, a2 * b2 - (((product - a1 * b1) - a2 * b1) - a1 * b2)


def _halves(x: Tensor) -> tuple[Tensor, Tensor]:
    """Split each number into two of at most 26 bits, whose products are exact."""
    scaled = x * (2.0**27 + 1)
    high = scaled - (scaled - x)
    return high, x - high


def _norm_excess(axes: Tensor) -> Tensor:
    """Return ``||c||^2 - 1``, a number near 1e-16, to several digits."""
    squares, errors = _product(axes, axes)
    # Multiples of 2^-40 that add up to about one are summed exactly; what they leave out is tiny.
    coarse = (squares + 1.5 * 2**12) - 1.5 * 2**12
    fine = (squares - coarse) + errors
    return (coarse.sum(1, keepdim=True) - 1) + fine.sum(1, keepdim=True)
