"""The drawings of chapter 6: spheres, paths on them, temperature, the landscape, and the speed comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ncbook.etf import simplex_etf
from ncbook.figures.style import COLORS, GREY, arrow, house_style, new
from ncbook.sphere import Census, Descent, SphericalUFM, geodesic, project, retract

BLUE, ORANGE, GREEN = COLORS[:3]


def _unit(degrees: float) -> Tensor:
    angle = math.radians(degrees)
    return torch.tensor([[math.cos(angle), math.sin(angle)]], dtype=torch.float64)


def _blank(ax: Axes, left: float, right: float, bottom: float, top: float) -> None:
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    ax.axis("off")


def _circle(ax: Axes, radius: float = 1.0, **options: Any) -> None:
    t = np.linspace(0, 2 * np.pi, 200)
    style: dict[str, Any] = {"color": GREY, "lw": 1.2}
    ax.plot(radius * np.cos(t), radius * np.sin(t), **(style | options))


@house_style
def tangent_plane(gradient: Sequence[float] = (0.25, 0.95)) -> Figure:
    """Draw a gradient at a point of the circle, split into its radial and its tangent part."""
    fig, ax = new(5.0, 4.0)
    x = _unit(35.0)
    g = torch.tensor([gradient], dtype=torch.float64)
    tangent = project(x, g)
    _circle(ax)
    line = torch.cat([x - 1.1 * tangent / tangent.norm(), x + 1.3 * tangent / tangent.norm()])
    ax.plot(*line.T, color=GREY, lw=1.2, ls="--")
    p, end, foot = x[0], (x + g)[0], (x + tangent)[0]
    arrow(ax, p, end, ORANGE)
    arrow(ax, p, foot, BLUE)
    ax.plot([float(foot[0]), float(end[0])], [float(foot[1]), float(end[1])], color=GREY, ls=":", lw=1.5)
    ax.plot(*p, "o", color="black", ms=7)
    ax.text(p[0] - 0.08, p[1] - 0.12, "$x$", ha="right", va="top", fontsize=13)
    ax.text(end[0] + 0.05, end[1], "gradient", color=ORANGE, va="center")
    ax.text(foot[0] - 0.06, foot[1] + 0.05, "tangent part", color=BLUE, ha="right", va="bottom")
    ax.text(*(line[0] + torch.tensor([0.05, -0.02])), "tangent line", color=GREY, va="top")
    ax.text((foot[0] + end[0]) / 2, (foot[1] + end[1]) / 2 + 0.08, "radial part", color=GREY, va="bottom", ha="right")
    _blank(ax, -1.1, 2.0, -1.1, 1.75)
    return fig


@house_style
def retraction(step: float) -> Figure:
    """Draw a tangent step from a point of the circle, where it is scaled back to, and where the geodesic ends."""
    fig, ax = new(5.0, 4.9)
    x = _unit(35.0)
    v = step * torch.tensor([[-math.sin(math.radians(35)), math.cos(math.radians(35))]], dtype=torch.float64)
    back, along = retract(x, v)[0], geodesic(x, v)[0]
    _circle(ax)
    p, tip = x[0], (x + v)[0]
    arrow(ax, p, tip, ORANGE)
    ax.plot([0, float(tip[0])], [0, float(tip[1])], color=GREY, lw=1.2, ls=":")
    arc = torch.cat([geodesic(x, v, float(t)) for t in np.linspace(0, 1, 60)])
    ax.plot(*arc.T, color=GREEN, lw=3.5, alpha=0.7)
    ax.plot(*p, "o", color="black", ms=7)
    ax.plot(*tip, "o", color=ORANGE, ms=7)
    ax.plot(*along, "s", color=GREEN, ms=9)
    ax.plot(*back, "o", color=BLUE, ms=7)
    ax.text(p[0] + 0.08, p[1] - 0.04, "$x$", va="center", fontsize=13)
    ax.text(tip[0] + 0.08, tip[1] + 0.06, "$x+v$", color=ORANGE, fontsize=13)
    ax.text(-1.55, 2.15, f"step {step:g}: retraction and geodesic are {float((back - along).norm()):.4f} apart")
    ax.text(-1.55, -1.3, "● retraction", color=BLUE)
    ax.text(-0.45, -1.3, "■ end of the geodesic", color=GREEN)
    _blank(ax, -1.6, 1.95, -1.4, 2.35)
    return fig


@house_style
def paths(problem: SphericalUFM, path: Descent) -> Figure:
    """Draw a descent on the circle (time runs outwards) or on the 2-sphere; solid rows of W, thin features."""
    gap = float(path.values[-1]) - problem.lower_bound()
    title = f"loss {float(path.values[0]):.2f} → {float(path.values[-1]):.3g}, above the bound by {gap:.0e}"
    if gap < 1e-4:
        title = title[: title.index(", above")] + ", at the bound"
    draw = _circle_paths if problem.feature_dim == 2 else _sphere_paths
    return draw(problem, path, title)


def _circle_paths(problem: SphericalUFM, path: Descent, title: str) -> Figure:
    fig, ax = new(5.2, 4.9)
    radius = np.linspace(0.35, 1.0, len(path.values))[:, None]
    W, H = (torch.stack(parts).numpy() for parts in zip(*path.path))
    _circle(ax, 0.35, ls=":")
    _circle(ax, 1.0)
    for k in range(problem.num_classes):
        w = radius * W[:, k]
        ax.plot(*w.T, color=COLORS[k], lw=3)
        ax.plot(*w[-1], "s", color=COLORS[k], ms=11)
        ax.text(*(1.18 * w[-1]), str(k), color=COLORS[k], ha="center", va="center", fontsize=13)
    for i, k in enumerate(problem.labels.tolist()):
        h = radius * H[:, i]
        ax.plot(*h.T, color=COLORS[k], lw=1.2, ls="--")
        ax.plot(*h[-1], "o", mfc="white", color=COLORS[k], ms=8)
    ax.set_title(title)
    ax.text(0, 0, "start", color=GREY, ha="center", va="center")
    _blank(ax, -1.35, 1.35, -1.3, 1.3)
    return fig


def _sphere_paths(problem: SphericalUFM, path: Descent, title: str) -> Figure:
    fig, ax = new(5.2, 4.9, subplot_kw={"projection": "3d"})
    u, v = np.meshgrid(np.linspace(0, 2 * np.pi, 25), np.linspace(0, np.pi, 13))
    ax.plot_wireframe(np.cos(u) * np.sin(v), np.sin(u) * np.sin(v), np.cos(v), color="#DDDDDD", lw=0.6)
    keep = np.unique(np.geomspace(1, len(path.values), 60).astype(int) - 1)  # most of the way is covered early
    W, H = (torch.stack(parts)[keep].numpy() for parts in zip(*path.path))
    for k in range(problem.num_classes):
        w = W[:, k]
        ax.plot(*w.T, color=COLORS[k], lw=3)
        ax.plot(*w[-1:].T, "s", color=COLORS[k], ms=11)
        ax.text(*(1.22 * w[-1]), str(k), color=COLORS[k], fontsize=13, ha="center", va="center")
    for i, k in enumerate(problem.labels.tolist()):
        h = H[:, i]
        ax.plot(*h.T, color=COLORS[k], lw=1.2, ls="--")
        ax.plot(*h[-1:].T, "o", mfc="white", color=COLORS[k], ms=8)
    ax.set(xlim=(-0.8, 0.8), ylim=(-0.8, 0.8), zlim=(-0.8, 0.8), box_aspect=(1, 1, 1), title=title)
    ax.set_axis_off()
    return fig


@house_style
def temperature(num_classes: int) -> Figure:
    """Draw what a temperature can reach, and how curved the landscape still is at the optimum, over temperature."""
    fig, (left, right) = new(6.8, 3.4, 1, 2)
    taus = np.geomspace(0.3, 50, 80)
    problems = [SphericalUFM(num_classes, 1, max(2, num_classes - 1), float(t)) for t in taus]
    # Of the right class, and of each of the wrong ones without the cancellation of 1 - best.
    best = np.array([math.exp(-p.lower_bound()) for p in problems])
    wrong = best * np.exp([-p.margin for p in problems])
    left.plot(taus, best, color=BLUE)
    left.axhline(1 / num_classes, color=GREY, ls=":", lw=1.2)
    left.text(taus[-1], 1 / num_classes + 0.02, "chance", color=GREY, ha="right", va="bottom")
    left.set(
        xscale="log", ylim=(0, 1.03), xlabel=r"temperature $\tau$", title=f"best probability, {num_classes} classes"
    )
    right.plot(taus, taus * wrong, color=ORANGE)
    peak = int((taus * wrong).argmax())
    right.plot(taus[peak], (taus * wrong)[peak], "o", color=ORANGE)
    right.annotate(
        rf"$\tau={taus[peak]:.1f}$", (taus[peak], (taus * wrong)[peak]), xytext=(0, 8), textcoords="offset points",
        ha="center",
    )  # fmt: skip
    right.set(
        xscale="log", yscale="log", ylim=(1e-9, 3), xlabel=r"temperature $\tau$", title="curvature at the optimum"
    )
    return fig


@house_style
def census(problem: SphericalUFM, found: Census) -> Figure:
    """Draw critical points by loss and smallest curvature: minima lie on the zero line, saddles below it."""
    fig, ax = new(5.8, 3.8)
    gaps, lowest = found.value.numpy() - problem.lower_bound(), found.smallest.numpy()
    at_bound, curved = gaps < 1e-6, lowest < -1e-6
    kinds = [
        (at_bound, BLUE, "o", "global minimum"),
        (~at_bound & curved, GREEN, "v", "strict saddle or maximum"),
        (~at_bound & ~curved, ORANGE, "X", "neither"),
    ]
    ax.axhline(0, color=GREY, lw=1.2)
    for mask, color, marker, name in kinds:
        if mask.any():
            ax.plot(
                gaps[mask], lowest[mask], marker, color=color, ms=9, alpha=0.6, mew=0, label=f"{name}: {mask.sum()}"
            )
    ax.set(xlabel="loss above the bound", ylabel="smallest curvature")
    ax.set_title(rf"$K={problem.num_classes}$, $d={problem.feature_dim}$, $\tau={problem.temperature:g}$")
    ax.legend(loc="lower left")
    return fig


@house_style
def stranded_feature(num_classes: int, tau: float) -> Figure:
    """Draw one feature's loss as it swings round from its class's row to the far side and on, W held at the ETF.

    Two ways round: within the plane of the rows towards another class's row, and out of it, through a spare dimension.
    """
    fig, ax = new(5.8, 3.8)
    K = num_classes
    W = simplex_etf(K, K)
    angles = np.linspace(0, 2 * np.pi, 241)
    within = project(W[:1], W[1:2])
    spare = torch.linalg.svd(W).Vh[-1:]
    for side, color, style, name in (
        (within, BLUE, "-", "in the plane of the rows"),
        (spare, ORANGE, "--", "out of it"),
    ):
        direction = side / side.norm()
        h = torch.from_numpy(np.cos(angles))[:, None] * W[:1] + torch.from_numpy(np.sin(angles))[:, None] * direction
        loss = torch.nn.functional.cross_entropy(
            tau * h @ W.T, torch.zeros(len(h), dtype=torch.int64), reduction="none"
        )
        ax.plot(np.degrees(angles), loss, style, color=color, label=name)
    ax.axvline(180, color=GREY, ls=":", lw=1.2)
    ax.set(xlabel="angle between the feature and its class's row (degrees)", ylabel="loss of the feature")
    ax.set(xticks=[0, 90, 180, 270, 360], ylim=(0, None))
    ax.set_title(rf"$\tau={tau:g}$: far side is a {'valley' if tau > K - 1 else 'ridge'} in the plane")
    ax.legend(loc="upper right")
    return fig


@house_style
def sticking(taus: Sequence[float], shares: Mapping[str, Sequence[float]]) -> Figure:
    """Draw the share of seeds that stopped above the bound, over temperature."""
    fig, ax = new(5.8, 3.6)
    for (name, share), color, marker in zip(shares.items(), COLORS, "osv^"):
        ax.plot(taus, 100 * np.asarray(share), color=color, marker=marker, ms=8, label=name)
    ax.set(xlabel=r"temperature $\tau$", ylabel="runs that stick (percent)", ylim=(-4, 104))
    ax.legend(loc="upper left")
    return fig


def feature_decay(tau: float) -> float:
    """Return the decay on one feature under which its best length is ``sqrt(tau)``, beside rows of that length.

    Three classes, ``W`` a simplex ETF: minus the radial slope of the cross-entropy there, over the length.
    """
    return 1.5 * 2 / (math.exp(1.5 * tau) + 2)


@house_style
def two_parametrisations(tau: float) -> Figure:
    """Draw the loss of one feature under decay and under normalisation, over the same plane, W held at the ETF."""
    fig, axes = new(6.8, 3.7, 1, 2, sharex=True, sharey=True)
    W = math.sqrt(tau) * torch.tensor([[1.0, 0.0], [-0.5, math.sqrt(0.75)], [-0.5, -math.sqrt(0.75)]]).double()
    length = math.sqrt(tau)  # of the feature where its loss plus decay is smallest
    grid = torch.linspace(-2.0, 2.0, 161, dtype=torch.float64) * length
    x, y = torch.meshgrid(grid, grid, indexing="xy")
    plane = torch.stack([x.flatten(), y.flatten()], dim=1)
    radius = plane.norm(dim=1, keepdim=True).clamp_min(1e-9)
    fit = lambda h: torch.logsumexp(h @ W.T, dim=1) - h @ W[0]
    decay = feature_decay(tau)
    surfaces = fit(plane) + decay / 2 * radius[:, 0] ** 2, fit(plane / radius * length)
    for ax, surface, title in zip(axes, surfaces, ("with decay", "normalised")):
        z = surface.view_as(x).numpy()
        ax.contour(x, y, z, levels=np.quantile(z, np.linspace(0.02, 0.98, 13)), cmap="viridis", linewidths=1.3)
        _circle(ax, length, color="black", lw=1.6)
        for k, w in enumerate(W):
            arrow(ax, (0, 0), w * length / math.sqrt(tau) * 0.8, COLORS[k])
        ax.plot(length, 0, "*", color=COLORS[0], ms=15)
        ax.set(title=title, aspect="equal", xticks=[], yticks=[])
        ax.grid(False)
    return fig


@house_style
def speed_curves(
    curves: Mapping[str, Sequence[Sequence[float]]], *, ylabel: str, target: float | None = None
) -> Figure:
    """Draw one thin line a seed and the median of each arm, over epochs, on a logarithmic axis."""
    fig, ax = new(5.8, 3.6)
    for (arm, runs), color, style in zip(curves.items(), (ORANGE, BLUE, GREEN), ("--", "-", "-.")):
        values = np.asarray(runs, dtype=float)
        epochs = np.arange(1, values.shape[1] + 1)
        ax.plot(epochs, values.T, color=color, lw=0.8, alpha=0.4)
        ax.plot(epochs, np.median(values, axis=0), style, color=color, lw=2.6, label=arm)
    if target is not None:
        ax.axhline(target, color=GREY, ls=":", lw=1.4)
        ax.text(1, target, "target", color=GREY, va="bottom")
    ax.set(yscale="log", xlabel="epoch", ylabel=ylabel)
    ax.legend(loc="upper right")
    return fig
