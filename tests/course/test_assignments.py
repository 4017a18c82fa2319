"""Every assignment: full marks for the reference, none untouched, and typical wrong answers lose what they should."""

import importlib

import pytest

from assignments.grading.trial import Trial

# One process for each assignment (the course's stage distributes by group): it is released and graded once.
HOMEWORK = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ("hw2", "hw3", "hw4", "hw5")]
pytestmark = pytest.mark.parametrize("name", HOMEWORK, scope="module")


@pytest.fixture(scope="module")
def trial(name, tmp_path_factory):
    return Trial.of(name, tmp_path_factory.mktemp(name))


def test_reference_earns_every_mark(trial):
    assert trial.reference.lost == {}
    assert trial.reference.total == 38  # two of the forty points are given by hand


def test_untouched_earns_nothing(trial):
    assert trial.untouched.total == 0 and not trial.untouched.errors


def test_each_wrong_answer_loses_its_marks(trial, name):
    wrong = importlib.import_module(f"tests.course.wrong_answers.{name}").WRONG
    lost, expected = trial.grade_packed(wrong)
    assert lost == expected
