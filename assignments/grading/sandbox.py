"""Start, watch and end the process that runs student code."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import site
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from assignments.grading import seal
from assignments.grading.wire import BadReply, Channel, Gone

ROOT = Path(__file__).resolve().parent.parent.parent
UNSHARE = ["unshare", "-rnm", "--pid", "--fork", "--kill-child", "--mount-proc"]
PLAIN_UNSHARE = ["unshare", "-rn", "--pid", "--fork", "--kill-child"]
GRACE = 3.0


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much student code may use. Seconds are of the wall clock.

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


@dataclasses.dataclass(frozen=True)
class Isolation:
    """How student code is kept apart.

    Attributes:
        command: what starts its process.
        files: whether its view of the file system is locked too.
        hide: folders it must not see, where ``files``.
    """

    command: tuple[str, ...] = ()
    files: bool = False
    hide: tuple[str, ...] = ()

    @property
    def namespaces(self) -> bool:
        return bool(self.command)

    def __str__(self) -> str:
        if not self.namespaces:
            return "none: student code has this user's rights, the network, and may leave processes behind"
        network = "no network, no process left behind"
        return f"{network}, files read-only and private ones hidden" if self.files else f"{network}, files NOT hidden"


def _works(command: list[str]) -> bool:
    if not sys.platform.startswith("linux") or shutil.which(command[0]) is None:
        return False
    try:
        done = subprocess.run([*command, "true"], capture_output=True, timeout=20, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def best_isolation(hide: list[Path] | None = None, *, visible_files: bool = False) -> Isolation | None:
    """Return the isolation that works on this machine, or None where there is none.

    Found out by trying: a probe runs an empty notebook and reports whether its files were locked.

    Args:
        hide: folders that student code must not see, besides the home folder and the course's own.
        visible_files: accept isolation that leaves this user's files readable and writable.
    """
    if visible_files:
        return Isolation(tuple(PLAIN_UNSHARE)) if _works(PLAIN_UNSHARE) else None
    if not _works(UNSHARE):
        return None
    hidden = [Path.home(), ROOT, *(hide or [])]
    folders = dict.fromkeys(str(p.resolve()) for p in hidden if p.is_dir() and p.resolve() != Path("/"))
    isolation = Isolation(tuple(UNSHARE), True, tuple(folders))
    with contextlib.suppress(Gone, TimeoutError, OSError), Sandbox([], Limits(), isolation) as probe:
        probe.run()
        if probe.sealed:
            return isolation
    return None


class Sandbox:
    """One submission's process: a context manager that leaves nothing behind.

    After `run`, ``errors`` lists what its cells raised as ``(cell, what)``.
    """

    def __init__(self, cells: list[str], limits: Limits, isolation: Isolation) -> None:
        self.cells = cells
        self.limits = limits
        self.isolation = isolation
        self.errors: dict[int, str] = {}
        self.sealed = False
        self.skip: set[int] = set()
        self.process: subprocess.Popen[bytes] | None = None
        self.control: Channel | None = None
        self.folder = ""

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def run(self) -> None:
        """Run the notebook's cells; where one ends or blocks the process, start again without it.

        Raises:
            Gone: if no start came through.
        """
        until = time.monotonic() + self.limits.notebook
        for _ in range(int(self.limits.restarts) + 1):
            self._current: int | None = None
            try:
                self._start()
                self._watch(until)
                return
            except TimeoutError:
                what = f"stopped after {self.limits.cell:g} s"
            except BadReply:
                what = "spoke to the grader"
            except Gone:
                what = "ended the process"
            self._stop()
            if self._current is None:
                raise Gone("the process ended before the first cell")
            if time.monotonic() > until:
                raise Gone(f"the notebook ran longer than {self.limits.notebook:g} s")
            self.errors[self._current] = what
            self.skip.add(self._current)
        raise Gone(f"{int(self.limits.restarts) + 1} cells ended or blocked the process")

    def _watch(self, until: float) -> None:
        """Follow the cells until all have run."""
        control = self.control
        assert control is not None
        head, _ = control.receive(60.0)  # importing torch on a busy machine
        self.sealed = isinstance(head, dict) and head.get("started") is True
        while True:
            head, _ = control.receive(min(self.limits.cell + GRACE, max(0.1, until - time.monotonic())))
            if not isinstance(head, dict):
                raise BadReply("a reply in no known format")
            if "ready" in head:
                return
            if "error" in head:
                self._note_error(head["error"])
            elif type(head.get("cell")) is int and 0 <= head["cell"] < len(self.cells):
                self._current = head["cell"]
            else:
                raise BadReply("a reply in no known format")

    def _note_error(self, error: Any) -> None:
        number, kind = error if isinstance(error, list) and len(error) == 2 else (None, None)
        if type(number) is not int or not 0 <= number < len(self.cells) or not isinstance(kind, str):
            raise BadReply("a reply in no known format")
        what = f"stopped after {self.limits.cell:g} s" if kind == "CellTimeout" else kind[:80]
        self.errors[number] = what

    def _start(self) -> None:
        self._stop()
        ours, theirs = socket.socketpair()
        self.folder = tempfile.mkdtemp(prefix="submission-")
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            **dict.fromkeys(("HOME", "TMPDIR", "IPYTHONDIR"), seal.HOME if self.isolation.files else self.folder),
            **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
            "USER": "student",
            "LANG": "C.UTF-8",
            "MPLBACKEND": "Agg",
            "PYTHONHASHSEED": "0",
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        python = [sys.executable, "-m", "assignments.grading.child", str(theirs.fileno())]
        self.process = subprocess.Popen(
            [*self.isolation.command, *python],
            cwd=self.folder,
            env=environment,
            pass_fds=(theirs.fileno(),),
            preexec_fn=seal.die_with_parent,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        theirs.close()
        self.control = Channel(ours, max_bytes=1 << 20)
        keep = [sys.prefix, sys.base_prefix, site.getusersitepackages(), str(ROOT / "ncbook")]
        job = {
            "cells": self.cells,
            "skip": sorted(self.skip),
            "cell_seconds": self.limits.cell,
            "namespaces": self.isolation.namespaces,
            "hide": list(self.isolation.hide) if self.isolation.files else [],
            "keep": keep,
            "cpu": self.limits.notebook + self.limits.question,
            "memory": int(self.limits.memory_gb * 2**30),
            "file_size": int(self.limits.file_mb * 2**20),
        }
        self.control.send(job, seconds=60.0)

    @property
    def alive(self) -> bool:
        """Whether the process that ran the notebook is still there."""
        return self.process is not None and self.process.poll() is None

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

    def _stop(self) -> None:
        if self.process is not None:
            # With namespaces, ending `unshare` ends every process inside; without, the session is all we know.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
        if self.control is not None:
            self.control.close()
            self.control = None
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = ""

    def close(self) -> None:
        """End the process and all it started; remove its folder."""
        self._stop()
