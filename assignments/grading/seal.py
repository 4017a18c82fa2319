"""Lock this process in, on Linux, before any student code runs.

Started by ``unshare`` as root of its own user, mount, network and process namespaces, it hides folders under empty
ones, makes every other file system read-only, limits itself, and gives up the rights it did that with. What is locked
from a user namespace above cannot be unlocked from the one below.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
from pathlib import Path

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
SCRATCH = ("/tmp", "/var/tmp", "/dev/shm")
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
HOME = "/tmp/home"


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    encode = lambda text: None if text is None else os.fsencode(text)
    if _libc().mount(encode(source), encode(target), encode(kind), flags, encode(data)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), target)


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the one that started it ends, however it ends."""
    if hasattr(os, "pidfd_open"):  # Linux
        _libc().prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def hide_files(hide: list[str], keep: list[str], scratch_mb: int) -> None:
    """Cover the folders of ``hide`` with empty ones, all but the folders of ``keep``; leave only scratch writable."""
    _mount(None, "/", None, MS_REC | MS_PRIVATE)
    real = lambda paths: [p for p in dict.fromkeys(map(os.path.realpath, paths)) if os.path.exists(p)]
    scratch = real(SCRATCH)
    covers = real(["/run", "/dev", *hide])
    covers = [p for p in covers if not any(_inside(p, q) and p != q for q in covers)]
    rescued = [k for k in real([*keep, *DEVICES]) if any(_inside(k, c) for c in [*covers, *scratch])]
    opened = {k: os.open(k, os.O_PATH) for k in rescued}
    for cover in [*covers, *scratch]:
        Path(cover).mkdir(parents=True, exist_ok=True)
        _mount("none", cover, "tmpfs", MS_NOSUID | MS_NODEV, f"size={scratch_mb}m,mode=700")
    for path, number in opened.items():
        if os.path.isdir(f"/proc/self/fd/{number}"):
            Path(path).mkdir(parents=True, exist_ok=True)
        else:
            Path(path).touch()
        _mount(f"/proc/self/fd/{number}", path, None, MS_BIND | MS_REC)
        os.close(number)
    writable = set(scratch)
    for line in Path("/proc/self/mounts").read_text().splitlines():
        target = line.split()[1].encode().decode("unicode_escape")
        if target not in writable and not _inside(target, "/proc"):
            with contextlib.suppress(OSError):  # a few kernel mounts refuse; they hold no user's files
                _mount(None, target, None, MS_REMOUNT | MS_BIND | MS_RDONLY)


def is_read_only(path: str) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def seal(hide: list[str], keep: list[str], scratch_mb: int = 256) -> bool:
    """Lock this process in; return whether its view of the files could be locked too."""
    try:
        hide_files(hide, keep, scratch_mb)
        os.makedirs(HOME, exist_ok=True)
        os.chdir(HOME)
        sealed = is_read_only("/")
    except OSError:
        sealed = False
    _libc().prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    sealed = _libc().unshare(CLONE_NEWUSER) == 0 and sealed
    die_with_parent()  # changing users forgot it
    return sealed


def set_limits(seconds: float, memory: int, file_size: int, processes: int | None) -> None:
    """Limit this process and all it starts: CPU seconds, bytes of memory, bytes a file, number of processes."""
    whole = int(seconds) + 1
    wanted = [
        (resource.RLIMIT_CPU, whole),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, file_size),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 512),
    ]
    if processes is not None:
        wanted.append((resource.RLIMIT_NPROC, processes))
    for what, value in wanted:
        with contextlib.suppress(ValueError, OSError):  # lower already, or not offered here
            _, hard = resource.getrlimit(what)
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(what, (value, value))
