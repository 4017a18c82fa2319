"""The house style of every drawing, and the drawings that more than one chapter uses.

A drawing takes tensors or results and returns a matplotlib ``Figure`` that belongs to no global state: end a cell
with it to show it, or hand the function to `explore`. The style is passed in, never set for the session.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text

P = ParamSpec("P")
R = TypeVar("R")

# Okabe and Ito (2008): told apart by readers with any common colour vision; black last, yellow left out (too pale).
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#7F7F7F"
READABLE = 4.5  # the least contrast of words with what is behind them
PALE = 18  # the contrast with black from which on a colour is one for words on dark tiles
DIVERGING = "RdBu_r"  # for cosines and other signed quantities, always symmetric about 0
SEQUENTIAL = "viridis"

STYLE: Any = {  # Any: matplotlib types the keys one by one
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.labelsize": 11,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E5E5E5",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.prop_cycle": plt.cycler(color=COLORS),
    "lines.linewidth": 2.0,
    "figure.dpi": 144,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "mathtext.fontset": "cm",
    "svg.hashsalt": "ncbook",
}


def house_style(draw: Callable[P, R]) -> Callable[P, R]:
    """Decorate a drawing so that all of it happens in the house style and none of the style stays behind."""

    @wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.rc_context(STYLE):
            drawn = draw(*args, **kwargs)
        if isinstance(drawn, Figure):
            for words in drawn.findobj(Text):
                words.set_color(legible(words.get_color()))
        return drawn

    return styled


def contrast(one: Any, other: Any) -> float:
    """Return the contrast of two colours, from 1 to 21, as accessibility guidelines define it (WCAG 2, 1.4.3)."""

    def luminance(color: Any) -> float:
        parts = np.array(to_rgb(color))
        return float(
            np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)
        )

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def legible(color: Any) -> tuple[float, float, float]:
    """Return a colour of words on paper: as given, or darker by as little as makes it `READABLE`.

    A colour can be bright enough for a line and too bright for letters. Pale words stay: they stand on something dark.
    """
    given = np.array(to_rgb(color))
    shades = given[None] if contrast(given, "black") > PALE else np.linspace(1, 0, 51)[:, None] * given
    red, green, blue = next((shade for shade in shades if contrast(shade, "white") >= READABLE), given).tolist()
    return red, green, blue


@house_style
def new(width: float = 5.8, height: float = 3.8, rows: int = 1, cols: int = 1, **options: Any) -> tuple[Figure, Any]:
    """Return a figure and its axes in the house style.

    Args:
        width, height: in inches; 7 wide at most, and one panel 5.8, so that text stays legible on a phone.
        rows, cols: the grid of axes; an array of axes comes back where there is more than one.
        options: passed to ``Figure.subplots`` (``subplot_kw``, ``sharex``, ``width_ratios`` …).

    Raises:
        ValueError: if ``width`` is more than 7 inches.
    """
    if width > 7:
        raise ValueError(f"width must be at most 7 inches, got {width}")
    # Paper between panels, so that a phone can show them one below the other: see `panels`.
    layout = ConstrainedLayoutEngine(w_pad=0.07) if cols > 1 else ConstrainedLayoutEngine()
    fig = plt.figure(figsize=(width, height), layout=layout)
    # Closed at once: pyplot then keeps no reference, and a notebook shows the figure once, where the cell ends.
    plt.close(fig)
    return fig, fig.subplots(rows, cols, **options)


@house_style
def curves(
    x: Sequence[float] | np.ndarray,
    ys: Mapping[str, Sequence[float] | np.ndarray],
    *,
    xlabel: str,
    ylabel: str,
    logx: bool = False,
    logy: bool = False,
    mark: float | None = None,
    mark_label: str = "",
    width: float = 5.8,
    height: float = 3.8,
) -> Figure:
    """Draw one line for each entry of ``ys`` over ``x``, each named at its right end.

    Args:
        x: positions (T,). ys: name to values (T,).
        xlabel, ylabel: with units. logx, logy: logarithmic axes.
        mark: a position on the x axis to mark with a dashed line, named ``mark_label``.
    """
    fig, ax = new(width, height)
    styles = ("-", "--", "-.", ":")
    for i, (name, y) in enumerate(ys.items()):
        ax.plot(x, y, styles[i % len(styles)], color=COLORS[i % len(COLORS)], label=name)
    if mark is not None:
        ax.axvline(mark, color=GREY, linestyle="--", linewidth=1.2)
        ax.annotate(
            mark_label, (mark, 1.0), xycoords=("data", "axes fraction"), xytext=(4, -4),
            textcoords="offset points", va="top", color=GREY,
        )  # fmt: skip
    ax.set(xlabel=xlabel, ylabel=ylabel, xscale="log" if logx else "linear", yscale="log" if logy else "linear")
    if len(ys) > 1:
        ax.legend(loc="best")
    return fig


def draw_heat_map(
    ax: Axes,
    matrix: Any,
    *,
    limit: float | None = None,
    ticks: Sequence[str] | None = None,
    values: bool | None = None,
) -> None:
    """Draw a signed matrix on a diverging scale symmetric about zero, with its values written in when it is small.

    Args:
        matrix: (R, C) array or tensor. limit: the scale runs from ``-limit`` to ``limit`` (the largest entry).
        ticks: names for rows and columns. values: write each entry in (by default up to 6 x 6).
    """
    m = np.asarray(matrix, dtype=float)
    top = float(np.abs(m).max()) or 1.0 if limit is None else limit
    written = values or (values is None and max(m.shape) <= 6)
    # Half of the scale's strength under numbers: they are read on every tile then, on a dark page too.
    strongest = 2.4 * top if written else top
    ax.imshow(m, cmap=DIVERGING, vmin=-strongest, vmax=strongest)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    names = [str(i) for i in range(max(m.shape))] if ticks is None else list(ticks)
    ax.set_xticks(range(m.shape[1]), names[: m.shape[1]])
    ax.set_yticks(range(m.shape[0]), names[: m.shape[0]])
    if written:
        for (i, j), v in np.ndenumerate(m):
            ax.text(j, i, f"{v:.2f}", ha="center", va="center", fontsize=10)


def arrow(ax: Axes, start: Any, end: Any, color: str, *, zorder: float = 3, **options: Any) -> None:
    """Draw an arrow between two places (x, y); options as of matplotlib's ``FancyArrowPatch``."""
    style = {"arrowstyle": "-|>", "lw": 2.2, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 14, "color": color}
    ax.annotate("", tuple(end), tuple(start), arrowprops=style | options, zorder=zorder)


def bare(ax: Axes, limit: float) -> None:
    """Leave of a plane around the origin, ``limit`` to each side, nothing but what is drawn in it."""
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), xticks=[], yticks=[], aspect="equal")
    ax.grid(False)
    ax.spines[:].set_visible(False)


WORD = re.compile(r"[^\W\d_]{4,}")  # longer than a unit's name
MINUS = re.compile(r"((?<!\w)|(?<=\de))-(?=\d)")  # not the hyphen of etf-10


class Table:
    """A table of texts, in HTML: a phone wraps it, a screen reader reads it, dark mode colours it.

    A column in which a word stands is of class ``words``: set to the left, and broken where a line ends. Others hold
    numbers: set to the right, and never broken. A hyphen before a number becomes a minus sign, after which no line
    breaks.

    Args:
        head: the columns' names. rows: each as long as ``head``, its first text the row's name.
    """

    def __init__(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        if any(len(row) != len(head) for row in rows):
            raise ValueError(f"rows must be as long as head ({len(head)}), got {[len(row) for row in rows]}")
        self.head, self.rows = tuple(head), tuple(map(tuple, rows))

    def __repr__(self) -> str:
        return f"Table({len(self.rows)} rows, {len(self.head)} columns)"

    def _repr_html_(self) -> str:
        columns = list(zip(*self.rows))
        kinds = [' class="words"' if any(map(WORD.search, texts)) else "" for texts in columns] or [""] * len(self.head)
        head = "".join(
            f'<th scope="col"{kind}>{html.escape(text)}</th>' if text else "<td></td>"
            for text, kind in zip(self.head, kinds)
        )
        rows = "".join(
            f'<tr><th scope="row">{html.escape(name)}</th>'
            + "".join(f"<td{kind}>{MINUS.sub('−', html.escape(text))}</td>" for text, kind in zip(values, kinds[1:]))
            + "</tr>"
            for name, *values in self.rows
        )
        return f'<table class="table nctable"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
