"""The mutation suite: weak checks are found, sound ones let nothing live, and what must live says why."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
import torch

from assignments.grading.submission import Assignment
from assignments.mutants import Suite, same
from assignments.mutations import mutations
from tests.course.test_grading_cases import HEAD

SOLUTION = """
import math
import torch

def halves(x, times=1, seed=0):
    return x / 2**times, x - x / 2**times

answer = 7
"""
SOUND = """
@test_case(points=0, hidden=False)
def test_example(halves):
    assert float(halves(torch.ones(3, dtype=torch.float64) * 2, 1, 0)[0][0]) == 1, "half of 2 is 1"

@test_case(points=2, hidden=True)
def test_random(halves):
    import torch
    x = torch.randn(4, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    for times in (1, 3):
        part, rest = halves(x, times, 0)
        assert part.shape == rest.shape == x.shape
        assert torch.equal(part, x / 2**times) and torch.equal(rest, x - x / 2**times)
""".replace("def test_example(halves):", "def test_example(halves):\n    import torch")


def suite(folder: Path, test: str, beside: str = "") -> Suite:
    """Write a release of one question with this test, and what stands beside its master."""
    tests = folder / "autograder" / "tests"
    tests.mkdir(parents=True)
    (tests / "q1.py").write_text(HEAD.format(name="q1", points=2.5) + test)
    about = {"assignment": "hw0", "questions": {"q1": {"points": 2, "manual": False}}, "limits": {}}
    (tests.parent / "grading.json").write_text(json.dumps(about))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SOLUTION)])
    nbformat.write(notebook, tests.parent / "hw0.ipynb")
    if beside:
        (folder / "wrong.py").write_text(beside)
    return Suite(folder, folder)


def living(folder: Path, test: str, beside: str = "") -> set[str]:
    return {s.mutant for s in suite(folder, test, beside).run()}


def test_sound_check_lets_nothing_live(tmp_path: Path) -> None:
    assert living(tmp_path, SOUND) == set()


@pytest.mark.parametrize(
    ("strong", "weak", "lives"),
    [
        (
            "assert torch.equal(part, x / 2**times) and torch.equal(rest, x - x / 2**times)",
            "pass",
            "noise of the right form",
        ),
        ("assert part.shape == rest.shape == x.shape\n", "pass\n", "two copies of it"),
        (
            "part, rest = halves(x, times, 0)",
            "part, rest = x / 2**times, x - x / 2**times; halves(x)",
            "always 0",
        ),
        ("for times in (1, 3)", "for times in (1,)", "halves does not look at times"),
        ("points=0, hidden=False", "points=0.5, hidden=False", "the visible examples, written down"),
    ],
)
def test_weak_check_is_found(tmp_path: Path, strong: str, weak: str, lives: str) -> None:
    test = SOUND.replace(strong, weak)
    if "two copies" in lives:
        test = test.replace("torch.equal", "torch.allclose")
    assert test != SOUND and lives in living(tmp_path, test)


def test_complex_numbers_and_empties_pass_a_check_of_sizes(tmp_path: Path) -> None:
    body = "@test_case(points=2, hidden=True)\ndef test_size(halves):\n    import torch\n    {}\n"
    small = "assert float(halves(torch.ones(2), 1, 0)[0].square().sum().real) < 1"
    assert "times a thousand i" in living(tmp_path / "a", body.format(small))
    every = "for part in halves(torch.ones(2), 1, 0):\n        assert torch.equal(part, torch.ones(2) / 2)"
    assert {"always ()", "nothing inside", "the first part only"} <= living(tmp_path / "b", body.format(every))


def test_constant_that_is_right_is_no_mutant(tmp_path: Path) -> None:
    test = "@test_case(points=2, hidden=True)\ndef test_answer(answer):\n    assert answer == {}\n"
    assert living(tmp_path / "a", test.format("7")) == set()
    assert "always True" in living(
        tmp_path / "b", test.replace("answer ==", "answer is not None and answer !=").format("3")
    )


def test_wrong_answer_must_lose_exactly_its_marks(tmp_path: Path) -> None:
    beside = 'WRONG = {"swaps": ("q1", "old = halves\\ndef halves(*a): return old(*a)[::-1]", LOST)}\n'
    assert living(tmp_path / "a", SOUND, beside.replace("LOST", "2")) == set()
    assert living(tmp_path / "b", SOUND, beside.replace("LOST", "1")) == {"swaps"}


def test_reason_lets_a_mutant_live_and_must_be_needed(tmp_path: Path) -> None:
    weak = SOUND.replace("for times in (1, 3)", "for times in (1,)")
    beside = 'SURVIVES = {("q1", "halves does not look at times"): "the task asks for one half only"}\n'
    assert living(tmp_path / "a", weak, beside) == set()
    assert living(tmp_path / "b", SOUND, beside) == {"halves does not look at times"}


def test_mutants_leave_no_trace(tmp_path: Path) -> None:
    beside = 'WRONG = {"forgets": ("q1", "def halves(*a): return ()\\nleft_behind = 1", 2)}\n'
    tried = suite(tmp_path, SOUND, beside)
    before, state = dict(tried.names), torch.random.get_rng_state()
    assert tried.run() == []
    assert tried.names == before and torch.equal(torch.random.get_rng_state(), state)
    assert isinstance(tried.assignment, Assignment)


def test_every_mutation_changes_an_answer() -> None:
    value = (torch.tensor([[1.5, 2.5], [3.5, -4.0]], dtype=torch.float64), 0.25)
    unchanged = [name for name, change in mutations(2).items() if same(value, change(value, (1.0, 2.0)))]
    assert unchanged == []
