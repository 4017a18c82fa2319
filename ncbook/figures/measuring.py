"""The drawings of the chapter on measuring collapse."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from ncbook.figures.style import COLORS, GREY, house_style, new


@house_style
def spectrum(eigenvalues: Tensor, cutoff: float, rank: int, value: float, truth: float) -> Figure:
    """Draw which eigenvalues of a between-class covariance a pseudo-inverse inverts, and the NC1 that comes out.

    Args:
        eigenvalues: (d,) magnitudes, descending. cutoff: those above it are inverted.
        rank: how many are not zero in exact arithmetic. value: the NC1 that comes out. truth: the right one.
    """
    sizes = np.maximum(eigenvalues.abs().numpy(), 1e-16)
    index = np.arange(1, len(sizes) + 1)
    real, kept = index <= rank, sizes > cutoff
    fig, ax = new(5.8, 3.9)
    for mask, color, marker, name in (
        (real & kept, COLORS[0], "o", "real, inverted"),
        (real & ~kept, COLORS[4], "s", "real, thrown away"),
        (~real & kept, COLORS[1], "^", "round-off, inverted"),
        (~real & ~kept, GREY, "x", "round-off, left out"),
    ):
        if mask.any():
            ax.plot(index[mask], sizes[mask], marker, color=color, markersize=5, label=f"{mask.sum()} {name}")
    ax.axhline(cutoff, color="#000000", linestyle="--", linewidth=1.2)
    ax.annotate("cut-off", (1, cutoff), xycoords=("axes fraction", "data"), xytext=(-4, 4),
                textcoords="offset points", ha="right")  # fmt: skip
    ax.set(xscale="log", yscale="log", ylim=(1e-16, 1e3), xlabel="eigenvalue number", ylabel="size")
    ax.set_title(f"NC1 comes out as {value:.2g}; it is {truth:.2g}")
    ax.legend(loc="center left", bbox_to_anchor=(0, 0.3), frameon=True, facecolor="white", edgecolor="none")
    return fig


@house_style
def floors(noise: Sequence[float], truth: Sequence[float], measured: Mapping[str, Sequence[float]]) -> Figure:
    """Draw the trace quotient as several recipes measure it over the noise in the classes."""
    fig, ax = new(5.8, 3.9)
    lowest = 1e-19
    ax.plot(noise, truth, color=GREY, linewidth=6, alpha=0.4, label="exact")
    for (name, values), color, marker in zip(measured.items(), COLORS, "o^sD"):
        shown = [value if value > 0 else lowest for value in values]
        ax.plot(noise, shown, marker=marker, color=color, markersize=5, linewidth=1.4, label=name)
    ax.set(xscale="log", yscale="log", ylim=(lowest / 2, 1e3), xlabel="noise in the classes / distance of means")
    ax.set_ylabel("trace quotient (bottom: $\\leq 0$)")
    ax.invert_xaxis()
    ax.legend(loc="upper right")
    return fig


@house_style
def baselines(dims: Sequence[int], seen: Mapping[str, Sequence[float]], told: Mapping[str, Sequence[float]]) -> Figure:
    """Draw what metrics read on pure noise over the feature dimension: points measured, lines predicted."""
    fig, ax = new(5.8, 3.9)
    for (name, values), color, marker in zip(seen.items(), COLORS, "o^sD"):
        ax.plot(dims, told[name], color=color, linewidth=1.6)
        ax.plot(dims, values, marker, color=color, markersize=6, label=name)
    ax.axhline(1, color=GREY, linewidth=1)
    ax.set(xscale="log", yscale="log", xlabel="feature dimension $d$", ylabel="value on pure noise")
    ax.legend(loc="lower left")
    return fig


@house_style
def two_classes(nc1: float, num_classes: int) -> Figure:
    """Draw two classes of an isotropic, ETF-placed problem along the line that joins their means, for a given NC1."""
    z = math.sqrt((num_classes - 1) / (2 * nc1))  # standard deviations from a mean to the boundary
    x = np.linspace(-2.2, 2.2, 1600)
    fig, ax = new(5.8, 3.4)
    for centre, color, name in ((-1, COLORS[0], "class $j$"), (1, COLORS[1], "class $k$")):
        density = np.exp(-0.5 * (z * (x - centre)) ** 2)
        ax.fill_between(x, density, color=color, alpha=0.35)
        ax.plot(x, density, color=color)
        ax.annotate(name, (centre, 1.06), ha="center", color=color)
    ax.axvline(0, color=GREY, linestyle="--", linewidth=1.2)
    ax.set(ylim=(0, 1.25), yticks=[], xticks=[-1, 0, 1], xticklabels=["$\\mu_j$", "boundary", "$\\mu_k$"])
    ax.grid(False)
    ax.set_title(f"NC1 = {nc1:g}, K = {num_classes}: {z:.3g} standard deviations to the boundary")
    return fig


@house_style
def bars(values: Mapping[str, float], xlabel: str) -> Figure:
    """Draw a few positive numbers of very different size as bars on a logarithmic axis, each with its value."""
    fig, ax = new(5.8, 0.6 + 0.55 * len(values))
    names = list(values)[::-1]
    ax.barh(names, [values[name] for name in names], color=COLORS[0])
    for row, name in enumerate(names):
        ax.annotate(f"{values[name]:.2g}", (values[name], row), xytext=(4, 0), textcoords="offset points", va="center")
    ax.set(xscale="log", xlabel=xlabel)
    ax.margins(x=0.2)
    ax.grid(axis="y", visible=False)
    return fig
