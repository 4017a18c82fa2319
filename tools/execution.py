"""Execute notebooks side by side, each in an empty folder and a kernel of its own, and say how far each one is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from tqdm import tqdm

TIMEOUT = 600  # seconds a cell
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
BAR = "{desc} |{bar:24}| {n_fmt}/{total_fmt} cells {postfix}"


@dataclass(frozen=True)
class Outcome:
    """What came of one notebook: executed in place, or why not."""

    path: Path
    notebook: nbformat.NotebookNode
    seconds: float
    failure: str = ""  # for the reader: chapter, cell, source line, the end of the error


def environment() -> dict[str, str]:
    """Return what kernels run in: one thread each unless told otherwise, no progress bars, no folder of the reader's.

    Sums then come out in the same order on every machine, and no profile of the reader's changes what a cell does.
    """
    quiet = {"TQDM_DISABLE": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1", "PYTHONIOENCODING": "utf-8"}
    return {"OMP_NUM_THREADS": "1", **os.environ, **quiet}


def width() -> int:
    """Return how many notebooks run at once: one a core."""
    return max(1, os.cpu_count() or 1)


def execute(path: Path, tick: Callable[[], object] = lambda: None, before: str = "") -> Outcome:
    """Execute one notebook; ``tick`` is called after each of its code cells, the code ``before`` runs first."""
    notebook = nbformat.read(path, as_version=4)
    begin, at = time.perf_counter(), [0]

    def started(cell: nbformat.NotebookNode, cell_index: int) -> None:
        at[0] = cell_index

    with tempfile.TemporaryDirectory() as empty, (Path(empty) / "kernel.log").open("w+", encoding="utf-8") as log:
        folder = Path(empty) / "run"
        folder.mkdir()
        startup = Path(empty) / "profile_default" / "startup"
        startup.mkdir(parents=True)
        (startup / "before.py").write_text(before, encoding="utf-8")
        client = NotebookClient(
            notebook,
            timeout=TIMEOUT,
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": str(folder)}},
            on_cell_execute=started,
            on_cell_executed=lambda **_: tick(),
        )
        failure = ""
        try:
            # A kernel's own warnings go to a file: they are shown only where it dies.
            client.execute(env=environment() | {"IPYTHONDIR": empty}, stderr=log, stdout=subprocess.DEVNULL)
        except CellExecutionError as error:
            failure = _cell_failure(path, notebook, at[0], error)
        except Exception as error:  # a kernel that died, a cell that took too long, a full disk
            log.seek(0)
            last = "\n".join(log.read().splitlines()[-5:])
            failure = f"{path.name}, cell {at[0] + 1}: {type(error).__name__}: {error}\n{last}".rstrip()
    return Outcome(path, notebook, time.perf_counter() - begin, failure)


def _cell_failure(path: Path, notebook: nbformat.NotebookNode, index: int, error: CellExecutionError) -> str:
    """Return what a reader needs to find a failing cell: its number among all cells, the line, the error's end."""
    source = notebook.cells[index].source.splitlines()
    plain = COLOURS.sub("", error.traceback)
    # Only the arrow under the cell's own frame: the last of those whose line stands in the cell.
    arrows = [match for match in re.finditer(r"(?m)^-+> *(\d+) (.*)$", plain)]
    own = [m for m in arrows if int(m[1]) <= len(source) and source[int(m[1]) - 1].strip() == m[2].strip()]
    line = f", line {own[-1][1]}: {own[-1][2].strip()}" if own else ""
    tail = "\n".join("    " + text for text in plain.rstrip().splitlines()[-12:])
    return f"{path.name}, cell {index + 1}{line}\n{tail}"


def execute_all(paths: list[Path], names: list[str] | None = None, before: str = "") -> Iterator[Outcome]:
    """Execute notebooks side by side and yield each as it ends, showing one bar a notebook.

    Threads, not processes: the work is in the kernels, and when this process is killed nothing of it stays behind.
    """
    labels = names or [path.stem for path in paths]
    longest = max(map(len, labels), default=0)
    free = list(range(width()))[::-1]
    lock = threading.Lock()

    def work(path: Path, label: str) -> Outcome:
        with lock:
            position = free.pop()
        cells = sum(c.cell_type == "code" for c in nbformat.read(path, as_version=4).cells)
        live = sys.stdout.isatty()
        bar = tqdm(
            total=cells,
            desc=label.ljust(longest),
            bar_format=BAR,
            position=position,
            leave=False,
            file=sys.stdout if live else open(os.devnull, "w", encoding="utf-8"),  # noqa: SIM115
        )
        outcome = execute(path, bar.update, before)
        bar.set_postfix_str(f"{outcome.seconds:.0f} s" if not outcome.failure else "FAILED", refresh=False)
        line = str(bar)
        bar.close()
        with lock:
            free.append(position)
        tqdm.write(line, file=sys.stdout)
        sys.stdout.flush()
        return outcome

    pool = ThreadPoolExecutor(max_workers=width())
    try:
        for future in as_completed([pool.submit(work, *pair) for pair in zip(paths, labels)]):
            yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
