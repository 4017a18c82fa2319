"""Normalised last layers: unit features, unit rows, and the Riemannian gradient in disguise."""

import math

import pytest
import torch

from ncbook import models
from ncbook.models import NormalisedClassifier, UnitFeatures, normalise_features
from ncbook.sphere import SphericalUFM
from ncbook.training import Recipe, fit


@pytest.fixture
def images():
    return torch.randn(12, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def network(**options):
    return models.mlp((1, 4, 4), 3, hidden=(8,), feature_dim=5, seed=1, **options)


def test_features_have_unit_length_and_logits_are_scaled_cosines(images):
    plain = network()
    model = normalise_features(plain, 7.0).eval()
    plain.eval()
    features = model.features(images)
    assert torch.allclose(features.norm(dim=1), torch.ones(12), atol=1e-6)
    cosines = torch.cosine_similarity(plain.features(images)[:, None], plain.classifier.weight[None], dim=2)
    assert torch.allclose(model(images), 7 * cosines, atol=1e-5)  # float32, logits up to 7


def test_weight_and_bias_read_as_those_of_a_linear_classifier(images):
    model = normalise_features(network(), 4.0).eval()
    assert model.num_classes == 3 and model.feature_dim == 5
    assert torch.allclose(model.classifier.weight.norm(dim=1), torch.full((3,), 4.0), atol=1e-6)
    assert torch.allclose(model(images), model.features(images) @ model.classifier.weight.T + model.classifier.bias)


def test_lengths_of_features_and_rows_do_not_matter():
    layer = NormalisedClassifier(torch.randn(3, 5), 2.0)
    longer = NormalisedClassifier(layer.directions.detach() * torch.tensor([[2.0], [0.1], [30.0]]), 2.0)
    h = torch.randn(4, 5)
    unit = UnitFeatures()
    assert torch.allclose(layer(unit(h)), longer(unit(10 * h)), atol=1e-5)
    assert torch.equal(unit(torch.zeros(1, 5)), torch.zeros(1, 5))


def test_gradient_at_unit_rows_is_the_riemannian_gradient():
    """autograd through the normalisation, at length one, equals projecting the Euclidean gradient."""
    problem = SphericalUFM(4, 2, 3, 5.0)
    W, H = problem.random_point(0)
    layer = NormalisedClassifier(W, 5.0)
    raw = H.clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy(layer(UnitFeatures()(raw)), problem.labels)
    loss.backward()
    grad_W, grad_H = problem.gradient(W, H)
    # The temperature is exp(log tau) in float32: a relative 1e-7.
    assert torch.allclose(layer.directions.grad, grad_W, atol=1e-6)
    assert torch.allclose(raw.grad, grad_H, atol=1e-6)


@pytest.mark.parametrize("learned", [False, True])
def test_temperature_moves_only_if_it_is_learned(images, learned):
    model = normalise_features(network(), 3.0, learned_temperature=learned)
    labels = torch.arange(3).repeat_interleave(4)
    fit(model, images, labels, Recipe(5, 4, 0.1, weight_decay=0.0), progress=False)
    moved = abs(float(model.classifier.temperature.detach()) - 3.0) > 1e-3
    assert moved == learned
    assert float(model.classifier.temperature.detach()) > 0


def test_the_model_given_is_left_alone(images):
    plain = network()
    before = [p.clone() for p in plain.parameters()]
    model = normalise_features(plain, 3.0)
    fit(model, images, torch.arange(3).repeat_interleave(4), Recipe(1, 4, 0.5), progress=False)
    assert all(torch.equal(a, b) for a, b in zip(before, plain.parameters()))


def test_state_can_be_saved_and_loaded(images):
    model, other = normalise_features(network(), 3.0), normalise_features(network(), 9.0)
    other.load_state_dict(model.state_dict())
    assert torch.equal(model.eval()(images), other.eval()(images))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: NormalisedClassifier(torch.zeros(3), 1.0), r"directions must be \(K, d\), got \(3,\)"),
        (lambda: NormalisedClassifier(torch.eye(3)[[0, 0]] * 0, 1.0), "directions must have no zero row"),
        (lambda: NormalisedClassifier(torch.eye(3), 0.0), "temperature must be a finite number > 0, got 0.0"),
        (lambda: NormalisedClassifier(torch.eye(3), math.nan), "temperature"),
        (lambda: normalise_features(network(), -1.0), "temperature"),
        (lambda: normalise_features(network(classifier="etf"), 1.0), "linear classifier, got ETFClassifier"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
