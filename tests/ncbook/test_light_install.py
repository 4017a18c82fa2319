"""`pip install ncbook` alone is enough to import every room; what needs more says which command brings it."""

import ast
import importlib.metadata
import json
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from ncbook import _lazy
from tests.conftest import ROOT
from tools import extras
from tools.imports import running

# Imports as an install without extras does, from this folder, and prints what could not be had.
LIGHT = """
import importlib, json, pkgutil, sys

MISSING = set(json.loads(sys.argv[1]))

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
import ncbook

def said(action):
    try:
        action()
    except ModuleNotFoundError as error:
        return str(error)

"""
EVERY_NAME = """
found = {}
for module in pkgutil.iter_modules(ncbook.__path__):
    room = importlib.import_module("ncbook." + module.name)
    found[module.name] = {n: said(lambda: getattr(room, n)) for n in getattr(room, "__all__", [])}
print(json.dumps(found))
"""
# What is only found missing when a function runs, and the project that brings it.
CALLS = {
    'import ncbook.data; said(lambda: ncbook.data.load("digits"))': "scikit-learn",
    "import ncbook.models; said(lambda: ncbook.models.resnet18(3))": "torchvision",
    "import ncbook.sphere; said(lambda: ncbook.sphere.SphericalUFM(3, 1, 2, 1.0).solve())": "pymanopt",
    "import ncbook.sphere as s; p = s.SphericalUFM(3, 1, 2, 1.0);"
    " said(lambda: s.descend(p, p.random_point(0), steps=1, step_size=1.0))": "pymanopt",
    "import ncbook._intervals; said(ncbook._intervals.flint)": "python-flint",
    "import ncbook.metrics; said(lambda: ncbook.metrics.NeuralCollapse(3, 8))": "torchmetrics",
    "import ncbook.figures; said(lambda: ncbook.figures.style)": "matplotlib",
}
IMPORTED_AS = {project: name for name, project in _lazy.INSTALLED_AS.items()}


def projects(extra):
    return extras.declared()[extra]


def optional_modules():
    """The names by which what only an extra brings is imported, and what such projects bring along."""
    names = set().union(*(projects(extra) for extra in extras.OURS)) - projects("")
    return sorted({IMPORTED_AS.get(name, name) for name in names} | {"pandas", "IPython"})


def light(code):
    command = [sys.executable, "-c", LIGHT + code, json.dumps(optional_modules())]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def names():
    return json.loads(light(EVERY_NAME))


def test_every_room_is_imported_without_an_extra_and_what_needs_one_says_the_command(names):
    assert len(names) > 12 and sum(map(len, names.values())) > 120
    answers = [said for room in names.values() for said in room.values() if said]
    assert [said for said in answers if "not installed: pip install " not in said] == []


def test_theory_and_the_metrics_of_arrays_and_networks_need_no_extra(names):
    for room in ("etf", "codes", "ufm", "deep", "sphere", "shallow", "metrics"):
        assert {n for n, said in names[room].items() if said} <= {"NeuralCollapse"}, room


@pytest.mark.parametrize(("code", "project"), CALLS.items(), ids=CALLS.values())
def test_a_call_without_its_library_says_the_command(code, project):
    head, _, call = code.rpartition("said(")
    assert f"which is not installed: pip install {project}" in light(f"{head}print(said({call})")


def test_the_message_names_the_extra_of_this_package(monkeypatch):
    lines = ['torchmetrics>=1.6; extra == "stream"', "torch>=2.6", 'no_such_library>=1; extra == "theory"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: lines)
    with pytest.raises(ModuleNotFoundError, match=r"pip install no_such_library \(it comes with ncbook\[theory\]\)"):
        _lazy.optional("no_such_library")


def test_every_library_that_the_package_imports_is_declared():
    everything = set().union(*extras.declared().values())
    for path in sorted((ROOT / "ncbook").rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        unknown = set(extras.libraries(source)) - everything - set(sys.stdlib_module_names) - {"ncbook"}
        assert unknown <= {"torch"}, path


def test_what_is_declared_is_imported():
    used = set()
    for path in sorted((ROOT / "ncbook").rglob("*.py")):
        used |= set(extras.libraries(path.read_text(encoding="utf-8")))
    assert set().union(*extras.declared().values()) <= used


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import ncbook.etf", []),
        ("from ncbook import ufm", ["theory"]),  # the room's exact enclosures, had on first use
        ("from ncbook.codes import best_code", []),
        ("from ncbook.metrics import NeuralCollapse", ["stream"]),
        ("from ncbook.training import train", ["train"]),
        ("import sklearn.datasets\n%pip list", ["train"]),
        ("from ncbook.figures import style", ["notebook"]),
        ("from PIL import Image", ["train"]),  # two extras bring it: one is enough
    ],
)
def test_what_a_notebook_needs_is_read_from_its_code(code, expected):
    assert extras.needed(new_notebook(cells=[new_code_cell(code)])) == expected


def test_types_for_a_checker_are_no_imports():
    tree = ast.parse("if TYPE_CHECKING:\n    import matplotlib\nimport numpy")
    assert [node.names[0].name for node in running(tree) if isinstance(node, ast.Import)] == ["numpy"]


def test_each_chapters_set_up_cell_asks_for_what_its_code_needs():
    for path in sorted((ROOT / "chapters").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        wanted = f'"ncbook[{",".join(extras.needed(notebook))}] @ git+'
        assert wanted in notebook.cells[1].source + notebook.cells[2].source, path.name
