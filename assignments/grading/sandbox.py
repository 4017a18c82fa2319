"""Start, watch and end the process that runs one submission's code."""

from __future__ import annotations

import dataclasses
import shutil
import socket
import tempfile
from typing import Any

from assignments.grading.isolation import START, Nursery
from assignments.grading.meter import Meter, Stopwatch, limit
from assignments.grading.phrases import kind_of
from assignments.grading.wire import BadReply, Channel, Gone

GRACE = 3.0
STOPPED, RAN_LONGER = "stopped after", "the notebook ran longer than"


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much student code may use. Seconds are those it would take on an idle machine (`meter`).

    Attributes:
        cell: for one cell.
        call: for one call of a function by a test.
        question: for one test.
        notebook: for all cells together.
        memory_gb: address space of one process.
        file_mb: size of one file.
        reply_mb: size of one answer.
        restarts: how often a notebook is started again without the cell that ended or blocked it.
    """

    cell: float = 15.0
    call: float = 10.0
    question: float = 60.0
    notebook: float = 180.0
    memory_gb: float = 6.0
    file_mb: float = 64.0
    reply_mb: float = 64.0
    restarts: float = 3

    @classmethod
    def read(cls, table: dict[str, Any]) -> Limits:
        """Return limits from a table.

        Raises:
            ValueError: for an unknown key or a number that is not positive.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        for key, value in table.items():
            if key not in known or isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
                names = ", ".join(sorted(known))
                raise ValueError(f"limits must be positive numbers named {names}, got {key} = {value!r}")
        return cls(**table)


class Sandbox:
    """One submission's process: a context manager that leaves nothing behind.

    After `run`, ``errors`` lists what its cells raised as ``{cell: what}``.

    Args:
        cells: the notebook's code.
        limits: what it may use.
        nursery: where its process comes from.
        direct: serve one test without a copy of the process.
    """

    def __init__(self, cells: list[str], limits: Limits, nursery: Nursery, *, direct: bool = False) -> None:
        self.cells = cells
        self.limits = limits
        self.nursery = nursery
        self.direct = direct
        self.errors: dict[int, str] = {}
        self.skip: set[int] = set()
        self.control: Channel | None = None
        self.leash: socket.socket | None = None
        self.meter = Meter(0)
        self.folder = ""
        self._spent = 0.0

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def run(self) -> None:
        """Run the notebook's cells; where one ends or blocks the process, start again without it.

        Raises:
            Gone: if no start came through.
        """
        for _ in range(int(self.limits.restarts) + 1):
            self._current: int | None = None
            try:
                self._start()
                self._watch()
                return
            except TimeoutError:
                what = f"{STOPPED} {self.limits.cell:g} s"
            except BadReply:
                what = "spoke to the grader"
            except Gone:
                what = "ended the process"
            self.close()
            if self._current is None:
                raise Gone("the process ended before the first cell")
            if self._spent > self.limits.notebook:
                raise Gone(f"{RAN_LONGER} {self.limits.notebook:g} s")
            self.errors[self._current] = what
            self.skip.add(self._current)
        raise Gone(f"{int(self.limits.restarts) + 1} cells ended or blocked the process")

    def _watch(self) -> None:
        """Follow the cells until all have run."""
        control = self.control
        assert control is not None
        control.receive(limit(self.meter, START))
        whole = Stopwatch(self.meter)
        before = self._spent
        cell: Stopwatch | None = None

        def over() -> bool:
            nonlocal cell
            cell = cell or Stopwatch(self.meter)
            self._spent = before + whole.poll()
            return cell.over(self.limits.cell + GRACE) or self._spent > self.limits.notebook

        while True:
            head, _ = control.receive(over)
            if not isinstance(head, dict):
                raise BadReply("a reply in no known format")
            if "ready" in head:
                return
            if "error" in head:
                self._note_error(head["error"])
            elif type(head.get("cell")) is int and 0 <= head["cell"] < len(self.cells):
                self._current, cell = head["cell"], None
            else:
                raise BadReply("a reply in no known format")

    def _note_error(self, error: Any) -> None:
        number, kind = error if isinstance(error, list) and len(error) == 2 else (None, None)
        if type(number) is not int or not 0 <= number < len(self.cells) or not isinstance(kind, str):
            raise BadReply("a reply in no known format")
        what = f"{STOPPED} {self.limits.cell:g} s" if kind == "CellTimeout" else kind_of(kind)
        self.errors[number] = what

    def _start(self) -> None:
        self.close()
        end, self.leash, holder = self.nursery.start()
        self.control = Channel(end, max_bytes=1 << 20)
        self.meter = Meter(holder)
        if not self.nursery.isolation.files:
            self.folder = tempfile.mkdtemp(prefix="submission-")
        job = {
            "cells": self.cells,
            "skip": sorted(self.skip),
            "cell_seconds": self.limits.cell,
            "folder": self.folder,
            "direct": self.direct,
            "cpu": self.limits.notebook + self.limits.question,
            "memory": int(self.limits.memory_gb * 2**30),
            "file_size": int(self.limits.file_mb * 2**20),
        }
        self.control.send(job, seconds=START)

    @property
    def alive(self) -> bool:
        """Whether the process that ran the notebook is still there."""
        if self.leash is None:
            return False
        try:
            self.leash.setblocking(False)
            return self.leash.recv(1) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def open_test(self) -> Channel:
        """Return a connection to a fresh copy of the process that ran the notebook.

        Raises:
            Gone: if that process is no longer there.
        """
        assert self.control is not None
        ours, theirs = socket.socketpair()
        try:
            self.control.end.settimeout(GRACE)
            socket.send_fds(self.control.end, [b"t"], [theirs.fileno()])
        except OSError as error:
            ours.close()
            raise Gone("the process ended") from error
        finally:
            theirs.close()
        return Channel(ours, max_bytes=int(self.limits.reply_mb * 2**20))

    def close(self) -> None:
        """End the process and all it started; remove its folder."""
        if self.leash is not None:
            self.leash.close()
            self.leash = None
        if self.control is not None:
            self.control.close()
            self.control = None
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = ""
