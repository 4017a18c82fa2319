"""The loop: what it computes, what decides its randomness, what callbacks see, and the batches."""

import functools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from ncbook import models
from ncbook.training import History, Recipe, fit
from ncbook.training import loop as training


@pytest.fixture
def blobs():
    """Sixty points in three well separated clouds of the plane."""
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(3).repeat_interleave(20)
    centres = torch.tensor([[4.0, 0.0], [-2.0, 3.0], [-2.0, -3.0]])
    return centres[labels] + torch.randn(60, 2, generator=g), labels


def _weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def _small(seed=0, **options):
    return models.mlp(2, 3, hidden=(8,), feature_dim=4, seed=seed, **options)


class TestRecipe:
    def test_cosine_falls_from_the_full_rate_through_half_of_it_to_zero(self):
        recipe = Recipe(10, learning_rate=0.4)
        assert recipe.rate(0.0) == 0.4
        assert recipe.rate(0.5) == pytest.approx(0.2)
        assert recipe.rate(1 - 1e-9) < 1e-9

    def test_steps_divide_by_ten_after_each_third(self):
        recipe = Recipe(9, learning_rate=1.0, schedule="steps")
        assert [recipe.rate(e / 9) for e in range(9)] == pytest.approx([1] * 3 + [0.1] * 3 + [0.01] * 3)

    def test_constant_stays(self):
        assert {Recipe(9, learning_rate=0.3, schedule="constant").rate(e / 9) for e in range(9)} == {0.3}

    @pytest.mark.parametrize(
        ("options", "names"),
        [
            (dict(epochs=-1), "epochs"),
            (dict(epochs=1.5), "epochs"),
            (dict(batch_size=0), "batch_size"),
            (dict(learning_rate=0), "learning_rate"),
            (dict(momentum=1.0), "momentum"),
            (dict(momentum=-0.1), "momentum"),
            (dict(weight_decay=-1e-4), "weight_decay"),
            (dict(weight_decay=math.nan), "weight_decay"),
            (dict(schedule="linear"), "schedule"),
        ],
    )
    def test_bad_values_are_named(self, options, names):
        with pytest.raises(ValueError, match=rf"^{names}"):
            Recipe(**{"epochs": 1} | options)


class TestFit:
    def test_one_full_batch_epoch_is_one_step_of_decayed_gradient_descent(self, blobs):
        images, labels = blobs
        model = _small(normalise=False)
        before = [p.detach().clone() for p in model.parameters()]
        gradients = torch.autograd.grad(cross_entropy(model(images), labels), list(model.parameters()))
        recipe = Recipe(1, batch_size=60, learning_rate=0.1, weight_decay=0.5, schedule="constant")
        fit(model, images, labels, recipe, progress=False)
        for after, start, gradient in zip(model.parameters(), before, gradients):
            # The order of the samples differs, so sums differ by float32 round-off.
            assert torch.allclose(after, start - 0.1 * (gradient + 0.5 * start), atol=1e-6)

    def test_separated_clouds_are_learnt(self, blobs):
        images, labels = blobs
        model = _small()
        history = fit(model, images, labels, Recipe(60, batch_size=20), progress=False)
        assert history.last("loss") < 0.1 * history.series("loss")[1][0]
        assert torch.equal(model.eval()(images).argmax(dim=1), labels)

    def test_seed_decides_the_run_and_the_global_state_is_left_alone(self, blobs):
        before = torch.random.get_rng_state()
        results = []
        for seed in (1, 1, 2):
            model = _small()
            fit(model, *blobs, Recipe(3, batch_size=16), seed=seed, progress=False)
            results.append(_weights(model))
        assert torch.equal(before, torch.random.get_rng_state())
        assert torch.equal(results[0], results[1])
        assert not torch.equal(results[0], results[2])

    def test_no_epochs_leave_the_model_and_record_its_start(self, blobs):
        model = _small()
        before = _weights(model)
        history = fit(model, *blobs, Recipe(0), callbacks=[lambda s: {"epoch": s.epoch}], progress=False)
        assert torch.equal(before, _weights(model)) and history.series("epoch") == ([0], [0])

    def test_frozen_classifier_stays(self, blobs):
        model = _small(classifier="etf")
        frame = model.classifier.weight.clone()
        fit(model, *blobs, Recipe(2, batch_size=20), progress=False)
        assert torch.equal(model.classifier.weight, frame)

    def test_loss_recorded_is_the_mean_over_the_epochs_samples(self, blobs):
        images, labels = blobs
        model = _small(normalise=False)
        # A learning rate too small to move the weights: every batch sees the same network.
        recipe = Recipe(1, batch_size=25, learning_rate=1e-12, weight_decay=0.0)
        history = fit(model, images, labels, recipe, progress=False)
        expected = float(cross_entropy(model(images), labels).detach())
        assert history.series("loss") == ([1], [pytest.approx(expected, rel=1e-5)])  # float32

    def test_a_loss_that_is_not_finite_stops_with_the_epoch(self, blobs):
        recipe = Recipe(50, batch_size=60, learning_rate=1e20, schedule="constant")
        with pytest.raises(FloatingPointError, match=r"epoch \d+: lower the learning rate"):
            fit(_small(normalise=False), *blobs, recipe, progress=False)

    @pytest.mark.parametrize(
        ("change", "names"),
        [
            (lambda x, y: (x[:-1], y), "labels"),
            (lambda x, y: (x, y + 1), "labels"),
            (lambda x, y: (x, y.double()), "labels"),
        ],
    )
    def test_bad_labels_are_named(self, blobs, change, names):
        with pytest.raises(ValueError, match=rf"^{names}"):
            fit(_small(), *change(*blobs), Recipe(1), progress=False)

    def test_bad_seed_is_named(self, blobs):
        with pytest.raises(ValueError, match=r"^seed"):
            fit(_small(), *blobs, Recipe(1), seed=-1, progress=False)

    def test_progress_goes_to_standard_error_or_nowhere(self, blobs, capfd, monkeypatch):
        # TQDM_DISABLE, read when tqdm is imported, may have silenced all bars in this process.
        monkeypatch.setattr(training, "tqdm", functools.partial(training.tqdm, disable=False))
        fit(_small(), *blobs, Recipe(2), progress=False)
        assert capfd.readouterr() == ("", "")
        fit(_small(), *blobs, Recipe(2))
        shown = capfd.readouterr()
        assert shown.out == "" and "training" in shown.err


class TestCallbacks:
    def test_see_every_epoch_from_before_training(self, blobs):
        seen = []
        fit(_small(), *blobs, Recipe(3, batch_size=20), callbacks=[lambda s: seen.append(s)], progress=False)
        assert [s.epoch for s in seen] == [0, 1, 2, 3]
        assert math.isnan(seen[0].loss) and all(s.loss > 0 for s in seen[1:])

    def test_what_they_return_is_kept_under_its_epoch(self, blobs):
        evens = lambda s: {"square": s.epoch**2} if s.epoch % 2 == 0 else None
        history = fit(_small(), *blobs, Recipe(4, batch_size=20), callbacks=[evens], progress=False)
        assert history.series("square") == ([0, 2, 4], [0, 4, 16])
        assert history.last("square") == 16

    def test_an_unknown_series_names_the_known_ones(self):
        history = History(({"nc1": 1.0}, {"loss": 0.5, "nc1": 0.4}))
        with pytest.raises(ValueError, match=r"^name must be one of \['loss', 'nc1'\], got 'nc2'"):
            history.series("nc2")
        with pytest.raises(ValueError, match=r"^name"):
            history.last("nc2")


LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(torch.tensor)


class TestBatches:
    @settings(max_examples=60, deadline=None)
    @given(LABELS, st.integers(1, 70), st.integers(0, 99))
    def test_shuffled_batches_hold_every_sample_once_and_no_batch_of_one(self, labels, size, seed):
        batches = list(training.shuffled(size)(labels, torch.Generator().manual_seed(seed)))
        assert sorted(torch.cat(batches).tolist()) == list(range(len(labels)))
        assert all(len(b) <= size + 1 for b in batches)
        assert size == 1 or len(labels) == 1 or min(map(len, batches)) > 1

    @settings(max_examples=60, deadline=None)
    @given(LABELS, st.integers(1, 20), st.integers(1, 6), st.integers(0, 99))
    def test_few_classes_hold_every_sample_once_and_few_classes_a_batch(self, labels, size, classes, seed):
        generator = torch.Generator().manual_seed(seed)
        batches = list(training.few_classes(size, classes)(labels, generator))
        assert sorted(torch.cat(batches).tolist()) == list(range(len(labels)))
        assert all(len(labels[b].unique()) <= classes for b in batches)

    def test_each_epoch_draws_anew(self):
        labels, generator = torch.arange(4).repeat(10), torch.Generator().manual_seed(0)
        for draw in (training.shuffled(8), training.few_classes(8, 2)):
            first, second = (torch.cat(list(draw(labels, generator))) for _ in range(2))
            assert not torch.equal(first, second)

    def test_bad_counts_are_named(self):
        with pytest.raises(ValueError, match=r"^batch_size"):
            training.shuffled(0)
        with pytest.raises(ValueError, match=r"^batch_size"):
            training.few_classes(0, 1)
        with pytest.raises(ValueError, match=r"^classes_per_batch"):
            training.few_classes(1, 0)
