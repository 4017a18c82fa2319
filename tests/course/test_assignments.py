"""Every assignment: full marks for the reference, none untouched, nothing hidden in the student's folder.

That a release exists says more: no wrong answer of `assignments.mutants` earned a mark.
"""

import re

import nbformat
import pytest

from assignments.grading.trial import SECRET, Trial
from assignments.mutants import tables
from assignments.release import masters, questions, seed

# One process for each assignment (conftest.py sees to that): it is released and graded once.
HOMEWORK = list(masters())
pytestmark = pytest.mark.parametrize("name", HOMEWORK, scope="module")


@pytest.fixture(scope="module")
def trial(name, tmp_path_factory):
    return Trial.of(name, tmp_path_factory.mktemp(name))


def test_reference_earns_every_mark(trial):
    assert (trial.reference.lost, trial.reference.status) == ({}, "ok")
    assert trial.reference.total == 38  # seven of the forty-five points are given by hand


def test_untouched_earns_nothing_and_raises_nothing(trial):
    assert (trial.untouched.total, trial.untouched.errors, trial.untouched.status) == (0, {}, "ok")


def test_points_are_for_hidden_checks_that_draw(trial, name):
    notebook = nbformat.read(masters()[name], as_version=4)
    points = questions(notebook)
    assert sum(q["points"] for q in points.values()) == 45
    assert [q["points"] for q in points.values() if q["manual"]] == [7]
    assert not [q for q, text in trial.assignment.tests.items() if re.search(r"points=[1-9]\d*, hidden=False", text)]
    drawing = [q for q in trial.assignment.tests if str(seed(SECRET, name, q)) in trial.assignment.tests[q]]
    assert len(drawing) >= 8


def test_student_folder_holds_no_hidden_check_and_no_seed(trial, name):
    text = "\n".join(p.read_text() for p in (trial.released / "student").rglob("*") if p.suffix in (".py", ".ipynb"))
    hidden = [n for t in trial.assignment.tests.values() for n in re.findall(r"hidden=True[^)]*\)\ndef (\w+)", t)]
    assert len(hidden) >= 10
    assert len(hidden) == sum(t.count("@test_case(name=") for t in trial.assignment.tests.values())  # each has a label
    assert not [n for n in hidden if re.search(rf"\b{n}\b", text)] and "COURSE_SEED" not in text
    assert not [q for q in trial.assignment.questions if str(seed(SECRET, name, q)) in text]


def test_wrong_answers_stand_beside_the_master(trial, name):
    wrong, reasons = tables(masters()[name].parent)
    automatic = {q for q, about in trial.assignment.questions.items() if not about["manual"]}
    assert {question for question, _, _ in wrong.values()} == automatic
    assert all(question in automatic and len(reason) > 20 for (question, _), reason in reasons.items())
