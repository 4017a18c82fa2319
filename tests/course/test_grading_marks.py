"""What counts: marks by hand, late work, one question graded again, and the page about the class."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from assignments.grading import __main__ as command_line
from assignments.grading import items, marks, report
from assignments.grading.batch import grade_all
from assignments.grading.isolation import best_isolation
from assignments.grading.platforms import PLATFORMS
from assignments.grading.results import Result
from assignments.grading.roster import Roster, Submission, collect
from assignments.grading.sandbox import Limits
from assignments.grading.submission import Assignment, Case
from tests.course.test_grading_cases import HONEST, notebook, write_assignment

DUE = datetime(2026, 11, 20, 23, 59)
QUESTIONS = {
    "q1": {"points": 4, "manual": False},
    "q2": {"points": 6, "manual": False},
    "q3": {"points": 2, "manual": True},
}
TINY = Assignment("hw0", QUESTIONS, Limits(), {"q1": "", "q2": ""})


def result(student: str, *passed: bool) -> Result:
    """A result of four checks: two of q1 (2 points each), two of q2 (3 points each)."""
    where = [("q1", 0, 2, False), ("q1", 1, 2, True), ("q2", 0, 3, False), ("q2", 1, 3, True)]
    return Result(student, f"{student}.ipynb", cases=[Case(*place, p, label="x") for place, p in zip(where, passed)])


@pytest.mark.parametrize(
    ("when", "days", "loss"),
    [
        ("2026-11-20T23:00", 0, 0),
        ("2026-11-21T00:14", 0, 0),  # in the grace period
        ("2026-11-21T00:15", 1, 10),
        ("2026-11-22T00:14", 1, 10),
        ("2026-11-22T00:15", 2, 20),
        ("2026-12-24T00:00", 33, 50),  # the cap
    ],
)
def test_late_work_loses_by_the_day_begun(when: str, days: int, loss: float) -> None:
    policy = marks.LatePolicy(DUE, grace=15, per_day=10, cap=50)
    found = marks.marks_of(result("ada", True, True, True, True), TINY, {}, policy, datetime.fromisoformat(when))
    assert (found.days, found.loss, found.total) == (days, loss, pytest.approx(10 * (1 - loss / 100)))
    assert bool(found.note) == bool(days)


@pytest.mark.parametrize("wrong", [{"grace": -1}, {"per_day": 101}, {"cap": -0.5}])
def test_policy_out_of_range_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must lie between 0 and"):
        marks.LatePolicy(DUE, **wrong)


def test_platforms_flag_without_a_time_costs_nothing_but_is_said() -> None:
    policy = marks.LatePolicy(DUE)
    found = marks.marks_of(result("ada", True, True, True, True), TINY, {}, policy, None, late=True)
    assert (found.days, found.total, found.note) == (None, 10, "late, nobody knows by how much")


def test_each_source_of_the_time(tmp_path: Path) -> None:
    path = tmp_path / "ada.ipynb"
    path.write_text("{}")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    ada = Submission("ada", path)
    plain, canvas, moodle = (PLATFORMS[name] for name in ("plain", "canvas", "moodle"))
    assert marks.submitted(ada, None, plain, {}) == datetime.fromtimestamp(1_700_000_000)
    assert marks.submitted(ada, None, canvas, {}) is None
    assert marks.submitted(ada, None, canvas, {"ada": DUE}) == DUE
    table = Roster((), {"ada": {"Last modified (submission)": "Friday, 20 November 2026, 11:59 PM"}})
    assert marks.submitted(ada, table, moodle, {}) == DUE
    assert marks.submitted(ada, Roster((), {"ada": {"Last modified (submission)": "-"}}), moodle, {}) is None


def test_marks_by_hand_are_merged(tmp_path: Path) -> None:
    (tmp_path / "hand.csv").write_text("student,q3\nada,1.5\nben,\n")
    hand = marks.read_hand(tmp_path / "hand.csv", TINY)
    results = [result("ada", True, True, True, False), result("ben", True, False, False, False)]
    counted = {r.student: marks.marks_of(r, TINY, hand) for r in results}
    ada, ben = report.table(results, TINY, None, counted)
    assert [ada[c] for c in ("q1", "q2", "q3", "total", "max", "status")] == ["4", "3", "1.5", "8.5", "12", "ok"]
    assert [ben[c] for c in ("q3", "total", "status")] == ["", "2", "not yet marked by hand: q3"]
    text = report.feedback(results[0], TINY, counted["ada"])
    assert "q3  graded by hand, 1.5 of 2 points" in text and "8.5 points in all" in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("student,q3\nada,3\n", "q3 of ada must be from 0 to 2, got '3'"),
        ("student,q3\nada,good\n", "got 'good'"),
        ("student,q3\nada,nan\n", "got 'nan'"),
        ("student,q1,q3\nada,1,1\n", "graded by hand only, got q1"),
        ("student,name\nada,Ada\n", "must have a column of q3"),
    ],
)
def test_wrong_marks_by_hand_are_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "hand.csv").write_text(text)
    with pytest.raises(ValueError, match=words):
        marks.read_hand(tmp_path / "hand.csv", TINY)


def test_times_in_another_format_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("student,submitted\nada,2026-11-20T23:59\n")
    assert marks.read_times(tmp_path / "t.csv") == {"ada": DUE}
    (tmp_path / "t.csv").write_text("student,submitted\nada,yesterday\n")
    with pytest.raises(ValueError, match="must have columns student and submitted"):
        marks.read_times(tmp_path / "t.csv")


# The page about the class.


def test_difficulty_and_discrimination_are_what_they_are_defined_to_be() -> None:
    drawn = np.random.default_rng(0).random((40, 4)) < [0.9, 0.5, 0.6, 0.3]
    results = [result(f"s{i}", *map(bool, row)) for i, row in enumerate(drawn)]
    totals, (first, second) = items.analyse(results, TINY)
    q1, q2 = drawn[:, :2] @ [2, 2], drawn[:, 2:] @ [3, 3]
    assert np.array_equal(totals, q1 + q2)
    assert (first.difficulty, second.difficulty) == (pytest.approx(q1.mean() / 4), pytest.approx(q2.mean() / 6))
    assert first.discrimination == pytest.approx(np.corrcoef(q1, q2)[0, 1])
    assert (first.full, second.nothing) == (pytest.approx((q1 == 4).mean()), pytest.approx((q2 == 0).mean()))
    assert first.checks == {
        "visible: x": pytest.approx(drawn[:, 0].mean()),
        "hidden: x": pytest.approx(drawn[:, 1].mean()),
    }


def test_question_that_all_can_do_tells_nobody_apart_and_has_no_correlation() -> None:
    _, (first, _) = items.analyse([result("a", True, True, True, False), result("b", True, True, False, False)], TINY)
    assert np.isnan(first.discrimination) and items.remark(first) == "told nobody apart"


def test_page_needs_nothing_else_and_names_no_student() -> None:
    results = [result("<script>", True, True, True, True), result("ben", False, True, False, False)]
    text = items.page([*results, Result("zed", status="missing")], TINY)
    assert "2 submissions graded; automatic marks of 10: mean 6.0, median 6.0" in text
    assert "<script" not in text and "http" not in text and "ben" not in text
    with pytest.raises(ValueError, match="at least one graded submission"):
        items.page([Result("zed")], TINY)


# Grading one question again.


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or best_isolation() is None, reason="student code cannot be isolated here"
)
def test_question_whose_test_was_mended_is_graded_again_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = write_assignment(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "ada.ipynb").write_bytes(notebook([*HONEST[:-1], "answer = 8"]))
    known = best_isolation()
    assert known is not None
    submissions, _ = collect(tmp_path / "in", None)
    state = tmp_path / "out" / "results"

    def run(*regrade: str) -> tuple[Result, list[str]]:
        """Grade; return the result and the tests that were run for it."""
        ran: list[str] = []
        from assignments.grading import batch

        hear = batch.Job.hear

        def listen(job: batch.Job) -> bool:
            before = set(job.done)
            settled = hear(job)
            ran.extend(sorted(set(job.done) - before))
            return settled

        monkeypatch.setattr(batch.Job, "hear", listen)
        (found,) = grade_all(submissions, Assignment.read(released), known, state, 1, frozenset(regrade))
        monkeypatch.setattr(batch.Job, "hear", hear)
        return found, ran

    first, ran = run()
    assert first.points("q3") == 0 and sorted(ran) == ["q1/0", "q1/1", "q2/0", "q2/1", "q3/0"]
    again, ran = run()
    assert (again.cases, again.kept, ran) == (first.cases, True, [])
    test = released / "tests" / "q3.py"
    test.write_text(test.read_text().replace("answer == 7", "answer == 8"))
    second, ran = run()
    assert (second.points("q1"), second.points("q3"), ran) == (3, 1, ["q3/0"])
    assert run("q2")[1] == ["q2/0", "q2/1"]


def test_regrade_of_no_question_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_assignment(tmp_path)
    (tmp_path / "in").mkdir()
    paths = ["--submissions", str(tmp_path / "in"), "--out", str(tmp_path / "out.csv")]
    arguments = ["grading", "--released", str(tmp_path), "grade", "--assignment", "tiny", *paths, "--regrade", "q9"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit, match="--regrade must name automatic questions, got q9"):
        command_line.main()
