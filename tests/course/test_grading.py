"""The grader among honest, careless and hostile submissions: each earns what its answers earn, and a status says why.

A tiny assignment with small limits stands in for the course's own; one batch grades every notebook of `CASES`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from assignments.grading import seal
from assignments.grading.batch import Result, grade_all
from assignments.grading.roster import collect, read_roster
from assignments.grading.sandbox import best_isolation
from assignments.grading.submission import Assignment

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or best_isolation() is None, reason="student code cannot be isolated here"
)

ROOT = Path(__file__).resolve().parents[2]
HEAD = "from otter.test_files import test_case\n\nOK_FORMAT = False\nname = {name!r}\npoints = {points}\n\n"
TESTS = {
    "q1": (
        3,
        """
@test_case(points=1, hidden=False, failure_message="twice its argument")
def test_visible(double):
    out = double(2)
    assert isinstance(out, (int, float)), f"double must return a number, got {type(out).__name__}"
    assert abs(out - 4) < 1e-9, f"double(2) must be 4, got {out}"

@test_case(points=2, hidden=True)
def test_hidden_doubles(double):
    import random
    draw = random.Random(848484848)
    for _ in range(3):
        x = draw.uniform(-9, 9)
        assert abs(double(x) - 2 * x) < 1e-9
""",
    ),
    "q2": (
        2,
        """
@test_case(points=1, hidden=False)
def test_visible(shift):
    import torch
    out = shift(torch.zeros(3))
    assert isinstance(out, torch.Tensor), f"shift must return a tensor, got {type(out).__name__}"
    assert torch.equal(out, torch.ones(3)), f"expected ones, got {out}"

@test_case(points=1, hidden=True)
def test_hidden_shifts(shift):
    import torch
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(848484848))
    assert torch.allclose(shift(x), x + 1)
""",
    ),
    "q3": (
        1,
        """
@test_case(points=1, hidden=True)
def test_hidden_answer(answer):
    assert answer == 7
""",
    ),
}
HONEST = ["import os, sys, time, torch", "def double(x): return 2 * x", "def shift(x): return x + 1", "answer = 7"]
ALL = {"q1": 3, "q2": 2, "q3": 1}
NOTHING = {"q1": 0, "q2": 0, "q3": 0}
LIMITS = {"cell": 4, "call": 4, "question": 8, "notebook": 40, "memory_gb": 5, "file_mb": 8, "reply_mb": 16}


def without(*questions: str) -> dict[str, float]:
    return {q: 0 if q in questions else p for q, p in ALL.items()}


@dataclasses.dataclass(frozen=True)
class Submitted:
    """A notebook's code cells, what it must earn, and what its status must contain."""

    cells: list[Any]
    earns: dict[str, float]
    status: str = "ok"


def also(cell: str, earns: dict[str, float] = ALL, status: str = "ok") -> Submitted:
    """Honest answers and one more cell, run before them."""
    return Submitted([cell, *HONEST], earns, status)


def instead(cell: str, earns: dict[str, float], status: str = "ok") -> Submitted:
    """Honest answers, then one that replaces some of them."""
    return Submitted([*HONEST, cell], earns, status)


LIE = "def double(x): return 0\ndef shift(x): return x\nanswer = 0\n"
STUBBORN = """
import signal
signal.signal(signal.SIGALRM, signal.SIG_IGN)
while True:
    try:
        while True: pass
    except BaseException: pass
"""
TRICK = """
class Yes({base}):
    def __eq__(self, other): return True
    def __sub__(self, other): return 0
    def __abs__(self): return 0
    __lt__ = __le__ = __eq__
    __hash__ = None
"""
TENSOR_TRICK = """
class Sure(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func in (torch.equal, torch.allclose): return True
        return super().__torch_function__(func, types, args, kwargs or {})
def shift(x): return x.as_subclass(Sure)
"""
FORGED_PICKLE = """
class Bomb:
    def __reduce__(self): return (os.system, ("touch /tmp/pwned /var/tmp/pwned",))
import pickle
def double(x): return Bomb()
def shift(x): return pickle.dumps(Bomb())
"""
PATCH_GRADER = """
import gc
for module in list(sys.modules.values()):
    for name in ("encode", "decode", "Case", "run_case", "status"):
        if str(getattr(module, "__name__", "")).startswith(("assignments", "otter")) and hasattr(module, name):
            setattr(module, name, lambda *a, **k: True)
for thing in gc.get_objects():
    try:
        if type(thing).__name__ in ("TestCase", "Case", "Assignment"): thing.passed = True; thing.points = 100
    except Exception: pass
"""
FORGED_REPLY = """
def double(x):
    import json
    json.dumps = lambda *a, **k: '{"head": {"value": 4}, "sizes": []}'
    return 0
"""
WRITES_EVERYWHERE = "for fd in range(3, 60):\n    try: os.write(fd, b'\\xff' * 64)\n    except OSError: pass"
FORKS = """
import os, time
for _ in range(20):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0: os.execvp("sleep", ["sleep", "987654"])
        os._exit(0)
"""
DEEP = "def double(x):\n    y = x\n    for _ in range(100000): y = [y]\n    return y"
SPY = """
found = [p for p in {paths!r} if os.path.isdir(p) and os.listdir(p)]
answer = 7 if found else 0
"""
WRITER = """
wrote = 0
for folder in {paths!r}:
    try: open(os.path.join(folder, "student-was-here"), "w").close(); wrote += 1
    except OSError: pass
answer = 7 if wrote else 0
"""
OUTSIDE = [str(ROOT), str(ROOT / "ncbook"), "/", sys.prefix]


def in_scratch(path: str) -> bool:
    """Whether a path lies where a submission has an empty folder of its own instead (a clone in /tmp does)."""
    return any(path == s or path.startswith(s + "/") for s in map(os.path.realpath, seal.SCRATCH))


NETWORK = """
import socket
try: socket.create_connection(("127.0.0.1", {port}), timeout=1); answer = 7
except OSError: answer = 0
"""

CASES: dict[str, Submitted] = {
    # What every grader meets.
    "honest": Submitted(HONEST, ALL),
    "untouched": Submitted(["def double(x):\n    ...\ndef shift(x):\n    ...\nanswer = ..."], NOTHING),
    "nothing at all": Submitted([], NOTHING),
    "only the visible example": instead("def double(x): return 4", {"q1": 1, "q2": 2, "q3": 1}),
    "an error in a cell": also("1 / 0", status="cell 1: ZeroDivisionError"),
    "a syntax error": also("def (", status="cell 1: SyntaxError"),
    "an error in an answer": instead("def double(x): raise KeyError('no')", without("q1")),
    "magics and shell lines": also("%matplotlib inline\n!echo hello\n%time 1 + 1"),
    "numpy in place of a float": instead("import numpy as np\ndef double(x): return np.float64(2 * x)", ALL),
    "not a number": instead("def double(x): return float('nan')", without("q1")),
    "asks for input": also("name = input('who? ')", status="cell 1: "),
    "ten thousand cells": Submitted([*HONEST, *["pass"] * 10_000], ALL),
    "half a character": also("x = '\ud800'"),
    # Time.
    "a loop at top level": also("while True: pass", status="cell 1: stopped after 4 s"),
    "a loop in an answer": instead(
        "def double(x):\n    while True: pass", without("q1"), "q1: a call took longer than 4 s"
    ),
    "a loop that ignores signals": also(STUBBORN, status="cell 1: stopped after 4 s"),
    "slow cells without end": Submitted(["import time", *["time.sleep(3.5)"] * 20], NOTHING, "ran longer than 40 s"),
    "endless output": also("while True: print('x' * 10000)", status="cell 1: stopped after 4 s"),
    "an endless sequence": instead(
        "import itertools\ndef double(x): return map(abs, itertools.count())", without("q1")
    ),
    "sleeps in one answer": instead("def shift(x):\n    time.sleep(60)", without("q2"), "q2: a call took longer"),
    # Memory and disk.
    "fifty gigabytes at top level": also("x = bytearray(50 * 2**30)", status="cell 1: MemoryError"),
    "fifty gigabytes in an answer": instead(
        "def double(x): return bytearray(50 * 2**30)", without("q1"), "q1: out of memory"
    ),
    "an answer too large": instead("def shift(x): return torch.zeros(20_000_000)", without("q2")),
    "an answer that makes the check large": instead("def shift(x): return torch.zeros(3_000_000, 1)", without("q2")),
    "a file the size of the disk": also(
        "f = open('big', 'wb')\nwhile True: f.write(bytes(2**20))", status="cell 1: OSError"
    ),
    "many files": also(
        "for i in range(10**6):\n    with open(f'/tmp/{i}', 'wb') as f: f.write(bytes(2**22))", status="cell 1: OSError"
    ),
    # Processes and signals.
    "exits at top level": also("import os; os._exit(0)", status="cell 1: ended the process"),
    "exits in an answer": instead("def double(x): os._exit(0)", without("q1"), "q1: the process ended"),
    "leaves politely": also("import sys; sys.exit(0)", status="cell 1: SystemExit"),
    "interrupts": also("raise KeyboardInterrupt", status="cell 1: KeyboardInterrupt"),
    "crashes the interpreter": also("import ctypes; ctypes.string_at(0)", status="cell 1: ended the process"),
    "kills everyone": also("import os, signal; os.kill(-1, signal.SIGKILL)", status="cell 1"),
    "kills its parent": also("import os; os.kill(os.getppid(), 9); os.kill(1, 9); os.killpg(0, 9)"),
    "threads": also(
        "import threading, time\n"
        "for _ in range(50): threading.Thread(target=time.sleep, args=(999,), daemon=True).start()"
    ),
    "kills what it came from": instead("def double(x): os.kill(os.getppid(), 9); return 2 * x", ALL),
    "forks that stay": also(FORKS),
    "recursion without end": also("def f(): return f()\nf()", status="cell 1: RecursionError"),
    "ends itself whenever it is asked": instead(
        "os.register_at_fork(before=lambda: os._exit(1))", NOTHING, "q3: the process ended"
    ),
    # Lies.
    "patches the comparison": Submitted(
        [*HONEST, LIE, "torch.allclose = torch.equal = lambda *a, **k: True\ntorch.Tensor.__eq__ = lambda *a: True"],
        NOTHING,
    ),
    "patches the grader": Submitted([*HONEST, LIE, PATCH_GRADER], NOTHING, ""),
    "patches builtins": Submitted(
        [*HONEST, LIE, "import builtins\nbuiltins.abs = lambda x: 0\nbuiltins.AssertionError = ValueError"], NOTHING
    ),
    "prints a score": Submitted(
        [*HONEST, LIE, "print('{\"score\": 100}')\nopen('results.json', 'w').write('{\"score\": 100}')"], NOTHING
    ),
    "equal to everything": instead(
        TRICK.format(base="object") + "def double(x): return Yes()\nanswer = Yes()", without("q1", "q3")
    ),
    "a float equal to everything": instead(TRICK.format(base="float") + "def double(x): return Yes(0)", without("q1")),
    "a tensor equal to everything": instead(TENSOR_TRICK, without("q2")),
    "an answer that is a class": instead("class answer:\n    pass", without("q3")),
    "an answer that is a module": instead("answer = os\ndouble = sys", without("q1", "q3")),
    "arrays of objects": instead("import numpy as np\ndef double(x): return np.array([object()])", without("q1")),
    "a sparse tensor": instead("def shift(x): return (x + 1).to_sparse()", ALL),
    "a forged pickle": instead(FORGED_PICKLE, without("q1", "q2")),
    "a forged reply": instead(FORGED_REPLY, {"q1": 1, "q2": 2, "q3": 1}),
    "garbage on every pipe": also("import os\n" + WRITES_EVERYWHERE, status="cell 1: spoke to the grader"),
    "garbage in an answer": instead(
        "def double(x):\n    " + WRITES_EVERYWHERE.replace("\n", "\n    "), without("q1"), "q1: a reply"
    ),
    "nested a hundred thousand deep": instead(DEEP, without("q1")),
    "an error whose text is no text": instead(
        "class Odd(Exception):\n    def __str__(self): raise ValueError\ndef double(x): raise Odd()", without("q1"), ""
    ),
    "removes its home": also("import shutil, os; shutil.rmtree(os.environ['HOME'], ignore_errors=True); os.chdir('/')"),
    # Spies.
    "reads the tests and the secret": instead(
        SPY.format(paths=[str(ROOT / name) for name in ("assignments", "tests", "_build", ".git", "_static")]),
        without("q3"),
    ),
    "writes outside": instead(WRITER.format(paths=[p for p in OUTSIDE if not in_scratch(p)]), without("q3")),
    "writes where it may": instead(WRITER.format(paths=[*OUTSIDE, "/tmp"]), ALL),
}

FILES: dict[str, tuple[bytes, str]] = {
    "corrupt": (b'{"cells": [', "unreadable: no notebook"),
    "empty": (b"", "unreadable: an empty file"),
    "a list": (b"[]", "unreadable: no notebook"),
    "all brackets": (b"[" * 200_000, "unreadable: no notebook"),
    "version three": (b'{"worksheets": [{"cells": []}]}', "unreadable: no notebook"),
    "odd sources": (b'{"cells": [{"cell_type": "code", "source": {"a": 1}}, 3]}', "unreadable: no notebook"),
    "another assignment": (
        json.dumps({"cells": [], "metadata": {"otter": {"assignment_name": "hw9"}}}).encode(),
        "another assignment (hw9)",
    ),
    "bytes": (bytes(range(256)) * 10, "unreadable: no notebook"),
}


def notebook(cells: list[Any], outputs: list[Any] | None = None) -> bytes:
    code = [{"cell_type": "code", "source": c, "metadata": {}, "outputs": outputs or []} for c in cells]
    return json.dumps({"cells": code, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def write_assignment(folder: Path) -> Path:
    """Write what the release would: tests in otter's format, and a description."""
    tests = folder / "tiny" / "autograder" / "tests"
    tests.mkdir(parents=True, exist_ok=True)
    for name, (points, body) in TESTS.items():
        (tests / f"{name}.py").write_text(HEAD.format(name=name, points=points) + body)
    questions = {q: {"points": p, "manual": False} for q, (p, _) in TESTS.items()} | {
        "q4": {"points": 2, "manual": True}
    }
    about = {"assignment": "tiny", "questions": questions, "limits": LIMITS}
    (tests.parent / "grading.json").write_text(json.dumps(about))
    return tests.parent


def write_submissions(folder: Path) -> list[str]:
    """Write one file a student, honest or not; return the students."""
    folder.mkdir(exist_ok=True)
    for name, case in CASES.items():
        (folder / f"{name}.ipynb").write_bytes(notebook(case.cells))
    for name, (data, _) in FILES.items():
        (folder / f"{name}.ipynb").write_bytes(data)
    (folder / "Zoë 李明.ipynb").write_bytes(notebook(HONEST))
    wordy = [{"output_type": "stream", "name": "stdout", "text": "x" * 5_000_000}]
    (folder / "twenty megabytes of output.ipynb").write_bytes(notebook(HONEST, wordy))
    (folder / "a link.ipynb").symlink_to("/etc/passwd")
    os.mkfifo(folder / "a pipe.ipynb")
    with zipfile.ZipFile(folder / "zipped.zip", "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("work/zipped.ipynb", notebook(HONEST))
    with zipfile.ZipFile(folder / "a zip bomb.zip", "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("bomb.ipynb", bytes(100 << 20))
    with zipfile.ZipFile(folder / "two in a zip.zip", "w") as z:
        z.writestr("a.ipynb", "")
        z.writestr("b.ipynb", "")
    (folder / "no zip.zip").write_bytes(b"PK\x03\x04 not really")
    first, second = folder / "twice_first.ipynb", folder / "twice_second.ipynb"
    first.write_bytes(notebook([*HONEST, LIE]))
    second.write_bytes(notebook(HONEST))
    os.utime(first, (1_700_000_000, 1_700_000_000))
    (folder / "wrong kind.pdf").write_bytes(b"%PDF")
    others = [
        "Zoë 李明",
        "twenty megabytes of output",
        "a link",
        "a pipe",
        "zipped",
        "a zip bomb",
        "two in a zip",
        "no zip",
    ]
    return [*CASES, *FILES, *others, "twice", "wrong kind", "absent"]


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
            students = write_submissions(folder)
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
    assert "twice its argument\n        AssertionError: double(2) must be 4, got 0" in text
    assert "hidden checks: 0 of 2" in text and "q4  graded by hand, 2 points" in text
    assert not re.search("848484848|uniform|allclose|test_hidden", text)
    assert "hidden checks: 2 of 2" in feedback(graded["honest"], assignment)
