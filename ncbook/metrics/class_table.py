"""What a report averages away: one row for each class."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ncbook.metrics.class_moments import SecondRead
from ncbook.metrics.geometry import aligned

SHOWN = 20  # rows that are printed


@dataclass(frozen=True)
class ClassTable:
    """One row for each measured class, as columns; ``pandas.DataFrame(table.as_dict())`` is a frame of it.

    A column that needs what was not given (a classifier, a second look) holds ``None``; a value that is not defined
    is ``nan``. Notation as in `NeuralCollapseReport`.

    Attributes:
        number: the class's number in the head.
        count: its samples.
        spread: root-mean-square distance of its samples from ``mu_k``; ``nan`` where one sample shows none
            (``correction=1``).
        length: ``||m_k||``.
        cosine: of ``m_k`` and ``w_k``, the class's share of self-duality.
        accuracy: share of its samples that the classifier gets right.
        agreement: share of its samples on which the classifier decides as the nearest class mean does.
        nearest_mean_accuracy: share of its samples that are nearest to ``mu_k``.
        confusion: the largest CDNV of any pair with this class, ``(v_j + v_k) / (2 ||mu_j - mu_k||^2)``.
        confuser: the number of the class that it is reached with: the one most easily taken for this one.
    """

    number: list[int]
    count: list[int]
    spread: list[float]
    length: list[float]
    cosine: list[float] | list[None]
    accuracy: list[float] | list[None]
    agreement: list[float] | list[None]
    nearest_mean_accuracy: list[float] | list[None]
    confusion: list[float]
    confuser: list[int | None]

    def __len__(self) -> int:
        """Return the number of classes."""
        return len(self.number)

    def as_dict(self) -> dict[str, list[Any]]:
        """Return the columns by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows, each as a dictionary."""
        columns = self.as_dict()
        for values in zip(*columns.values()):
            yield dict(zip(columns, values))

    def __str__(self) -> str:
        """Return the first twenty rows as text, four significant digits; columns of ``None`` are left out."""
        columns = {name: column[:SHOWN] for name, column in self.as_dict().items() if column[0] is not None}
        lines = [[name, *("-" if v is None else f"{v:.4g}" for v in column)] for name, column in columns.items()]
        widths = [max(map(len, line)) for line in lines]
        text = ["  ".join(v.rjust(w) for v, w in zip(row, widths)) for row in zip(*lines)]
        return "\n".join(text + ([f"… {len(self)} classes"] if len(self) > SHOWN else []))


def class_table(
    read: SecondRead,
    centred: Tensor,
    weight: Tensor | None,
    correction: int,
    classes: tuple[int, ...] | None,
    confusion: tuple[Tensor, Tensor],
) -> ClassTable:
    """Return the table of what was read; ``confusion`` holds each class's largest CDNV, and the row it is with."""
    moments = read.moments
    counts, degrees = moments.counts, moments.degrees(correction)
    numbers = list(range(len(counts))) if classes is None else list(classes)

    def share(hits: Tensor | None) -> Any:
        return [None] * len(counts) if hits is None else (hits / counts).tolist()

    worst, partner = (column.tolist() for column in confusion)
    return ClassTable(
        number=numbers,
        count=counts.long().tolist(),
        spread=(moments.scatters / degrees).sqrt().tolist(),  # 0/0 where nothing was seen
        length=torch.linalg.vector_norm(centred, dim=1).tolist(),
        cosine=[None] * len(counts) if weight is None else aligned(centred, weight).tolist(),
        accuracy=share(read.right),
        agreement=share(read.agreeing),
        nearest_mean_accuracy=share(read.nearest),
        confusion=worst,
        confuser=[None if math.isnan(value) else numbers[k] for value, k in zip(worst, partner)],
    )
