"""The house style stays in the figure and nowhere else."""

from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib import colors
from matplotlib import pyplot as plt

from ncbook.figures import dark, style
from tests.ncbook.figures.artists import axes_said, named, words


def test_style_leaves_the_session_alone():
    before = dict(matplotlib.rcParams)
    style.curves([1, 2], {"a": [1, 2], "b": [2, 1]}, xlabel="x", ylabel="y")
    assert dict(matplotlib.rcParams) == before


def test_pyplot_keeps_no_figure():
    before = plt.get_fignums()
    style.new()
    assert plt.get_fignums() == before


def test_curves_draws_one_named_line_for_each_entry():
    fig = style.curves([1, 2], {"a": [1, 2], "b": [2, 1]}, xlabel="x", ylabel="y", logy=True, mark=1.5, mark_label="m")
    ax = fig.axes[0]
    assert named(ax) == {"a": [(1, 1), (2, 2)], "b": [(1, 2), (2, 1)]} and words(ax.get_legend()) == ["a", "b"]
    assert list(ax.lines[2].get_xdata()) == [1.5, 1.5] and [t.get_text() for t in ax.texts] == ["m"]
    assert ax.get_yscale() == "log" and axes_said(ax) == ("x", "y", "")


def test_heat_map_is_symmetric_about_zero_and_writes_each_value_in_its_place():
    ax = style.new()[1]
    style.draw_heat_map(ax, [[0.2, -0.5], [0.1, 0.3]], ticks="ab")
    assert ax.images[0].get_clim() == pytest.approx((-1.2, 1.2))
    assert {t.get_position()[::-1]: t.get_text() for t in ax.texts} == {
        (0, 0): "0.20", (0, 1): "-0.50", (1, 0): "0.10", (1, 1): "0.30"
    }  # fmt: skip
    assert [t.get_text() for t in ax.get_xticklabels()] == [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"]


def test_heat_map_without_numbers_has_the_full_strength():
    ax = style.new()[1]
    style.draw_heat_map(ax, np.eye(8) - 0.5)
    assert ax.images[0].get_clim() == (-0.5, 0.5) and not ax.texts


def test_numbers_on_a_heat_map_are_read_on_every_tile_in_both_modes():
    ax = style.new()[1]
    style.draw_heat_map(ax, np.linspace(-1, 1, 36).reshape(6, 6))
    words = colors.to_rgb(ax.texts[0].get_color())
    tiles = ax.images[0].cmap(ax.images[0].norm(np.linspace(-1, 1, 101)))[:, :3]
    for_dark = lambda color: dark.on_dark(np.rint(255 * np.asarray(color)).astype(int)) / 255
    assert min(style.contrast(words, tile) for tile in tiles) >= style.READABLE
    assert min(style.contrast(for_dark(words), for_dark(tile)) for tile in tiles) >= style.READABLE


def test_words_in_a_colour_of_the_house_are_read_in_both_modes():
    @style.house_style
    def draw():
        fig, ax = style.new()
        for i, color in enumerate((*style.COLORS, style.GREY, "white")):
            ax.plot([0, 1], [i, i], color=color)
            ax.text(0, i, "words", color=color)
        return fig

    (ax,) = draw().axes
    *coloured, white = ax.texts
    for text, line in zip(coloured, ax.lines):
        assert style.contrast(text.get_color(), "white") >= style.READABLE
        assert (colors.to_rgb(text.get_color()) == colors.to_rgb(line.get_color())) == (
            style.contrast(line.get_color(), "white") >= style.READABLE
        )
        shade = dark.on_dark(np.rint(255 * np.array(colors.to_rgb(text.get_color()))).astype(int)) / 255
        assert style.contrast(shade, dark.PAPER[1]) >= style.READABLE
    assert white.get_color() == (1, 1, 1)


def test_contrast_is_that_of_the_guidelines():
    assert style.contrast("white", "black") == pytest.approx(21) and style.contrast("red", "red") == 1
    assert style.contrast("#777777", "white") == style.contrast("white", "#777777") == pytest.approx(4.48, abs=5e-3)


def test_heat_map_of_zeros_draws():
    ax = style.new()[1]
    style.draw_heat_map(ax, np.zeros((2, 2)))
    assert ax.images[0].get_clim() == (-2.4, 2.4)


def test_neighbouring_colours_differ_in_lightness_or_hue():
    rgb = np.array([matplotlib.colors.to_rgb(c) for c in style.COLORS])
    distances = np.linalg.norm(rgb[:, None] - rgb[None], axis=-1)[np.triu_indices(len(rgb), 1)]
    assert distances.min() > 0.25


def test_figures_too_wide_for_a_phone_are_refused():
    with pytest.raises(ValueError, match="width must be at most 7 inches, got 9"):
        style.new(9)


def test_table_puts_each_text_in_its_row_and_column_and_escapes_it():
    table = style.Table(["arm", "<error>"], [["learned", "1.2"], ["fixed", "1.4"]])
    tree = ElementTree.fromstring(table._repr_html_())
    assert [[(cell.tag, cell.text) for cell in row] for row in tree.iter("tr")] == [
        [("th", "arm"), ("th", "<error>")],
        [("th", "learned"), ("td", "1.2")],
        [("th", "fixed"), ("td", "1.4")],
    ]
    assert [cell.get("scope") for cell in tree.iter("th")] == ["col", "col", "row", "row"]
    assert repr(table) == "Table(2 rows, 2 columns)"


def test_table_refuses_rows_of_another_length():
    with pytest.raises(ValueError, match=r"rows must be as long as head \(2\), got \[2, 1\]"):
        style.Table(["a", "b"], [["c", "d"], ["e"]])


def test_columns_with_words_are_told_from_columns_of_numbers():
    table = style.Table(
        ["", "time", "memory", "seen"], [["a", "3 ms", "1e-04", "0.1"], ["b", "–", "2.5 MB", "not held: 0.2"]]
    )
    tree = ElementTree.fromstring(table._repr_html_())
    kinds = [[cell.get("class") for cell in row] for row in tree.iter("tr")]
    assert kinds == [[None, None, None, "words"]] * 3
    assert style.Table(["a", "b"], [])._repr_html_().count("<th") == 3  # thead, and two columns


def test_a_negative_number_in_a_table_has_a_minus_sign():
    table = style.Table(["", "a", "b"], [["etf-10", "-0.5 ± 3e-07", "etf-10"]])
    cells = [cell.text for cell in ElementTree.fromstring(table._repr_html_()).iter("td") if cell.text]
    assert cells == ["−0.5 ± 3e−07", "etf-10"]
