"""Products of layers: their price, the shapes that compete, and where descent ends."""

import math

import pytest
import torch

from ncbook import ufm
from ncbook.deep import SHAPES, DeepUFM, jump, shape_vectors

TABLE = {2: (0.0711, 0.0768, 0.2417), 3: (0.0567, 0.0500, 0.0903), 8: (0.0633, 0.0422, 0.0310)}


@pytest.mark.parametrize("layers", TABLE)
def test_shapes_at_their_best_scale(layers):
    model = DeepUFM(10, 1, 10, 1e-3, layers)
    found = [model.best_scale(shape_vectors(name, 10), name) for name in SHAPES]
    assert [s.value for s in found] == pytest.approx(TABLE[layers], abs=6e-5)
    assert [s.rank for s in found] == [9, 5, 2]


@pytest.mark.parametrize("seed", range(30))
def test_no_factors_cost_less_than_the_price_and_balanced_ones_cost_it(seed):
    layers = 2 + seed % 5
    model = DeepUFM(3 + seed % 3, 1 + seed % 2, 6, 0.1, layers)
    factors = model.random_start(seed, scale=1.5)
    logits = model.activations(factors)[-1]
    price = model.least_penalty(logits)
    assert price <= float(model.decay / 2 * sum(f.square().sum() for f in factors)) * (1 + 1e-12)
    best = model.balanced_factors(logits)
    assert float(model.decay / 2 * sum(f.square().sum() for f in best)) == pytest.approx(price, rel=1e-12)
    assert torch.allclose(model.activations(best)[-1], logits, atol=1e-12)
    # The check is sharp: a constant 4 % too strong fails at the balanced factors.
    assert 1.04 * price > float(model.decay / 2 * sum(f.square().sum() for f in best))


def test_two_factors_are_the_unconstrained_feature_model():
    deep, flat = DeepUFM(4, 3, 6, 2e-3, 2), ufm.UFM(4, 3, 6, 2e-3, 2e-3)
    best = flat.optimum()
    assert float(deep.objective((best.H, best.W))) == pytest.approx(best.value, rel=1e-12)
    assert deep.best_scale(shape_vectors("simplex ETF", 4)).value == pytest.approx(best.value, rel=1e-10)
    assert deep.solve(0).value == pytest.approx(best.value, rel=1e-8)


def test_objective_is_the_loss_plus_every_factors_decay():
    model = DeepUFM(3, 2, 4, 0.3, 4)
    factors = model.random_start(1)
    H, A, B, W = factors
    logits = H @ A.T @ B.T @ W.T
    own = torch.nn.functional.cross_entropy(logits, model.labels) + 0.15 * sum(f.square().sum() for f in factors)
    assert float(model.objective(factors)) == pytest.approx(float(own), rel=1e-12)
    relu = DeepUFM(3, 2, 4, 0.3, 4, relu=True).activations(factors)
    assert torch.equal(relu[-1], ((H.relu() @ A.T).relu() @ B.T).relu() @ W.T)


def test_with_three_factors_random_starts_find_the_orthoplex():
    model = DeepUFM(6, 1, 9, 1e-3, 3)
    ends = [model.solve(seed) for seed in range(3)]
    orthoplex = model.best_scale(shape_vectors("orthoplex", 6))
    etf = model.best_scale(shape_vectors("simplex ETF", 6))
    assert min(e.value for e in ends) == pytest.approx(orthoplex.value, rel=1e-6)
    assert orthoplex.value < max(e.value for e in ends) <= etf.value * (1 + 1e-9)  # one of the three finds the ETF
    assert max(e.gradient_norm for e in ends) < 1e-7


def test_no_scale_beats_zero_under_a_strong_decay():
    found = DeepUFM(10, 1, 10, 0.1, 3).best_scale(shape_vectors("circle", 10))
    assert (found.scale, found.rank) == (0.0, 0) and found.value == pytest.approx(math.log(10))


@pytest.mark.parametrize("layers", [2, 3, 4, 7])
def test_a_singular_value_jumps_where_it_should(layers):
    n, N = 5, 20
    decay, height = jump(layers, n, N)
    t = torch.linspace(0, math.sqrt(n), 200_001, dtype=torch.float64)
    best = lambda x: float(t[((t - math.sqrt(n)).square() / (2 * N) + layers * x / 2 * t.pow(2 / layers)).argmin()])
    assert best(1.001 * decay) == 0
    assert best(0.999 * decay) == pytest.approx(height, abs=0.02) and best(0.999 * decay) > 0


def test_the_solver_stands_at_the_predicted_height():
    decay, height = jump(3, 5, 20)
    model = DeepUFM(4, 5, 4, 0.9999 * decay, 3, loss="squared error")
    target = torch.eye(4, dtype=torch.float64)[model.labels]
    end = model.solve(start=model.balanced_factors(target))
    assert torch.linalg.svdvals(model.activations(end.factors)[-1]).min().item() == pytest.approx(height, rel=1e-3)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: shape_vectors("orthoplex", 5), "num_classes must be even"),
        (lambda: shape_vectors("cube", 4), "name must be"),
        (
            lambda: DeepUFM(4, 1, 2, 1e-3, 3).balanced_factors(torch.eye(4).double()),
            "logits must have rank <= feature_dim",
        ),
        (lambda: DeepUFM(4, 1, 4, 1e-3, 3, relu=True).best_scale(torch.eye(4)), "relu must be False"),
        (lambda: DeepUFM(4, 1, 4, 0.0, 3), "decay must be"),
        (lambda: DeepUFM(4, 1, 4, 1e-3, 1), "layers must be"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()
