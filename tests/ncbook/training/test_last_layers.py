"""Reading the last layer of a network, in training and at its end."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ncbook import data, models, training, ufm
from ncbook.metrics import neural_collapse
from ncbook.training import Recipe, fit


@pytest.fixture(scope="module")
def digits():
    return data.load(samples_per_class=20)


@pytest.fixture
def model(digits):
    return models.mlp(digits.image_shape, 10, hidden=(32,), feature_dim=12)


def norms(model):
    return [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm1d)]


class TestLastLayer:
    def test_holds_what_the_network_computes_in_evaluation_mode(self, model, digits):
        layer = training.last_layer(model, digits.images, digits.labels, batch_size=33)
        logits = model.eval()(digits.images)
        assert layer.features.dtype == torch.float64 and layer.features.shape == (200, 12)
        assert torch.allclose(layer.logits, logits.double(), atol=1e-5)  # the network computes in float32
        assert layer.loss == pytest.approx(
            float(torch.nn.functional.cross_entropy(logits, digits.labels).detach()), rel=1e-5
        )
        assert layer.accuracy == pytest.approx(float((logits.argmax(1) == digits.labels).double().mean()))

    def test_report_is_neural_collapse_of_its_parts(self, model, digits):
        layer = training.last_layer(model, digits.images, digits.labels)
        expected = neural_collapse(layer.features, layer.labels, layer.weight, layer.bias)
        assert layer.report() == expected and expected.nc1 > 0

    @pytest.mark.parametrize("mode", [True, False])
    def test_leaves_the_model_as_it_was(self, model, digits, mode):
        model.train(mode)
        before = {k: v.clone() for k, v in model.state_dict().items()}
        training.last_layer(model, digits.images, digits.labels)
        assert model.training is mode
        assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())

    @pytest.mark.parametrize("read", [training.last_layer, lambda m, x, _: training.recalibrate(m, x)])
    def test_a_frozen_normalisation_stays_frozen(self, model, digits, read):
        frozen, *others = norms(model.train())
        frozen.eval()
        before = {k: v.clone() for k, v in frozen.state_dict().items()}
        read(model, digits.images, digits.labels)
        assert not frozen.training and model.training and all(m.training for m in others)
        assert all(torch.equal(before[k], v) for k, v in frozen.state_dict().items())

    def test_is_a_copy(self, model, digits):
        layer = training.last_layer(model, digits.images, digits.labels)
        weight = layer.weight.clone()
        with torch.no_grad():
            model.classifier.weight.zero_()
        assert torch.equal(layer.weight, weight)

    def test_bad_input_is_named(self, model, digits):
        with pytest.raises(ValueError, match=r"^labels"):
            training.last_layer(model, digits.images, digits.labels[:-1])
        with pytest.raises(ValueError, match=r"^labels"):
            training.last_layer(model, digits.images, digits.labels + 1)
        with pytest.raises(ValueError, match=r"^batch_size"):
            training.last_layer(model, digits.images, digits.labels, batch_size=0)


class TestRecalibrate:
    def test_evaluation_then_computes_what_a_full_training_batch_does(self, model, digits):
        training.recalibrate(model, digits.images)
        in_training = model.train()(digits.images).detach()
        training.recalibrate(model, digits.images)
        # The running variance divides by N - 1 = 199, a batch's by N = 200: a relative 0.25 % in the scale.
        assert torch.allclose(model.eval()(digits.images).detach(), in_training, rtol=0.01, atol=0.02)

    def test_before_it_evaluation_does_not(self, model, digits):
        gap = model.eval()(digits.images) - model.train()(digits.images)
        assert float(gap.detach().abs().max()) > 0.5

    def test_statistics_do_not_depend_on_what_came_before(self, model, digits):
        training.recalibrate(model, digits.images)
        first = {k: v.clone() for k, v in model.state_dict().items()}
        model.train()(7 * digits.images)
        training.recalibrate(model, digits.images)
        assert all(torch.equal(first[k], v) for k, v in model.state_dict().items())

    def test_a_normalisation_that_refuses_to_train_keeps_its_statistics(self, model, digits):
        kept = norms(model)[0]
        kept.running_mean -= 5
        kept.train = lambda mode=True: torch.nn.Module.train(kept, False)
        model.train(False)
        training.recalibrate(model, digits.images)
        assert float(kept.running_mean.max()) == -5 and float(norms(model)[1].running_mean.abs().max()) > 0

    @pytest.mark.parametrize("mode", [True, False])
    def test_mode_momentum_and_parameters_stay(self, model, digits, mode):
        model.train(mode)
        before = [p.detach().clone() for p in model.parameters()]
        training.recalibrate(model, digits.images)
        assert model.training is mode
        assert all(torch.equal(a, b) for a, b in zip(before, model.parameters()))
        assert {m.momentum for m in norms(model)} == {0.1}

    def test_bad_input_is_named(self, model, digits):
        with pytest.raises(ValueError, match=r"^batch_size"):
            training.recalibrate(model, digits.images, batch_size=1)
        with pytest.raises(ValueError, match=r"^number of images"):
            training.recalibrate(model, digits.images[:1])


class TestSpreadEpochs:
    @settings(max_examples=80, deadline=None)
    @given(st.integers(1, 2000), st.integers(2, 60))
    def test_from_zero_to_the_last_and_not_more_than_asked(self, epochs, count):
        spread = training.spread_epochs(epochs, count)
        assert spread[0] == 0 and spread[-1] == epochs and len(spread) <= count
        assert spread == sorted(set(spread))

    def test_epochs_grow_by_a_constant_factor(self):
        assert training.spread_epochs(1000, 8) == [0, 1, 3, 10, 32, 100, 316, 1000]

    @pytest.mark.parametrize(("epochs", "count", "names"), [(0, 5, "epochs"), (5, 1, "count")])
    def test_bad_counts_are_named(self, epochs, count, names):
        with pytest.raises(ValueError, match=rf"^{names}"):
            training.spread_epochs(epochs, count)


class TestCollapseProbe:
    def test_measures_when_asked_and_keeps_the_layers(self, model, digits):
        probe = training.CollapseProbe(
            digits.images, digits.labels, digits.test_images, digits.test_labels, epochs=[0, 2], keep=True
        )
        recipe = Recipe(2, batch_size=50)
        history = fit(model, digits.images, digits.labels, recipe, callbacks=[probe], progress=False)
        assert history.series("nc1")[0] == [0, 2] and list(probe.layers) == [0, 2]
        final = probe.layers[2]
        assert history.last("nc1") == final.report().nc1
        assert history.last("train_loss") == final.loss and history.last("train_accuracy") == final.accuracy
        on_test = training.last_layer(model, digits.test_images, digits.test_labels)
        assert history.last("test_accuracy") == on_test.accuracy

    def test_measuring_does_not_change_the_training(self, digits):
        results = []
        for probes in ([], [training.CollapseProbe(digits.images, digits.labels)]):
            model = models.mlp(digits.image_shape, 10, hidden=(16,), feature_dim=12)
            fit(model, digits.images, digits.labels, Recipe(3, batch_size=50), callbacks=probes, progress=False)
            results.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
        assert torch.equal(*results)

    def test_without_test_samples_or_keeping_there_is_neither(self, model, digits):
        probe = training.CollapseProbe(digits.images, digits.labels)
        history = fit(model, digits.images, digits.labels, Recipe(1), callbacks=[probe], progress=False)
        assert probe.layers == {} and "test_accuracy" not in history.records[-1]


class TestTrainedLastLayer:
    @pytest.fixture(scope="class")
    def trained(self):
        return training.trained_last_layer(progress=False)

    def test_collapsed_well_past_the_last_training_error(self, trained):
        report = trained.report()
        assert trained.accuracy == 1.0
        # Over three seeds NC1 ended near 1e-3, NC2 at 3e-3 to 4e-3, NC3 near 1e-2: a factor of four to spare.
        assert report.nc1 < 4e-3 and report.nc2_means < 1.5e-2 and report.nc3 < 4e-2

    def test_stands_just_above_the_optimum_of_the_unconstrained_feature_model(self, trained):
        decays = trained.weight_decay, trained.feature_decay, trained.bias_decay
        problem = ufm.UFM(10, trained.samples_per_class, 64, *decays)
        value = float(problem.objective(trained.weight, trained.features, trained.bias))
        best = problem.optimum().value
        # No network can be better; this one ended 0.12 % above.
        assert best <= value < 1.005 * best

    def test_samples_are_ordered_by_class(self, trained):
        assert torch.equal(trained.labels, torch.arange(10).repeat_interleave(140))
        assert trained.samples_per_class == 140 and trained.features.shape == (1400, 64)

    def test_arguments_reach_the_network(self):
        short = training.trained_last_layer(feature_dim=9, weight_decay=2e-3, epochs=1, seed=5, progress=False)
        other = training.trained_last_layer(feature_dim=9, weight_decay=2e-3, epochs=1, seed=6, progress=False)
        assert short.weight.shape == (10, 9)
        assert (short.weight_decay, short.feature_decay, short.bias_decay) == (2e-3, 2e-3 / 1400, 2e-3)
        assert not torch.equal(short.weight, other.weight)

    @pytest.mark.parametrize("options", [dict(weight_decay=0.0), dict(epochs=-1), dict(feature_dim=0), dict(seed=-1)])
    def test_bad_arguments_are_named(self, options):
        with pytest.raises(ValueError, match=rf"^{next(iter(options))}"):
            training.trained_last_layer(**options, progress=False)
