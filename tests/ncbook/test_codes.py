"""The best codes: exact where they are said to be, as good as the records elsewhere."""

import math

import pytest
import torch
from scipy.optimize import minimize

from ncbook import codes, etf


def random_rows(K, d, seed):
    return torch.nn.functional.normalize(
        torch.randn(K, d, generator=torch.Generator().manual_seed(seed)).double(), dim=1
    )


@pytest.mark.parametrize(
    "K, d, cosine, name",
    [
        (2, 1, -1.0, "simplex ETF"),
        (5, 4, -0.25, "simplex ETF"),
        (5, 9, -0.25, "simplex ETF"),
        (4, 2, 0.0, "regular polygon"),
        (9, 2, math.cos(2 * math.pi / 9), "regular polygon"),
        (5, 3, 0.0, "part of an orthoplex"),
        (6, 3, 0.0, "orthoplex"),
        (11, 6, 0.0, "part of an orthoplex"),
        (12, 3, 1 / math.sqrt(5), "icosahedron"),
    ],
)
def test_exact_codes_have_the_largest_cosine_of_their_proof(K, d, cosine, name):
    code = codes.best_code(K, d)
    assert code.vectors.shape == (K, d) and code.proved and code.name == name
    assert (code.vectors.norm(dim=1) - 1).abs().max() < 1e-15
    assert abs(etf.largest_cosine(code.vectors) - cosine) < 1e-14
    assert abs(code.margin - (1 - cosine)) < 1e-14


@pytest.mark.parametrize("K, d", [(7, 3), (8, 3), (9, 3), (10, 3), (11, 3), (13, 3), (14, 3), (10, 4)])
def test_the_search_reaches_the_records(K, d):
    code = codes.best_code(K, d, restarts=12)
    angle = math.degrees(math.acos(etf.largest_cosine(code.vectors)))
    # The records have seven decimals; more than theirs would be a discovery, less a search that failed.
    assert abs(angle - codes.BEST_KNOWN[K, d]) < 1e-6
    assert not code.proved and f"{codes.BEST_KNOWN[K, d]:.4f}" in code.name
    assert abs(code.margin - (1 - etf.largest_cosine(code.vectors))) < 1e-9


def test_a_code_without_a_record_says_so():
    code = codes.best_code(11, 4, restarts=3)
    assert not code.proved and "no record" in code.name
    assert torch.equal(code.vectors, codes.best_code(11, 4, restarts=3).vectors)
    assert not torch.equal(code.vectors, codes.best_code(11, 4, restarts=3, seed=1).vectors)


@pytest.mark.parametrize("K, d", [(3, 2), (6, 3), (9, 4), (4, 7)])
def test_no_other_feature_leads_by_more(K, d):
    """Against a general solver of the same small problem, and against random unit features."""
    W = 2 * random_rows(K, d, 1)
    H, margins = codes.best_features(W)
    assert (H.norm(dim=1) - 1).abs().max() < 1e-12
    others = random_rows(2000, d, 2)
    for k in range(K):
        differences = W[k] - torch.cat([W[:k], W[k + 1 :]])
        assert abs(float((differences @ H[k]).min()) - margins[k]) < 1e-12
        assert (differences @ others.T).amin(dim=0).max() <= margins[k] + 1e-12
        rows = differences.numpy()
        squared = minimize(
            lambda t, rows=rows: ((t @ rows) ** 2).sum(), [1 / (K - 1)] * (K - 1), method="SLSQP",
            bounds=[(0, 1)] * (K - 1), constraints={"type": "eq", "fun": lambda t: t.sum() - 1},
            options={"ftol": 1e-15, "maxiter": 500},
        ).fun  # fmt: skip
        assert abs(math.sqrt(squared) - margins[k]) < 1e-6


def test_a_row_inside_the_others_has_no_lead():
    W = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]]).double()
    H, margins = codes.best_features(W)
    assert margins.tolist() == pytest.approx([1, 1, 0]) and H[2].tolist() == [0, 0]


def test_equal_rows_have_no_lead():
    assert codes.best_features(torch.ones(3, 2).double())[1].abs().max() == 0


def test_icosahedron_has_its_three_cosines():
    cosines = codes.icosahedron() @ codes.icosahedron().T
    found = sorted({round(float(c), 12) for c in cosines.flatten()})
    assert found == pytest.approx([-1, -1 / math.sqrt(5), 1 / math.sqrt(5), 1])


def test_on_a_line_three_classes_are_refused():
    with pytest.raises(ValueError, match="feature_dim must be >= 2 for 3 classes"):
        codes.best_code(3, 1)
    with pytest.raises(ValueError, match="weight must have at least 2 rows"):
        codes.best_features(torch.ones(1, 3))
