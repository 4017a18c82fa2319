"""Grade a folder of submissions, or compare them with each other.

    python -m assignments.grading grade --assignment hw1 --submissions DIR --roster roster.csv --out grades.csv
    python -m assignments.grading similarity DIR [--assignment hw1] [--out pairs.csv]
    python -m assignments.grading marking --assignment hw1 --submissions DIR --roster roster.csv --out marking/
    python -m assignments.grading report --assignment hw1 grades/results --out class.html
    python -m assignments.grading try hw1            the reference and the untouched notebook, for authors

`grade` may be stopped at any time, even with kill -9; the same command goes on where it was. Beside ``grades.csv`` it
writes ``grades/feedback/`` (for students), ``grades/results/`` (what is kept between runs) and ``grades/grading.log``.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from datetime import datetime
from pathlib import Path

from assignments.grading.isolation import Isolation, find_isolation
from assignments.grading.platforms import PLATFORMS
from assignments.grading.submission import Assignment
from assignments.release import OUT, SECRET_FILE, ReleaseError, read_secret

REFUSAL = """\
Student code cannot be isolated here, and will not be run:
    {why}

Isolation needs Linux with `unshare` (util-linux) and user namespaces; elsewhere grade on Gradescope, in a virtual
machine, or in a container without network that holds nothing but the released assignment and the submissions
(assignments/README.md shows the command). There, and only there, give the flag --unsafe-no-isolation.
Where only the locking of files fails, --unsafe-visible-files keeps the rest: no network, no process left behind."""


def isolation_for(args: argparse.Namespace, hide: list[Path]) -> Isolation:
    """Return how student code will be kept apart, or leave with the reason why it cannot be."""
    if args.unsafe_no_isolation:
        return Isolation()
    found, why = find_isolation(hide, visible_files=args.unsafe_visible_files)
    if found is None:
        sys.exit(REFUSAL.format(why=why))
    return found


def grade_command(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from assignments.grading import batch, blind, marks, platforms, report, roster

    tqdm.monitor_interval = 0  # a thread would be missing in forked workers
    work = args.out.with_suffix("")
    work.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=work / "grading.log", level=logging.INFO, format="%(asctime)s %(message)s", encoding="utf-8"
    )
    log = logging.getLogger("grading")
    try:
        bounds = {name: float(value) for name, value in (pair.split("=", 1) for pair in args.limit)}
        assignment = Assignment.read(args.released / args.assignment / "autograder", bounds)
        platform = PLATFORMS[args.platform]
        students = roster.read_roster(args.roster, args.id_column, platform) if args.roster else None
        submissions, notes = roster.collect(args.submissions, students, platform)
        hand = marks.read_hand(args.hand, assignment, args.id_column or platform.id_column) if args.hand else {}
        if args.hand and marks.is_anonymous(args.hand):
            hand = blind.with_names(hand, [s.student for s in submissions], assignment.name, read_secret(args.secret))
        times = marks.read_times(args.submitted) if args.submitted else {}
        policy = marks.LatePolicy(args.due, args.grace, args.late_loss, args.late_cap) if args.due else None
        regrade = frozenset(args.regrade)
        if unknown := regrade - set(assignment.tests):
            raise ValueError(f"--regrade must name automatic questions, got {', '.join(sorted(unknown))}")
        if args.platform != "plain":
            platforms.fill(_export(args), platform, assignment.name, {}, args.column)  # says now what will not fit
    except (ValueError, OSError, ReleaseError) as error:
        sys.exit(f"Nothing was graded: {error}")
    private = [args.submissions, work, args.released, args.out]
    private += [path for path in (args.roster, args.hand, args.submitted) if path]
    isolation = isolation_for(args, private)
    print(f"Isolation: {isolation}", file=sys.stderr)
    log.info("grading %d submissions of %s; isolation: %s", len(submissions), assignment.name, isolation)
    for note in [*(students.notes if students else ()), *notes]:
        log.warning(note)
    graded = {}
    stream = batch.grade_all(submissions, assignment, isolation, work / "results", args.workers, regrade)
    with tqdm(total=len(submissions), unit="submission", desc=assignment.name, file=sys.stderr) as bar:
        for result in stream:
            graded[result.student] = result
            log.info("%s: %s in %.1f s", roster.clean(result.student), roster.clean(result.status), result.seconds)
            if result.kept:  # costs no time, and says nothing about the time that is left
                bar.initial += 1
            bar.update()
    results = [graded[s.student] for s in submissions]
    counted = {}
    for submission, result in zip(submissions, results):
        when = marks.submitted(submission, students, platform, times) if submission.path else None
        counted[result.student] = marks.marks_of(result, assignment, hand, policy, when, submission.late)
    report.write_table(report.table(results, assignment, students, counted), args.out)
    report.write_feedback(results, assignment, work / "feedback", counted)
    if students and args.platform != "plain":
        report.write_for_platform(results, assignment, students, platform, _export(args), args.column, work, counted)
    troubled = sum(bool(counted[r.student].note) or r.status != "ok" for r in results)
    print(f"{len(results)} rows in {args.out}, {troubled} with a status to read; feedback in {work / 'feedback'}")


def _export(args: argparse.Namespace) -> bytes:
    """Return the platform's own table."""
    if not args.roster:
        raise ValueError(f"--roster must name the table exported from {args.platform}")
    return args.roster.read_bytes()


def similarity_command(args: argparse.Namespace) -> None:
    from assignments.grading import similarity

    given = solution = None
    if args.assignment:
        folder, name = args.released / args.assignment, f"{args.assignment}.ipynb"
        given, solution = folder / "student" / name, folder / "autograder" / name
        if not solution.exists():
            sys.exit(f"No pairs: {solution} is not there; run `python -m assignments.release {args.assignment}` first")
    pairs = similarity.compare(args.submissions, given, solution)
    similarity.write(pairs, args.out)
    shown = [p for p in pairs if p.share >= args.threshold]
    for pair in shown:
        print(f"{pair.share:4.0%}  {pair.first}  {pair.second}")
    print(f"{len(shown)} of {len(pairs)} pairs share at least {args.threshold:.0%}; all of them in {args.out}")


def marking_command(args: argparse.Namespace) -> None:
    from assignments.grading import blind, roster

    try:
        assignment = Assignment.read(args.released / args.assignment / "autograder")
        platform = PLATFORMS[args.platform]
        students = roster.read_roster(args.roster, args.id_column, platform) if args.roster else None
        submissions, _ = roster.collect(args.submissions, students, platform)
        count, lost = blind.write(submissions, assignment, args.out, read_secret(args.secret))
    except (ValueError, OSError, ReleaseError) as error:
        sys.exit(f"Nothing was written: {error}")
    print(f"{count} answers to mark in {args.out}, {lost} not found in their notebook; marks go into marks.csv there")


def report_command(args: argparse.Namespace) -> None:
    from assignments.grading import items

    try:
        assignment = Assignment.read(args.released / args.assignment / "autograder")
        text = items.page(items.read_results(args.results), assignment)
    except (ValueError, OSError) as error:
        sys.exit(f"No page was written: {error}")
    args.out.write_text(text, encoding="utf-8")
    print(f"{args.out}")


def try_command(args: argparse.Namespace) -> None:
    import tempfile

    from assignments.grading.trial import Trial

    with tempfile.TemporaryDirectory() as folder:
        trial = Trial.of(args.assignment, Path(folder))
        for name, outcome in (("reference", trial.reference), ("untouched", trial.untouched)):
            print(f"{name}: {outcome.total:g} points in {outcome.seconds:.0f} s; {outcome.status}; lost {outcome.lost}")
            for message in outcome.messages:
                print(f"    {message}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--released", type=Path, default=OUT, help="where the release wrote the assignments")
    commands = parser.add_subparsers(dest="command", required=True)
    grade = commands.add_parser("grade", help="grade a folder of submissions")
    grade.add_argument("--column", default="", help="the platform's column for the grade, where its name does not tell")
    grade.add_argument("--out", type=Path, required=True, help="the table to write")
    grade.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    grade.add_argument(
        "--hand", type=Path, help="marks given by hand: a CSV with a column of students and one a question"
    )
    grade.add_argument("--due", type=datetime.fromisoformat, help="the deadline, as 2026-11-20T23:59 (local time)")
    grade.add_argument("--grace", type=float, default=15, help="minutes after it that cost nothing")
    grade.add_argument("--late-loss", type=float, default=10, help="per cent of the marks lost for each day begun")
    grade.add_argument("--late-cap", type=float, default=50, help="the most per cent that is lost")
    grade.add_argument("--submitted", type=Path, help="when students handed in: a CSV with columns student, submitted")
    grade.add_argument("--regrade", action="append", default=[], metavar="QUESTION", help="grade it again for everyone")
    grade.add_argument("--limit", action="append", default=[], metavar="NAME=NUMBER", help="e.g. call=20 (seconds)")
    grade.add_argument("--unsafe-no-isolation", action="store_true", help="run student code with all your rights")
    grade.add_argument("--unsafe-visible-files", action="store_true", help="leave your files readable to student code")
    marking = commands.add_parser("marking", help="written answers under anonymous ids, and a table for their marks")
    marking.add_argument("--out", type=Path, default=Path("marking"), help="the folder to write")
    for command in (grade, marking):
        command.add_argument("--assignment", required=True)
        command.add_argument("--submissions", type=Path, required=True, help="a notebook, zip or folder a student")
        command.add_argument("--roster", type=Path, help="class list, a CSV with a header")
        command.add_argument("--id-column", default="", help="the roster's column that file names contain")
        command.add_argument("--platform", choices=list(PLATFORMS), default="plain", help="whose table and file names")
        command.add_argument("--secret", type=Path, default=SECRET_FILE, help="file of the course's secret")
    about = commands.add_parser("report", help="one page about the class: histogram, difficulty, discrimination")
    about.add_argument("results", type=Path, help="the folder grades/results")
    about.add_argument("--assignment", required=True)
    about.add_argument("--out", type=Path, default=Path("class.html"))
    compare = commands.add_parser("similarity", help="pairs of submissions that look copied")
    compare.add_argument("submissions", type=Path)
    compare.add_argument(
        "--assignment", default="", help="leave out what it gave to everyone, and compare with its solution"
    )
    compare.add_argument("--threshold", type=float, default=0.6, help="share of code in common worth a look")
    compare.add_argument("--out", type=Path, default=Path("pairs.csv"))
    attempt = commands.add_parser("try", help="grade a master's own solution and its untouched student notebook")
    attempt.add_argument("assignment")
    args = parser.parse_args()
    known = {"grade": grade_command, "marking": marking_command, "similarity": similarity_command}
    known |= {"report": report_command, "try": try_command}
    known[args.command](args)


if __name__ == "__main__":
    main()
