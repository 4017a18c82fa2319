"""Who may import whom: theory never practice, nothing but chapters the drawings, and no cycles."""

import subprocess
import sys
from graphlib import TopologicalSorter

from build import PACKAGE, imported

GRAPH = {p.stem: imported(p.read_text()) for p in PACKAGE.glob("*.py") if p.stem not in ("__init__", "__main__")}
PRACTICE = {
    "data", "device_data", "models", "normalized", "resnet", "training", "resumable", "checkpoint", "lastlayer",
    "memory", "arms", "collapse_speed", "experiments", "measure",
}  # fmt: skip
THEORY = {
    "etf", "ufm", "budget", "chain", "landscape", "curvature", "saddles", "census", "sphere",
    "sphere_geometry", "sphere_landscape", "sphere_pymanopt", "shallow", "neurons", "flow", "max_margin",
    "orthogonal_data",
}  # fmt: skip
DRAWINGS = {name for name in GRAPH if name.startswith("figures")} | {"explore"}
HEAVY = ("torch", "torchvision", "sklearn", "matplotlib", "ipywidgets", "scipy", "pymanopt")


def reachable(name):
    seen, todo = set(), [name]
    while todo:
        for other in GRAPH[todo.pop()] - seen:
            seen.add(other)
            todo.append(other)
    return seen


def test_theory_never_imports_practice():
    assert {t: reachable(t) & PRACTICE for t in THEORY & set(GRAPH) if reachable(t) & PRACTICE} == {}


def test_only_drawings_import_drawings():
    assert {n: GRAPH[n] & DRAWINGS for n in set(GRAPH) - DRAWINGS if GRAPH[n] & DRAWINGS} == {}


def test_drawings_take_results_not_models():
    assert {d: reachable(d) & PRACTICE for d in DRAWINGS if reachable(d) & PRACTICE} == {}


def test_there_is_no_cycle():
    list(TopologicalSorter(GRAPH).static_order())


def test_the_layers_named_here_exist():
    assert {"etf", "ufm", "data", "models", "training", "figures", "explore"} <= set(GRAPH)


def test_no_module_is_called_utils():
    assert not [n for n in GRAPH if "util" in n or "helper" in n or "common" in n]


def test_importing_the_package_loads_nothing_heavy():
    code = f"import sys, ncbook; print([m for m in {HEAVY} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_importing_the_metrics_loads_no_drawing_and_no_data_set():
    code = f"import sys, ncbook.metrics; print([m for m in {HEAVY[1:5]} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
