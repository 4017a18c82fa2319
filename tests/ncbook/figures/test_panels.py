"""Where a picture can be cut into panels, and what its windows show."""

import re

import numpy as np

from ncbook.figures import panels, style
from tests.ncbook.figures.test_exploration import drawn


def sheet(*blocks, height=100, width=300):
    """A white sheet with dark blocks: (top, bottom, left, right)."""
    picture = np.full((height, width, 3), 255, dtype=np.uint8)
    for top, bottom, left, right in blocks:
        picture[top:bottom, left:right] = 40
    return picture


LEFT, RIGHT = (5, 95, 5, 140), (5, 95, 160, 295)


def test_two_blocks_are_cut_between_them():
    assert panels.cuts([sheet(LEFT, RIGHT)]) == [0.5]


def test_one_block_a_narrow_gap_and_a_margin_are_not_cut():
    assert panels.cuts([sheet((5, 95, 5, 295))]) == []
    assert panels.cuts([sheet((5, 95, 5, 145), (5, 95, 155, 295))]) == []
    assert panels.cuts([sheet((5, 95, 5, 30), (5, 95, 60, 295))]) == []


def test_a_title_over_both_keeps_them_together():
    assert panels.cuts([sheet((0, 4, 100, 200), LEFT, RIGHT)]) == []


def test_a_grid_of_panels_stays_whole():
    cells = [(top, bottom, left, left + 130) for top, bottom in ((5, 47), (52, 95)) for left in (5, 160)]
    assert panels.cuts([sheet(*cells)]) == []


def test_frames_are_cut_only_where_all_of_them_can_be():
    assert panels.cuts([sheet(LEFT, RIGHT), sheet((5, 95, 5, 150), RIGHT)]) == []
    assert panels.cuts([sheet(LEFT, RIGHT), sheet(LEFT, RIGHT, height=120)]) == []


def test_panels_of_the_house_are_cut_and_a_single_one_is_not():
    for cols, expected in ((1, 0), (2, 1), (3, 2)):
        fig, axes = style.new(6.6 if cols > 1 else 5.8, 3, cols=cols, squeeze=False)
        for ax in axes.flat:
            ax.plot([1, 2], [1e3, 2e3])
            ax.set(xlabel="x", ylabel="a long name of the axis", title="panel")
        assert len(panels.cuts([drawn(fig)])) == expected


def test_each_window_stands_at_its_own_place_of_the_whole_picture():
    page = panels.windows([0.25, 0.5], 1000, 400, lambda first: f"<img {first}>")
    assert re.findall(r"flex-grow:([\d.]+)", page) == ["0.25", "0.25", "0.5"]
    assert re.findall(r"aspect-ratio:(\d+/\d+)", page) == ["250/400", "250/400", "500/400"]
    # A window of a quarter can be moved by three quarters: the second stands after one of them.
    assert re.findall(r"--place:([\d.]+)%", page) == ["0", "33.33", "100"]
    assert page.count("<img True>") == 1 and page.count("<img False>") == 2 and "nc-several" in page
    assert "nc-several" not in panels.windows([], 1000, 400, lambda first: "")
