"""How long grading takes here: N copies of assignment 1's reference, graded as in a course, and what 300 would take.

    python benchmarks/grading.py [--copies 20] [--workers 2]

Copies differ in a comment, so that nothing is reused. Two estimates for 300: one scales the wall clock of this run,
whatever else the machine was doing; the other divides the processor seconds of each submission among the workers.
"""

from __future__ import annotations

import argparse
import os
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=20)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        trial = Trial.of("hw1", Path(scratch))
        folder = Path(scratch) / "submissions"
        folder.mkdir()
        for i in range(args.copies):
            notebook = trial.notebook()
            notebook.cells.append(nbformat.v4.new_code_cell(f"# copy {i}"))
            nbformat.write(notebook, folder / f"student{i:03d}.ipynb")
        submissions, _ = collect(folder, None)
        load, begun = os.getloadavg()[0], time.monotonic()
        stream = grade_all(submissions, trial.assignment, trial.isolation, Path(scratch) / "state", args.workers)
        results = list(stream)
        wall = time.monotonic() - begun
    best = sum(q["points"] for q in trial.assignment.questions.values() if not q["manual"])
    full = sum(sum(c.points for c in r.cases if c.passed) == best for r in results)
    print(f"isolation: {trial.isolation}")
    print(f"{len(results)} submissions, {full} with full marks, {args.workers} workers, {os.cpu_count()} cores")
    print(f"load before the run: {load:.1f}; wall clock: {wall:.0f} s, {wall / len(results):.1f} s a submission")
    print(f"300 submissions at this rate: {300 * wall / len(results) / 60:.1f} minutes")
    work = sum(r.work for r in results) / len(results)
    print(
        f"processor: {work:.2f} s a submission; 300 on {args.workers} idle cores: {5 * work / args.workers:.1f} minutes"
    )


if __name__ == "__main__":
    main()
