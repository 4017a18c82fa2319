"""One call that lives with a kernel and without one."""

import json
import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from ncbook.figures import exploration, explore, style


def draw_line(slope, offset=0):
    fig, ax = style.new(3, 2)
    ax.plot([0, 1], [offset, offset + slope])
    return fig


def payload(page):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', page, re.S).group(1))


def test_every_choice_becomes_a_frame_of_its_own():
    page = explore(draw_line, alt="a line", slope=[1, 2, 3]).to_html()
    assert len(set(payload(page)["frames"])) == 3


def test_two_parameters_give_every_combination_with_the_last_varying_fastest():
    shown = explore(draw_line, alt=lambda slope, offset: f"{slope}/{offset}", slope=[1, 2], offset=[0, 5, 9])
    assert [alt for _, alt in shown.frames()] == ["1/0", "1/5", "1/9", "2/0", "2/5", "2/9"]


def test_html_is_self_contained_labelled_and_native():
    page = explore(draw_line, alt="a line", labels={"slope": "steepness"}, slope=[1, 2]).to_html()
    assert not re.search(r"https?://|//cdn", page.replace("http://www.w3.org", ""))
    assert page.count('type="range"') == 1 and "steepness" in page and 'alt="a line (steepness = 1)"' in page


def test_start_is_what_shows_first():
    page = explore(draw_line, alt="a", start={"slope": 3}, slope=[1, 2, 3]).to_html()
    assert 'value="2"' in page and f'<img src="{payload(page)["frames"][2]}"' in page


def test_same_call_gives_the_same_page():
    pages = {explore(draw_line, alt="a", slope=[1, 2]).to_html() for _ in range(2)}
    assert len(pages) == 1


def test_text_from_the_caller_is_escaped():
    page = explore(draw_line, alt='<b> "bold"', labels={"slope": "<i>"}, slope=[1, 2]).to_html()
    assert "<b>" not in page.split("<script")[0] and "&lt;i&gt;" in page


def test_alt_text_cannot_end_the_data_script():
    page = explore(draw_line, alt="</script><script>", slope=[1, 2]).to_html()
    assert payload(page)["alt"][0].startswith("</script>")


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
