"""What student code can see and how its time is counted, tried in places and at moments of our own choosing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from assignments.grading import isolation, nursery, seal
from assignments.grading.batch import grade_all
from assignments.grading.isolation import Nursery, best_isolation, find_isolation
from assignments.grading.results import Result
from assignments.grading.roster import collect
from assignments.grading.submission import Assignment
from tests.conftest import ROOT
from tests.course.test_grading_cases import ALL, HONEST, notebook, without, write_assignment

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or best_isolation() is None, reason="student code cannot be isolated here"
)
# Reads every file below a folder that could hold tests, and shows what it found.
SEARCH = """
import os
found = [os.path.join(d, f) for d, _, files in os.walk({folder!r}) for f in files if f in ("q1.py", "tiny.ipynb")]
answer = 7 if found else 0
"""


def grade_one(folder: Path, cells: list[str], released: Path, limits: dict[str, float] | None = None) -> Result:
    """Grade one notebook of the assignment in ``released``."""
    (folder / "in").mkdir(exist_ok=True, parents=True)
    (folder / "in" / "x.ipynb").write_bytes(notebook(cells))
    known = best_isolation()
    assert known is not None
    submissions, _ = collect(folder / "in", None)
    (result,) = grade_all(submissions, Assignment.read(released, limits), known, folder / "results", 1)
    return result


def marks(result: Result) -> dict[str, float]:
    return {q: result.points(q) for q in ALL}


@pytest.fixture
def among_the_libraries() -> Iterator[Path]:
    """A folder where Python's own files lie, which student code must see for the most part."""
    folder = Path(tempfile.mkdtemp(prefix="released-", dir=Path(sys.prefix) / "lib"))
    yield folder
    shutil.rmtree(folder)


def test_released_folder_is_unreadable_even_among_the_libraries(tmp_path: Path, among_the_libraries: Path) -> None:
    released = write_assignment(among_the_libraries)
    result = grade_one(tmp_path, [*HONEST, SEARCH.format(folder=str(among_the_libraries))], released)
    assert (marks(result), result.status) == (without("q3"), "ok")


def test_a_folder_of_libraries_cannot_be_private() -> None:
    found, why = find_isolation([Path(sys.prefix) / "lib"])
    assert found is None and "must not be a folder that holds Python" in why


def test_a_failed_attempt_says_its_own_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "UNSHARE", [*isolation.UNSHARE, "--no-such-option"])
    found, why = find_isolation()
    assert found is None and why.startswith("unshare: ") and len(why) > len("unshare: ")


def test_what_cannot_be_shown_is_named() -> None:
    layout = seal.Plan({"/usr": "/no/such/folder"}, []).text()
    python = [sys.executable, "-m", "assignments.grading.seal", layout, "[]"]
    assert "mount on /usr: No such file" in isolation._attempt(isolation.UNSHARE, *python)


def test_package_is_seen_where_the_release_laid_it(tmp_path: Path) -> None:
    released = write_assignment(tmp_path)
    package = released.parent / "student" / "ncbook"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("seven = 7\n")
    result = grade_one(tmp_path, [*HONEST[:-1], "import ncbook\nanswer = ncbook.seven"], released)
    assert (marks(result), result.status) == (ALL, "ok")


def test_linked_environment_works(tmp_path: Path) -> None:
    (tmp_path / "environment").symlink_to(sys.prefix)
    code = "from assignments.grading.isolation import *; i, why = find_isolation(); assert i, why; Nursery(i).close()"
    python = [str(tmp_path / "environment" / "bin" / "python"), "-c", code]
    done = subprocess.run(python, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr


def test_process_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    known = best_isolation()
    assert known is not None
    monkeypatch.setattr(isolation.Nursery, "_environment", lambda self: {"PYTHONPATH": "/nowhere"})
    with pytest.raises(RuntimeError, match=r"did not start: .*No module named"):
        Nursery(known)


# Time. Work is given in processor seconds, so that it is the same on every machine and beside every neighbour.
WORK = "def work(seconds):\n    end = time.process_time() + seconds\n    while time.process_time() < end: pass\n"
WORKS = [HONEST[0], WORK, "work(1.2)", *HONEST[1:], "def double(x):\n    work(0.8)\n    return 2 * x"]
LIMITS = {"cell": 2.0, "call": 2.0, "question": 5.0}


def test_marks_do_not_depend_on_how_busy_the_machine_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released = write_assignment(tmp_path)
    quiet = grade_one(tmp_path / "quiet", WORKS, released, LIMITS)
    neighbours = []

    def with_neighbours(nursery: Nursery) -> Nursery:
        """Two processes a core that never rest; student code gets a fifth of a core between them."""
        os.setpriority(os.PRIO_PGRP, nursery._process.pid, os.getpriority(os.PRIO_PROCESS, 0) + 3)
        spin = [sys.executable, "-c", "while True: pass"]
        neighbours.extend(subprocess.Popen(spin) for _ in range(2 * (os.cpu_count() or 1)))
        return nursery

    monkeypatch.setattr(Nursery, "__enter__", with_neighbours)
    try:
        beside = grade_one(tmp_path / "beside", WORKS, released, LIMITS)
    finally:
        for process in neighbours:
            process.kill()
            process.wait()
    assert (marks(quiet), quiet.status) == (marks(beside), beside.status) == (ALL, "ok")


def test_what_took_too_long_is_graded_again_and_not_twice(tmp_path: Path) -> None:
    released = write_assignment(tmp_path)
    cells = [*HONEST, "def double(x):\n    time.sleep(30)\n    return 2 * x"]
    result = grade_one(tmp_path, cells, released)
    assert marks(result) == without("q1") and "q1: a call took longer than 4 s" in result.status
    assert not result.again and json.loads((tmp_path / "results" / "x.json").read_text())["again"] is False


@pytest.mark.skipif(tuple(map(int, os.uname().release.split(".")[:2])) < (6, 1), reason="the kernel has no such call")
def test_big_pages_hold_what_the_small_ones_did() -> None:
    block = bytearray(os.urandom(1 << 20) * 16)  # eight big pages or seven
    before = bytes(block)
    folded = nursery.fold()
    assert folded >= 7 * nursery.BIG and block == before
