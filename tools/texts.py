"""Compare the text that a chapter stores with the text of a fresh run.

    python -m tools.texts NOTEBOOK …                            execute them here and now, and compare
    python -m tools.texts --another-processor SEED NOTEBOOK …   with the rounding of another processor

The build executes every chapter once and keeps it; the tests compare that same run (tests/book/test_text.py).
The rules are nbval's: all that is printed, and every text that is shown, but for cells tagged ``nbval-ignore-output``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat

from tools.execution import execute_all
from tools.numbers import compare

PROCESSOR = Path(__file__).with_name("another_processor.py")  # for kernels to read: importing it brings torch
PICTURES = ("image/png", "image/jpeg", "image/svg+xml", "application/vnd.jupyter.widget-view+json")


def read(path: Path) -> nbformat.NotebookNode:
    """Return a notebook as it is stored."""
    return nbformat.read(path, as_version=4)


def outputs(cell: nbformat.NotebookNode) -> dict[str, list[str]]:
    """Return a cell's texts by kind: what each stream printed, and what was shown, in order."""
    texts: dict[str, list[str]] = {}
    for output in cell.outputs:
        if output.output_type == "stream":
            texts.setdefault(output.name, [""])[0] += output.text
        elif output.output_type == "error":
            texts.setdefault("error", []).append(f"{output.ename}: {output.evalue}")
        else:
            for kind, value in output.data.items():
                if kind not in PICTURES:
                    texts.setdefault(kind, []).append(value if isinstance(value, str) else repr(value))
    return texts


def disagreement(stored: nbformat.NotebookNode, fresh: nbformat.NotebookNode) -> str | None:
    """Return how a cell's fresh outputs differ from the stored ones, or None where they agree."""
    tags = stored.metadata.get("tags", [])
    if stored.source != fresh.source:
        return "the fresh run is of other code"
    if stored.execution_count is None:
        return "stores no run: execute the chapter with python -m tools.notebooks run"
    if "nbval-ignore-output" in tags:
        return None
    old, new = outputs(stored), outputs(fresh)
    if old.keys() != new.keys():
        return f"stores {sorted(old) or 'nothing'}, a fresh run gives {sorted(new) or 'nothing'}"
    for kind in old:
        if len(old[kind]) != len(new[kind]):
            return f"stores {len(old[kind])} of {kind}, a fresh run gives {len(new[kind])}"
        for before, after in zip(old[kind], new[kind]):
            if (found := compare(before, after, tags)) is not None:
                return found
    return None


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def disagreements(stored: nbformat.NotebookNode, fresh: nbformat.NotebookNode) -> Iterator[tuple[int, str]]:
    """Yield the number of each code cell that differs, with how.

    Raises:
        ValueError: if the two have different numbers of code cells.
    """
    old, new = code_cells(stored), code_cells(fresh)
    if len(old) != len(new):
        raise ValueError(f"fresh must have the stored notebook's {len(old)} code cells, got {len(new)}")
    for number, (before, after) in enumerate(zip(old, new), 1):
        if (found := disagreement(before, after)) is not None:
            yield number, found


def on_another_processor(seed: int) -> str:
    """Return the code that a kernel runs first to round as another processor does."""
    return PROCESSOR.read_text(encoding="utf-8") + f"\nAnotherProcessor({seed}).__enter__()\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--another-processor", type=int, metavar="SEED", help="see tools/another_processor.py")
    given = parser.parse_args()
    before = "" if given.another_processor is None else on_another_processor(given.another_processor)
    wrong = []
    for outcome in execute_all(given.notebooks, before=before):
        if outcome.failure:
            wrong.append(outcome.failure)
            continue
        stored = read(outcome.path)
        wrong += [f"{outcome.path.name}, code cell {n}:\n{how}" for n, how in disagreements(stored, outcome.notebook)]
    if wrong:
        sys.exit("\n\n".join(["", *wrong]))
    print("every stored text agrees")


if __name__ == "__main__":
    main()
