"""A pytest plugin: nbval compares numbers as far as the cell's tags say (see tools/numbers.py).

python -m pytest --nbval chapters -p tools.nbval_numbers
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
from nbval.plugin import IPyNbCell

from tools.numbers import compare, tolerance


class NumbersCell(IPyNbCell):
    """A notebook cell whose printed numbers may differ as far as its tags allow."""

    def compare_outputs(self, test: list[Any], ref: list[Any], skip_compare: Any = None) -> bool:
        tags = self.cell.metadata.get("tags", [])
        if tolerance(tags) is None:
            return super().compare_outputs(test, ref, skip_compare)
        differences: list[str] = []
        # Text that agrees is replaced by the stored text; nbval then judges all the rest as it always does.
        merged = [merge(fresh, stored, tags, differences) for fresh, stored in zip(test, ref)] + test[len(ref) :]
        good = super().compare_outputs(merged, ref, skip_compare)
        self.comparison_traceback += differences
        return good


def merge(fresh: dict[str, Any], stored: dict[str, Any], tags: list[str], differences: list[str]) -> dict[str, Any]:
    """Return an output with the stored text wherever its own agrees with it; note what does not."""
    if (fresh["output_type"], fresh.get("name")) != (stored["output_type"], stored.get("name")):
        return fresh
    fresh = copy.deepcopy(fresh)  # the cell keeps what it printed
    for place, reference, key in ((fresh, stored, "text"), (fresh.get("data"), stored.get("data"), "text/plain")):
        if place and reference and key in place and key in reference:
            difference = compare(reference[key], place[key], tags)
            if difference is None:
                place[key] = reference[key]
            else:
                differences.append(difference)
    return fresh


def pytest_itemcollected(item: pytest.Item) -> None:
    # nbval names its cell class where it makes the cells and offers no hook there.
    if type(item) is IPyNbCell:
        item.__class__ = NumbersCell
