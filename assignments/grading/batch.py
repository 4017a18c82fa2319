"""Grade many submissions side by side, so that nothing is lost or graded twice when the run is cut.

Each submission has a worker of its own, forked from here; a worker tests, a sandbox runs student code, and this process
only keeps the time and writes results, each whole or not at all.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import multiprocessing
import os
import re
import resource
import signal
import time
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from assignments.grading import seal
from assignments.grading.isolation import Isolation, Nursery
from assignments.grading.meter import Meter
from assignments.grading.reading import Unreadable, read_bytes, read_cells
from assignments.grading.roster import Submission
from assignments.grading.submission import Assignment, Case, blank, grade, grade_again, sentence, timed_out

FORK = multiprocessing.get_context("fork")
NO_ANSWERS = "no answers found: none of the names that this assignment asks for is there"
TOO_MUCH = "checking the answer took too much time or memory"


@dataclasses.dataclass
class Result:
    """One student's outcome, as it is stored."""

    student: str
    file: str = ""
    status: str = "ok"
    cases: list[Case] = dataclasses.field(default_factory=list)
    errors: dict[str, str] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    made_from: str = ""
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


def _work(
    link: Connection, path: Path, assignment: Assignment, nursery: Nursery, done: dict[str, Case], again: str
) -> None:
    """The worker: read, run and test one submission, telling the main process each step."""
    seal.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    memory = int(assignment.limits.memory_gb * 2**30)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    tell = lambda message: link.send_bytes(json.dumps(message).encode())
    try:
        cells = read_cells(read_bytes(path, assignment.name), assignment.name)
    except (Unreadable, OSError) as error:
        tell({"unreadable": f"unreadable: {error}"})
    else:
        (grade_again if again == "directly" else grade)(cells, assignment, nursery, tell, done)
        tell({"finished": True})
    link.close()


class Job:
    """A submission being graded, across the workers that it may cost.

    A submission that took too long is graded a second time: whole where a cell was stopped, then the tests that still
    take too long, directly.
    """

    def __init__(
        self, submission: Submission, assignment: Assignment, nursery: Nursery, made_from: str, before: Result | None
    ) -> None:
        self.submission = submission
        self.assignment = assignment
        self.nursery = nursery
        self.result = Result(submission.student, str(submission.path), made_from=made_from)
        self.done: dict[str, Case] = {}
        self.kept: dict[str, Case] = {}  # outcomes of before, where none better comes
        self.again = ""
        self.begun = time.monotonic()
        self.finished = False
        self.failures = 0
        self.nothing = False
        if before is not None:
            self.result.errors, self.result.seconds = before.errors, before.seconds
            self._take_up(before)
        self.start()

    def _take_up(self, before: Result) -> None:
        """Begin the second time where the first, ``before``, was not slow."""
        self.again = "whole" if before.slow_cells else "directly"
        if not before.slow_cells:
            self.kept = {c.key: c for c in before.cases}
            self.done = {c.key: c for c in before.cases if not timed_out(c.trouble)}

    def start(self) -> None:
        self.link, theirs = FORK.Pipe(duplex=False)
        args = (theirs, self.submission.path, self.assignment, self.nursery, dict(self.done), self.again)
        self.worker: BaseProcess = FORK.Process(target=_work, args=args, daemon=True)
        self.worker.start()
        theirs.close()
        assert self.worker.pid is not None
        self.meter = Meter(self.worker.pid)
        self._allow("reading", 60.0)

    def _allow(self, what: str, seconds: float) -> None:
        """Let the worker itself use so many seconds of the processor for ``what``."""
        self.current, self.until = what, self.meter.read().cpu + seconds

    def over(self) -> bool:
        """Whether the worker has used up what it may: a check on a student's value can be without end."""
        return self.worker.is_alive() and self.meter.read().cpu > self.until

    def hear(self) -> bool:
        """Take one message from the worker; return whether the submission is settled."""
        try:
            message: dict[str, Any] = json.loads(self.link.recv_bytes())
        except (EOFError, OSError):
            self.end_worker()
            return self.settle()
        if "begin" in message:
            self._allow(message["begin"], message["seconds"])
        elif "case" in message:
            case = Case(**message["case"])
            self.done[case.key] = case
        elif "errors" in message:
            self.result.errors = message["errors"]
        elif "nothing" in message:
            self.nothing = message["nothing"]
        elif "unreadable" in message:
            self.result.status, self.finished = message["unreadable"], True
        else:
            self.finished = True
        return False

    def settle(self) -> bool:
        """After the worker's end: finish, or blame the test at hand and go on with the others."""
        if self.finished and self.again == "whole" and any(timed_out(c.trouble) for c in self.done.values()):
            self.again, self.finished, self.kept = "directly", False, dict(self.done)
            self.done = {k: c for k, c in self.done.items() if not timed_out(c.trouble)}
            self.start()
            return False
        if self.finished:
            return True
        question, _, number = self.current.partition("/")
        self.failures += 1
        if number:
            self.done[self.current] = self._failed(question, int(number))
        elif self.failures > 1:
            self.result.status, self.finished = f"not graded: {TOO_MUCH} ({self.current})", True
            return True
        self.start()
        return False

    def _failed(self, question: str, number: int) -> Case:
        from otter.test_files.exception_test import ExceptionTestFile

        test = ExceptionTestFile.from_string(self.assignment.tests[question], question)
        return dataclasses.replace(blank(test, number), message=sentence(TOO_MUCH), trouble=TOO_MUCH)

    def end_worker(self) -> None:
        """Kill the worker; its sandbox dies with it."""
        if self.worker.is_alive():
            self.worker.kill()
        self.worker.join()
        self.link.close()

    def outcome(self) -> Result:
        result = self.result
        order = {q: i for i, q in enumerate(self.assignment.tests)}
        result.cases = sorted((self.kept | self.done).values(), key=lambda c: (order[c.question], c.number))
        result.seconds = round(result.seconds + time.monotonic() - self.begun, 1)
        found = [self.submission.note, NO_ANSWERS if self.nothing else ""]
        note = "; ".join(words for words in found if words)
        if result.status == "ok":
            result.status = status(note, result.cases, result.errors)
        elif note:
            result.status = f"{note}; {result.status}"
        result.again = result.slow and not self.again
        return result


def fingerprint(path: Path, assignment: Assignment) -> str:
    """What a stored result must have been made from to be kept: this submission, these tests, these limits."""
    info = os.lstat(path)
    state = hashlib.sha256(f"{assignment.digest} {path.name!r} {info.st_mode}".encode())
    with contextlib.suppress(Unreadable, OSError):
        state.update(read_bytes(path, assignment.name))
    return state.hexdigest()


Entry = tuple[Submission, str, Result | None]  # what it was made from, and what the first time gave


def _stored(submission: Submission, made_from: str, state: Path) -> Result | None:
    """Return what an earlier run has found, if it still holds."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        result = Result.read(state / f"{safe_name(submission.student)}.json")
        return result if result.made_from == made_from else None
    return None


def grade_all(
    submissions: list[Submission], assignment: Assignment, isolation: Isolation, state: Path, workers: int
) -> Iterator[Result]:
    """Grade the submissions, ``workers`` at a time, and yield each result as it is stored; stored ones come first.

    Those in which something took too long are graded again at the end, one after the other, and yielded then.

    Args:
        submissions: one a student; those without a file get no marks and their note as status.
        assignment: what to grade.
        isolation: how student code is kept apart.
        state: folder of the stored results; what is there and still fits is not graded again.
        workers: how many at a time, each on one core.
    """
    torch.set_num_threads(1)  # workers are copies of this process, and a copy has no threads
    state.mkdir(parents=True, exist_ok=True)
    waiting: deque[Entry] = deque()
    slow: deque[Entry] = deque()
    for submission in submissions:
        if submission.path is None:
            yield Result(submission.student, status=submission.note)
            continue
        made_from = fingerprint(submission.path, assignment)
        result = _stored(submission, made_from, state)
        if result is None:
            waiting.append((submission, made_from, None))
        elif result.again:
            slow.append((submission, made_from, result))
        else:
            yield result
    if not waiting and not slow:
        return
    private = {state.parent, assignment.folder.parent, *(s.path.parent for s in submissions if s.path)}
    hide = tuple(dict.fromkeys([*isolation.hide, *map(os.path.realpath, private)]))
    isolation = dataclasses.replace(isolation, hide=hide)
    with Nursery(isolation, package=assignment.package, modules=assignment.modules) as nursery:
        for result, entry in _run(waiting, assignment, nursery, state, workers):
            if result.again:
                slow.append((*entry[:2], result))
            else:
                yield result
        for result, _ in _run(slow, assignment, nursery, state, 1):
            yield result


def _run(
    waiting: deque[Entry], assignment: Assignment, nursery: Nursery, state: Path, workers: int
) -> Iterator[tuple[Result, Entry]]:
    """Grade what waits, so many at a time; store and yield each result."""
    active: dict[Connection, tuple[Job, Entry]] = {}
    try:
        while waiting or active:
            while waiting and len(active) < workers:
                entry = waiting.popleft()
                submission, made_from, before = entry
                job = Job(submission, assignment, nursery, made_from, before)
                active[job.link] = job, entry
            for link in wait(list(active), timeout=0.5):
                job, entry = active.pop(link)  # type: ignore[call-overload]
                if job.hear():
                    result = job.outcome()
                    result.write(state)
                    yield result, entry
                else:
                    active[job.link] = job, entry
            for job, _ in active.values():
                if job.over():
                    job.worker.kill()  # its end is heard in the next round
    finally:
        for job, _ in active.values():
            job.end_worker()
