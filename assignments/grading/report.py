"""Write what people read: a table for the learning platform, a feedback file a student."""

from __future__ import annotations

import csv
from pathlib import Path

from assignments.grading.batch import Result, safe_name
from assignments.grading.platforms import Platform, fill, pack_feedback
from assignments.grading.roster import Roster, clean
from assignments.grading.submission import Assignment, Case


def number(x: float) -> str:
    return f"{x:.3f}".rstrip("0").rstrip(".")


def harmless(text: str) -> str:
    """Return text that no spreadsheet takes for a formula."""
    text = clean(text)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def table(results: list[Result], assignment: Assignment, roster: Roster | None) -> list[dict[str, str]]:
    """Return one row a student: the roster's columns, each question, total, max, status, seconds, file.

    ``total`` and ``max`` count the automatic questions; columns of questions graded by hand are empty.
    """
    best = sum(q["points"] for q in assignment.questions.values() if not q["manual"])
    rows = []
    for result in results:
        known = dict(roster.rows.get(result.student, {})) if roster else {}
        row = {name: harmless(known.get(name, "")) for name in (roster.columns if roster else ())}
        row["student"] = harmless(result.student)
        marks = {q: result.points(q) for q, about in assignment.questions.items() if not about["manual"]}
        row |= {q: number(marks[q]) if q in marks else "" for q in assignment.questions}
        row |= {
            "total": number(sum(marks.values())),
            "max": number(best),
            "status": harmless(result.status),
            "seconds": number(result.seconds),
            "file": harmless(Path(result.file).name) if result.file else "",
        }
        rows.append(row)
    return rows


def write_table(rows: list[dict[str, str]], path: Path) -> None:
    """Write the table, whole or not at all; the byte-order mark lets every spreadsheet read the names right."""
    beside = path.with_name(path.name + ".part")
    with open(beside, "w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)
    beside.replace(path)


def feedback(result: Result, assignment: Assignment) -> str:
    """Return what a student may read: points, and the messages of visible checks only."""
    automatic = {q: about for q, about in assignment.questions.items() if not about["manual"]}
    total, best = sum(map(result.points, automatic)), sum(q["points"] for q in automatic.values())
    lines = [f"{assignment.name}, {clean(result.student)}", f"{number(total)} of {number(best)} automatic points"]
    lines += [f"Status: {clean(result.status)}", ""]
    for question, about in assignment.questions.items():
        if about["manual"]:
            lines += [f"{question}  graded by hand, {number(about['points'])} points", ""]
            continue
        lines.append(f"{question}  {number(result.points(question))} of {number(about['points'])}")
        cases = [c for c in result.cases if c.question == question]
        for i, case in enumerate([c for c in cases if not c.hidden], 1):
            lines += _visible(i, case)
        hidden = [c for c in cases if c.hidden]
        if hidden:
            earned, possible = (number(sum(c.points for c in hidden if c.passed or not p)) for p in (True, False))
            lines.append(f"    hidden checks: {earned} of {possible}")
            lines += [f"        {_hidden(c)}" for c in hidden]
        lines.append("")
    return "\n".join(lines)


def _hidden(case: Case) -> str:
    outcome = "passed" if case.passed else "not passed"
    return f"{clean(case.label)}: {outcome} ({number(case.points if case.passed else 0)} of {number(case.points)})"


def _visible(i: int, case: Case) -> list[str]:
    if case.passed:
        return [f"    check {i}: passed ({number(case.points)})"]
    words = [clean(line)[:200] for line in case.message.splitlines()[:12]]
    return [f"    check {i}: not passed (0 of {number(case.points)})", *(f"        | {line}" for line in words)]


def write_feedback(results: list[Result], assignment: Assignment, folder: Path) -> None:
    """Write one text file a student who handed something in."""
    folder.mkdir(parents=True, exist_ok=True)
    for result in results:
        if result.file:
            (folder / f"{safe_name(result.student)}.txt").write_text(feedback(result, assignment), encoding="utf-8")


def write_for_platform(
    results: list[Result],
    assignment: Assignment,
    roster: Roster,
    platform: Platform,
    export: bytes,
    column: str,
    folder: Path,
) -> None:
    """Write the table that the platform imports, and a zip of feedback files that it gives to their students.

    Who handed nothing in, or what cannot be read, keeps the cell that the platform wrote.
    """
    grades, files = {}, {}
    for result in results:
        row = roster.rows.get(result.student)
        if row is None or not result.file or not result.cases:
            continue
        grades[result.student] = number(sum(result.points(q) for q in assignment.tests))
        source = Path(result.file)
        if platform.owner(source.name) is None:  # in a folder that the platform named
            source = source.parent
        name = platform.feedback_name(result.student, source.name, row, assignment.name)
        files[name] = feedback(result, assignment)
    (folder / f"{platform.name}-import.csv").write_bytes(fill(export, platform, assignment.name, grades, column))
    pack_feedback(files, folder / f"{platform.name}-feedback.zip")
