"""The long loop: the steps it takes, killed and resumed bit for bit, two processes against one, every option."""

import functools
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from torch.nn.functional import cross_entropy

from ncbook import data, models
from ncbook.training import CheckpointError, Hardware, Recipe, bf16_is_native, checkpoint, resumable, train
from ncbook.training.device_data import DeviceData

# Trained under `accelerate launch`, in processes of its own.
SCRIPT = """
import sys, torch
from ncbook import data, models
from ncbook.training import Recipe, train
model = models.mlp((1, 8, 8), 10, hidden=(12,), feature_dim=6, normalise=False, seed=1)
run = train(
    model, data.load("digits", samples_per_class=12), Recipe(8, batch_size=20, learning_rate=0.05), seed=4,
    augment=True, measure_every=3, folder=sys.argv[1], progress=False,
)
torch.save({"model": model.state_dict(), "records": [dict(r) for r in run.history.records]}, sys.argv[2])
"""


def digits():
    return data.load("digits", samples_per_class=10)


def small(**options):
    return models.resnet18(**{"num_classes": 10, "feature_dim": 10, "width": 2, "channels": 1} | options)


def weights(model):
    return torch.cat([t.detach().double().flatten() for t in model.state_dict().values()])


def test_it_takes_the_steps_of_sgd_on_the_normalised_images():
    model, twin, images = small(), small(), digits()
    run = train(model, images, Recipe(2, 30, 0.05, schedule="constant"), seed=7, progress=False)
    generator = torch.Generator().manual_seed(7)
    source = DeviceData(images.images, images.labels, "cpu")
    optimizer = torch.optim.SGD(twin.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    for _ in range(2):
        losses = []
        for batch in source.epoch(30, generator):
            optimizer.zero_grad()
            loss = cross_entropy(twin(batch.images), batch.labels)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()) * len(batch.labels))
    assert torch.equal(weights(model), weights(twin))
    assert run.history.last("loss") == pytest.approx(sum(losses) / 100)


def test_the_history_has_the_losses_and_the_measurements_asked_for():
    run = train(small(), digits(), Recipe(5, 50), measure_every=2, progress=False)
    assert run.finished and run.history.series("nc1")[0] == [0, 2, 4, 5]
    assert run.history.series("loss")[0] == [1, 2, 3, 4, 5] == run.history.series("train_accuracy")[0]
    assert run.images_per_second > 0 and run.seconds > 0 and run.peak_bytes is None
    assert {"test_accuracy", "nc2_means", "nc3", "accuracy"} <= set(run.history.records[-1])


def test_the_measurements_are_those_of_the_features_in_evaluation_mode():
    model, images = small(), digits()
    run = train(model, images, Recipe(1, 50), progress=False)
    source = DeviceData(images.images, images.labels, "cpu")
    inputs = next(source.in_order(1000)).images
    with torch.no_grad():
        features = model.eval().features(inputs)
    from ncbook.metrics import neural_collapse

    expected = neural_collapse(features, images.labels, model.classifier.weight, model.classifier.bias)
    for name in ("nc1", "nc2_means", "nc3", "accuracy"):
        # Features of float32 convolutions on batches of another size: equal to rounding.
        assert run.history.last(name) == pytest.approx(getattr(expected, name), rel=1e-4)


class TestNothingIsLost:
    def test_stopped_and_resumed_it_is_the_uninterrupted_run_bit_for_bit(self, tmp_path, monkeypatch):
        recipe = Recipe(4, 40)
        whole, parts = small(), small()
        expected = train(whole, digits(), recipe, augment=True, progress=False)
        for end in (1, 3):  # dies in the epoch after `end`
            with monkeypatch.context() as m:
                m.setattr(resumable._Loop, "train_epoch", dies_after(end))
                with pytest.raises(KeyboardInterrupt):
                    train(parts, digits(), recipe, augment=True, folder=tmp_path, progress=False)
            parts = small(seed=99)  # nothing survives but the folder
        got = train(parts, digits(), recipe, augment=True, folder=tmp_path, progress=False)
        assert torch.equal(weights(whole), weights(parts))
        assert got.history == expected.history and got.finished

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_killed_at_random_moments_it_is_the_uninterrupted_run_bit_for_bit(self, tmp_path):
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # a forked child cannot use its parent's threads
        recipe, images = Recipe(8, 20), digits()
        whole, parts = small(classifier="etf"), small(classifier="etf", seed=99)
        begun = time.monotonic()
        expected = train(whole, images, recipe, augment=True, progress=False)
        lasted = time.monotonic() - begun
        kills = 0
        for share in (0.02, 0.15, 0.3, 0.1, 0.2, 0.05):
            child = os.fork()
            if child == 0:
                train(small(classifier="etf"), images, recipe, augment=True, folder=tmp_path, progress=False)
                os._exit(0)
            time.sleep(share * lasted)
            os.kill(child, signal.SIGKILL)
            kills += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        got = train(parts, images, recipe, augment=True, folder=tmp_path, progress=False)
        torch.set_num_threads(threads)
        assert kills >= 2
        assert torch.equal(weights(whole), weights(parts)) and got.history == expected.history

    def test_a_finished_run_is_not_trained_again(self, tmp_path, monkeypatch):
        model = small()
        first = train(model, digits(), Recipe(1, 50), folder=tmp_path, progress=False)
        monkeypatch.setattr(resumable._Loop, "train_epoch", None)
        again = small(seed=5)
        assert train(again, digits(), Recipe(1, 50), folder=tmp_path, progress=False) == first
        assert torch.equal(weights(again), weights(model))

    def test_a_damaged_checkpoint_costs_one_epoch_and_changes_nothing(self, tmp_path):
        whole = small()
        train(whole, digits(), Recipe(3, 50), folder=tmp_path, progress=False)
        newest = max(tmp_path.iterdir())
        newest.write_bytes(newest.read_bytes()[:-100])
        parts = small(seed=5)
        with pytest.warns(RuntimeWarning, match="cut off"):
            train(parts, digits(), Recipe(3, 50), folder=tmp_path, progress=False)
        assert torch.equal(weights(whole), weights(parts))

    @pytest.mark.parametrize(
        ("damage", "says"),
        [
            (lambda state: state.pop("optimizer"), "KeyError: 'optimizer'"),
            (lambda state: state.update(optimizer={}), "KeyError: 'param_groups'"),
            (lambda state: state["model"].popitem(), "Missing key"),
            (lambda state: state["records"].pop(), "records must be one an epoch and one before, got 3"),
            (lambda state: state["spent"].pop("peak"), "KeyError: 'peak'"),
        ],
    )
    def test_a_state_with_a_part_missing_costs_one_epoch_and_changes_nothing(self, tmp_path, damage, says):
        whole = small()
        train(whole, digits(), Recipe(3, 50), folder=tmp_path, progress=False)
        path, identity = max(tmp_path.iterdir()), {"recipe": repr(Recipe(3, 50)), "seed": 0, "augment": False}
        state = checkpoint.read(path, identity).state
        damage(state)
        checkpoint.save(tmp_path, 3, state, identity)
        parts = small(seed=5)
        with pytest.warns(RuntimeWarning, match=rf"(?s){path.name} does not fit this run.*{says}.*before"):
            run = train(parts, digits(), Recipe(3, 50), folder=tmp_path, progress=False)
        assert torch.equal(weights(whole), weights(parts)) and len(run.history.records) == 4

    @pytest.mark.parametrize("other", [dict(seed=1), dict(recipe=Recipe(2, 25)), dict(identity={"model": "b"})])
    def test_another_runs_checkpoints_are_refused(self, tmp_path, other):
        options = {"recipe": Recipe(1, 50), "seed": 0, "identity": {"model": "a"}}
        train(small(), digits(), **options, folder=tmp_path, progress=False)
        with pytest.raises(CheckpointError, match="another run"):
            train(small(), digits(), **(options | other), folder=tmp_path, progress=False)

    def test_a_time_limit_stops_between_epochs_and_can_be_taken_up(self, tmp_path):
        stopped = train(small(), digits(), Recipe(50, 50), folder=tmp_path, time_limit=0.3, progress=False)
        assert not stopped.finished and len(stopped.history.records) < 51
        assert checkpoint.latest(tmp_path).epoch == len(stopped.history.records) - 1


def dies_after(epochs):
    real = resumable._Loop.train_epoch

    def train_epoch(self, bar):
        if self.epoch >= epochs:
            batch = next(self.train_data.epoch(10, self.generator))
            self._step(batch.images, batch.labels, 10, 1.0, torch.zeros(2))
            raise KeyboardInterrupt  # in the middle of an epoch: weights and generator have moved on
        return real(self, bar)

    return train_epoch


class TestProcesses:
    @pytest.fixture(scope="class")
    def script(self, tmp_path_factory):
        path = tmp_path_factory.mktemp("launch") / "script.py"
        path.write_text(SCRIPT)
        return path

    def test_two_processes_take_the_steps_of_one(self, script, tmp_path):
        command = (
            sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1",
            "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0", script, tmp_path / "run",
            tmp_path / "two.pt",
        )  # fmt: skip
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, timeout=900)
        assert done.returncode == 0, done.stderr[-2000:]
        two = torch.load(tmp_path / "two.pt", weights_only=True)
        model = models.mlp((1, 8, 8), 10, hidden=(12,), feature_dim=6, normalise=False, seed=1)
        images = data.load("digits", samples_per_class=12)
        one = train(model, images, Recipe(8, 20, 0.05), seed=4, augment=True, measure_every=3, progress=False)
        for name, value in model.state_dict().items():
            # The same sums in another order, over 48 steps in float32.
            assert torch.allclose(value, two["model"][name], rtol=1e-3, atol=1e-4), name
        last = two["records"][-1]
        assert last["loss"] == pytest.approx(one.history.last("loss"), rel=1e-3)
        assert last["nc1"] == pytest.approx(one.history.last("nc1"), rel=1e-2)
        assert last["test_accuracy"] == pytest.approx(one.history.last("test_accuracy"), abs=2e-3)
        assert len(two["records"]) == 9 and checkpoint.latest(tmp_path / "run").epoch == 8


class TestHardware:
    @pytest.mark.skipif(not bf16_is_native("cpu"), reason="this processor emulates bf16, 15 times slower than float32")
    def test_bf16_learns_and_keeps_float32_weights(self):
        model = small()
        run = train(model, digits(), Recipe(6, 20), hardware=Hardware("cpu", "bf16"), progress=False)
        assert {p.dtype for p in model.parameters()} == {torch.float32}
        assert run.history.series("loss")[1][-1] < 0.8 * run.history.series("loss")[1][0]

    def test_channels_last_changes_rounding_only(self):
        plain, laid = small(), small()
        first = train(plain, digits(), Recipe(1, 50), progress=False)
        second = train(laid, digits(), Recipe(1, 50), hardware=Hardware("cpu", channels_last=True), progress=False)
        assert laid.backbone.layer2[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)
        assert second.history.last("loss") == pytest.approx(first.history.last("loss"), rel=1e-4)

    def test_a_compiled_model_takes_the_same_steps(self, monkeypatch):
        # The tracing is real, the code generation left out: it needs a C++ compiler and a minute.
        monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
        plain, compiled = small(), small()
        train(plain, digits(), Recipe(1, 50), progress=False)
        train(compiled, digits(), Recipe(1, 50), hardware=Hardware("cpu", compile=True), progress=False)
        assert torch.allclose(weights(plain), weights(compiled), rtol=1e-4, atol=1e-6)

    def test_recomputed_blocks_give_the_same_weights_bit_for_bit(self):
        plain, thrifty = small(), small(recompute=True)
        for model in (plain, thrifty):
            train(model, digits(), Recipe(2, 50), progress=False)
        assert torch.equal(weights(plain), weights(thrifty))

    def test_auto_takes_a_gpu_where_there_is_one(self):
        assert Hardware().resolved().type == ("cuda" if torch.cuda.is_available() else "cpu")

    @pytest.mark.parametrize("precision", ["fp8", "fp16"])
    def test_bad_precision_is_named(self, precision):
        with pytest.raises(ValueError, match=r"^precision"):
            Hardware("cpu", precision)


def test_a_diverging_run_is_named():
    with pytest.raises(FloatingPointError, match="epoch 1: lower"):
        train(small(), digits(), Recipe(1, 10, learning_rate=1e30, schedule="constant"), progress=False)


@pytest.mark.parametrize(("name", "value"), [("measure_every", 0), ("seed", -1), ("time_limit", 0)])
def test_bad_values_are_named(name, value):
    with pytest.raises(ValueError, match=f"^{name}"):
        train(small(), digits(), Recipe(1), progress=False, **{name: value})


def test_the_bar_shows_images_a_second_and_the_time_left(capsys):
    train(small(), digits(), Recipe(1, 50))
    shown = capsys.readouterr().err
    assert "images/s" in shown and "100/100" in shown.replace(".0", "")
