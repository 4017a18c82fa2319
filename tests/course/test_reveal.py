"""What students see after the deadline: every answer, every check's label, and nothing that a hidden test asks."""

from __future__ import annotations

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from assignments import reveal

TESTS = """from otter.test_files import test_case

@test_case(points=0, hidden=False)
def test_visible(double):
    assert double(2) == 4

@test_case(name='large numbers', points=2, hidden=True)
def test_hidden(double):
    draw = random.Random(848484848)
    assert double(10**9) == 2 * 10**9

@test_case(points=1, hidden=True)
def test_hidden_without_label(double):
    assert True
"""
WRONG = {"three times": ("q1", "def double(x): return 3 * x", 3), "of another": ("q2", "x = 1", 1)}


@pytest.fixture
def shown() -> nbformat.NotebookNode:
    cells = [
        new_code_cell("import random  # the set-up"),
        new_markdown_cell("## Question 1"),
        new_code_cell(
            "def double(x):\n    # BEGIN SOLUTION\n    return 2 * x\n    # END SOLUTION\nnine = 9 # SOLUTION"
        ),
        new_code_cell('grader.check("q1")'),
        new_markdown_cell("<!-- BEGIN QUESTION -->\n\n## Question 2. In words"),
        new_markdown_cell("_Type your answer here, replacing this text._"),
        new_code_cell("# BEGIN SOLUTION\nfigure = double(3)\n# END SOLUTION"),
        new_markdown_cell("Twice is twice."),
        new_markdown_cell("**A second answer, 1 of 2 points.** Twice. *Why 1.* It does not say of what."),
        new_markdown_cell("<!-- END QUESTION -->\n\n**I worked with:**"),
        new_markdown_cell("To double-check your work, the cell below will rerun all of the autograder tests."),
        new_code_cell("grader.check_all()"),
    ]
    return reveal.reveal(new_notebook(cells=cells), {"q1": TESTS}, WRONG)


def test_the_code_runs_and_is_the_solution(shown: nbformat.NotebookNode) -> None:
    names: dict[str, object] = {}
    exec("\n".join(cell.source for cell in shown.cells if cell.cell_type == "code"), names)
    assert names["double"](21) == 42 and names["nine"] == 9 and names["figure"] == 6  # type: ignore[operator]


def test_it_is_a_valid_notebook_without_otters_machinery(shown: nbformat.NotebookNode) -> None:
    nbformat.validate(shown)
    text = "\n".join(cell.source for cell in shown.cells)
    for word in ("SOLUTION", "grader", "Type your answer", "BEGIN QUESTION", "autograder"):
        assert word not in text


def test_checks_are_named_with_their_points_and_the_wrong_answers_they_catch(shown: nbformat.NotebookNode) -> None:
    (text,) = [cell.source for cell in shown.cells if "What was checked" in cell.source]
    assert "- large numbers (2)" in text and "- test_hidden_without_label (1)" in text
    assert "- three times (−3)" in text and "of another" not in text and "test_visible" not in text
    assert "848484848" not in text and "10**9" not in text


def test_the_written_answer_is_said_to_be_one(shown: nbformat.NotebookNode) -> None:
    said = [cell.source for cell in shown.cells if "earns all points" in cell.source]
    assert said == ["**An answer that earns all points:**\n\nTwice is twice."]
    assert [cell.source[-8:] for cell in shown.cells if "A second answer" in cell.source] == ["of what."]


def test_it_is_not_written_among_what_students_are_given(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "hw0" / "autograder"
    folder.mkdir(parents=True)
    nbformat.write(new_notebook(), folder / "hw0.ipynb")
    student = tmp_path / "hw0" / "student" / "hw0.ipynb"
    monkeypatch.setattr("sys.argv", ["reveal", "hw0", "--released", str(tmp_path), "--out", str(student)])
    with pytest.raises(SystemExit, match="what students are given"):
        reveal.main()
    assert not student.exists()
    monkeypatch.setattr("sys.argv", ["reveal", "hw0", "--released", str(tmp_path)])
    reveal.main()
    assert (tmp_path / "hw0" / "hw0-reveal.ipynb").exists()
