"""Which optimisers collapse? Row sums of the classifier and NC1 to NC3 under each, over decays and seeds.

    python -m ncbook.experiments optimisers --out results/optimisers-digits.json

Arms: SGD with coupled decay, with momentum (``sgd``) and without (``sgd-plain``), Adam with coupled decay (``adam``),
AdamW, Muon on everything (``muon``), and Muon with AdamW on the classifier and the vectors (``muon-adamw``), as is
usual. Each runs under the same number of decays, a factor apart, from values that do little to values that end the fit.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ncbook import checks, data
from ncbook.data import ImageData
from ncbook.experiments.records import described, provenance, write_record
from ncbook.metrics import neural_collapse
from ncbook.models import Crowd
from ncbook.training import StackedMuon, fit_crowd

ARMS = ("sgd", "sgd-plain", "adam", "adamw", "muon", "muon-adamw")
DECAYS: Mapping[str, tuple[float, ...]] = {
    "sgd": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
    "sgd-plain": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
    "adam": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
    "adamw": (0.03, 0.1, 0.3, 1.0, 3.0),
    "muon": (0.01, 0.03, 0.1, 0.3, 1.0),
    "muon-adamw": (0.01, 0.03, 0.1, 0.3, 1.0),
}


@dataclass(frozen=True)
class Plan:
    """Everything that is fixed: the network, the budget, and how many networks of each arm and decay."""

    count: int = 8
    hidden: tuple[int, ...] = (64, 64)
    epochs: int = 300
    batch_size: int = 280
    sgd_rate: float = 0.1
    adam_rate: float = 3e-3
    muon_rate: float = 0.02

    def __post_init__(self) -> None:
        checks.integer("count", self.count)
        checks.integer("epochs", self.epochs)


def build(plan: Plan, images: ImageData, seed: int = 0) -> Crowd:
    """Return the networks before training; all arms start from the same weights."""
    return Crowd(plan.count, images.images[0].numel(), plan.hidden, images.num_classes, seed=seed)


def optimizers(plan: Plan, crowd: Crowd, arm: str, decay: float) -> list[torch.optim.Optimizer]:
    """Return the optimisers of an arm, which share out the crowd's parameters.

    Raises:
        ValueError: for an unknown arm, or a negative decay.
    """
    checks.option("arm", arm, *ARMS)
    checks.number("decay", decay)
    every, hidden = list(crowd.parameters()), list(crowd.weights[:-1])
    if arm in ("sgd", "sgd-plain"):
        momentum = 0.9 if arm == "sgd" else 0.0
        return [torch.optim.SGD(every, plan.sgd_rate, momentum=momentum, weight_decay=decay)]
    if arm == "adam":
        return [torch.optim.Adam(every, plan.adam_rate, weight_decay=decay)]
    if arm == "adamw":
        return [torch.optim.AdamW(every, plan.adam_rate, weight_decay=decay)]
    if arm == "muon":
        return [StackedMuon(every, plan.muon_rate, weight_decay=decay)]
    rest = [p for p in every if all(p is not w for w in hidden)]
    # lr x decay is what shrinks the weights: the same for both halves.
    beside = torch.optim.AdamW(rest, plan.adam_rate, weight_decay=decay * plan.muon_rate / plan.adam_rate)
    return [StackedMuon(hidden, plan.muon_rate, weight_decay=decay), beside]


def run(plan: Plan, images: ImageData, arm: str, decay: float, seed: int = 0) -> dict[str, list[float]]:
    """Train the networks of one arm and decay, and return each measure as one number a network."""
    crowd = build(plan, images, seed)
    X, labels = images.images.flatten(1), images.labels
    fit_crowd(crowd, X, labels, optimizers(plan, crowd, arm, decay), plan.epochs, plan.batch_size, seed=seed)
    return measured(crowd, images)


@torch.no_grad()
def measured(crowd: Crowd, images: ImageData) -> dict[str, list[float]]:
    """Return NC0 to NC3, accuracies and the training loss of every network of the crowd."""
    X, labels = images.images.flatten(1), images.labels
    layers = crowd.layers(X)
    tested = crowd.layers(images.test_images.flatten(1), X)[-1]
    found: dict[str, list[float]] = {name: [] for name in ("nc0", "nc1", "nc2", "nc3", "loss", "train", "test")}
    for i in range(crowd.count):
        weight, bias = crowd.weights[-1][i].double(), crowd.biases[-1][i, 0].double()
        report = neural_collapse(layers[-2][i].double(), labels, weight, bias)
        logits = layers[-1][i]
        values = {
            "nc0": float(weight.sum(0).norm() / weight.norm()),
            "nc1": report.nc1,
            "nc2": report.nc2_means,
            "nc3": report.nc3,
            "loss": float(torch.nn.functional.cross_entropy(logits, labels)),
            "train": float((logits.argmax(1) == labels).double().mean()),
            "test": float((tested[i].argmax(1) == images.test_labels).double().mean()),
        }
        for name, value in values.items():
            found[name].append(float(f"{value:.4g}"))
    return found


def sweep(plan: Plan, images: ImageData, cache: Path | None = None) -> list[dict[str, Any]]:
    """Run every arm under every decay, from ``cache`` where that run is finished, with a bar on standard error.

    Returns:
        list: a mapping for each arm and decay, with ``arm``, ``decay`` and what `run` returns.
    """
    lines = cache.read_text().splitlines() if cache is not None and cache.exists() else []
    done: dict[str, dict[str, Any]] = dict(json.loads(line) for line in lines)
    rows = []
    settings = [(arm, decay) for arm in ARMS for decay in DECAYS[arm]]
    for arm, decay in tqdm(settings, unit="run"):
        name = json.dumps([images.name, len(images.labels), asdict(plan), arm, decay])
        if name not in done:
            done[name] = run(plan, images, arm, decay)
            if cache is not None:
                cache.parent.mkdir(parents=True, exist_ok=True)
                with cache.open("a") as file:
                    file.write(json.dumps([name, done[name]]) + "\n")
        rows.append({"arm": arm, "decay": decay} | done[name])
    return rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what this experiment asks beyond the data and the place to write."""
    parser.add_argument("--cache", type=Path, help="finished runs, to resume from")
    parser.add_argument("--count", type=int, default=Plan.count, help="networks of each arm and decay")
    parser.add_argument("--epochs", type=int, default=Plan.epochs)


def execute(args: argparse.Namespace, command: str) -> None:
    """Run the sweep that the arguments of `add_arguments` ask for, and write its record."""
    if args.out is None:
        raise ValueError("--out must name the file to write, got none")
    plan = Plan(count=args.count, epochs=args.epochs)
    images = data.load(args.data, samples_per_class=args.samples_per_class, root=args.root)
    rows = sweep(plan, images, args.cache)
    about = {"data": described(images), "note": args.note}
    write_record(args.out, {"provenance": provenance(command, "cpu", **about), "plan": asdict(plan), "runs": rows})
