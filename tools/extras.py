"""Which of the package's extras a notebook needs, read from what its code reaches: its set-up cell asks for them."""

from __future__ import annotations

import ast
import functools
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import nbformat

from ncbook._lazy import INSTALLED_AS
from tools import imports

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "ncbook"
OURS = ("stream", "theory", "train", "notebook")  # the other extras make the book, the course and the tests


def declared(root: Path = ROOT) -> dict[str, set[str]]:
    """Return the projects that each of our extras brings, and under "" those that come with every install."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = {"": project["dependencies"], **project["optional-dependencies"]}
    return {name: {re.split(r"[^\w-]", line)[0] for line in lists[name]} for name in ("", *OURS)}


def needed(notebook: nbformat.NotebookNode) -> list[str]:
    """Return the extras that a notebook's code needs, in the order of `OURS`.

    Raises:
        SyntaxError: if plain Python cannot read the code, its magic lines aside.
    """
    known, code = _known(PACKAGE), imports.code_of(notebook)
    used = set(libraries(code))
    for name in imports.reached(imports.named_in(code, known), known):
        used |= set(libraries(known[name].path.read_text(encoding="utf-8")))
    brought, chosen = declared(), []
    have = set(brought[""])
    for extra in sorted(OURS, key=lambda extra: -len(brought[extra] & used)):  # what many bring, take with the most
        if brought[extra] & used - have:
            chosen.append(extra)
            have |= brought[extra]
    return sorted(chosen, key=OURS.index)


@functools.cache
def _known(package: Path) -> dict[str, imports.Module]:
    """Read the package once for all notebooks."""
    return imports.modules(package)


def libraries(source: str) -> Iterator[str]:
    """Yield the projects, by pip's names, that a piece of source imports, types for a checker aside."""
    for node in imports.running(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [str(node.module)]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "optional":
            names = [str(a.value) for a in node.args if isinstance(a, ast.Constant)]
        else:
            continue
        for name in names:
            yield INSTALLED_AS.get(name.split(".")[0], name.split(".")[0])
