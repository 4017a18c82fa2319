"""The same picture for a dark page: each pixel is read as amounts of inks on white paper, and printed with others.

White, thin lines, pale bands and the soft edges of letters are all "less ink", so a picture keeps its shapes and its
order of strong and weak, and no colour is only turned over. Nothing is drawn a second time.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ncbook import checks

PAPER = ("#FFFFFF", "#121212")
# The house's colours and what they are on dark paper; then two of them darker, as words are set, reds
# and blues of the scale for signed numbers, and corners of the cube, so that every colour is between some.
INKS = {
    "#000000": "#E4E7EB",
    "#0072B2": "#5AB4F0",
    "#D55E00": "#FF9248",
    "#009E73": "#35CFA0",
    "#CC79A7": "#D88FBB",
    "#E69F00": "#F0B93A",
    "#56B4E9": "#7CC4F5",
    "#A36186": "#DFA0C6",
    "#3A7A9E": "#8CCBF2",
    "#D6604D": "#EB7560",
    "#B2182B": "#F76E5A",
    "#67001F": "#FF7A6B",
    "#2166AC": "#4A93E0",
    "#053061": "#5FAEFF",
    "#00FFFF": "#2AB7C9",
    "#FF00FF": "#E078D8",
    "#FFFF00": "#9C8A28",
    "#FF0000": "#FF7A6B",
    "#00FF00": "#58D070",
    "#0000FF": "#7C9CFF",
}


def on_dark(pixels: Any) -> np.ndarray:
    """Return a picture on white paper as it is on a dark page.

    Args:
        pixels: (..., 3) whole numbers from 0 to 255: red, green, blue.

    Returns:
        The same shape, as ``uint8``.

    Raises:
        ValueError: if ``pixels`` have no last axis of three, or are no whole numbers from 0 to 255.
    """
    given = np.asarray(pixels)
    if given.ndim < 1 or given.shape[-1] != 3:
        raise ValueError(f"pixels must be (..., 3), got {given.shape}")
    if not np.issubdtype(given.dtype, np.integer) or (given.size and not 0 <= given.min() <= given.max() <= 255):
        raise ValueError(f"pixels must be whole numbers from 0 to 255, got {checks.shown(pixels)}")
    codes, back = np.unique(given.reshape(-1, 3).astype(np.int64) @ (65536, 256, 1), return_inverse=True)
    ink = 1 - np.column_stack([codes >> 16, codes >> 8 & 255, codes & 255]) / 255
    paper, prints = _rgb(PAPER[1]), np.array(list(map(_rgb, INKS.values()))) - _rgb(PAPER[1])
    most = np.full(len(codes), -np.inf)
    printed = np.zeros_like(ink)
    for cone, amounts_of in zip(cones(), _amounts()):
        amounts = ink @ amounts_of  # of the three inks of this cone; those of the right cone are none below zero
        best = amounts.min(axis=1) > most
        most[best] = amounts.min(axis=1)[best]
        printed[best] = (amounts @ prints[list(cone)])[best]
    whole = np.rint(255 * np.clip(paper + printed, 0, 1)).astype(np.uint8)
    return whole[back.ravel()].reshape(given.shape)


@functools.cache
def cones() -> tuple[tuple[int, int, int], ...]:
    """Return triples of neighbouring inks: every colour is a mixture of one triple, with no negative amount."""
    from scipy.spatial import Delaunay

    inks = 1 - np.array(list(map(_rgb, INKS)))
    return tuple(map(tuple, Delaunay((inks / inks.sum(axis=1, keepdims=True))[:, :2]).simplices.tolist()))


def recipe() -> dict[str, Any]:
    """Return what a page's script needs to do the same: the dark paper, the pairs of inks, and `cones`."""
    return {"paper": PAPER[1], "inks": list(INKS.items()), "cones": cones()}


@functools.cache
def _amounts() -> tuple[np.ndarray, ...]:
    inks = 1 - np.array(list(map(_rgb, INKS)))
    return tuple(np.linalg.inv(inks[list(cone)]) for cone in cones())


def _rgb(code: str) -> np.ndarray:
    return np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)]) / 255
