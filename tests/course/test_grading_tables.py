"""Rosters, the files that belong to their students, and what people read of the results."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from assignments.grading import marks, phrases, report, roster
from assignments.grading.results import Result, safe_name, status
from assignments.grading.sandbox import Limits
from assignments.grading.submission import Assignment, Case

# Rosters and files.


@pytest.mark.parametrize(
    "data",
    [
        b"student,name\n007,Zo\xc3\xab\n",
        b"\xef\xbb\xbfstudent,name\r\n007,Zo\xc3\xab\r\n",
        "student;name\n007;Zoë\n".encode("cp1252"),
        "student\tname\n007\tZoë\n".encode("utf-16"),
        b'Name,ID\n"Zo\xeb",007\n',
        b"student,name\n007\x00,\x1b[31mZo\xc3\xab\n\n  ,nobody\n",
    ],
)
def test_rosters_with_odd_bytes_are_read(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "roster.csv"
    path.write_bytes(data)
    read = roster.read_roster(path)
    assert list(read.rows) == ["007"]
    assert next(iter(read.rows["007"].values())).removeprefix("[31m") in ("007", "Zoë")


def test_student_twice_on_the_roster_gets_one_row_and_a_note(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("student\nada\nben\nada\n")
    read = roster.read_roster(tmp_path / "r.csv")
    assert list(read.rows) == ["ada", "ben"] and read.notes == ("ada stands twice in r.csv: the first line counts",)


@pytest.mark.parametrize(("text", "column"), [("", ""), ("student\n", ""), ("student\nada\n", "email")])
def test_roster_without_students_or_column_is_refused(tmp_path: Path, text: str, column: str) -> None:
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(ValueError, match="must"):
        roster.read_roster(tmp_path / "r.csv", column)


@pytest.mark.parametrize(
    ("name", "student"),
    [
        ("1234", "1234"),
        ("Doe_Jane_1234_hw1", "1234"),
        ("doejane_1234_56_hw1-2", "1234"),
        ("ADA@X.ORG", "ada@x.org"),
        ("hw1 (ada@x.org)", "ada@x.org"),
        ("jane_doe_late", "jane_doe"),
        ("12345", ""),
        ("1234_ada@x.org", ""),  # two students
        ("Jose\u0301", "José"),
    ],
)
def test_file_names_find_their_student(name: str, student: str) -> None:
    assert roster._match(name, ["1234", "ada@x.org", "jane_doe", "José"]) == student


def test_files_of_nobody_are_kept_apart(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("ada.ipynb", "stranger.ipynb", ".hidden.ipynb", "notes.txt"):
        (tmp_path / "in" / name).write_text("{}")
    os.symlink("/", tmp_path / "in" / "everything")
    (tmp_path / "r.csv").write_text("student\nada\nben\n")
    found, notes = roster.collect(tmp_path / "in", roster.read_roster(tmp_path / "r.csv"))
    assert [(s.student, s.note) for s in found] == [("ada", ""), ("ben", "missing"), ("stranger", "not on the roster")]
    assert notes == ["everything: no notebook", "notes.txt: no notebook"]


@pytest.mark.parametrize("student", ["../../etc/passwd", "a/b", ".", "..", "", "x" * 300, "nul\0", "李", "a b"])
def test_student_names_never_become_paths(student: str) -> None:
    name = safe_name(student)
    assert Path(name).name == name and name not in ("", ".", "..") and len(name) < 80


def test_different_students_have_different_files() -> None:
    students = ["a b", "a_b", "a/b", "A b", "a  b"]
    assert len({safe_name(s) for s in students}) == len(students)


# Tables and feedback.


def assignment() -> Assignment:
    questions = {"q1": {"points": 3, "manual": False}, "q2": {"points": 2, "manual": True}}
    return Assignment("hw0", questions, Limits(), {"q1": ""})


def test_table_defuses_formulas_and_keeps_the_rosters_columns(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("Student,ID,Section\n=cmd(),7,@x\n")
    known = roster.read_roster(tmp_path / "r.csv", "ID")
    result = Result(
        "7", "in/=7.ipynb", "+1", [Case("q1", 0, 2.5, True, True), Case("q1", 1, 0.5, False, False)], {}, 1.25
    )
    (row,) = report.table([result], assignment(), known, {"7": marks.marks_of(result, assignment(), {})})
    assert row == {
        "Student": "'=cmd()", "ID": "7", "Section": "'@x", "student": "7", "q1": "2.5", "q2": "", "total": "2.5",
        "max": "3", "status": "'+1", "seconds": "1.25", "file": "'=7.ipynb",
    }  # fmt: skip


def test_feedback_hides_hidden_messages_and_control_characters() -> None:
    cases = [
        Case("q1", 0, 1, False, False, "got \x1b[2J\nwords " + "x" * 999),
        Case("q1", 1, 2, True, False, "the hidden value is 17"),
    ]
    text = report.feedback(Result("ada", "f", "ok", cases), assignment())
    assert "17" not in text and "\x1b" not in text and "words" in text
    assert "hidden checks: 0 of 2" in text and max(map(len, text.splitlines())) < 220


@pytest.mark.parametrize(
    ("function", "given", "words"),
    [
        ("test_q5_unequal_decays", "", "unequal decays"),
        ("test_q10_hidden", "", "number 2"),
        ("test_q5_x", "decays that differ", "decays that differ"),
    ],
)
def test_each_hidden_check_has_a_label(function: str, given: str, words: str) -> None:
    assert phrases.label(function, given, 2) == words


def test_no_text_of_a_student_stays_in_a_message() -> None:
    said = phrases.texts({"a": ["38 of 38\n", ("é" * 4,)], "key of theirs": 1})
    message = f"got {['38 of 38' + chr(10)]} and {'é' * 4} and {'é' * 4!a} for 'key of theirs'"
    assert phrases.without(message, said) == "got ['[your text]'] and [your text] and '[your text]' for '[your text]'"


def test_status_names_what_happened_and_stays_short() -> None:
    errors = {str(i): "NameError" for i in range(9)}
    cases = [Case("q1", 0, 1, False, False, "", "the process ended")] * 2
    assert status("", [], {}) == "ok"
    assert status("late", cases, errors).endswith("cell 5: NameError; and 4 more cells; q1: the process ended")


def test_results_are_stored_whole_and_come_back(tmp_path: Path) -> None:
    result = Result("a/b", "f", "ok", [Case("q1", 0, 1, False, True)], {"3": "NameError"}, 2.0, "x")
    result.write(tmp_path)
    (path,) = tmp_path.iterdir()
    assert Result.read(path) == result


def test_visible_checks_without_points_show_none() -> None:
    assignment = Assignment("hw0", {"q1": {"points": 2, "manual": False}}, Limits(), {"q1": ""})
    wrong = Case("q1", 0, 0.0, False, False, message="AssertionError: expected 4, got 3")
    right = Case("q1", 1, 0.0, False, True)
    hidden = Case("q1", 2, 2.0, True, True, label="random numbers")
    lines = report.feedback(Result("ada", cases=[wrong, right, hidden]), assignment).splitlines()
    assert lines[4:] == [
        "q1  2 of 2",
        "    check 1: not passed",
        "        | AssertionError: expected 4, got 3",
        "    check 2: passed",
        "    hidden checks: 2 of 2",
        "        random numbers: passed (2 of 2)",
    ]
