"""What a drawing carries, as its reader takes it: which series, under which name, with which values."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.text import Text

from ncbook.figures.phenomenon import CLASS_COLORS
from ncbook.figures.style import COLORS, GREY, legible

SHADES = {to_hex(legible(color)).upper(): color.upper() for color in (*COLORS, *CLASS_COLORS, GREY)}


def colour(artist) -> str:
    """The colour of a line, a text or the (first) face of a filled artist, upper case.

    A text in the darker shade that the house gives to words counts as what a reader takes it for: a line's colour.
    """
    found = artist.get_color() if hasattr(artist, "get_color") else artist.get_facecolor()
    shown = to_hex(found[0] if getattr(found, "ndim", 1) == 2 else found).upper()
    return SHADES.get(shown, shown) if isinstance(artist, Text) else shown


def points(line: Line2D) -> list[tuple[float, float]]:
    return [tuple(map(float, pair)) for pair in line.get_xydata()]


def named(ax: Axes) -> dict[str, list[tuple[float, float]]]:
    """Each line that has a name, to its points; no name may stand for two of them."""
    lines = [line for line in ax.lines if not line.get_label().startswith("_")]
    found = {line.get_label(): points(line) for line in lines}
    assert len(found) == len(lines)
    return found


def marks(ax: Axes, marker: str) -> list[tuple[float, float]]:
    """The points of all lines that carry this marker."""
    return [point for line in ax.lines if line.get_marker() == marker for point in points(line)]


def words(legend: Legend) -> list[str]:
    return [text.get_text() for text in legend.get_texts()]


def colours(legend: Legend) -> dict[str, str]:
    """What a reader of the legend takes each name's colour for."""
    return dict(zip(words(legend), map(colour, legend.legend_handles)))


def rows(ax: Axes) -> dict[str, float]:
    """The names beside the vertical axis, with their places."""
    return dict(zip((text.get_text() for text in ax.get_yticklabels()), map(float, ax.get_yticks())))


def axes_said(ax: Axes) -> tuple[str, str, str]:
    """What stands at the horizontal axis, at the vertical axis and above."""
    return ax.get_xlabel(), ax.get_ylabel(), ax.get_title()


def written(figure: Figure) -> list[str]:
    """All texts inside the axes, arrows (texts without words) left out."""
    return [text.get_text() for ax in figure.axes for text in ax.texts if text.get_text()]


def arrows(ax: Axes) -> list[tuple[str, tuple[float, float], tuple[float, float]]]:
    """Each arrow: its colour, where it begins and where it points."""
    return [
        (to_hex(a.arrow_patch.get_edgecolor()).upper(), tuple(map(float, a.xyann)), tuple(map(float, a.xy)))
        for a in ax.texts
        if getattr(a, "arrow_patch", None) is not None
    ]


def pixels(ax: Axes) -> np.ndarray:
    """The values of the picture in the axes, unmasked."""
    return np.asarray(ax.images[0].get_array())
