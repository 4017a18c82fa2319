"""Which files of the package a piece of code reaches, read from its imports and through the rooms' faces.

A room's face (``__init__.py``) runs whenever anything of the room is imported; names under its ``TYPE_CHECKING`` block
are those that it loads on first use, and count only where somebody names them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat


@dataclass(frozen=True)
class Module:
    """One file of the package: what it imports when it runs, and what its face offers on first use."""

    path: Path
    imports: frozenset[str]
    offers: dict[str, str]  # name: module that it is loaded from


def code_of(notebook: nbformat.NotebookNode) -> str:
    """Return a notebook's code, with shell and magic lines turned into ``pass``."""
    lines = "\n".join(c.source for c in notebook.cells if c.cell_type == "code").splitlines()
    return "\n".join(re.sub(r"^(\s*)[%!].*$", r"\1pass", line) for line in lines)


def modules(package: Path) -> dict[str, Module]:
    """Return every module of the package by its dotted name.

    Raises:
        ValueError: if ``package`` holds no Python file, or a file uses a relative import.
    """
    paths = {_name(package, path): path for path in sorted(package.rglob("*.py"))}
    if not paths:
        raise ValueError(f"package must be a folder with Python files, got {package}")
    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in paths.items()}
    offers = {name: dict(_offered(tree, paths)) for name, tree in trees.items() if paths[name].stem == "__init__"}
    found = {}
    for name, tree in trees.items():
        direct = frozenset(_direct(running(tree), paths, offers)) - {name}
        found[name] = Module(paths[name], direct, offers.get(name, {}))
    return found


def named_in(source: str, known: dict[str, Module]) -> set[str]:
    """Return the modules that a piece of source imports by name.

    Raises:
        SyntaxError: if plain Python cannot read it.
    """
    offers = {name: module.offers for name, module in known.items() if module.offers}
    return set(_direct(ast.walk(ast.parse(source)), known, offers))


def reached(names: Iterable[str], known: dict[str, Module]) -> set[str]:
    """Return ``names`` with everything that runs when they are imported: their rooms' faces, and all those import."""
    seen: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += [*known[name].imports, *(parent for parent in _parents(name) if parent in known)]
    return seen


def _name(package: Path, path: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]


def _type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def running(tree: ast.Module) -> Iterator[ast.AST]:
    """Walk the nodes that can run: all but the blocks for type checkers."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if not _type_checking(node):
            yield node
            todo += ast.iter_child_nodes(node)


def _offered(tree: ast.Module, known: Iterable[str]) -> Iterator[tuple[str, str]]:
    for block in filter(_type_checking, tree.body):
        for node in ast.walk(block):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    yield alias.asname or alias.name, whole if whole in known else node.module


def _direct(nodes: Iterable[ast.AST], known: Iterable[str], offers: dict[str, dict[str, str]]) -> Iterator[str]:
    """Yield the modules of the package that the import statements among ``nodes`` name."""
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _object(alias.name, known, offers)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"imports must be absolute, got a relative one in line {node.lineno}")
            for alias in node.names if node.module in known else ():
                whole = f"{node.module}.{alias.name}"
                if whole in known:
                    yield from _object(whole, known, offers)
                else:
                    yield str(node.module)
                    yield from {offers.get(str(node.module), {}).get(alias.name)} - {None}  # type: ignore[misc]


def _object(name: str, known: Iterable[str], offers: dict[str, dict[str, str]]) -> Iterator[str]:
    """A module that is held as an object can be asked for anything it offers."""
    if name in known:
        yield name
        yield from offers.get(name, {}).values()
