"""The arms of the ResNet memory experiment, and the grid that runs each of them with several seeds.

An arm is a classifier, ``learned`` or ``etf`` (a fixed simplex ETF), and the number of features, with tricks after a
plus: ``bf16`` (autocast), ``recompute`` (blocks keep their input only), ``narrow`` (the whole last stage as narrow as
its end). ``python -m ncbook.experiments`` is the command.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ncbook import checks, models
from ncbook.data import ImageData
from ncbook.experiments.records import described, digest, provenance, write_record
from ncbook.memory import MemoryLedger, ledger
from ncbook.models import FeatureClassifier
from ncbook.training import Hardware, History, Precision, Recipe, Run, train

TRICKS = ("bf16", "recompute", "narrow")


@dataclass(frozen=True)
class Arm:
    """One way to end the network, and the tricks it is trained with."""

    classifier: str
    feature_dim: int
    tricks: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Arm:
        """Return the arm that a text such as ``etf-10+bf16`` names.

        Raises:
            ValueError: if the text is of another form.
        """
        end, *tricks = text.strip().split("+")
        classifier, _, dim = end.partition("-")
        if classifier not in ("learned", "etf") or not dim.isdigit() or not set(tricks) <= set(TRICKS):
            raise ValueError(f"arms must be like learned-512 or etf-10+bf16 with tricks among {TRICKS}, got {text!r}")
        return cls(classifier, checks.integer("arms", int(dim)), tuple(t for t in TRICKS if t in tricks))

    def __str__(self) -> str:
        return "+".join((f"{self.classifier}-{self.feature_dim}", *self.tricks))


class FiveSteps(Recipe):
    """A recipe whose rate is divided by ten after each fifth of the epochs: every 40 of 200, as in the paper's code."""

    def rate(self, done: float) -> float:
        """Return the learning rate once a fraction ``done`` of the training is over."""
        fifths = 5 * checks.number("done", done)
        return self.learning_rate * 0.1 ** int(fifths + 1e-9)  # rounding must not delay a step to the next batch


@dataclass(frozen=True)
class Plan:
    """Everything a grid fixes: network, arms, seeds, recipe, hardware.

    Raises:
        ValueError: for an unknown network, no arm, the same arm twice, or a count below one.
    """

    arms: tuple[Arm, ...]
    recipe: Recipe
    network: str = "resnet18"
    seeds: tuple[int, ...] = (0, 1, 2)
    width: int = 64
    stem: str = "cifar"
    augment: bool = False
    measure_every: int = 1
    hardware: Hardware = field(default_factory=Hardware)

    def __post_init__(self) -> None:
        checks.option("network", self.network, "resnet18", "resnet50")
        for name in ("arms", "seeds"):
            given = getattr(self, name)
            if not given or len(set(given)) != len(given):
                raise ValueError(f"{name} must be one or more different ones, got {[str(g) for g in given]}")


@dataclass(frozen=True)
class Result:
    """One run: its arm and seed, trainable parameters, counted peak of a training step in bytes, and what it left."""

    arm: Arm
    seed: int
    parameters: int
    counted_peak: int
    run: Run


def small_plan(images: ImageData, *, epochs: int = 8, width: int = 8, seeds: Sequence[int] = (0, 1, 2)) -> Plan:
    """Return the four arms at a width and length that a laptop trains in a minute; ``8 width`` features or K.

    Raises:
        ValueError: for a count below one.
    """
    wide, K = 8 * checks.integer("width", width), images.num_classes
    arms = tuple(Arm(c, d) for d in (wide, K) for c in ("learned", "etf"))
    recipe = Recipe(epochs, batch_size=100, learning_rate=0.1)
    hardware = Hardware("cpu")
    return Plan(arms, recipe, seeds=tuple(seeds), width=width, measure_every=max(1, epochs), hardware=hardware)


def build(plan: Plan, images: ImageData, arm: Arm, seed: int) -> FeatureClassifier:
    """Return the network of a run; arms that differ in tricks alone begin at the same weights.

    Raises:
        ValueError: where the ETF does not fit.
    """
    return _network(plan, arm, images.image_shape[0], images.num_classes, seed)


def _network(plan: Plan, arm: Arm, channels: int, num_classes: int, seed: int) -> FeatureClassifier:
    make = {"resnet18": models.resnet18, "resnet50": models.resnet50}[plan.network]
    return make(
        num_classes,
        arm.feature_dim,
        arm.classifier,  # type: ignore[arg-type]
        plan.stem,  # type: ignore[arg-type]
        width=plan.width,
        last_width=arm.feature_dim // (1 if plan.network == "resnet18" else 4) if "narrow" in arm.tricks else None,
        channels=channels,
        recompute="recompute" in arm.tricks,
        seed=seed,
    )


def step_ledger(plan: Plan, images: ImageData, arm: Arm) -> MemoryLedger:
    """Return the bytes of one training step of an arm, counted on shapes alone."""
    count = min(plan.recipe.batch_size, len(images.labels))
    fixed = replace(plan, seeds=(0,), arms=(arm,), recipe=Recipe(1, count))  # all that matters here, for the cache
    return _counted(fixed, images.image_shape, images.num_classes)


@lru_cache(maxsize=256)
def _counted(plan: Plan, shape: tuple[int, ...], num_classes: int) -> MemoryLedger:
    count = plan.recipe.batch_size
    batch = torch.zeros(1).expand(count, *shape), torch.zeros(1, dtype=torch.long).expand(count)
    reduced = hardware_of(plan, plan.arms[0]).precision != "float32"
    model = _network(plan, plan.arms[0], shape[0], num_classes, seed=0)
    return ledger(model, batch, precision="bf16" if reduced else "float32", simulate=True)


def run(
    plan: Plan,
    images: ImageData,
    arm: Arm,
    seed: int,
    *,
    folder: Path | None = None,
    time_limit: float | None = None,
    progress: bool = True,
) -> Result:
    """Train one arm with one seed; with a ``folder`` for checkpoints it goes on where it broke off."""
    model = build(plan, images, arm, seed)
    about = {"network": plan.network, "arm": str(arm), "width": plan.width, "stem": plan.stem, "data": digest(images)}
    peak, hardware = step_ledger(plan, images, arm).peak, hardware_of(plan, arm)
    options: dict[str, Any] = {"augment": plan.augment, "measure_every": plan.measure_every, "time_limit": time_limit}
    options |= {"folder": folder, "identity": about | {"precision": hardware.precision}, "progress": progress}
    left = train(model, images, plan.recipe, seed=seed, hardware=hardware, **options)
    return Result(arm, seed, sum(p.numel() for p in model.parameters() if p.requires_grad), peak, left)


def grid(
    plan: Plan,
    images: ImageData,
    *,
    out: str | Path | None = None,
    command: str = "",
    note: str = "",
    time_limit: float | None = None,
    progress: bool = True,
) -> list[Result]:
    """Run every arm with every seed, one seed of all arms after the other, and return what is finished.

    Args:
        plan: what to run. images: the data.
        out: a folder for one JSON file a run and the checkpoints; runs that are finished there are read, not repeated.
        command, note: for the provenance.
        time_limit: seconds for all; what does not fit is left for another call.
        progress: bars on standard error.

    Raises:
        CheckpointError: if ``out`` holds another grid's checkpoints or results under the same names.
    """
    started = time.monotonic()
    results: list[Result] = []
    for seed in plan.seeds:
        for arm in plan.arms:
            name = f"{plan.network}-{Path(images.name).name}-{arm}-seed{seed}"
            left = None if time_limit is None else time_limit - (time.monotonic() - started)
            if left is not None and left <= 0:
                return results
            if progress:
                print(name, file=sys.stderr, flush=True)
            folder = None if out is None else Path(out) / "checkpoints" / name
            result = run(plan, images, arm, seed, folder=folder, time_limit=left, progress=progress)
            if out is not None and int(os.environ.get("RANK", "0")) == 0:
                write_record(Path(out) / f"{name}.json", _record(plan, images, result, command, note))
            if result.run.finished:
                results.append(result)
    return results


def hardware_of(plan: Plan, arm: Arm) -> Hardware:
    """Return the plan's hardware, in bf16 where that is one of the arm's tricks."""
    lower: Precision = "bf16" if "bf16" in arm.tricks else plan.hardware.precision
    return replace(plan.hardware, precision=lower)


def _record(plan: Plan, images: ImageData, result: Result, command: str, note: str) -> dict[str, Any]:
    device = plan.hardware.resolved()
    plain = asdict(plan) | {"arms": [str(a) for a in plan.arms]}
    if isinstance(plan.recipe, FiveSteps):
        plain["recipe"]["schedule"] = "divided by ten after each fifth"
    return {
        "provenance": provenance(command, device, data=described(images), note=note),
        "plan": plain,
        "arm": str(result.arm),
        "seed": result.seed,
        "parameters": result.parameters,
        "counted_peak": result.counted_peak,
        "run": asdict(result.run),
    }


def load(folder: str | Path) -> list[Result]:
    """Return the finished runs recorded in a folder, in the order of arms and seeds.

    Raises:
        ValueError: if there is none.
    """
    results = []
    for path in sorted(Path(folder).glob("*-seed*.json")):
        record = json.loads(path.read_text())
        left = record["run"] | {"history": History(tuple(record["run"]["history"]["records"]))}
        arm = Arm.parse(record["arm"])
        results.append(Result(arm, record["seed"], record["parameters"], record["counted_peak"], Run(**left)))
    finished = [r for r in results if r.run.finished]
    if not finished:
        raise ValueError(f"folder must hold finished runs, got none in {folder}")
    return sorted(finished, key=lambda r: (-r.parameters, str(r.arm), r.seed))


def summary(results: Iterable[Result]) -> list[dict[str, Any]]:
    """Return one row an arm: parameters, peaks, speed; accuracy, NC1 … as mean, lowest and highest over the seeds."""
    arms: dict[Arm, list[Result]] = {}
    for result in results:
        arms.setdefault(result.arm, []).append(result)
    rows = []
    for arm, runs in arms.items():
        row: dict[str, Any] = {"arm": str(arm), "seeds": len(runs), "parameters": runs[0].parameters}
        row |= {"counted_peak": runs[0].counted_peak, "peak_bytes": runs[0].run.peak_bytes}
        row["images_per_second"] = statistics.median(r.run.images_per_second for r in runs)
        for name in ("test_accuracy", "nc1", "nc1_trace_quotient", "nc2_means", "nc3"):
            values = [r.run.history.last(name) for r in runs]
            row[name] = (statistics.fmean(values), min(values), max(values))
        rows.append(row)
    return rows


def table(results: Iterable[Result]) -> str:
    """Return `summary` as text, the change of the counted peak against the first arm."""
    rows = summary(results)
    head = f"{'arm':<28}{'trained':>12}{'peak':>9}{'change':>8}  test accuracy (lowest, highest)   NC1      images/s"
    lines = [head]
    for row in rows:
        mean, low, high = row["test_accuracy"]
        change = row["counted_peak"] / rows[0]["counted_peak"] - 1
        lines.append(
            f"{row['arm']:<28}{row['parameters']:>12,}{row['counted_peak'] / 1e6:>6.0f} MB{change:>+8.1%}"
            f"  {mean:.4f} ({low:.4f}, {high:.4f})          {row['nc1'][0]:.1e}  {row['images_per_second']:>8.0f}"
        )
    return "\n".join(lines)
