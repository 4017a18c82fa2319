"""The nearest mean and the classifier's decision: float32 never decides otherwise than float64 would."""

import pytest
import torch

from ncbook.metrics import decisions
from ncbook.metrics.decisions import Head, Scores, both, nearest_mean

K, D = 128, 40


def tensors(*shapes, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=rng, dtype=torch.float64) for shape in shapes]


def plainly(scores, rows):
    """The definition, in float64."""
    out = (rows - (0 if scores.centre is None else scores.centre)) @ scores.weight.T
    return (out + (0 if scores.offsets is None else scores.offsets)).argmax(1)


@pytest.fixture
def quick(monkeypatch):
    """Every part that float32 looked at: the float32 choice and which rows it left to float64."""
    looked, real = [], decisions._Quick.highest
    monkeypatch.setattr(decisions._Quick, "highest", lambda *a: (looked.append(real(*a)), looked[-1])[1])
    return looked


@pytest.mark.parametrize("bias", [False, True])
def test_close_scores_are_decided_in_float64(quick, bias):
    weight, rows, noise, offsets = tensors((K, D), (6000, D), (D,), (K,))
    weight[1] = weight[0] + 1e-7 * noise  # two outputs that float32 can hardly tell apart
    rows[::20] = weight[0] + 0.1 * rows[::20]
    scores = Scores(weight, offsets * 1e-8 if bias else None, None)
    found, wanted = scores.highest(rows), plainly(scores, rows)
    single = (rows.float() @ weight.float().T + (0 if not bias else scores.offsets.float())).argmax(1)
    assert (single != wanted).sum() > 10  # float32 alone would be wrong
    assert torch.equal(found, wanted)
    assert len(quick) == 3 and 300 <= sum(len(unsure) for _, unsure in quick) < 900


def test_equal_scores_go_to_the_first_class(quick):
    weight, rows = tensors((K, D), (500, D))
    weight = torch.cat([weight[: K // 2]] * 2)
    rows[7] = 0
    found = Scores(weight, None, None).highest(rows)
    assert int(found.max()) < K // 2 and found[7] == 0
    assert len(quick) == 1 and len(quick[0][1]) == 500


def test_float32_is_left_where_it_does_not_pay(quick, monkeypatch):
    monkeypatch.setattr(decisions, "SCORES", 100 * K)
    weight, rows = tensors((K, D), (500, D))
    weight = torch.cat([weight[: K // 2]] * 2)
    assert torch.equal(Scores(weight, None, None).highest(rows), (rows @ weight[: K // 2].T).argmax(1))
    assert len(quick) == 1


@pytest.mark.parametrize("scale", [1e-130, 1e-44, 1e-39, 1e-30, 1e30, 1e130])
@pytest.mark.parametrize("what", ["weight", "rows", "offsets"])
def test_numbers_beyond_float32_are_decided_in_float64(what, scale):
    given = dict(zip(("weight", "rows", "offsets"), tensors((K, D), (300, D), (K,))))
    given[what] *= scale
    scores = Scores(given["weight"], given["offsets"] if what == "offsets" else None, None)
    assert torch.equal(scores.highest(given["rows"]), plainly(scores, given["rows"]))


@pytest.fixture(params=["variable", "backend"])
def reduced_precision(request, monkeypatch):
    if request.param == "variable":
        monkeypatch.setenv("ONEDNN_DEFAULT_FPMATH_MODE", "BF16")
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision(before)


def test_products_that_do_not_keep_float32_are_not_asked(reduced_precision, quick):
    weight, rows = tensors((K, D), (100, D))
    assert torch.equal(Scores(weight, None, None).highest(rows), (rows @ weight.T).argmax(1))
    assert not quick


@pytest.mark.parametrize("num_classes", [10, 30, K])
@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("measured", [None, 7])
def test_nearest_means_and_outputs(num_classes, offset, measured):
    means, rows, weight, bias = tensors((num_classes, D), (700, D), (num_classes, D), (num_classes,))
    classes = None if measured is None else torch.arange(0, num_classes, measured)
    means, rows = means + offset, rows + offset
    head = Head(weight, bias, classes)
    near, chosen = both(nearest_mean(means), head)(rows)
    assert torch.equal(near, torch.cdist(rows, means, compute_mode="donot_use_mm_for_euclid_dist").argmin(1))
    outputs = (rows @ weight.T + bias).argmax(1)
    assert torch.equal(
        chosen if classes is None else torch.where(chosen < 0, -1, classes[chosen]),
        (outputs if classes is None else torch.where(outputs % measured == 0, outputs, -1)),
    )


def test_samples_between_means_far_from_the_origin_keep_their_digits():
    apart, side = tensors((1000,), (400,))
    means = 1e8 + torch.stack([-apart.sign(), apart.sign()])
    rows = torch.full((400, 1000), 1e8, dtype=torch.float64)
    rows[:, 0] += 1e-7 * side.sign()
    assert torch.equal(nearest_mean(means).highest(rows), (side.sign() == apart[0].sign()).long())
