"""The drawings of chapter 2: frames as arrows, their cosines, and what happens when one is pulled away."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch import Tensor

from ncbook import etf
from ncbook.figures import style as figures

LIMIT = 1.22  # half-width of a drawing of unit vectors: the unit circle and the numbers at the tips


@figures.house_style
def frame_and_cosines(weight: Tensor, turn: float = 0.0) -> Figure:
    """Draw the rows of ``weight`` as arrows on the left, their cosines as a heat map on the right.

    Args:
        weight: (K, d). In the plane the arrows are exact; in space they are seen from the side, ``turn`` degrees
            about the vertical; above three dimensions you see their most regular flat shadow.
        turn: degrees.
    """
    fig, (left, right) = figures.new(5.6, 2.9, cols=2)
    draw_vectors(left, weight, turn=turn)
    draw_cosines(right, weight)
    left.set_title(_where(weight))
    right.set_title("cosines")
    return fig


@figures.house_style
def pulled(weight: Tensor, angle: float, span: float = 60.0, turn: float = 25.0) -> Figure:
    """Draw a frame whose first vector is turned by ``angle`` degrees towards its second, and what that costs.

    Args:
        weight: (K, d), K >= 3, the frame before the pull. angle: degrees, within ``span`` either way.
        span: the range of the curves. turn: viewpoint of a three-dimensional frame.
    """
    fig, (left, right) = figures.new(5.6, 3.0, cols=2)
    draw_vectors(left, pull(weight, angle), turn=turn)
    left.set_title(f"vector 1 turned by {angle:+.0f}°")
    angles = np.linspace(-span, span, 121)
    frames = [pull(weight, a) for a in angles]
    for measure, name, color, style in (
        (etf.coherence, "coherence", figures.COLORS[1], "-"),
        (etf.largest_cosine, "largest cosine", figures.COLORS[0], "--"),
    ):
        right.plot(angles, [measure(f) for f in frames], style, color=color, label=name)
        right.plot(angle, measure(pull(weight, angle)), "o", color=color, markersize=7)
    K, d = weight.shape
    for bound, name in ((etf.welch_bound(K, d), "Welch bound"), (etf.simplex_bound(K, d), "simplex bound")):
        right.axhline(bound, color=figures.GREY, linewidth=1.2, linestyle=":")
        right.text(0, bound - 0.04, name, ha="center", va="top", color="#595959")
    right.set(xlabel="turn of vector 1 (degrees)", ylim=(-0.75, 1.1), xlim=(-span - 3, span + 3))
    right.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, handlelength=1.4, columnspacing=1)
    return fig


@figures.house_style
def price_of_room(best: Mapping[int, Mapping[int, float]]) -> Figure:
    """Draw the smallest angle of the best arrangement found against the dimension, one line for each K.

    Args:
        best: K to (d to largest cosine found).
    """
    fig, ax = figures.new(5.6, 3.6)
    for i, (K, by_dim) in enumerate(best.items()):
        dims = np.array(list(by_dim))
        angles = np.degrees(np.arccos(np.clip(list(by_dim.values()), -1, 1)))
        color = figures.COLORS[i % len(figures.COLORS)]
        ax.plot(dims, angles, "-o", color=color)
        ax.annotate(
            f"K = {K}", (dims[-1], angles[-1]), xytext=(8, 0), textcoords="offset points",
            va="center", color=color,
        )  # fmt: skip
    ax.axhline(90, color=figures.GREY, linewidth=1.2, linestyle=":")
    last = max(max(by_dim) for by_dim in best.values())
    ax.set(xlabel="dimension d", ylabel="best smallest angle (degrees)", xlim=(0.8, last + 1.2))
    ax.set_xticks(range(1, last + 1))
    return fig


@figures.house_style
def packed(weight: Tensor, turn: float = 25.0) -> Figure:
    """Draw an arrangement with its smallest angle joined up, and its cosines.

    Args:
        weight: (K, d), d at most 3. turn: viewpoint in space.
    """
    fig, (left, right) = figures.new(5.6, 2.9, cols=2)
    draw_vectors(left, weight, turn=turn, nearest=True)
    draw_cosines(right, weight)
    K = len(weight)
    smallest = math.degrees(math.acos(max(-1.0, etf.largest_cosine(weight))))
    simplex = math.degrees(math.acos(-1 / (K - 1)))
    left.set_title(f"closest pair {smallest:.1f}°")
    left.text(0.5, 0, f"simplex {simplex:.1f}°", transform=left.transAxes, ha="center", va="top", color="#595959")
    right.set_title("cosines")
    return fig


@figures.house_style
def lines(weight: Tensor, turn: float = 0.0) -> Figure:
    """Draw the lines through the rows of ``weight`` and the cosines between the rows.

    Args:
        weight: (K, d), d at most 3. turn: viewpoint in space, degrees.
    """
    fig, (left, right) = figures.new(5.6, 2.9, cols=2)
    draw_vectors(left, weight, turn=turn, both_ways=True)
    draw_cosines(right, weight)
    left.set_title(f"{len(weight)} lines in {weight.shape[1]} dimensions")
    right.set_title(f"cosines: ± {etf.coherence(weight):.3f}")
    return fig


@figures.house_style
def turned_onto(weight: Tensor, target: Tensor, angle: float) -> Figure:
    """Draw a frame in the plane turned by ``angle`` degrees over another, and the distance between the two.

    Args:
        weight, target: (K, 2). angle: degrees; the curve runs over a whole turn, with and without a reflection.
    """
    fig, (left, right) = figures.new(5.6, 3.0, cols=2)
    draw_vectors(left, target, color=figures.GREY)
    draw_vectors(left, weight @ rotation(angle), color=figures.COLORS[1])
    left.set_title("target in grey")
    angles = np.arange(0.0, 361.0, 3.0)
    flip = torch.diag(torch.tensor([1.0, -1.0], dtype=weight.dtype))
    for start, name, style, color in (
        (weight, "rotation", "-", figures.COLORS[1]),
        (weight @ flip, "reflected first", "--", figures.COLORS[0]),
    ):
        gaps = [float(torch.linalg.matrix_norm(start @ rotation(a) - target)) for a in angles]
        right.plot(angles, gaps, style, color=color, label=name)
    right.plot(angle, float(torch.linalg.matrix_norm(weight @ rotation(angle) - target)), "o", color=figures.COLORS[1])
    right.set(xlabel="turn (degrees)", ylabel="Frobenius distance", xticks=range(0, 361, 90), ylim=(0, None))
    right.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return fig


def rotation(angle: float) -> Tensor:
    """Return the (2, 2) matrix that turns row vectors by ``angle`` degrees, anticlockwise."""
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return torch.tensor([[c, s], [-s, c]], dtype=torch.float64)


def pull(weight: Tensor, angle: float) -> Tensor:
    """Return ``weight`` (K, d), unit rows, with row 0 turned by ``angle`` degrees towards row 1."""
    first, second = weight[0], weight[1]
    across = torch.nn.functional.normalize(second - (second @ first) * first, dim=0)
    moved = weight.clone()
    moved[0] = math.cos(math.radians(angle)) * first + math.sin(math.radians(angle)) * across
    return moved


def draw_cosines(ax: Axes, weight: Tensor) -> None:
    """Draw the cosine matrix of the rows with one scale for all frames, values written in up to K = 4."""
    K = len(weight)
    # Adding zero turns a rounded -0.0 into 0.0, which would be printed as -0.00.
    cosines = etf.cosine_matrix(weight).numpy().round(2) + 0.0
    names = [str(k + 1) for k in range(K)]
    figures.draw_heat_map(ax, cosines, limit=1.0, ticks=names, values=K <= 4)


def draw_vectors(
    ax: Axes,
    weight: Tensor,
    *,
    turn: float = 0.0,
    nearest: bool = False,
    both_ways: bool = False,
    color: str | None = None,
) -> None:
    """Draw unit rows as numbered arrows inside the unit circle.

    Args:
        weight: (K, d). turn: viewpoint in degrees, for three dimensions. nearest: join the pairs at the smallest
            angle, instead of all pairs. both_ways: draw whole lines. color: of all arrows; one each by default.
    """
    tips, depth = _seen(weight, turn)
    ax.add_patch(Circle((0, 0), 1, fill=False, edgecolor="#D0D0D0", linestyle="--", zorder=0))
    joined: Sequence[tuple[int, int]] = [] if both_ways else _pairs(weight, nearest)
    for j, k in joined:
        ax.plot(*tips[[j, k]].T, color="#BDBDBD", linewidth=1.0, zorder=1)
    for k in np.argsort(depth):  # the farthest first, so that nearer ones cover it
        near = 0.5 + 0.5 * (1 + depth[k]) / 2  # 0.5 at the back to 1 at the front
        own = color or figures.COLORS[k % len(figures.COLORS)]
        x, y = map(float, tips[k])
        look = {"lw": 2.4 * near, "alpha": near, "zorder": 3 + depth[k], "arrowstyle": "-" if both_ways else "-|>"}
        figures.arrow(ax, (-x, -y) if both_ways else (0.0, 0.0), (x, y), own, **look)
        out = 1 + 0.12 / max(math.hypot(x, y), 0.25)
        ax.text(x * out, y * out, str(k + 1), ha="center", va="center", color=own)
    ax.set(xlim=(-LIMIT, LIMIT), ylim=(-LIMIT, LIMIT), aspect="equal")
    ax.axis("off")


def _pairs(weight: Tensor, nearest: bool) -> list[tuple[int, int]]:
    cosines = etf.cosine_matrix(weight).numpy()
    largest = etf.largest_cosine(weight)
    pairs = itertools.combinations(range(len(weight)), 2)
    return [(j, k) for j, k in pairs if not nearest or cosines[j, k] > largest - 1e-5]


def _seen(weight: Tensor, turn: float) -> tuple[np.ndarray, np.ndarray]:
    """Return where the tips appear (K, 2) and how near they are (K,), from -1 at the back to 1 at the front."""
    W = weight.detach().double().cpu().numpy()
    K, d = W.shape
    if d == 1:
        return np.column_stack([W, np.zeros(K)]), np.zeros(K)
    if d == 2:
        return W, np.zeros(K)
    if d > 3:
        # Coordinates cos, sin of 2 pi k / K: the plane in which a simplex casts a regular polygon as its shadow.
        angle = 2 * np.pi * np.arange(K) / K
        plane, _ = np.linalg.qr(W.T @ np.column_stack([np.cos(angle), np.sin(angle)]))
        return W @ plane, np.zeros(K)
    about, tilt = math.radians(turn), math.radians(18)
    x = math.cos(about) * W[:, 0] - math.sin(about) * W[:, 1]
    y = math.sin(about) * W[:, 0] + math.cos(about) * W[:, 1]
    up = math.cos(tilt) * W[:, 2] + math.sin(tilt) * y
    return np.column_stack([x, up]), math.sin(tilt) * W[:, 2] - math.cos(tilt) * y


def _where(weight: Tensor) -> str:
    K, d = weight.shape
    name = {1: "on a line", 2: "in the plane", 3: "in space"}.get(d, "flat shadow")
    return f"{K} vectors, {name}"
