"""The drawings of chapter 1: clouds that become points, their measures falling, and the picture on the cover."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Tensor

from ncbook import checks, etf
from ncbook.figures import style as figures
from ncbook.figures.in_page import LiveExperiment, live

# Paul Tol's muted scheme, for classes: nine colours told apart with any common colour vision, and a grey for the tenth.
CLASS_COLORS = (
    "#332288", "#CC6677", "#117733", "#88CCEE", "#AA4499", "#DDAA33", "#44AA99", "#882255", "#999933", "#777777",
)  # fmt: skip
MEASURES = {
    "nc1": "NC1: spread within classes",
    "nc2_means": "NC2: class means from an ETF",
    "nc2_weight": "NC2: classifier from an ETF",
    "nc3": "NC3: classifier from the means",
}
ACCURACIES = {
    "train_accuracy": "training accuracy",
    "test_accuracy": "test accuracy",
    "nc4": "NC4: decided by nearest mean",
}

# Of the live network: a seed, and the turn (radians) after which its class 0 ends at the top.
START, UPRIGHT = 3, 1.33


def polygon_plane(class_means: Tensor) -> Tensor:
    """Return an orthonormal basis (d, 2) of the plane in which a simplex ETF of the class means is a regular polygon.

    With ``m_k`` the centred means and ``t_k`` the angles of a regular K-gon, the plane is spanned by
    ``sum_k cos(t_k) m_k`` and ``sum_k sin(t_k) m_k``: for three classes the plane of the triangle, for more the one
    shadow that shows all classes alike. Class 0 is at the top, the others follow clockwise. A regular polygon is
    what an ETF must look like here, though more than an ETF can look so.

    Args:
        class_means: (K, d), K >= 3 and d >= 2.

    Raises:
        ValueError: for another shape or a non-finite entry.
    """
    means = checks.tensor("class_means", class_means, "K, d").double()
    if means.shape[0] < 3 or means.shape[1] < 2:
        raise ValueError(f"class_means must be (K, d) with K >= 3 and d >= 2, got {tuple(means.shape)}")
    spans = _polygon(len(means)).T @ (means - means.mean(dim=0))
    # The polar factor is the nearest orthonormal pair: it favours neither axis, as Gram-Schmidt would.
    left, _, right = torch.linalg.svd(spans, full_matrices=False)
    return (left @ right).T


def _polygon(K: int) -> Tensor:
    """Corners (K, 2) of a regular polygon in the unit circle, the first at the top, clockwise."""
    angle = math.pi / 2 - 2 * math.pi * torch.arange(K, dtype=torch.float64) / K
    return torch.stack([angle.cos(), angle.sin()], dim=1)


@figures.house_style
def samples(images: Tensor, labels: Tensor, per_class: int = 4) -> Figure:
    """Draw the first ``per_class`` images of each class, one column a class.

    Args:
        images: (N, 1, height, width) in [0, 1]. labels: (N,).
    """
    K = int(labels.max()) + 1
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1))  # so that neighbours do not touch
    columns = [torch.cat(list(padded[labels == k][:per_class, 0])) for k in range(K)]
    fig, ax = figures.new(6.6, 6.6 * per_class / K + 0.3)
    ax.imshow(torch.cat(columns, dim=1), cmap="gray_r", vmin=0, vmax=1)
    width = padded.shape[-1]
    ax.set_xticks([width * (k + 0.5) - 0.5 for k in range(K)], [str(k) for k in range(K)])
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.set_yticks([])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    return fig


@figures.house_style
def clouds(
    features: Tensor,
    labels: Tensor,
    *,
    names: Sequence[str],
    limit: float,
    classes: Sequence[int] | None = None,
    basis: Tensor | None = None,
    weight: Tensor | None = None,
    title: str = "",
) -> Figure:
    """Draw features as clouds of points in a plane, coloured by class, with their means as large discs.

    Args:
        features: (N, d). labels: (N,). names: of all K classes.
        limit: half-width of the picture, in the units of the features; the middle is the mean of the class means.
        classes: the classes to show, all by default.
        basis: (d, 2), the plane to look at; the features' own plane where d is 2.
        weight: (K, d), the shown rows drawn as arrows, scaled so that the longest reaches as far as the farthest mean.
    """
    fig, ax = figures.new(4.7, 4.9)
    shown = list(range(len(names))) if classes is None else list(classes)
    colors = [CLASS_COLORS[k] for k in shown]
    means = torch.stack([features[labels == k].mean(dim=0) for k in shown])
    flat = lambda x: np.asarray(x if basis is None else x @ basis)
    for k, color in zip(shown, colors):
        points = flat(features[labels == k] - means.mean(dim=0))
        ax.scatter(*points.T, s=9, color=color, alpha=0.45, linewidths=0)
    corners = flat(means - means.mean(dim=0))
    if weight is not None:
        rows = flat(weight[shown])
        rows *= np.linalg.norm(corners, axis=1).max() / np.linalg.norm(rows, axis=1).max()
        for row, color in zip(rows, colors):
            figures.arrow(ax, (0, 0), row, color, lw=1.8)
    ax.scatter(*corners.T, s=60, color=colors, edgecolors="black", linewidths=1, zorder=3)
    for (x, y), k, color in zip(corners, shown, colors):
        length = max(math.hypot(x, y), 1e-9)
        out = min(1 + 0.16 * limit / length, 0.93 * limit / length)  # beyond the mean, inside the picture
        style = dict(ha="center", va="center", fontweight="bold", fontsize=13)
        box = dict(boxstyle="round,pad=0.12", facecolor="white", edgecolor="none", alpha=0.75)
        ax.text(out * x, out * y, names[k], color=color, bbox=box, **style)
    figures.bare(ax, limit)
    ax.set_title(title)
    return fig


@figures.house_style
def cosines(features: Tensor, labels: Tensor, weight: Tensor, title: str = "") -> Figure:
    """Draw the cosines between the centred class means on the left, between the classifier's rows on the right.

    Args:
        features: (N, d). labels: (N,) with every class present. weight: (K, d).
    """
    K = len(weight)
    means = torch.stack([features[labels == k].mean(dim=0) for k in range(K)])
    fig, axes = figures.new(6.6, 3.7, cols=2)
    named = (("class means", means - means.mean(dim=0)), ("classifier rows", weight))
    for ax, (name, vectors) in zip(axes, named):
        figures.draw_heat_map(ax, etf.cosine_matrix(vectors), limit=1.0, values=False)
        ax.set_title(name)
    bar = fig.colorbar(axes[0].images[0], ax=axes, shrink=0.75, ticks=[-1, -1 / (K - 1), 1])
    bar.ax.set_yticklabels(["-1", f"-1/{K - 1}", "1"])
    fig.suptitle(title)
    return fig


@figures.house_style
def collapse(series: Mapping[str, tuple[Sequence[int], Sequence[float]]], terminal: int) -> Figure:
    """Draw the training and test error above, NC1 to NC3 below, over the epochs.

    Args:
        series: epochs and values of ``train_accuracy``, ``test_accuracy`` and of each of ``MEASURES``; epoch 0 is
            left out, for the axis is logarithmic.
        terminal: the epoch at which the training error has reached zero for good.
    """
    fig, (top, bottom) = figures.new(5.8, 5.6, rows=2, sharex=True, height_ratios=[1, 2])
    for i, name in enumerate(("train", "test")):
        epochs, values = series[f"{name}_accuracy"]
        error = [100 * (1 - v) for v in values[1:]]
        top.plot(epochs[1:], error, "-" if i == 0 else "--", color=figures.COLORS[i], label=f"{name} error (%)")
    for i, (key, name) in enumerate(MEASURES.items()):
        epochs, values = series[key]
        style = ("-", "--", ":", "-.")[i]
        bottom.plot(epochs[1:], values[1:], style, color=figures.COLORS[i], label=name)
    for ax in (top, bottom):
        ax.axvspan(terminal, epochs[-1], color="#56B4E9", alpha=0.12, linewidth=0)
        ax.legend(loc="best")
    top.text(terminal * 1.08, 0.5, "terminal phase", transform=top.get_xaxis_transform(), color="#2A6F97", va="center")
    bottom.set(xlabel="epoch", xscale="log", yscale="log")
    top.set_ylim(bottom=-0.3)
    return fig


def table(series: Mapping[str, tuple[Sequence[int], Sequence[float]]], epochs: Sequence[int]) -> figures.Table:
    """Return measured values as a table, one row a series and one column an epoch, to three significant digits.

    Args:
        series: name to epochs and values. epochs: the columns, each among the epochs of every series.
    """
    named = MEASURES | ACCURACIES
    values = {key: dict(zip(at, found)) for key, (at, found) in series.items()}
    rows = [[named.get(key, key), *(f"{found[epoch]:.3g}" for epoch in epochs)] for key, found in values.items()]
    return figures.Table(["epoch", *map(str, epochs)], rows)


@figures.house_style
def compare(
    left: Mapping[str, tuple[Sequence[int], Sequence[float]]],
    right: Mapping[str, tuple[Sequence[int], Sequence[float]]],
    titles: tuple[str, str],
    logy: tuple[bool, bool] = (True, True),
) -> Figure:
    """Draw two measures of several runs side by side over the epochs, one line a run, from epoch 1.

    Args:
        left, right: name of the run to epochs and values. titles: what each side measures. logy: logarithmic sides.
    """
    fig, axes = figures.new(6.6, 3.5, cols=2)
    for ax, runs, title, log in zip(axes, (left, right), titles, logy):
        for i, (name, (epochs, values)) in enumerate(runs.items()):
            keep = [(e, v) for e, v in zip(epochs, values) if e > 0]
            ax.plot(*zip(*keep), ("-", "--", "-.", ":")[i % 4], color=figures.COLORS[i], label=name)
        ax.set(xlabel="epoch", xscale="log", yscale="log" if log else "linear", title=title)
    axes[0].legend(loc="lower left")
    return fig


@figures.house_style
def hero(paths: Tensor, labels: Tensor, names: Sequence[str]) -> Figure:
    """Draw the path of every sample's feature through training, from one cloud to the corners of a simplex ETF.

    Args:
        paths: (T, N, 2), the features at T moments of training. labels: (N,). names: of the K classes.
    """
    means = torch.stack([paths[-1, labels == k].mean(dim=0) for k in range(len(names))])
    tracks = np.asarray(paths - means.mean(dim=0))
    corners = np.asarray(means - means.mean(dim=0))
    fig, ax = figures.new(5.8, 4.6)
    ax.plot(*np.vstack([corners, corners[:1]]).T, color="#B0B0B0", linewidth=1.2, zorder=1)
    for k, color in enumerate(CLASS_COLORS[: len(names)]):
        lines = tracks[:, np.asarray(labels == k)].transpose(1, 0, 2)
        ax.add_collection(LineCollection(list(lines), colors=color, linewidths=0.6, alpha=0.3, zorder=2))
        ax.scatter(*lines[:, 0].T, s=6, color=color, linewidths=0, zorder=3)
        ax.scatter(*lines[:, -1].T, s=24, color=color, linewidths=0, zorder=4)
        ax.scatter(*corners[k], s=330, color=color, edgecolors="white", linewidths=1.2, zorder=5)
        ax.text(*corners[k], names[k], ha="center", va="center_baseline", color="white", fontweight="bold", zorder=6)
    # Around the corners, wherever they lie, with room for paths that overshoot.
    low, high = corners.min(axis=0), corners.max(axis=0)
    (x, y), (width, height) = (low + high) / 2, (high - low) / 2 + 0.5 * np.linalg.norm(corners, axis=1).max()
    width = max(width, 1.3 * height)
    figures.bare(ax, width)
    ax.set(xlim=(x - width, x + width), ylim=(y - height, y + height))
    return fig


def train_it(
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    names: Sequence[str],
    still: Callable[[], Figure],
    table: bool = True,
) -> LiveExperiment:
    """Return the live experiment "train": a network on three classes of digits that the reader trains in the page.

    The page holds the first 60 training and 30 test images of each class, a letter a pixel.

    Args:
        train, test: images (N, 1, 8, 8) in [0, 1] and labels (N,), as ``data.load("digits")`` gives them. names: of the
            three classes. still: draws the picture for readers without scripts. table: show the numbers, too.
    """

    def letters(images: Tensor, labels: Tensor, per_class: int) -> str:
        chosen = torch.cat([images[labels == k][:per_class] for k in range(len(names))])
        return "".join(chr(ord("a") + level) for level in (16 * chosen).round().int().flatten().tolist())

    data: dict[str, Any] = {"images": letters(*train, 60), "tests": letters(*test, 30), "names": list(names)}
    alt = (
        "Features of three classes of handwritten digits, followed through training. They start mixed in the middle, "
        "sort themselves by class, and end in three tight points that form an equilateral triangle around the origin."
    )
    return live("train", alt=alt, still=still, side=train[0].shape[-1], seed=START, turn=UPRIGHT, table=table, **data)
