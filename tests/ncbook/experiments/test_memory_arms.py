"""The grid and its command: arms, recipes, records with provenance, resuming, and what it says when it cannot."""

import dataclasses
import json
import re

import pytest
import torch

from ncbook import data, experiments, memory, models
from ncbook.experiments import memory_arms as arms
from ncbook.experiments import memory_command
from ncbook.experiments.memory_arms import Arm, FiveSteps, small_plan
from tests.conftest import ROOT

TINY = ["--samples-per-class", "10", "--width", "2", "--epochs", "2", "--batch-size", "50", "--device", "cpu"]


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", samples_per_class=10)


def tiny(digits, **changes):
    plan = small_plan(digits, epochs=1, width=2, seeds=(0, 1))
    return dataclasses.replace(plan, **changes)


def command(*arguments):
    experiments.main(["resnet18", *TINY, *map(str, arguments)])


class TestArm:
    @pytest.mark.parametrize("text", ["learned-512", "etf-10", "etf-10+bf16", "learned-64+bf16+recompute+narrow"])
    def test_a_text_names_it(self, text):
        assert str(Arm.parse(text)) == text

    def test_tricks_have_one_order(self):
        assert Arm.parse("etf-10+recompute+bf16") == Arm.parse("etf-10+bf16+recompute")

    @pytest.mark.parametrize("text", ["", "etf", "etf-", "frozen-10", "etf-0", "etf-10+magic", "etf-ten"])
    def test_another_text_is_refused(self, text):
        with pytest.raises(ValueError, match=r"^arms"):
            Arm.parse(text)

    def test_tricks_change_no_initial_weight(self, digits):
        plan = tiny(digits)
        plain = arms.build(plan, digits, Arm.parse("etf-10"), 3).state_dict()
        thrifty = arms.build(plan, digits, Arm.parse("etf-10+bf16+recompute"), 3).state_dict()
        assert all(torch.equal(plain[k], thrifty[k]) for k in plain)

    def test_narrow_narrows_the_whole_last_stage(self, digits):
        model = arms.build(tiny(digits), digits, Arm.parse("learned-5+narrow"), 0)
        assert {p.shape[0] for name, p in model.backbone.layer4.named_parameters() if "conv" in name} == {5}

    def test_fifty_layers(self, digits):
        plan = tiny(digits, network="resnet50")
        assert arms.build(plan, digits, Arm.parse("learned-8+narrow"), 0).backbone.layer4[0].conv1.out_channels == 2
        assert arms.build(plan, digits, Arm.parse("etf-10"), 0).feature_dim == 10


def test_five_steps_are_forty_epochs_of_two_hundred():
    recipe = FiveSteps(200, learning_rate=1.0)
    exponents = [round(-torch.tensor(recipe.rate(e / 200)).log10().item()) for e in range(200)]
    assert exponents == [e // 40 for e in range(200)]


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"network": "vgg"}, "network"),
        ({"arms": ()}, "arms"),
        ({"arms": (Arm("etf", 10),) * 2}, "arms"),
        ({"seeds": ()}, "seeds"),
        ({"seeds": (1, 1)}, "seeds"),
    ],
)
def test_bad_plans_are_named(digits, change, names):
    with pytest.raises(ValueError, match=f"^{names}"):
        tiny(digits, **change)


class TestGrid:
    @pytest.fixture(scope="class")
    def results(self, digits):
        return arms.grid(tiny(digits), digits, progress=False)

    def test_every_arm_with_every_seed(self, results):
        assert [(str(r.arm), r.seed) for r in results] == [
            (arm, seed) for seed in (0, 1) for arm in ("learned-16", "etf-16", "learned-10", "etf-10")
        ]

    def test_a_row_an_arm_with_its_spread(self, results):
        rows = arms.summary(results)
        assert [row["arm"] for row in rows] == ["learned-16", "etf-16", "learned-10", "etf-10"]
        values = [r.run.history.last("test_accuracy") for r in results if str(r.arm) == "etf-10"]
        assert rows[3]["test_accuracy"] == (sum(values) / 2, min(values), max(values))
        assert rows[0]["parameters"] > rows[1]["parameters"] > rows[3]["parameters"]

    def test_the_table_shows_the_change_of_the_peak(self, results):
        lines = arms.table(results).splitlines()
        assert len(lines) == 5 and "+0.0%" in lines[1] and "-" in lines[3]

    def test_the_peak_is_that_of_the_ledger_in_the_precision_of_the_arm(self, digits):
        plan = tiny(digits)
        model = arms.build(plan, digits, Arm.parse("etf-10"), 0)
        batch = digits.images, digits.labels  # 100, the plan's batch size
        for precision, arm in (("float32", "etf-10"), ("bf16", "etf-10+bf16")):
            expected = memory.ledger(model, batch, precision=precision, simulate=True).peak
            assert arms.step_ledger(plan, digits, Arm.parse(arm)).peak == expected

    def test_recomputing_changes_no_number(self, digits):
        plan = tiny(digits, arms=(Arm.parse("etf-10"), Arm.parse("etf-10+recompute")), seeds=(0,))
        plain, thrifty = arms.grid(plan, digits, progress=False)
        assert plain.run.history == thrifty.run.history and thrifty.counted_peak < plain.counted_peak

    def test_records_say_where_they_come_from_and_come_back(self, digits, tmp_path):
        plan = tiny(digits, seeds=(0,), arms=(Arm.parse("learned-10"), Arm.parse("etf-10")))
        results = arms.grid(plan, digits, out=tmp_path, command="as typed", note="a note", progress=False)
        assert arms.load(tmp_path) == sorted(results, key=lambda r: -r.parameters)
        record = json.loads((tmp_path / "resnet18-digits-etf-10-seed0.json").read_text())
        about = record["provenance"]
        assert about["command"] == "as typed" and about["note"] == "a note" and about["versions"]["torch"]
        assert about["data"] == experiments.described(digits)
        assert {"commit", "device", "date"} <= set(about) and record["plan"]["recipe"]["epochs"] == 1
        assert len(record["run"]["history"]["records"]) == 2
        assert record["plan"]["recipe"]["schedule"] == "cosine"

    def test_a_record_names_the_schedule_of_five_steps(self, digits, tmp_path):
        plan = tiny(digits, seeds=(0,), arms=(Arm.parse("etf-10"),), recipe=FiveSteps(1, 50))
        arms.grid(plan, digits, out=tmp_path, progress=False)
        record = json.loads((tmp_path / "resnet18-digits-etf-10-seed0.json").read_text())
        assert record["plan"]["recipe"]["schedule"] == "divided by ten after each fifth"

    def test_finished_runs_are_read_and_not_repeated(self, digits, tmp_path, monkeypatch):
        plan = tiny(digits, seeds=(0,), arms=(Arm.parse("etf-10"),))
        first = arms.grid(plan, digits, out=tmp_path, progress=False)
        monkeypatch.setattr("ncbook.training.resumable._Loop.train_epoch", None)
        assert arms.grid(plan, digits, out=tmp_path, progress=False) == first


@pytest.mark.parametrize("folder", sorted(p for p in (ROOT / "results").iterdir() if p.is_dir()), ids=lambda p: p.name)
def test_what_is_recorded_still_loads(folder):
    results = arms.load(folder)
    assert len(results) == len(list(folder.glob("*.json"))) > 0
    least = 0.3 if "cifar10" in folder.name else 0.9  # of few photographs; a guess is right once in ten
    assert all(least < r.run.history.last("test_accuracy") <= 1 for r in results)


def test_chapter_8_reads_its_numbers_from_the_records():
    chapter = json.loads((ROOT / "chapters" / "08-what-twenty-per-cent-buys.ipynb").read_text(encoding="utf-8"))
    code = "\n".join("".join(cell["source"]) for cell in chapter["cells"] if cell["cell_type"] == "code")
    names = re.findall(r'recorded\("([^"]+)"\)', code)
    assert {"memory-digits", "memory-bf16", "memory-cifar10", "memory-process.json"} <= set(names)
    assert all(experiments.recorded(name).exists() for name in names)


def test_an_empty_folder_of_results_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^folder"):
        arms.load(tmp_path)


class TestCommand:
    def test_it_runs_records_and_resumes(self, tmp_path, capsys):
        command("--arms", "etf-10,learned-10+recompute", "--seeds", 1, "--out", tmp_path)
        first = capsys.readouterr().out
        assert "etf-10" in first and "learned-10+recompute" in first and len(list(tmp_path.glob("*.json"))) == 2
        with pytest.raises(SystemExit, match="--resume"):
            command("--arms", "etf-10", "--seeds", 1, "--out", tmp_path)
        command("--arms", "etf-10,learned-10+recompute", "--seeds", 1, "--out", tmp_path, "--resume")
        assert capsys.readouterr().out == first

    def test_a_time_limit_leaves_the_rest_for_another_call(self, tmp_path, capsys):
        command("--arms", "etf-10,learned-10", "--seeds", 1, "--out", tmp_path, "--time-limit", 1e-6)
        assert "2 of 2 runs are not finished: call again with --resume" in capsys.readouterr().out
        command("--arms", "etf-10,learned-10", "--seeds", 1, "--out", tmp_path, "--resume")
        assert "not finished" not in capsys.readouterr().out

    def test_other_settings_do_not_mix_with_a_broken_off_grid(self, tmp_path):
        command("--arms", "etf-10", "--seeds", 1, "--out", tmp_path)
        with pytest.raises(SystemExit, match="another run"):
            command("--arms", "etf-10", "--seeds", 1, "--out", tmp_path, "--resume", "--learning-rate", 0.2)

    def test_a_dry_run_trains_nothing_and_tells_time_and_memory(self, capsys, tmp_path):
        command("--dry-run", "--out", tmp_path / "none")
        shown = capsys.readouterr().out
        assert "about" in shown and "12 runs" in shown and shown.count(" MB") == 4
        assert not (tmp_path / "none").exists()

    def test_operations_are_those_that_torch_counts(self):
        from torch.utils.flop_counter import FlopCounterMode

        model, images = models.resnet18(10, 64, width=8), torch.zeros(2, 3, 32, 32)
        with FlopCounterMode(display=False) as counter:
            model(images)
        linear = 2 * 64 * 10
        assert memory_command.forward_operations(model, images) == counter.get_total_flops() / 2 - linear

    def test_images_in_a_folder(self, tmp_path, capsys):
        from PIL import Image

        for half in ("train", "test"):
            for k, shade in (("a", 30), ("b", 200)):
                (tmp_path / half / k).mkdir(parents=True)
                for i in range(8):
                    Image.new("RGB", (8, 8), (shade + i, shade, i)).save(tmp_path / half / k / f"{i}.png")
        arguments = ["--data", str(tmp_path), "--arms", "etf-2", "--width", "2", "--epochs", "1", "--batch-size", "8"]
        experiments.main(["resnet18", *arguments, "--seeds", "1", "--augment", "--device", "cpu"])
        assert "etf-2" in capsys.readouterr().out

    def test_out_of_memory_says_what_lowers_it_by_how_much(self, monkeypatch):
        def full(*_, **__):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

        monkeypatch.setattr(arms, "train", full)
        with pytest.raises(SystemExit) as stopped:
            command("--arms", "learned-16")
        message = str(stopped.value)
        assert "Tried to allocate" in message and "--batch-size 25" in message
        assert "--arms learned-16+bf16+recompute" in message and message.count(" MB") >= 6

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["--arms", "frozen-10"], "arms must be like"),
            (["--arms", "etf-9"], "feature_dim"),
            (["--data", "nowhere"], "source must be"),
            (["--precision", "fp16"], "precision"),
            (["--learning-rate", "1e30", "--arms", "learned-16"], "lower the learning rate"),
        ],
    )
    def test_errors_are_one_line_that_names_the_matter(self, arguments, says):
        with pytest.raises(SystemExit, match=f"^error: .*{says}"):
            command(*arguments)
