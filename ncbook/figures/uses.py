"""The drawings of the chapter on what collapse is good for."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from ncbook.figures.style import COLORS, house_style, new


@house_style
def angles(known: Tensor, others: Tensor, title: str) -> Figure:
    """Draw how the cosines with the span of the class means are spread, of known classes and of others.

    Args:
        known: (N,) in [0, 1]. others: (M,). title: what the picture shows.
    """
    fig, ax = new(5.8, 3.4)
    bins = np.linspace(0, 1, 41)
    for values, color, hatch, name in ((known, COLORS[0], "", "known classes"), (others, COLORS[1], "//", "new ones")):
        weights = np.full(len(values), 100 / len(values))
        ax.hist(
            values.numpy(), bins, weights=weights, color=color, alpha=0.6, hatch=hatch, edgecolor="white", label=name
        )
    ax.set(xlim=(0, 1), ylim=(0, 60), xlabel="cosine with the span, $\\kappa$", ylabel="% of the images")
    ax.set_title(title)
    ax.legend(loc="upper left")
    return fig
