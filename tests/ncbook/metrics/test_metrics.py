"""Neural collapse, measured: against 60-digit arithmetic, in any batches, on any number of processes."""

from __future__ import annotations

import math
import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ncbook import etf
from ncbook.metrics import NeuralCollapse, NeuralCollapseReport, neural_collapse
from ncbook.metrics import class_moments as moments

# The promise: nine digits, whatever the input. float64 itself has sixteen.
DIGITS = 1e-9
VARIABILITY = ("nc1", "nc1_trace_quotient", "cdnv", "directional_nc1")


# --- The reference: every definition written out, in 60-digit arithmetic, sharing no code with the package. ---


def exact(features: Tensor, labels: Tensor, weight: Tensor, bias: Tensor, within: str, between: str) -> dict[str, Any]:
    """Every quantity of the report from its definition, one sample at a time."""
    with mpmath.workdps(60):
        H = [mpmath.matrix([mpmath.mpf(x) for x in row]) for row in features.double().tolist()]
        W = [mpmath.matrix([mpmath.mpf(x) for x in row]) for row in weight.double().tolist()]
        b = [mpmath.mpf(x) for x in bias.double().tolist()]
        y, K, N = labels.tolist(), len(W), len(H)
        members = [[H[i] for i in range(N) if y[i] == k] for k in range(K)]
        n = [len(m) for m in members]
        means = [total(m) / len(m) for m in members]
        shares = [mpmath.mpf(1) / K if between == "class" else mpmath.mpf(n[k]) / N for k in range(K)]
        centre = total([shares[k] * means[k] for k in range(K)])
        M = [mean - centre for mean in means]
        each = [1 / mpmath.mpf(K * n[k]) if within == "class" else 1 / mpmath.mpf(N) for k in range(K)]
        residuals = [[h - means[k] for h in members[k]] for k in range(K)]
        whitened = pseudo_inverse_form(M, shares)
        squares = [[dot(r, r) for r in rs] for rs in residuals]
        v = [sum(s) / len(s) for s in squares]
        pairs = [(j, k) for j in range(K) for k in range(j + 1, K)]
        units = [[h / norm(h) for h in m] for m in members]
        rays = [total(u) / len(u) for u in units]
        gap = total([shares[k] * dot(M[k], M[k]) * mpmath.ones(1, 1) for k in range(K)])[0]
        out = {
            "nc1": sum(each[k] * whitened(r) for k in range(K) for r in residuals[k]) / K,
            "nc1_trace_quotient": sum(each[k] * s for k in range(K) for s in squares[k]) / gap,
            "cdnv": sum((v[j] + v[k]) / (2 * dot(M[j] - M[k], M[j] - M[k])) for j, k in pairs) / len(pairs),
            "directional_nc1": sum(each[k] * dot(u - rays[k], u - rays[k]) for k in range(K) for u in units[k]),
            "nc3": distance(stack(W), stack(M)),
            "nc3_product": distance(product(W, M), simplex(K)),
            "bias_collapse": norm(mpmath.matrix([b[k] + dot(W[k], centre) for k in range(K)])),
        }
        for name, rows in (("means", M), ("weight", W)):
            lengths = [norm(r) for r in rows]
            average = sum(lengths) / K
            cosines = [dot(rows[j], rows[k]) / lengths[j] / lengths[k] for j, k in pairs]
            middle = sum(cosines) / len(cosines)
            out[f"nc2_{name}"] = distance(product(rows, rows), simplex(K))
            out[f"equinorm_{name}"] = mpmath.sqrt(sum((x - average) ** 2 for x in lengths) / K) / average
            out[f"equiangularity_{name}"] = mpmath.sqrt(sum((c - middle) ** 2 for c in cosines) / len(cosines))
            out[f"max_angle_{name}"] = sum(abs(c + mpmath.mpf(1) / (K - 1)) for c in cosines) / len(cosines)
        nearest = [min(range(K), key=lambda k: dot(h - means[k], h - means[k])) for h in H]
        chosen = [max(range(K), key=lambda k: dot(W[k], h) + b[k]) for h in H]
        out["nc4"] = sum(each[y[i]] * (nearest[i] == chosen[i]) for i in range(N))
        out["accuracy"] = sum(each[y[i]] * (chosen[i] == y[i]) for i in range(N))
        out["nearest_mean_accuracy"] = sum(each[y[i]] * (nearest[i] == y[i]) for i in range(N))
        return out


def pseudo_inverse_form(M: list, shares: list) -> Any:
    """``r -> r' pinv(Sigma_B) r`` exactly: by Sigma_B itself where it is invertible, else by the means' own span."""
    K, d = len(M), len(M[0])
    if d < K:
        sigma = mpmath.zeros(d, d)
        for k in range(K):
            sigma += shares[k] * M[k] * M[k].T
        return lambda r: dot(r, mpmath.lu_solve(sigma, r))
    # Contrasts between classes: K - 1 independent rows B with Sigma_B = B'B, so pinv(Sigma_B) = B'(BB')^-2 B.
    left = null_of([mpmath.sqrt(s) for s in shares])
    B = [total([c[k] * mpmath.sqrt(shares[k]) * M[k] for k in range(K)]) for c in left]
    gram = product(B, B)

    def form(r: Any) -> Any:
        x = mpmath.lu_solve(gram, mpmath.matrix([dot(row, r) for row in B]))
        return dot(x, x)

    return form


def null_of(direction: list) -> list:
    """K - 1 orthonormal vectors orthogonal to ``direction``, by Gram-Schmidt."""
    K = len(direction)
    basis = [mpmath.matrix(direction) / norm(mpmath.matrix(direction))]
    for k in range(K - 1):
        v = mpmath.zeros(K, 1)
        v[k] = 1
        for e in basis:
            v -= dot(e, v) * e
        basis.append(v / norm(v))
    return basis[1:]


def total(vectors: list) -> Any:
    out = vectors[0] * 0
    for v in vectors:
        out += v
    return out


def dot(a: Any, b: Any) -> Any:
    return mpmath.fdot(zip(a, b))


def norm(a: Any) -> Any:
    return mpmath.sqrt(dot(a, a))


def stack(rows: list) -> Any:
    return mpmath.matrix([list(r) for r in rows])


def product(rows: list, columns: list) -> Any:
    return mpmath.matrix([[dot(r, c) for c in columns] for r in rows])


def simplex(K: int) -> Any:
    return mpmath.eye(K) - mpmath.ones(K, K) / K


def distance(a: Any, b: Any) -> Any:
    return norm(a / norm(a) - b / norm(b))


# --- Hard cases, each (features, labels, weight, bias). ---


def classes(K: int, d: int, sizes: list[int], noise: float, offset: float = 0.0, seed: int = 0) -> tuple[Tensor, ...]:
    rng = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, dtype=torch.float64, generator=rng)
    y = torch.repeat_interleave(torch.arange(K), torch.tensor(sizes))
    y = y[torch.randperm(len(y), generator=rng)]
    means = draw(K, d)
    return means[y] + noise * draw(len(y), d) + offset, y, means + 0.3 * draw(K, d), draw(K)


def outside_the_span() -> tuple[Tensor, ...]:
    """Noise 1e4 times larger across the span of the class means than within it."""
    features, labels, weight, bias = classes(3, 8, [5] * 3, noise=1e-3)
    centred = features.new_tensor(np.stack([features[labels == k].mean(0) for k in range(3)]))
    basis = torch.linalg.svd(centred)[2][3:]
    return features + 10 * torch.randn(15, 5, dtype=features.dtype, generator=seeded(7)) @ basis, labels, weight, bias


def on_rays() -> tuple[Tensor, ...]:
    """Directions collapsed to 1e-9, lengths not at all."""
    features, labels, weight, bias = classes(4, 6, [5] * 4, noise=1e-9)
    return features * (0.5 + torch.rand(20, 1, dtype=features.dtype, generator=seeded(8))), labels, weight, bias


def close_pair() -> tuple[Tensor, ...]:
    features, labels, weight, bias = classes(4, 6, [5] * 4, noise=1e-5)
    means = torch.stack([features[labels == k].mean(0) for k in range(4)])
    features = torch.where((labels == 3)[:, None], features - means[3] + means[2] + 1e-4, features)
    return features, labels, weight, bias


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


HARD: dict[str, tuple[Tensor, ...]] = {
    "near-total collapse": classes(4, 6, [5] * 4, noise=1e-10),
    "offset 1e3": classes(4, 6, [5] * 4, noise=1e-3, offset=1e3),
    "offset 1e3 and near-total collapse": classes(4, 6, [5] * 4, noise=1e-8, offset=1e3),
    "offset 1e6": classes(4, 6, [6] * 4, noise=1e-1, offset=1e6),
    "d far above N": classes(3, 80, [3] * 3, noise=0.3),
    "d below K": classes(6, 3, [4] * 6, noise=0.3),
    "d equal to K - 1": classes(4, 3, [4] * 4, noise=0.3),
    "one sample in a class": classes(4, 5, [5, 1, 4, 3], noise=0.2),
    "unbalanced": classes(4, 7, [16, 2, 5, 1], noise=0.5),
    "noise across the means' span": outside_the_span(),
    "rays from the origin": on_rays(),
    "two means close together": close_pair(),
    "two classes": classes(2, 3, [4, 7], noise=0.5),
    "no collapse at all": classes(3, 4, [9] * 3, noise=30.0),
    "float32 input": tuple(t.float() if t.is_floating_point() else t for t in classes(4, 8, [5] * 4, 1e-3, 1e2)),
    "float16 input": tuple(t.half() if t.is_floating_point() else t for t in classes(4, 8, [5] * 4, 0.2, 10.0)),
    "bfloat16 input": tuple(t.bfloat16() if t.is_floating_point() else t for t in classes(4, 8, [5] * 4, 0.2, 3.0)),
}


def same(got: NeuralCollapseReport, wanted: dict[str, Any], tolerance: float = DIGITS) -> None:
    for name, value in wanted.items():
        came = getattr(got, name)
        # Relative for what collapses. Distances between unit matrices are differences of numbers near one, so they
        # cannot be finer than their round-off.
        floor = 0.0 if name in VARIABILITY else 1e-14
        assert came == pytest.approx(float(value), rel=tolerance, abs=floor), name


@pytest.mark.parametrize("case", HARD)
def test_every_quantity_has_nine_digits_in_hard_cases(case: str) -> None:
    for within, between in (("sample", "class"), ("class", "sample")):
        got = neural_collapse(*HARD[case], within=within, between=between)
        same(got, exact(*HARD[case], within, between))


@pytest.mark.parametrize("case", HARD)
def test_the_stream_has_the_same_nine_digits(case: str) -> None:
    features, labels, weight, bias = HARD[case]
    for within, between in (("sample", "class"), ("class", "sample")):
        stream = streamed(features, labels, [3, 1, 5], within=within, between=between)
        wanted = exact(features, labels, weight, bias, within, between)
        for late in ("nc4", "accuracy", "nearest_mean_accuracy"):
            wanted.pop(late)
        same(stream.compute(weight, bias), wanted)


def streamed(features: Tensor, labels: Tensor, sizes: list[int], **options: Any) -> NeuralCollapse:
    """A stream that was fed batches of the given sizes, over and over."""
    K = options.pop("num_classes", int(labels.max()) + 1)
    if options.get("within") == "class":
        options["class_counts"] = torch.bincount(labels)
    stream, start, turn = NeuralCollapse(K, features.shape[1], **options), 0, 0
    while start < len(labels):
        stop = start + sizes[turn % len(sizes)]
        stream.update(features[start:stop], labels[start:stop])
        start, turn = stop, turn + 1
    return stream


# --- Properties. ---


def problem(seed: int, K: int = 3, d: int = 5, noise: float = 0.5) -> tuple[Tensor, ...]:
    sizes = (2 + torch.randint(0, 6, (K,), generator=seeded(seed))).tolist()
    return classes(K, d, sizes, noise, seed=seed)


@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(1, 9), min_size=1, max_size=5))
@settings(max_examples=25, deadline=None)
def test_batches_do_not_matter(seed: int, cuts: list[int]) -> None:
    features, labels, weight, bias = problem(seed)
    whole = neural_collapse(features, labels, weight, bias).as_dict()
    for late in ("nc4", "accuracy", "nearest_mean_accuracy"):
        whole.pop(late)
    for name in ("within", "between"):
        whole.pop(name)
    same(streamed(features, labels, cuts).compute(weight, bias), whole)


@given(seed=st.integers(0, 10**6), split=st.integers(1, 5))
@settings(max_examples=15, deadline=None)
def test_merging_is_as_good_as_having_seen_it_all(seed: int, split: int) -> None:
    features, labels, weight, _ = problem(seed)
    K, d = weight.shape
    parts = [NeuralCollapse(K, d) for _ in range(3)]
    for i, (h, y) in enumerate(zip(features.split(split), labels.split(split))):
        parts[i % 3].update(h, y)
    parts[0].merge_state(parts[1])
    parts[0].merge_state(parts[2])
    whole = neural_collapse(features, labels, weight)
    same(parts[0].compute(weight), {name: getattr(whole, name) for name in (*VARIABILITY, "nc2_means", "nc3")})


@given(seed=st.integers(0, 10**6), scale=st.floats(1e-6, 1e6), shift=st.floats(-100, 100))
@settings(max_examples=25, deadline=None)
def test_moving_scaling_and_turning_the_features_changes_nothing(seed: int, scale: float, shift: float) -> None:
    features, labels, _, _ = problem(seed)
    turn = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64, generator=seeded(seed + 1)))[0]
    before, after = neural_collapse(features, labels), neural_collapse(scale * (features @ turn + shift), labels)
    for name in ("nc1", "nc1_trace_quotient", "cdnv", "nc2_means", "equinorm_means", "effective_rank"):
        # A shift of 100 leaves 14 digits of a feature of size 1.
        assert getattr(after, name) == pytest.approx(getattr(before, name), rel=1e-10), name


@given(seed=st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_balanced_data_needs_no_choice_of_average(seed: int) -> None:
    features, labels, weight, bias = classes(3, 5, [4] * 3, 0.5, seed=seed)
    reports = [
        neural_collapse(features, labels, weight, bias, within=w, between=b)
        for w in ("sample", "class")
        for b in ("sample", "class")
    ]
    for other in reports[1:]:
        numbers = {k: v for k, v in other.as_dict().items() if not isinstance(v, str)}
        same(reports[0], numbers, tolerance=1e-11)


@pytest.mark.parametrize("between", ["class", "sample"])
def test_the_class_means_span_at_most_one_dimension_less_than_there_are_classes(between: str) -> None:
    features, labels, _, _ = HARD["unbalanced"]
    assert neural_collapse(features, labels, between=between).between_rank == 3


def test_perfect_collapse_reads_as_perfect() -> None:
    K = 5
    frame = etf.simplex_etf(K, 9, generator=seeded(1))
    labels = torch.arange(K).repeat(4)
    r = neural_collapse(
        3 * frame[labels] + 0.7, labels, 2 * frame, -2 * frame @ torch.full((9,), 0.7, dtype=torch.float64)
    )
    # Squares of round-off: (1e-16)^2 times a few.
    assert max(r.nc1, r.nc1_trace_quotient, r.cdnv, r.directional_nc1) < 1e-29
    small = (r.nc2_means, r.nc2_weight, r.equinorm_means, r.equiangularity_weight, r.max_angle_means)
    assert max(*small, r.nc3, r.nc3_product, r.bias_collapse) < 1e-14
    assert r.nc4 == r.accuracy == r.nearest_mean_accuracy == 1
    assert r.effective_rank == pytest.approx(K - 1, rel=1e-12)
    assert (r.between_rank, r.num_samples, r.num_classes, r.feature_dim) == (4, 20, 5, 9)


def test_nc4_needs_the_bias() -> None:
    # Means at 0 and 2 on a line, features away from the origin: the bias puts the boundary at 1.
    features, labels = torch.tensor([[0.0], [0.2], [1.8], [2.0]]).double(), torch.tensor([0, 0, 1, 1])
    weight, bias = torch.tensor([[-1.0], [1.0]]), torch.tensor([1.0, -1.0])
    assert neural_collapse(features, labels, weight, bias).nc4 == 1
    assert neural_collapse(features, labels, weight).nc4 == 0.75  # 0.2 goes astray, 0.0 ties and goes to class 0


def test_directional_collapse_is_seen_where_the_raw_form_is_not() -> None:
    frame, labels = torch.eye(3, 4).double(), torch.arange(3).repeat(6)
    lengths = torch.linspace(0.5, 2, 18).double()[:, None]
    r = neural_collapse(lengths * frame[labels], labels)
    assert r.nc1 > 0.01
    assert r.directional_nc1 < 1e-30


def test_effective_rank_counts_superclasses() -> None:
    # Four classes, two superclasses: means +e, +e, -e, -e up to a tiny split span one direction.
    means = torch.tensor([[1.0, 0], [1.0, 0], [-1, 0], [-1, 0]]).double()
    labels = torch.arange(4).repeat(3)
    r = neural_collapse(means[labels], labels)
    assert r.effective_rank == pytest.approx(1, rel=1e-12)
    assert r.between_rank == 1


def test_cdnv_over_many_classes_is_the_mean_over_all_pairs() -> None:
    features, labels, _, _ = classes(700, 4, [2] * 700, noise=0.1)
    means = torch.stack([features[labels == k].mean(0) for k in range(700)])
    v = torch.stack([(features[labels == k] - means[k]).square().sum(1).mean() for k in range(700)])
    j, k = torch.triu_indices(700, 700, 1)
    direct = ((v[j] + v[k]) / (2 * (means[j] - means[k]).square().sum(1))).mean()
    assert neural_collapse(features, labels).cdnv == pytest.approx(float(direct), rel=1e-11)


# --- Size and source of the input. ---


def test_nothing_is_formed_of_size_d_by_d() -> None:
    # d x d would take 80 GB here.
    features, labels, _, _ = classes(3, 100_000, [3] * 3, noise=0.3)
    r = neural_collapse(features.float(), labels)
    assert 0 < r.nc1 < 1


@pytest.mark.parametrize("size", [1, 7, 64])
def test_rows_are_read_in_any_blocks(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels, weight, bias = HARD["unbalanced"]
    whole = neural_collapse(features, labels, weight, bias)
    full = moments.blocks

    def small(features: Tensor, labels: Tensor, at_least: int = 256) -> Any:
        for start in range(0, len(features), size):
            for rows, of, _ in full(features[start : start + size], labels[start : start + size]):
                yield rows, of, start

    monkeypatch.setattr(moments, "blocks", small)
    numbers = {k: v for k, v in whole.as_dict().items() if not isinstance(v, str)}
    same(neural_collapse(features, labels, weight, bias), numbers, tolerance=1e-12)


def test_the_input_is_left_alone() -> None:
    features, labels, weight, bias = HARD["unbalanced"]
    copies = [t.clone() for t in (features, labels, weight, bias)]
    neural_collapse(features, labels, weight, bias)
    streamed(features, labels, [4])
    assert all(torch.equal(a, b) for a, b in zip(copies, (features, labels, weight, bias)))


def test_a_tensor_that_needs_a_gradient_is_measured_without_one() -> None:
    features, labels, weight, bias = HARD["unbalanced"]
    free = neural_collapse(features, labels, weight, bias)
    held = neural_collapse(features.clone().requires_grad_(), labels, weight.clone().requires_grad_(), bias)
    assert free == held


def test_a_memory_mapped_file_is_read_block_by_block(tmp_path: Path) -> None:
    features, labels, _, _ = HARD["unbalanced"]
    np.save(tmp_path / "f.npy", features.numpy())
    mapped = torch.from_numpy(np.load(tmp_path / "f.npy", mmap_mode="c"))
    assert neural_collapse(mapped, labels) == neural_collapse(features, labels)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_numbers() -> None:
    for features, labels, weight, bias in HARD.values():
        here = neural_collapse(features, labels, weight, bias)
        numbers = {k: v for k, v in here.as_dict().items() if not isinstance(v, str)}
        same(neural_collapse(features.cuda(), labels, weight, bias.cuda()), numbers)
        stream = NeuralCollapse(len(weight), features.shape[1]).to("cuda")
        stream.update(features, labels.cuda())  # features from another device
        same(stream.compute(weight, bias), {name: getattr(here, name) for name in VARIABILITY})


# --- Bad and degenerate input: an error that says what and where, or a documented value. ---

GOOD = (torch.randn(8, 3, generator=seeded(0)), torch.arange(8) % 4, torch.eye(4, 3), torch.zeros(4))


def with_entry(value: float) -> Tensor:
    features = GOOD[0].clone()
    features[5, 2] = value
    return features


BAD = [
    ({"features": with_entry(math.nan)}, "features must be finite, got nan at sample 5, coordinate 2"),
    ({"features": with_entry(-math.inf)}, "features must be finite, got -inf at sample 5, coordinate 2"),
    ({"features": with_entry(1e30).double() ** 5}, "norms below 1e140, got 1.0e.150 at sample 5"),
    ({"features": GOOD[0].double() * 1e-150}, "norms below 1e-140"),
    ({"features": GOOD[0].long()}, "features must be a floating tensor"),
    ({"features": GOOD[0][0]}, r"features must be a floating tensor of shape \(N, d\), got \(3,\)"),
    ({"features": GOOD[0].tolist()}, "features must be a floating tensor of shape .* got list"),
    ({"features": GOOD[0][:, :0]}, "features must be .* d >= 1"),
    ({"labels": GOOD[1][:-1]}, r"labels must have one entry per sample \(8\), got 7"),
    ({"labels": GOOD[1] - 1}, "labels must lie in 0 … 3, got values from -1 to 2"),
    ({"labels": GOOD[1] + 1}, "labels must lie in 0 … 3, got values from 1 to 4"),
    ({"labels": GOOD[1] + 10**12, "weight": None, "bias": None}, "a sample of every class, got 8 for 1000000000004"),
    ({"labels": GOOD[1].float()}, "labels must hold integers"),
    ({"labels": GOOD[1] % 2}, "at least one sample of every class, got none of class 2 among 4 classes"),
    ({"weight": torch.eye(4)}, r"weight must be \(K, d=3\), got \(4, 4\)"),
    ({"weight": torch.full((4, 3), math.nan)}, "weight must be finite"),
    ({"bias": torch.zeros(3)}, r"bias must be \(K=4\), got \(3,\)"),
    ({"weight": None}, "bias must come with a weight"),
    ({"within": "batch"}, "within must be 'class' or 'sample', got 'batch'"),
    ({"between": "mean"}, "between must be 'class' or 'sample', got 'mean'"),
    ({"labels": torch.zeros(8).long(), "weight": None, "bias": None}, "labels must hold at least 2 classes, got 1"),
]


@pytest.mark.parametrize("change, message", BAD)
def test_a_bad_argument_is_named(change: dict[str, Any], message: str) -> None:
    arguments = dict(zip(("features", "labels", "weight", "bias"), GOOD)) | change
    with pytest.raises(ValueError, match=message):
        neural_collapse(**arguments)


def test_an_empty_class_between_others_is_an_error_without_a_weight_too() -> None:
    with pytest.raises(ValueError, match="got none of class 1 among 3 classes"):
        neural_collapse(GOOD[0], torch.tensor([0, 2] * 4))


def test_coinciding_class_means_give_infinity() -> None:
    features = torch.randn(6, 4, dtype=torch.float64, generator=seeded(3))
    both, labels = torch.cat([features, features.flip(0)]) + 1e3, torch.arange(12) // 6
    for r in (neural_collapse(both, labels), streamed(both, labels, [5]).compute()):
        assert r.nc1 == r.nc1_trace_quotient == r.cdnv == math.inf
        assert r.between_rank == 0
        assert math.isnan(r.nc2_means) and math.isnan(r.effective_rank) and math.isnan(r.between_condition)
        assert 0 < r.directional_nc1 < 1


def test_one_point_for_everything_is_undefined() -> None:
    r = neural_collapse(torch.ones(6, 4), torch.arange(6) % 2, torch.eye(2, 4))
    assert math.isnan(r.nc1) and math.isnan(r.nc1_trace_quotient) and math.isnan(r.cdnv) and math.isnan(r.nc3)


def test_one_sample_a_class_shows_no_variance_to_measure() -> None:
    r = neural_collapse(GOOD[0][:4], GOOD[1][:4])
    assert all(math.isnan(getattr(r, name)) for name in VARIABILITY)
    assert r.nc2_means > 0 and r.effective_rank > 1


def test_a_zero_classifier_has_no_direction() -> None:
    r = neural_collapse(*GOOD[:2], torch.zeros(4, 3), torch.ones(4))
    assert math.isnan(r.nc2_weight) and math.isnan(r.nc3) and math.isnan(r.nc3_product)
    assert r.bias_collapse == 2


def test_zero_features_have_no_direction_and_are_left_out_of_it() -> None:
    features, labels, _, _ = classes(2, 3, [4, 4], noise=0.3)
    padded = torch.cat([torch.zeros(2, 3, dtype=torch.float64), features, torch.zeros(1, 3, dtype=torch.float64)])
    of = torch.cat([torch.tensor([0, 1]), labels, torch.tensor([1])])
    alone = neural_collapse(features, labels).directional_nc1
    assert neural_collapse(padded, of).directional_nc1 == pytest.approx(alone, rel=1e-12)
    assert streamed(padded, of, [2, 3]).compute().directional_nc1 == pytest.approx(alone, rel=1e-12)
    assert math.isnan(neural_collapse(torch.zeros(4, 2), torch.arange(4) % 2).directional_nc1)


def test_without_a_classifier_its_quantities_are_none() -> None:
    r = neural_collapse(*GOOD[:2])
    missing = {name for name, value in r.as_dict().items() if value is None}
    weights = {f"{name}_weight" for name in ("nc2", "equinorm", "equiangularity", "max_angle")}
    assert missing == weights | {
        "nc3", "nc3_product", "nc4", "bias_collapse", "accuracy", "nearest_mean_accuracy",
    }  # fmt: skip


def test_a_missing_bias_counts_as_zero() -> None:
    features, labels, weight, bias = HARD["unbalanced"]
    assert neural_collapse(features, labels, weight) == neural_collapse(features, labels, weight, 0 * bias)


def test_the_report_prints_every_field() -> None:
    r = neural_collapse(*GOOD[:2])
    lines = str(r).splitlines()
    assert [line.split()[0] for line in lines] == list(r.as_dict())
    assert f"{r.nc1:.4g}" in lines[0] and lines[5].split() == ["nc2_weight", "-"]


# --- The stream as a torchmetrics.Metric. ---


def test_nearest_means_given_make_nc4_exact() -> None:
    features, labels, weight, bias = classes(4, 5, [6, 2, 9, 4], noise=1.5)
    logits = features @ weight.T + bias
    for within in ("sample", "class"):
        whole = neural_collapse(features, labels, weight, bias, within=within)
        assert 0 < whole.nc4 < 1  # otherwise nothing is tested
        first = streamed(features, labels, [5], within=within, class_counts=torch.bincount(labels))
        options = {"within": within, "class_means": first.class_means, "class_counts": torch.bincount(labels)}
        second = NeuralCollapse(4, 5, **options)
        for h, y, z in zip(features.split(3), labels.split(3), logits.split(3)):
            second(h, y, z)
        same(second.compute(weight, bias), {n: getattr(whole, n) for n in ("nc4", "accuracy", "nearest_mean_accuracy")})


def test_a_stream_read_once_does_not_claim_nc4() -> None:
    features, labels, weight, bias = HARD["unbalanced"]
    stream = NeuralCollapse(4, 7)
    stream.update(features[:10], labels[:10], (features @ weight.T + bias)[:10])
    stream.update(features[10:], labels[10:])
    r = stream.compute(weight, bias)
    assert r.nc4 is None and r.nearest_mean_accuracy is None
    assert r.accuracy is None  # logits came for some samples only


def test_state_dict_carries_a_stream_over() -> None:
    features, labels, weight, bias = HARD["unbalanced"]
    before, after = streamed(features[:15], labels[:15], [4], num_classes=4), NeuralCollapse(4, 7)
    after.load_state_dict(before.state_dict())
    for stream in (before, after, pickle.loads(pickle.dumps(before))):
        stream.update(features[15:], labels[15:])
        assert stream.compute(weight, bias) == streamed(features, labels, [4, 4, 4, 3, 99]).compute(weight, bias)


def test_reset_forgets_everything() -> None:
    features, labels, _, _ = HARD["unbalanced"]
    stream = streamed(features + 5, labels, [4])
    stream.reset()
    with pytest.warns(UserWarning, match="before the"), pytest.raises(ValueError, match="got none of class 0"):
        stream.compute()
    stream.update(features, labels)
    assert stream.compute() == streamed(features, labels, [99]).compute()


def test_compute_answers_the_question_asked_and_does_not_end_the_stream() -> None:
    features, labels, weight, bias = classes(4, 7, [9, 4, 5, 6], noise=0.5)
    stream = streamed(features[:20], labels[:20], [20])
    with_weight, without = stream.compute(weight, bias), stream.compute()
    assert with_weight.nc3 is not None and without.nc3 is None
    stream.update(features[20:], labels[20:])
    assert stream.compute().num_samples == len(labels)


def test_low_precision_of_the_model_around_it_does_not_reach_the_state() -> None:
    model = torch.nn.Module()
    model.metric = NeuralCollapse(4, 7)
    model.half()
    features, labels, _, _ = HARD["unbalanced"]
    model.metric.update(features, labels)
    assert model.metric.compute() == streamed(features, labels, [99]).compute()
    model.metric.set_dtype(torch.float32)
    with pytest.raises(ValueError, match="the state must stay in float64"):
        model.metric.update(features, labels)


def test_a_bad_batch_leaves_the_state_as_it_was() -> None:
    stream = NeuralCollapse(4, 3)
    stream.update(*GOOD[:2])
    state = stream.state.clone()
    bad = [
        ((with_entry(math.nan), GOOD[1]), "features must be finite, got nan at sample 5, coordinate 2"),
        ((GOOD[0], GOOD[1] + 1), "labels must lie in 0 … 3"),
        ((GOOD[0][:, :2], GOOD[1]), r"features must be \(N, d\) with N >= 1 and d = 3, got \(8, 2\)"),
        ((*GOOD[:2], torch.zeros(8, 3)), r"logits must be \(B=8, K=4\), got \(8, 3\)"),
    ]
    for arguments, message in bad:
        with pytest.raises(ValueError, match=message):
            stream.update(*arguments)
    assert torch.equal(stream.state, state)


def test_a_stream_that_cannot_be_is_refused() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"num_classes": 1}, "num_classes must be an integer >= 2"),
        ({"feature_dim": 0}, "feature_dim must be an integer >= 1"),
        ({"within": "class"}, "class_counts must be given"),
        ({"class_counts": torch.tensor([1, 2])}, "class_counts must have one entry per sample"),
        ({"class_counts": torch.tensor([1, 2, 0, 4])}, "got none of class 2"),
        ({"class_means": torch.zeros(3, 3)}, r"class_means must be \(K=4, d=3\)"),
    ]
    for change, message in cases:
        with pytest.raises(ValueError, match=message):
            NeuralCollapse(**({"num_classes": 4, "feature_dim": 3} | change))


def test_announced_class_counts_must_come_true() -> None:
    stream = NeuralCollapse(4, 3, within="class", class_counts=torch.tensor([2, 2, 2, 3]))
    stream.update(*GOOD[:2])
    with pytest.raises(ValueError, match=r"class_counts must be what came, \[2, 2, 2, 2\]"):
        stream.compute()
    with pytest.raises(ValueError, match=r"weight must be \(K=4, d=3\)"):
        streamed(*GOOD[:2], [3]).compute(torch.eye(3))


# --- Many processes. ---


def process(rank: int, world: int, rendezvous: str, results: Any) -> None:
    """One of ``world`` processes, each with its share of the samples; the last one has none of class 0."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=world)
    features, labels, weight, bias = distributed_case()
    mine = shares(labels, world) == rank
    stream = NeuralCollapse(len(weight), features.shape[1])
    for h, y in zip(features[mine].split(7), labels[mine].split(7)):
        stream.update(h, y)
    together = stream.compute(weight, bias)
    stream.update(features[:3], labels[:3])  # still its own stream afterwards
    results.put((rank, together, int(stream._parts().counts.sum()) - int(mine.sum())))
    torch.distributed.destroy_process_group()


def distributed_case() -> tuple[Tensor, ...]:
    return classes(5, 9, [30, 12, 20, 9, 25], noise=1e-6, offset=1e3)


def shares(labels: Tensor, world: int) -> Tensor:
    owner = torch.arange(len(labels)) % world
    return torch.where((owner == world - 1) & (labels == 0), 0, owner)


@pytest.mark.parametrize("world", [2, 4])
def test_processes_together_are_as_one(world: int, tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")  # as clean as spawn, and torch is imported once for all
    context.set_forkserver_preload(["torch", "torchmetrics", "ncbook.metrics.stream"])
    results = context.SimpleQueue()
    rendezvous = f"file://{tmp_path}/rendezvous"
    workers = [context.Process(target=process, args=(r, world, rendezvous, results)) for r in range(world)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=120)
    assert [worker.exitcode for worker in workers] == [0] * world
    features, labels, weight, bias = distributed_case()
    whole = neural_collapse(features, labels, weight, bias).as_dict()
    for name in ("nc4", "accuracy", "nearest_mean_accuracy", "within", "between"):
        whole.pop(name)
    for _ in range(world):
        _, together, left_over = results.get()
        same(together, whole)
        assert left_over == 3
