"""The ResNet18 memory experiment: what narrowing the last block and freezing the classifier cost, and what they save.

    python -m ncbook.experiments resnet18                                  four arms on digits, on this machine
    python -m ncbook.experiments resnet18 --data cifar10 --seeds 3 --out runs --resume
    python -m ncbook.experiments resnet18 --data FOLDER --arms learned-512,etf-10+bf16+recompute --dry-run

An arm is a classifier, ``learned`` or ``etf`` (a fixed simplex ETF), and the number of features, with tricks after a
plus: ``bf16`` (autocast), ``recompute`` (blocks keep their input only), ``narrow`` (the whole last stage as narrow as
its end). Every run is written as one JSON file with its provenance; with ``--resume`` finished runs are not repeated
and a broken-off run goes on from its last epoch.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ncbook import data
from ncbook.data import ImageData
from ncbook.experiments.memory_arms import TRICKS, Arm, FiveSteps, Plan, build, grid, hardware_of, step_ledger, table
from ncbook.training import Hardware, Recipe, train


def dry_run(plan: Plan, images: ImageData, steps: int = 3) -> str:
    """Return what the grid will take: bytes of a step counted for each arm, seconds from a few steps of the first.

    Without a GPU the seconds are those of float32 on this processor; beside them is the arithmetic of a run, to be
    divided by what a GPU does in a second.
    """
    device, arm = plan.hardware.resolved(), plan.arms[0]
    cuda = device.type == "cuda"
    hardware, batch = hardware_of(plan, arm), plan.recipe.batch_size
    if not cuda:  # nothing to compile for, half precision is emulated, and a small batch is as fast as a large one
        hardware, batch, steps = replace(hardware, precision="float32", compile=False), min(batch, 16), 1
    # Spread over the classes, which are stored one after the other: measuring wants a sample of each.
    count = max((20 if cuda else 1) * batch, 2 * images.num_classes)  # a GPU's step is too short to be timed alone
    every, tested = (max(1, len(labels) // count) for labels in (images.labels, images.test_labels))
    sample = replace(
        images,
        images=images.images[::every],
        labels=images.labels[::every],
        test_images=images.test_images[::tested],
        test_labels=images.test_labels[::tested],
    )
    model, recipe = build(plan, sample, arm, 0), replace(plan.recipe, epochs=steps, batch_size=batch)
    # Both gradients of a convolution take as much as the convolution itself.
    operations = 3 * forward_operations(model, images.images[:2]) * len(images.labels) * plan.recipe.epochs
    probe = train(model, sample, recipe, hardware=hardware, measure_every=steps, progress=False)
    seconds = len(images.labels) * plan.recipe.epochs / probe.images_per_second
    lines = [f"{'arm':<28}{'trained':>12}{'peak of a step':>16}"]
    for each in plan.arms:
        found = step_ledger(plan, images, each)
        trained = found.gradients // 4  # gradients are in float32 whatever the precision
        lines.append(f"{each!s:<28}{trained:>12,}{found.peak / 1e6:>13.0f} MB")
    runs, minutes = len(plan.arms) * len(plan.seeds), len(plan.arms) * len(plan.seeds) * seconds / 60
    lines.append(f"a run is {operations / 1e15:.3g} PFLOP forward and backward, for {plan.recipe.epochs} epochs")
    lines.append(f"on {device}: about {seconds:.0f} s a run, {runs} runs: {minutes:.1f} minutes without measuring")
    return "\n".join(lines)


def forward_operations(model: nn.Module, images: Tensor) -> int:
    """Return the multiplications and additions of the convolutions for one image."""
    counts: list[int] = []

    def count(module: nn.Module, _: Any, output: Tensor) -> None:
        counts.append(2 * module.weight.numel() * output[0, 0].numel())  # type: ignore[union-attr, operator]

    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, nn.Conv2d)]
    model(images)
    for hook in hooks:
        hook.remove()
    return sum(counts)


def execute(args: argparse.Namespace, command: str) -> None:
    """Run the grid that the arguments of `add_arguments` ask for, and print its table."""
    images = data.load(args.data, root=args.root, samples_per_class=args.samples_per_class, image_size=args.image_size)
    if args.dry_run and not torch.cuda.is_available():
        # The arguments of a GPU's run, asked about elsewhere; sixteen bits are sixteen bits.
        args.device, args.precision = "cpu", "bf16" if args.precision == "fp16" else args.precision
    plan = _plan(args, images)
    if args.dry_run:
        print(dry_run(plan, images))
        return
    if args.out is not None and not args.resume and list(args.out.glob("*-seed*.json")):
        raise ValueError(f"--out must be a new folder without --resume, got {args.out}, which holds runs")
    try:
        results = grid(plan, images, out=args.out, command=command, note=args.note, time_limit=args.time_limit)
    except torch.OutOfMemoryError as error:
        sys.exit(out_of_memory(plan, images, error))
    if int(os.environ.get("RANK", "0")) > 0:  # another process says it
        return
    wanted = len(plan.arms) * len(plan.seeds)
    print(table(results) if results else "no run is finished yet")
    if len(results) < wanted:
        print(f"{wanted - len(results)} of {wanted} runs are not finished: call again with --resume")


def out_of_memory(plan: Plan, images: ImageData, error: BaseException) -> str:
    """Return what to say where the memory does not suffice: what a step takes, and what lowers it."""
    peak = lambda arm: step_ledger(plan, images, arm).peak
    worst = max(plan.arms, key=peak)
    lines = [
        f"out of memory: {str(error).splitlines()[0] if str(error) else 'no details'}",
        f"A step of {worst} takes {peak(worst) / 1e6:.0f} MB of tensors at batch size {plan.recipe.batch_size}, and "
        f"the data up to {images.images.nbytes / 1e6:.0f} MB. What lowers the step:",
    ]
    half = replace(plan, recipe=replace(plan.recipe, batch_size=max(2, plan.recipe.batch_size // 2)))
    lines.append(f"  --batch-size {half.recipe.batch_size}: {step_ledger(half, images, worst).peak / 1e6:.0f} MB")
    for tricks in (("bf16",), ("recompute",), ("bf16", "recompute")):
        thrifty = replace(worst, tricks=tuple(t for t in TRICKS if t in {*worst.tricks, *tricks}))
        lines.append(f"  --arms {thrifty}: {peak(thrifty) / 1e6:.0f} MB")
    return "\n".join([*lines, "Finished epochs are kept in --out: call again with --resume."])


def _plan(args: argparse.Namespace, images: ImageData) -> Plan:
    digits = images.name == "digits"
    width = args.width or (8 if digits else 64)
    full = 8 * width * (1 if args.name == "resnet18" else 4)
    K = images.num_classes
    arms = args.arms or ",".join(f"{c}-{d}" for d in (full, K) for c in ("learned", "etf"))
    epochs = args.epochs or (8 if digits else 200)
    kind = FiveSteps if (args.schedule or ("cosine" if digits else "paper")) == "paper" else Recipe
    batch, rate = args.batch_size or (100 if digits else 128), args.learning_rate or (0.1 if digits else 0.05)
    recipe = kind(epochs, batch, rate, weight_decay=args.weight_decay)
    hardware = Hardware(args.device, args.precision, args.channels_last, args.compile)
    return Plan(
        tuple(Arm.parse(a) for a in arms.split(",")), recipe, args.name,
        tuple(range(args.first_seed, args.first_seed + args.seeds)), width, args.stem, args.augment,
        args.measure_every or (epochs if digits else 10), hardware,
    )  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what this experiment asks beyond the data, the device and the place to write."""
    add = parser.add_argument
    add("--image-size", type=int)
    add("--arms", help="comma-separated; all four by default: learned and etf, with all features and with K")
    add("--seeds", type=int, default=3, help="how many")
    add("--first-seed", type=int, default=0)
    add("--epochs", type=int)
    add("--batch-size", type=int)
    add("--learning-rate", type=float)
    add("--weight-decay", type=float, default=5e-4)
    add("--schedule", choices=("paper", "cosine"), help="paper: divided by ten after each fifth")
    add("--width", type=int, help="channels of the first stage: 64, and 8 for digits")
    add("--stem", choices=("cifar", "imagenet"), default="cifar")
    add("--augment", action="store_true", help="random crops and flips")
    add("--precision", choices=("float32", "bf16", "fp16"), default="float32")
    add("--channels-last", action="store_true")
    add("--compile", action="store_true")
    add("--measure-every", type=int, help="epochs between measurements")
    add("--resume", action="store_true", help="skip what is finished in --out, go on with what is not")
    add("--time-limit", type=float, help="seconds; what is not finished can be resumed")
    add("--dry-run", action="store_true", help="estimate time and memory, train nothing")
