"""Whether marks depend on load: honest notebooks graded on the machine as it is, and again beside busy neighbours.

    python benchmarks/busy.py [hw1 hw2 …] [--notebooks 20] [--neighbours 8] [--nice 5]

A notebook is an assignment's solution, or the solution with one typical wrong answer of its ``wrong.py``; every third
one asks for four threads at its top. The second time the grader runs under ``nice``, beside processes that never rest.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from assignments.grading.batch import grade_all  # noqa: E402
from assignments.grading.roster import collect  # noqa: E402
from assignments.grading.trial import Trial  # noqa: E402
from assignments.mutants import tables  # noqa: E402
from assignments.parameters import filled  # noqa: E402
from assignments.release import masters  # noqa: E402

THREADS = "import torch\ntorch.set_num_threads(4)\ntorch.ones(99, 99) @ torch.ones(99, 99)"
Marks = dict[str, tuple[str, dict[str, float]]]


def write_notebooks(trial: Trial, count: int, folder: Path) -> None:
    """Write so many honest notebooks of a released assignment: its solution, then one for each of some mistakes."""
    name = trial.assignment.name
    values = json.loads((trial.released / "autograder" / "grading.json").read_text())["parameters"]
    wrong = [filled(code, values) for _, code, _ in tables(masters()[name].parent)[0].values()]
    chosen = ["", *wrong[:: max(1, len(wrong) // max(1, count - 1))]][:count]
    folder.mkdir()
    for i, code in enumerate(chosen):
        notebook = trial.notebook()
        notebook.cells.append(nbformat.v4.new_code_cell(code))
        if i % 3 == 2:
            notebook.cells.insert(0, nbformat.v4.new_code_cell(THREADS))
        nbformat.write(notebook, folder / f"{name}-{i:02d}.ipynb")


def grade(trial: Trial, folder: Path, state: Path, workers: int) -> Marks:
    """Return status and points by question of each notebook in the folder."""
    submissions, _ = collect(folder, None)
    results = grade_all(submissions, trial.assignment, trial.isolation, state, workers)
    return {r.student: (r.status, {q: r.points(q) for q in trial.assignment.tests}) for r in results}


def grade_each(trials: list[Trial], scratch: Path, state: str, workers: int) -> Marks:
    """Grade all notebooks, one assignment after the other, and say how long it took and beside what load."""
    found: Marks = {}
    begun = time.monotonic()
    for trial in trials:
        name = trial.assignment.name
        found |= grade(trial, scratch / f"in-{name}", scratch / f"{state}-{name}" / "results", workers)
        load = os.getloadavg()[0]
        print(f"{state}: {name} graded, {time.monotonic() - begun:.0f} s so far, load {load:.1f}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["hw1", "hw2", "hw4", "hw6"])
    parser.add_argument("--notebooks", type=int, default=20, help="of all assignments together")
    parser.add_argument("--neighbours", type=int, default=8)
    parser.add_argument("--nice", type=int, default=5)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        trials = [Trial.of(name, scratch) for name in args.names]
        for i, trial in enumerate(trials):
            share = (args.notebooks + i) // len(trials)  # together they are as many as were asked for
            write_notebooks(trial, share, scratch / f"in-{trial.assignment.name}")
        quiet = grade_each(trials, scratch, "quiet", args.workers)
        os.nice(args.nice)
        spin = [sys.executable, "-c", f"import os; os.nice({-args.nice}) if os.geteuid() == 0 else 0\nwhile True: pass"]
        neighbours = [subprocess.Popen(spin) for _ in range(args.neighbours)]
        try:
            busy = grade_each(trials, scratch, "busy", args.workers)
        finally:
            for process in neighbours:
                process.kill()
                process.wait()
    differ = [student for student in quiet if quiet[student] != busy[student]]
    for student in differ:
        print(f"{student}: quiet {quiet[student]}, busy {busy[student]}")
    whole = sum(status == "ok" for status, _ in quiet.values())
    print(f"{len(quiet)} notebooks, {whole} with status ok; marks or statuses that differ: {len(differ)}")
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
