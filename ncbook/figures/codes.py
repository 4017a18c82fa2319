"""The drawings of the chapter on codes: a margin as a distance, codes against bounds, rival arrangements' cosines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon
from torch import Tensor

from ncbook import codes, etf
from ncbook.figures import style as figures

BLUE, ORANGE, GREEN = figures.COLORS[:3]


@figures.house_style
def margin_as_distance(weight: Tensor, row: int = 0) -> Figure:
    """Draw vectors of the plane, the hull of all but one, and the shortest way from that one to the hull.

    Args:
        weight: (K, 2), K >= 4, unit rows. row: which one is held against the others.
    """
    fig, ax = figures.new(4.6, 4.4)
    others = torch.cat([weight[:row], weight[row + 1 :]])
    features, margins = codes.best_features(weight)
    start, lead = weight[row], float(margins[row])
    ax.add_patch(Circle((0, 0), 1, fill=False, edgecolor="#BDBDBD", linestyle="--"))
    turn = torch.atan2(others[:, 1], others[:, 0]).argsort()
    ax.add_patch(Polygon(others[turn].numpy(), facecolor=BLUE, alpha=0.18, edgecolor=BLUE, linewidth=1.5))
    ax.plot(*others.T, "o", color=BLUE, markersize=8, label="the other rows")
    ax.plot(*start, "s", color=ORANGE, markersize=10, label="$w_k$")
    way = torch.stack([start, start - lead * features[row]])
    ax.plot(*way.T, color=ORANGE, linewidth=2.5, label="shortest way to their hull")
    tip = 0.45 * features[row]
    ax.annotate("", tuple(tip), xytext=(0, 0), arrowprops={"arrowstyle": "-|>", "color": GREEN, "lw": 2.2})
    ax.text(*(tip * 1.25), "$h$", color=GREEN, ha="center", va="center", fontsize=13)
    ax.set_title(f"lead of this row {lead:.3f}, smallest lead {float(margins.min()):.3f}")
    ax.legend(loc="lower left", fontsize=9)
    ax.set(xlim=(-1.25, 1.25), ylim=(-1.45, 1.2), aspect="equal")
    ax.axis("off")
    return fig


@figures.house_style
def margin_against_classes(
    classes: Sequence[int], found: Sequence[float], bound: Sequence[float], welch: Sequence[float], feature_dim: int
) -> Figure:
    """Draw the margin of the best codes found over the number of classes, between two bounds.

    Args:
        classes: (T,) numbers of vectors. found: (T,) margins of the codes. bound: (T,) what no code exceeds.
        welch: (T,) one minus Welch's bound, which speaks of lines. feature_dim: of the title.
    """
    fig, ax = figures.new(5.8, 3.8)
    ax.plot(classes, bound, ":", color=figures.GREY, label="no code of vectors lies above")
    ax.plot(classes, found, "o-", color=BLUE, label="best code found")
    ax.plot(classes, welch, "--", color=ORANGE, label="one minus Welch's bound (lines)")
    ax.axvline(2 * feature_dim, color=figures.GREY, linewidth=1)
    ax.annotate("$K=2d$", (2 * feature_dim, 0.03), xytext=(4, 0), textcoords="offset points", color="#595959")
    ax.set(xlabel="classes $K$", ylabel="margin", ylim=(0, 1.6), title=f"$d={feature_dim}$")
    ax.set_xticks(list(classes)[::2])
    ax.legend(loc="upper right")
    return fig


@figures.house_style
def rival_cosines(arrangements: Mapping[str, Tensor]) -> Figure:
    """Draw the cosines between the rows of a few arrangements side by side, each named by its key.

    Args:
        arrangements: name to rows (K, d); rows need not have unit norm, and a zero row has cosine 0 with all.
    """
    fig, axes = figures.new(6.8, 3.5, cols=len(arrangements), squeeze=False)
    for ax, (name, rows) in zip(axes[0], arrangements.items()):
        _cosines(ax, rows)
        ax.set_title(name)
    return fig


def _cosines(ax: Axes, rows: Tensor) -> None:
    alive = rows.norm(dim=1) > 1e-9
    cosines = torch.zeros(len(rows), len(rows), dtype=torch.float64)
    cosines[torch.outer(alive, alive)] = etf.cosine_matrix(rows[alive]).flatten()
    figures.draw_heat_map(ax, np.round(cosines.numpy(), 2) + 0.0, limit=1.0, values=True)
    for text in ax.texts:
        text.set_fontsize(8)
