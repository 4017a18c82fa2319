"""Lock processes in, on Linux, before any student code runs.

What a submission sees is a list of what it may: a new root holds Python, its libraries, the system's, and nothing else,
all of it read-only. Each submission gets namespaces of its own (users, processes, network, mounts) with empty scratch,
and each test a copy of that scratch. What is locked from a user namespace above cannot be unlocked from the one below.

    python -m assignments.grading.seal PLAN     tries it: exits with 0, or says what failed
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import json
import os
import resource
import shutil
import signal
import sys
from pathlib import Path

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
KEPT = {"nosuid": 2, "nodev": 4, "noexec": 8, "noatime": 1024, "nodiratime": 2048, "relatime": 1 << 21}
NEW_MOUNTS, NEW_IPC, NEW_USER, NEW_PROCESSES, NEW_NETWORK = 0x20000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}
SCRATCH = "/tmp"
HOME = "/tmp/home"
_in_scratch: list[str] = []  # libraries that lie where scratch does, as those of a clone in /tmp
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is seen: ``allow`` maps a path inside to the path outside that is shown there; ``cover`` is hidden in it."""

    allow: dict[str, str]
    cover: list[str]

    def text(self) -> str:
        return json.dumps(dataclasses.asdict(self))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(outcome: int, what: str) -> None:
    if outcome != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    encode = lambda text: None if text is None else os.fsencode(text)
    _check(_libc().mount(encode(source), encode(target), encode(kind), flags, encode(data)), f"mount on {target}")


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the one that started it ends, however it ends."""
    if hasattr(os, "pidfd_open"):  # Linux
        _libc().prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def new_spaces(flags: int, inside: int) -> None:
    """Enter new namespaces, this user known there as number ``inside``.

    Raises:
        OSError: where the kernel forbids it.
    """
    user, group = os.geteuid(), os.getegid()
    _check(_libc().unshare(NEW_USER | flags), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{inside} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{inside} {group} 1")


def drop_rights() -> None:
    """Give up every right over the mounts and namespaces made so far, for good."""
    _libc().prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _check(_libc().unshare(NEW_USER), "unshare")
    die_with_parent()  # changing users forgot it


def _place(source: str, target: str) -> None:
    """Show a file or folder of the old root at ``target``."""
    if os.path.isdir(source):
        Path(target).mkdir(parents=True, exist_ok=True)
    else:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        Path(target).touch()
    _mount(source, target, None, MS_BIND | MS_REC)


def _cover(target: str) -> None:
    if os.path.isdir(target):
        _mount("none", target, "tmpfs", MS_NOSUID | MS_NODEV, "size=64k,mode=755")
    elif os.path.exists(target):
        _mount("/dev/null", target, None, MS_BIND)


def enter_root(plan: Plan) -> None:
    """Make the plan's files this process's whole world, read-only but for scratch.

    Raises:
        OSError: where one step failed; the text names it.
    """
    _mount(None, "/", None, MS_REC | MS_PRIVATE)
    _mount("none", SCRATCH, "tmpfs", MS_NOSUID | MS_NODEV, "size=16m,mode=755")
    os.mkdir(f"{SCRATCH}/old")
    number = PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(f"no isolation is known for processors of kind {os.uname().machine}")
    _check(_libc().syscall(number, SCRATCH.encode(), f"{SCRATCH}/old".encode()), "pivot_root")
    os.chdir("/")
    os.mkdir("/proc")
    _mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV)
    for device in DEVICES:
        _place(f"/old{device}", device)
    os.symlink("/proc/self/fd", "/dev/fd")
    os.symlink(SCRATCH, "/dev/shm")
    os.mkdir(SCRATCH)
    _in_scratch[:] = [path for path in plan.allow if path.startswith(f"{SCRATCH}/")]
    links = {path: os.readlink(f"/old{path}") for path in plan.allow if os.path.islink(f"/old{path}")}
    for path, target in links.items():  # /lib is one, a virtual environment may be one: the name must go on working
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        os.symlink(target, path)
    steps = [(path, source) for path, source in plan.allow.items() if path not in links]
    for path, source in sorted([*steps, *((path, "") for path in plan.cover)], key=lambda s: s[0].count("/")):
        _place(f"/old{source}", path) if source else _cover(path)
    _check(_libc().umount2(b"/old", MNT_DETACH), "umount")
    os.rmdir("/old")
    for path in ("/etc", "/var"):
        Path(path).mkdir(exist_ok=True)
    if not os.path.lexists("/var/tmp"):
        os.symlink(SCRATCH, "/var/tmp")
    Path("/etc/passwd").write_text(
        f"student:x:0:0:student:{HOME}:/bin/sh\nstudent:x:1000:1000:student:{HOME}:/bin/sh\n"
    )
    _lock()
    os.close(fresh_scratch(256))
    _go_home()


def _lock() -> None:
    """Make every mount read-only but /proc."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, target, _, options, *_ = line.split()
        target = target.encode().decode("unicode_escape")
        if target != "/proc":
            kept = sum(flag for name, flag in KEPT.items() if name in options.split(","))
            _mount(None, target, None, MS_REMOUNT | MS_BIND | MS_RDONLY | kept)


def fresh_scratch(megabytes: int) -> int:
    """Put empty scratch in place of the old; return a descriptor of the old."""
    old = os.open(SCRATCH, os.O_RDONLY)
    shown = {path: os.open(path, os.O_PATH) for path in _in_scratch}
    _mount("none", SCRATCH, "tmpfs", MS_NOSUID | MS_NODEV, f"size={megabytes}m,mode=700")
    for path, number in shown.items():
        _place(f"/proc/self/fd/{number}", path)
        os.close(number)
    return old


def _go_home() -> None:
    os.makedirs(HOME, exist_ok=True)
    os.chdir(HOME)


def enter_submission(files: bool, megabytes: int = 256) -> None:
    """In the first process of a submission's new namespaces: its own scratch and processes, then no rights at all.

    Raises:
        OSError: where one step failed.
    """
    if files:
        _mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV)
        os.close(fresh_scratch(megabytes))
        _go_home()
    new_spaces(0, 1000)
    _libc().prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    die_with_parent()
    if files and not os.statvfs("/").f_flag & os.ST_RDONLY:
        raise OSError("the new root is not read-only")


def enter_test(megabytes: int = 256) -> None:
    """In the first process of a test's new namespaces: a copy of the scratch, which nobody else sees."""
    here = os.getcwd()
    old = fresh_scratch(megabytes)
    source = f"/proc/self/fd/{old}"
    library = lambda folder, names: [n for n in names if SCRATCH + f"{folder}/{n}"[len(source) :] in _in_scratch]
    with contextlib.suppress(shutil.Error, OSError):
        shutil.copytree(source, SCRATCH, symlinks=True, ignore=library, dirs_exist_ok=True)
    os.close(old)
    _mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV)
    with contextlib.suppress(OSError):
        os.chdir(here)
    drop_rights()


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


SPACES = NEW_PROCESSES | NEW_NETWORK | NEW_IPC
FILE_SPACES = SPACES | NEW_MOUNTS


def _try(plan: Plan, needed: list[str]) -> None:
    """Go through all of it once: the root, a submission in it, a test in that."""
    enter_root(plan)
    if missing := [path for path in needed if not os.path.exists(path)]:
        raise OSError(f"not seen from inside: {', '.join(missing)}")
    for flags, enter in ((FILE_SPACES, lambda: enter_submission(True)), (FILE_SPACES, enter_test)):
        new_spaces(flags, os.getuid())
        if (child := os.fork()) != 0:
            os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        enter()
        Path(HOME, "written").touch()


if __name__ == "__main__":
    try:
        _try(Plan(**json.loads(sys.argv[1])), json.loads(sys.argv[2]))
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)
