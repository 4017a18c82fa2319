"""After the deadline: a notebook that shows how each question can be answered and what the checks looked for.

    python -m assignments.reveal hw1 [--released DIR] [--out FILE]

It holds the questions, a solution that earns every mark, the label and points of each hidden check, and typical wrong
answers with what they lose. It is written from what the release tested, never into what students are given.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat.v4 import new_markdown_cell

from assignments.grading.blind import BEGIN, END, MARKER, PROMPT
from assignments.mutants import tables
from assignments.release import OUT, masters

CHECK = re.compile(r'^grader\.check(?:_all)?\((?:"(\w+)")?\)$')
PARTIAL = "**A second answer"  # one that says itself how many points it earns, and why
SAID = "This notebook was written after the deadline: it answers every question."


@dataclass(frozen=True)
class Check:
    """One hidden check of a question: what it looked for, and its points."""

    label: str
    points: float


def checks(source: str) -> list[Check]:
    """Return the hidden checks with points of one of the grader's test files."""
    found = []
    for node in filter(lambda node: isinstance(node, ast.FunctionDef), ast.parse(source).body):
        for call in (c for c in node.decorator_list if isinstance(c, ast.Call)):  # type: ignore[attr-defined]
            about = {k.arg: k.value.value for k in call.keywords if isinstance(k.value, ast.Constant)}
            if about.get("hidden") and about.get("points"):
                found.append(Check(str(about.get("name", node.name)), float(about["points"])))  # type: ignore
    return found


def summary(question: str, of: list[Check], wrong: dict[str, tuple[str, str, float]]) -> str:
    """Return what is shown below a question in place of its check."""
    lines = [f"**What was checked in {question}**, on instances that nobody knew:", ""]
    lines += [f"- {check.label} ({check.points:g})" for check in of]
    caught = [(name, lost) for name, (about, _, lost) in wrong.items() if about == question]
    if caught:
        lines += ["", "Wrong answers that were tried, and what they lose:", ""]
        lines += [f"- {name} (−{lost:g})" for name, lost in caught]
    return "\n".join(lines)


def reveal(
    solution: nbformat.NotebookNode, tests: dict[str, str], wrong: dict[str, tuple[str, str, float]]
) -> nbformat.NotebookNode:
    """Return the notebook to show, of the grader's notebook with the solution and its test files by question."""
    kernel = solution.metadata.get("kernelspec")
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": dict(kernel)} if kernel else {})
    notebook.cells = [new_markdown_cell(SAID, id="said")]
    written = False
    for cell in solution.cells:
        source = cell.source.strip()
        check = CHECK.match(source)
        if check:
            if check[1] and (of := checks(tests[check[1]])):
                notebook.cells.append(new_markdown_cell(summary(check[1], of, wrong), id=f"checks-{check[1]}"))
            continue
        if source == PROMPT or "the autograder tests" in source:
            continue
        shown = nbformat.from_dict(cell)
        shown.metadata = {}
        if cell.cell_type == "code":
            shown.source, shown.outputs, shown.execution_count = MARKER.sub("", cell.source).strip("\n"), [], None
        else:
            began, ended = BEGIN.search(cell.source), END.search(cell.source)
            shown.source = END.sub("", BEGIN.sub("", cell.source)).strip()
            if written and not ended and not began and not shown.source.startswith(PARTIAL):
                shown.source = "**An answer that earns all points:**\n\n" + shown.source
            written = bool(began) or (written and not ended)
        notebook.cells.append(shown)
    return notebook


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("assignment")
    parser.add_argument("--released", type=Path, default=OUT, help="where the release wrote the assignments")
    parser.add_argument("--out", type=Path, help="the notebook to write; NAME-reveal.ipynb beside the released folders")
    args = parser.parse_args()
    folder = args.released / args.assignment
    path = folder / "autograder" / f"{args.assignment}.ipynb"
    if not path.exists():
        sys.exit(
            f"Nothing was written: {path} is not there; run `python -m assignments.release {args.assignment}` first"
        )
    out = args.out or folder / f"{args.assignment}-reveal.ipynb"
    if (folder / "student").resolve() in out.resolve().parents:
        sys.exit(f"Nothing was written: {out} would lie in what students are given")
    tests = {p.stem: p.read_text(encoding="utf-8") for p in (folder / "autograder" / "tests").glob("*.py")}
    beside = masters().get(args.assignment)
    wrong = tables(beside.parent)[0] if beside else {}
    nbformat.write(reveal(nbformat.read(path, as_version=4), tests, wrong), out)
    print(f"{out}")


if __name__ == "__main__":
    main()
