"""Compare the text a cell printed with the text it has stored, number by number.

A cell's tags say how far the numbers may lie apart:

    tolerance-0.02   each number within 2 % of the stored one
    tolerance-x3     each number within a factor of 3 of the stored one
    below-1e-12      a number that should vanish: also matches where it and the stored one are at most 1e-12 in size

Without a tag the two texts must be the same. With one, words, lines and the count of numbers must still be the same;
only blanks may differ, because columns move when a number gets longer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

# A sign belongs to the number unless something it could be subtracted from stands before it ("3-5", "h(x)-1").
# Digits in a name ("NC1", "float64") are part of the name.
SIGN = r"(?:(?<![\w.)\]])[-+−])?"
NUMBER = re.compile(rf"{SIGN}(?<![\w.])(?:\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|(?:nan|inf)\b)")
OURS = re.compile(r"(?:tolerance|below)\b")


@dataclass(frozen=True)
class Tolerance:
    """How far a number may lie from the stored one; the default is not at all."""

    relative: float = 0.0
    factor: float = 1.0
    below: float = 0.0

    def admits(self, stored: str, fresh: str) -> bool:
        """Tell whether two numbers, as printed, agree."""
        if stored == fresh:
            return True
        a, b = value(stored), value(fresh)
        if not (math.isfinite(a) and math.isfinite(b)):
            return a == b or (math.isnan(a) and math.isnan(b))
        if max(abs(a), abs(b)) <= self.below:
            return True
        # The slack is for the round-off in forming the limit itself: 1.02 is within 2 % of 1.
        if abs(a - b) <= self.relative * abs(a) * (1 + 1e-9) and self.relative:
            return True
        within = abs(a) <= self.factor * abs(b) * (1 + 1e-9) and abs(b) <= self.factor * abs(a) * (1 + 1e-9)
        return self.factor > 1 and a * b > 0 and within


def value(number: str) -> float:
    return float(number.replace("−", "-"))


def tolerance(tags: Iterable[str]) -> Tolerance | None:
    """Read a cell's tags; None where none of them is about numbers.

    Raises ValueError naming the tag where it begins like one of ours and is not, or where two set the same limit.
    """
    limits: dict[str, float] = {}
    for tag in filter(OURS.match, tags):
        kind, limit = parse(tag)
        group = "below" if kind == "below" else "tolerance"
        if any((key == "below") == (group == "below") for key in limits):
            raise ValueError(f"tag {tag!r}: the cell has another {group} tag already, expected one")
        limits[kind] = limit
    return Tolerance(**limits) if limits else None


def parse(tag: str) -> tuple[str, float]:
    """Return which limit a tag sets (relative, factor or below), and the limit."""
    expected = "expected tolerance-R with 0 < R < 1, tolerance-xF with 1 < F < inf, or below-E with 0 < E < 1"
    found = re.fullmatch(r"(tolerance|below)-(x?)(\d+(?:\.\d+)?(?:e[-+]?\d+)?)", tag)
    if not found or (found[1] == "below" and found[2]):
        raise ValueError(f"tag {tag!r}: {expected}")
    kind = "below" if found[1] == "below" else "factor" if found[2] else "relative"
    limit = float(found[3])
    if not (1 < limit < math.inf if kind == "factor" else 0 < limit < 1):
        raise ValueError(f"tag {tag!r}: {expected}")
    return kind, limit


def compare(stored: str, fresh: str, tags: Iterable[str] = ()) -> str | None:
    """Return None where the texts agree, else a message that names the first difference and its line.

    ``stored`` is the notebook's text, ``fresh`` what the cell printed now. Raises ValueError for a bad tag.
    """
    allowed = tolerance(tags)
    if stored == fresh:
        return None
    old, new = stored.splitlines(), fresh.splitlines()
    if len(old) != len(new):
        return f"{len(old)} lines stored, {len(new)} lines now"
    for i, (before, after) in enumerate(zip(old, new), start=1):
        message = compare_lines(before, after, allowed)
        if message:
            return f"line {i}: {message}\n   stored: {before}\n   now:    {after}"
    return None if allowed else "the line ends differ"


def compare_lines(stored: str, fresh: str, allowed: Tolerance | None) -> str | None:
    """Compare one line with one line: numbers, then words."""
    old, new = NUMBER.findall(stored), NUMBER.findall(fresh)
    if len(old) != len(new):
        return f"{len(old)} numbers stored, {len(new)} now"
    limits = allowed or Tolerance()
    for i, (a, b) in enumerate(zip(old, new), start=1):
        if not limits.admits(a, b):
            return f"number {i} was {a}, is {b} ({says(limits)})"
    if allowed is None:
        return "the text differs, and without a tag it may not" if stored != fresh else None
    return "the words differ" if words(stored) != words(fresh) else None


def words(line: str) -> list[str]:
    """Return the text between the numbers, each stretch with its blanks closed up."""
    return [" ".join(stretch.split()) for stretch in NUMBER.split(line)]


def says(limits: Tolerance) -> str:
    parts = [f"within {limits.relative:.3g} of it" if limits.relative else ""]
    parts += [f"within a factor of {limits.factor:g}" if limits.factor > 1 else ""]
    parts += [f"both at most {limits.below:g}" if limits.below else ""]
    return "allowed: " + (" or ".join(filter(None, parts)) or "no difference")
