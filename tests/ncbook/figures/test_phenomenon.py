"""The drawings of chapter 1: the plane they look at, and what is on the paper."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from ncbook import etf
from ncbook.figures import phenomenon as drawings


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
    drawn = np.concatenate([c.get_offsets() for c in ax.collections[:3]])
    means = torch.stack([features[labels == k].mean(dim=0) for k in range(3)])
    assert np.allclose(drawn, (features - means.mean(dim=0)) @ basis)
    assert [t for t in _texts(figure) if t] == ["a", "b", "c"] and ax.get_title() == "epoch 3"


def test_clouds_of_some_classes_leave_the_others_out(layer):
    features, labels, _ = layer
    figure = drawings.clouds(features[:, :2], labels, names="abc", limit=2.0, classes=[2, 0])
    assert _texts(figure) == ["c", "a"]
    assert [len(c.get_offsets()) for c in figure.axes[0].collections] == [10, 10, 2]


def test_cosines_are_those_of_the_centred_means_and_of_the_rows(layer):
    features, labels, weight = layer
    left, right = (ax.images[0].get_array() for ax in drawings.cosines(features + 7, labels, weight).axes[:2])
    means = torch.stack([features[labels == k].mean(dim=0) for k in range(3)])
    assert np.allclose(left, etf.cosine_matrix(means - means.mean(dim=0)))
    assert np.allclose(right, etf.cosine_matrix(weight))


def test_samples_put_one_class_in_each_column():
    images = torch.zeros(6, 1, 8, 8)
    images[1::2] = 1.0  # class 1 is black, class 0 is white
    pixels = drawings.samples(images, torch.tensor([0, 1] * 3), per_class=3).axes[0].images[0].get_array()
    assert pixels.shape == (30, 20)
    assert float(pixels[:, :10].sum()) == 0 and float(pixels[:, 10:].sum()) == 3 * 64


def test_collapse_leaves_out_epoch_zero_and_marks_the_terminal_phase():
    names = ["train_accuracy", "test_accuracy", *drawings.MEASURES]
    series = {name: ([0, 1, 10, 100], [0.1, 0.5, 1.0, 1.0]) for name in names}
    figure = drawings.collapse(series, terminal=10)
    top, bottom = figure.axes
    assert [list(line.get_xdata()) for line in bottom.lines] == [[1, 10, 100]] * 4
    assert np.allclose(top.lines[0].get_ydata(), [50, 0, 0])
    assert "terminal phase" in _texts(figure)


def test_compare_draws_each_run_on_both_sides():
    runs = {"a": ([0, 1, 2], [3.0, 2.0, 1.0]), "b": ([1, 2], [2.0, 2.5])}
    figure = drawings.compare(runs, runs, ("left", "right"), (True, False))
    assert [ax.get_yscale() for ax in figure.axes] == ["log", "linear"]
    assert [list(line.get_ydata()) for line in figure.axes[1].lines] == [[2, 1], [2, 2.5]]


def test_hero_draws_one_path_a_sample_from_its_first_to_its_last_feature(layer):
    features, labels, _ = layer
    paths = torch.stack([0 * features[:, :2], features[:, :2]])
    figure = drawings.hero(paths, labels, ["0", "1", "2"])
    assert isinstance(figure, Figure) and _texts(figure) == ["0", "1", "2"]
    lines = [c for c in figure.axes[0].collections if hasattr(c, "get_segments")]
    assert [len(c.get_segments()) for c in lines] == [10, 10, 10]


def test_table_shows_the_values_at_the_epochs_asked_for():
    series = {"nc1": ([0, 1, 10], [3.0, 0.51234, 0.001]), "loss": ([0, 10], [2.0, 1e-5])}
    texts = _texts(drawings.table(series, [0, 10]))
    assert texts == ["epoch", "0", "10", drawings.MEASURES["nc1"], "3", "0.001", "loss", "2", "1e-05"]
