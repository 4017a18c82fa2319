"""One call that lives with a kernel and without one."""

import base64
import io
import json
import re

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from ncbook.figures import exploration, explore, style


def draw_line(slope, offset=0):
    fig, ax = style.new(3, 2)
    ax.plot([0, 1], [offset, offset + slope])
    return fig


def payload(page):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', page, re.S).group(1))


def picture(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))


def assembled(page):
    """Every frame as the page's script puts it together: the first picture, and over it what differs."""
    first = picture(re.search(r'<img [^>]*src="([^"]+)"', page).group(1)).convert("RGB")
    frames = []
    for uri, *place in [frame or [None] for frame in payload(page)["frames"]]:
        frames.append(first.copy() if uri is None or place else picture(uri).convert("RGB"))
        if place:
            layer = picture(uri).convert("RGBA")
            frames[-1].paste(layer, tuple(place), layer)
    return frames


def drawn(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(int)


def test_every_frame_is_the_drawing_of_its_choice_in_fewer_colours():
    page = explore(draw_line, alt="a line", start={"slope": 2}, slope=[1, 2, 3]).to_html()
    frames = assembled(page)
    assert [frame is None for frame in payload(page)["frames"]] == [False, True, False]
    for frame, slope in zip(frames, [1, 2, 3]):
        gaps = [np.abs(np.asarray(frame).astype(int) - drawn(draw_line(s))).mean() for s in (1, 2, 3)]
        # A shift of all colours by one of 255 is not seen; another slope is several times farther away.
        assert gaps[slope - 1] < 1 and sorted(gaps)[1] > 3 * gaps[slope - 1]


def test_frames_of_different_size_are_kept_whole():
    page = explore(lambda high: style.new(3, high)[0], alt="a", high=[2, 3]).to_html()
    assert [frame.size for frame in assembled(page)] == [(432, 288), (432, 432)]


def test_what_stays_the_same_is_not_stored_again():
    def dot(at):
        fig, ax = style.new(5, 4)
        ax.plot(np.linspace(0, 9), np.sin(np.linspace(0, 9)))
        ax.plot(at, 0, "o")
        ax.set(xlim=(-1, 10), title="a dot moves along a wave")
        return fig

    one, many = (
        sum(len(str(f)) for f in payload(explore(dot, alt="a", at=range(n)).to_html())["frames"]) for n in (2, 9)
    )
    whole = len(explore(dot, alt="a", at=[0]).to_html())
    assert one < whole / 8 and many < whole


def test_two_parameters_give_every_combination_with_the_last_varying_fastest():
    shown = explore(draw_line, alt=lambda slope, offset: f"{slope}/{offset}", slope=[1, 2], offset=[0, 5, 9])
    assert payload(shown.to_html())["alt"] == ["1/0", "1/5", "1/9", "2/0", "2/5", "2/9"]


def test_html_is_self_contained_labelled_and_native():
    page = explore(draw_line, alt="a line", labels={"slope": "steepness"}, slope=[1, 2, 3]).to_html()
    assert not re.search(r"https?://|//cdn", page.replace("http://www.w3.org", ""))
    assert page.count('type="range"') == 1 and "steepness" in page and 'alt="a line (steepness = 1)"' in page


def test_a_choice_of_two_is_two_buttons():
    draw = lambda slope, kind: draw_line(slope)
    page = explore(draw, alt="a line", start={"kind": "<b>"}, slope=[1, 2, 3], kind=["a", "<b>"]).to_html()
    assert page.count('type="range"') == 1
    assert re.findall(r'aria-pressed="(\w+)">([^<]+)</button>', page) == [("false", "a"), ("true", "&lt;b&gt;")]
    assert 'role="group" aria-label="kind"' in page


def test_start_is_what_shows_first():
    page = explore(draw_line, alt="a", start={"slope": 3}, slope=[1, 2, 3]).to_html()
    assert 'value="2"' in page and 'alt="a (slope = 3)"' in page and payload(page)["frames"][2] is None


def test_same_call_gives_the_same_page():
    pages = {explore(draw_line, alt="a", slope=[1, 2]).to_html() for _ in range(2)}
    assert len(pages) == 1


def test_text_from_the_caller_is_escaped():
    page = explore(draw_line, alt='<b> "bold"', labels={"slope": "<i>"}, slope=[1, 2]).to_html()
    assert "<b>" not in page.split("<script")[0] and "&lt;i&gt;" in page


def test_alt_text_cannot_end_the_data_script():
    page = explore(draw_line, alt="</script><script>", slope=[1, 2]).to_html()
    assert payload(page)["alt"][0].startswith("</script>")


def test_a_picture_of_two_panels_has_two_windows_and_one_description():
    def two(slope):
        fig, (left, right) = style.new(6, 2.5, cols=2)
        left.plot([0, slope])
        right.plot([slope, 0])
        return fig

    for draw, count in ((draw_line, 1), (two, 2)):
        page = explore(draw, alt="a", slope=[1, 2, 3]).to_html()
        assert re.findall(r'<img [^>]*alt="([^"]*)"', page.split("<script")[0]) == ["a (slope = 1)"]  # whole
        assert page.split("<script")[0].count('style="flex-grow:') == 1
        windows = payload(page)["panels"]
        assert windows.count('style="flex-grow:') == count and windows.count('aria-hidden="true"') == count - 1


def test_it_shows_as_html_and_text_and_needs_no_widget_extension():
    bundle = explore(draw_line, alt="a", slope=[1, 2])._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}


def test_text_form_is_short_and_stable():
    assert repr(explore(draw_line, alt="a", slope=[0.5, 2.0])) == "Exploration(slope=0.5…2)"


def test_noisy_frames_are_made_to_fit():
    rng = np.random.default_rng(0)

    def noise(seed):
        fig = Figure(figsize=(5, 4), dpi=144)
        fig.add_subplot().imshow(rng.random((300, 300)), interpolation="nearest")
        return fig

    page = explore(noise, alt="noise", seed=list(range(6))).to_html()
    assert len(page) < exploration.MAX_BYTES


@pytest.mark.parametrize(
    "options, words",
    [
        ({}, "choices must name one or two parameters, got 0"),
        ({"slope": [1], "offset": [1], "third": [1]}, "choices must name one or two parameters, got 3"),
        ({"slope": []}, "choices for slope must be a non-empty sequence"),
        ({"slope": [1, 1]}, "choices for slope must be a non-empty sequence of different values"),
        ({"slope": [1], "labels": {"other": "x"}}, "labels must name parameters among"),
        ({"slope": [1], "start": {"other": 1}}, "start must name parameters among"),
        ({"slope": [1], "start": {"slope": 7}}, "start for slope must be one of"),
        ({"slope": [1], "alt": " "}, "alt must be a text"),
    ],
)
def test_bad_options_are_refused_by_name(options, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        explore(draw_line, **({"alt": "a line"} | options))


def test_draw_must_be_callable_and_return_a_figure():
    with pytest.raises(ValueError, match="draw must be a function"):
        explore("no", alt="a", slope=[1])
    with pytest.raises(ValueError, match="draw must return a matplotlib Figure, got int"):
        explore(lambda slope: 1, alt="a", slope=[1]).to_html()


def test_frames_that_cannot_fit_are_refused(monkeypatch):
    monkeypatch.setattr(exploration, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="choices must give frames of under 1000 bytes"):
        explore(draw_line, alt="a", slope=[1, 2]).to_html()
