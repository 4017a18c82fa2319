"""The drawings of chapters 4 and 5: the proof as a chain, certificates, saddles and the ways off them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ncbook.figures import style as figures
from ncbook.ufm import Chain

LINKS = (
    "objective",
    "factors balanced",
    "no bias decay",
    "equal rivals",
    "equal margins",
    "aligned",
    "best margin",
)
GREEN, ORANGE, BLUE = figures.COLORS[2], figures.COLORS[1], figures.COLORS[0]
DARK = "#595959"


@figures.house_style
def proof_chain(chain: Chain, lower_bound: float, *, top: float) -> Figure:
    """Draw the seven numbers of the proof at one point, to scale, above the lower bound that the point certifies.

    Args:
        chain: of ``landscape.inequality_chain``. lower_bound: of ``landscape.certificate`` at the same point.
        top: right end of the axis, the same for all points that are to be compared.
    """
    fig, ax = figures.new(5.8, 4.0)
    names, values = [*LINKS, "certified bound"], [*chain.steps, lower_bound]
    for row, value in enumerate(values):
        color = ORANGE if row == 0 else GREEN if row == 6 else BLUE if row < 6 else DARK
        ax.barh(-row, min(value, top), color=color, height=0.62)
        shown = min(value, 0.985 * top)
        inside = shown > 0.84 * top
        ax.text(
            shown + (-0.01 if inside else 0.01) * top, -row, f"{value:.4f}", va="center",
            ha="right" if inside else "left", color="white" if inside else "black",
            bbox=None if inside else {"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )  # fmt: skip
    ax.axvline(chain.minimum, color=GREEN, linestyle="--", linewidth=1.4)
    ax.set_yticks([-row for row in range(len(names))], names)
    ax.set(xlim=(0, top), xlabel="value")
    ax.grid(axis="y", visible=False)
    return fig


@figures.house_style
def links_closing(steps: Sequence[int], chains: Sequence[Chain], bounds: Sequence[float]) -> Figure:
    """Draw how much each inequality of the proof loses along a run, on a logarithmic scale.

    Args:
        steps: at which the points were taken. chains: one a point. bounds: the certified bound at each point.
    """
    fig, ax = figures.new(5.8, 4.2)
    losses = np.array([[a - b for a, b in zip(c.steps, c.steps[1:])] for c in chains])
    shown = [i for i in range(losses.shape[1]) if losses[:, i].max() > 1e-9]
    styles = ("-", "--", "-.", ":")
    for k, i in enumerate(shown):
        ax.plot(steps, np.maximum(losses[:, i], 1e-12), styles[k % 4], color=figures.COLORS[k], label=LINKS[i + 1])
    gap = np.array([c.minimum - lower for c, lower in zip(chains, bounds)])
    ax.plot(steps, np.maximum(gap, 1e-12), color=DARK, linestyle="--", label="bound below minimum")
    ax.set(xlabel="step of gradient descent", ylabel="loss of the step", yscale="log", ylim=(1e-9, 30))
    ax.legend(ncols=2, loc="upper right")
    return fig


@figures.house_style
def squeeze(steps: Sequence[int], values: Sequence[float], bounds: Sequence[float], minimum: float) -> Figure:
    """Draw the objective from above and the certified bound from below along a run, closing on the minimum."""
    fig, ax = figures.new(5.8, 3.6)
    ax.plot(steps, values, color=ORANGE, label="objective")
    ax.plot(steps, bounds, "--", color=BLUE, label="certified bound")
    ax.fill_between(steps, bounds, values, color=figures.GREY, alpha=0.2)
    ax.axhline(minimum, color=GREEN, linestyle=":", linewidth=1.6, label="minimum")
    ax.set(xlabel="step of gradient descent", ylabel="value", ylim=(0, min(max(values), 5 * minimum)))
    ax.legend(loc="upper right")
    return fig


@figures.house_style
def layer_bars(names: Sequence[str], values: Sequence[float], bounds: Sequence[float], minimum: float) -> Figure:
    """Draw the objective and the certified bound of several last layers, and the minimum they share."""
    fig, ax = figures.new(5.8, 3.4)
    rows = np.arange(len(names))
    for row, low, high in zip(rows, bounds, values):
        ax.plot([low, high], [-row, -row], color=figures.GREY, linewidth=5, alpha=0.5, zorder=1)
        ax.annotate(f"{high:.3f}", (high, -row), xytext=(8, 0), textcoords="offset points", va="center", color=ORANGE)
        ax.annotate(
            f"{low:.3f}", (low, -row), xytext=(-8, 0), textcoords="offset points", ha="right", va="center",
            color=BLUE,
        )  # fmt: skip
    ax.scatter(values, -rows, color=ORANGE, s=60, label="the layer's objective", zorder=2)
    ax.scatter(bounds, -rows, color=BLUE, s=60, marker="s", label="its certified bound", zorder=2)
    ax.axvline(minimum, color=GREEN, linestyle="--", label="minimum")
    ax.set_yticks(-rows, names)
    ax.set(xlabel="value", xlim=(-0.06 * max(values), 1.15 * max(values)), ylim=(-len(names) + 0.4, 0.7))
    ax.grid(axis="y", visible=False)
    ax.legend(loc="lower right")
    return fig


@figures.house_style
def saddle_surface(
    along: Tensor, across: Tensor, values: Tensor, path: Tensor, *, xlabel: str, ylabel: str, title: str = ""
) -> Figure:
    """Draw level lines of the objective over a plane through a saddle at the origin, with a path on it.

    Args:
        along: (A,) and across: (B,) coordinates; values: (B, A). path: (T, 2) coordinates of the path.
        xlabel, ylabel: what the two directions are. title: above the picture.
    """
    fig, ax = figures.new(5.8, 4.2)
    low, high = float(values.min()), float(values.max())
    centre = float(values[int(across.abs().argmin()), int(along.abs().argmin())])
    # Steep walls far up would use up all the colours: the levels are spent around the height of the saddle.
    levels = np.linspace(low, min(high, low + 2.5 * (centre - low)), 22)
    shape = ax.contourf(along, across, values, levels=levels, cmap=figures.SEQUENTIAL, alpha=0.8, extend="max")
    ax.contour(along, across, values, levels=levels, colors="white", linewidths=0.5)
    ax.set_title(title)
    ax.plot(path[:, 0], path[:, 1], color="black", linewidth=3.4)
    ax.plot(path[:, 0], path[:, 1], color="white", linewidth=1.4)
    ax.plot(*path[0], "o", color="white", markeredgecolor="black", markersize=8)
    ax.plot(*path[-1], "o", color=ORANGE, markeredgecolor="black", markersize=9)
    ax.plot(0, 0, "x", color="black", markersize=9, markeredgewidth=2.2)
    fig.colorbar(shape, ax=ax, label="objective", format="%.2f")
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.set_xlim(float(along.min()), float(along.max()))
    ax.set_ylim(float(across.min()), float(across.max()))
    ax.grid(False)
    return fig


@figures.house_style
def spectrum(eigenvalues: Tensor, predicted: Sequence[float] = ()) -> Figure:
    """Draw all eigenvalues of a Hessian in order, the negative ones marked, with predicted values as lines.

    Args:
        eigenvalues: (P,) ascending. predicted: levels to draw across.
    """
    e = eigenvalues.numpy()
    fig, ax = figures.new(5.8, 3.6)
    rank = np.arange(1, len(e) + 1)
    for level in predicted:
        ax.axhline(level, color=GREEN, linestyle="--", linewidth=1.4)
    signs = ((e < -1e-8, ORANGE, "v", "negative"), (abs(e) <= 1e-8, figures.GREY, "s", "zero"))
    for mask, color, marker, name in (*signs, (e > 1e-8, BLUE, "o", "positive")):
        ax.plot(rank[mask], e[mask], marker, color=color, markersize=5, label=f"{int(mask.sum())} {name}")
    ax.axhline(0, color="black", linewidth=0.8)
    linear = 1e-3
    ax.set_yscale("symlog", linthresh=linear)
    ax.set(xlabel="eigenvalue number", ylabel="eigenvalue", ylim=(-1, 1))
    ax.set_yticks([-1, -1e-1, -1e-2, -1e-3, 0, 1e-3, 1e-2, 1e-1, 1])
    ax.legend(loc="upper left")
    return fig


@figures.house_style
def leaving(runs: Mapping[str, tuple[Tensor, Tensor]], *, ylabel: str = "distance from the saddle") -> Figure:
    """Draw distances from a saddle over steps on a logarithmic scale, each beside its prediction.

    Args:
        runs: name to ``(measured (T,), predicted (T,))``; predictions are drawn dashed up to distance 1.
    """
    fig, ax = figures.new(5.8, 3.8)
    for i, (name, (measured, predicted)) in enumerate(runs.items()):
        color = figures.COLORS[i % len(figures.COLORS)]
        shown = measured.clamp(min=3e-17)  # zero has no place on this axis
        ax.plot(shown, color=color, label=name)
        keep = predicted <= 1
        ax.plot(predicted[keep], "--", color="black", linewidth=1.3, label="theory" if i == 0 else None)
    ax.set(xlabel="step of gradient descent", ylabel=ylabel, yscale="log", ylim=(1e-17, 30))
    ax.legend(loc="lower right")
    return fig


@figures.house_style
def census_map(census: Any, minimum: float | None, *, max_index: int, max_value: float) -> Figure:
    """Draw every critical point of a census: its number of ways down against its objective.

    Args:
        census: of ``landscape.critical_points``. minimum: the certified minimum, or None where there is none.
        max_index, max_value: ends of the axes, the same for all pictures that are to be compared.
    """
    fig, ax = figures.new(5.8, 4.0)
    stable = census.index == 0
    certified = stable & (census.spectral_ratio < 1 + 1e-6)
    jitter = torch.linspace(-0.18, 0.18, len(census.index), dtype=torch.float64)
    groups = (
        (~stable, ORANGE, "o", "strict saddles"),
        (certified, GREEN, "*", "certified global minima"),
        (stable & ~certified, figures.COLORS[3], "D", "stable, not certified"),
    )
    for mask, color, marker, name in groups:
        if bool(mask.any()):
            size = 110 if marker == "*" else 34
            x = (census.index + jitter)[mask]
            ax.scatter(
                x, census.value[mask], color=color, marker=marker, s=size, alpha=0.75, linewidths=0,
                label=f"{int(mask.sum())} {name}",
            )  # fmt: skip
    if minimum is not None:
        ax.axhline(minimum, color=GREEN, linestyle="--", linewidth=1.2)
    ax.set(xlabel="index: independent ways down", ylabel="objective", xlim=(-0.7, max_index + 0.7))
    ax.set_ylim(0, max_value)
    ax.legend(loc="upper left")
    return fig


@figures.house_style
def escape_times(eigenvalues: Sequence[float], times: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> Figure:
    """Draw steps needed to leave a saddle against the size of its eigenvalue, measured beside predicted.

    Args:
        eigenvalues: sizes of the negative eigenvalues. times: name to ``(measured, predicted)``.
    """
    fig, ax = figures.new(5.8, 3.8)
    for i, (name, (measured, predicted)) in enumerate(times.items()):
        ax.plot(eigenvalues, measured, "os^D"[i % 4], color=figures.COLORS[i], markersize=8, label=name)
        ax.plot(eigenvalues, predicted, "--", color=figures.COLORS[i], linewidth=1.4)
    ax.set(xscale="log", yscale="log", xlabel="size of the smallest eigenvalue", ylabel="steps to leave")
    for axis, ticks in ((ax.xaxis, list(eigenvalues)), (ax.yaxis, [20, 50, 100, 200, 500, 1000])):
        axis.set_ticks(ticks, [f"{tick:.2g}" if tick < 1 else str(tick) for tick in ticks])
        axis.set_ticks([], minor=True)
    ax.legend(loc="upper right", title="dots: measured, lines: theory")
    return fig


@figures.house_style
def final_values(values: Mapping[str, Sequence[float]], best: Mapping[str, float], *, xlabel: str) -> Figure:
    """Draw where many runs of each problem end, one row a problem, against the best value of each.

    Args:
        values: name to final values. best: name to the global minimum.
    """
    fig, ax = figures.new(5.8, 1.0 + 0.8 * len(values))
    for row, (name, ends) in enumerate(values.items()):
        excess = np.maximum(np.asarray(ends) - best[name], 1e-14)
        spread = np.linspace(-0.22, 0.22, len(excess))
        stuck = excess > 1e-6
        ax.scatter(excess[~stuck], (-row + spread)[~stuck], color=GREEN, s=30, alpha=0.8, linewidths=0)
        ax.scatter(excess[stuck], (-row + spread)[stuck], color=ORANGE, s=30, alpha=0.8, linewidths=0)
        ax.text(
            1.02, -row, f"{int(stuck.sum())} of {len(excess)}\nstuck", transform=ax.get_yaxis_transform(), va="center"
        )
    ax.set_yticks([-row for row in range(len(values))], list(values))
    ax.set(xscale="log", xlabel=xlabel, xlim=(1e-15, 3), ylim=(-len(values) + 0.45, 0.55))
    ax.grid(axis="y", visible=False)
    return fig
