"""Grade one notebook: run its cells in the sandbox, and otter's own test files here, on stand-ins."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from otter.test_files import exception_test

from assignments.grading.isolation import Nursery
from assignments.grading.phrases import label, without
from assignments.grading.proxy import TOO_LONG, Names, StudentError
from assignments.grading.reading import Unreadable, read_cells
from assignments.grading.sandbox import RAN_LONGER, STOPPED, Limits, Sandbox
from assignments.grading.wire import Gone


class TooLong(BaseException):
    """A test took longer than a question may; no `Exception`, so that no test swallows it."""


@dataclasses.dataclass(frozen=True)
class Assignment:
    """What the release wrote for the grader."""

    name: str
    questions: dict[str, dict[str, Any]]
    limits: Limits
    tests: dict[str, str]
    folder: Path = Path()

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
        return cls(table["assignment"], table["questions"], bounds, {q: tests[q] for q in order}, folder.resolve())

    @property
    def package(self) -> Path | None:
        """The book's package, where the release laid it beside the student's notebook."""
        path = self.folder.parent / "student" / "ncbook"
        return path if path.is_dir() else None

    @property
    def modules(self) -> list[str]:
        """What the notebook that students start from and the tests import: worth loading once for all."""
        sources = list(self.tests.values())
        with contextlib.suppress(OSError, Unreadable):
            sources += read_cells((self.folder.parent / "student" / f"{self.name}.ipynb").read_bytes(), self.name)
        found: dict[str, None] = {}
        for source in sources:
            plain = "\n".join("pass" if x.lstrip()[:1] in ("%", "!") else x for x in source.splitlines())
            with contextlib.suppress(SyntaxError):
                for node in ast.walk(ast.parse(plain)):
                    names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                    names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
                    found |= dict.fromkeys(n for n in names if not n.startswith(("google", "otter", "ncbook")))
        return list(found)


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
    label: str = ""

    @property
    def key(self) -> str:
        return f"{self.question}/{self.number}"


LONG_CHECK = "checking took longer than"


def timed_out(trouble: str) -> bool:
    """Whether what went wrong is that something took too long."""
    return any(words in trouble for words in (TOO_LONG, LONG_CHECK, STOPPED, RAN_LONGER))


def sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def blank(test: exception_test.ExceptionTestFile, number: int) -> Case:
    """Return a test that has not been passed, with what its author said of it."""
    case = test.test_cases[number]
    given = "" if case.name == f"{test.name} - {number + 1}" else str(case.name)
    words = label(case.body.test_func.__name__, given, number + 1)
    return Case(test.name, number, float(case.points), case.hidden, False, label=words)


def run_case(
    test: exception_test.ExceptionTestFile, number: int, sandbox: Sandbox, limits: Limits, found: set[bool]
) -> Case:
    """Run one test against a fresh copy of the student's process; add to ``found`` whether its names are there."""

    def too_long(*args: object) -> None:
        raise TooLong()

    case = test.test_cases[number]

    def outcome(passed: bool, message: str, trouble: str) -> Case:
        message = without(message, names.texts)
        words = message if passed or not case.failure_message else f"{case.failure_message}\n{message}"
        return dataclasses.replace(blank(test, number), passed=passed, message=words[:2000], trouble=trouble)

    names = Names(sandbox.open_test, limits, sandbox.meter)
    signal.signal(signal.SIGPROF, too_long)
    signal.setitimer(signal.ITIMER_PROF, limits.question + 1)
    try:
        case.body.call_func(names)
    except TooLong:
        return outcome(False, "Checking took too long.", f"{LONG_CHECK} {limits.question:g} s")
    except Gone as error:
        return outcome(False, sentence(str(error)), str(error))
    except StudentError as error:
        return outcome(False, sentence(str(error)), "out of memory" if isinstance(error, MemoryError) else "")
    except MemoryError:
        return outcome(False, "Out of memory.", "out of memory")
    except Exception as error:
        return outcome(False, f"{type(error).__name__}: {error}", names.trouble)
    else:
        # A test that swallows the loss of the process must not pass on silence.
        return outcome(not names.trouble, names.trouble, names.trouble)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        names.close()
        found |= names.found


def start(sandbox: Sandbox) -> str:
    """Run the notebook's cells; return what prevented it, or nothing."""
    try:
        sandbox.run()
    except (Gone, TimeoutError) as error:
        return str(error) or "the process did not start"
    return ""


Tell = Callable[[dict[str, Any]], None]


def _schedule(assignment: Assignment, done: dict[str, Case]) -> list[tuple[exception_test.ExceptionTestFile, int]]:
    """Return the tests to run, visible ones first: what students read of them then cannot hold a hidden instance."""
    tests = [exception_test.ExceptionTestFile.from_string(text, q) for q, text in assignment.tests.items()]
    every = [(test, number) for test in tests for number in range(len(test.test_cases))]
    left = [(test, number) for test, number in every if f"{test.name}/{number}" not in done]
    return sorted(left, key=lambda entry: entry[0].test_cases[entry[1]].hidden)


def grade(cells: list[str], assignment: Assignment, nursery: Nursery, tell: Tell, done: dict[str, Case]) -> None:
    """Run a notebook and all tests but those ``done``; ``tell`` hears what begins, for how long, and the outcome.

    Messages: ``{"begin": key, "seconds": of this process}``, ``{"errors": {cell: what}}``, ``{"case": {...}}``,
    ``{"nothing": whether no name was there}``, ``{"work": processor seconds}``.
    """
    limits = assignment.limits
    with Sandbox(cells, limits, nursery) as sandbox:
        tell({"begin": "notebook", "seconds": limits.question})
        lost, restarts = start(sandbox), 0
        tell({"errors": {str(i): what for i, what in sandbox.errors.items()}})
        found: set[bool] = set()
        for test, number in _schedule(assignment, done):
            tell({"begin": f"{test.name}/{number}", "seconds": 2 * limits.question})
            if not lost and not sandbox.alive:  # a thread or a signal ended it after its last cell
                restarts += 1
                lost = start(sandbox) if restarts <= limits.restarts else "the process ended again and again"
            if lost:
                result = dataclasses.replace(blank(test, number), message=sentence(lost), trouble=lost)
            else:
                result = run_case(test, number, sandbox, limits, found)
            tell({"case": dataclasses.asdict(result)})
        tell({"nothing": found == {False} and not done})
        tell({"work": sandbox.meter.read().cpu + time.process_time()})


def grade_again(cells: list[str], assignment: Assignment, nursery: Nursery, tell: Tell, done: dict[str, Case]) -> None:
    """Run each test that is not ``done`` in the very process that ran the notebook, not in a copy of it.

    For tests that took too long: threads that the notebook started are alive here. Of a question whose test takes too
    long here too, the others are left as they were.
    """
    limits = assignment.limits
    given_up: set[str] = set()
    for test, number in _schedule(assignment, done):
        if test.name in given_up:
            continue
        tell({"begin": f"{test.name}/{number}", "seconds": 2 * limits.question})
        with Sandbox(cells, limits, nursery, direct=True) as sandbox:
            if start(sandbox):
                return
            result = run_case(test, number, sandbox, limits, set())
        if timed_out(result.trouble):
            given_up.add(test.name)
        tell({"case": dataclasses.asdict(result)})
