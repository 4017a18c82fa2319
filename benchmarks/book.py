"""How long the book takes: cold, after an edit of the text, after an edit of one module. Prints, asserts nothing.

    make benchmark          (or: .venv/bin/python -m benchmarks.book [--tests])

Works in a copy, so the tree at hand stays as it is. Times are wall-clock seconds on this machine, after installation.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat

from tools.boxes import processor

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", "_build", "__pycache__", ".*_cache", "*.egg-info", ".data", ".hypothesis", "node_modules"
)


def timed(what: str, *command: str, cwd: Path) -> None:
    begin = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(cwd)}  # the copy's package, not the installed one
    result = subprocess.run([sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - begin
    executed = [line for line in result.stdout.splitlines() if line.startswith("executing")]
    state = "" if result.returncode == 0 else "  FAILED\n" + result.stdout[-2000:] + result.stderr[-2000:]
    print(f"{what:<42}{seconds:8.1f} s   {executed[0] if executed else 'executing nothing'}{state}", flush=True)


def main() -> None:
    print(f"{processor()}, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "book"
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
        timed("cold: every chapter executed", "-m", "tools.build", cwd=copy)
        timed("again: nothing changed", "-m", "tools.build", cwd=copy)
        chapter = copy / "chapters" / "02-simplex-etf.ipynb"
        notebook = nbformat.read(chapter, as_version=4)
        notebook.cells[0].source += "\n\nOne more sentence."
        nbformat.write(notebook, chapter)
        timed("after an edit of one chapter's text", "-m", "tools.build", cwd=copy)
        module = copy / "ncbook" / "sphere" / "model.py"
        module.write_text(module.read_text() + "\n# an edit\n")
        timed("after an edit of ncbook.sphere", "-m", "tools.build", cwd=copy)
        if "--tests" in sys.argv:
            timed("make test", "-m", "tools.stages", "all", cwd=copy)


if __name__ == "__main__":
    main()
