"""The drawings of chapter 1: the plane they look at, and what is on the paper."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from pytest import approx

from ncbook import etf
from ncbook.figures import phenomenon as drawings
from tests.ncbook.figures.artists import arrows, axes_said, colour, named, words


@pytest.fixture
def layer():
    """Three classes of ten features in four dimensions, and a classifier."""
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(3).repeat_interleave(10)
    frame = etf.simplex_etf(3, 4, generator=g)
    return frame[labels] + 0.1 * torch.randn(30, 4, generator=g).double(), labels, 2 * frame


def _texts(figure):
    return [t.get_text() for ax in figure.axes for t in ax.texts]


class TestPolygonPlane:
    @settings(max_examples=40, deadline=None)
    @given(st.integers(3, 12), st.integers(0, 5), st.floats(0.1, 10), st.integers(0, 999))
    def test_shows_an_etf_as_a_regular_polygon_clockwise_from_the_top(self, K, extra, scale, seed):
        g = torch.Generator().manual_seed(seed)
        frame = scale * etf.simplex_etf(K, K - 1 + extra, generator=g)
        shadow = (frame @ drawings.polygon_plane(frame + 3.0)).numpy()
        angle = math.pi / 2 - 2 * math.pi * np.arange(K) / K
        expected = scale * math.sqrt(2 / (K - 1)) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        assert np.allclose(shadow, expected, atol=1e-9 * scale * K)  # float64 round-off

    @settings(max_examples=40, deadline=None)
    @given(st.integers(3, 8), st.integers(2, 8), st.integers(0, 999))
    def test_is_orthonormal_for_any_means(self, K, d, seed):
        means = torch.randn(K, d, generator=torch.Generator().manual_seed(seed)).double()
        basis = drawings.polygon_plane(means)
        assert basis.shape == (d, 2)
        assert torch.allclose(basis.T @ basis, torch.eye(2).double(), atol=1e-10)

    @pytest.mark.parametrize("means", [torch.zeros(2, 3), torch.zeros(3, 1), torch.zeros(3), [[1.0]]])
    def test_too_few_classes_or_dimensions_are_named(self, means):
        with pytest.raises(ValueError, match=r"^class_means"):
            drawings.polygon_plane(means)


def test_clouds_draw_every_feature_around_the_middle_of_the_means(layer):
    features, labels, weight = layer
    basis = drawings.polygon_plane(weight)
    figure = drawings.clouds(features, labels, names="abc", limit=2.0, basis=basis, weight=weight, title="epoch 3")
    ax = figure.axes[0]
    means = torch.stack([features[labels == k].mean(dim=0) for k in range(3)])
    flat = (features - means.mean(dim=0)) @ basis
    names = {colour(t): t.get_text() for t in ax.texts if t.get_text()}
    shown = {names[colour(c)]: c.get_offsets() for c in ax.collections[:3]}
    assert list(shown) == ["a", "b", "c"]
    for k, points_of_class in enumerate(shown.values()):
        assert np.allclose(points_of_class, flat[labels == k])
    corners = (means - means.mean(dim=0)) @ basis
    assert np.allclose(ax.collections[3].get_offsets(), corners)
    assert [to_hex(c).upper() for c in ax.collections[3].get_facecolor()] == list(names)
    # The rows keep their directions and proportions; the longest is as long as the farthest mean.
    rows = weight @ basis
    rows *= corners.norm(dim=1).max() / rows.norm(dim=1).max()
    tips = {names[shade]: tip for shade, _, tip in arrows(ax)}
    assert tips == {name: approx(tuple(row)) for name, row in zip("abc", rows.tolist())}
    assert ax.get_title() == "epoch 3"


def test_clouds_of_some_classes_leave_the_others_out(layer):
    features, labels, _ = layer
    figure = drawings.clouds(features[:, :2], labels, names="abc", limit=2.0, classes=[2, 0])
    assert _texts(figure) == ["c", "a"]
    assert [len(c.get_offsets()) for c in figure.axes[0].collections] == [10, 10, 2]


def test_cosines_are_those_of_the_centred_means_and_of_the_rows(layer):
    features, labels, weight = layer
    axes = drawings.cosines(features + 7, labels, weight, "epoch 9").axes
    left, right = (ax.images[0].get_array() for ax in axes[:2])
    assert [ax.get_title() for ax in axes[:2]] == ["class means", "classifier rows"]
    ticks = dict(zip((t.get_text() for t in axes[2].get_yticklabels()), axes[2].get_yticks()))
    assert ticks == {"-1": -1, "-1/2": -0.5, "1": 1} and axes[0].figure.get_suptitle() == "epoch 9"
    means = torch.stack([features[labels == k].mean(dim=0) for k in range(3)])
    assert np.allclose(left, etf.cosine_matrix(means - means.mean(dim=0)))
    assert np.allclose(right, etf.cosine_matrix(weight))


def test_samples_put_one_class_in_each_column_the_first_image_on_top():
    images = torch.arange(1.0, 7.0)[:, None, None, None].expand(6, 1, 8, 8) / 10
    ax = drawings.samples(images, torch.tensor([0, 1] * 3), per_class=3).axes[0]
    pixels = np.asarray(ax.images[0].get_array())
    assert pixels.shape == (30, 20)
    middles = pixels[5::10, 5::10]
    assert middles == approx(np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]))
    assert dict(zip((t.get_text() for t in ax.get_xticklabels()), ax.get_xticks())) == {"0": 4.5, "1": 14.5}


def test_collapse_draws_errors_above_and_each_measure_below_under_its_name_from_epoch_one():
    names = ["train_accuracy", "test_accuracy", "nc1", "nc2_means", "nc2_weight", "nc3"]
    series = {name: ([0, 1, 10, 100], [0.1, 0.5 - i / 20, 0.6 + i / 20, 0.8]) for i, name in enumerate(names)}
    top, bottom = drawings.collapse(series, terminal=10).axes
    after = lambda name, change: [(t, approx(change(v))) for t, v in zip(*(x[1:] for x in series[name]))]
    error = lambda share: 100 * (1 - share)
    assert named(top) == {f"{kind} error (%)": after(f"{kind}_accuracy", error) for kind in ("train", "test")}
    said = {
        "NC1: spread within classes": "nc1", "NC2: class means from an ETF": "nc2_means",
        "NC2: classifier from an ETF": "nc2_weight", "NC3: classifier from the means": "nc3",
    }  # fmt: skip
    assert named(bottom) == {text: after(name, float) for text, name in said.items()}
    assert [words(ax.get_legend()) for ax in (top, bottom)] == [list(named(ax)) for ax in (top, bottom)]
    for ax in (top, bottom):
        assert (ax.patches[0].get_x(), ax.patches[0].get_x() + ax.patches[0].get_width()) == (10, 100)
    assert [t.get_text() for t in top.texts] == ["terminal phase"] and axes_said(bottom) == ("epoch", "", "")
    assert bottom.get_xscale() == bottom.get_yscale() == "log" and top.get_yscale() == "linear"


def test_compare_draws_each_run_on_both_sides_under_its_name():
    left = {"a": ([0, 1, 2], [3.0, 2.0, 1.0]), "b": ([1, 2], [2.0, 2.5])}
    right = {"a": ([0, 1, 2], [0.3, 0.2, 0.1]), "b": ([1, 2], [0.4, 0.5])}
    axes = drawings.compare(left, right, ("first", "second"), (True, False)).axes
    assert [axes_said(ax) for ax in axes] == [("epoch", "", "first"), ("epoch", "", "second")]
    assert [ax.get_yscale() for ax in axes] == ["log", "linear"]
    assert named(axes[0]) == {"a": [(1, 2.0), (2, 1.0)], "b": [(1, 2.0), (2, 2.5)]}
    assert named(axes[1]) == {"a": [(1, 0.2), (2, 0.1)], "b": [(1, 0.4), (2, 0.5)]}
    assert [line.get_linestyle() for ax in axes for line in ax.lines] == ["-", "--"] * 2  # alike on both sides
    assert words(axes[0].get_legend()) == ["a", "b"]


def test_hero_draws_one_path_a_sample_from_its_first_to_its_last_feature(layer):
    features, labels, _ = layer
    paths = torch.stack([0 * features[:, :2], features[:, :2]])
    figure = drawings.hero(paths, labels, ["0", "1", "2"])
    assert isinstance(figure, Figure) and _texts(figure) == ["0", "1", "2"]
    lines = [c for c in figure.axes[0].collections if hasattr(c, "get_segments")]
    middle = torch.stack([features[labels == k, :2].mean(dim=0) for k in range(3)]).mean(dim=0)
    for k, drawn in enumerate(lines):
        start, end = np.stack(drawn.get_segments()).transpose(1, 0, 2)
        assert np.allclose(start, -middle) and np.allclose(end, features[labels == k, :2] - middle)
        assert to_hex(drawn.get_color()[0]).upper() == drawings.CLASS_COLORS[k]


def test_table_shows_the_values_at_the_epochs_asked_for():
    series = {"nc1": ([0, 1, 10], [3.0, 0.51234, 0.001]), "loss": ([0, 10], [2.0, 1e-5])}
    table = drawings.table(series, [0, 10])
    assert table.head == ("epoch", "0", "10")
    assert table.rows == (("NC1: spread within classes", "3", "0.001"), ("loss", "2", "1e-05"))


def test_the_live_network_gets_the_first_images_of_each_class_a_letter_a_pixel():
    levels = torch.arange(6 * 64).reshape(6, 1, 8, 8) % 17
    labels = torch.tensor([1, 0, 2, 0, 1, 2])
    test = levels[:3] / 16, torch.tensor([2, 1, 0])
    given = drawings.train_it((levels / 16, labels), test, ["p", "q", "r"], lambda: None).parameters
    letters = ["".join(chr(97 + int(x)) for x in image.flatten()) for image in levels]
    assert given["images"] == "".join(letters[i] for i in (1, 3, 0, 4, 2, 5))
    assert given["tests"] == "".join(letters[i] for i in (2, 1, 0))
    assert given["names"] == ["p", "q", "r"] and given["side"] == 8
