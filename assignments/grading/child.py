"""The student's side: run a notebook's cells, then answer calls in a fresh copy of this process for each test.

No test, no score and no secret is ever here. What student code can do to this process it can only do to itself:
the grader believes nothing that arrives but values.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import sys
import types
from typing import Any

import numpy as np
import torch
from traitlets.config import Config

from assignments.grading import habits, seal
from assignments.grading.wire import Channel, Gone, decode, encode

# Kept here, so that an honest mistake such as `del os.fork` in a notebook does not reach us.
_fork, _exit, _killpg, _waitpid, _recv_fds = os.fork, os._exit, os.killpg, os.waitpid, socket.recv_fds


class CellTimeout(BaseException):
    """A cell ran longer than its limit."""


def stub_otter() -> None:
    """Put a module in otter's place whose checks do nothing: the visible checks are run by the grader."""

    class Notebook:
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            pass

        def __getattr__(self, name: str) -> Any:
            return lambda *args, **kwargs: None

    stub = types.ModuleType("otter")
    stub.Notebook = Notebook  # type: ignore[attr-defined]
    sys.modules["otter"] = stub


def shell() -> Any:
    """Return IPython's shell without history, colours or tracebacks; its sources may hold magics."""
    from IPython.core.interactiveshell import InteractiveShell

    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "NoColor"
    shell: Any = InteractiveShell.instance(config=config)
    shell.enable_gui = lambda gui=None: None
    shell.system = shell.system_raw  # the other way needs a terminal
    shell._tee = lambda channel: contextlib.nullcontext()  # newer shells keep all that is printed, without end
    shell.showtraceback = shell.showsyntaxerror = lambda *args, **kwargs: None
    return shell


def run_cells(control: Channel, cells: list[str], skip: set[int], seconds: float) -> dict[str, Any]:
    """Run the cells, saying which one is next, and what each error was; return the notebook's names.

    A cell is stopped after ``seconds`` of the processor. One that sleeps is the grader's to stop.
    """

    def too_long(*args: Any) -> None:
        raise CellTimeout()

    notebook = shell()
    habits.prepare(notebook, cells)
    for i, source in enumerate(cells):
        if i in skip:
            continue
        control.send({"cell": i})
        signal.signal(signal.SIGPROF, too_long)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            error = habits.run_cell(notebook, source)
        except BaseException as escaped:
            error = escaped
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        if error is not None:
            control.send({"error": [i, type(error).__name__[:80]]})
    control.send({"ready": True})
    return notebook.user_ns


class Answers:
    """What one test may ask: names, calls and attributes, in a copy of the process that ran the notebook."""

    def __init__(self, names: dict[str, Any], channel: Channel) -> None:
        self.names = names
        self.channel = channel
        self.handles: list[Any] = []

    def keep(self, value: Any) -> int:
        self.handles.append(value)
        return len(self.handles) - 1

    def find(self, ask: dict[str, Any], buffers: list[bytes]) -> Any:
        if ask["op"] == "get":
            return self.names.get(ask["name"])
        target = self.handles[ask["handle"]]
        if ask["op"] == "attribute":
            return getattr(target, ask["name"])
        args, kwargs = decode(ask["args"], buffers, self.handles.__getitem__)
        return target(*args, **kwargs)

    def serve(self) -> None:
        """Answer until the grader hangs up."""
        while True:
            ask, buffers = self.channel.receive()
            try:
                out: list[bytes] = []
                answer = {"value": encode(self.find(ask, buffers), out, self.keep)}
                self.channel.send(answer, out)
            except Gone:
                return
            except BaseException as error:
                self.channel.send({"error": type(error).__name__[:80]})


def separate(connection: int) -> None:
    """Give a test namespaces and scratch of its own; only the new namespaces' first process returns from here."""
    seal.new_spaces(seal.FILE_SPACES, os.getuid())
    inner = _fork()
    if inner != 0:
        os.close(connection)  # the grader hears of the end of the inner process, not of this one's
        _waitpid(inner, 0)
        _exit(0)
    seal.die_with_parent()
    # A group of its own: in here the one that started this has the number 0, and a signal to 0 goes to the whole group.
    os.setpgid(0, 0)
    seal.enter_test()


def serve_tests(control: Channel, names: dict[str, Any], files: bool, direct: bool) -> None:
    """For each test, fork: a crash, a loop, a changed global or a file of one test is not seen by the next.

    Args:
        control: brings a connection a test.
        names: the notebook's.
        files: whether each test gets scratch of its own.
        direct: serve one test in this process, where whatever threads the notebook started are still alive.
    """
    copy = 0
    while True:
        message, descriptors, _, _ = _recv_fds(control.end, 1, 1)
        if copy:
            with contextlib.suppress(OSError):
                _killpg(copy, signal.SIGKILL)
                _waitpid(copy, 0)
        if not message:
            _exit(0)
        copy = 0 if direct else _fork()
        if copy == 0:
            try:
                if not direct:
                    os.setpgid(0, 0)
                    control.close()
                    if files:
                        with contextlib.suppress(OSError):  # only where student code has already broken something
                            separate(descriptors[0])
                Answers(names, Channel(socket.socket(fileno=descriptors[0]))).serve()
            finally:
                _exit(0)
        with contextlib.suppress(OSError):
            os.setpgid(copy, copy)  # here too: whichever comes first
        for descriptor in descriptors:
            os.close(descriptor)


def main(descriptor: int, namespaces: bool, files: bool) -> None:
    """Serve one submission; ``namespaces`` and ``files`` say what has been locked before."""
    control = Channel(socket.socket(fileno=descriptor))
    job, _ = control.receive()
    if not files:
        os.chdir(job["folder"])
        os.environ.update(dict.fromkeys(("HOME", "TMPDIR", "IPYTHONDIR", "MPLCONFIGDIR"), job["folder"]))
    seal.set_limits(job["cpu"], job["memory"], job["file_size"], 256 if namespaces else None)
    stub_otter()
    np.seterr(all="ignore")
    torch.set_num_threads(1)
    random.seed(0)  # code that sets no seed gets the same marks each time
    np.random.seed(0)
    torch.manual_seed(0)
    sys.argv = ["notebook"]
    control.send({"started": True})
    names = run_cells(control, job["cells"], set(job["skip"]), job["cell_seconds"])
    control.end.settimeout(None)
    serve_tests(control, names, files, job["direct"])
