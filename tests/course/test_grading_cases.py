"""What the grader's tests hand in, honest or careless: not tests, but what they are about."""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
from pathlib import Path
from typing import Any

HEAD = "from otter.test_files import test_case\n\nOK_FORMAT = False\nname = {name!r}\npoints = {points}\n\n"
TESTS = {
    "q1": (
        3,
        """
@test_case(points=1, hidden=False, failure_message="twice its argument")
def test_visible(double):
    out = double(2)
    assert isinstance(out, (int, float)), f"double must return a number, got {out!r}"
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
LIMITS = {"cell": 4, "call": 4, "question": 8, "notebook": 20, "memory_gb": 5, "file_mb": 8, "reply_mb": 16}


def without(*questions: str) -> dict[str, float]:
    return {q: 0 if q in questions else p for q, p in ALL.items()}


@dataclasses.dataclass(frozen=True)
class Submitted:
    """A notebook's code cells, what it must earn, and what its status must contain."""

    cells: list[Any]
    earns: dict[str, float]
    status: str = "ok"

    def then(self, cell: str) -> Submitted:
        """Return the same with one more cell at the end."""
        return dataclasses.replace(self, cells=[*self.cells, cell])


def also(cell: str, earns: dict[str, float] = ALL, status: str = "ok") -> Submitted:
    """Honest answers and one more cell, run before them."""
    return Submitted([cell, *HONEST], earns, status)


def instead(cell: str, earns: dict[str, float], status: str = "ok") -> Submitted:
    """Honest answers, then one that replaces some of them."""
    return Submitted([*HONEST, cell], earns, status)


def habit(line: str, status: str = "ok") -> Submitted:
    """Honest answers, one of them in a cell that begins with a line out of habit."""
    return Submitted([HONEST[0], f"{line}\n{HONEST[1]}", *HONEST[2:]], ALL, status)


STUBBORN = """
import signal
signal.signal(signal.SIGALRM, signal.SIG_IGN)
while True:
    try:
        while True: pass
    except BaseException: pass
"""
FORKS = """
import os, time
for _ in range(20):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0: os.execvp("sleep", ["sleep", "987654"])
        os._exit(0)
"""
HONEST_CASES: dict[str, Submitted] = {
    # What every grader meets.
    "honest": Submitted(HONEST, ALL),
    "untouched": Submitted(["def double(x):\n    ...\ndef shift(x):\n    ...\nanswer = ..."], NOTHING),
    "nothing at all": Submitted([], NOTHING, "no answers found"),
    "a notebook of elsewhere": Submitted(["import torch", "print(torch.eye(3))"], NOTHING, "no answers found"),
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
    "slow cells without end": Submitted(["import time", *["time.sleep(3.5)"] * 20], NOTHING, "ran longer than 20 s"),
    "endless output": also("while True: print('x' * 10000)", status="cell 1: stopped after 4 s"),
    "an endless sequence": instead(
        "import itertools\ndef double(x): return map(abs, itertools.count())", without("q1")
    ),
    "sleeps in one answer": instead("def shift(x):\n    time.sleep(60)", without("q2"), "q2: a call took longer"),
    # Threads, which a copy of a process does not have.
    "four threads and a product": Submitted(
        [
            "import torch\ntorch.set_num_threads(4)\nbig = torch.randn(700, 700)\nproduct = big @ big",
            *HONEST,
            "def shift(x):\n    (big @ big).sum()\n    return x + 1",
        ],
        ALL,
    ),
    "a pool of threads": Submitted(
        [
            "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(2)\npool.submit(int)",
            *HONEST,
            "def double(x): return pool.submit(lambda: 2 * x).result()",
        ],
        ALL,
    ),
    # Habits. Each stands in one cell with an answer.
    "mounts a drive": habit("from google.colab import drive\ndrive.mount('/content/drive')"),
    "looks whether this is Colab": habit(
        "import sys\nif 'google.colab' in sys.modules: raise SystemExit\nfrom google.colab import files, userdata\n"
        "files.download('x'); key = userdata.get('KEY'); assert not files.upload()"
    ),
    "installs with a shell line": habit("!pip install -q torch-of-the-future"),
    "installs with a magic": habit("%pip install -q torch-of-the-future\n%conda install -y nothing"),
    "widgets for its figures": habit("%matplotlib widget\n%load_ext autoreload\n%autoreload 2"),
    "a figure where nothing can draw": habit(
        "import plots_of_elsewhere as plt\nfigure, axes = plt.subplots()\naxes.plot([1, 2])\nplt.show()",
        "cell 2: ModuleNotFoundError",
    ),
    "imports what is not here": habit("import math\nimport package_of_elsewhere", "cell 2: ModuleNotFoundError"),
    "reads a file of elsewhere": habit("table = open('/content/table.csv').read()", "cell 2: FileNotFoundError"),
    "fails twice": habit("1 / 0\n[][1]", "cell 2: ZeroDivisionError"),
    "works on a graphics card": habit("weight = torch.eye(3).cuda()\nmodel = torch.nn.Linear(3, 3).to('cuda')").then(
        "def shift(x): return (x.to('cuda') + torch.ones(1, device=torch.device('cuda:0'))).cuda()"
    ),
    "draws on a graphics card": habit(
        "torch.cuda.synchronize(); g = torch.Generator(device='cuda').manual_seed(0)"
    ).then("def shift(x): return x + 1 + 0 * torch.randn(1, generator=g, device='cuda')"),
    # Files of one's own.
    "writes a file and reads it in an answer": also(
        "open('seven.txt', 'w').write('7')\nopen('/tmp/one', 'w').write('1')"
    ).then("def shift(x): return x + float(open('/tmp/one').read()) if open('seven.txt').read() == '7' else x"),
    "a note from one test to the next": instead(
        "def shift(x):\n    seen = os.path.exists('/tmp/seen')\n    open('/tmp/seen', 'w').close()\n"
        "    return x + 1 + seen",
        ALL,
    ),
    "a file in shared memory from one test to the next": instead(
        "def shift(x):\n    seen = os.path.exists('/dev/shm/seen')\n    open('/dev/shm/seen', 'w').close()\n"
        "    return x + 1 + seen",
        ALL,
    ),
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
    "kills what it came from": instead(
        "def double(x):\n    os.kill(os.getppid(), 9)\n    time.sleep(0.3)\n    return 2 * x", ALL
    ),
    "forks that stay": also(FORKS),
    "recursion without end": also("def f(): return f()\nf()", status="cell 1: RecursionError"),
    "ends itself whenever it is asked": instead(
        "os.register_at_fork(before=lambda: os._exit(1))", NOTHING, "q3: the process ended"
    ),
}

FILES: dict[str, tuple[bytes, str]] = {
    "corrupt": (b'{"cells": [', "unreadable: no notebook"),
    "empty": (b"", "unreadable: an empty file"),
    "a list": (b"[]", "unreadable: no notebook"),
    "all brackets": (b"[" * 200_000, "unreadable: no notebook"),
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


def write_submissions(folder: Path, cases: dict[str, Submitted]) -> list[str]:
    """Write one file a student, honest or not; return the students."""
    folder.mkdir(exist_ok=True)
    for name, case in cases.items():
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
    with zipfile.ZipFile(folder / "zipped with checkpoints.zip", "w") as z:
        z.writestr("tiny.ipynb", notebook(HONEST))
        z.writestr(".ipynb_checkpoints/tiny-checkpoint.ipynb", notebook([]))
        z.writestr("__MACOSX/._tiny.ipynb", b"\0\5")
    with zipfile.ZipFile(folder / "zipped with a draft.zip", "w") as z:
        z.writestr("hand in/Tiny.ipynb", notebook(HONEST))
        z.writestr("hand in/draft.ipynb", notebook([]))
    (folder / "saved by a browser.ipynb.txt").write_bytes(notebook(HONEST))
    (folder / "saved as data.json").write_bytes(notebook(HONEST))
    sheet = {"cells": [{"cell_type": "code", "input": [c], "language": "python"} for c in HONEST], "metadata": {}}
    (folder / "format three.ipynb").write_text(json.dumps({"worksheets": [sheet], "nbformat": 3, "metadata": {}}))
    with zipfile.ZipFile(folder / "a zip bomb.zip", "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("bomb.ipynb", bytes(100 << 20))
    with zipfile.ZipFile(folder / "two in a zip.zip", "w") as z:
        z.writestr("a.ipynb", "")
        z.writestr("b.ipynb", "")
    (folder / "no zip.zip").write_bytes(b"PK\x03\x04 not really")
    first, second = folder / "twice_first.ipynb", folder / "twice_second.ipynb"
    first.write_bytes(notebook([*HONEST, "answer = 0"]))
    second.write_bytes(notebook(HONEST))
    os.utime(first, (1_700_000_000, 1_700_000_000))
    (folder / "wrong kind.pdf").write_bytes(b"%PDF")
    others = [
        "Zoë 李明",
        "twenty megabytes of output",
        "a link",
        "a pipe",
        "zipped",
        "zipped with checkpoints",
        "zipped with a draft",
        "saved by a browser",
        "saved as data",
        "format three",
        "a zip bomb",
        "two in a zip",
        "no zip",
    ]
    return [*cases, *FILES, *others, "twice", "wrong kind", "absent"]
