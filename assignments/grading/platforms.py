"""Canvas and Moodle: whose an upload is by its name, and their own tables with nothing but the grade filled in.

The formats are those of Canvas's gradebook export (``lib/gradebook_exporter.rb``), of the names in its zip of
submissions, of Moodle's offline grading worksheet (``mod/assign/feedback/offline``) and of its zips of submissions and
of feedback files (``mod/assign/feedback/file/importziplib.php``).
"""

from __future__ import annotations

import dataclasses
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

# doejane_LATE_12345_67890_hw1-2.ipynb: name, user, upload, the student's own file name
CANVAS = re.compile(r"^[^_]+_(?P<late>LATE_)?(?P<user>\d+)_(?P<upload>\d+)_(?P<file>.+)$")
# Jane Doe_412345_assignsubmission_file_hw1.ipynb, or a folder Jane Doe_412345_assignsubmission_file(_)
MOODLE = re.compile(r"^(?P<name>.*?)_(?P<user>\d+)_assignsubmission_file(_(?P<file>.*))?$")
TITLE = re.compile(r"^(?P<title>.*) \((?P<number>\d+)\)$")


@dataclasses.dataclass(frozen=True)
class Owner:
    """Whose an upload is, what the platform says of it, and its place among this student's uploads."""

    student: str
    late: bool = False
    order: int = 0


@dataclasses.dataclass(frozen=True)
class Platform:
    """A learning platform's conventions; ``id_column`` of its table identifies students."""

    name: str
    id_column: str = ""

    def owner(self, entry: str) -> Owner | None:
        """Return whose an upload is by the part of its name that the platform wrote, or None."""
        if self.name == "canvas" and (found := CANVAS.match(entry)):
            return Owner(found["user"], bool(found["late"]), int(found["upload"]))
        if self.name == "moodle" and (found := MOODLE.match(entry)):
            return Owner(f"Participant {found['user']}")
        return None

    def is_student(self, row: dict[str, str]) -> bool:
        """Whether a row of the platform's table is a student's: Canvas has rows of points and of posting policies."""
        if self.name == "canvas":
            return row.get("ID", "").isdigit()
        return self.name != "moodle" or bool(re.fullmatch(r".*\d+", row.get("Identifier", "")))

    def feedback_name(self, student: str, file: str, row: dict[str, str], assignment: str) -> str:
        """Return the name under which the platform takes a feedback file for this student's."""
        if self.name == "moodle":
            name = row.get("Full name", "").replace("_", " ").replace("/", " ") or "Participant"
            return f"{name}_{student.split()[-1]}_assignfeedback_file_/{assignment}-feedback.txt"
        if self.name == "canvas":
            return f"{Path(file).stem}.txt"
        return f"{student}.txt"


PLATFORMS = {p.name: p for p in (Platform("plain"), Platform("canvas", "ID"), Platform("moodle", "Identifier"))}


def records(text: str, delimiter: str = ",") -> Iterator[list[tuple[int, int]]]:
    """Yield, for each record of a CSV text, where each field begins and ends, quotes included."""
    fields: list[tuple[int, int]] = []
    begin, quoted = 0, False
    for i, c in enumerate(text):
        if c == '"':
            quoted = not quoted
        elif not quoted and c == delimiter:
            fields.append((begin, i))
            begin = i + 1
        elif not quoted and c == "\n":
            end = i - 1 if text[begin:i].endswith("\r") else i
            yield [*fields, (begin, end)]
            fields, begin = [], i + 1
    if fields or begin < len(text):
        yield [*fields, (begin, len(text))]


def unquoted(field: str) -> str:
    """Return a field's value."""
    return field[1:-1].replace('""', '"') if len(field) > 1 and field[0] == field[-1] == '"' else field


def grade_column(header: list[str], platform: Platform, assignment: str, wanted: str = "") -> int:
    """Return the number of the column that takes the grade.

    Args:
        header: the table's column names.
        platform: whose table it is.
        assignment: a Canvas column is found by this name, as a word of its title.
        wanted: the column's name, with or without Canvas's number; wins.

    Raises:
        ValueError: if not exactly one column fits.
    """
    if platform.name == "moodle":
        wanted = wanted or "Grade"
    titles = [TITLE.match(name) for name in header]
    if wanted:
        fits = [i for i, name in enumerate(header) if wanted in (name, titles[i]["title"] if titles[i] else "")]  # type: ignore[index]
    else:
        word = re.compile(rf"(?i)(?<!\w){re.escape(assignment)}(?!\w)")
        fits = [i for i, title in enumerate(titles) if title and word.search(title["title"])]
    if len(fits) != 1:
        shown = ", ".join(repr(header[i]) for i, title in enumerate(titles) if title) or ", ".join(map(repr, header))
        raise ValueError(f"--column must name one column for the grades of {wanted or assignment}; there are {shown}")
    return fits[0]


def fill(data: bytes, platform: Platform, assignment: str, grades: dict[str, str], column: str = "") -> bytes:
    """Return the platform's own table with the grades filled in, and every other byte as it was.

    Raises:
        ValueError: if the columns are not the platform's.
    """
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    text = data.decode(encoding)
    lead = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix("\ufeff")
    delimiter = max(",;\t", key=text.split("\n", 1)[0].count)
    parsed = list(records(text, delimiter))
    header = [unquoted(text[a:b]) for a, b in parsed[0]] if parsed else []
    if platform.id_column not in header:
        raise ValueError(f"a table of {platform.name} must have a column {platform.id_column!r}, got {header}")
    key, grade = header.index(platform.id_column), grade_column(header, platform, assignment, column)
    out, at = [lead], 0
    for fields in parsed[1:]:
        if len(fields) <= max(key, grade):
            continue
        student = unquoted(text[slice(*fields[key])])
        if student in grades and (platform.name != "canvas" or student.isdigit()):
            begin, end = fields[grade]
            out += [text[at:begin], grades[student]]
            at = end
    return "".join([*out, text[at:]]).encode(encoding)


def pack_feedback(files: dict[str, str], out: Path) -> None:
    """Write a zip of feedback texts by name, whole or not at all."""
    beside = out.with_name(out.name + ".part")
    with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, text in files.items():
            zipped.writestr(name, text)
    beside.replace(out)
