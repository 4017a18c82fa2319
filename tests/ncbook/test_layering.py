"""Who may import whom, read from the folders: a file is in a layer because of where it lies."""

import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.conftest import ROOT
from tools.imports import modules

PACKAGE = ROOT / "ncbook"
THEORY = ("etf", "codes", "metrics", "ufm", "deep", "sphere", "shallow")
# Each room, and the rooms it may import; every room may import the ground: the argument checks, exact numbers.
GROUND = {"", "checks", "_lazy", "_intervals", "_landscape", "_modes", "_shapes"}
MAY = {
    "": set(), "checks": set(), "_lazy": set(), "_intervals": set(), "_landscape": set(), "_modes": set(),
    "_shapes": set(),
    "etf": set(), "codes": {"etf"}, "metrics": {"etf"}, "ufm": {"etf"}, "deep": {"ufm", "etf"}, "sphere": {"etf"},
    "shallow": {"metrics", "etf"},
    "data": set(), "models": {"etf"}, "memory": set(), "training": {"data", "models", "metrics"},
    "experiments": {"training", "memory", "data", "models", "metrics"},
    "figures": set(THEORY),
}  # fmt: skip
HEAVY = ("torch", "torchvision", "sklearn", "matplotlib", "ipywidgets", "scipy", "pymanopt", "torchmetrics", "pandas")


def room(name):
    return [*name.split("."), ""][1]


def graph(package):
    """Every file's imports, those that its room's face loads on first use included."""
    found = modules(package)
    if not any(module.imports for module in found.values()):
        raise ValueError("no import was found: this is not the package")
    return {name: module.imports | set(module.offers.values()) for name, module in found.items()}


def trespasses(edges):
    return sorted(
        (name, other)
        for name, others in edges.items()
        for other in others
        if room(name) != room(other) and room(other) not in MAY[room(name)] | GROUND
    )


def intrusions(package):
    """Imports of a file inside another room, past the room's face."""
    found = []
    for path in sorted(package.rglob("*.py")):
        own = path.relative_to(package).parts[0]
        for other in re.findall(r"(?m)^ *(?:from|import) ncbook\.(\w+)\.\w+", path.read_text(encoding="utf-8")):
            found += [(path.relative_to(package).as_posix(), other)] if other != own else []
    return found


@pytest.fixture(scope="module")
def edges():
    return graph(PACKAGE)


def test_every_file_lies_in_a_room_that_the_plan_knows(edges):
    assert {name for name in edges if room(name) not in MAY} == set()


def test_no_room_imports_one_that_it_may_not(edges):
    assert trespasses(edges) == []


def test_theory_reaches_no_practice(edges):
    practice = {"data", "models", "memory", "training", "experiments", "figures"}
    assert {other for name, others in edges.items() if room(name) in THEORY for other in others} & practice == set()


def test_there_is_no_cycle_between_files(edges):
    faces = {name for name, module in modules(PACKAGE).items() if module.path.stem == "__init__"}
    inner = {n: {o for o in others if o not in faces or room(o) != room(n)} for n, others in edges.items()}
    list(TopologicalSorter(inner).static_order())


def test_there_is_no_cycle_between_rooms(edges):
    rooms = {}
    for name, others in edges.items():
        rooms.setdefault(room(name), set()).update(room(o) for o in others if room(o) not in (room(name), ""))
    list(TopologicalSorter(rooms).static_order())


def test_nobody_reaches_past_a_rooms_face(tmp_path):
    assert intrusions(PACKAGE) == []
    package = plant(tmp_path, shallow__limit="from ncbook.metrics.reports import report")
    assert intrusions(package) == [("shallow/limit.py", "metrics")]


def plant(folder, **files):
    for name, text in files.items():
        path = folder / "ncbook" / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for inside in [folder / "ncbook", *(p for p in (folder / "ncbook").iterdir() if p.is_dir())]:
        (inside / "__init__.py").touch()
    return folder / "ncbook"


@pytest.mark.parametrize(
    "line",
    [
        "from ncbook.training import fit",
        "from ncbook import training",
        "import ncbook.training",
        "def f():\n    from ncbook.training.loop import fit",
    ],
)
def test_a_theory_file_that_imports_training_is_caught(tmp_path, line):
    package = plant(tmp_path, ufm__curvature=line, training__loop="fit = 1")
    assert [name for name, _ in trespasses(graph(package))] == ["ncbook.ufm.curvature"]


def test_a_cycle_is_caught(tmp_path):
    package = plant(tmp_path, ufm__a="from ncbook.ufm.b import x", ufm__b="from ncbook.ufm.a import y")
    with pytest.raises(CycleError):
        test_there_is_no_cycle_between_files(graph(package))


def test_an_empty_graph_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="must be a folder with Python files"):
        graph(tmp_path / "ncbook")
    with pytest.raises(ValueError, match="no import was found"):
        graph(plant(tmp_path, etf="x = 1"))


def test_no_file_is_called_utils(edges):
    assert [n for n in edges if any(word in n for word in ("util", "helper", "common", "misc"))] == []


def test_no_file_is_too_long_to_read_in_one_sitting():
    lengths = {p.relative_to(ROOT).as_posix(): len(p.read_text().splitlines()) for p in PACKAGE.rglob("*.py")}
    assert {name: n for name, n in lengths.items() if n > 350} == {}


@pytest.mark.parametrize("module, loaded", [("ncbook", set()), ("ncbook.metrics", {"torch"})])
def test_importing_loads_nothing_heavy(module, loaded):
    code = f"import sys, {module}; print(*(m for m in {HEAVY} if m in sys.modules))"
    found = set(subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT).split())
    assert found == loaded


def test_importing_the_metrics_costs_what_torch_costs():
    code = "import torch, sys; before = set(sys.modules); import ncbook.metrics; print(*(set(sys.modules) - before))"
    new = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT).split()
    outside = {name.split(".")[0] for name in new} - {"ncbook"} - set(sys.stdlib_module_names)
    assert outside == set()
