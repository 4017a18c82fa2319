"""Pictures of several panels: side by side where there is room, one below the other on a phone.

A picture is cut where a strip of paper runs through it from top to bottom, and shown through as many windows: each
shows the whole picture, moved.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

LEAST = 15  # pixels of paper between two panels; a tick's label is nearer to its axis, and another panel farther away
BETWEEN_ROWS = 4  # pixels of paper between two rows of a grid
SHARE = 0.2  # of the width that a panel has at least


def cuts(pictures: Sequence[Any]) -> list[float]:
    """Return where pictures of one size can be cut into panels, as shares of their width.

    Args:
        pictures: each (height, width, 3), 255 where the paper is left white.

    Returns:
        Shares between 0 and 1, ascending; empty for a single panel, for a grid of panels, and for different sizes.
    """
    if len({picture.shape for picture in pictures}) != 1:
        return []
    paper = np.logical_and.reduce([(np.asarray(picture) == 255).all(axis=2) for picture in pictures])
    height, width = paper.shape
    middle = paper[height // 4 : -(height // 4)].all(axis=1)
    if any(stop - start >= BETWEEN_ROWS for start, stop in _runs(middle)):
        return []
    runs = [(start + stop) / 2 / width for start, stop in _runs(paper.all(axis=0)) if stop - start >= LEAST]
    found = [share for share in runs if SHARE <= share <= 1 - SHARE]
    sizes = np.diff([0, *found, 1])
    return found if found and sizes.min() >= SHARE else []


def windows(shares: Sequence[float], width: int, height: int, image: Callable[[bool], str]) -> str:
    """Return HTML that shows one picture through a window for each panel.

    Args:
        shares: as `cuts` returns them. width, height: of the picture, in pixels.
        image: called with whether this is the first window; returns the ``<img>`` elements of one.
    """
    edges = [0, *shares, 1]
    spans = []
    for i, (left, right) in enumerate(itertools.pairwise(edges)):
        size = right - left
        # The place is where the window stands among all places it can stand at.
        place = 0 if size == 1 else 100 * left / (1 - size)
        look = f"flex-grow:{size:.4g};aspect-ratio:{round(size * width)}/{height};--place:{place:.4g}%"
        spans.append(f'<span style="{look}">{image(i == 0)}</span>')
    several = " nc-several" if shares else ""
    return f'<span class="nc-panels{several}" style="--wide:{width}px">{"".join(spans)}</span>'


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Return where ``flags`` are true without a break, as (first, one past the last)."""
    steps = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return list(zip(steps[::2].tolist(), steps[1::2].tolist()))
