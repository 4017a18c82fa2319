"""Grade many submissions side by side, so that nothing is lost or graded twice when the run is cut.

Each submission has a worker of its own, forked from here; a worker tests, a sandbox runs student code, and this process
only keeps the time and writes results, each whole or not at all.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import multiprocessing
import os
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
from assignments.grading.results import Result, fingerprint, question_digests, status, stored
from assignments.grading.roster import Submission
from assignments.grading.submission import Assignment, Case, blank, grade, grade_again, sentence, timed_out

FORK = multiprocessing.get_context("fork")
NO_ANSWERS = "no answers found: none of the names that this assignment asks for is there"
TOO_MUCH = "checking the answer took too much time or memory"


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


@dataclasses.dataclass(frozen=True)
class Entry:
    """A submission to be graded, what its result will be made from, and what is known of it already.

    Attributes:
        submission: whose, and where.
        made_from: see `fingerprint`.
        before: an outcome in which something took too long.
        done: outcomes that still hold.
    """

    submission: Submission
    made_from: str
    before: Result | None = None
    done: dict[str, Case] = dataclasses.field(default_factory=dict)


class Job:
    """A submission being graded, across the workers that it may cost.

    A submission that took too long is graded a second time: whole where a cell was stopped, then the tests that still
    take too long, directly.
    """

    def __init__(self, entry: Entry, assignment: Assignment, nursery: Nursery) -> None:
        self.submission = entry.submission
        self.assignment = assignment
        self.nursery = nursery
        self.result = Result(self.submission.student, str(self.submission.path), made_from=entry.made_from)
        self.result.tests = question_digests(assignment)
        self.done = dict(entry.done)
        self.kept: dict[str, Case] = {}  # outcomes of before, where none better comes
        self.again = ""
        self.begun = time.monotonic()
        self.finished = False
        self.failures = 0
        self.nothing = False
        if entry.before is not None:
            self.result.errors, self.result.seconds = entry.before.errors, entry.before.seconds
            self._take_up(entry.before)
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
        elif "work" in message:
            self.result.work += round(message["work"], 2)
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


def _sort(submission: Submission, assignment: Assignment, state: Path, regrade: frozenset[str]) -> Entry | Result:
    """Return an earlier run's result where all of it still holds, else what is left to be graded."""
    made_from = fingerprint(submission, assignment)
    result = stored(submission.student, state)
    if result is None or result.made_from != made_from:
        return Entry(submission, made_from)
    tests = question_digests(assignment)
    holds = {q for q, digest in tests.items() if result.tests.get(q) == digest and q not in regrade}
    if holds == set(tests) == set(result.tests):
        return Entry(submission, made_from, result) if result.again else dataclasses.replace(result, kept=True)
    return Entry(submission, made_from, done={c.key: c for c in result.cases if c.question in holds})


def grade_all(
    submissions: list[Submission],
    assignment: Assignment,
    isolation: Isolation,
    state: Path,
    workers: int,
    regrade: frozenset[str] = frozenset(),
) -> Iterator[Result]:
    """Grade the submissions, ``workers`` at a time, and yield each result as it is stored; stored ones come first.

    Those in which something took too long are graded again at the end, one after the other, and yielded then.

    Args:
        submissions: one a student; those without a file get no marks and their note as status.
        assignment: what to grade.
        isolation: how student code is kept apart.
        state: folder of the stored results; a question whose tests and submission have not changed is not graded again.
        workers: how many at a time, each on one core.
        regrade: questions to be graded again whatever is stored.
    """
    torch.set_num_threads(1)  # workers are copies of this process, and a copy has no threads
    state.mkdir(parents=True, exist_ok=True)
    waiting: deque[Entry] = deque()
    slow: deque[Entry] = deque()
    for submission in submissions:
        if submission.path is None:
            yield Result(submission.student, status=submission.note, kept=True)
            continue
        found = _sort(submission, assignment, state, regrade)
        if isinstance(found, Result):
            yield found
        else:
            (slow if found.before else waiting).append(found)
    if not waiting and not slow:
        return
    private = {state.parent, assignment.folder.parent, *(s.path.parent for s in submissions if s.path)}
    hide = tuple(dict.fromkeys([*isolation.hide, *map(os.path.realpath, private)]))
    isolation = dataclasses.replace(isolation, hide=hide)
    with Nursery(isolation, package=assignment.package, modules=assignment.modules) as nursery:
        for result, entry in _run(waiting, assignment, nursery, state, workers):
            if result.again:
                slow.append(dataclasses.replace(entry, before=result))
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
                job = Job(entry, assignment, nursery)
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
