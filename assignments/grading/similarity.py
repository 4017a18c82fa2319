"""Which submissions look copied: winnowed fingerprints of their code, by copydetect.

A high share is a reason to read both, never a verdict. Names, comments and white space do not count: copydetect
compares token kinds. What the assignment gave to everyone is left out.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from itertools import combinations
from pathlib import Path

import numpy as np
from copydetect import CodeFingerprint, compare_files

from assignments.grading.reading import Unreadable, read_bytes, read_cells
from assignments.grading.roster import clean, collect

TOKENS, WINDOW = 25, 1
SOLUTION = "(the solution)"


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two submissions and the share of the smaller one's code that the other contains too, 0 to 1."""

    first: str
    second: str
    share: float


def code_of(path: Path, assignment: str = "") -> str:
    """Return a notebook's code as one Python text, without magics and without what calls the checks."""
    text = "\n".join(read_cells(read_bytes(path), assignment) if assignment else read_any(path))
    lines = [x for x in text.splitlines() if not x.lstrip().startswith(("%", "!", "grader.check"))]
    return "\n".join(lines)


def read_any(path: Path) -> list[str]:
    """Return the code cells of a notebook of any assignment."""
    import json

    data = read_bytes(path)
    try:
        name = json.loads(data)["metadata"]["otter"]["assignment_name"]
    except (ValueError, KeyError, TypeError, RecursionError):
        name = ""
    return read_cells(data, name)


def fingerprint(code: str, given: np.ndarray | None = None) -> CodeFingerprint:
    return CodeFingerprint("submission.py", TOKENS, WINDOW, boilerplate=given, language="python", fp=io.StringIO(code))


def compare(folder: Path, given: Path | None = None, solution: Path | None = None) -> list[Pair]:
    """Return every pair of submissions in a folder, most alike first; what cannot be read is left out.

    Args:
        folder: as `grade` takes it.
        given: the notebook that students started from.
        solution: the assignment's own solution, one more paper to compare with, called `SOLUTION`.
    """
    submissions, _ = collect(folder, None)
    common = np.array(sorted(fingerprint(code_of(given)).hashes)) if given else None
    prints: dict[str, CodeFingerprint] = {}
    for submission in submissions:
        try:
            assert submission.path is not None
            prints[submission.student] = fingerprint(code_of(submission.path), common)
        except (Unreadable, OSError):
            continue
    if solution:
        prints[SOLUTION] = fingerprint(code_of(solution), common)
    pairs = []
    for first, second in combinations(prints, 2):
        _, shares, _ = compare_files(prints[first], prints[second])
        pairs.append(Pair(first, second, round(float(max(shares)), 4)))
    return sorted(pairs, key=lambda p: (-p.share, p.first, p.second))


def write(pairs: list[Pair], path: Path) -> None:
    """Write the pairs as a CSV."""
    with open(path, "w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(["first", "second", "share"])
        writer.writerows([clean(p.first), clean(p.second), p.share] for p in pairs)
