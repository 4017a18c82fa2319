"""What is kept of each submission between runs."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
from pathlib import Path

from assignments.grading.reading import Unreadable, read_bytes
from assignments.grading.roster import Submission
from assignments.grading.submission import Assignment, Case, timed_out


@dataclasses.dataclass
class Result:
    """One student's outcome, as it is stored."""

    student: str
    file: str = ""
    status: str = "ok"
    cases: list[Case] = dataclasses.field(default_factory=list)
    errors: dict[str, str] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0  # of the wall clock
    work: float = 0.0  # of the processor, where the notebook was not started twice
    made_from: str = ""
    tests: dict[str, str] = dataclasses.field(default_factory=dict)  # of each question, what its tests were
    kept: bool = False  # from an earlier run
    again: bool = False  # something took too long: to be graded again when the machine has nothing else to do

    @property
    def slow(self) -> bool:
        """Whether anything took too long."""
        return any(timed_out(c.trouble) for c in self.cases) or self.slow_cells

    @property
    def slow_cells(self) -> bool:
        return any(map(timed_out, self.errors.values()))

    def points(self, question: str) -> float:
        return sum(c.points for c in self.cases if c.question == question and c.passed)

    def write(self, folder: Path) -> None:
        """Store the result whole or not at all."""
        path = folder / f"{safe_name(self.student)}.json"
        beside = path.with_suffix(".part")
        with open(beside, "w") as file:
            json.dump(dataclasses.asdict(self), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)

    @classmethod
    def read(cls, path: Path) -> Result:
        table = json.loads(path.read_text())
        return cls(**{**table, "cases": [Case(**c) for c in table["cases"]]})


def safe_name(student: str) -> str:
    """Return a file name for a student: readable, never a path, different for different students."""
    plain = re.sub(r"[^\w.@+-]", "_", student).strip(".")[:60]
    return plain if plain and plain == student else f"{plain}-{hashlib.sha256(student.encode()).hexdigest()[:8]}"


def status(note: str, cases: list[Case], errors: dict[str, str]) -> str:
    """Say in one line what happened besides right and wrong answers."""
    parts = [note] if note else []
    parts += [f"cell {int(i) + 1}: {what}" for i, what in list(errors.items())[:5]]
    parts += [f"and {len(errors) - 5} more cells"] if len(errors) > 5 else []
    parts += list(dict.fromkeys(f"{c.question}: {c.trouble}" for c in cases if c.trouble))[:8]
    return "; ".join(parts) or "ok"


def fingerprint(submission: Submission, assignment: Assignment) -> str:
    """What a stored result must have been made from to be kept, besides the tests: this submission and these limits."""
    path = submission.path
    assert path is not None
    info = os.lstat(path)
    limits = json.dumps(dataclasses.asdict(assignment.limits), sort_keys=True)
    state = hashlib.sha256(f"{assignment.name} {limits} {submission.note} {path.name!r} {info.st_mode}".encode())
    with contextlib.suppress(Unreadable, OSError):
        state.update(read_bytes(path, assignment.name))
    return state.hexdigest()


def question_digests(assignment: Assignment) -> dict[str, str]:
    """Return, for each question, what its result was made from besides the submission: points and tests."""
    texts = {q: json.dumps([assignment.questions.get(q), text]) for q, text in assignment.tests.items()}
    return {q: hashlib.sha256(text.encode()).hexdigest() for q, text in texts.items()}


def stored(student: str, folder: Path) -> Result | None:
    """Return what an earlier run has stored, or None."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        return Result.read(folder / f"{safe_name(student)}.json")
    return None
