"""The drawings of chapter 7: data in the plane, neurons on the circle, and how collapse measures move with log time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ncbook.figures import style as figures
from ncbook.shallow import DEAD, Collapse, Flow, ShallowReLU, assignment, predicted_limit, separability

MEASURES = {
    "nc1": "NC1, raw",
    "directional_nc1": "NC1, directional",
    "nc2_frame": "NC2, orthogonal frame",
    "nc3": "NC3, projected",
}
FLOOR = 1e-15  # drawn instead of round-off and exact zeros on a logarithmic axis


@figures.house_style
def plane(inputs: Tensor, labels: Tensor) -> Figure:
    """Draw data in the plane, and the cosine of every pair as a heat map ordered by class."""
    fig, (left, right) = figures.new(6.6, 3.3, cols=2)
    _draw_data(left, inputs, labels, length=1.0)
    left.set_title("samples")
    unit = torch.nn.functional.normalize(inputs, dim=1)
    figures.draw_heat_map(right, unit @ unit.T, limit=1.0, values=False)
    right.set_xticks([])
    right.set_yticks([])
    mu_s, mu_d = separability(inputs, labels)
    right.set_title("cosines of all pairs")
    fig.suptitle(f"within a class ≥ {mu_s:.2f}, between classes ≤ {-mu_d:.2f}", fontsize=11)
    return fig


@figures.house_style
def film(run: Flow, index: int, inputs: Tensor, labels: Tensor) -> Figure:
    """Draw one moment of a flow in the plane: the neurons' directions on the left, the loss so far on the right.

    Dots are neurons on the unit circle, coloured by the class they are active on, grey while they are active on
    several, hollow when dead. Crosses outside are the max-margin directions; short rays inside are the samples.
    """
    fig, (left, right) = figures.new(6.8, 3.5, cols=2, width_ratios=[1, 1.05])
    _draw_data(left, inputs, labels, length=0.55)
    _draw_neurons(left, run.network(index), inputs, labels)
    now = float(run.log_times[index])
    left.set_title(f"log t = {now:.1f}")
    x, y = run.log_times.numpy(), run.log_loss.numpy()
    right.plot(x, y, color=figures.GREY, linewidth=1.2)
    right.plot(x[: index + 1], y[: index + 1], color=figures.COLORS[0])
    right.plot(now, y[index], "o", color=figures.COLORS[0], markersize=8)
    _log_time_axis(right, x)
    right.set(ylabel="log loss", yscale="symlog")
    length = run.network(index).norm
    right.set_title(rf"$\Vert\theta\Vert$ = {length:.2g}")
    return fig


@figures.house_style
def broken(run: Flow, inputs: Tensor, labels: Tensor, found: Collapse) -> Figure:
    """Draw where the neurons of a flow ended, for data that may not be separable, and the measures of collapse."""
    fig, (left, right) = figures.new(6.8, 3.5, cols=2, width_ratios=[1, 1])
    _draw_data(left, inputs, labels, length=0.55)
    _draw_neurons(left, run.network(), inputs, labels)
    mu_s, mu_d = separability(inputs, labels)
    left.set_title("separable" if min(mu_s, mu_d) > 0 else "not separable")
    names = ["directional_nc1", "nc2_frame", "nc3"]
    values = [max(getattr(found, name), 1e-12) for name in names]
    right.barh(range(3), values, color=[figures.COLORS[i] for i in (1, 2, 3)], left=1e-13)
    right.set(xscale="log", xlim=(1e-13, 5), xlabel="measure (0 is collapsed)")
    right.set_yticks(range(3), ["NC1\ndirectional", "NC2\nframe", "NC3\nprojected"])
    right.invert_yaxis()
    right.set_title(f"μ_s = {mu_s:.2f}, μ_d = {mu_d:.2f}")
    return fig


@figures.house_style
def collapse_curves(log_times: Tensor, found: Sequence[Collapse], raw_limit: float, fitted: float) -> Figure:
    """Draw the measures of collapse over log time, with the predicted limit of the raw NC1 dashed.

    Args:
        log_times: (T,). found: T measures. raw_limit: NC1 of the exact limit. fitted: the log time at which the
            loss has halved, marked.
    """
    fig, ax = figures.new(5.8, 4.2)
    x = log_times.numpy()
    for i, (name, label) in enumerate(MEASURES.items()):
        y = np.maximum([getattr(c, name) for c in found], FLOOR)
        ax.plot(x, y, ("-", "--", "-.", ":")[i], color=figures.COLORS[i], label=label)
    ax.axhline(raw_limit, color=figures.COLORS[0], linewidth=1.2, dashes=(2, 3))
    ax.text(x[-1], raw_limit * 1.6, "raw NC1 of the exact limit", ha="right", va="bottom", color=figures.COLORS[0])
    ax.axvline(fitted, color=figures.GREY, linewidth=1.2, linestyle="--")
    ax.text(fitted, 20, " loss halved", color="#595959", va="top")
    _log_time_axis(ax, x)
    ax.set(yscale="log", ylim=(FLOOR / 3, 30), ylabel="measure (0 is collapsed)")
    fig.legend(loc="outside upper center", ncols=2)
    return fig


@figures.house_style
def lazy(curves: Mapping[float, Sequence[float]], log_times: Tensor, scale: float) -> Figure:
    """Draw directional NC1 over log time for every start scale, one of them picked out, on log-log axes."""
    fig, ax = figures.new(5.8, 3.8)
    x = log_times.numpy()
    for eps, y in curves.items():
        chosen = eps == scale
        ax.plot(
            x, y, color=figures.COLORS[1] if chosen else "#C8C8C8", linewidth=3 if chosen else 1.4, zorder=2 + chosen
        )
        ax.text(x[-1] * 1.08, y[-1], f"ε = {eps:g}", va="center", color="black" if chosen else "#595959")
    ax.set(xscale="log", yscale="log", xlabel="log t (natural logarithm of time)", ylabel="NC1, directional")
    ax.set_xlim(x[0], x[-1] * 3)
    return fig


@figures.house_style
def plateau(rows: Sequence[tuple[str, float, float]], bound: Sequence[float]) -> Figure:
    """Draw plateau lengths in the flow's own units against ``log(1/(sqrt(h) eps))``: one line of slope 1 for all.

    Args:
        rows: ``(what was varied, log(1/(sqrt(h) eps)), rate * plateau)``. bound: the proved lower bound at each row, in
            the same units.
    """
    fig, ax = figures.new(5.8, 3.8)
    across = np.array([float(a) for _, a, _ in rows])
    up = np.array([float(b) for _, _, b in rows])
    kinds = np.array([kind for kind, _, _ in rows])
    for i, kind in enumerate(dict.fromkeys(kinds.tolist())):
        of_kind = kinds == kind
        ax.plot(across[of_kind], up[of_kind], "os^"[i], color=figures.COLORS[i], markersize=7, label=f"{kind} varied")
    ends = np.array([across.min(), across.max()])
    ax.plot(ends, ends + (up - across).mean(), color="black", linewidth=1.2, label="slope 1")
    order = np.argsort(across)
    ax.plot(across[order], np.asarray(bound)[order], color=figures.GREY, linestyle=":", label="proved lower bound")
    ax.set(xlabel=r"$\log\,(1/(\sqrt{h}\,\epsilon))$", ylabel="plateau length × growth rate", ylim=(0, None))
    ax.legend(loc="upper left")
    return fig


@figures.house_style
def correlations(before: Tensor, after: Tensor, labels: Tensor) -> Figure:
    """Draw the cosines of all pairs of samples, ordered by class, before and after the global mean is removed."""
    order = torch.argsort(labels, stable=True)
    fig, axes = figures.new(6.6, 3.5, cols=2)
    for ax, X, title in zip(axes, (before, after), ("as they come", "global mean removed")):
        unit = torch.nn.functional.normalize(X[order], dim=1)
        figures.draw_heat_map(ax, unit @ unit.T, limit=1.0, values=False)
        ax.set_xticks([])
        ax.set_yticks([])
        ax.set_title(title)
    fig.colorbar(axes[1].images[0], ax=list(axes), shrink=0.85, label="cosine")
    return fig


@figures.house_style
def images(rows: Mapping[str, Tensor], side: int) -> Figure:
    """Draw rows of vectors as signed square images, each on its own scale, one column a class.

    Args:
        rows: name of a row to vectors (K, side * side). side: pixels.
    """
    K = len(next(iter(rows.values())))
    fig, axes = figures.new(1.35 * K + 1.6, 1.45 * len(rows), rows=len(rows), cols=K, squeeze=False)
    for r, (name, vectors) in enumerate(rows.items()):
        for k, vector in enumerate(vectors):
            ax = axes[r, k]
            pixels = vector.detach().reshape(side, side).numpy()
            top = float(np.abs(pixels).max()) or 1.0
            ax.imshow(pixels, cmap=figures.DIVERGING, vmin=-top, vmax=top)
            ax.set_xticks([])
            ax.set_yticks([])
            ax.grid(False)
            if k == 0:
                ax.set_ylabel(name, rotation=0, ha="right", va="center")
            if r == 0:
                ax.set_title(f"class {k}")
    return fig


def _draw_data(ax: Axes, inputs: Tensor, labels: Tensor, length: float) -> None:
    longest = float(inputs.norm(dim=1).max())
    for x, k in zip((inputs * length / longest).tolist(), labels.tolist()):
        ax.plot([0, x[0]], [0, x[1]], color=figures.COLORS[k], linewidth=1.3, alpha=0.8)
    angle = np.linspace(0, 2 * math.pi, 181)
    ax.plot(np.cos(angle), np.sin(angle), color="#C8C8C8", linewidth=1.0, zorder=0)
    figures.bare(ax, 1.35)


def _draw_neurons(ax: Axes, network: ShallowReLU, inputs: Tensor, labels: Tensor) -> None:
    directions = torch.nn.functional.normalize(network.W, dim=1).tolist()
    for (x, y), k in zip(directions, assignment(network, inputs, labels).tolist()):
        color = figures.COLORS[k] if k >= 0 else figures.GREY
        ax.plot(x, y, "o", color=color, markersize=8, markerfacecolor="white" if k == DEAD else color, alpha=0.75)
    try:
        targets = predicted_limit(inputs, labels).directions.tolist()
    except ValueError:  # a class that fills more than a half-plane has no max-margin direction
        return
    for k, (x, y) in enumerate(targets):
        ax.plot(1.2 * x, 1.2 * y, "X", color=figures.COLORS[k], markersize=10, markeredgecolor="black")


def _log_time_axis(ax: Axes, log_times: np.ndarray) -> None:
    # Linear through the alignment phase, logarithmic in log t after it: both phases stay visible.
    ax.set_xscale("symlog", linthresh=4, linscale=1.2)
    ticks = [t for t in (-4, 0, 4, 10, 100, 1000, 10_000) if log_times[0] <= t <= 1.2 * log_times[-1]]
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.set_xticks([], minor=True)
    ax.set_xlim(log_times[0], log_times[-1] * 1.1)
    ax.set_xlabel("log t (natural logarithm of time)")
