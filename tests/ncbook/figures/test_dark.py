"""Pictures for dark pages: inks for inks, and what lies between them stays between."""

import numpy as np
import pytest

from ncbook.figures import dark, style


def rgb(code):
    return [int(code[i : i + 2], 16) for i in (1, 3, 5)]


def test_paper_and_inks_become_those_of_the_dark_page():
    light = [rgb(dark.PAPER[0]), *map(rgb, dark.INKS)]
    assert dark.on_dark(light).tolist() == [rgb(dark.PAPER[1]), *map(rgb, dark.INKS.values())]


def test_every_colour_of_the_house_has_an_ink():
    assert {color.upper() for color in style.COLORS} <= set(dark.INKS)


def test_half_of_an_ink_is_half_of_it_on_the_dark_page():
    for share in (0.1, 0.5, 0.9):
        for light, other in dark.INKS.items():
            mixed = [round(255 + share * (ink - 255)) for ink in rgb(light)]
            expected = np.array(rgb(dark.PAPER[1])) + share * (np.array(rgb(other)) - rgb(dark.PAPER[1]))
            # A rounding of one of 255 on paper can be several on the dark page where a pale ink becomes a strong one.
            assert np.abs(dark.on_dark(mixed).astype(int) - expected).max() <= 4


def test_every_colour_is_a_mixture_of_three_inks_and_close_ones_stay_close():
    steps = np.arange(0, 256, 15)
    cube = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1)
    shown = dark.on_dark(cube).astype(int)
    assert shown.shape == cube.shape
    for axis in range(
        3
    ):  # by 15 of 255: what is printed differs by as much as inks that are neighbours do, never by a jump
        jumps = np.abs(np.diff(shown, axis=axis))
        assert jumps.max() < 120 and np.quantile(jumps, 0.99) < 60


def test_more_ink_is_brighter_on_the_dark_page():
    shades = dark.on_dark([[v, v, v] for v in range(255, -1, -1)]).astype(int).sum(axis=1)
    assert (np.diff(shades) >= 0).all() and shades[-1] > 600 > 100 > shades[0]


@pytest.mark.parametrize("pixels", [[1, 2], [[0.5, 0.5, 0.5]], [256, 0, 0], [-1, 0, 0], 3])
def test_bad_pixels_are_named(pixels):
    with pytest.raises(ValueError, match=r"^pixels must be"):
        dark.on_dark(pixels)
