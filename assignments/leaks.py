"""What must never reach students: which lines of a master are solutions or hidden tests, and whether any got out."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import nbformat

HIDDEN = re.compile(r"(?m)^hidden:\s*true\s*$")


def _normal(line: str) -> str:
    return re.sub(r"\s+", "", line.split("# SOLUTION")[0])


def split(notebook: nbformat.NotebookNode) -> tuple[set[str], set[str]]:
    """Return the secret and the open lines of a master, without their white space."""
    secret: list[str] = []
    open_: list[str] = []
    in_solution = in_tests = False
    for cell in notebook.cells:
        if cell.cell_type == "raw":
            head = cell.source.splitlines()[0] if cell.source else ""
            in_solution = "BEGIN SOLUTION" in head or (in_solution and "END SOLUTION" not in head)
            in_tests = "BEGIN TESTS" in head or (in_tests and "END TESTS" not in head)
        elif cell.cell_type == "markdown":
            (secret if in_solution else open_).extend(cell.source.splitlines())
        elif in_tests:
            lines = cell.source.splitlines()
            if HIDDEN.search(cell.source):
                secret += lines + ast.unparse(ast.parse(cell.source)).splitlines()
            else:
                open_ += lines + ast.unparse(ast.parse(cell.source)).splitlines()
        else:
            _split_code(cell.source, secret, open_)
    return {_normal(x) for x in secret} - {""}, {_normal(x) for x in open_} - {""}


def _split_code(source: str, secret: list[str], open_: list[str]) -> None:
    """Sort the lines of one code cell by otter's marks."""
    inside = False
    for line in source.splitlines():
        if "# BEGIN SOLUTION" in line or "# END SOLUTION" in line:
            inside = "BEGIN" in line
        elif inside or "# SOLUTION" in line:
            secret.append(line)
        else:
            open_.append(line)


def leaks(master: Path, student: Path) -> list[str]:
    """Return each secret line found in a student folder, with the file it is in.

    A line that also stands outside every solution and hidden test (``else:``) is no secret.
    """
    secret, open_ = split(nbformat.read(master, as_version=4))
    secret -= open_ | {"...", ")", "]", "}"}
    found = []
    for path in sorted(p for p in student.rglob("*") if p.is_file()):
        text = path.read_text(errors="replace")
        if path.suffix == ".ipynb":
            cells = json.loads(text)["cells"]
            text = "\n".join("".join(c["source"]) + "\n" + json.dumps(c.get("outputs", "")) for c in cells)
        found += [f"{path.name}: {line.strip()}" for line in text.splitlines() if _normal(line) in secret]
    return found
