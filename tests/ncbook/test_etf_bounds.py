"""`ncbook.etf`: the bounds that no arrangement beats, alignment, and the search that comes close to the bounds."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ncbook import etf
from tests.ncbook.test_etf import ROUND_OFF, classes, dimensions, generator, properties, random_rows, room, seeds

# Bounds


@properties
@given(classes, dimensions, seeds)
def test_no_vectors_beat_the_welch_bound_or_the_simplex_bound(K, d, seed):
    W = random_rows(K, d, seed)
    assert etf.coherence(W) >= etf.welch_bound(K, d) - ROUND_OFF
    assert etf.largest_cosine(W) >= etf.simplex_bound(K, d) - ROUND_OFF


@pytest.mark.parametrize(
    "K, d, value",
    [(3, 2, 1 / 2), (6, 3, 1 / math.sqrt(5)), (10, 5, 1 / 3), (16, 6, 1 / 3), (4, 1, 1.0), (4, 4, 0.0), (4, 9, 0.0)],
)
def test_welch_bound_values(K, d, value):
    assert etf.welch_bound(K, d) == pytest.approx(value, abs=1e-15)


@pytest.mark.parametrize("K", range(2, 30))
def test_both_bounds_meet_at_the_simplex(K):
    assert etf.welch_bound(K, K - 1) == pytest.approx(1 / (K - 1), abs=1e-15)
    assert etf.simplex_bound(K, K - 1) == -1 / (K - 1) == etf.simplex_bound(K, K + 3)


def test_one_dimension_too_few_costs_every_obtuse_angle():
    assert etf.simplex_bound(5, 3) == 0.0 == etf.simplex_bound(5, 2)


# Alignment


@properties
@given(classes, dimensions, seeds)
def test_alignment_finds_the_map_between_equal_gram_matrices(K, d, seed):
    W = random_rows(K, d, seed)
    Q0, _ = torch.linalg.qr(random_rows(d, d, seed + 1)) if d > 1 else (-torch.ones(1, 1, dtype=W.dtype), None)
    Q = etf.align(W, W @ Q0)
    assert torch.allclose(Q.T @ Q, torch.eye(d, dtype=W.dtype), rtol=0, atol=ROUND_OFF)
    assert torch.allclose(W @ Q, W @ Q0, rtol=0, atol=1e-11)  # entries of W reach 5, small singular values count


@properties
@given(room(8), seeds)
def test_any_two_simplex_etfs_are_one_orthogonal_map_apart(sizes, seed):
    K, d = sizes
    one, two = etf.simplex_etf(K, d), etf.simplex_etf(K, d, generator=generator(seed))
    assert torch.allclose(one @ etf.align(one, two), two, rtol=0, atol=ROUND_OFF)


@properties
@given(classes, st.integers(2, 8), seeds)
def test_no_random_orthogonal_map_aligns_better(K, d, seed):
    W, V = random_rows(K, d, seed), random_rows(K, d, seed + 1)
    best = torch.linalg.matrix_norm(W @ etf.align(W, V) - V)
    for trial in range(5):
        Q, _ = torch.linalg.qr(random_rows(d, d, seed + 2 + trial))
        assert torch.linalg.matrix_norm(W @ Q - V) >= best - ROUND_OFF


# Search


@pytest.mark.parametrize(
    "K, d, lines, value",
    [
        (4, 3, False, -1 / 3),  # the simplex fits
        (4, 2, False, 0.0),  # one dimension too few: the square
        (5, 2, False, math.cos(2 * math.pi / 5)),  # the pentagon
        (5, 3, False, 0.0),
        (6, 3, False, 0.0),  # the octahedron
        # The square antiprism: squares at heights +-z, z^2 = (1 - z^2) cos 45 - z^2 makes all short angles equal.
        (8, 3, False, math.sqrt(0.5) / (2 + math.sqrt(0.5))),
        (12, 3, False, 1 / math.sqrt(5)),  # the icosahedron
        (3, 1, False, 1.0),
        (3, 2, True, 1 / 2),
        (6, 3, True, 1 / math.sqrt(5)),  # the six diagonals of the icosahedron
        (7, 3, True, 1 / math.sqrt(3)),
        (10, 5, True, 1 / 3),
        (4, 6, True, 0.0),
    ],
)
def test_search_finds_the_known_best_arrangements(K, d, lines, value):
    X = etf.best_packing(K, d, lines=lines)
    assert torch.allclose(X.norm(dim=1), torch.ones(K, dtype=X.dtype), rtol=0, atol=ROUND_OFF)
    # The solver stops when t changes by less than 1e-14; degenerate optima leave it a little earlier.
    assert (etf.coherence if lines else etf.largest_cosine)(X) == pytest.approx(value, abs=1e-7)


def test_search_is_reproducible():
    assert torch.equal(etf.best_packing(5, 3, seed=4), etf.best_packing(5, 3, seed=4))


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 7), st.integers(1, 7), st.booleans())
def test_search_respects_the_bounds(K, d, lines):
    assume(K * d <= 36)
    X = etf.best_packing(K, d, lines=lines, restarts=2)
    assert X.shape == (K, d)
    if lines:
        assert etf.coherence(X) >= etf.welch_bound(K, d) - ROUND_OFF
    else:
        assert etf.largest_cosine(X) >= etf.simplex_bound(K, d) - ROUND_OFF
