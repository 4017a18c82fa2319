"""How far the directions of features are from the direction of a point near them, without forming a unit vector."""

from __future__ import annotations

import torch
from torch import Tensor

from ncbook.metrics.members import Members
from ncbook.metrics.unit_rows import row_squares

SURE = 1e-3  # share of the squared residuals that must remain, so that ten digits do
LOOSE = 1e-5  # mean of (||z|| / ||h||)^2 above which ||h|| - ||r|| may be taken as it stands


class Turns:
    """Sums by class of ``t = h / ||h|| - r / ||r||``, for residuals ``z = h - r`` from a point ``r`` of each class.

    With ``g = ||h|| - ||r|| = (2 <r, z> + ||z||^2) / (||h|| + ||r||)``, where nothing cancels,

        ``||t||^2 = (||z||^2 - g^2) / (||h|| ||r||)``  and  ``t = z / ||h|| - g r / (||h|| ||r||)``.

    So residuals, which are at hand, replace unit vectors, whose differences would have to be taken digit by digit.
    Only where the residuals lie along ``r``, or hardly differ, too little remains of a difference; `moments` says so.

    A zero row has no direction and adds nothing.
    """

    def __init__(self, points: Tensor) -> None:
        self.points, self.lengths = points, torch.linalg.vector_norm(points, dim=1)
        self.sums = torch.zeros_like(points)  # of z / ||h||
        self.totals = points.new_zeros(len(points), 3)  # of ||t||^2, ||z||^2 / (||h|| ||r||), - g / (||h|| ||r||)

    def add(self, members: Members, residuals: Tensor, squares: Tensor, inverse: Tensor) -> None:
        """Add residuals (B, d), their squared norms (B,), and the inverse norms (B,) of the rows, 0 for a zero row."""
        lengths = self.lengths[members.labels]
        scale, norms = inverse / lengths, torch.where(inverse > 0, inverse.reciprocal(), lengths)
        sizes, most = squares * scale, squares.sqrt()
        growth = norms - lengths
        if not bool(sizes.mean() > LOOSE):
            growth = (2 * members.dots(residuals, self.points) + squares) / (norms + lengths)
        growth = growth.clamp(-most, most)  # rounding may have taken it past ||z||
        self.totals += members.totals(torch.stack((sizes - growth.square() * scale, sizes, -growth * scale), 1))
        members.add_weighted(self.sums, residuals, inverse)

    def moments(self, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the scatter of the directions (K,), the mean turn (K, d), and for which classes (K,) both are sure.

        To be asked once: the sums become the means.

        Args:
            counts: (K,) how many rows with a direction were added.
        """
        squares, sizes, along = self.totals.unbind(1)
        mean = self.sums.addcmul_(self.points, along[:, None]).div_(counts.clamp_min(1)[:, None])
        scatter = (squares - counts * row_squares(mean)) * (counts > 1)
        least = torch.where(counts > 1, scatter, squares)
        return scatter.clamp_min(0), mean, (least >= SURE * sizes) & (self.lengths > 1e-100)
