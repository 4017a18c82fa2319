"""Write what people read: a table for the learning platform, a feedback file a student."""

from __future__ import annotations

import csv
from pathlib import Path

from assignments.grading.marks import Marks
from assignments.grading.platforms import Platform, fill, pack_feedback
from assignments.grading.results import Result, safe_name
from assignments.grading.roster import Roster, clean
from assignments.grading.submission import Assignment, Case


def number(x: float) -> str:
    return f"{x:.3f}".rstrip("0").rstrip(".")


def harmless(text: str) -> str:
    """Return text that no spreadsheet takes for a formula."""
    text = clean(text)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def with_note(status: str, note: str) -> str:
    """Return a status with one more thing to read."""
    return f"{status}; {note}" if note and status != "ok" else note or status


def days_late(marks: Marks) -> str:
    return "unknown" if marks.days is None else number(marks.days)


def table(
    results: list[Result], assignment: Assignment, roster: Roster | None, marks: dict[str, Marks]
) -> list[dict[str, str]]:
    """Return one row a student: the roster's columns, each question, total, max, late, status, seconds, file.

    ``total`` and ``max`` count the automatic questions, and those graded by hand once any student has marks there;
    ``total`` is what is left after what was lost for being late.
    """
    seen = {q for m in marks.values() for q in m.questions}
    best = sum(about["points"] for q, about in assignment.questions.items() if q in seen or not about["manual"])
    any_late = any(m.days != 0 for m in marks.values())
    rows = []
    for result in results:
        known = dict(roster.rows.get(result.student, {})) if roster else {}
        row = {name: harmless(known.get(name, "")) for name in (roster.columns if roster else ())}
        row["student"] = harmless(result.student)
        mine = marks[result.student]
        row |= {q: number(mine.questions[q]) if q in mine.questions else "" for q in assignment.questions}
        row |= {
            "total": number(mine.total),
            "max": number(best),
            **({"days late": days_late(mine)} if any_late else {}),
            "status": harmless(with_note(result.status, mine.note)),
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


def feedback(result: Result, assignment: Assignment, marks: Marks | None = None) -> str:
    """Return what a student may read: points, and the messages of visible checks only."""
    automatic = {q: about for q, about in assignment.questions.items() if not about["manual"]}
    total, best = sum(map(result.points, automatic)), sum(q["points"] for q in automatic.values())
    lines = [f"{assignment.name}, {clean(result.student)}", f"{number(total)} of {number(best)} automatic points"]
    lines += [f"Status: {clean(with_note(result.status, marks.note if marks else ''))}"]
    given = {
        q: marks.questions[q] for q, a in assignment.questions.items() if marks and a["manual"] and q in marks.questions
    }
    if marks and (given or marks.loss):
        lines.append(f"{number(marks.total)} points in all")
    lines.append("")
    for question, about in assignment.questions.items():
        if about["manual"]:
            earned = f"{number(given[question])} of " if question in given else ""
            lines += [f"{question}  graded by hand, {earned}{number(about['points'])} points", ""]
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
    worth = "" if not case.points else f" ({'' if case.passed else '0 of '}{number(case.points)})"
    if case.passed:
        return [f"    check {i}: passed{worth}"]
    words = [clean(line)[:200] for line in case.message.splitlines()[:12]]
    return [f"    check {i}: not passed{worth}", *(f"        | {line}" for line in words)]


def write_feedback(results: list[Result], assignment: Assignment, folder: Path, marks: dict[str, Marks]) -> None:
    """Write one text file a student who handed something in."""
    folder.mkdir(parents=True, exist_ok=True)
    for result in results:
        if result.file:
            text = feedback(result, assignment, marks.get(result.student))
            (folder / f"{safe_name(result.student)}.txt").write_text(text, encoding="utf-8")


def write_for_platform(
    results: list[Result],
    assignment: Assignment,
    roster: Roster,
    platform: Platform,
    export: bytes,
    column: str,
    folder: Path,
    marks: dict[str, Marks],
) -> None:
    """Write the table that the platform imports, and a zip of feedback files that it gives to their students.

    Who handed nothing in, or what cannot be read, keeps the cell that the platform wrote.
    """
    grades, files = {}, {}
    for result in results:
        row = roster.rows.get(result.student)
        if row is None or not result.file or not result.cases:
            continue
        grades[result.student] = number(marks[result.student].total)
        source = Path(result.file)
        if platform.owner(source.name) is None:  # in a folder that the platform named
            source = source.parent
        name = platform.feedback_name(result.student, source.name, row, assignment.name)
        files[name] = feedback(result, assignment, marks[result.student])
    (folder / f"{platform.name}-import.csv").write_bytes(fill(export, platform, assignment.name, grades, column))
    pack_feedback(files, folder / f"{platform.name}-feedback.zip")
