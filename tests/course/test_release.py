"""The release: solutions tested, seeds drawn from the secret, nothing in the student's folder that does not belong."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import nbformat
import pytest

from assignments import author, leaks
from assignments.release import ReleaseError, WrongAnswersPass, masters, read_secret, release, seed, try_mutants

DRAFT = '''# %% [config] hw0

# %% [markdown]
# # A tiny assignment
#
# (colab)

# %% [setup]

# %% [raw]
# # BEGIN QUESTION
# name: q1
# points: 3

# %% [markdown]
# Write `double(x)`.

# %% [raw]
# # BEGIN SOLUTION

# %%
def double(x):
    # BEGIN SOLUTION
    twice_the_argument = 2 * x
    return twice_the_argument
    # END SOLUTION

# %%
number_of_the_beast = 666  # SOLUTION

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 0
""" # END TEST CONFIG
def test_q1_visible(double):
    assert double(2) == 4, f"double(2) must be 4, got {double(2)}"

# %%
""" # BEGIN TEST CONFIG
name: a number drawn at random
points: 3
hidden: true
""" # END TEST CONFIG
def test_q1_concealed(double):
    import random

    drawn = random.Random(COURSE_SEED).random()
    assert double(drawn) == 2 * drawn

# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q2
# manual: true
# points: 2

# %% [markdown]
# Why?

# %% [raw]
# # BEGIN SOLUTION

# %% [markdown]
# Because two halves make a whole.

# %% [raw]
# # END SOLUTION

# %% [raw]
# # END QUESTION
'''
SECRET = "sixteen or more characters"


def write_master(folder: Path, text: str = DRAFT) -> Path:
    master = folder / "hw0-tiny" / "hw0.ipynb"
    master.parent.mkdir(parents=True)
    nbformat.write(author.convert(text), master)
    return master


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    address = "https://github.com/owner/course"
    return release(write_master(folder), secret=SECRET, address=address, out=folder / "hw0")


def all_text(folder: Path) -> str:
    return "\n".join(p.read_text() for p in folder.rglob("*") if p.is_file())


def test_student_folder_holds_no_solution_and_no_hidden_test(released: Path) -> None:
    text = all_text(released / "student")
    for secret in (
        "twice_the_argument",
        "666",
        "concealed",
        "two halves",
        str(seed(SECRET, "hw0", "q1")),
        "drawn at random",
        "COURSE_SEED",
    ):
        assert secret not in text
    assert "test_q1_visible" in text and "number_of_the_beast = ..." in text


def test_autograder_folder_holds_both_with_the_seed_filled_in(released: Path) -> None:
    text = all_text(released / "autograder")
    for part in ("twice_the_argument", "test_q1_concealed", f"Random({seed(SECRET, 'hw0', 'q1')})"):
        assert part in text
    assert "@test_case(name='a number drawn at random', points=3, hidden=True)\ndef test_q1_concealed" in text
    about = json.loads((released / "autograder" / "grading.json").read_text())
    assert about["questions"] == {"q1": {"points": 3, "manual": False}, "q2": {"points": 2, "manual": True}}


def test_zips_hold_what_their_readers_need(released: Path) -> None:
    assert sorted(zipfile.ZipFile(released / "hw0-student.zip").namelist()) == ["hw0.ipynb", "tests/q1.py"]
    inside = zipfile.ZipFile(released / "hw0-gradescope.zip")
    assert {"run_autograder", "setup.sh", "environment.yml", "tests/q1.py"} <= set(inside.namelist())
    assert b"test_q1_concealed" in inside.read("tests/q1.py")
    assert b"torch" in inside.read("environment.yml")


def test_addresses_reach_the_student_notebook(released: Path) -> None:
    text = (released / "student" / "hw0.ipynb").read_text()
    assert "colab.research.google.com/github/owner/course/blob/main/hw0/hw0.ipynb" in text
    assert "https://github.com/owner/course/raw/main/hw0-student.zip" in text


def test_only_the_master_and_the_seeds_are_not_left_behind(released: Path) -> None:
    assert sorted(p.name for p in released.iterdir()) == [
        "autograder", "hw0-gradescope.zip", "hw0-student.zip", "stamp", "student",
    ]  # fmt: skip


def test_masters_may_lie_in_a_private_folder(tmp_path: Path) -> None:
    master = write_master(tmp_path)
    assert masters(tmp_path) == {"hw0": master} and "hw0" not in masters()


def test_unchanged_master_is_not_released_again(released: Path, tmp_path: Path) -> None:
    before = (released / "stamp").stat().st_mtime_ns
    master = write_master(tmp_path)
    release(master, secret=SECRET, address="https://github.com/owner/course", out=released)
    assert (released / "stamp").stat().st_mtime_ns == before


def test_solution_that_fails_a_test_is_not_released(tmp_path: Path) -> None:
    master = write_master(tmp_path, DRAFT.replace("= 2 * x", "= 3 * x"))
    with pytest.raises(ReleaseError, match=r"double\(2\) must be 4, got 6"):
        release(master, secret=SECRET, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_checks_that_a_wrong_answer_passes_are_not_released(released: Path, tmp_path: Path) -> None:
    shutil.copytree(released, tmp_path / "hw0")
    try_mutants("hw0", tmp_path / "hw0", tmp_path)
    tests = tmp_path / "hw0" / "autograder" / "tests" / "q1.py"
    tests.write_text(tests.read_text().replace("double(drawn) == 2 * drawn", "double(drawn) > 0"))
    with pytest.raises(ReleaseError, match=r"q1: always 1: test_q1_concealed"):
        try_mutants("hw0", tmp_path / "hw0", tmp_path)


@pytest.mark.parametrize(("unlucky", "tried"), [(0, 1), (1, 2), (2, 3), (9, 3)])
def test_unlucky_instances_are_drawn_anew_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unlucky: int, tried: int
) -> None:
    secrets: list[str] = []

    def write(master: Path, secret: str, address: str, out: Path, *others: bool) -> None:
        secrets.append(secret)
        if len(secrets) <= unlucky:
            raise WrongAnswersPass("q1: always 1: test_q1_concealed")

    monkeypatch.setattr("assignments.release._write", write)
    master, out = write_master(tmp_path), tmp_path / "out"
    if unlucky > tried:
        with pytest.raises(WrongAnswersPass, match="always 1"):
            release(master, secret=SECRET, out=out)
    else:
        release(master, secret=SECRET, out=out)
    assert len(secrets) == len({seed(s, "hw0", "q1") for s in secrets}) == tried and secrets[0] == SECRET
    assert out.exists() == (unlucky < tried)


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("    twice_the_argument = 2*x", "q1.py"),
        ("drawn = random.Random(1).random()", "q1.py"),
        ("number_of_the_beast = 666", "q1.py"),
    ],
)
def test_planted_leak_is_found(tmp_path: Path, line: str, where: str) -> None:
    master = write_master(tmp_path, DRAFT.replace("COURSE_SEED", "1"))
    student = tmp_path / "student"
    student.mkdir()
    (student / where).write_text("import torch\n")
    assert leaks.leaks(master, student) == []
    (student / where).write_text(f"import torch\n{line}\n")
    assert leaks.leaks(master, student) == [f"{where}: {line.strip()}"]


def test_seeds_differ_between_secrets_assignments_and_questions() -> None:
    seeds = {seed(s, a, q) for s in ("a" * 16, "b" * 16) for a in ("hw1", "hw2") for q in ("q1", "q2")}
    assert len(seeds) == 8 and all(0 < x < 2**31 for x in seeds)


def test_secret_is_drawn_once_and_kept_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COURSE_SECRET", raising=False)
    path = tmp_path / "secret.txt"
    first = read_secret(path)
    assert len(first) == 64 and read_secret(path) == first
    assert path.stat().st_mode & 0o077 == 0
    path.write_text("short")
    with pytest.raises(ReleaseError, match="at least 16 characters, got 5"):
        read_secret(path)
    monkeypatch.setenv("COURSE_SECRET", "from the environment")
    assert read_secret(path) == "from the environment"


def test_draft_and_master_are_the_same_thing() -> None:
    once = author.convert(DRAFT)
    again = author.convert(author.draft(nbformat.reads(nbformat.writes(once), as_version=4)))
    assert nbformat.writes(once) == nbformat.writes(again)


def test_draft_without_configuration_is_refused() -> None:
    with pytest.raises(ValueError, match="exactly one line"):
        author.convert(DRAFT.replace("[config]", "[markdown]"))
