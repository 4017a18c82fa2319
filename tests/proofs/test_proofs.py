"""The proofs compile from a clean copy, rest on what they say, and a false or missing proof is found out."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROOFS = ROOT / "proofs"
_spec = importlib.util.spec_from_file_location("proofs_check", PROOFS / "check.py")
assert _spec and _spec.loader
check = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(check)


@pytest.fixture
def coq() -> None:
    """Skip where Coq is missing; in continuous integration that is a failure."""
    if shutil.which("coqc") is None:
        message = f"coqc is missing: apt-get install {check.PACKAGES}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the sources with two files, so that a planted fault is found in seconds."""
    folder = tmp_path / "proofs"
    folder.mkdir()
    for name in ("algebra.v", "nc0.v"):
        shutil.copy(PROOFS / name, folder)
    lines = [x for x in (PROOFS / "_CoqProject").read_text().split("\n") if not x.endswith(".v")]
    (folder / "_CoqProject").write_text("\n".join([*lines, "algebra.v", "nc0.v"]) + "\n")
    return folder


def plant(folder: Path, old: str, new: str) -> None:
    text = (folder / "nc0.v").read_text()
    assert text.count(old) == 1, f"{old!r} must occur once"
    (folder / "nc0.v").write_text(text.replace(old, new))


def test_every_proof_compiles_and_rests_on_what_it_says(coq: None) -> None:
    found = check.check()
    assert sum(map(len, found.values())) >= 15
    for name in ("simplex_etf.v", "welch.v", "uniqueness.v", "nc0.v", "landscape.v", "saddles.v"):
        assert set().union(*found[name].values()) == set(), f"{name} must need no axiom"


def test_the_table_names_every_theorem_and_no_other() -> None:
    stated = {(name, theorem) for name, names in check.theorems(PROOFS).items() for theorem in names}
    table = re.findall(r"^\|[^|]*\| \[`(\w+\.v)`\]\(\w+\.v\) \| `(\w+)` \|", (PROOFS / "README.md").read_text(), re.M)
    assert set(table) == stated and len(table) == len(stated)


def test_the_sources_leave_nothing_unproved() -> None:
    for name in check.order(PROOFS):
        check.check_text(name, (PROOFS / name).read_text())


def test_the_copy_is_sound_before_anything_is_planted(coq: None, copy: Path) -> None:
    assert check.check(copy) == {"nc0.v": {"mean_row_decays": set()}}


def test_a_false_theorem_fails(coq: None, copy: Path) -> None:
    plant(copy, "ones^T *m W t = (1 - eta * lambda) ^+ t", "ones^T *m W t = (1 - lambda) ^+ t")
    with pytest.raises(check.ProofError, match="does not compile"):
        check.check(copy)


def test_an_admitted_proof_fails(coq: None, copy: Path) -> None:
    plant(copy, "Qed.\nEnd NC0.", "Admitted.\nEnd NC0.")
    with pytest.raises(check.ProofError, match="Admitted"):
        check.check(copy)


def test_print_assumptions_finds_what_the_text_does_not_show(
    coq: None, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(copy, "Qed.\nEnd NC0.", "Admitted.\nEnd NC0.")
    monkeypatch.setattr(check, "check_text", lambda name, text: None)
    with pytest.raises(check.ProofError, match=r"mean_row_decays.* rests on"):
        check.check(copy)


@pytest.mark.parametrize(
    "line",
    [
        "Axiom wish : False.",
        "Parameter wish : False.",
        "Hypothesis wish : False.",
        "Variable wish : False.",
        "Context (wish : False).",
        "Lemma wish : False. Proof. admit. Admitted.",
        "Conjecture wish : False.",
        "Unset Guard Checking.",
    ],
)
def test_an_assumption_outside_a_section_is_refused(line: str) -> None:
    with pytest.raises(check.ProofError):
        check.check_text("planted.v", f"Section S.\nVariable x : nat.\nEnd S.\n{line}\n")


def test_assumptions_of_a_section_and_words_in_comments_are_fine() -> None:
    check.check_text("fine.v", "(* No Axiom (* nor Admitted *) here *)\nSection S.\nHypothesis h : True.\nEnd S.\n")


def test_an_unlisted_file_is_refused(copy: Path) -> None:
    (copy / "stray.v").write_text("")
    with pytest.raises(check.ProofError, match="_CoqProject"):
        check.order(copy)
