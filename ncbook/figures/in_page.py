"""Experiments that compute in the page: no kernel, no network, nothing but a small script laid in beside its data."""

from __future__ import annotations

import base64
import html
import io
import json
import math
import zlib
from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ncbook import checks
from ncbook._lazy import optional

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = ("formulas", "frames", "freefeatures", "neurons", "race", "saddle", "simplex", "sphere", "train")
BELOW = {  # scripts that an experiment's own one needs before it
    "formulas": ("charts.js",),
    "frames": ("vectors.js", "charts.js"),
    "simplex": ("vectors.js",),
    "train": ("network.js",),
}


def live(name: str, *, alt: str, still: Callable[[], Figure], **parameters: Any) -> LiveExperiment:
    """Lay a live experiment into the page, with a still picture where scripts are off.

    Args:
        name: one of ``figures.in_page.NAMES``; its script is ``figures/scripts/<name>.js``.
        alt: text that states what the still picture shows.
        still: draws the still picture, a matplotlib ``Figure``.
        parameters: what the experiment starts with, plain numbers, texts, booleans or lists of them.

    Returns:
        LiveExperiment: end a cell with it to show it.

    Raises:
        ValueError: for an unknown ``name``, an empty ``alt``, a ``still`` that is no function, or a parameter that
            JSON cannot write.
    """
    return LiveExperiment(name, alt, still, parameters)


class LiveExperiment:
    """The result of `live`: HTML that runs by itself; arguments and errors as there, ``parameters`` as a dict."""

    def __init__(self, name: str, alt: str, still: Callable[[], Figure], parameters: dict[str, Any]) -> None:
        if name not in NAMES:
            raise ValueError(f"name must be one of {', '.join(NAMES)}, got {name!r}")
        if not isinstance(alt, str) or not alt.strip():
            raise ValueError(f"alt must say what the still picture shows, got {alt!r}")
        if not callable(still):
            raise ValueError(f"still must be a function that draws a Figure, got {type(still).__name__}")
        for key, value in checks.instance("parameters", parameters, dict).items():
            if not _plain(value):
                raise ValueError(f"{key} must be a finite number, a text, a boolean or a list of them, got {value!r}")
        self.name, self.alt, self.still, self.parameters = name, alt, still, parameters

    def __repr__(self) -> str:
        return f"LiveExperiment({self.name})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/plain": repr(self), "text/html": self.to_html()}

    def to_html(self, image: str = "") -> str:
        """Return self-contained HTML; the same experiment gives the same text on every build.

        Args:
            image: an ``<img>`` element to lay in for readers without scripts, instead of what ``still`` draws.
        """
        data = json.dumps({"name": self.name, "parameters": self.parameters}, sort_keys=True).replace("</", "<\\/")
        ident = f"nc-{zlib.crc32(data.encode()):08x}"
        image = (
            checks.instance("image", image, str)
            or f'<img src="{_picture(self.still())}" alt="{html.escape(self.alt)}">'
        )
        scripts = "\n".join(script(file) for file in ("core.js", *BELOW.get(self.name, ()), f"{self.name}.js"))
        return (
            f'<div class="nclive" id="{ident}"><style>{script("style.css")}</style>'
            f'<div class="nclive-still">{image}</div>'
            f'<script type="application/json">{data}</script>'
            f'<script>{scripts}\nncLive.start("{ident}");</script></div>'
        )


def script(name: str) -> str:
    """Return the text of one file of ``figures/scripts``."""
    return (files("ncbook.figures") / "scripts" / name).read_text(encoding="utf-8")


def _picture(figure: Any) -> str:
    if not isinstance(figure, optional("matplotlib.figure").Figure):
        raise ValueError(f"still must draw a matplotlib Figure, got {type(figure).__name__}")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="webp", dpi=100, bbox_inches="tight")
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_plain, value))
    return isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value))
