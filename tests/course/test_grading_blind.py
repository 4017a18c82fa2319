"""Marking by hand without names: what is shown, under which ids, and that the marks find their way back."""

from __future__ import annotations

import base64
import csv
import json
import sys
from pathlib import Path

import pytest

from assignments.grading import __main__ as command_line
from assignments.grading import blind, marks
from assignments.grading.roster import Submission
from assignments.grading.sandbox import Limits
from assignments.grading.submission import Assignment

SECRET = "a secret of sixteen characters"
ASKED = "<!-- BEGIN QUESTION -->\n\n## Question 2. In words\n\nSay why."
LAST = "<!-- END QUESTION -->\n\n**I worked with:** (names, or nobody)"
PICTURE = base64.b64encode(blind.PNG + b"the rest of a picture").decode()


def cell(text: str, kind: str = "markdown", **more: object) -> dict[str, object]:
    return {"cell_type": kind, "source": text.splitlines(keepends=True), "metadata": {}, **more}


def notebook(*answer: dict[str, object], asked: str = ASKED) -> bytes:
    return json.dumps({"cells": [cell("# Title"), cell(asked), *answer, cell(LAST)], "nbformat": 4}).encode()


@pytest.fixture
def assignment(tmp_path: Path) -> Assignment:
    for name in ("autograder/tests", "student"):
        (tmp_path / "released" / "hw0" / name).mkdir(parents=True)
    folder = tmp_path / "released" / "hw0"
    (folder / "student" / "hw0.ipynb").write_bytes(notebook(cell(blind.PROMPT)))
    (folder / "autograder" / "tests" / "q1.py").write_text("")
    questions = {"q1": {"points": 4, "manual": False}, "q2": {"points": 2, "manual": True}}
    table = {"assignment": "hw0", "questions": questions, "limits": {}}
    (folder / "autograder" / "grading.json").write_text(json.dumps(table))
    return Assignment("hw0", questions, Limits(), {"q1": ""}, folder / "autograder")


@pytest.fixture
def handed_in(tmp_path: Path) -> list[Submission]:
    notebooks = {
        "ada": notebook(cell("Because <b>it</b> & <script>alert(1)</script> holds.")),
        "ben": notebook(cell(blind.PROMPT)),
        "cyd": notebook(cell("see"), cell("plot()", "code", outputs=[{"data": {"image/png": PICTURE}}])),
        "dee": json.dumps({"cells": [cell("all rearranged")]}).encode(),
        "eve": b"no notebook at all",
    }
    (tmp_path / "in").mkdir()
    for name, data in notebooks.items():
        (tmp_path / "in" / f"{name}.ipynb").write_bytes(data)
    found = [Submission(name, tmp_path / "in" / f"{name}.ipynb") for name in notebooks]
    return [*found, Submission("fay", None)]


def test_ids_tell_nothing_without_the_secret_and_differ_between_assignments() -> None:
    seen = {blind.anonymous_id("ada", name, secret) for name in ("hw1", "hw2") for secret in (SECRET, SECRET + "x")}
    assert len(seen) == 4 and all(len(name) == 8 and name.isalnum() for name in seen)
    assert blind.anonymous_id("ada", "hw1", SECRET) == blind.anonymous_id("ada", "hw1", SECRET)


def test_ids_that_meet_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blind, "anonymous_id", lambda *_: "same")
    with pytest.raises(ValueError, match="share the id same"):
        blind.ids(["ada", "ben"], "hw0", SECRET)


def test_pages_show_every_answer_under_an_id_and_no_name(
    assignment: Assignment, handed_in: list[Submission], tmp_path: Path
) -> None:
    assert blind.write(handed_in, assignment, tmp_path / "marking", SECRET) == (5, 2)
    text = (tmp_path / "marking" / "q2.html").read_text()
    sections = {part[:8]: part for part in text.split('<section id="')[1:]}
    of = {s.student: sections.get(blind.anonymous_id(s.student, "hw0", SECRET)) for s in handed_in}
    assert list(sections) == sorted(sections) and len(sections) == 5 and of["fay"] is None
    assert not any(s.student in text for s in handed_in) and "<script" not in text
    assert "Because &lt;b&gt;it&lt;/b&gt; &amp; &lt;script&gt;" in str(of["ada"])
    assert "No answer." in str(of["ben"]) and blind.PROMPT not in text
    assert f'src="data:image/png;base64,{PICTURE}"' in str(of["cyd"]) and "plot()" in str(of["cyd"])
    assert "Not found" in str(of["dee"]) and "Not found" in str(of["eve"])
    assert "Say why." in text.split("<section")[0] and "Say why." not in str(of["ada"])


@pytest.mark.parametrize("data", ["AAAA", base64.b64encode(b"<svg onload=x>").decode(), "not base64 \\", 7, ["x", 7]])
def test_what_is_no_picture_is_not_shown(data: object) -> None:
    assert list(blind._pictures({"outputs": [{"data": {"image/png": data}}, 7], "attachments": 3})) == []


def test_marks_by_id_reach_their_students_and_stay_when_the_pages_are_written_again(
    assignment: Assignment, handed_in: list[Submission], tmp_path: Path
) -> None:
    out = tmp_path / "marking"
    blind.write(handed_in[1:], assignment, out, SECRET)  # ada is late
    with open(out / "marks.csv", newline="") as file:
        rows = {row["anonymous"]: row for row in csv.DictReader(file)}
    rows[blind.anonymous_id("ben", "hw0", SECRET)]["q2"] = "1.5"
    with open(out / "marks.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["anonymous", "q2"])
        writer.writeheader()
        writer.writerows(rows.values())
    blind.write(handed_in, assignment, out, SECRET)
    assert blind.anonymous_id("ada", "hw0", SECRET) in (out / "marks.csv").read_text()
    found = marks.read_hand(out / "marks.csv", assignment, "SIS User ID")
    assert blind.with_names(found, [s.student for s in handed_in], "hw0", SECRET) == {"ben": {"q2": 1.5}}
    with pytest.raises(ValueError, match="another secret"):
        blind.with_names(found, ["ada", "ben"], "hw0", SECRET + "!")


def test_a_table_with_other_columns_is_not_overwritten(
    assignment: Assignment, handed_in: list[Submission], tmp_path: Path
) -> None:
    (tmp_path / "marking").mkdir()
    (tmp_path / "marking" / "marks.csv").write_text("anonymous,q9\nx,1\n")
    with pytest.raises(ValueError, match="must have the columns anonymous, q2"):
        blind.write(handed_in, assignment, tmp_path / "marking", SECRET)
    assert (tmp_path / "marking" / "marks.csv").read_text() == "anonymous,q9\nx,1\n"


def test_the_command_writes_the_pages(
    assignment: Assignment, handed_in: list[Submission], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("COURSE_SECRET", SECRET)
    where = ["--released", str(tmp_path / "released"), "marking", "--assignment", "hw0"]
    what = ["--submissions", str(tmp_path / "in"), "--out", str(tmp_path / "marking")]
    monkeypatch.setattr(sys, "argv", ["grading", *where, *what])
    command_line.main()
    assert "5 answers to mark" in capsys.readouterr().out and (tmp_path / "marking" / "q2.html").exists()


def test_sample_answers_are_shown_to_the_marker_and_without_otters_marks(
    assignment: Assignment, handed_in: list[Submission], tmp_path: Path
) -> None:
    figure = cell("# BEGIN SOLUTION\nplot(7)\n# END SOLUTION", "code")
    text = notebook(figure, cell("A whole answer."), cell("**A second answer, 1 of 2 points.** Half of one."))
    (assignment.folder / "hw0.ipynb").write_bytes(text)
    blind.write(handed_in, assignment, tmp_path / "marking", SECRET)
    page = (tmp_path / "marking" / "q2.html").read_text()
    before, _, after = page.partition("<section")
    assert "<summary>Sample answers</summary>" in before and "SOLUTION" not in page
    for shown in ("plot(7)", "A whole answer.", "1 of 2 points"):
        assert shown in before and shown not in after


def test_without_a_solution_there_are_no_samples(
    assignment: Assignment, handed_in: list[Submission], tmp_path: Path
) -> None:
    blind.write(handed_in, assignment, tmp_path / "marking", SECRET)
    assert "Sample answers" not in (tmp_path / "marking" / "q2.html").read_text()
