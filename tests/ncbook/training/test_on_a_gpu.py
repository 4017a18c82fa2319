"""The long loop on a GPU: what a CPU cannot show. Skipped where there is none, run wherever there is."""

import pytest
import torch

from ncbook import data, memory, models
from ncbook.experiments import memory_arms as arms
from ncbook.training import Hardware, Recipe, bf16_is_native, checkpoint, resumable, train
from ncbook.training.device_data import DeviceData

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

GPU = Hardware("cuda")


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", samples_per_class=20)


def small(**options):
    return models.resnet18(**{"num_classes": 10, "feature_dim": 10, "width": 8, "channels": 1} | options)


def weights(model):
    return torch.cat([t.detach().double().flatten().cpu() for t in model.state_dict().values()])


class TestData:
    def test_batches_are_those_of_the_cpu(self, digits):
        """The draw is made on the CPU, and only the arithmetic of the pixels is the GPU's."""
        for augment in (False, True):
            there, here = (
                list(
                    DeviceData(digits.images, digits.labels, place).epoch(
                        30, torch.Generator().manual_seed(3), augment=augment
                    )
                )
                for place in ("cuda", "cpu")
            )
            assert all(batch.images.device.type == batch.labels.device.type == "cuda" for batch in there)
            for one, other in zip(there, here, strict=True):
                assert torch.equal(one.labels.cpu(), other.labels)
                assert torch.allclose(one.images.cpu(), other.images, atol=1e-6)

    def test_bytes_stay_bytes(self):
        pixels = torch.randint(0, 256, (6, 3, 4, 4), generator=torch.Generator().manual_seed(0)).float() / 255
        source = DeviceData(pixels, torch.zeros(6).long(), "cuda")
        assert source.images.dtype == torch.uint8 and source.nbytes == 6 * 48 + 6 * 8

    def test_channels_last_is_how_the_batches_lie(self, digits):
        source = DeviceData(digits.images.expand(-1, 3, -1, -1), digits.labels, "cuda", channels_last=True)
        batch = next(source.epoch(16, torch.Generator().manual_seed(0)))
        assert batch.images.is_contiguous(memory_format=torch.channels_last)


class TestLoop:
    def test_the_optimiser_is_fused_and_takes_the_steps_of_the_cpu(self, digits):
        there, here = small(), small()
        loop = resumable._Loop(small(), digits, Recipe(1, 50), 0, GPU, False)
        assert loop.optimizer.param_groups[0]["fused"] is True
        got = train(there, digits, Recipe(1, 50, 0.01), hardware=GPU, progress=False)
        expected = train(here, digits, Recipe(1, 50, 0.01), hardware=Hardware("cpu"), progress=False)
        # TF32 is off for matrix products and on for convolutions by default: three decimal digits.
        assert got.history.last("loss") == pytest.approx(expected.history.last("loss"), rel=1e-2)
        assert got.peak_bytes and got.peak_bytes > got.data_bytes > 0 and expected.peak_bytes is None

    def test_fp16_scales_the_loss_and_the_scale_comes_back(self, digits, tmp_path):
        half = Hardware("cuda", "fp16")
        model = small()
        run = train(model, digits, Recipe(3, 50), hardware=half, folder=tmp_path, progress=False)
        assert run.history.series("loss")[1][-1] < run.history.series("loss")[1][0]
        state = checkpoint.read(max(tmp_path.iterdir())).state
        assert state["scaler"]["scale"] >= 1 and state["scaler"]["_growth_tracker"] >= 0
        loop = resumable._Loop(small(seed=9), digits, Recipe(3, 50), 0, half, False)
        state["scaler"]["scale"] = 128.0
        loop.resume(checkpoint.Checkpoint(3, state))
        assert loop.scaler.get_scale() == 128.0 and torch.equal(weights(loop.model), weights(model))

    def test_an_overflow_in_fp16_costs_a_step_and_lowers_the_scale(self, digits):
        loop = resumable._Loop(small(), digits, Recipe(1, 50), 0, Hardware("cuda", "fp16"), False)
        batch = next(loop.train_data.epoch(50, loop.generator))
        sums = torch.zeros(2, dtype=torch.float64, device="cuda")
        loop.scaler = torch.amp.GradScaler("cuda", init_scale=2.0**120)  # no sixteen bits hold the gradients
        before = [p.detach().clone() for p in loop.model.parameters()]
        loop._step(batch.images, batch.labels, batch.everywhere, 0.1, sums)
        assert loop.scaler.get_scale() < 2.0**120
        assert all(torch.equal(p, old) for p, old in zip(loop.model.parameters(), before))

    @pytest.mark.parametrize("precision", ["float32", "bf16", "fp16"])
    def test_stopped_and_resumed_it_ends_where_the_uninterrupted_run_does(self, digits, tmp_path, precision):
        if precision == "bf16" and not bf16_is_native("cuda"):
            pytest.skip("this GPU emulates bf16")
        options = {"hardware": Hardware("cuda", precision), "augment": True, "progress": False}
        whole, parts = small(), small()
        expected = train(whole, digits, Recipe(4, 50), **options)
        original, calls = resumable._Loop.train_epoch, []

        def dies(loop, bar):
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return original(loop, bar)

        with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(resumable._Loop, "train_epoch", dies)
            train(parts, digits, Recipe(4, 50), folder=tmp_path, **options)
        parts = small(seed=99)  # nothing survives but the folder
        got = train(parts, digits, Recipe(4, 50), folder=tmp_path, **options)
        # cuDNN adds up gradients in an order that may change from run to run.
        assert got.finished and len(got.history.records) == 5
        assert got.history.last("loss") == pytest.approx(expected.history.last("loss"), rel=0.2)

    def test_the_random_state_of_the_gpu_comes_back(self):
        torch.randn(1, device="cuda")  # in use from here on
        states = checkpoint.random_states()
        first = torch.randn(5, device="cuda")
        checkpoint.restore_random_states(states)
        assert torch.equal(torch.randn(5, device="cuda"), first) and len(states["cuda"]) == torch.cuda.device_count()

    def test_a_compiled_model_takes_the_same_steps(self, digits):
        pytest.importorskip("triton")
        plain, compiled = small(), small()
        first = train(plain, digits, Recipe(2, 50, 0.01), hardware=GPU, progress=False)
        fast = Hardware("cuda", channels_last=True, compile=True)
        second = train(compiled, digits, Recipe(2, 50, 0.01), hardware=fast, progress=False)
        assert second.history.last("loss") == pytest.approx(first.history.last("loss"), rel=2e-2)


class TestArms:
    def test_a_run_records_the_peak_of_the_allocator_and_the_card(self, digits, tmp_path):
        import json

        plan = arms.small_plan(digits, epochs=1, seeds=(0,))
        plan = arms.Plan((arms.Arm.parse("etf-10"),), plan.recipe, seeds=(0,), width=8, hardware=GPU)
        (result,) = arms.grid(plan, digits, out=tmp_path, progress=False)
        assert result.run.peak_bytes is not None and result.run.peak_bytes > result.counted_peak / 2
        (path,) = tmp_path.glob("*.json")
        about = json.loads(path.read_text())["provenance"]
        assert about["device"] == torch.cuda.get_device_name() and about["versions"]["driver"] != "unknown"

    @pytest.mark.parametrize("trick", ["bf16", "recompute"])
    def test_what_is_counted_lower_is_lower_in_the_allocator(self, trick):
        if trick == "bf16" and not bf16_is_native("cuda"):
            pytest.skip("this GPU emulates bf16")
        batch = torch.randn(256, 3, 32, 32, device="cuda"), torch.arange(256, device="cuda") % 10
        plain = memory.ledger(models.resnet18(10).cuda(), batch)
        precision = "bf16" if trick == "bf16" else "float32"
        model = models.resnet18(10, recompute=trick == "recompute").cuda()
        thrifty = memory.ledger(model, batch, precision=precision)
        assert thrifty.peak < 0.8 * plain.peak and thrifty.allocator_peak < 0.85 * plain.allocator_peak
