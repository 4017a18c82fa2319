"""Drawings of the memory chapter: what is counted, what is alive at one time, and what lowers it at which accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from ncbook.figures import style as figures
from ncbook.figures.style import COLORS, GREY

PARTS = ("parameters", "gradients", "optimizer_state", "activations")
NAMES = {"optimizer_state": "momentum"}
PHASE_COLORS = {"forward": COLORS[0], "backward": COLORS[1], "step": COLORS[2]}


@figures.house_style
def savings(changes: Mapping[str, Mapping[str, float]], *, title: str = "") -> Figure:
    """Draw relative changes as bars to the left, one group a row, one colour a way of counting.

    Args:
        changes: row to {way of counting: change as a share}, such as ``{"batch 2": {"counted": -0.19}}``.
        title: above the drawing.
    """
    fig, ax = figures.new(5.8, 1.4 + 0.6 * len(changes))
    ways = list(dict.fromkeys(way for values in changes.values() for way in values))
    for i, values in enumerate(changes.values()):
        for j, (way, change) in enumerate(values.items()):
            y = i + 0.38 * (j - (len(values) - 1) / 2)
            ax.barh(y, 100 * change, height=0.34, color=COLORS[ways.index(way)], hatch="//" if ways.index(way) else "")
            ax.text(100 * change, y, f"{100 * change:.1f} ".replace("-", "−"), va="center", ha="right", fontsize=10)
    for color, way in zip(COLORS, ways):
        ax.barh(0, 0, color=color, hatch="//" if ways.index(way) else "", label=way)
    ax.set_yticks(range(len(changes)), list(changes))
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    lowest = min(change for values in changes.values() for change in values.values())
    ax.set(xlabel="change (%)", title=title, xlim=(120 * min(lowest, -0.01), 0))
    fig.legend(loc="outside lower center", ncols=len(ways))
    return fig


@figures.house_style
def parameter_bars(before: Mapping[str, int], after: Mapping[str, int], *, title: str = "") -> Figure:
    """Draw the parameters of each part of a network, before and after a change, as pairs of bars.

    Args:
        before, after: part to number of trainable parameters, in the same order. title: above the drawing.
    """
    fig, ax = figures.new(5.8, 3.6)
    for i, name in enumerate(before):
        for j, (counts, color) in enumerate(((before, GREY), (after, COLORS[0]))):
            ax.barh(i + 0.4 * j - 0.2, counts[name] / 1e6, height=0.36, color=color)
        end, change = max(before[name], after[name]) / 1e6, (after[name] - before[name]) / 1e6
        ax.text(end, i, f" {change:+.2f}" if change else "", va="center", fontsize=10)
    ax.set_yticks(range(len(before)), list(before))
    ax.invert_yaxis()
    ax.set(xlabel="trained parameters (millions)", title=title, xlim=(0, 1.12 * max(before.values()) / 1e6))
    ax.grid(axis="y", visible=False)
    return fig


@figures.house_style
def ledger_bars(ledgers: Mapping[str, Any], *, title: str = "") -> Figure:
    """Draw ledgers as stacked bars in megabytes, one bar each, with the peak as a black mark.

    Args:
        ledgers: name to anything with the attributes of a ``MemoryLedger``. title: above the drawing.
    """
    fig, ax = figures.new(5.8, 1.9 + 0.55 * len(ledgers))
    for i, found in enumerate(ledgers.values()):
        left = 0.0
        for part, color in zip(PARTS, COLORS):
            size = getattr(found, part) / 1e6
            label = NAMES.get(part, part) if i == 0 else None
            ax.barh(i, size, left=left, height=0.6, color=color, label=label)
            left += size
        peak = found.peak / 1e6
        ax.plot([peak, peak], [i - 0.4, i + 0.4], color="black", linewidth=2.5, label="peak" if i == 0 else None)
    ax.set_yticks(range(len(ledgers)), list(ledgers))
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set(xlabel="megabytes", title=title)
    ax.set_xlim(left=0)
    fig.legend(loc="outside lower center", ncols=3)
    return fig


@figures.house_style
def step_timeline(found: Any, limit: float, *, title: str = "", compared: Any = None) -> Figure:
    """Draw the bytes alive after each operation of a training step, coloured by phase.

    Args:
        found: anything with ``timeline`` and ``peak``. limit: of the vertical axis, in megabytes.
        title: above the drawing. compared: another one, drawn in grey behind, over its own length.
    """
    fig, ax = figures.new(5.8, 3.6)
    if compared is not None:
        alive = [size / 1e6 for _, size in compared.timeline]
        ax.plot([i / len(alive) for i in range(len(alive))], alive, color=GREY, linewidth=1.5, linestyle=":")
    count, start = len(found.timeline), 0
    for phase, color in PHASE_COLORS.items():
        stop = start + sum(p == phase for p, _ in found.timeline)
        alive = [size / 1e6 for _, size in found.timeline[start:stop]]
        ax.plot([(start + i) / count for i in range(len(alive))], alive, color=color, label=phase)
        start = stop
    ax.axhline(found.peak / 1e6, color="black", linewidth=1.0, linestyle="--")
    peak = found.peak / 1e6
    ax.annotate(f"peak {peak:.0f} MB", (0.99, peak), xytext=(0, 3), textcoords="offset points", ha="right")
    ax.set(xlabel="share of the step's operations", ylabel="megabytes alive", title=title, xlim=(0, 1), ylim=(0, limit))
    ax.legend(loc="lower center", ncols=3)
    return fig


@figures.house_style
def arm_curves(curves: Mapping[str, Mapping[str, Sequence[Sequence[float]]]], epochs: Sequence[int]) -> Figure:
    """Draw test error and NC1 of several arms over the epochs: means over seeds, with the range shaded.

    Args:
        curves: arm to ``{"error": S x T, "nc1": S x T}``, a row a seed. epochs: (T,).
    """
    fig, axes = figures.new(6.8, 3.6, cols=2)
    styles = ("-", "--", "-.", ":")
    for i, (arm, values) in enumerate(curves.items()):
        for ax, name in zip(axes, ("error", "nc1")):
            columns = list(zip(*values[name]))
            mean = [sum(column) / len(column) for column in columns]
            style = {"color": COLORS[i % len(COLORS)]}
            ax.plot(epochs, mean, styles[i % len(styles)], label=arm, **style)
            ax.fill_between(epochs, [min(c) for c in columns], [max(c) for c in columns], alpha=0.15, lw=0, **style)
    axes[0].set(xlabel="epoch", title="test error")
    axes[1].set(xlabel="epoch", title="NC1, training images")
    for ax in axes:
        ax.set_yscale("log")
    axes[0].legend(loc="upper right")
    return fig


@figures.house_style
def frontier(points: Mapping[str, tuple[float, Sequence[float]]], *, highlight: str | None = None) -> Figure:
    """Draw accuracy, with its range over seeds, against the change of the peak in per cent.

    Args:
        points: name to (change of the peak as a share, accuracies over seeds); the first is the baseline.
        highlight: name of the point to draw large and to label in full.
    """
    fig, ax = figures.new(5.8, 3.8)
    baseline = next(iter(points.values()))[1]
    ax.axhspan(100 * min(baseline), 100 * max(baseline), color=GREY, alpha=0.15, lw=0)
    for i, (name, (change, accuracies)) in enumerate(points.items()):
        mean = 100 * sum(accuracies) / len(accuracies)
        size = 11 if name == highlight else 7
        color = COLORS[1] if name == highlight else COLORS[0]
        ax.plot([100 * change] * 2, [100 * min(accuracies), 100 * max(accuracies)], color=color, linewidth=1.5)
        ax.plot(100 * change, mean, "o", markersize=size, color=color)
        # Neighbours carry their numbers on different sides: two points may have the same place.
        side = {"xytext": (-7, 0), "ha": "right"} if i % 2 else {"xytext": (7, 0), "ha": "left"}
        ax.annotate(str(i + 1), (100 * change, mean), textcoords="offset points", va="center", **side)
    for share in (20, 50):
        ax.axvline(-share, color=GREY, linestyle="--", linewidth=1.0)
    shown = (
        "" if highlight is None else f"{list(points).index(highlight) + 1}: {highlight}, {points[highlight][0]:+.0%}"
    )
    ax.set(
        xlabel="change of the counted peak, ResNet18, batch 128 (%)", ylabel="test accuracy on digits (%)", title=shown
    )
    ax.margins(y=0.15)
    return fig


table = figures.Table  # of measured values: the arms or ways to train down, what was measured across
