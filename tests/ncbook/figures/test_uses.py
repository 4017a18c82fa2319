"""The drawings of chapter 15 carry the numbers they are given."""

import pytest
import torch

from ncbook.figures import uses
from tests.ncbook.figures.artists import axes_said, words


def test_angles_show_the_share_of_each_group_and_who_is_who():
    ax = uses.angles(torch.tensor([0.99, 0.98, 0.99, 0.1]), torch.tensor([0.31, 0.51]), "T").axes[0]
    known, others = ax.containers
    heights = lambda bars: {round(b.get_x(), 3): b.get_height() for b in bars if b.get_height()}
    assert heights(known) == {0.1: pytest.approx(25), 0.975: pytest.approx(75)}
    assert heights(others) == {0.3: pytest.approx(50), 0.5: pytest.approx(50)}
    assert words(ax.get_legend()) == ["known classes", "new ones"]
    assert axes_said(ax) == ("cosine with the span, $\\kappa$", "% of the images", "T")
    assert {b.get_hatch() for b in known} != {b.get_hatch() for b in others}
