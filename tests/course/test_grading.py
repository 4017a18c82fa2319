"""The grader among honest, careless and hostile submissions: each earns what its answers earn, and a status says why.

A tiny assignment with small limits stands in for the course's own; one batch grades every notebook of `CASES`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from assignments.grading.batch import grade_all
from assignments.grading.isolation import best_isolation
from assignments.grading.results import Result
from assignments.grading.roster import collect, read_roster
from assignments.grading.submission import Assignment
from tests.conftest import ROOT
from tests.course.test_grading_attacks import ATTACKS, OUTSIDE
from tests.course.test_grading_cases import (
    ALL,
    FILES,
    HONEST,
    HONEST_CASES,
    NOTHING,
    notebook,
    without,
    write_assignment,
    write_submissions,
)

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or best_isolation() is None, reason="student code cannot be isolated here"
)

CASES = HONEST_CASES | ATTACKS

NETWORK = """
import socket
try: socket.create_connection(("127.0.0.1", {port}), timeout=1); answer = 7
except OSError: answer = 0
"""


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """Every submission of this file, graded in one batch (once, also where test processes run side by side)."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "hostile"
    with FileLock(f"{shared}.lock"):
        folder = shared / "submissions"
        if not shared.exists():
            shared.mkdir()
            write_assignment(shared)
            students = write_submissions(folder, CASES)
            (shared / "roster.csv").write_text("student\n" + "\n".join(students), encoding="utf-8")
        assignment = Assignment.read(shared / "tiny" / "autograder")
        isolation = best_isolation([folder, shared])
        assert isolation is not None
        submissions, _ = collect(folder, read_roster(shared / "roster.csv"))
        return {r.student: r for r in grade_all(submissions, assignment, isolation, shared / "results", 4)}


def marks(result: Result) -> dict[str, float]:
    return {q: result.points(q) for q in ALL}


def test_no_submission_left_a_file_outside(graded: dict[str, Result]) -> None:
    assert graded["writes outside"].student and graded["writes where it may"].student
    assert [p for p in [*OUTSIDE, "/tmp"] if (Path(p) / "student-was-here").exists()] == []


@pytest.mark.parametrize("name", CASES)
def test_submission_earns_what_its_answers_earn(graded: dict[str, Result], name: str) -> None:
    case, result = CASES[name], graded[name]
    assert (marks(result), case.status in result.status) == (case.earns, True), result.status
    if case.status == "ok":
        assert result.status == "ok"


@pytest.mark.parametrize("name", FILES)
def test_what_is_no_notebook_earns_nothing_and_says_so(graded: dict[str, Result], name: str) -> None:
    assert marks(graded[name]) == NOTHING
    assert FILES[name][1] in graded[name].status


@pytest.mark.parametrize(
    ("name", "earns", "status"),
    [
        ("Zoë 李明", ALL, "ok"),
        ("twenty megabytes of output", ALL, "ok"),
        ("zipped", ALL, "ok"),
        ("zipped with checkpoints", ALL, "ok"),
        ("zipped with a draft", ALL, "ok"),
        ("saved by a browser", ALL, "ok"),
        ("saved as data", ALL, "ok"),
        ("format three", ALL, "ok"),
        ("a link", NOTHING, "not a regular file"),
        ("a pipe", NOTHING, "not a regular file"),
        ("a zip bomb", NOTHING, "larger than 64 MB"),
        ("two in a zip", NOTHING, "a zip with 2 notebooks"),
        ("no zip", NOTHING, "a damaged zip"),
        ("twice", ALL, "2 submissions: graded twice_second.ipynb, the newest"),
        ("wrong kind", NOTHING, "no notebook in wrong kind.pdf"),
        ("absent", NOTHING, "missing"),
    ],
)
def test_odd_files(graded: dict[str, Result], name: str, earns: dict[str, float], status: str) -> None:
    assert (marks(graded[name]), status in graded[name].status) == (earns, True), graded[name].status


def test_no_process_outlives_the_batch(graded: dict[str, Result]) -> None:
    listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert "sleep 987654" not in listing


def test_no_student_code_ran_outside(graded: dict[str, Result]) -> None:
    assert not any(Path(p).exists() for p in ("/tmp/pwned", "/var/tmp/pwned", ROOT / "student-was-here"))


def test_network_is_out_of_reach(tmp_path: Path) -> None:
    import socket

    assignment = Assignment.read(write_assignment(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as server:
        cells = [*HONEST, NETWORK.format(port=server.getsockname()[1])]
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "x.ipynb").write_bytes(notebook(cells))
        isolation = best_isolation()
        assert isolation is not None
        submissions, _ = collect(tmp_path / "in", None)
        (result,) = grade_all(submissions, assignment, isolation, tmp_path / "results", 1)
    assert marks(result) == without("q3")


def command(folder: Path, *more: str) -> list[str]:
    python = [sys.executable, "-m", "assignments.grading", "--released", str(folder), "grade", "--assignment", "tiny"]
    paths = [
        "--submissions",
        str(folder / "in"),
        "--roster",
        str(folder / "roster.csv"),
        "--out",
        str(folder / "out.csv"),
    ]
    return [*python, *paths, "--workers", "1", *more]


def test_run_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    write_assignment(tmp_path)
    (tmp_path / "in").mkdir()
    names = ["ada", "ben", "eve"]
    for name in names:
        (tmp_path / "in" / f"{name}.ipynb").write_bytes(notebook([*HONEST, "import time; time.sleep(1)"]))
    (tmp_path / "roster.csv").write_text("student;name\n" + "".join(f"{n};{n.title()}\n" for n in [*names, "zed"]))
    first = subprocess.Popen(command(tmp_path), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stored = tmp_path / "out" / "results"
    until = time.monotonic() + 90
    while not (stored / "ada.json").exists() and time.monotonic() < until:
        time.sleep(0.05)
    first.kill()
    first.wait()
    done = {p.name: p.stat().st_mtime_ns for p in stored.glob("*.json")}
    assert 0 < len(done) < len(names) and not (tmp_path / "out.csv").exists()
    subprocess.run(command(tmp_path), cwd=ROOT, check=True, capture_output=True, timeout=120)
    assert all((stored / name).stat().st_mtime_ns == when for name, when in done.items())
    rows = (tmp_path / "out.csv").read_text(encoding="utf-8-sig").splitlines()
    assert rows[0] == "student,name,q1,q2,q3,q4,total,max,status,seconds,file"
    assert [r.split(",")[:9] for r in rows[1:4]] == [[n, n.title(), "3", "2", "1", "", "6", "6", "ok"] for n in names]
    assert rows[4].split(",")[:9] == ["zed", "Zed", "0", "0", "0", "", "0", "6", "missing"]
    log = (tmp_path / "out" / "grading.log").read_text()
    assert log.count("ada: ok") >= 1 and "zed: missing" in log
    assert not list(tmp_path.rglob("submission-*"))


def test_feedback_shows_visible_messages_only(graded: dict[str, Result], tmp_path: Path) -> None:
    from assignments.grading.report import feedback

    assignment = Assignment.read(write_assignment(tmp_path))
    text = feedback(graded["patches the comparison"], assignment)
    assert "| twice its argument\n        | AssertionError: double(2) must be 4, got 0" in text
    assert "hidden checks: 0 of 2" in text and "q4  graded by hand, 2 points" in text
    assert not re.search("848484848|uniform|allclose|test_hidden", text)
    assert "hidden checks: 0 of 2\n        doubles: not passed (0 of 2)" in text
    assert "hidden checks: 2 of 2\n        doubles: passed (2 of 2)" in feedback(graded["honest"], assignment)


@pytest.mark.parametrize("name", [n for n in ATTACKS if n.startswith("writes into the feedback")])
def test_student_code_writes_no_feedback_and_no_status(graded: dict[str, Result], tmp_path: Path, name: str) -> None:
    from assignments.grading.report import feedback

    text = feedback(graded[name], Assignment.read(write_assignment(tmp_path)))
    assert "WRITTEN" not in text + graded[name].status
    assert not re.search(r"0\.\d{5}", text)  # what a hidden test drew
