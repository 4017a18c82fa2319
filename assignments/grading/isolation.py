"""How student code is kept apart on this machine, and the process that every submission's own is a copy of."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import shutil
import signal
import site
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from assignments.grading import seal
from assignments.grading.meter import Meter, limit
from assignments.grading.wire import Channel, Gone

ROOT = Path(__file__).resolve().parent.parent.parent
UNSHARE = ["unshare", "-rnm", "--pid", "--fork", "--kill-child", "--mount-proc"]
PLAIN_UNSHARE = ["unshare", "-rn", "--pid", "--fork", "--kill-child"]
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SETTINGS = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "fonts", "localtime", "mime.types")
PYTHON_PARTS = ("bin", "lib", "lib64", "include", "share", "pyvenv.cfg")
PACKAGE = "/course"  # where an assignment that asks for the book's package finds it
START = 120.0  # seconds of work until student code can begin
WALL_START = 600.0  # of the wall clock, for a copy of a process that needs milliseconds


@dataclasses.dataclass(frozen=True)
class Isolation:
    """How student code is kept apart.

    Attributes:
        command: what starts the process that submissions are copies of.
        files: whether it sees Python, its libraries and its scratch only.
        hide: files and folders it must not see even where they lie among the libraries.
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
        seen = "nothing visible but Python, its libraries and scratch" if self.files else "files NOT hidden"
        return f"{network}, {seen}"


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def plan(hide: Iterable[str | Path], package: Path | None = None) -> seal.Plan:
    """Return what a submission may see: the system's libraries, Python's, and ``package`` where one is asked for.

    Args:
        hide: private paths; covered where they lie among the libraries.
        package: the book's package, to be found at `PACKAGE`.

    Raises:
        ValueError: where a private path is a library folder itself, and cannot be hidden.
    """
    prefixes = [sys.prefix, sys.base_prefix, str(Path(os.path.realpath(sys.executable)).parent.parent)]
    parts = [os.path.join(p, part) for p in dict.fromkeys(prefixes) if p != "/usr" for part in PYTHON_PARTS]
    parts += [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    for name in ("torch", "numpy", "IPython"):
        found = importlib.util.find_spec(name)
        parts += [str(Path(found.origin).parent.parent)] if found and found.origin else []
    parts += [f"/etc/{name}" for name in SETTINGS]
    allow = {path: path for path in SYSTEM if os.path.exists(path)}
    for part in parts:
        real = os.path.realpath(part)
        for path in (real, part):  # both names: a virtual environment may be a link, its scripts name the real one
            known = any(_inside(os.path.realpath(path), a) for a in allow) if path == real else path in allow
            if os.path.exists(real) and not known:
                allow[path] = real
    cover = []
    for path in {os.path.realpath(p) for p in [*hide, *_installed_package()]}:
        if path in allow.values():
            raise ValueError(f"{path} must not be a folder that holds Python or the system's libraries")
        cover += [shown + path[len(real) :] for shown, real in allow.items() if _inside(path, real)]
    if package is not None:
        allow[f"{PACKAGE}/ncbook"] = os.path.realpath(package)
    return seal.Plan(allow, sorted(cover))


def _installed_package() -> list[str]:
    """Return the folders of the book's package that lie among the libraries: only a course's own copy is shown."""
    found = importlib.util.find_spec("ncbook")
    return list(found.submodule_search_locations or ()) if found else []


def _attempt(command: list[str], *more: str) -> str:
    """Run a command; return why it failed, or nothing."""
    if not sys.platform.startswith("linux"):
        return f"this is {sys.platform}, not Linux"
    if shutil.which(command[0]) is None:
        return f"there is no command {command[0]}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(
            [*command, *more], capture_output=True, timeout=300, stdin=subprocess.DEVNULL, text=True, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]}: {error}"
    said = done.stderr.strip().splitlines()
    return "" if done.returncode == 0 else f"{command[0]}: {said[-1] if said else f'exit status {done.returncode}'}"


def find_isolation(hide: Iterable[str | Path] = (), *, visible_files: bool = False) -> tuple[Isolation | None, str]:
    """Return the isolation that works on this machine, or None and why there is none. Found out by trying all of it.

    Args:
        hide: private files and folders, besides this course's and the home folder.
        visible_files: accept isolation that leaves this user's files readable and writable.
    """
    if visible_files:
        why = _attempt(PLAIN_UNSHARE, "true")
        return (None, why) if why else (Isolation(tuple(PLAIN_UNSHARE)), "")
    private = tuple(dict.fromkeys(os.path.realpath(p) for p in [ROOT, *hide]))
    try:
        layout = plan(private)
    except ValueError as error:
        return None, str(error)
    found = importlib.util.find_spec("torch")
    needed = [sys.executable, str(found.origin)] if found else [sys.executable]
    python = [sys.executable, "-m", "assignments.grading.seal", layout.text(), json.dumps(needed)]
    why = _attempt(UNSHARE, *python)
    return (None, why) if why else (Isolation(tuple(UNSHARE), True, private), "")


def best_isolation(hide: Iterable[str | Path] = (), *, visible_files: bool = False) -> Isolation | None:
    """Return the isolation that `find_isolation` finds, or None."""
    return find_isolation(hide, visible_files=visible_files)[0]


class Nursery:
    """The process that has loaded the libraries once, and of which every submission's process is a copy.

    A context manager; leaving it ends every process of every submission. Tests and secrets are never in it.
    """

    def __init__(self, isolation: Isolation, *, package: Path | None = None, modules: Iterable[str] = ()) -> None:
        self.isolation = isolation
        self._folder = tempfile.mkdtemp(prefix="nursery-")
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this does
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control, its_control = socket.socketpair()
        python = [sys.executable, "-m", "assignments.grading.nursery", str(theirs.fileno()), str(its_control.fileno())]
        self._process = subprocess.Popen(
            [*isolation.command, *python],
            cwd=self._folder,
            env=self._environment(),
            pass_fds=(theirs.fileno(), its_control.fileno()),
            preexec_fn=seal.die_with_parent,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
        )
        theirs.close()
        its_control.close()
        files = isolation.files
        job: dict[str, Any] = {
            "plan": dataclasses.asdict(plan(isolation.hide, package)) if files else None,
            "package": (PACKAGE if files else str(package.parent)) if package else None,
            "namespaces": isolation.namespaces,
            "modules": list(modules),
            "root": str(ROOT),
        }
        self._wait(Channel(control), job)

    def _environment(self) -> dict[str, str]:
        home = seal.HOME if self.isolation.files else self._folder
        threads = ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            **dict.fromkeys(("HOME", "TMPDIR", "IPYTHONDIR", "MPLCONFIGDIR"), home),
            # A copy of a process has no threads. So there is one, whatever a notebook asks for.
            **dict.fromkeys(threads, "1"),
            "USER": "student",
            "LANG": "C.UTF-8",
            "MPLBACKEND": "Agg",
            "PYTHONHASHSEED": "0",
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def _wait(self, control: Channel, job: dict[str, Any]) -> None:
        """Wait until the libraries are loaded.

        Raises:
            RuntimeError: if they cannot be; with the process's own words.
        """
        try:
            control.send(job)
            reply, _ = control.receive(over=limit(Meter(self._process.pid), START))
        except (Gone, TimeoutError) as error:
            self._errors.seek(0)
            words = self._errors.read().decode(errors="replace").strip().splitlines()
            self.close()
            last = words[-1] if words else str(error) or "no answer"
            raise RuntimeError(f"the process for student code did not start: {last}") from error
        finally:
            control.close()
        if reply != {"ready": True}:
            self.close()
            raise RuntimeError(f"the process for student code did not start: {reply}")

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def start(self) -> tuple[socket.socket, socket.socket, int]:
        """Start a submission's process.

        Returns:
            A connection to it; a leash, whose closing ends it and all it started, and which ends when it does; and the
            number of the process that holds the leash.

        Raises:
            Gone: if none came.
        """
        control, its_control = socket.socketpair()
        leash, its_leash = socket.socketpair()
        leash.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        try:
            socket.send_fds(self._requests, [b"start"], [its_control.fileno(), its_leash.fileno()])
            its_control.close()
            its_leash.close()
            leash.settimeout(WALL_START)
            said, extra, _, _ = leash.recvmsg(16, socket.CMSG_SPACE(12))
        except OSError as error:
            control.close()
            leash.close()
            raise Gone("the process for student code is gone") from error
        if not said or not extra:
            raise Gone("the process did not start")
        return control, leash, int.from_bytes(extra[0][2][:4], sys.byteorder)  # the kernel's word, in our numbering

    def close(self) -> None:
        self._requests.close()
        # With namespaces, ending `unshare` ends every process inside; without, the leashes have.
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._errors.close()
        shutil.rmtree(self._folder, ignore_errors=True)
