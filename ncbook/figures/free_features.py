"""The drawings of chapter 3: the peeled network, the price of a margin, the model's geometry and its budget."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import Tensor

from ncbook.figures.style import COLORS, GREY, SEQUENTIAL, arrow, house_style, new
from ncbook.ufm import UFM, GapBudget, best_margin, loss_of_margin

MARKERS = ("o", "s", "^")
# What a reader calls each piece of `GapBudget`, in the order of the proof.
PIECES = {
    "others": "wrong logits unequal",
    "margins": "margins unequal",
    "collapse": "classes not collapsed",
    "orthogonality": "means not orthogonal",
    "alignment": "W and H not aligned",
    "balance": "decays not balanced",
    "bias": "bias not zero",
    "length": "length not right",
}


@house_style
def peeled_network() -> Figure:
    """Draw a network whose layers below the features are peeled away and whose last layer stays."""
    fig, ax = new(5.8, 2.6)
    ax.set(xlim=(0, 10), ylim=(-0.25, 4))
    ax.axis("off")
    for x, label in ((0.1, "input\n$x_i$"), (1.75, "layer"), (3.4, "layer")):
        _box(ax, x, 1.25, label, GREY, "--")
    _box(ax, 5.45, 1.25, "features\n$h_i$", COLORS[0], "-")
    _box(ax, 7.1, 1.25, "$W,\\ b$", COLORS[1], "-")
    ax.text(9.35, 2.0, "logits", ha="center", va="center")
    for x, color in ((1.4, GREY), (3.05, GREY), (4.7, GREY), (6.75, "black"), (8.4, "black")):
        arrow(ax, (x, 2.0), (x + (0.7 if x == 4.7 else 0.3), 2.0), color, lw=1.5, arrowstyle="->")
    ax.plot([5.08, 5.08], [0.55, 3.45], color="black", linestyle=":", linewidth=1.5)
    ax.text(2.4, 3.3, "peeled away", ha="center", color=GREY)
    ax.text(7.3, 3.3, "kept: the last layer", ha="center")
    ax.text(
        6.1, 0.45, "a free variable,\npays decay $\\lambda_H$", ha="center", va="center", color=COLORS[0], fontsize=10
    )
    ax.text(8.55, 0.45, "pays $\\lambda_W$, $\\lambda_b$", ha="center", va="center", color=COLORS[1], fontsize=10)
    return fig


def _box(ax: Axes, x: float, y: float, label: str, color: str, style: str) -> None:
    shape = "round,pad=0.03,rounding_size=0.15"
    box = FancyBboxPatch((x, y), 1.25, 1.5, shape, fill=False, edgecolor=color, linestyle=style, lw=1.8)
    ax.add_patch(box)
    ax.text(x + 0.625, y + 0.75, label, ha="center", va="center", color=color, fontsize=12)


@house_style
def price_of_margin(K: int, Kq: float, *, top: float = 8.0) -> Figure:
    """Draw loss plus price as a function of the margin, with its minimum, for K classes at K q.

    Args:
        K: classes. Kq: K times ``sqrt(n lambda_W lambda_H)``. top: right end of the axis.
    """
    s = np.linspace(0, top, 200)
    loss = loss_of_margin(torch.from_numpy(s), K).numpy()
    value, best, slope = best_margin(K, Kq / K)
    fig, ax = new(5.8, 3.7)
    ax.plot(s, loss, "--", color=COLORS[0], linewidth=1.6, label="cross-entropy")
    ax.plot(s, slope * s, ":", color=COLORS[1], linewidth=1.8, label="price $(K-1)\\,q\\,s$")
    ax.plot(s, loss + slope * s, color="black", label="sum")
    ax.plot([best], [value], "o", color=COLORS[2], markersize=10, zorder=5, clip_on=False)
    ax.set(xlim=(0, top), ylim=(0, 1.75 * math.log(K)), xlabel="margin $s$", ylabel="loss")
    verdict = f"best margin {best:.2f}, loss {value:.3f}" if Kq < 1 else "no margin is worth its price"
    ax.set_title(f"$K$ = {K},  $Kq$ = {Kq:g}:  {verdict}")
    fig.legend(loc="outside lower center", ncols=3)
    return fig


@house_style
def phase_plane(K: int, n: int) -> Figure:
    """Draw the optimal margin over both decays on logarithmic axes, with the threshold beyond which all is zero."""
    x = np.linspace(-5, 1, 121)
    q = np.sqrt(n * 10.0 ** (x[None, :] + x[:, None]))
    margin = np.vectorize(lambda q: best_margin(K, q).margin or np.nan)(q)
    fig, ax = new(4.8, 3.9)
    filled = ax.contourf(x, x, margin, levels=np.arange(0, 13, 1), cmap=SEQUENTIAL, extend="max")
    fig.colorbar(filled, ax=ax, label="margin $s$", ticks=range(0, 13, 2))
    # K q = 1 is a straight line here: log lambda_W + log lambda_H = -2 log K - log n.
    edge = -2 * math.log10(K) - math.log10(n)
    ax.plot(x, edge - x, color=COLORS[1], linewidth=2.5)
    ax.fill_between(x, np.clip(edge - x, -5, 1), 1, color="#EEEEEE", zorder=0)
    ax.set(xlim=(-5, 1), ylim=(-5, 1), title=f"K = {K}, n = {n}")
    ax.set(xlabel="weight decay $\\lambda_W$", ylabel="feature decay $\\lambda_H$", aspect="equal")
    ticks = range(-5, 2, 2)
    ax.set_xticks(ticks, [f"$10^{{{t}}}$" for t in ticks])
    ax.set_yticks(ticks, [f"$10^{{{t}}}$" for t in ticks])
    ax.text(0.8, 0.75, "all zero", ha="right", va="top")
    ax.grid(False)
    return fig


def draw_plane(ax: Axes, W: Tensor, H: Tensor, limit: float) -> None:
    """Draw three classes in the plane: rows of ``W (3, 2)`` as arrows, features ``H (N, 2)`` as marks."""
    n = len(H) // 3
    for k in range(3):
        w, h = (float(W[k, 0]), float(W[k, 1])), H[k * n : (k + 1) * n].numpy()
        arrow(ax, (0, 0), w, COLORS[k])
        ax.plot(h[:, 0], h[:, 1], MARKERS[k], color=COLORS[k], markersize=8, alpha=0.65, markeredgecolor="white")
    ax.plot(0, 0, "+", color="black", markersize=8)
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    ax.tick_params(labelbottom=False, labelleft=False, length=0)


@house_style
def optimum_in_the_plane(problem: UFM, *, limit: float) -> Figure:
    """Draw the closed-form optimum of a problem with three classes in the plane, in a fixed frame of view."""
    best = problem.optimum()
    fig, ax = new(4.0, 4.3)
    draw_plane(ax, best.W, best.H, limit)
    ax.set_title(
        f"$\\lambda_W$ = {problem.weight_decay:g},  $\\lambda_H$ = {problem.feature_decay:g}\n"
        f"margin {best.margin:.2f},  $|w|$ = {best.W[0].norm():.2f},  $|h|$ = {best.H[0].norm():.2f}"
    )
    return fig


@house_style
def geometry_and_budget(W: Tensor, H: Tensor, budget: GapBudget, *, step: int, limit: float, least: float) -> Figure:
    """Draw a point of a three-class problem in the plane beside the pieces of its gap, on a logarithmic scale.

    Args:
        W: (3, 2). H: (N, 2). budget: the point's pieces. step: of the descent, for the title.
        limit: half the width of the plane. least: where the scale of the bars ends; smaller pieces are not drawn.
    """
    fig, (plane, bars) = new(6.4, 3.5, 1, 2, width_ratios=(1, 1.05))
    draw_plane(plane, W, H, limit)
    plane.set_title(f"step {step}")
    names = [name for name in PIECES if name != "orthogonality"]
    for i, name in enumerate(names):
        # Bars start at `least`, so that their length is the logarithm of the piece.
        bars.barh(i, max(getattr(budget, name) - least, 0.0), left=least, height=0.62, color=COLORS[i % 6])
        bars.text(least * 1.6, i - 0.5, PIECES[name], va="center", fontsize=10)
    bars.set(xscale="log", xlim=(least, 10), ylim=(len(names) - 0.5, -0.95))
    bars.set_yticks([])
    bars.grid(False, axis="y")
    bars.spines["left"].set_visible(False)
    bars.set_title(f"$f - f^\\ast$ = {max(budget.total, 0.0):.1e}")
    return fig


@house_style
def descent_to_bound(
    steps: Sequence[int], curves: Mapping[str, Sequence[float]], bound: float, *, bound_label: str, ylabel: str
) -> Figure:
    """Draw objectives that fall towards a bound, on logarithmic axes, with the bound as a line nothing crosses."""
    fig, ax = new(5.8, 3.5)
    for i, (name, values) in enumerate(curves.items()):
        ax.plot(steps, values, ("-", "--", "-.")[i % 3], color=COLORS[i], label=name)
    ax.axhline(bound, color="black", linewidth=1.5, linestyle=":")
    ax.annotate(
        bound_label, (0.02, bound), xycoords=("axes fraction", "data"), xytext=(0, 4), textcoords="offset points"
    )
    ax.set(xscale="log", yscale="log", xlabel="optimiser step", ylabel=ylabel, ylim=(0.6 * bound, None))
    ax.legend(loc="upper right")
    return fig


@house_style
def orthant(share: float) -> Figure:
    """Draw three orthogonal class means in the positive orthant, and their cosine as seen from a moved origin.

    Args:
        share: how much of the global mean is taken away, from 0 (raw features) to 1 (centred).
    """
    means = np.eye(3)
    origin = share * means.mean(axis=0)
    # Seen from a little above the plane of the three means, the global mean pointing up.
    across, depth, up = np.array([[-1, 1, 0], [-1, -1, 2], [1, 1, 1]]) / np.sqrt([[2], [6], [3]])
    view = np.stack([0.95 * across + 0.3 * depth, -0.12 * across + 0.38 * depth + 0.92 * up], axis=1)
    fig, (ax, scale) = new(6.2, 3.3, 1, 2, width_ratios=(1.15, 1))
    flat = means @ view
    ax.fill(*flat.T, color="#DDE8F2", zorder=0)
    for k in range(3):
        ax.plot(*np.stack([0 * flat[k], 1.2 * flat[k]]).T, color=GREY, linewidth=1, linestyle="--")
        arrow(ax, origin @ view, flat[k], COLORS[k], lw=2.5)
    ax.plot(*(origin @ view), "o", color="black", markersize=6, zorder=5)
    ax.set(xlim=(-1.15, 1.15), ylim=(-0.1, 1.25), aspect="equal")
    ax.axis("off")
    moved = means - origin
    cosine = moved[0] @ moved[1] / (moved[0] @ moved[0])
    t = np.linspace(0, 1, 101)
    along = [(a := means - u * means.mean(axis=0))[0] @ a[1] / (a[0] @ a[0]) for u in t]
    scale.plot(t, along, color="black")
    scale.plot([share], [cosine], "o", color=COLORS[2], markersize=9, clip_on=False, zorder=5)
    scale.axhline(-0.5, color=GREY, linestyle=":", linewidth=1.3)
    scale.text(0.02, -0.49, "simplex ETF: $-1/2$", color=GREY, va="bottom")
    scale.set(xlabel="share of the global mean removed", ylabel="cosine of two class means", ylim=(-0.56, 0.06))
    scale.set_title(f"cosine {cosine:+.2f}")
    return fig
