"""Question parameters: decided by the course's secret, the same in tasks, solutions, checks and wrong answers."""

from __future__ import annotations

import random
from pathlib import Path

import nbformat
import pytest

from assignments.parameters import drawn, named
from assignments.release import ReleaseError, masters, parameters, prepare, seed
from tests.course.test_mutants import SOUND, living
from tests.course.test_release import DRAFT, SECRET, write_master

VARIED = DRAFT.replace("double(x)", "double(x)` for COURSE_TIMES `").replace("2 * x", "COURSE_TIMES * x")
DRAW = "def draw(rng):\n    return {'TIMES': rng.randrange(10**6, 10**7)}\n"


def master_with(folder: Path, draw: str, text: str = VARIED) -> Path:
    master = write_master(folder, text)
    (master.parent / "parameters.py").write_text(draw)
    return master


def test_one_value_stands_everywhere_and_depends_on_the_secret(tmp_path: Path) -> None:
    master = master_with(tmp_path, DRAW)
    found = {secret: parameters(master, secret)["TIMES"] for secret in (SECRET, SECRET + "!")}
    assert len(set(found.values())) == 2
    for secret, times in found.items():
        cells = [cell.source for cell in prepare(master, secret, "").cells]
        assert sum(str(times) in source for source in cells) == 2 and not any("COURSE_" in source for source in cells)
        assert any(str(seed(secret, "hw0", "q1")) in source for source in cells)


def test_another_assignment_draws_other_values(tmp_path: Path) -> None:
    (tmp_path / "parameters.py").write_text(DRAW)
    assert drawn(tmp_path, seed(SECRET, "hw1", "parameters")) != drawn(tmp_path, seed(SECRET, "hw2", "parameters"))


@pytest.mark.parametrize(
    ("draw", "match"),
    [
        ("def draw(rng): return {}", "COURSE_TIMES has no value"),
        ("def draw(rng): return {'TIMES': 2, 'OTHER': 3}", "drawn and not named by the master: OTHER"),
        ("def draw(rng): return {'times': 2}", "must be in capitals and not SEED, got 'times'"),
        ("def draw(rng): return {'TIMES': 2, 'SEED': 3}", "must be in capitals and not SEED, got 'SEED'"),
        ("def draw(rng): return {'TIMES': None}", "TIMES must be a number, a text or a list, got NoneType"),
    ],
)
def test_values_and_names_must_match(tmp_path: Path, draw: str, match: str) -> None:
    with pytest.raises(ReleaseError, match=match):
        prepare(master_with(tmp_path, draw), SECRET, "")


def test_a_seed_in_a_task_is_refused(tmp_path: Path) -> None:
    text = DRAFT.replace("# Why?", "# Why COURSE_SEED?")
    with pytest.raises(ReleaseError, match="COURSE_SEED has no value"):
        prepare(write_master(tmp_path, text), SECRET, "")


def test_wrong_answers_meet_the_same_values(tmp_path: Path) -> None:
    beside = 'WRONG = {"wrong for all": ("q1", "def halves(x, t=1, seed=0): return x * COURSE_N, x", 2)}\n'
    assert living(tmp_path / "a", SOUND, beside.replace("COURSE_N", "3")) == set()
    with pytest.raises(ValueError, match="COURSE_N has no value"):
        living(tmp_path / "b", SOUND, beside)


def test_every_parameter_of_an_assignment_varies_and_every_task_is_filled() -> None:
    varied = {name: path for name, path in masters().items() if (path.parent / "parameters.py").exists()}
    assert len(varied) >= 7
    for path in varied.values():
        draws = [drawn(path.parent, random.Random(i).randrange(2**31)) for i in range(12)]
        assert {name for name in draws[0] if len({str(d[name]) for d in draws}) == 1} == set()
        asked = " ".join(c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown")
        # What students are asked varies, and not the checks alone; in the newest assignments, nearly every question.
        assert len(named(asked)) >= (5 if path.stem in ("hw7", "hw8") else 1)
        assert not named(" ".join(cell.source for cell in prepare(path, SECRET, "").cells))
