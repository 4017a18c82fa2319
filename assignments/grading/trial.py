"""Try an assignment on its own reference and its untouched notebook, or any other."""

from __future__ import annotations

import dataclasses
import os
from functools import cached_property
from pathlib import Path

import nbformat
from filelock import FileLock

from assignments.grading.batch import grade_all
from assignments.grading.isolation import Isolation, best_isolation
from assignments.grading.results import Result, safe_name
from assignments.grading.roster import Submission
from assignments.grading.submission import Assignment
from assignments.release import masters, release

SECRET = "a throw-away secret for trials"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one notebook earned: points lost by question, errors by cell, messages of checks that did not pass."""

    total: float
    lost: dict[str, float]
    errors: dict[str, str]
    status: str
    messages: list[str]
    seconds: float


class Trial:
    """A released assignment, and notebooks graded against it."""

    def __init__(
        self, folder: Path, released: Path, isolation: Isolation, limits: dict[str, float] | None = None
    ) -> None:
        self.folder = folder
        self.released = released
        self.isolation = isolation
        self.assignment = Assignment.read(released / "autograder", limits)

    @classmethod
    def of(cls, name: str, folder: Path, master: Path | None = None, limits: dict[str, float] | None = None) -> Trial:
        """Release ``name`` (or another master) into ``folder`` with a throw-away secret, and get ready to grade it.

        Test processes side by side share one folder, so that nothing is released or graded once for each of them. Where
        no isolation works, the notebooks run without: they are the author's own.
        """
        if "PYTEST_XDIST_WORKER" in os.environ:
            folder = folder.parent.parent / f"trial-{name}"
            folder.mkdir(exist_ok=True)
        with FileLock(folder / "lock"):
            # The solution is not run against the tests here: it is the first notebook that a trial grades.
            path = master or masters()[name]
            released = release(path, secret=SECRET, out=folder / name, run_solution=False)
        return cls(folder, released, best_isolation() or Isolation(), limits)

    def notebook(self, kind: str = "autograder") -> nbformat.NotebookNode:
        """Return the reference (``"autograder"``) or the untouched (``"student"``) notebook."""
        return nbformat.read(self.released / kind / f"{self.assignment.name}.ipynb", as_version=4)

    def grade_notebooks(self, notebooks: dict[str, nbformat.NotebookNode]) -> dict[str, Outcome]:
        """Grade notebooks by name, in parallel."""
        folder = self.folder / "tried"
        state = self.folder / "results"
        with FileLock(self.folder / "lock"):
            folder.mkdir(exist_ok=True)
            submissions = []
            for name, notebook in notebooks.items():
                path = folder / f"{safe_name(name)}.ipynb"
                nbformat.write(notebook, path)
                submissions.append(Submission(name, path))
            results = grade_all(submissions, self.assignment, self.isolation, state, os.cpu_count() or 1)
            outcomes = {r.student: self._outcome(r) for r in results}
        return {name: outcomes[name] for name in notebooks}

    def _outcome(self, result: Result) -> Outcome:
        marks = {q: result.points(q) for q in self.assignment.tests}
        lost = {q: self.assignment.questions[q]["points"] - marks[q] for q in marks}
        messages = [f"{c.key}{' (hidden)' if c.hidden else ''}: {c.message}" for c in result.cases if not c.passed]
        lost = {q: x for q, x in lost.items() if x}
        return Outcome(sum(marks.values()), lost, result.errors, result.status, messages, result.seconds)

    @cached_property
    def _given(self) -> dict[str, Outcome]:
        return self.grade_notebooks({"reference": self.notebook(), "untouched": self.notebook("student")})

    @property
    def reference(self) -> Outcome:
        return self._given["reference"]

    @property
    def untouched(self) -> Outcome:
        return self._given["untouched"]
