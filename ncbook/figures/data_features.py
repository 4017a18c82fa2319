"""The drawings of the chapter on features from data: where training samples and new samples land."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ncbook.figures import style as figures

MARKERS = ("o", "s", "^", "D", "v", "P")
Panel = tuple[str, Tensor, Tensor, Tensor, Tensor]  # title, features, labels, new features, new labels


@figures.house_style
def feature_planes(panels: Sequence[Panel]) -> Figure:
    """Draw features of the plane, class by class: those trained on filled, those of new samples pale.

    Each panel is turned so that the first class's mean points up; missing dimensions are drawn as zero.

    Args:
        panels: one to three of (title, features (N, r), labels (N,), new features (M, r), new labels (M,)), r <= 2.

    Raises:
        ValueError: for more than three panels, or features with more than two dimensions.
    """
    if not 1 <= len(panels) <= 3:
        raise ValueError(f"panels must be one to three, got {len(panels)}")
    # Wide: less to scroll past on a page.
    width, height = (5.6, 4.0) if len(panels) == 1 else (7, 7 / len(panels) + 0.6)
    fig, axes = figures.new(width, height, 1, len(panels))
    for ax, (title, features, labels, fresh, truth) in zip([axes] if len(panels) == 1 else axes, panels):
        turn = _upright(features, labels)
        trained, new = _flat(features) @ turn, _flat(fresh) @ turn
        for k in range(int(labels.max()) + 1):
            look = {"color": figures.COLORS[k], "marker": MARKERS[k], "linestyle": "none"}
            ax.plot(*new[truth == k].T, markersize=3, alpha=0.25, markeredgewidth=0, **look)
            ax.plot(*trained[labels == k].T, markersize=5.5, markeredgecolor="white", markeredgewidth=0.4, **look)
        reach = 1.1 * max(float(trained.abs().max()), float(new.abs().max()), 1e-9)
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        ax.set_title(title, fontsize=10)
    return fig


def _flat(features: Tensor) -> Tensor:
    if features.shape[1] > 2:
        raise ValueError(f"features must have at most two dimensions to be drawn, got {features.shape[1]}")
    return torch.nn.functional.pad(features, (0, 2 - features.shape[1]))


def _upright(features: Tensor, labels: Tensor) -> Tensor:
    """Return the orthogonal map that turns the first class's mean up and keeps the second's to the right."""
    first, second = (_flat(features)[labels == k].mean(dim=0) for k in (0, 1))
    if float(first.norm()) == 0:
        return torch.eye(2, dtype=features.dtype)
    up = first / first.norm()
    right = torch.stack([up[1], -up[0]])
    return torch.stack([right if float(right @ second) >= 0 else -right, up], dim=1)
