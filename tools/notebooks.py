"""Execute and clean the book's notebooks, or make one from a percent-format draft.

    python -m tools.notebooks run [PATH …]          execute in place, then clean (make notebooks: all of them)
    python -m tools.notebooks convert DRAFT OUT     percent-format text to a clean, unexecuted notebook

A clean notebook stores what a reader should be able to compare, the text; pictures, HTML and widget state are made
again wherever the notebook runs. Executing twice leaves no diff.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tools.repository import ROOT, address, setup_cell

KEPT = ("text/plain",)
SETUP_LINE = re.compile(r"(?m)^# %% \[setup\].*$")


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop all that changes from run to run or is not text; number the cells by position."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for i, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{i:03d}"
        for key in ("execution", "lines_to_next_cell", "collapsed", "id"):
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in map(clean_output, cell.outputs) if output is not None]
    return notebook


def clean_output(output: nbformat.NotebookNode) -> nbformat.NotebookNode | None:
    """Return an output with only its text, or None where it has none worth comparing (progress, warnings)."""
    if output.output_type == "stream":
        return output if output.name == "stdout" else None
    if output.output_type in ("display_data", "execute_result"):
        output.data = nbformat.from_dict({k: v for k, v in output.data.items() if k in KEPT})
        output.metadata = nbformat.from_dict({})
        return output if output.data else None
    return output


def run(path: Path) -> str:
    """Execute one notebook in an empty folder, clean it, write it back; return what went wrong, or nothing."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as empty:
        client = NotebookClient(
            notebook, timeout=600, record_timing=False, coalesce_streams=True, resources={"metadata": {"path": empty}}
        )
        try:
            client.execute()
        except CellExecutionError as error:
            return f"{path.name}: {error}"
    write(path, clean(notebook))
    return ""


def write(path: Path, notebook: nbformat.NotebookNode) -> None:
    nbformat.validate(notebook)
    # Written beside and moved, so that an interrupted run leaves the old notebook whole.
    beside = path.with_suffix(".tmp")
    beside.write_text(nbformat.writes(notebook) + "\n")
    beside.replace(path)


def convert(draft: Path, out: Path) -> None:
    """Make a clean notebook from percent-format text; the line ``# %% [setup]`` becomes the set-up cell."""
    import jupytext

    text = SETUP_LINE.sub("# %%\nSETUP_CELL_HERE", draft.read_text(encoding="utf-8"))
    notebook = jupytext.reads(text, fmt="py:percent")
    for cell in notebook.cells:
        if cell.source.strip() == "SETUP_CELL_HERE":
            cell.source = setup_cell(address(), notebook)
            cell.metadata["tags"] = ["hide-input"]
    write(out, clean(notebook))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    runner = commands.add_parser("run")
    runner.add_argument("paths", nargs="*", type=Path)
    converter = commands.add_parser("convert")
    converter.add_argument("draft", type=Path)
    converter.add_argument("out", type=Path)
    args = parser.parse_args()
    if args.command == "convert":
        convert(args.draft, args.out)
        return
    paths = args.paths or sorted((ROOT / "chapters").glob("*.ipynb"))
    # One thread a notebook, notebooks side by side: sums then come out in the same order on every machine.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with ProcessPoolExecutor(max_workers=min(len(paths), os.cpu_count() or 1)) as pool:
        failures = [failure for failure in pool.map(run, paths) if failure]
    if failures:
        sys.exit("\n\n".join(failures))
    print(f"executed and cleaned {len(paths)} notebooks")


if __name__ == "__main__":
    main()
