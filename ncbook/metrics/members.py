"""Which class each row of a block belongs to, and the sums and differences by class that follow from it."""

from __future__ import annotations

import torch
from torch import Tensor

from ncbook.metrics.scratch import Scratch

FEW = 20  # up to so many classes a product with 0s and 1s is quicker than looking up a class's row for every sample


class Members:
    """The classes of the rows of a block; every sum is in float64, and deterministic where torch is told to be.

    For few classes as a matrix (B, K) of 0s and a 1 in each row. A product with it takes a class's row to its samples
    in the same pass that uses it, and exactly: of the K terms of each entry all but one are zero.
    """

    def __init__(self, labels: Tensor, num_classes: int, scratch: Scratch | None = None) -> None:
        self.labels, self.num_classes, self.scratch = labels, num_classes, scratch or Scratch()
        self.matrix: Tensor | None = None
        if num_classes <= FEW:
            self.matrix = (labels[:, None] == torch.arange(num_classes, device=labels.device)).double()

    def totals(self, values: Tensor) -> Tensor:
        """Return the sum of ``values`` (B,) or (B, M) over each class, (K,) or (K, M)."""
        values = values.double()
        if self.matrix is not None:
            return self.matrix.T @ values
        sums = values.new_zeros(self.num_classes, *values.shape[1:])
        return add_by_class(sums, values, self.labels)

    def add(self, sums: Tensor, rows: Tensor) -> Tensor:
        """Add each row of ``rows`` (B, d) to the row of ``sums`` (K, d) of its class, in place."""
        return add_by_class(sums, rows, self.labels)

    def add_weighted(self, sums: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
        """Add each row times its weight (B,) to the row of ``sums`` (K, d) of its class, in place."""
        if self.matrix is not None:
            return sums.addmm_((self.matrix * weights[:, None]).T, rows)
        weighted = self.scratch.take("weighted", (len(rows), rows.shape[1]), rows.device)
        return add_by_class(sums, torch.mul(rows, weights[:, None], out=weighted), self.labels)

    def dots(self, rows: Tensor, table: Tensor) -> Tensor:
        """Return the inner product of each of ``rows`` (B, d) with the row of ``table`` (K, d) of its class, (B,)."""
        if self.matrix is not None:
            return (rows @ table.T).mul_(self.matrix).sum(1)
        return self._looked_up(table).mul_(rows).sum(1)

    def subtract(self, rows: Tensor, table: Tensor) -> Tensor:
        """Subtract from each of ``rows`` (B, d) the row of ``table`` (K, d) of its class, in place."""
        if self.matrix is not None:
            return rows.addmm_(self.matrix, table, alpha=-1)
        return rows.sub_(self._looked_up(table))

    def _looked_up(self, table: Tensor) -> Tensor:
        out = self.scratch.take("looked up", (len(self.labels), table.shape[1]), table.device)
        return torch.index_select(table, 0, self.labels, out=out)  # half the time of table[labels]


def add_by_class(sums: Tensor, rows: Tensor, labels: Tensor) -> Tensor:
    """Add each of ``rows`` (B,) or (B, d) to the entry of ``sums`` (K,) or (K, d) that its label names, in place."""
    # Not bincount with weights: on a GPU it refuses to run under deterministic algorithms. And scatter_add_ with an
    # expanded index takes PyTorch's parallel path over sorted rows; index_add_ does not.
    return sums.scatter_add_(0, labels[:, None].expand_as(rows) if rows.ndim == 2 else labels, rows)


def at_hand(labels: Tensor, num_classes: int) -> tuple[Tensor | slice, Tensor, Tensor]:
    """Return the classes among the labels (B,), each label's place among them, and how many samples each has.

    A batch of 256 holds few of 1000 classes, and only theirs are touched. Few classes are usually all there.
    """
    if num_classes <= FEW:
        samples = torch.bincount(labels, minlength=num_classes)
        if bool(samples.all()):
            return slice(None), labels, samples
    return torch.unique(labels, return_inverse=True, return_counts=True)
