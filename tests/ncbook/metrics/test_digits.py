"""Nine digits, whatever the input: against 60-digit arithmetic, in any batches."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ncbook import etf
from ncbook.metrics import NeuralCollapse, neural_collapse
from tests.ncbook.metrics.reference import HARD, VARIABILITY, classes, exact, problem, same, seeded, streamed


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
