"""Pictures of the built pages: a second one for dark mode, and windows for panels."""

import re

import numpy as np
import pytest
from PIL import Image

from ncbook.figures import dark, style
from tests.ncbook.figures.test_exploration import drawn
from tools import pictures

NAME = "0123456789abcdef0123"


@pytest.fixture
def site(tmp_path):
    """A built page with one picture of ``cols`` panels."""

    def build(cols, width=5.8):
        fig, axes = style.new(width, 3, cols=cols, squeeze=False)
        for ax in axes.flat:
            ax.plot([1, 2], color=style.COLORS[1])
        (tmp_path / "_images").mkdir()
        (tmp_path / "chapters").mkdir()
        Image.fromarray(drawn(fig).astype(np.uint8)).save(tmp_path / "_images" / f"{NAME}.png")
        image = f'<img alt="Two lines &amp; more." src="../_images/{NAME}.png" />'
        logo = '<img alt="logo" class="logo" src="../_static/logo.svg">'
        (tmp_path / "chapters" / "a.html").write_text(f"<html><head></head><body>{logo}{image}</body></html>")
        return tmp_path, tmp_path / "chapters" / "a.html"

    return build


def test_a_dark_picture_lies_beside_the_light_one(site):
    root, page = site(1)
    assert pictures.lay_in(root) == 1
    shown = re.findall(r'<img class="only-(\w+)" alt="([^"]*)" src="([^"]+)"', page.read_text())
    assert [(mode, alt) for mode, alt, _ in shown] == [(mode, "Two lines &amp; more.") for mode in ("light", "dark")]
    light, other = (np.asarray(Image.open(page.parent / source).convert("RGB")) for _, _, source in shown)
    assert (dark.on_dark(light) == other).all() and other[0, 0].tolist() == [0x12] * 3
    assert '<img alt="logo" class="logo"' in page.read_text()


def test_a_second_build_changes_nothing(site):
    root, page = site(2, 6.6)
    pictures.lay_in(root)
    first = page.read_text(), sorted(file.name for file in (root / "_images").iterdir())
    assert pictures.lay_in(root) == 0
    assert (page.read_text(), sorted(file.name for file in (root / "_images").iterdir())) == first
    assert first[0].count("<style") == 1


def test_two_panels_have_two_windows_and_one_description(site):
    root, page = site(2, 6.6)
    pictures.lay_in(root)
    text = page.read_text()
    assert text.count('<span style="flex-grow') == 2 and text.count('alt="Two lines') == 2  # light and dark
    assert text.count('alt="" aria-hidden="true"') == 2


@pytest.mark.parametrize("width, is_wide", [(5.8, False), (6.6, True)])
def test_a_single_panel_that_is_too_wide_says_so(site, width, is_wide):
    root, page = site(1, width)
    pictures.lay_in(root)
    assert ('class="nc-wide nc-panels"' in page.read_text()) == is_wide
