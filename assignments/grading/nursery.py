"""Load the libraries once, lock the files, then make a copy of this process for each submission.

Loading torch costs seconds; a copy costs milliseconds. Nothing of the course is in this process but the code of this
folder, and nothing that a submission does to its copy reaches the next one's.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from assignments.grading import child, seal
from assignments.grading.wire import Channel

BIG, MADV_COLLAPSE = 1 << 21, 25  # bytes of a big page; the kernel's number for the wish


def warm_up(modules: list[str]) -> None:
    """Import what notebooks import, and run what loads more on first use: it must not fall into a student's cell."""
    import torch._dynamo  # what the first optimiser would import, in two seconds

    for name in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    torch.set_num_threads(1)
    weight = torch.eye(3, dtype=torch.float64).requires_grad_()
    for kind in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.LBFGS):
        optimiser: Any = kind([weight], lr=0.1)
        (weight**2).sum().backward()
        optimiser.step(lambda: (weight**2).sum())
    for name in ("eigh", "svd", "qr", "inv", "pinv", "cholesky", "det"):
        getattr(torch.linalg, name)(torch.eye(3))
    child.shell()


def fold() -> int:
    """Put big pages in place of small ones, so that a copy of this process costs less; return how many bytes of them.

    Where the kernel does not do so (before Linux 6.1) it is none, and copies are as slow as before.
    """
    folded = 0
    libc = ctypes.CDLL(None, use_errno=True)
    libc.madvise.argtypes = (ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int)
    with contextlib.suppress(OSError, ValueError, AttributeError):
        for line in Path("/proc/self/maps").read_text().splitlines():
            span, rights, _, _, _, *name = line.split(maxsplit=5)
            low, high = (int(end, 16) for end in span.split("-"))
            first, last = -(-low // BIG) * BIG, high // BIG * BIG
            if rights == "rw-p" and last > first and name in ([], ["[heap]"]):
                folded += (last - first) * (libc.madvise(first, last - first, MADV_COLLAPSE) == 0)
    return folded


def forget_course(root: str, package: str | None) -> None:
    """Leave no way to import the course's code; show the book's package only where it was asked for."""
    keep = lambda path: os.path.realpath(path or ".") != os.path.realpath(root)
    sys.path[:] = [path for path in sys.path if keep(path)] + ([package] if package else [])
    sys.meta_path[:] = [f for f in sys.meta_path if not getattr(f, "__module__", "").startswith("__editable__")]
    for name in [m for m in sys.modules if m.partition(".")[0] == "ncbook"]:
        del sys.modules[name]
    sys.path_importer_cache.clear()


def keep(control: int, leash: int, namespaces: bool, files: bool) -> None:
    """Start a submission's process and hold its leash: when that is let go the process ends, and vice versa."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if namespaces:
        seal.new_spaces(seal.FILE_SPACES if files else seal.SPACES, 0)
    alive, closed_at_end = os.pipe()
    started = os.fork()
    if started == 0:
        for number in (leash, alive):
            os.close(number)
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nothing, number)
        os.set_inheritable(closed_at_end, False)
        os.setsid()
        if namespaces:
            seal.enter_submission(files)
        child.main(control, namespaces, files)
        os._exit(0)
    os.close(control)
    os.close(closed_at_end)
    holder = socket.socket(fileno=leash)
    holder.send(b"started")
    _until_either(holder, started)
    with contextlib.suppress(OSError):
        os.killpg(started, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.kill(started, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.waitpid(started, 0)


def _until_either(holder: socket.socket, started: int) -> None:
    """Return when the leash was let go or the process has ended."""
    if not hasattr(os, "pidfd_open"):
        while not select.select([holder], [], [], 0.2)[0] and os.waitpid(started, os.WNOHANG) == (0, 0):
            pass
        return
    process = os.pidfd_open(started)
    select.select([holder.fileno(), process], [], [])
    os.close(process)


def main(requests: int, control: int) -> None:
    channel = Channel(socket.socket(fileno=control))
    job, _ = channel.receive()
    files = job["plan"] is not None
    importlib.import_module("IPython.core.interactiveshell")
    forget_course(job["root"], job["package"])
    if files:
        seal.enter_root(seal.Plan(**job["plan"]))
    warm_up(job["modules"])
    gc.collect()
    gc.freeze()  # copies share what is not touched
    fold()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the keepers
    channel.send({"ready": True})
    channel.close()
    inbox = socket.socket(fileno=requests)
    while True:
        message, numbers, _, _ = socket.recv_fds(inbox, 16, 2)
        if not message:
            return
        if os.fork() == 0:
            try:
                inbox.close()
                keep(numbers[0], numbers[1], job["namespaces"], files)
            finally:
                os._exit(0)
        for number in numbers:
            os.close(number)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
