"""What the grader's tests hand in, lying or spying: not tests, but what they are about."""

from __future__ import annotations

import os
import sys

from assignments.grading import seal
from tests.conftest import ROOT
from tests.course.test_grading_cases import ALL, HONEST, NOTHING, Submitted, also, instead, without

LIE = "def double(x): return 0\ndef shift(x): return x\nanswer = 0\n"
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


ATTACKS: dict[str, Submitted] = {
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
    "sees anything but what it may": instead(
        "from pathlib import Path\n"
        "known = set('bin dev etc lib lib32 lib64 libx32 proc sbin tmp usr var course'.split())\n"
        f"known |= {{Path(p).parts[1] for p in {[sys.prefix, sys.base_prefix, os.path.realpath(sys.prefix)]!r}}}\n"
        "answer = 7 if set(os.listdir('/')) - known else 0",
        without("q3"),
    ),
    "the package of the book where nobody asked for it": instead(
        "answer = 0\ntry:\n    from ncbook import etf\n    answer = 7 if etf.simplex_etf(3) is not None else 0\n"
        "except (ImportError, AttributeError):\n    pass",
        without("q3"),
    ),
    "writes into the feedback by the name of an error": also(
        "class WRITTEN(Exception): pass\nraise WRITTEN('WRITTEN')", status="cell 1: an exception"
    ),
    "writes into the feedback by the text of an error": instead(
        "def double(x): raise ValueError('WRITTEN\\nStatus: ok\\n38 of 38')", without("q1")
    ),
    "writes into the feedback by what it returns": instead(
        "def double(x): return 'WRITTEN'\ndef shift(x): return {'WRITTEN': ['WRITTEN\\n\\n q1 38 of 38']}",
        without("q1", "q2"),
    ),
    "writes into the feedback what a hidden test asked": instead(
        "import torch\nshared = torch.zeros(1).share_memory_()\n"
        "def double(x):\n    if x != 2: shared[0] = x\n    return 2 * x\n"
        "def shift(x):\n    return x + 1 if shared[0] == 0 else shared",
        {"q1": 3, "q2": 1, "q3": 1},
    ),
    "asks the test before to stay": instead(
        "def double(x):\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        import socket\n"
        "        s = socket.socket(socket.AF_UNIX)\n"
        "        try: s.bind('\\0left-behind'); s.listen(); time.sleep(60)\n"
        "        except OSError: os._exit(0)\n"
        "    time.sleep(0.2)\n    return 2 * x\n"
        "def shift(x):\n"
        "    import socket\n"
        "    try: socket.socket(socket.AF_UNIX).connect('\\0left-behind'); return x + 1\n"
        "    except OSError: return x",
        without("q2"),
    ),
    "writes outside": instead(WRITER.format(paths=[p for p in OUTSIDE if not in_scratch(p)]), without("q3")),
    "writes where it may": instead(WRITER.format(paths=[*OUTSIDE, "/tmp"]), ALL),
}
