"""Speed of the long training loop against a plain PyTorch loop, and the ledger against the CUDA allocator.

    python benchmarks/training.py speed --data FOLDER --out results/training-speed.json
    python benchmarks/training.py ledger --out results/memory-ledger.json

``speed`` trains ResNet18 both ways in one run, on the same images with the same batch size, crops and flips. The plain
way is the one in most repositories: a ``DataLoader`` with workers that crop and flip PIL images, float32, one copy to
the device a batch. The other is `ncbook.training.train`: data and augmentation on the device, and on a GPU bf16,
``channels_last`` and ``torch.compile`` (reported with and without each of them). ``ledger`` counts the bytes of a step
and asks the allocator for its own peak; without a GPU there is only the count. ``--dry-run`` checks the arguments,
counts the largest step and times a few images both ways.
"""

from __future__ import annotations

import argparse
import math
import os
import shlex
import statistics
import sys
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset

from ncbook import data, memory, models
from ncbook.data import ImageData
from ncbook.experiments import described, provenance, write_record
from ncbook.training import Hardware, Recipe, train


class PILImages(Dataset[tuple[torch.Tensor, int]]):
    """Images as torchvision's CIFAR-10 hands them out: an array to a PIL image, cropped, flipped, normalised."""

    def __init__(self, images: ImageData) -> None:
        from torchvision import transforms

        pixels = (images.images * 255).round().to(torch.uint8)
        self.arrays, self.labels = pixels.permute(0, 2, 3, 1).contiguous().numpy(), images.labels.tolist()
        size, channels = images.image_shape[1:], images.image_shape[0]
        mean, std = ([float(x) for x in f((0, 2, 3))] for f in (images.images.mean, images.images.std))
        self.transform = transforms.Compose(
            [
                transforms.ToPILImage("RGB" if channels == 3 else "L"),
                transforms.RandomCrop(size, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(mean, std),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        array = self.arrays[i]
        return self.transform(array if array.shape[2] == 3 else array[..., 0]), self.labels[i]


def plain_loop(images: ImageData, model: torch.nn.Module, batch: int, epochs: int, workers: int, device: str) -> float:
    """Train the plain way and return its speed, the median over epochs."""
    model.to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    loader = DataLoader(
        PILImages(images), batch, shuffle=True, num_workers=workers, pin_memory=device.startswith("cuda"),
        persistent_workers=workers > 0,
    )  # fmt: skip
    speeds = []
    for _ in range(epochs):
        begun = time.monotonic()
        total = 0.0
        for pictures, labels in loader:
            loss = cross_entropy(model(pictures.to(device, non_blocking=True)), labels.to(device, non_blocking=True))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        assert math.isfinite(total)
        speeds.append(len(images.labels) / (time.monotonic() - begun))
    return statistics.median(speeds)


def this_loop(images: ImageData, model: models.FeatureClassifier, batch: int, epochs: int, hardware: Hardware) -> float:
    """Train with ``ncbook.training.train`` and return its speed, the median over epochs."""
    options: dict[str, Any] = {"augment": True, "measure_every": epochs, "progress": False}
    return train(model, images, Recipe(epochs, batch), hardware=hardware, **options).images_per_second


def speed(args: argparse.Namespace) -> dict[str, Any]:
    """Compare both loops."""
    images = data.load(args.data, root=args.root, samples_per_class=args.samples_per_class)
    cuda = args.device.startswith("cuda")
    ways = {"float32": Hardware(args.device)}
    if cuda:
        ways["bf16"] = Hardware(args.device, "bf16")
        ways["bf16, channels_last"] = Hardware(args.device, "bf16", channels_last=True)
        ways["bf16, channels_last, compile"] = Hardware(args.device, "bf16", channels_last=True, compile=True)
        torch.backends.cudnn.benchmark = True  # for both
    shape = {"width": args.width, "channels": images.image_shape[0]}
    build = lambda: models.resnet18(images.num_classes, 8 * args.width, **shape)
    plain = plain_loop(images, build(), args.batch_size, args.epochs, args.workers, args.device)
    print(f"plain loop, {args.workers} workers, float32: {plain:.0f} images/s")
    rows: dict[str, Any] = {"plain": {"images_per_second": plain, "workers": args.workers}}
    for name, hardware in ways.items():
        found = this_loop(images, build(), args.batch_size, args.epochs, hardware)
        print(f"this loop, {name}: {found:.0f} images/s, {found / plain:.1f} times")
        rows[name] = {"images_per_second": found, "times": found / plain}
    about = {"data": described(images), "note": args.note}
    return {"batch_size": args.batch_size, "width": args.width, "speed": rows, "provenance": about}


def ledger(args: argparse.Namespace) -> dict[str, Any]:
    """Count the bytes of steps, and compare with the allocator."""
    ends: dict[str, dict[str, Any]] = {
        "plain": {},
        "etf-10": {"feature_dim": 10, "classifier": "etf"},
        "recompute": {"recompute": True},
    }
    rows = []
    for stem, name, precision, batch in product(("cifar", "imagenet"), ends, ("float32", "bf16"), args.batches):
        images = torch.randn(batch, 3, 32, 32, device=args.device)
        labels = torch.arange(batch, device=args.device) % 10
        model = models.resnet18(10, stem=stem, **ends[name]).to(args.device)
        simulate = not args.device.startswith("cuda")
        found = memory.ledger(model, (images, labels), precision=precision, simulate=simulate)
        ratio = found.peak / found.allocator_peak if found.allocator_peak else math.nan
        parts = ("parameters", "gradients", "optimizer_state", "activations", "peak", "allocator_peak")
        row = {"stem": stem, "network": name, "precision": precision, "batch": batch, "ratio": ratio}
        rows.append(row | {part: getattr(found, part) for part in parts})
        print(f"{stem:<9}{name:<10}{precision:<8} batch {batch:3d}: counted {found.peak / 1e6:7.1f} MB", end="")
        print(f", counted / allocator {ratio:.3f}" if found.allocator_peak else "")
    return {"ledger": rows, "provenance": {}}


def dry_run(args: argparse.Namespace) -> str:
    """Return what the benchmark will take: the largest step counted, and for ``speed`` a few images timed here."""
    batch = max(args.batches) if args.what == "ledger" else args.batch_size
    pictures, labels = torch.zeros(1).expand(batch, 3, 32, 32), torch.arange(batch) % 10
    peak = memory.ledger(models.resnet18(10, 8 * args.width, width=args.width), (pictures, labels), simulate=True).peak
    lines = [f"the largest step takes {peak / 1e6:.0f} MB of tensors, kernels' workspaces not counted"]
    if args.what == "ledger":
        lines.append(f"{2 * 3 * 2 * len(args.batches)} steps of two passes each: minutes on a GPU")
        return "\n".join(lines)
    images = data.load(args.data, root=args.root, samples_per_class=args.samples_per_class)
    few = torch.arange(0, len(images.labels), max(1, len(images.labels) // 32))[:32]
    sample = replace(images, images=images.images[few], labels=images.labels[few])
    shape = {"width": args.width, "channels": images.image_shape[0]}
    model = models.resnet18(images.num_classes, 8 * args.width, **shape)
    found = plain_loop(sample, model, 16, 1, 0, "cpu")
    seconds = 5 * args.epochs * len(images.labels) / found
    lines.append(f"{args.epochs} epochs, five ways: about {seconds / 60:.0f} minutes on this CPU, on a GPU far less")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "ledger"))
    parser.add_argument("--data", default="digits")
    parser.add_argument("--root")
    parser.add_argument("--samples-per-class", type=int)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--batches", type=int, nargs="+", default=[2, 32, 128, 512])
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--workers", type=int, default=min(8, os.cpu_count() or 1))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--note", default="")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--dry-run", action="store_true", help="estimate time and memory, measure nothing")
    args = parser.parse_args()
    if args.dry_run:
        print(dry_run(args))
        return
    found = {"speed": speed, "ledger": ledger}[args.what](args)
    if args.out is not None:
        found["provenance"] |= provenance("python benchmarks/training.py " + shlex.join(sys.argv[1:]), args.device)
        write_record(args.out, found)


if __name__ == "__main__":
    main()
