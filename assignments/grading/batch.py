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
import shutil
import signal
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from assignments.grading import seal
from assignments.grading.roster import Submission
from assignments.grading.sandbox import Isolation
from assignments.grading.submission import Assignment, Case, Unreadable, grade, read_bytes, read_cells

FORK = multiprocessing.get_context("fork")
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
    link: Connection, scratch: Path, path: Path, assignment: Assignment, isolation: Isolation, done: dict[str, Case]
) -> None:
    """The worker: read, run and test one submission, telling the main process each step."""
    seal.die_with_parent()
    tempfile.tempdir = str(scratch)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    memory = int(assignment.limits.memory_gb * 2**30)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    tell = lambda message: link.send_bytes(json.dumps(message).encode())
    try:
        cells = read_cells(read_bytes(path), assignment.name)
    except (Unreadable, OSError) as error:
        tell({"unreadable": f"unreadable: {error}"})
    else:
        grade(cells, assignment, isolation, tell, done)
        tell({"finished": True})
    link.close()


class Job:
    """A submission being graded, across the workers that it may cost."""

    def __init__(
        self, submission: Submission, assignment: Assignment, isolation: Isolation, made_from: str, scratch: Path
    ) -> None:
        self.scratch = scratch
        self.submission = submission
        self.assignment = assignment
        self.isolation = isolation
        self.result = Result(submission.student, str(submission.path), made_from=made_from)
        self.done: dict[str, Case] = {}
        self.begun = time.monotonic()
        self.finished = False
        self.failures = 0
        self.start()

    def start(self) -> None:
        self.link, theirs = FORK.Pipe(duplex=False)
        args = (theirs, self.scratch, self.submission.path, self.assignment, self.isolation, dict(self.done))
        self.worker: BaseProcess = FORK.Process(target=_work, args=args, daemon=True)
        self.worker.start()
        theirs.close()
        self.current, self.until = "reading", time.monotonic() + 60

    def hear(self) -> bool:
        """Take one message from the worker; return whether the submission is settled."""
        try:
            message: dict[str, Any] = json.loads(self.link.recv_bytes())
        except (EOFError, OSError):
            self.end_worker()
            return self.settle()
        if "begin" in message:
            self.current, self.until = message["begin"], time.monotonic() + message["seconds"]
        elif "case" in message:
            case = Case(**message["case"])
            self.done[case.key] = case
        elif "errors" in message:
            self.result.errors = message["errors"]
        elif "unreadable" in message:
            self.result.status, self.finished = message["unreadable"], True
        else:
            self.finished = True
        return False

    def settle(self) -> bool:
        """After the worker's end: finish, or blame the test at hand and go on with the others."""
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

        case = ExceptionTestFile.from_string(self.assignment.tests[question], question).test_cases[number]
        return Case(question, number, float(case.points), case.hidden, False, TOO_MUCH.capitalize() + ".", TOO_MUCH)

    def end_worker(self) -> None:
        """Kill the worker; its sandbox dies with it."""
        if self.worker.is_alive():
            self.worker.kill()
        self.worker.join()
        self.link.close()

    def outcome(self) -> Result:
        result = self.result
        order = {q: i for i, q in enumerate(self.assignment.tests)}
        result.cases = sorted(self.done.values(), key=lambda c: (order[c.question], c.number))
        result.seconds = round(time.monotonic() - self.begun, 1)
        note = self.submission.note
        if result.status == "ok":
            result.status = status(note, result.cases, result.errors)
        elif note:
            result.status = f"{note}; {result.status}"
        return result


def fingerprint(path: Path, assignment: Assignment) -> str:
    """What a stored result must have been made from to be kept: this submission, these tests, these limits."""
    info = os.lstat(path)
    state = hashlib.sha256(f"{assignment.digest} {path.name!r} {info.st_mode}".encode())
    with contextlib.suppress(Unreadable, OSError):
        state.update(read_bytes(path))
    return state.hexdigest()


def grade_all(
    submissions: list[Submission], assignment: Assignment, isolation: Isolation, state: Path, workers: int
) -> Iterator[Result]:
    """Grade the submissions, ``workers`` at a time, and yield each result as it is stored; stored ones come first.

    Args:
        submissions: one a student; those without a file get no marks and their note as status.
        assignment: what to grade.
        isolation: how student code is kept apart.
        state: folder of the stored results; what is there and still fits is not graded again.
        workers: how many at a time, each on one core.
    """
    torch.set_num_threads(1)  # workers are copies of this process, and a copy has no threads
    scratch = state / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)  # of a run that was cut
    scratch.mkdir(parents=True)
    waiting: deque[tuple[Submission, str]] = deque()
    for submission in submissions:
        if submission.path is None:
            yield Result(submission.student, status=submission.note)
            continue
        made_from = fingerprint(submission.path, assignment)
        stored = state / f"{safe_name(submission.student)}.json"
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            result = Result.read(stored)
            if result.made_from == made_from:
                yield result
                continue
        waiting.append((submission, made_from))
    active: dict[Connection, Job] = {}
    try:
        while waiting or active:
            while waiting and len(active) < workers:
                submission, made_from = waiting.popleft()
                job = Job(submission, assignment, isolation, made_from, scratch)
                active[job.link] = job
            for link in wait(list(active), timeout=0.5):
                job = active.pop(link)  # type: ignore[call-overload]
                if job.hear():
                    result = job.outcome()
                    result.write(state)
                    yield result
                else:
                    active[job.link] = job
            for job in active.values():
                if time.monotonic() > job.until and job.worker.is_alive():
                    job.worker.kill()  # its end is heard in the next round
    finally:
        for job in active.values():
            job.end_worker()
        shutil.rmtree(scratch, ignore_errors=True)
