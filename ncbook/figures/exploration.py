"""A picture under a slider, the same in the built page, on Colab and in a notebook of one's own.

``explore(draw, K=[2, 3, 4])`` draws every choice once and shows native range inputs over the drawn frames. They need
no kernel, no widget extension and nothing from outside, and are operated by mouse, touch or keyboard.
"""

from __future__ import annotations

import base64
import html
import io
import itertools
import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ncbook import checks
from ncbook.figures import dark, panels
from ncbook.figures.in_page import script

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

MAX_BYTES = 600_000  # of one figure's HTML: a page with six of them still opens at once
COLORS = 128  # of all frames of one figure together


def explore(
    draw: Callable[..., Figure],
    *,
    alt: str | Callable[..., str],
    labels: Mapping[str, str] | None = None,
    start: Mapping[str, Any] | None = None,
    **choices: Sequence[Any],
) -> Exploration:
    """Show ``draw`` under one or two sliders; a choice of two is two buttons.

    Args:
        draw: called as ``draw(**values)`` once for each combination of choices; returns a matplotlib ``Figure``.
        alt: text that states what the picture shows, or a function of the same values that returns it.
        labels: what to call a parameter beside its slider (its name by default).
        start: the values shown first (the first of each choice by default).
        choices: one or two parameters, each a short sequence of values.

    Returns:
        Exploration: end a cell with it to show it.

    Raises:
        ValueError: for no or more than two parameters, an empty choice, repeated values, an unknown name in
            ``labels`` or ``start``, a ``start`` that is not among the choices, or an empty ``alt``; on showing, if
            ``draw`` returns anything but a Figure, or if the frames cannot be held under ``MAX_BYTES``.
    """
    return Exploration(draw, alt, labels or {}, start or {}, choices)


class Exploration:
    """The result of `explore`: a picture under one or two sliders."""

    def __init__(
        self,
        draw: Callable[..., Figure],
        alt: str | Callable[..., str],
        labels: Mapping[str, str],
        start: Mapping[str, Any],
        choices: Mapping[str, Sequence[Any]],
    ) -> None:
        for kind, given in (("labels", labels), ("start", start), ("choices", choices)):
            if not isinstance(given, Mapping):
                raise ValueError(f"{kind} must map names of parameters, got {checks.shown(given)}")
        if not callable(draw):
            raise ValueError(f"draw must be a function that returns a Figure, got {type(draw).__name__}")
        if not callable(alt) and not (isinstance(alt, str) and alt.strip()):
            raise ValueError(f"alt must be a text that states what the picture shows, or a function, got {alt!r}")
        if not 1 <= len(choices) <= 2:
            raise ValueError(f"choices must name one or two parameters, got {len(choices)}")
        listed = {name: _different(name, values) for name, values in choices.items()}
        for kind, given in (("labels", labels), ("start", start)):
            if unknown := sorted(set(given) - set(choices)):
                raise ValueError(f"{kind} must name parameters among {sorted(choices)}, got {unknown}")
        for name, value in start.items():
            if value not in listed[name]:
                raise ValueError(f"start for {name} must be one of {listed[name]}, got {value!r}")
        self._draw, self._alt, self.choices = draw, alt, listed
        self._labels = {name: labels.get(name, name) for name in listed}
        self._start = [values.index(start.get(name, values[0])) for name, values in listed.items()]

    def __repr__(self) -> str:
        spans = ", ".join(f"{name}={_show(v[0])}…{_show(v[-1])}" for name, v in self.choices.items())
        return f"Exploration({spans})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/plain": repr(self), "text/html": self.to_html()}

    def _alt_of(self, values: dict[str, Any]) -> str:
        if callable(self._alt):
            return self._alt(**values)
        setting = ", ".join(f"{self._labels[name]} = {_show(v)}" for name, v in values.items())
        return f"{self._alt} ({setting})"

    def _picture(self, values: dict[str, Any]) -> Image:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from PIL import Image

        figure = self._draw(**values)
        if not isinstance(figure, Figure):
            raise ValueError(f"draw must return a matplotlib Figure, got {type(figure).__name__} for {values}")
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return Image.fromarray(_pixels(canvas)).convert("RGB")

    def to_html(self) -> str:
        """Return self-contained HTML: a picture, a native range input a parameter, and a play button."""
        combinations = [dict(zip(self.choices, c)) for c in itertools.product(*self.choices.values())]
        pictures, alts = [self._picture(v) for v in combinations], [self._alt_of(v) for v in combinations]
        values = [[_show(v) for v in choice] for choice in self.choices.values()]
        start = self._index(self._start)
        first, frames = _encode(pictures, start)
        size, shares = pictures[start].size, panels.cuts([np.asarray(picture) for picture in pictures])
        # Without scripts the picture is whole; a script puts it behind windows.
        shown = panels.windows([], *size, lambda one: _image(f'src="{first}" alt="{html.escape(alts[start])}"'))
        cut = panels.windows(shares, *size, lambda one: _image('alt=""' if one else 'alt="" aria-hidden="true"'))
        data = json.dumps({"frames": frames, "alt": alts, "values": values, "panels": cut} | dark.recipe())
        # The id is a digest of the content, so that the same figure gives the same page on every build.
        ident = f"ncx-{zlib.crc32(data.encode()):08x}"
        rows = "".join(map(_control, self._labels.values(), values, self._start))
        play = '<button type="button" class="ncx-play" aria-label="Play">&#9654;</button>' if len(values[0]) > 5 else ""
        return (
            f'<div class="ncx" id="{ident}"><style>{script("panels.css")}{script("explore.css")}</style>{shown}'
            f'<div class="ncx-controls">{play}<div class="ncx-rows">{rows}</div></div>'
            f'<script type="application/json">{data.replace("</", "<" + chr(92) + "/")}</script>'
            f"<script>{script('explore.js').replace('IDENT', ident)}</script></div>"
        )

    def _index(self, at: Sequence[int]) -> int:
        index = 0
        for position, choice in zip(at, self.choices.values()):
            index = index * len(choice) + position
        return index


def _image(attributes: str) -> str:
    return f'<img class="dark-light" {attributes}>'


def _control(label: str, values: list[str], at: int) -> str:
    """Return a slider over the values of one parameter, or two buttons where there are two."""
    label, shown = html.escape(label), [html.escape(value) for value in values]
    if len(values) == 2:
        pressed = ["true", "false"] if at == 0 else ["false", "true"]
        buttons = "".join(
            f'<button type="button" data-at="{i}" aria-pressed="{is_on}">{value}</button>'
            for i, (value, is_on) in enumerate(zip(shown, pressed))
        )
        return (
            f'<div class="ncx-two" role="group" aria-label="{label}"><span>{label}</span>'
            f'<input type="hidden" value="{at}">{buttons}</div>'
        )
    return (
        f'<label class="ncx-row"><span>{label}</span>'
        f'<input type="range" min="0" max="{len(values) - 1}" step="1" value="{at}" '
        f'aria-valuetext="{shown[at]}"><output>{shown[at]}</output></label>'
    )


def _different(name: str, values: Any) -> list[Any]:
    """Return the choices of one parameter, a text not being a sequence of choices."""
    found = list(values) if isinstance(values, Iterable) and not isinstance(values, str | Mapping) else []
    if not found or any(found.index(v) != i for i, v in enumerate(found)):
        raise ValueError(
            f"choices for {name} must be a non-empty sequence of different values, got {checks.shown(values)}"
        )
    return found


def _show(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _pixels(canvas: Any) -> Any:
    return np.asarray(canvas.buffer_rgba())


def _encode(pictures: Sequence[Image], start: int) -> tuple[str, list[list[Any] | None]]:
    """Encode the picture at ``start`` whole, and of each other what differs: ``[data URI, left, top]``.

    Without loss in a palette of their own where they fit, else gently lossy and whole, else smaller.
    """
    from PIL import Image

    sheet = Image.new("RGB", (pictures[0].width // 2 + 1, sum(p.height // 2 + 1 for p in pictures)))
    top = 0
    for picture in pictures:
        sheet.paste(picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.NEAREST), (0, top))
        top += picture.height // 2
    palette = sheet.quantize(COLORS, Image.Quantize.MEDIANCUT)
    few = [_in_palette(picture, palette) for picture in pictures]
    frames: list[list[Any] | None]
    total = 0
    for scale, options in ((None, {"lossless": True}), (1.0, {"quality": 82}), (0.75, {"quality": 78})):
        if scale is None:
            first, frames = _uri(few[start], **options), [_patch(few[start], p, options) for p in few]
        else:
            sized = [p.resize((round(p.width * scale), round(p.height * scale))) for p in pictures]
            first, frames = _uri(sized[start], **options), [[_uri(p, **options)] for p in sized]
        frames[start] = None
        total = len(first) + sum(len(frame[0]) for frame in frames if frame)
        if total < 0.95 * MAX_BYTES:
            return first, frames
    raise ValueError(
        f"choices must give frames of under {MAX_BYTES} bytes together, got {total} for {len(pictures)} frames: "
        "offer fewer values or draw a smaller figure"
    )


def _in_palette(picture: Image, palette: Image) -> Image:
    """Return a picture in the colours of a palette, what is white staying white: the page behind it is."""
    from PIL import Image, ImageChops

    few = picture.quantize(palette=palette, dither=Image.Dither.NONE).convert("RGB")
    white = ImageChops.invert(picture).convert("L").point(lambda value: 255 * (value == 0))
    return Image.composite(picture, few, white)


def _patch(base: Image, picture: Image, options: dict[str, Any]) -> list[Any]:
    """Return what differs from the base, clear elsewhere: ``[data URI, left, top]``, or ``[data URI]`` of all of it."""
    from PIL import Image

    if base.size != picture.size:
        return [_uri(picture, **options)]
    new = np.asarray(picture)
    changed = (new != np.asarray(base)).any(axis=2)
    layer = Image.fromarray(np.dstack([new * changed[..., None], 255 * changed]).astype(np.uint8), "RGBA")
    box = layer.getbbox() or (0, 0, 1, 1)
    return [_uri(layer.crop(box), **options), *box[:2]]


def _uri(picture: Image, **options: Any) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", method=4, **options)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
