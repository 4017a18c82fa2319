"""What makes a chapter stale: exactly the files that it runs, held against what Python really imports."""

import ast
import multiprocessing
import os
import shutil
import sys
import tomllib
import types

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.conftest import ROOT
from tools import build

CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
ROOMS = sorted(p.parent.name for p in (ROOT / "ncbook").glob("*/__init__.py"))
by_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
HEAVY = ["torch", "numpy", "scipy.optimize", "sklearn.datasets", "matplotlib.pyplot", "torchmetrics", "pymanopt"]


def really_imported(code):
    """Run a chapter's imports, then ask every module it holds for every attribute it names: what is lazy loads now."""
    tree, held = ast.parse(code), {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            exec(compile(ast.Module([node], []), "imports", "exec"), held)

    def value(node):
        if isinstance(node, ast.Name):
            return held.get(node.id)
        owner = value(node.value) if isinstance(node, ast.Attribute) else None
        return getattr(owner, node.attr, None) if isinstance(owner, types.ModuleType) else None

    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            value(node)
    return {os.path.realpath(m.__file__) for n, m in sys.modules.items() if n.split(".")[0] == "ncbook"}


@by_chapter
def test_code_is_read_and_not_given_up_on(path):
    ast.parse(build.code_of(path))
    assert 0 < len(build.inputs(path)) < len(list((ROOT / "ncbook").rglob("*.py")))


def test_every_module_that_a_chapter_really_imports_is_in_its_key():
    context = multiprocessing.get_context("forkserver" if hasattr(os, "fork") else "spawn")
    if hasattr(os, "fork"):
        context.set_forkserver_preload(HEAVY)  # once for all chapters: none of them is the package's
    with context.Pool(1, maxtasksperchild=1) as pool:  # a process of its own for every chapter
        real = dict(zip(CHAPTERS, pool.map(really_imported, map(build.code_of, CHAPTERS), chunksize=1)))
    assert min(map(len, real.values())) >= 2, "the probe saw no import"
    inputs = {path: {os.path.realpath(file) for file in build.inputs(path)} for path in CHAPTERS}
    assert {path.stem: real[path] - inputs[path] for path in CHAPTERS if real[path] - inputs[path]} == {}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package that may be edited, looked at by the build."""
    shutil.copytree(ROOT / "ncbook", tmp_path / "ncbook", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "requirements.txt", tmp_path)
    monkeypatch.setattr(build, "PACKAGE", tmp_path / "ncbook")
    monkeypatch.setattr(build, "ROOT", tmp_path)
    return tmp_path / "ncbook"


@pytest.mark.parametrize("room", ROOMS)
def test_an_edit_in_a_room_makes_stale_the_chapters_that_reach_it_and_no_other(package, room):
    before = {path: build.key(path) for path in CHAPTERS}
    reaching = {path: set(build.inputs(path)) for path in CHAPTERS}
    file = max((package / room).rglob("[!_]*.py"), key=lambda file: sum(file in files for files in reaching.values()))
    file.write_text(file.read_text(encoding="utf-8") + "\n# an edit\n", encoding="utf-8")
    stale = {path.stem for path in CHAPTERS if build.key(path) != before[path]}
    assert stale == {path.stem for path, files in reaching.items() if file in files}, file.name


def test_an_edit_of_a_script_makes_stale_the_chapters_that_lay_scripts_into_their_page(package):
    before = {path: build.key(path) for path in CHAPTERS}
    reaching = {path.stem for path in CHAPTERS if any(file.name == "in_page.py" for file in build.inputs(path))}
    for name in ("core.js", "panels.css"):
        file = package / "figures" / "scripts" / name
        text = file.read_text(encoding="utf-8")
        file.write_text(text + "/* an edit */", encoding="utf-8")
        assert {path.stem for path in CHAPTERS if build.key(path) != before[path]} == reaching != set()
        file.write_text(text, encoding="utf-8")


FACE = '''"""A room."""
from typing import TYPE_CHECKING
from ncbook._lazy import lazily
from ncbook.room.eager import a
if TYPE_CHECKING:
    from ncbook.room.late import b
    from ncbook.room.later import c
__all__ = ["a", "b", "c"]
__getattr__ = lazily(__name__, {"late": ("b",), "later": ("c",)})
'''
SMALL = {
    "__init__.py": "",
    "_lazy.py": "def lazily(*_): ...\n",
    "ground.py": "x = 1\n",
    "alone.py": "y = 1\n",
    "room/__init__.py": FACE,
    "room/eager.py": "a = 1\n",
    "room/late.py": "from ncbook.ground import x\nb = x\n",
    "room/later.py": "def c():\n    from ncbook import alone\n\n    return alone.y\n",
}
ALWAYS = {"__init__.py", "_lazy.py", "room/__init__.py", "room/eager.py"}


@pytest.mark.parametrize(
    "code, more",
    [
        ("from ncbook.room import a", set()),
        ("from ncbook.room import b", {"room/late.py", "ground.py"}),
        ("from ncbook.room import c", {"room/later.py", "alone.py"}),
        ("from ncbook import room", {"room/late.py", "ground.py", "room/later.py", "alone.py"}),
        ("def f():\n\n    from ncbook.room import b\n\n    %time 1\n    return b\n", {"room/late.py", "ground.py"}),
        ("!ls\n%pip list\nfrom ncbook.room import a", set()),
        ("this is no Python\nfrom ncbook.room import a", set(SMALL) - ALWAYS),
    ],
)
def test_a_small_package_is_followed_file_by_file(tmp_path, monkeypatch, code, more):
    for name, text in SMALL.items():
        (tmp_path / "ncbook" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "ncbook" / name).write_text(text, encoding="utf-8")
    (tmp_path / "requirements.txt").write_text("torch\n", encoding="utf-8")
    monkeypatch.setattr(build, "PACKAGE", tmp_path / "ncbook")
    monkeypatch.setattr(build, "ROOT", tmp_path)
    path = tmp_path / "a.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(code)]), path)
    before, stale = build.key(path), set()
    for name, text in SMALL.items():
        (tmp_path / "ncbook" / name).write_text(text + "# an edit\n", encoding="utf-8")
        stale |= {name} if build.key(path) != before else set()
        (tmp_path / "ncbook" / name).write_text(text, encoding="utf-8")
    assert stale == ALWAYS | more
    (tmp_path / "requirements.txt").write_text("torch==2\n", encoding="utf-8")
    assert build.key(path) != before


def test_a_record_that_a_chapter_reads_makes_it_stale():
    (chapter,) = (path for path in CHAPTERS if path.stem.startswith("08"))
    read = [file.relative_to(ROOT).as_posix() for file in build.records(chapter)]
    assert "results/memory-process.json" in read and sum("memory-digits/" in file for file in read) == 12
    assert not build.records(CHAPTERS[1])


def test_every_record_that_a_chapter_reads_comes_with_the_package():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = [p for found in settings["tool"]["setuptools"]["data-files"].values() for p in found]
    shipped = {file for pattern in patterns for file in ROOT.glob(pattern)}
    read = {file for path in build.toc_notebooks(ROOT) for file in build.records(path)}
    assert read and read - shipped == set()
