"""Does feature normalisation collapse faster? A comparison in which every arm is tuned on the same grid.

    python -m ncbook.experiments collapse-speed --out results/collapse-speed-digits.json

Three arms share the network, the initial weights, the optimiser (SGD with momentum), the batches and the budget:

* ``decay``: a linear classifier, weight decay on every parameter, the usual way.
* ``last_layer_decay``: weight decay on the classifier and the last normalisation layer alone. Behind a batch
  normalisation this is the unconstrained feature model's penalty on ``W`` and ``H``, and nothing else.
* ``normalised``: unit features, unit classifier rows, a temperature, no decay.

Each is tuned over the same learning rates and the same temperatures; the decay arms take the weight decay whose
optimum has that temperature (`matched_decay`), so that all three are offered the same optima. The measure is the
number of epochs until a target is reached. Each arm is tuned for each target by itself, on other seeds than those
reported and, for accuracy, on validation samples that are kept out of training.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch.nn.functional import normalize
from torch.nn.modules.batchnorm import _BatchNorm

from ncbook import checks, data, models
from ncbook.data import ImageData
from ncbook.experiments.records import described, provenance, write_record
from ncbook.memory import ledger
from ncbook.metrics import neural_collapse
from ncbook.models import FeatureClassifier, normalise_features
from ncbook.training import Hardware, Recipe, State, fit, last_layer, recalibrate

ARMS = ("decay", "last_layer_decay", "normalised")
TARGETS = ("accuracy", "nc1", "nc1_unit")


def matched_decay(temperature: float, num_classes: int) -> float:
    """Return the weight decay under which the unconstrained optimum has the logits of a normalised one.

    ``sqrt(K) / (exp(K tau / (K - 1)) + K - 1)``: with ``lambda`` on the classifier and ``lambda / N`` on the features,
    which is what decaying a batch normalisation before the classifier comes to, ``||w|| ||h|| = tau`` at the optimum.

    Raises:
        ValueError: if ``num_classes < 2`` or ``temperature`` is not positive and finite.

    Source: derived in chapter 6 from the closed form of chapter 3.
    """
    K = checks.integer("num_classes", num_classes, minimum=2)
    tau = checks.number("temperature", temperature, positive=True)
    return math.sqrt(K) / (math.exp(K * tau / (K - 1)) + K - 1)


@dataclass(frozen=True)
class Setting:
    """One point of an arm's grid; the decay arms turn ``temperature`` into a weight decay by `matched_decay`."""

    arm: str
    learning_rate: float
    temperature: float


@dataclass(frozen=True)
class Plan:
    """Everything the comparison fixes: the network, the targets, the budget, the grid, the seeds.

    Raises:
        ValueError: for an unknown arm or network, a budget below one epoch, or a seed used both to tune and to report.
    """

    network: Literal["mlp", "resnet18"] = "mlp"
    arms: tuple[str, ...] = ARMS
    hidden: tuple[int, ...] = (128, 128)  # of the mlp
    feature_dim: int = 64
    epochs: int = 40
    batch_size: int = 100
    momentum: float = 0.9
    accuracy: float = 0.98  # on samples not trained on
    nc1: float = 0.05  # of the features as the classifier sees them, on the training samples
    nc1_unit: float = 0.05  # of the features scaled to length one, in every arm: the same yardstick
    rates: tuple[float, ...] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    temperatures: tuple[float, ...] = (0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0)
    tuning_seeds: tuple[int, ...] = (100, 101)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)

    def __post_init__(self) -> None:
        if set(self.seeds) & set(self.tuning_seeds):
            raise ValueError(f"seeds must differ from tuning_seeds, got {self.seeds} and {self.tuning_seeds}")
        if not self.arms or not set(self.arms) <= set(ARMS):
            raise ValueError(f"arms must be among {ARMS}, got {self.arms}")
        checks.integer("epochs", self.epochs)
        checks.option("network", self.network, "mlp", "resnet18")

    def grid(self, arm: str) -> list[Setting]:
        """Return every setting of an arm: as many for one as for another."""
        return [Setting(arm, rate, temperature) for rate in self.rates for temperature in self.temperatures]

    def target(self, name: str) -> float:
        """Return the value to be reached."""
        return {"accuracy": self.accuracy, "nc1": self.nc1, "nc1_unit": self.nc1_unit}[name]


Curves = Mapping[str, Sequence[float]]  # target name to its value after each epoch; nan once a run has diverged


def build(plan: Plan, images: ImageData, setting: Setting, seed: int) -> FeatureClassifier:
    """Return the network of one run; all arms start from the same weights for the same ``seed``."""
    if plan.network == "mlp":
        shape, K = images.image_shape, images.num_classes
        model = models.mlp(shape, K, hidden=plan.hidden, feature_dim=plan.feature_dim, seed=seed)
    else:
        # Looked up when asked for: the convolutional networks are not needed by the comparison on digits.
        model = models.resnet18(images.num_classes, feature_dim=plan.feature_dim, seed=seed)
    return normalise_features(model, setting.temperature) if setting.arm == "normalised" else model


def run(plan: Plan, images: ImageData, setting: Setting, seed: int, device: str = "cpu") -> Curves:
    """Train one network and return what was measured after each epoch, ``images.test_images`` being the held-out ones.

    Raises:
        ValueError: for a setting that is out of range.
    """
    model = build(plan, images, setting, seed).to(device)
    decay = 0.0 if setting.arm == "normalised" else matched_decay(setting.temperature, images.num_classes)
    recipe = Recipe(
        plan.epochs, plan.batch_size, setting.learning_rate, plan.momentum, weight_decay=decay, schedule="constant"
    )
    curves: dict[str, list[float]] = {name: [] for name in TARGETS}

    def measure(state: State) -> None:
        if state.epoch == 0:
            if setting.arm == "last_layer_decay":
                _decay_last_layer_only(state)
            return
        recalibrate(state.model, images.images)
        layer = last_layer(state.model, images.images, images.labels)
        if not bool(torch.isfinite(layer.features).all()):
            raise FloatingPointError(f"the features stopped being finite in epoch {state.epoch}")
        curves["accuracy"].append(last_layer(state.model, images.test_images, images.test_labels).accuracy)
        curves["nc1"].append(neural_collapse(layer.features, layer.labels).nc1)
        curves["nc1_unit"].append(neural_collapse(normalize(layer.features, dim=1), layer.labels).nc1)

    try:
        fit(model, images.images, images.labels, recipe, seed=seed, callbacks=[measure], progress=False)
    except FloatingPointError:  # diverged: a finding about the setting, not a failure of the comparison
        for values in curves.values():
            values.extend([math.nan] * (plan.epochs - len(values)))
    return curves


def _decay_last_layer_only(state: State) -> None:
    """Take the weight decay from every parameter but the classifier's and the last normalisation layer's."""
    last = [module for module in state.model.backbone.modules() if isinstance(module, _BatchNorm)][-1]
    kept = {id(p) for p in (*last.parameters(), *state.model.classifier.parameters())}
    everything = state.optimizer.param_groups[0]["params"]
    decay = state.optimizer.param_groups[0]["weight_decay"]
    state.optimizer.param_groups[0].update(params=[p for p in everything if id(p) not in kept], weight_decay=0.0)
    state.optimizer.add_param_group({"params": [p for p in everything if id(p) in kept], "weight_decay": decay})


def epochs_to(plan: Plan, curves: Curves, target: str) -> float:
    """Return the first epoch at which ``target`` is met and ``inf`` where the budget ends before.

    Raises:
        ValueError: if ``target`` is not one of ``TARGETS``.
    """
    if target not in TARGETS:
        raise ValueError(f"target must be one of {TARGETS}, got {target!r}")
    wanted = plan.target(target)
    met = (lambda v: v >= wanted) if target == "accuracy" else (lambda v: v <= wanted)
    return next((epoch + 1.0 for epoch, value in enumerate(curves[target]) if met(value)), math.inf)


def tuned(results: Mapping[Setting, Sequence[float]]) -> Setting:
    """Return the setting with the smallest median; among equals the smallest total, then the first.

    A run that never arrived counts as infinite in the median. In the total each counts as one over its epochs, so that
    among settings with the same median those with fewer lost runs win.

    Raises:
        ValueError: if there is nothing to choose from.
    """
    if not results:
        raise ValueError("results must hold at least one setting, got none")
    score = lambda epochs: (statistics.median_high(epochs), -sum(1 / e for e in epochs))
    return min(results, key=lambda setting: score(results[setting]))


def validation_split(images: ImageData, per_class: int) -> ImageData:
    """Return the training half cut in two: ``per_class`` samples of each class become the held-out half.

    Raises:
        ValueError: if a class has not more than ``per_class`` samples.
    """
    checks.integer("per_class", per_class)
    generator = torch.Generator().manual_seed(0)
    smallest = int(torch.bincount(images.labels, minlength=images.num_classes).min())
    if smallest <= per_class:
        raise ValueError(f"per_class must be below {smallest}, the size of the smallest class, got {per_class}")
    held = torch.zeros(len(images.labels), dtype=torch.bool)
    for k in range(images.num_classes):
        members = (images.labels == k).nonzero()[:, 0]
        # Drawn, not cut off the end: digits are stored writer by writer, and the last ones write differently.
        held[members[torch.randperm(len(members), generator=generator)[:per_class]]] = True
    return replace(
        images,
        images=images.images[~held],
        labels=images.labels[~held],
        test_images=images.images[held],
        test_labels=images.labels[held],
    )


def compare(
    plan: Plan, images: ImageData, *, device: str = "cpu", cache: Path | None = None, progress: bool = True
) -> dict[str, Any]:
    """Tune each arm for each target, run the tuned settings on fresh seeds, and return everything that was measured.

    Args:
        plan: what is fixed. images: the data; a fifth of each training class serves as validation samples.
        device: where to train.
        cache: a file of finished runs, one JSON line each, to resume from; it is appended to.
        progress: say on standard error what is being run.

    Returns:
        dict: ``plan``, ``tuning`` (epochs to each target for each setting and tuning seed) and ``report`` (for each
        target and arm the tuned setting, epochs to the target for each seed, and the curves).
    """
    runs = _Runs(plan, device, cache, progress)
    per_class = int(torch.bincount(images.labels).min()) // 5
    split = validation_split(images, per_class)
    tuning: list[dict[str, Any]] = []
    for setting in (s for arm in plan.arms for s in plan.grid(arm)):
        curves = [runs("tuning", split, setting, seed) for seed in plan.tuning_seeds]
        reached = {name: [epochs_to(plan, c, name) for c in curves] for name in TARGETS}
        tuning.append(asdict(setting) | {"epochs_to": reached})
    report: dict[str, Any] = {name: {} for name in TARGETS}
    for name in TARGETS:
        for arm in plan.arms:
            grid = {_setting(row): row["epochs_to"][name] for row in tuning if row["arm"] == arm}
            best = tuned(grid)
            curves = [runs("final", images, best, seed) for seed in plan.seeds]
            report[name][arm] = asdict(best) | {
                "epochs_to": [epochs_to(plan, c, name) for c in curves],
                "curves": [[float(f"{v:.4g}") for v in c[name]] for c in curves],
            }
    return {"plan": asdict(plan), "tuning": tuning, "report": report}


class _Runs:
    """Finished runs by name, so that a long comparison can be resumed and no run is made twice."""

    def __init__(self, plan: Plan, device: str, cache: Path | None, progress: bool) -> None:
        self.plan, self.device, self.cache, self.progress = plan, device, cache, progress
        lines = cache.read_text().splitlines() if cache is not None and cache.exists() else []
        self.done: dict[str, Curves] = dict(json.loads(line) for line in lines)

    def __call__(self, half: str, images: ImageData, setting: Setting, seed: int) -> Curves:
        fixed = [self.plan.network, self.plan.hidden, self.plan.feature_dim, self.plan.epochs, self.plan.batch_size]
        name = json.dumps([half, images.name, len(images.labels), fixed, asdict(setting), seed])
        if name not in self.done:
            if self.progress:
                print(half, setting, "seed", seed, file=sys.stderr, flush=True)
            self.done[name] = run(self.plan, images, setting, seed, self.device)
            if self.cache is not None:
                self.cache.parent.mkdir(parents=True, exist_ok=True)
                with self.cache.open("a") as file:
                    file.write(json.dumps([name, self.done[name]]) + "\n")
        return self.done[name]


def _setting(row: Mapping[str, Any]) -> Setting:
    return Setting(row["arm"], row["learning_rate"], row["temperature"])


def dry_run(plan: Plan, images: ImageData) -> str:
    """Return how many runs the comparison makes at most, the bytes of a step, and seconds from a few steps here."""
    settings = len(plan.rates) * len(plan.temperatures)
    runs = len(plan.arms) * (settings * len(plan.tuning_seeds) + len(TARGETS) * len(plan.seeds))
    batch = images.images[:: max(1, len(images.labels) // 32)][:32], images.labels[:: len(images.labels) // 32][:32]
    model = build(plan, images, plan.grid(plan.arms[0])[0], 0)
    begun = time.monotonic()
    fit(model, *batch, Recipe(1, 16), progress=False)
    seconds = (time.monotonic() - begun) / len(batch[1]) * len(images.labels) * plan.epochs
    count = min(plan.batch_size, len(images.labels))
    peak = ledger(model, (images.images[:count], images.labels[:count]), simulate=True).peak
    return (
        f"at most {runs} runs of {plan.epochs} epochs; a step takes {peak / 1e6:.0f} MB of tensors\n"
        f"on the CPU: about {seconds:.0f} s a run, {runs * seconds / 60:.0f} minutes without measuring"
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what this experiment asks beyond the data, the device and the place to write: every field of the `Plan`."""
    parser.set_defaults(device="cpu")
    parser.add_argument("--data-seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, help="finished runs, to resume from")
    parser.add_argument("--dry-run", action="store_true", help="count the runs and time a few steps, train nothing")
    for name, default in asdict(Plan()).items():
        kind = type(default[0]) if isinstance(default, tuple) else type(default)
        nargs = "+" if isinstance(default, tuple) else None
        parser.add_argument("--" + name.replace("_", "-"), type=kind, nargs=nargs, default=default)


def execute(args: argparse.Namespace, command: str) -> None:
    """Run the comparison that the arguments of `add_arguments` ask for, and write its record."""
    if args.out is None:
        raise ValueError("--out must name the file to write, got none")
    given = {name: getattr(args, name) for name in asdict(Plan())}
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}
    plan = Plan(**values)
    images = data.load(args.data, samples_per_class=args.samples_per_class, root=args.root, seed=args.data_seed)
    if args.dry_run:
        print(dry_run(plan, images))
        return
    device = Hardware(args.device).resolved()
    result = compare(plan, images, device=str(device), cache=args.cache)
    about = {"data": described(images), "data_seed": args.data_seed, "note": args.note}
    write_record(args.out, {"provenance": provenance(command, device, **about)} | result)
