"""The networks: shapes, seeds, the fixed classifier, and what batch normalisation does to the features."""

import pytest
import torch

from ncbook import etf, models


@pytest.fixture
def images():
    return torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("make", [models.mlp, models.cnn])
class TestBoth:
    def test_logits_are_the_classifier_of_the_features(self, make, images):
        model = make((1, 8, 8), 5, feature_dim=7)
        features = model.features(images)
        assert features.shape == (12, 7) and (model.feature_dim, model.num_classes) == (7, 5)
        expected = features @ model.classifier.weight.T + model.classifier.bias
        assert torch.allclose(model.eval()(images), model.classifier(model.features(images)))
        assert torch.allclose(model.classifier(features), expected, atol=1e-5)  # float32 sums of 7 terms

    def test_seed_decides_the_weights_and_leaves_the_global_state(self, make):
        before = torch.random.get_rng_state()
        first, same, other = (make((1, 8, 8), 3, seed=s).state_dict() for s in (1, 1, 2))
        assert torch.equal(before, torch.random.get_rng_state())
        assert all(torch.equal(first[k], same[k]) for k in first)
        assert not torch.equal(first["classifier.weight"], other["classifier.weight"])

    def test_initial_weights_have_he_variance(self, make):
        for module in make((1, 8, 8), 10, feature_dim=256).modules():
            if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d)) and module.weight.numel() > 2000:
                fan_in = module.weight[0].numel()
                # The sample variance of n > 2000 normals has relative deviation sqrt(2/n) < 0.032: five of them.
                assert float(module.weight.detach().var()) * fan_in / 2 == pytest.approx(1, abs=0.16)

    def test_features_can_be_non_negative(self, make, images):
        assert float(make((1, 8, 8), 3, relu_features=True).features(images).detach().min()) == 0
        assert float(make((1, 8, 8), 3).features(images).detach().min()) < 0

    def test_squared_features_average_to_the_squared_scale_and_shift(self, make, images):
        model = make((1, 8, 8), 3, feature_dim=6)
        norm = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm1d)][-1]
        with torch.no_grad():
            norm.weight.copy_(torch.arange(1.0, 7.0))
            norm.bias.copy_(torch.arange(6.0) - 2)
        penalty = norm.weight.square().sum() + norm.bias.square().sum()
        # Weight decay on scale and shift is feature decay; exact up to float32 and the tiny eps.
        assert float(model.features(images).detach().square().sum() / 12) == pytest.approx(
            float(penalty.detach()), rel=1e-5
        )

    def test_fixed_classifier_is_a_buffer_that_no_optimiser_sees(self, make):
        model = make((1, 8, 8), 4, feature_dim=5, classifier="etf")
        assert not any("classifier" in name for name, _ in model.named_parameters())
        assert "classifier.weight" in model.state_dict()
        assert etf.etf_distance(model.classifier.weight) < 1e-6  # a float32 frame

    @pytest.mark.parametrize(
        ("options", "names"),
        [
            (dict(num_classes=1), "num_classes"),
            (dict(feature_dim=0), "feature_dim"),
            (dict(classifier="fixed"), "classifier"),
            (dict(classifier="etf", feature_dim=2, num_classes=4), "feature_dim"),
            (dict(seed=-1), "seed"),
            (dict(input_shape=(1, 0, 8)), "input_shape"),
        ],
    )
    def test_bad_arguments_are_named(self, make, options, names):
        with pytest.raises(ValueError, match=f"^{names}"):
            make(**{"input_shape": (1, 8, 8), "num_classes": 3} | options)


def test_mlp_takes_a_number_of_entries_or_a_shape(images):
    by_shape, by_number = models.mlp((1, 8, 8), 3, seed=4), models.mlp(64, 3, seed=4)
    assert torch.equal(by_shape(images), by_number(images))


def test_mlp_without_hidden_layers_or_normalisation_is_linear(images):
    model = models.mlp(64, 3, hidden=(), normalise=False)
    assert not any(isinstance(m, torch.nn.BatchNorm1d) for m in model.modules())
    twice = model(2 * images) - model(0 * images)
    # The map is affine: doubling the input doubles what it adds. float32 logits of size about 10.
    assert torch.allclose(twice, 2 * (model(images) - model(0 * images)), atol=1e-4)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (dict(input_shape=(8, 8)), "input_shape"),
        (dict(channels=(4, 4, 4, 4)), "input_shape"),
        (dict(channels=(0,)), "channels"),
    ],
)
def test_cnn_refuses_what_it_cannot_halve(options, names):
    with pytest.raises(ValueError, match=f"^{names}"):
        models.cnn(**{"input_shape": (1, 8, 8), "num_classes": 3} | options)


def test_mlp_refuses_an_empty_hidden_layer():
    with pytest.raises(ValueError, match=r"^hidden"):
        models.mlp(64, 3, hidden=(4, 0))


class TestETFClassifier:
    def test_rows_have_the_scale_as_norm_and_meet_at_equal_angles(self):
        layer = models.ETFClassifier(4, 6, scale=3.0)
        # K = 4: the Gram matrix of unit rows has -1/3 off the diagonal; float32.
        expected = 9 * ((4 / 3) * torch.eye(4) - 1 / 3)
        assert torch.allclose(layer.weight @ layer.weight.T, expected, atol=1e-5)

    def test_generator_turns_the_frame_and_keeps_its_shape(self):
        plain = models.ETFClassifier(4, 6)
        turned = models.ETFClassifier(4, 6, generator=torch.Generator().manual_seed(0))
        assert not torch.allclose(plain.weight, turned.weight, atol=0.1)
        assert etf.etf_distance(turned.weight) < 1e-6

    def test_logits_are_inner_products_and_gradients_reach_the_features(self):
        layer = models.ETFClassifier(4, 3)
        features = torch.randn(5, 3, requires_grad=True)
        assert torch.allclose(layer(features), features @ layer.weight.T)
        layer(features).square().sum().backward()
        assert features.grad is not None and float(features.grad.abs().max()) > 0
        assert list(layer.parameters()) == []

    @pytest.mark.parametrize(
        ("arguments", "names"),
        [((4, 2), "feature_dim"), ((1, 3), "num_classes"), ((4, 0), "feature_dim")],
    )
    def test_an_etf_that_does_not_fit_is_refused(self, arguments, names):
        with pytest.raises(ValueError, match=f"^{names}"):
            models.ETFClassifier(*arguments)

    @pytest.mark.parametrize("scale", [0, -1.0, float("nan")])
    def test_scale_must_be_positive(self, scale):
        with pytest.raises(ValueError, match=r"^scale"):
            models.ETFClassifier(4, 3, scale=scale)


def test_checks_in_the_layers_do_not_break_a_compiled_graph():
    model = models.mlp((1, 4, 4), 3, hidden=(5,), feature_dim=4, classifier="etf").eval()
    images = torch.rand(6, 1, 4, 4)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    assert torch.equal(compiled(images), model(images))
