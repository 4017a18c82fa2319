"""`ncbook.etf`: constructions, bounds, distances, and every documented error."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ncbook import etf

properties = settings(max_examples=40, deadline=None)

# Float64 round-off of a (K, d) product with K, d <= 40 and unit rows is about 1e-15; a hundred times that.
ROUND_OFF = 1e-13


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gram_of_simplex(K: int) -> torch.Tensor:
    return (K * torch.eye(K, dtype=torch.float64) - 1) / (K - 1)


def random_rows(K: int, d: int, seed: int) -> torch.Tensor:
    return torch.randn(K, d, dtype=torch.float64, generator=generator(seed))


@st.composite
def room(draw, largest: int = 20):
    """K and d >= K - 1: where a simplex ETF exists."""
    K = draw(st.integers(2, largest))
    return K, draw(st.integers(K - 1, 2 * largest))


classes = st.integers(2, 12)
dimensions = st.integers(1, 16)
seeds = st.integers(0, 2**31)


# Construction


@properties
@given(room(), st.one_of(st.none(), seeds))
def test_gram_is_the_simplex_gram(sizes, seed):
    K, d = sizes
    W = etf.simplex_etf(K, d, generator=None if seed is None else generator(seed))
    assert W.shape == (K, d)
    assert torch.allclose(W @ W.T, gram_of_simplex(K), rtol=0, atol=ROUND_OFF)
    assert torch.allclose(W.sum(0), torch.zeros(d, dtype=W.dtype), rtol=0, atol=ROUND_OFF)


@properties
@given(room())
def test_without_a_generator_it_is_deterministic_and_in_the_first_axes(sizes):
    K, d = sizes
    W = etf.simplex_etf(K, d)
    assert torch.equal(W, etf.simplex_etf(K, d))
    assert not W[:, K - 1 :].any()
    assert torch.equal(W[:, : K - 1], etf.simplex_etf(K, K - 1))


def test_feature_dim_is_num_classes_by_default():
    assert etf.simplex_etf(5).shape == (5, 5)


def test_same_seed_same_frame_and_other_seed_another():
    assert torch.equal(etf.simplex_etf(4, 6, generator=generator(1)), etf.simplex_etf(4, 6, generator=generator(1)))
    difference = etf.simplex_etf(4, 6, generator=generator(1)) - etf.simplex_etf(4, 6, generator=generator(2))
    assert difference.abs().max() > 0.1


def test_random_turn_is_uniform():
    # The first row is uniform on the sphere: mean 0 and covariance I / d. Plain QR without the sign correction gives
    # a first column of one sign and fails this by far. 4000 draws have a standard error of at most 0.01 an entry.
    d, draws = 3, 4000
    g = generator(0)
    rows = torch.stack([etf.simplex_etf(3, d, generator=g)[0] for _ in range(draws)])
    assert rows.mean(0).abs().max() < 0.05
    assert (rows.T @ rows / draws - torch.eye(d) / d).abs().max() < 0.05


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_dtype_is_respected_and_only_rounds(dtype):
    W = etf.simplex_etf(4, 7, generator=generator(3), dtype=dtype)
    exact = etf.simplex_etf(4, 7, generator=generator(3))
    assert W.dtype == dtype and W.device.type == "cpu"
    assert torch.equal(W, exact.to(dtype))


def test_device_is_respected():
    assert etf.simplex_etf(3, device="meta").device.type == "meta"
    assert etf.simplex_etf(3, generator=generator(0), device=torch.device("meta")).device.type == "meta"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_frames_and_measures():
    W = etf.simplex_etf(5, 8, generator=torch.Generator("cuda").manual_seed(0), device="cuda")
    assert W.device.type == "cuda" and etf.cosine_matrix(W).device.type == "cuda"
    assert etf.etf_distance(W) < ROUND_OFF and abs(etf.coherence(W) - 0.25) < ROUND_OFF


def test_large_sizes_stay_exact():
    W = etf.simplex_etf(1000, 2048, generator=generator(0))
    # 1000 terms of size about 1e-3 a product: round-off grows by at most a small factor over ROUND_OFF's.
    assert torch.allclose(W @ W.T, gram_of_simplex(1000), rtol=0, atol=1e-12)


@properties
@given(st.integers(2, 40))
def test_helmert_is_an_orthonormal_basis_of_the_zero_sum_vectors(K):
    B = etf.helmert(K)
    eye = torch.eye(K, dtype=torch.float64)
    assert torch.allclose(B.T @ B, eye[1:, 1:], rtol=0, atol=ROUND_OFF)
    assert torch.allclose(B @ B.T, eye - 1 / K, rtol=0, atol=ROUND_OFF)


# Distance


@properties
@given(room(), seeds, st.floats(-150, 150))
def test_distance_is_zero_at_any_scaled_turned_etf(sizes, seed, exponent):
    K, d = sizes
    W = etf.simplex_etf(K, d, generator=generator(seed)) * 10.0**exponent
    assert etf.etf_distance(W) < ROUND_OFF


@properties
@given(classes, dimensions, seeds)
def test_distance_is_zero_only_at_etfs(K, d, seed):
    # The distance controls the Gram matrix: at distance t every entry of the normalised Gram is within t.
    W = random_rows(K, d, seed)
    G = W @ W.T
    deviation = (G / torch.linalg.matrix_norm(G) - gram_of_simplex(K) * math.sqrt(K - 1) / K).abs().max()
    assert etf.etf_distance(W) >= float(deviation) - ROUND_OFF
    assert float(deviation) > 1e-6  # a random matrix is no ETF


@properties
@given(classes, dimensions, seeds, st.floats(-100, 100))
def test_distance_ignores_scale_rotation_and_order(K, d, seed, exponent):
    W = random_rows(K, d, seed)
    Q, _ = torch.linalg.qr(random_rows(d, d, seed + 1)) if d > 1 else (-torch.ones(1, 1, dtype=W.dtype), None)
    order = torch.randperm(K, generator=generator(seed))
    assert abs(etf.etf_distance(10.0**exponent * W @ Q) - etf.etf_distance(W)) < ROUND_OFF
    assert abs(etf.etf_distance(W[order]) - etf.etf_distance(W)) < ROUND_OFF


@properties
@given(classes, dimensions, seeds)
def test_distance_is_at_most_root_two_and_obeys_the_dimension_bound(K, d, seed):
    t = etf.etf_distance(random_rows(K, d, seed))
    lowest = math.sqrt(2 - 2 * math.sqrt(min(1.0, d / (K - 1))))
    assert lowest - ROUND_OFF <= t <= math.sqrt(2) + ROUND_OFF


@pytest.mark.parametrize("K, d", [(3, 1), (5, 2), (5, 3), (10, 4)])
def test_dimension_bound_of_the_distance_is_attained_by_a_projected_etf(K, d):
    W = etf.helmert(K)[:, :d]
    # A square root of a difference of numbers near 1 keeps 8 digits at least.
    assert abs(etf.etf_distance(W) - math.sqrt(2 - 2 * math.sqrt(d / (K - 1)))) < 1e-8


def test_distance_is_root_two_when_all_rows_agree():
    assert abs(etf.etf_distance(torch.ones(4, 3)) - math.sqrt(2)) < ROUND_OFF


def test_distance_is_not_centred():
    W = etf.simplex_etf(4, 4)
    assert etf.etf_distance(W + torch.tensor([0.0, 0.0, 0.0, 1.0])) > 0.5


# Coherence and the signed cosine


@properties
@given(room())
def test_coherence_of_a_simplex_etf(sizes):
    K, d = sizes
    W = etf.simplex_etf(K, d, generator=generator(K))
    assert abs(etf.coherence(W) - 1 / (K - 1)) < ROUND_OFF
    assert abs(etf.largest_cosine(W) + 1 / (K - 1)) < ROUND_OFF


@properties
@given(classes, dimensions, seeds)
def test_cosine_matrix_by_definition(K, d, seed):
    W = random_rows(K, d, seed)
    by_pairs = torch.stack([torch.nn.functional.cosine_similarity(W, w[None]) for w in W])
    assert torch.allclose(etf.cosine_matrix(W), by_pairs, rtol=0, atol=ROUND_OFF)
    off = by_pairs[~torch.eye(K, dtype=torch.bool)]
    assert abs(etf.coherence(W) - float(off.abs().max())) < ROUND_OFF
    assert abs(etf.largest_cosine(W) - float(off.max())) < ROUND_OFF


@properties
@given(classes, dimensions, seeds)
def test_coherence_ignores_row_scales_and_signs_and_the_signed_cosine_only_scales(K, d, seed):
    W = random_rows(K, d, seed)
    scales = 10.0 ** torch.linspace(-200, 200, K, dtype=W.dtype)[:, None]
    signs = torch.where(torch.arange(K) % 2 == 0, 1.0, -1.0)[:, None]
    assert abs(etf.coherence(scales * signs * W) - etf.coherence(W)) < ROUND_OFF
    assert abs(etf.largest_cosine(scales * W) - etf.largest_cosine(W)) < ROUND_OFF


def test_signs_change_the_signed_cosine():
    W = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert etf.coherence(W) == 1.0 and etf.largest_cosine(W) == -1.0


@pytest.mark.parametrize("scale", [5e-324, 1e-300, 1e300, 1.7e308])
def test_extreme_scales_neither_overflow_nor_vanish(scale):
    W = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64) * scale
    assert etf.coherence(W) == 1.0 and etf.largest_cosine(W) == 0.0
    assert etf.etf_distance(W) == pytest.approx(etf.etf_distance(W / scale), abs=ROUND_OFF)
    assert torch.allclose(W @ etf.align(W, W), W, rtol=1e-12, atol=0)


def test_half_precision_and_gradients_are_accepted_and_inputs_untouched():
    W = etf.simplex_etf(4, 3, dtype=torch.float16).requires_grad_()
    before = W.detach().clone()
    # Half precision keeps 11 bits: entries are off by up to 2.5e-4 relative.
    assert etf.etf_distance(W) < 1e-3 and abs(etf.coherence(W) - 1 / 3) < 1e-3
    assert torch.equal(W.detach(), before) and etf.cosine_matrix(W).dtype == torch.float64


# Every documented error


@pytest.mark.parametrize(
    "arguments, words",
    [
        (dict(num_classes=1), "num_classes must be an integer >= 2, got 1"),
        (dict(num_classes=0), "num_classes"),
        (dict(num_classes=-3), "num_classes"),
        (dict(num_classes=2.0), "num_classes"),
        (dict(num_classes=True), "num_classes"),
        (dict(num_classes="4"), "num_classes"),
        (dict(num_classes=4, feature_dim=2), "feature_dim must be >= num_classes - 1 = 3 for a simplex ETF, got 2"),
        (dict(num_classes=2, feature_dim=0), "feature_dim"),
        (dict(num_classes=4, feature_dim=4.0), "feature_dim"),
        (dict(num_classes=4, generator=0), "generator must be a Generator, got int"),
        (dict(num_classes=4, dtype=torch.int64), "dtype must be a floating dtype, got torch.int64"),
        (dict(num_classes=4, dtype=torch.complex64), "dtype"),
        (dict(num_classes=4, dtype=float), "dtype"),
    ],
)
def test_simplex_etf_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        etf.simplex_etf(**arguments)


BAD_ROWS = [
    ([[1.0]], "must be a torch tensor"),
    (torch.ones(3), r"must be \(K, d\), got \(3,\)"),
    (torch.ones(2, 3, 4), r"must be \(K, d\)"),
    (torch.ones(1, 3), r"at least 2 rows and 1 column, got \(1, 3\)"),
    (torch.ones(3, 0), r"at least 2 rows and 1 column, got \(3, 0\)"),
    (torch.ones(0, 3), "at least 2 rows"),
    (torch.ones(3, 2, dtype=torch.int64), "real floating-point"),
    (torch.ones(3, 2, dtype=torch.complex64), "real floating-point"),
    (torch.tensor([[1.0, 0.0], [math.nan, 1.0]]), r"must be finite, got nan at index \(1, 0\)"),
    (torch.tensor([[1.0, math.inf], [0.0, 1.0]]), r"must be finite, got inf at index \(0, 1\)"),
]


@pytest.mark.parametrize("function", [etf.etf_distance, etf.cosine_matrix, etf.coherence, etf.largest_cosine])
@pytest.mark.parametrize("weight, words", BAD_ROWS)
def test_measures_refuse(function, weight, words):
    with pytest.raises(ValueError, match="weight .*" + words):
        function(weight)


@pytest.mark.parametrize("weight, words", BAD_ROWS)
def test_align_refuses(weight, words):
    good = torch.ones(3, 2)
    with pytest.raises(ValueError, match="weight .*" + words):
        etf.align(weight, good)
    with pytest.raises(ValueError, match="target .*" + words):
        etf.align(good, weight)


def test_align_refuses_shapes_that_differ():
    with pytest.raises(ValueError, match=r"target must have the shape \(3, 2\) of weight, got \(3, 4\)"):
        etf.align(torch.ones(3, 2), torch.ones(3, 4))


def test_zero_matrices_and_zero_rows_are_refused():
    with pytest.raises(ValueError, match="weight must not be all zero"):
        etf.etf_distance(torch.zeros(3, 2))
    for function in (etf.cosine_matrix, etf.coherence, etf.largest_cosine):
        with pytest.raises(ValueError, match="weight must have no zero row, got one at index 1"):
            function(torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]))


@pytest.mark.parametrize("bound", [etf.welch_bound, etf.simplex_bound])
def test_bounds_refuse(bound):
    with pytest.raises(ValueError, match="num_classes must be an integer >= 2, got 1"):
        bound(1, 3)
    with pytest.raises(ValueError, match="feature_dim must be an integer >= 1, got 0"):
        bound(3, 0)


def test_helmert_refuses():
    with pytest.raises(ValueError, match="num_classes must be an integer >= 2, got 1"):
        etf.helmert(1)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (dict(num_classes=1, feature_dim=2), "num_classes must be an integer >= 2"),
        (dict(num_classes=3, feature_dim=0), "feature_dim must be an integer >= 1"),
        (dict(num_classes=3, feature_dim=2, restarts=0), "restarts must be an integer >= 1"),
        (dict(num_classes=3, feature_dim=2, seed=-1), "seed must be an integer >= 0"),
    ],
)
def test_best_packing_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        etf.best_packing(**arguments)
