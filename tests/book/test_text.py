"""The text that every chapter stores is the text of a fresh run: of the one run that the built pages show."""

import pytest

from tests.conftest import ROOT
from tools import build, texts
from tools.cache import Kept

CHAPTERS = build.toc_notebooks(ROOT)


@pytest.fixture(scope="module")
def kept():
    return Kept(ROOT / "_build" / ".jupyter_cache")


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_stored_text_is_that_of_the_built_page(kept, path):
    stored, fresh = texts.read(path), kept.fresh(path, build.key(path))
    assert fresh is not None, f"no fresh run of {path.name}: build the book first"
    wrong = [f"code cell {number}:\n{how}" for number, how in texts.disagreements(stored, fresh)]
    assert not wrong, "\n\n".join(wrong)


def test_every_chapter_compares_something():
    for path in CHAPTERS:
        cells = texts.code_cells(texts.read(path))
        compared = [c for c in cells if c.outputs and "nbval-ignore-output" not in c.metadata.get("tags", [])]
        assert len(compared) >= 5, path.stem
