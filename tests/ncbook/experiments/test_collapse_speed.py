"""The speed comparison: fair by construction, resumable, and honest about what never arrived."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ncbook import data, models
from ncbook.experiments import main
from ncbook.experiments.collapse_speed import (
    ARMS,
    TARGETS,
    Plan,
    Setting,
    _decay_last_layer_only,
    build,
    compare,
    epochs_to,
    matched_decay,
    run,
    tuned,
    validation_split,
)
from ncbook.sphere import SphericalUFM
from ncbook.training import State
from ncbook.ufm import UFM

SMALL = Plan(
    hidden=(16,),
    feature_dim=8,
    epochs=3,
    batch_size=50,
    accuracy=0.5,
    nc1=1.0,
    nc1_unit=1.0,
    rates=(0.1, 0.3),
    temperatures=(2.0, 8.0),
    tuning_seeds=(100,),
    seeds=(0, 1),
)


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", classes=(0, 1, 2), samples_per_class=40)


def test_all_arms_have_grids_of_the_same_size_and_start_from_the_same_weights(digits):
    grids = [SMALL.grid(arm) for arm in ARMS]
    assert [len(grid) for grid in grids] == [4, 4, 4]
    plain, last, normalised = (build(SMALL, digits, grid[0], seed=3) for grid in grids)
    for name, value in plain.backbone.state_dict().items():
        assert torch.equal(value, normalised.backbone.state_dict()["0." + name])
    assert torch.equal(plain.classifier.weight, normalised.classifier.directions)
    assert all(torch.equal(a, b) for a, b in zip(plain.state_dict().values(), last.state_dict().values()))


@pytest.mark.parametrize(("K", "n", "temperature"), [(10, 140, 2.0), (3, 5, 8.0), (4, 1, 0.7)])
def test_matched_decay_gives_the_unconstrained_optimum_the_logits_of_the_normalised_one(K, n, temperature):
    decay = matched_decay(temperature, K)
    unconstrained = UFM(K, n, K, decay, decay / (K * n), decay).optimum()
    assert float(unconstrained.W[0].norm() * unconstrained.H[0].norm()) == pytest.approx(temperature, rel=1e-9)
    assert unconstrained.margin == pytest.approx(SphericalUFM(K, n, K, temperature).margin, rel=1e-9)


def test_normalised_features_have_one_nc1_and_plain_ones_two(digits):
    plain = run(SMALL, digits, Setting("decay", 0.1, 8.0), 0)
    normalised = run(SMALL, digits, Setting("normalised", 0.1, 8.0), 0)
    assert normalised["nc1"] == pytest.approx(normalised["nc1_unit"], rel=1e-5)  # normalised twice: float32
    assert all(abs(a - b) > 1e-4 for a, b in zip(plain["nc1"], plain["nc1_unit"]))
    assert all(len(curve) == SMALL.epochs for curve in plain.values())


def test_last_layer_decay_leaves_the_rest_of_the_network_undecayed():
    model = models.mlp(4, 3, hidden=(5,), feature_dim=4)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, weight_decay=0.5)
    _decay_last_layer_only(State(0, model, optimizer, torch.Generator(), math.nan))
    decayed = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    last = model.backbone[-1]
    expected = {last.weight, last.bias, model.classifier.weight, model.classifier.bias}
    assert isinstance(last, torch.nn.BatchNorm1d)
    for parameter in model.parameters():
        assert decayed[id(parameter)] == (0.5 if any(parameter is p for p in expected) else 0.0)


def test_a_run_that_diverges_never_arrives(digits):
    """A step so long that the loss overflows: the curve is filled up with nan and the target counts as not reached."""
    curves = run(SMALL, digits, Setting("decay", 1e30, 8.0), 0)
    assert math.isnan(curves["nc1"][-1]) and len(curves["nc1"]) == SMALL.epochs
    assert epochs_to(SMALL, curves, "nc1") == math.inf


def test_epochs_to_counts_from_one_and_knows_the_direction():
    curves = {"accuracy": [0.3, 0.5, 0.4], "nc1": [2.0, 1.5, 1.0], "nc1_unit": [2.0, 1.1, 1.01]}
    assert [epochs_to(SMALL, curves, name) for name in TARGETS] == [2.0, 3.0, math.inf]


def test_tuning_takes_the_smallest_median_and_breaks_ties_by_runs_that_arrive():
    a, b, c = (Setting("decay", 0.1, k) for k in (0.0, 1.0, 2.0))
    assert tuned({a: [9.0, 9.0, 9.0], b: [3.0, 4.0, math.inf]}) == b
    assert tuned({a: [3.0, 4.0, math.inf], b: [3.0, 4.0, 5.0], c: [4.0, 4.0, 4.0]}) == b
    assert tuned({a: [math.inf, math.inf], b: [math.inf, 7.0]}) == b


def test_validation_samples_are_kept_out_of_training(digits):
    split = validation_split(digits, 8)
    assert len(split.labels) == 3 * 32 and len(split.test_labels) == 3 * 8
    assert torch.bincount(split.labels).tolist() == [32] * 3 and torch.bincount(split.test_labels).tolist() == [8] * 3
    together = torch.cat([split.images, split.test_images]).flatten(1)
    order = lambda rows: sorted(map(tuple, rows.tolist()))
    assert order(together) == order(digits.images.flatten(1))


def test_comparison_tunes_each_arm_for_each_target_and_reports_fresh_seeds(digits, tmp_path):
    cache = tmp_path / "runs.jsonl"
    result = compare(SMALL, digits, cache=cache, progress=False)
    assert len(result["tuning"]) == 12
    for target in TARGETS:
        for arm in ARMS:
            row = result["report"][target][arm]
            assert len(row["epochs_to"]) == 2 and len(row["curves"]) == 2
            grid = [r for r in result["tuning"] if r["arm"] == arm]
            best = min(r["epochs_to"][target][0] for r in grid)
            where = row["learning_rate"], row["temperature"]
            chosen = next(r for r in grid if (r["learning_rate"], r["temperature"]) == where)
            assert chosen["epochs_to"][target][0] == best
    lines = cache.read_text()
    assert compare(SMALL, digits, cache=cache, progress=False) == result
    assert cache.read_text() == lines  # nothing was run twice


def test_command_line_writes_json_with_provenance(tmp_path):
    out = tmp_path / "speed.json"
    options = "--hidden 8 --feature-dim 9 --epochs 1 --rates 0.1 --temperatures 5 --arms decay normalised --seeds 0"
    options += f" --tuning-seeds 7 --samples-per-class 20 --accuracy 1.0 --nc1 1e-9 --out {out}"
    main(["collapse-speed", *options.split()])
    written = json.loads(out.read_text())
    assert set(written["provenance"]) >= {"command", "commit", "device", "versions", "date", "data", "data_seed"}
    assert written["provenance"]["data"]["training_samples"] == 200
    assert written["report"]["nc1"]["decay"]["epochs_to"] == [None]  # never reached, not a number made up
    assert written["plan"]["hidden"] == [8]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: replace(SMALL, arms=("plain",)), "arms must be among"),
        (lambda: matched_decay(0.0, 3), "temperature must be a finite number > 0"),
        (lambda: matched_decay(1.0, 1), "num_classes must be an integer >= 2"),
        (lambda: replace(SMALL, seeds=(100, 1)), "seeds must differ from tuning_seeds"),
        (lambda: replace(SMALL, epochs=0), "epochs"),
        (lambda: replace(SMALL, network="vgg"), 'network must be "mlp" or "resnet18", got'),
        (lambda: epochs_to(SMALL, {}, "nc9"), "target must be one of"),
        (lambda: tuned({}), "results must hold at least one setting"),
        (lambda: validation_split(data.load("digits"), 140), "per_class must be below 140"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


ROOT = Path(__file__).parents[3]
NAMES = {"decay": "decay", "last_layer_decay": "last-layer decay", "normalised": "normalised"}


def test_tables_of_chapter_6_are_what_was_recorded():
    """The chapter cannot read results/ where it runs by itself, so its two tables are checked here."""
    record = json.loads((ROOT / "results" / "collapse-speed-digits.json").read_text())
    chapter = json.loads((ROOT / "chapters" / "06-normalised-features.ipynb").read_text())
    text = "".join("".join(cell["source"]) + "\n" for cell in chapter["cells"])
    show = lambda epochs: "–" if epochs is None or epochs == math.inf else f"{epochs:.0f}"
    for arm, name in NAMES.items():
        cells = []
        for target in ("accuracy", "nc1_unit", "nc1"):
            row = record["report"][target][arm]
            epochs = ", ".join(map(show, row["epochs_to"]))
            cells.append(f"{row['learning_rate']:g}, {row['temperature']:g}: **{epochs}**")
        assert f"| {name} | {' | '.join(cells)} |" in text
        medians = []
        for rate in (0.01, 0.1, 1.0):
            at = {"arm": arm, "learning_rate": rate, "temperature": 2.0}
            row = next(r for r in record["tuning"] if r.items() >= at.items())
            medians.append(max(math.inf if e is None else e for e in row["epochs_to"]["nc1_unit"]))
        assert f"| {name} | {' | '.join(map(show, medians))} |" in text
    best = record["report"]["nc1_unit"]
    for arm in NAMES:
        assert f'Setting("{arm}", {best[arm]["learning_rate"]:g}, {best[arm]["temperature"]:g})' in text


def test_no_recorded_tuned_setting_lies_on_the_edge_of_its_learning_rates():
    record = json.loads((ROOT / "results" / "collapse-speed-digits.json").read_text())
    rates = record["plan"]["rates"]
    for arms in record["report"].values():
        assert all(min(rates) < row["learning_rate"] < max(rates) for row in arms.values())
