"""NC1 of many classes without an SVD: the same numbers, and the SVD where the class means fill their space badly."""

import pytest
import torch

from ncbook.metrics import neural_collapse, whitening
from ncbook.metrics.class_moments import first_read

K, D, N = 60, 80, 400


def features(merged=0, scale=1.0):
    """Unequal classes in random order; the first ``merged`` and one more have the same mean, direction 0 is scaled."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.cat([torch.arange(K), torch.randint(0, K // 2, (N - K,), generator=rng)])
    means = torch.randn(K, D, generator=rng, dtype=torch.float64)
    means[: merged + 1] = means[0].clone()
    noise = torch.randn(N, D, generator=rng, dtype=torch.float64)
    for k in range(merged + 1):  # equal to the last digit only without noise
        noise[labels == k] = 0
    found = means[labels] + 0.3 * noise
    found[:, 0] *= scale
    return found + 100, labels


@pytest.fixture
def seen(monkeypatch):
    """How often the way without an SVD was taken, and how often it gave up."""
    outcomes, real = [], whitening._without_svd
    monkeypatch.setattr(whitening, "MANY", 2)
    monkeypatch.setattr(whitening, "_without_svd", lambda *a: (outcomes.append(real(*a)), outcomes[-1])[1])
    return outcomes


@pytest.mark.parametrize("between", ["class", "sample"])
def test_it_is_the_report_of_the_svd(seen, monkeypatch, between):
    H, y = features()
    quick = neural_collapse(H, y, between=between)
    assert [outcome is not None for outcome in seen] == [True]
    monkeypatch.setattr(whitening, "MANY", K)
    slow = neural_collapse(H, y, between=between)
    assert len(seen) == 1 and quick.between_rank == slow.between_rank == K - 1
    for name in ("nc1", "nc1_trace_quotient", "effective_rank"):
        assert getattr(quick, name) == pytest.approx(getattr(slow, name), rel=1e-12)
    assert quick.between_condition == pytest.approx(slow.between_condition, rel=1e-10)


@pytest.mark.parametrize("merged, scale", [(1, 1.0), (3, 1.0), (0, 1e5), (0, 1e9)])
def test_means_that_fill_their_space_badly_go_to_the_svd(seen, monkeypatch, merged, scale):
    H, y = features(merged, scale)
    report = neural_collapse(H, y)
    assert seen == [None] and report.between_rank == K - 1 - merged
    monkeypatch.setattr(whitening, "MANY", K)
    assert str(neural_collapse(H, y)) == str(report)  # a nan is not equal to itself


def test_the_square_of_the_map_is_the_pseudo_inverse(seen):
    H, y = features()
    moments = first_read(H, y, K).moments
    T = whitening.whitener(moments, "class").matrix
    M = moments.centred("class")
    assert seen[0] is not None
    torch.testing.assert_close(T.T @ T, torch.linalg.pinv(M.T @ M / K, rtol=1e-10), rtol=1e-9, atol=1e-9)
