"""Marking by hand without names: every written answer on one page a question, each under an anonymous id.

An id is drawn from the course's secret, the assignment and the student, so that it tells nothing without the secret, is
another one in the next assignment, and needs no list of who is who to be kept. The pages are in the order of the ids.
"""

from __future__ import annotations

import base64
import binascii
import csv
import hashlib
import hmac
import html
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from assignments.grading.reading import Unreadable, read_bytes, source_of_cell
from assignments.grading.roster import Submission
from assignments.grading.submission import Assignment

ID = "anonymous"  # the column of a table of marks
PROMPT = "_Type your answer here, replacing this text._"
BEGIN, END = re.compile(r"<!--\s*BEGIN QUESTION\s*-->"), re.compile(r"<!--\s*END QUESTION\s*-->")
MARKER = re.compile(
    r"(?m)^[ \t]*# (?:BEGIN|END) (?:SOLUTION|PROMPT).*\n?|[ \t]*# SOLUTION(?: NO PROMPT)?[ \t]*$"
)  # otter's
PNG = b"\x89PNG\r\n\x1a\n"
MAX_PICTURE = 4 << 20
STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:46em;margin:2em auto;padding:0 1em}"
    "section{border-top:1px solid #999;padding:1em 0}pre{white-space:pre-wrap;overflow-wrap:anywhere}"
    "pre.code{background:#f2f2f2;padding:.6em}img{max-width:100%}.none{color:#a00}"
)


def anonymous_id(student: str, assignment: str, secret: str) -> str:
    """Return the id, 8 letters and digits, under which a student's answers to one assignment are read."""
    digest = hmac.new(secret.encode(), f"{assignment}\n{student}".encode(), hashlib.sha256).digest()
    return base64.b32encode(digest)[:8].decode().lower()


def ids(students: Iterable[str], assignment: str, secret: str) -> dict[str, str]:
    """Return students by their id.

    Raises:
        ValueError: if two share one (which 40 bits make a chance of one in ten million for 300 students).
    """
    found: dict[str, str] = {}
    for student in students:
        name = anonymous_id(student, assignment, secret)
        if found.setdefault(name, student) != student:
            raise ValueError(f"two students share the id {name}: grade with another secret")
    return found


def answers(data: bytes, given: set[str], questions: list[str]) -> dict[str, list[dict[str, Any]] | None]:
    """Return the cells that answer each question, without those that everybody was given.

    Args:
        data: the submitted notebook.
        given: the sources of the cells of the notebook that students started from.
        questions: those graded by hand, in the notebook's order.

    Returns:
        By question; None where the notebook's marks of where questions begin and end are not as they were.
    """
    try:
        cells = json.loads(data.decode("utf-8-sig"))["cells"]
        sections = list(_sections(cells))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return dict.fromkeys(questions)
    if len(sections) != len(questions):
        return dict.fromkeys(questions)
    return {
        q: [c for c in section if source_of_cell(c).strip() not in given] for q, section in zip(questions, sections)
    }


def _sections(cells: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yield the cells between the marks that otter leaves around each question graded by hand."""
    inside: list[dict[str, Any]] | None = None
    for cell in cells:
        source = source_of_cell(cell) if cell["cell_type"] == "markdown" else ""
        if inside is not None and END.search(source):
            yield inside
            inside = None
        if BEGIN.search(source):
            inside = []
        elif inside is not None:
            inside.append(cell)


def _pictures(cell: dict[str, Any]) -> Iterator[str]:
    """Yield a cell's pictures, as pages show them; anything that is not a PNG is passed over."""
    outputs = cell.get("outputs") if isinstance(cell.get("outputs"), list) else []
    attached = cell.get("attachments") if isinstance(cell.get("attachments"), dict) else {}
    bundles = [output.get("data") for output in outputs or [] if isinstance(output, dict)]
    for bundle in [*bundles, *(attached or {}).values()]:
        text = bundle.get("image/png") if isinstance(bundle, dict) else None
        text = "".join(text) if isinstance(text, list) and all(isinstance(t, str) for t in text) else text
        try:
            picture = base64.b64decode(re.sub(r"\s", "", text), validate=True) if isinstance(text, str) else b""
        except (binascii.Error, ValueError):
            continue
        if picture.startswith(PNG) and len(picture) <= MAX_PICTURE:
            data = base64.b64encode(picture).decode()
            yield f'<img alt="a picture of this answer" src="data:image/png;base64,{data}">'


def _shown(cells: list[dict[str, Any]] | None) -> str:
    if cells is None:
        return '<p class="none">Not found: the notebook was rearranged. Open the file.</p>'
    parts = []
    for cell in cells:
        kind = ' class="code"' if cell.get("cell_type") == "code" else ""
        if text := source_of_cell(cell).replace(PROMPT, "").strip():
            parts.append(f"<pre{kind}>{html.escape(text)}</pre>")
        parts += _pictures(cell)
    return "".join(parts) or '<p class="none">No answer.</p>'


def samples(assignment: Assignment, given: set[str], questions: list[str]) -> dict[str, list[dict[str, Any]] | None]:
    """Return the master's sample answers, by question; empty where the release holds no solution."""
    path = assignment.folder / f"{assignment.name}.ipynb"
    found = answers(path.read_bytes(), given, questions) if path.exists() else {}
    for cell in (cell for cells in found.values() for cell in cells or []):
        cell["source"] = MARKER.sub("", source_of_cell(cell)).strip()
    return found


def page(
    question: str,
    points: float,
    asked: str,
    found: dict[str, list[dict[str, Any]] | None],
    sample: list[dict[str, Any]] | None = None,
) -> str:
    """Return the page of one question: what was asked, samples, each answer under its id; no script, no name."""
    body = "".join(f'<section id="{i}"><h2>{i}</h2>{_shown(found[i])}</section>' for i in sorted(found))
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(question)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><style>{STYLE}</style>'
        f"<h1>{html.escape(question)}: {points:g} points, {len(found)} answers</h1>"
        f"<details><summary>What was asked</summary><pre>{html.escape(asked)}</pre></details>"
        f"{_folded_samples(sample)}{body}</html>\n"
    )


def _folded_samples(sample: list[dict[str, Any]] | None) -> str:
    return f"<details><summary>Sample answers</summary>{_shown(sample)}</details>" if sample else ""


def write(submissions: list[Submission], assignment: Assignment, out: Path, secret: str) -> tuple[int, int]:
    """Write ``QUESTION.html`` for each question graded by hand, and ``marks.csv`` to fill in.

    Marks that stand in ``marks.csv`` already are kept: late answers only add rows.

    Returns:
        How many answers there are, and how many of them could not be found in their notebook.

    Raises:
        ValueError: if no question of the assignment is graded by hand, or ``marks.csv`` has other columns.
    """
    manual = {q: about["points"] for q, about in assignment.questions.items() if about["manual"]}
    if not manual:
        raise ValueError(f"assignment must have a question graded by hand, got {assignment.name}")
    start = (assignment.folder.parent / "student" / f"{assignment.name}.ipynb").read_bytes()
    cells = json.loads(start)["cells"]
    given = {source_of_cell(cell).strip() for cell in cells} - {PROMPT}
    asked = [source_of_cell(c) for c in cells if c["cell_type"] == "markdown" and BEGIN.search(source_of_cell(c))]
    sample = samples(assignment, given, list(manual))
    found: dict[str, dict[str, list[dict[str, Any]] | None]] = {q: {} for q in manual}
    names = {student: name for name, student in ids([s.student for s in submissions], assignment.name, secret).items()}
    for submission in submissions:
        if submission.path is None:
            continue
        try:
            read = answers(read_bytes(submission.path, assignment.name), given, list(manual))
        except Unreadable:
            continue  # the grader's status says why
        for question in manual:
            found[question][names[submission.student]] = read[question]
    out.mkdir(parents=True, exist_ok=True)
    for (question, points), text in zip(manual.items(), asked):
        plain = BEGIN.sub("", text).strip()
        text = page(question, points, plain, found[question], sample.get(question))
        (out / f"{question}.html").write_text(text, encoding="utf-8")
    _write_marks(out / "marks.csv", sorted(next(iter(found.values()))), list(manual))
    everything = [cells for answers_ in found.values() for cells in answers_.values()]
    return len(everything), sum(cells is None for cells in everything)


def _write_marks(path: Path, names: list[str], questions: list[str]) -> None:
    columns, rows = [ID, *questions], {}
    if path.exists():
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames != columns:
                raise ValueError(f"{path} must have the columns {', '.join(columns)}, got {reader.fieldnames}")
            rows = {row[ID]: row for row in reader}
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows.get(name, {ID: name}) for name in sorted({*rows, *names}))


def with_names(
    marks: dict[str, dict[str, float]], students: Iterable[str], assignment: str, secret: str
) -> dict[str, dict[str, float]]:
    """Return marks by student, of marks by id.

    Raises:
        ValueError: if an id belongs to none of the students.
    """
    names = ids(students, assignment, secret)
    if unknown := sorted(set(marks) - set(names)):
        raise ValueError(f"marks must be of submissions at hand, got {ID} {', '.join(unknown[:3])}: another secret?")
    return {names[name]: of for name, of in marks.items()}
