"""The benchmarks, which no other test runs: what they import from the package, and what the list of results names."""

import ast
import re
from importlib import import_module

import pytest

from tests.conftest import ROOT

FACE = re.compile(r"ncbook(\.\w+)?")


def imported(text):
    """Return the (module, name) pairs that a script takes from the package."""
    nodes = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ImportFrom) and n.module]
    return [(n.module, alias.name) for n in nodes for alias in n.names if n.module.split(".")[0] == "ncbook"]


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.name)
def test_what_a_benchmark_imports_is_there_and_public(path):
    for module, name in imported(path.read_text(encoding="utf-8")):
        assert FACE.fullmatch(module), f"{module} is inside a room"
        found = import_module(module)
        assert hasattr(found, name) or import_module(f"{module}.{name}")


def test_the_benchmarks_import_the_package():
    found = [pair for path in (ROOT / "benchmarks").glob("*.py") for pair in imported(path.read_text(encoding="utf-8"))]
    assert ("ncbook.experiments", "provenance") in found


def test_the_files_that_the_list_of_results_names_are_there():
    text = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\b(?:benchmarks|tests|tools)/[\w/]+\.py", text))
    assert len(named) >= 4 and [name for name in sorted(named) if not (ROOT / name).is_file()] == []
