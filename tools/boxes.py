"""The box at the top of each chapter says how long it runs: from a measured record, never typed.

    python -m tools.boxes record     from the last build's runs to results/chapter-times.json
    python -m tools.boxes write      from the record into every chapter

The build notes the seconds of every chapter that it executes, as many at once as there are cores, one thread each.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
from typing import Any

import nbformat

from ncbook.experiments import provenance
from tools.build import ROOT, key, toc_notebooks
from tools.cache import Kept, write_whole
from tools.notebooks import write as write_notebook

RECORD = ROOT / "results" / "chapter-times.json"
BOX = re.compile(r"(\*\*Running\*\* )[^·\n]*(?= ·)")
CAPABILITIES = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")


def processor() -> str:
    """Return the processor as every record names it, and how many cores there are."""
    return f"{provenance('', 'cpu')['processor']}, {os.cpu_count()} cores"


def measured() -> dict[str, Any]:
    """Return the seconds of each chapter's last run, and where it ran.

    Raises:
        SystemExit: if a chapter has not been executed as it stands.
    """
    kept, seconds = Kept(ROOT / "_build" / ".jupyter_cache"), {}
    for path in toc_notebooks(ROOT):
        found = kept.seconds(path, key(path))
        if found is None:
            raise SystemExit(f"{path.name} has not been executed as it stands: build the book first")
        seconds[path.stem] = round(found, 1)
    machine = {"at once": os.cpu_count(), "threads each": 1}
    # What a larger processor was told to do without belongs to the command.
    told = [f"{name}={os.environ[name]} " for name in CAPABILITIES if name in os.environ]
    command = "".join(told) + "python -m tools book, then python -m tools.boxes record"
    about = provenance(command, "cpu", machine=machine)
    return about | {"seconds": seconds}


def words(seconds: float) -> str:
    """Return a measured time as the box says it: rounded up to five seconds."""
    return f"about {5 * math.ceil(seconds / 5)} seconds on 2 CPU cores"


def boxed(notebook: nbformat.NotebookNode, seconds: float) -> int:
    """Write a time into a notebook's box and return how many boxes there were."""
    found = 0
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source, count = BOX.subn(lambda match: match[1] + words(seconds), cell.source)
            found += count
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["record", "write"])
    if parser.parse_args().what == "record":
        write_whole(RECORD, json.dumps(measured(), indent=1) + "\n")
        print(f"wrote {RECORD.relative_to(ROOT)}")
        return
    for stem, seconds in json.loads(RECORD.read_text(encoding="utf-8"))["seconds"].items():
        path = ROOT / "chapters" / f"{stem}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        if boxed(notebook, seconds) != 1:
            raise SystemExit(f"{path.name} must have one box with **Running** … ·")
        write_notebook(path, notebook)


if __name__ == "__main__":
    main()
