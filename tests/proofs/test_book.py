"""The appendix and the badges say what the Coq files say; a theorem renamed, changed or left out is found."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import nbformat
import pytest

from tools import proofs

ROOT = proofs.ROOT


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the page and the badges are made from, both fresh."""
    shutil.copytree(ROOT / "proofs", tmp_path / "proofs")
    (tmp_path / "appendix").mkdir()
    (tmp_path / "chapters").mkdir()
    for path in (ROOT / "chapters").glob("*.ipynb"):
        shutil.copy(path, tmp_path / "chapters")
    proofs.stale(tmp_path, rewrite=True)
    assert proofs.stale(tmp_path) == []
    return tmp_path


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) >= 1, f"{old!r} must occur"
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_the_page_and_the_badges_are_what_the_proofs_say() -> None:
    assert proofs.stale() == []


def test_every_theorem_is_on_the_page_with_its_statement() -> None:
    page = (ROOT / proofs.PAGE).read_text(encoding="utf-8")
    known = proofs.theorems()
    assert len(known) == page.count("### `") >= 29
    assert all(t.statement in page and f"({t.anchor})=" in page for t in known)


def test_what_a_section_assumes_stands_above_its_statements() -> None:
    given = {t.name: t.given for t in proofs.theorems()}
    assert "Hypothesis K_gt1 : (1 < K)%N." in given["simplex_bound"]
    assert "K_gt1" not in given["simplex_etf_existence"]  # after the section has ended


def test_a_badge_whose_theorem_was_renamed_is_found(copy: Path) -> None:
    replace(copy / "proofs/simplex_etf.v", "Theorem simplex_bound ", "Theorem simplex_bounded ")
    with pytest.raises(ValueError, match="simplex_bound, which its file does not have"):
        proofs.stale(copy)


def test_a_badge_whose_theorem_says_something_else_is_found(copy: Path) -> None:
    replace(copy / "proofs/nc0.v", "(1 - eta * lambda) ^+ t", "(1 - 2%:R * lambda) ^+ t")
    assert str(proofs.PAGE) in proofs.stale(copy)
    replace(copy / "proofs/simplex_etf.v", "gram W i j <= m) -> - (K%:R - 1)^-1 <= m.", "gram W i j <= m) -> 0 <= m.")
    assert "chapters/02-simplex-etf.ipynb" in proofs.stale(copy)


def test_a_theorem_whose_label_is_gone_is_found(copy: Path) -> None:
    replace(copy / "chapters/02-simplex-etf.ipynb", ":label: thm-etf-welch", ":label: thm-etf-lines")
    assert "no chapter has thm-etf-welch" in proofs.stale(copy)


def test_a_badge_that_lost_its_theorem_goes(copy: Path) -> None:
    path = copy / "chapters/05-no-bad-valleys.ipynb"
    before = nbformat.read(path, as_version=4)
    rows = (copy / "proofs/README.md").read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in rows if not re.search(r"\]\(saddles\.v\)", line)]
    (copy / "proofs/README.md").write_text("".join(kept), encoding="utf-8")
    proofs.stale(copy, rewrite=True)
    badges = [
        sum("Checked by machine" in c.source for c in x.cells) for x in (before, nbformat.read(path, as_version=4))
    ]
    assert badges == [1, 0]


def test_a_badge_stands_below_its_theorem_and_changes_nothing_else() -> None:
    theorem = ":::{prf:theorem} T\n:label: thm-x\n\nText.\n:::"
    known = [proofs.Theorem("claim", "x.v", "x", "`thm-x`", "Theorem x : True.", "")]
    once = proofs.with_badges(f"Before.\n\n{theorem}\n\nAfter.", known)
    assert once == f"Before.\n\n{theorem}\n\n{proofs.badge(known)}\n\nAfter."
    assert proofs.with_badges(once, known) == once
    assert proofs.with_badges(once, []) == f"Before.\n\n{theorem}\n\nAfter."
