"""Canvas and Moodle: their exports and uploads go in as they are, and come back with only the grade filled in."""

from __future__ import annotations

import difflib
import sys
import zipfile
from pathlib import Path

import pytest

from assignments.grading import __main__ as command_line
from assignments.grading.isolation import best_isolation
from assignments.grading.platforms import PLATFORMS, fill, grade_column
from assignments.grading.roster import collect, read_roster
from tests.course.test_grading_cases import HONEST, notebook, write_assignment

CANVAS, MOODLE = PLATFORMS["canvas"], PLATFORMS["moodle"]
# As lib/gradebook_exporter.rb writes it: policies, points, students, the test student, read-only totals.
CANVAS_EXPORT = (
    "Student,ID,SIS User ID,SIS Login ID,Section,Tiny (98765),Final exam (98766),Assignments Current Score,"
    "Current Score,Final Score\r\n"
    ",,,,,Manual Posting,,,,\r\n"
    "    Points Possible,,,,,6.00,100.00,(read only),(read only),(read only)\r\n"
    '"Doe, Jane",12345,S0012,jdoe,"Group A, Monday",,77.00,,77.0,38.5\r\n'
    '"Núñez ""Pepe"", José",12346,S0013,jnunez,Group B,,EX,,,\r\n'
    '"Roe, Richard",12347,S0014,rroe,Group B,N/A,,,,\r\n'
    '"Student, Test",99999,,a1b2c3,Group A,,,,,\r\n'
)
# As mod/assign/gradingtable.php and csv_export_writer write it.
MOODLE_EXPORT = (
    '\ufeffIdentifier,"Full name","Email address",Status,Grade,"Maximum grade","Grade can be changed",'
    '"Last modified (submission)","Last modified (grade)","Feedback comments"\n'
    '"Participant 412345","Jane Doe",jane@example.org,"Submitted for grading - ",,6.00,Yes,'
    '"Monday, 3 November 2025, 11:58 PM",-,\n'
    '"Participant 412346","José_Núñez",jose@example.org,"Submitted for grading - 2 hours late",,6.00,Yes,'
    '"Tuesday, 4 November 2025, 2:00 AM",-,"Line one\nline ""two"""\n'
    '"Participant 412347","Richard Roe",richard@example.org,"No submission - ",,6.00,Yes,-,-,\n'
)
WRONG = "def double(x): return 0"


def changed(before: bytes, after: bytes) -> list[tuple[str, str]]:
    """Return the pieces of text that differ."""
    a, b = before.decode(), after.decode()
    steps = difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
    return [(a[i:j], b[k:m]) for kind, i, j, k, m in steps if kind != "equal"]


def test_canvas_export_comes_back_with_only_the_grade_filled() -> None:
    export = CANVAS_EXPORT.encode()
    filled = fill(export, CANVAS, "tiny", {"12345": "5.5", "12346": "6"})
    assert changed(export, filled) == [("", "5.5"), ("", "6")]
    lines = filled.decode().split("\r\n")
    assert lines[3] == '"Doe, Jane",12345,S0012,jdoe,"Group A, Monday",5.5,77.00,,77.0,38.5'
    assert lines[4] == '"Núñez ""Pepe"", José",12346,S0013,jnunez,Group B,6,EX,,,'
    assert fill(export, CANVAS, "tiny", {}) == export


def test_moodle_worksheet_comes_back_with_only_the_grade_filled() -> None:
    export = MOODLE_EXPORT.encode()
    filled = fill(export, MOODLE, "tiny", {"Participant 412345": "5.5", "Participant 412346": "6"})
    assert changed(export, filled) == [("", "5.5"), ("", "6")]
    assert '"Submitted for grading - ",5.5,6.00,Yes,' in filled.decode()
    assert fill(export, MOODLE, "tiny", {}) == export and filled.startswith(b"\xef\xbb\xbf")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_are_kept(encoding: str) -> None:
    export = CANVAS_EXPORT.encode(encoding)
    assert fill(export, CANVAS, "tiny", {"12346": "6"}).decode(encoding).count(",Group B,6,EX,") == 1


def test_canvas_rows_that_are_no_students_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "export.csv").write_bytes(CANVAS_EXPORT.encode())
    read = read_roster(tmp_path / "export.csv", platform=CANVAS)
    assert list(read.rows) == ["12345", "12346", "12347", "99999"]
    assert read.rows["12346"]["Student"] == 'Núñez "Pepe", José'


@pytest.mark.parametrize(
    ("wanted", "column"), [("", 5), ("Tiny", 5), ("Tiny (98765)", 5), ("Final exam", 6), ("Final exam (98766)", 6)]
)
def test_canvas_column_is_found_by_name(wanted: str, column: int) -> None:
    header = CANVAS_EXPORT.split("\r\n")[0].split(",")
    assert grade_column(header, CANVAS, "tiny", wanted) == column


@pytest.mark.parametrize(("assignment", "wanted"), [("hw1", ""), ("tiny", "Quiz"), ("tiny", "Current")])
def test_canvas_column_that_is_not_there_is_refused(assignment: str, wanted: str) -> None:
    with pytest.raises(ValueError, match=r"must name one column .* 'Tiny \(98765\)', 'Final exam \(98766\)'"):
        grade_column(CANVAS_EXPORT.split("\r\n")[0].split(","), CANVAS, assignment, wanted)


def test_another_platforms_table_is_refused() -> None:
    with pytest.raises(ValueError, match="a table of moodle must have a column 'Identifier'"):
        fill(CANVAS_EXPORT.encode(), MOODLE, "tiny", {})


@pytest.mark.parametrize(
    ("name", "student", "late"),
    [
        ("doejane_12345_67890_hw1", "12345", False),
        ("doejane_LATE_12345_67890_hw1-2", "12345", True),
        ("doejane_12345_67890_12346_hw1", "12345", False),  # a file named after another student's number
        ("doejane_12345_67890_Untitled_1_12346", "12345", False),
        ("LATE_12345_67890_hw1", "12345", False),
        ("hw1", "", False),
    ],
)
def test_canvas_names_say_whose_an_upload_is(name: str, student: str, late: bool) -> None:
    owner = CANVAS.owner(name)
    assert (owner.student if owner else "", bool(owner and owner.late)) == (student, late)


@pytest.mark.parametrize(
    ("name", "student"),
    [
        ("Jane Doe_412345_assignsubmission_file_hw1", "Participant 412345"),
        ("Jane Doe_412345_assignsubmission_file_", "Participant 412345"),
        ("Jane Doe_412345_assignsubmission_file", "Participant 412345"),
        ("Participant_412345_assignsubmission_file_412346", "Participant 412345"),
        ("José_Núñez_412346_assignsubmission_file_hw1", "Participant 412346"),
        ("412346", ""),
    ],
)
def test_moodle_names_say_whose_an_upload_is(name: str, student: str) -> None:
    owner = MOODLE.owner(name)
    assert (owner.student if owner else "") == student


def test_newest_upload_to_canvas_counts_whatever_the_clock_says(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "export.csv").write_bytes(CANVAS_EXPORT.encode())
    for name in ("doejane_LATE_12345_70000_hw1-1.ipynb", "doejane_12345_69999_hw1.ipynb", "12346.ipynb"):
        (tmp_path / "in" / name).write_text("{}")
    read = read_roster(tmp_path / "export.csv", platform=CANVAS)
    found, _ = collect(tmp_path / "in", read, CANVAS)
    by_student = {s.student: s for s in found}
    jane = by_student["12345"]
    assert jane.path and jane.path.name.endswith("70000_hw1-1.ipynb") and jane.late
    assert by_student["12346"].path is None  # a file of that name is nobody's: Canvas did not write it


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or best_isolation() is None, reason="student code cannot be isolated here"
)
@pytest.mark.parametrize(
    ("platform", "export", "uploads", "grades", "packed"),
    [
        (
            "canvas",
            CANVAS_EXPORT,
            {"doejane_LATE_12345_67890_tiny-1.ipynb": HONEST, "nunezjose_12346_67891_12345.ipynb": [*HONEST, WRONG]},
            [("", "6"), ("", "3")],
            ["doejane_LATE_12345_67890_tiny-1.txt", "nunezjose_12346_67891_12345.txt"],
        ),
        (
            "moodle",
            MOODLE_EXPORT,
            {
                "Jane Doe_412345_assignsubmission_file/tiny.ipynb": HONEST,
                "José_Núñez_412346_assignsubmission_file_tiny.ipynb": [*HONEST, WRONG],
            },
            [("", "6"), ("", "3")],
            [
                "Jane Doe_412345_assignfeedback_file_/tiny-feedback.txt",
                "José Núñez_412346_assignfeedback_file_/tiny-feedback.txt",
            ],
        ),
    ],
)
def test_round_trip(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    platform: str,
    export: str,
    uploads: dict[str, list[str]],
    grades: list[tuple[str, str]],
    packed: list[str],
) -> None:
    write_assignment(tmp_path)
    (tmp_path / "export.csv").write_bytes(export.encode())
    for name, cells in uploads.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(notebook(cells))
    paths = ["--submissions", str(tmp_path / "in"), "--roster", str(tmp_path / "export.csv")]
    arguments = ["grade", "--assignment", "tiny", "--platform", platform, *paths, "--out", str(tmp_path / "out.csv")]
    monkeypatch.setattr(sys, "argv", ["grading", "--released", str(tmp_path), *arguments])
    command_line.main()
    written = (tmp_path / "out" / f"{platform}-import.csv").read_bytes()
    assert changed(export.encode(), written) == grades
    with zipfile.ZipFile(tmp_path / "out" / f"{platform}-feedback.zip") as zipped:
        assert zipped.namelist() == packed
        assert "6 of 6 automatic points" in zipped.read(packed[0]).decode()
