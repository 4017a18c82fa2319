"""The drawings of the chapter on features from data show every sample, class by class, the right way up."""

import pytest
import torch

from ncbook import etf
from ncbook.figures import data_features as draw


def panel(features, labels):
    return ("title", features, labels, 2 * features, labels)


def test_first_class_points_up_and_every_sample_is_drawn():
    labels = torch.tensor([0, 1, 2]).repeat_interleave(2)
    for seed in range(4):
        features = etf.simplex_etf(3, 2, generator=torch.Generator().manual_seed(seed))[labels]
        ax = draw.feature_planes([panel(features, labels)]).axes[0]
        new, trained = ax.lines[0], ax.lines[1]
        assert trained.get_xdata().tolist() == pytest.approx([0, 0], abs=1e-12)
        assert trained.get_ydata().tolist() == pytest.approx([1, 1])
        assert new.get_ydata().tolist() == pytest.approx([2, 2])
        assert min(ax.lines[3].get_xdata()) > 0  # the second class on the right: no mirror images between panels
        assert sum(len(line.get_xdata()) for line in ax.lines) == 12


def test_fewer_dimensions_are_padded_and_more_are_refused():
    labels = torch.tensor([0, 1])
    ax = draw.feature_planes([panel(torch.tensor([[1.0], [-1.0]]).double(), labels)] * 3).axes[2]
    assert ax.lines[1].get_ydata().tolist() == pytest.approx([1])
    assert draw.feature_planes([panel(torch.zeros(2, 0).double(), labels)]).axes
    with pytest.raises(ValueError, match="at most two dimensions"):
        draw.feature_planes([panel(torch.ones(2, 3).double(), labels)])
    with pytest.raises(ValueError, match="one to three"):
        draw.feature_planes([])
