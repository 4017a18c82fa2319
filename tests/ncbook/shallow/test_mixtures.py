"""Tests of ncbook.shallow.mixtures: the centres, the scale, and which parts of a draw the seeds decide."""

from __future__ import annotations

import pytest
import torch

from ncbook import etf, shallow


def test_centres_are_a_simplex_of_the_signal_s_length() -> None:
    centres = shallow.Mixture.simplex(4, 9, 2.5, seed=3).centres
    assert centres.norm(dim=1).tolist() == pytest.approx([2.5] * 4)
    assert etf.etf_distance(centres) < 1e-12


def test_inputs_have_mean_square_one_and_the_asked_signal() -> None:
    mixture = shallow.Mixture.simplex(3, 50, 4.0)
    X, y = mixture.draw(2000)
    assert float(X.square().sum(1).mean()) == pytest.approx(1, abs=0.01)  # standard error 0.003
    means = torch.stack([X[y == k].mean(0) for k in range(3)])
    noise = float((X - means[y]).square().mean().sqrt())
    # 4 in theory; the mean of 2000 samples adds 50/2000 to the squared length.
    assert [float(m.norm()) / noise for m in means] == pytest.approx([4.0] * 3, rel=0.02)


def test_one_mixture_is_drawn_twice_around_the_same_centres() -> None:
    mixture = shallow.Mixture.simplex(3, 5, 1.0, seed=4)
    first, second = mixture.draw(4, seed=0)[0], mixture.draw(4, seed=1)[0]
    assert not torch.equal(first, second)
    assert torch.equal(first, mixture.draw(4, seed=0)[0])
    other = shallow.Mixture.simplex(3, 5, 1.0, seed=5)
    assert not torch.allclose(mixture.centres, other.centres)


def test_mixture_needs_two_centres_and_room_for_them() -> None:
    with pytest.raises(ValueError, match="number of centres"):
        shallow.Mixture(torch.ones(1, 3).double())
    with pytest.raises(ValueError, match="input_dim"):
        shallow.Mixture.simplex(5, 3, 1.0)
