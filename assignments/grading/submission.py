"""Grade one notebook: read it as text, run it in the sandbox, run otter's own test files here, on stand-ins."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import signal
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from otter.test_files import exception_test

from assignments.grading.proxy import Names
from assignments.grading.sandbox import Isolation, Limits, Sandbox
from assignments.grading.wire import Gone

MAX_NOTEBOOK = 64 << 20
MAX_SOURCE = 3 << 20


class Unreadable(Exception):
    """A submission that is no notebook; the text says why."""


class TooLong(BaseException):
    """A test took longer than a question may; no `Exception`, so that no test swallows it."""


@dataclasses.dataclass(frozen=True)
class Assignment:
    """What the release wrote for the grader."""

    name: str
    questions: dict[str, dict[str, Any]]
    limits: Limits
    tests: dict[str, str]

    @classmethod
    def read(cls, folder: Path, limits: dict[str, float] | None = None) -> Assignment:
        """Return the assignment of an ``autograder/`` folder; ``limits`` win over its own.

        Raises:
            ValueError: if the folder was not written by the release.
        """
        about = folder / "grading.json"
        if not about.exists():
            raise ValueError(f"{folder} holds no released assignment: run `python -m assignments.release` first")
        table = json.loads(about.read_text())
        tests = {p.stem: p.read_text() for p in (folder / "tests").glob("*.py")}
        order = [q for q in table["questions"] if q in tests]
        if whole := [q for q in order if "\nall_or_nothing = True" in tests[q]]:
            raise ValueError(f"all_or_nothing is not supported: give each test its points in {', '.join(whole)}")
        bounds = Limits.read({**table["limits"], **(limits or {})})
        return cls(table["assignment"], table["questions"], bounds, {q: tests[q] for q in order})

    @property
    def digest(self) -> str:
        """What a result depends on besides the submission."""
        text = json.dumps([self.name, self.questions, dataclasses.asdict(self.limits), self.tests], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class Case:
    """The outcome of one test."""

    question: str
    number: int
    points: float
    hidden: bool
    passed: bool
    message: str = ""
    trouble: str = ""

    @property
    def key(self) -> str:
        return f"{self.question}/{self.number}"


def read_bytes(path: Path) -> bytes:
    """Return a submission's notebook, out of a zip if need be; links, pipes and giants are not read.

    Raises:
        Unreadable: if it is not a regular file of reasonable size, or a zip without exactly one notebook.
    """
    info = os.lstat(path)
    if not stat.S_ISREG(info.st_mode):
        raise Unreadable("not a regular file")
    if info.st_size > MAX_NOTEBOOK:
        raise Unreadable(f"larger than {MAX_NOTEBOOK >> 20} MB")
    if path.suffix.lower() != ".zip":
        return path.read_bytes()
    try:
        with zipfile.ZipFile(path) as zipped:
            inside = [i for i in zipped.infolist() if i.filename.endswith(".ipynb") and "__MACOSX" not in i.filename]
            if len(inside) != 1:
                raise Unreadable(f"a zip with {len(inside)} notebooks")
            with zipped.open(inside[0]) as file:
                data = file.read(MAX_NOTEBOOK + 1)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError) as error:
        raise Unreadable(f"a damaged zip ({type(error).__name__})") from error
    if len(data) > MAX_NOTEBOOK:
        raise Unreadable(f"larger than {MAX_NOTEBOOK >> 20} MB")
    return data


def read_cells(data: bytes, assignment: str) -> list[str]:
    """Return the sources of a notebook's code cells; outputs and attachments are never looked at.

    Raises:
        Unreadable: if the bytes are no notebook, or the notebook of another assignment.
    """
    if not data.strip():
        raise Unreadable("an empty file")
    try:
        notebook = json.loads(data.decode("utf-8-sig"))
        cells = notebook["cells"]
        sources = [c["source"] for c in cells if c["cell_type"] == "code"]
        sources = [s if isinstance(s, str) else "".join(s) for s in sources]
        otter = notebook.get("metadata", {}).get("otter", {})
        other = otter.get("assignment_name", assignment) if isinstance(otter, dict) else assignment
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, MemoryError) as error:
        raise Unreadable(f"no notebook ({type(error).__name__})") from error
    if other != assignment:
        raise Unreadable(f"a notebook of another assignment ({str(other)[:40]})")
    if sum(map(len, sources)) > MAX_SOURCE:
        raise Unreadable(f"more than {MAX_SOURCE >> 20} MB of code")
    return [s.encode("utf-8", "replace").decode() for s in sources]


def run_case(test: exception_test.ExceptionTestFile, number: int, sandbox: Sandbox, limits: Limits) -> Case:
    """Run one test of a test file against a fresh copy of the student's process."""

    def too_long(*args: object) -> None:
        raise TooLong()

    case = test.test_cases[number]

    def outcome(passed: bool, message: str, trouble: str) -> Case:
        words = message if passed or not case.failure_message else f"{case.failure_message}\n{message}"
        return Case(test.name, number, float(case.points), case.hidden, passed, words[:2000], trouble)

    names = Names(sandbox.open_test, limits)
    signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, limits.question + 1)
    try:
        case.body.call_func(names)
    except TooLong:
        return outcome(False, "Checking took too long.", f"checking took longer than {limits.question:g} s")
    except Gone as error:
        return outcome(False, f"{error}".capitalize() + ".", str(error))
    except MemoryError:
        return outcome(False, "Out of memory.", "out of memory")
    except Exception as error:
        trouble = names.trouble or ("out of memory" if type(error).__name__ == "MemoryError" else "")
        return outcome(False, f"{type(error).__name__}: {error}", trouble)
    else:
        # A test that swallows the loss of the process must not pass on silence.
        return outcome(not names.trouble, names.trouble, names.trouble)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        names.close()


def start(sandbox: Sandbox) -> str:
    """Run the notebook's cells; return what prevented it, or nothing."""
    try:
        sandbox.run()
    except (Gone, TimeoutError) as error:
        return str(error) or "the process did not start"
    return ""


def grade(
    cells: list[str],
    assignment: Assignment,
    isolation: Isolation,
    tell: Callable[[dict[str, Any]], None] = lambda message: None,
    done: dict[str, Case] | None = None,
) -> None:
    """Run a notebook and all tests but those ``done``; ``tell`` hears what begins, for how long, and the outcome.

    Messages: ``{"begin": key, "seconds": limit}``, ``{"errors": {cell: what}}``, ``{"case": {...}}``.
    """
    limits = assignment.limits
    tests = {q: exception_test.ExceptionTestFile.from_string(text, q) for q, text in assignment.tests.items()}
    with Sandbox(cells, limits, isolation) as sandbox:
        tell({"begin": "notebook", "seconds": limits.notebook + 90 * (limits.restarts + 1)})
        lost, restarts = start(sandbox), 0
        tell({"errors": {str(i): what for i, what in sandbox.errors.items()}})
        for test in tests.values():
            for number, case in enumerate(test.test_cases):
                key = f"{test.name}/{number}"
                if done and key in done:
                    continue
                tell({"begin": key, "seconds": limits.question + limits.notebook + 90})
                if not lost and not sandbox.alive:  # a thread or a signal ended it after its last cell
                    restarts += 1
                    lost = start(sandbox) if restarts <= limits.restarts else "the process ended again and again"
                if lost:
                    result = Case(test.name, number, float(case.points), case.hidden, False, lost.capitalize(), lost)
                else:
                    result = run_case(test, number, sandbox, limits)
                tell({"case": dataclasses.asdict(result)})
