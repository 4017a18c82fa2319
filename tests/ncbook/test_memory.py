"""The ledger against hand counts, against real tensors, and against the allocator where there is a GPU."""

import copy

import pytest
import torch
from torch import nn

from ncbook import memory, models
from ncbook.memory import ledger, parameter_bytes
from ncbook.training import bf16_is_native

FLOAT = 4


def batch(count=6, shape=(1, 8, 8), classes=4):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, *shape, generator=generator), torch.arange(count) % classes


def resnet(**options):
    return models.resnet18(**{"num_classes": 4, "feature_dim": 32, "width": 4, "channels": 1} | options)


def two_layers():
    return nn.Sequential(nn.Linear(10, 20, bias=False), nn.ReLU(), nn.Linear(20, 3, bias=False))


class TestByHand:
    def test_every_entry_of_a_perceptron(self):
        found = ledger(two_layers(), batch(7, (10,), 3))
        weights = FLOAT * (10 * 20 + 20 * 3)
        assert found.parameters == found.gradients == found.optimizer_state == weights
        assert found.inputs == 7 * (10 * FLOAT + 8) and found.buffers == 0
        # Kept: the ReLU's output (the second layer's input is the same storage), and of the loss the log-softmax and
        # its sum of weights. The input of the first layer is the batch, and weights are parameters.
        assert found.activations == FLOAT * (7 * 20 + 7 * 3 + 1)
        assert {row.name: (row.parameters, row.activations) for row in found.layers} == {
            "0": (FLOAT * 200, 0),
            "1": (0, FLOAT * 140),
            "2": (FLOAT * 60, 0),
            "loss": (0, FLOAT * 22),
        }

    def test_the_parts_add_up(self):
        found = ledger(resnet(), batch(), simulate=True)
        assert sum(row.parameters for row in found.layers) == found.parameters
        assert sum(row.activations for row in found.layers) == found.activations
        parts = found.parameters + found.buffers + found.inputs + found.gradients + found.optimizer_state
        assert found.total == parts + found.activations
        assert found.peak == max(alive for _, alive in found.timeline)

    def test_a_step_ends_as_it_began(self):
        found = ledger(resnet(), batch(), simulate=True)
        rest = found.parameters + found.buffers + found.inputs + found.optimizer_state
        assert rest <= found.timeline[-1][1] <= rest + 8  # the loss may still be there

    def test_gradients_are_all_there_when_the_optimiser_steps(self):
        found = ledger(resnet(), batch(), simulate=True)
        rest = found.parameters + found.buffers + found.inputs + found.optimizer_state + found.gradients
        assert min(alive for phase, alive in found.timeline if phase == "step") >= rest - found.gradients
        assert max(alive for phase, alive in found.timeline if phase == "step") >= rest

    def test_a_tied_weight_counts_once(self):
        model = nn.Sequential(nn.Linear(5, 5, bias=False), nn.Linear(5, 5, bias=False))
        model[1].weight = model[0].weight
        assert ledger(model, batch(4, (5,), 3)).parameters == FLOAT * 25

    def test_a_frozen_parameter_has_no_gradient_and_no_momentum(self):
        model = two_layers()
        model[0].weight.requires_grad_(False)
        found = ledger(model, batch(7, (10,), 3))
        assert found.gradients == found.optimizer_state == FLOAT * 60 and found.parameters == FLOAT * 260

    @pytest.mark.parametrize(
        ("make", "copies"),
        [
            (lambda p: torch.optim.SGD(p, 0.1), 0),
            (lambda p: torch.optim.SGD(p, 0.1, momentum=0.9), 1),
            (lambda p: torch.optim.AdamW(p, 0.1, foreach=False), 2),
        ],
    )
    def test_optimisers(self, make, copies):
        found = ledger(two_layers(), batch(7, (10,), 3), make, simulate=True)
        steps = FLOAT * 2 if copies == 2 else 0  # AdamW also counts its steps, one number a parameter
        assert found.optimizer_state == copies * FLOAT * 260 + steps

    def test_parameter_bytes_are_those_that_are_trained(self):
        model = two_layers()
        model[0].weight.requires_grad_(False)
        assert parameter_bytes(model) == {"2": FLOAT * 60}


class TestSimulation:
    @pytest.mark.parametrize("options", [{}, {"recompute": True}, {"classifier": "etf", "feature_dim": 4}])
    def test_it_counts_what_real_tensors_take(self, options):
        model = resnet(**options)
        assert ledger(model, batch(), simulate=True) == ledger(model, batch())

    def test_with_another_optimiser(self):
        model = resnet()
        assert ledger(model, batch(), torch.optim.AdamW, simulate=True) == ledger(model, batch(), torch.optim.AdamW)

    @pytest.mark.skipif(not bf16_is_native("cpu"), reason="this processor emulates bf16, 15 times slower than float32")
    def test_in_bf16_within_the_batch_statistics(self):
        model = resnet()
        real = ledger(model, batch(), precision="bf16")
        simulated = ledger(model, batch(), precision="bf16", simulate=True)
        # Real kernels keep mean and deviation of a normalisation in float32, simulated ones in bf16: 2 x 2 bytes each.
        channels = sum(m.num_features for m in model.modules() if isinstance(m, nn.BatchNorm2d))
        assert abs(real.activations - simulated.activations) <= 4 * channels

    def test_it_needs_no_memory_for_the_batch(self):
        images, labels = torch.zeros(1).expand(100_000, 1, 8, 8), torch.zeros(1, dtype=torch.long).expand(100_000)
        found = ledger(resnet(), (images, labels), simulate=True)
        assert found.inputs == 100_000 * (64 * FLOAT + 8) and found.peak > 10**9

    def test_activations_grow_with_the_batch_and_nothing_else_does(self):
        one, two = (ledger(resnet(), batch(n), simulate=True) for n in (8, 16))
        assert (one.parameters, one.gradients, one.optimizer_state) == (
            two.parameters,
            two.gradients,
            two.optimizer_state,
        )
        per_image = (two.activations - one.activations) / 8
        assert 0 < one.activations - 8 * per_image < 0.1 * one.activations  # the rest: batch statistics


class TestWhatHelps:
    def test_recomputing_and_bf16_lower_the_peak_of_the_published_network(self):
        images, labels = torch.zeros(1).expand(128, 3, 32, 32), torch.zeros(128, dtype=torch.long)
        peak = lambda precision="float32", **options: (
            ledger(models.resnet18(10, **options), (images, labels), precision=precision, simulate=True).peak
        )
        plain = peak()
        assert peak(feature_dim=10, classifier="etf") > 0.95 * plain  # what the claim of 20 per cent comes to
        assert peak("bf16") < 0.8 * plain
        assert peak("bf16", recompute=True) < 0.5 * plain


def test_the_model_and_the_random_state_are_left_alone():
    model = resnet()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    ledger(model, batch())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters()) and torch.equal(state, torch.get_rng_state())


def test_the_table_names_every_part():
    shown = str(ledger(two_layers(), batch(7, (10,), 3)))
    assert all(name in shown for name in ("parameters", "gradients", "optimizer_state", "activations", "peak", "MB"))


def test_bad_values_are_named():
    images, labels = batch()
    with pytest.raises(ValueError, match=r"^precision"):
        ledger(resnet(), (images, labels), precision="fp8")
    with pytest.raises(ValueError, match=r"^labels"):
        ledger(resnet(), (images, labels[:-1]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("options", [{}, {"recompute": True}, {"feature_dim": 10}])
def test_the_count_agrees_with_the_allocator_within_five_per_cent(options):
    images = torch.randn(512, 3, 32, 32, device="cuda")  # large, so that kernels' workspaces are a small part
    found = memory.ledger(models.resnet18(10, **options).cuda(), (images, torch.zeros(512, dtype=torch.long).cuda()))
    assert found.peak == pytest.approx(found.allocator_peak, rel=0.05)
