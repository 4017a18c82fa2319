"""Who should have handed in, who did, and which file is whose."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import re
import unicodedata
from pathlib import Path

from assignments.grading.platforms import PLATFORMS, Platform
from assignments.grading.reading import is_notebook

PLAIN = PLATFORMS["plain"]
ID_COLUMNS = ("student", "id", "sis user id", "sis login id", "username", "identifier", "email address", "email")


@dataclasses.dataclass(frozen=True)
class Roster:
    """A class list: its columns as they came, each student's row, and what was odd about it."""

    columns: tuple[str, ...]
    rows: dict[str, dict[str, str]]
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Submission:
    """One student's file, or its absence; ``note`` says what was odd."""

    student: str
    path: Path | None
    note: str = ""
    late: bool = False  # as the platform says


def clean(text: str) -> str:
    """Return text without control characters, in one Unicode form, fit to print anywhere."""
    text = text.encode("utf-8", "replace").decode()
    kept = "".join(c for c in unicodedata.normalize("NFC", text) if unicodedata.category(c)[0] != "C")
    return kept.strip()


def read_roster(path: Path, id_column: str = "", platform: Platform = PLAIN) -> Roster:
    """Read a class list: a CSV with a header, separated by comma, semicolon or tab, in UTF-8, UTF-16 or Windows-1252.

    Args:
        path: the file.
        id_column: the column that identifies a student; by default the platform's, else the first that looks like one,
            else the first.
        platform: whose table it is; its rows that are no student's are left out.

    Raises:
        ValueError: if there is no header, no student, or no such column.
    """
    data = path.read_bytes()
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    notes = []
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
        notes.append(f"{path.name} is not UTF-8: read as Windows-1252")
    lines = text.replace("\0", "").splitlines()
    if not lines:
        raise ValueError(f"{path} must begin with a header line, got an empty file")
    delimiter = max(",;\t", key=lines[0].count)
    table = list(csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter))
    columns = [clean(c) for c in table[0]]
    id_column = id_column or platform.id_column
    lowered = [c.casefold() for c in columns]
    wanted = [id_column.casefold()] if id_column else [c for c in ID_COLUMNS if c in lowered] or lowered[:1]
    if wanted[0] not in lowered:
        raise ValueError(f"{path} must have a column {id_column!r}, got {', '.join(columns)}")
    key = lowered.index(wanted[0])
    rows: dict[str, dict[str, str]] = {}
    for cells in table[1:]:
        student = clean(cells[key]) if len(cells) > key else ""
        row = {name: clean(cell) for name, cell in zip(columns, cells)}
        if not student or not platform.is_student(row):
            continue
        if student in rows:
            notes.append(f"{student} stands twice in {path.name}: the first line counts")
            continue
        rows[student] = row
    if not rows:
        raise ValueError(f"{path} must list at least one student")
    return Roster(tuple(columns), rows, tuple(notes))


def _match(name: str, students: list[str]) -> str:
    """Return the one student whose id is ``name``, or stands in it as a whole word; empty where none or several do."""
    plain = clean(name).casefold()
    exact = [s for s in students if s.casefold() == plain]
    if len(exact) == 1:
        return exact[0]
    found = [s for s in students if re.search(rf"(?<!\w){re.escape(s.casefold())}(?!\w)", plain.replace("_", " "))]
    # An id with an underscore is looked for in the name as it is.
    found += [s for s in students if "_" in s and s not in found and s.casefold() in plain]
    longest = [s for s in found if not any(s != t and s.casefold() in t.casefold() for t in found)]
    return longest[0] if len(longest) == 1 else ""


def _files(entry: Path) -> list[Path]:
    """Return the notebooks and zips of one entry of the submissions folder, without following links."""
    if entry.is_dir() and not entry.is_symlink():
        inside = [Path(folder, name) for folder, _, names in os.walk(entry) for name in names]
        inside = [p for p in inside if ".ipynb_checkpoints" not in p.parts]
        proper = [p for p in inside if p.suffix.lower() == ".ipynb" and is_notebook(p.name)]
        zipped = [p for p in inside if p.suffix.lower() == ".zip"]
        return sorted(proper or zipped or [p for p in inside if is_notebook(p.name)])
    return [entry] if entry.suffix.lower() == ".zip" or is_notebook(entry.name) else []


def _stem(entry: Path) -> str:
    """Return the entry's name without what says that it is a notebook."""
    return re.sub(r"(?i)(\.ipynb)?(\.txt|\.json|\.ipynb|\.zip|\.pdf)$", "", entry.name)


def collect(folder: Path, roster: Roster | None, platform: Platform = PLAIN) -> tuple[list[Submission], list[str]]:
    """Match the files of a folder to the students of a roster.

    On Canvas and Moodle the platform's own part of the name says whose it is, and only that. Else an entry is
    ``ID.ipynb``, ``….ID….ipynb`` as learning platforms name them, a zip, or a folder named so. Of several
    entries for one student the newest counts. Without a roster every entry is its own student.

    Returns:
        One submission a student, in the roster's order, then those of nobody on it; and notes for the log.
    """
    notes: list[str] = []
    found: dict[str, list[Path]] = {}
    strangers: list[Submission] = []
    empty: dict[str, str] = {}
    students = list(roster.rows) if roster else []
    late: set[Path] = set()
    order: dict[Path, int] = {}
    for entry in sorted(folder.iterdir()):
        name = entry.name if entry.is_dir() and not entry.is_symlink() else _stem(entry)
        if entry.name.startswith("."):
            continue
        owner = platform.owner(name)
        student = _match(name, students) if platform is PLAIN else owner.student if owner else ""
        student = student if student in students or not roster else ""
        files = _files(entry)
        if owner:
            late |= set(files) if owner.late else set()
            order |= dict.fromkeys(files, owner.order)
        if not files:
            if student:
                empty.setdefault(student, f"no notebook in {clean(entry.name)}")
            notes.append(f"{clean(entry.name)}: no notebook")
        elif student:
            found.setdefault(student, []).extend(files)
        else:
            note = "not on the roster" if roster else ""
            strangers += [Submission(clean(name if len(files) == 1 else f"{name} {f.stem}"), f, note) for f in files]
    submissions = []
    for student in students:
        files = sorted(found.get(student, []), key=lambda p: (order.get(p, 0), os.lstat(p).st_mtime, p.name))
        if not files:
            submissions.append(Submission(student, None, empty.get(student, "missing")))
        else:
            note = f"{len(files)} submissions: graded {clean(files[-1].name)}, the newest" if len(files) > 1 else ""
            submissions.append(Submission(student, files[-1], note, files[-1] in late))
    taken = {s.student for s in submissions}
    for stranger in strangers:
        student, n = stranger.student or "unnamed", 2
        while student in taken:
            student, n = f"{stranger.student} ({n})", n + 1
        taken.add(student)
        submissions.append(dataclasses.replace(stranger, student=student))
    return submissions, notes
