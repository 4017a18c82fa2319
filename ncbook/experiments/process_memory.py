"""What a training step really takes from the machine, beside the ledger's count: resident memory of child processes.

    python -m ncbook.experiments step-memory --dry-run
    python -m ncbook.experiments step-memory --out results/memory-process.json

Each arm takes two steps of the full ResNet18 in a process of its own, on random images of CIFAR-10's shape. The peak of
the second step is what the kernel saw (``VmHWM``), less that of a process that has loaded the same libraries and
trained nothing but a toy. A second process does the same with every freed block handed back at once, and looks at
each operation: the difference between the two is what the allocator keeps, and the operation at the peak says what its
kernel took for itself while it ran, which no count of tensors can see.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ncbook import checks, memory
from ncbook.data import ImageData
from ncbook.experiments.memory_arms import Arm, Plan, build, step_ledger
from ncbook.experiments.records import provenance, write_record
from ncbook.models import FeatureClassifier
from ncbook.training import Recipe

ARMS = "learned-512,etf-512,learned-10,etf-10,learned-512+recompute,etf-10+recompute"
SEED = 0
# glibc then maps every block of a page or more by itself, and unmaps it when it is freed.
HAND_BACK = {"MALLOC_MMAP_THRESHOLD_": "4096", "MALLOC_TRIM_THRESHOLD_": "0"}
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def measure(arms: list[Arm], batches: list[int], *, width: int = 64) -> list[dict[str, Any]]:
    """Return a row for each arm and batch size: the counted peak, and the peak of the process; all in bytes.

    ``counted`` is the ledger's peak, ``process`` that of the process as it is, ``handed_back`` that of a process whose
    allocator keeps nothing. ``at_peak`` takes the last apart: the operation and the shapes it was given, the tensors
    ``alive`` by the ledger, what its ``kernel`` took for itself, and the ``rest``.

    Raises:
        ValueError: where the system does not tell a process its peak, which Linux does.
    """
    if not os.access(RESET, os.W_OK):
        raise ValueError("device must be a Linux machine whose processes may read and reset their peak, got another")
    toy: dict[str, Any] = {"arm": "learned-8", "batch": 2, "width": 1, "images": 8}
    baseline, quiet = (_child(toy | {"trace": trace})["peak"] for trace in (False, True))
    rows = []
    for batch, arm in product(batches, arms):
        task: dict[str, Any] = {"arm": str(arm), "batch": batch, "width": width, "images": 32}
        plain, traced = _child(task | {"trace": False}), _child(task | {"trace": True})
        found = step_ledger(_plan(arm, batch, width), _shapes(32), arm)
        if len(traced["operations"]) != len(found.timeline):
            raise RuntimeError(f"{arm} ran {len(traced['operations'])} operations, counted were {len(found.timeline)}")
        after = [alive for _, alive in found.timeline]
        alive = map(max, [after[-1], *after], after)  # while an operation runs: what was there, or what it leaves
        moments = [
            {"operation": name, "shapes": shapes, "alive": there, "kernel": top - max(start, end), "top": top}
            for (name, shapes, start, top, end), there in zip(traced["operations"], alive)
        ]
        at_peak = max(moments, key=lambda moment: moment["top"])
        handed_back = at_peak.pop("top") - quiet
        at_peak["rest"] = handed_back - at_peak["alive"] - at_peak["kernel"]
        largest = max(moments, key=lambda moment: moment["kernel"])
        row = {"arm": str(arm), "batch": batch, "counted": found.peak, "process": plain["peak"] - baseline}
        row |= {"handed_back": handed_back, "at_peak": at_peak}
        rows.append(row | {"largest_kernel": {k: largest[k] for k in ("operation", "shapes", "kernel")}})
        print(shown(row), file=sys.stderr, flush=True)
    return rows


def shown(row: dict[str, Any]) -> str:
    """Return one row as a line of text, in megabytes."""
    counted, process, peak = row["counted"] / 1e6, row["process"] / 1e6, row["at_peak"]
    kept, kernel, rest = (x / 1e6 for x in (row["process"] - row["handed_back"], peak["kernel"], peak["rest"]))
    line = f"{row['arm']:<22} batch {row['batch']:3d}: counted {counted:6.1f} MB, process {process:6.1f}"
    line += f" ({process / counted:.2f}); kept {kept:6.1f}, kernel {kernel:6.1f}, rest {rest:6.1f}"
    return f"{line} at {peak['operation']}"


def _shapes(size: int) -> ImageData:
    """Images that have a shape and no content worth a name: what networks and ledgers ask of data."""
    images, labels = torch.zeros(1).expand(4096, 3, size, size), torch.arange(4096) % 10
    return ImageData("random", images, labels, images[:10], labels[:10], tuple("abcdefghij"))


def _plan(arm: Arm, batch: int, width: int) -> Plan:
    return Plan((arm,), Recipe(1, batch), seeds=(SEED,), width=width)


def _child(task: dict[str, Any]) -> dict[str, Any]:
    environment = os.environ | (HAND_BACK if task["trace"] else {})
    code = "from ncbook.experiments.process_memory import answer; answer()"
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(task), capture_output=True, text=True, env=environment
    )
    if done.returncode:
        raise RuntimeError(f"the step of {task['arm']} at batch {task['batch']} failed: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout)


def answer() -> None:
    """Take the steps that standard input asks for, and write what they took: the child's side of `measure`."""
    task = json.load(sys.stdin)
    torch.manual_seed(SEED)
    arm, batch, size = Arm.parse(task["arm"]), task["batch"], task["images"]
    take_step(_network(Arm("learned", 8), 1, 8), 2, 8)()  # the libraries are there from here on
    step = take_step(_network(arm, task["width"], size), batch, size)
    step()
    RESET.write_text("5")
    trace = _Trace()
    if task["trace"]:
        with trace:
            step()
    else:
        step()
    print(json.dumps({"peak": _status("VmHWM"), "operations": trace.operations}))


def _network(arm: Arm, width: int, size: int) -> FeatureClassifier:
    return build(_plan(arm, 2, width), _shapes(size), arm, SEED)


def take_step(model: nn.Module, batch: int, size: int) -> Any:
    """Return a function that takes one training step as the ledger's does: forward, backward, SGD with momentum."""
    images, labels = torch.randn(batch, 3, size, size), torch.arange(batch) % 10
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, 0.05, momentum=0.9, weight_decay=5e-4)
    model.train()

    def step() -> None:
        cross_entropy(model(images), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


class _Trace(TorchDispatchMode):
    """Sees each operation: resident bytes before it, at most while it ran, and after it."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[str, list[list[int]], int, int, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        RESET.write_text("5")
        before = _status("VmRSS")
        out = func(*args, **(kwargs or {}))
        top, after = _status("VmHWM"), _status("VmRSS")
        if not str(func).startswith(memory.BOOKKEEPING):
            shapes = [list(t.shape) for t in tree_leaves(args) if isinstance(t, torch.Tensor)]
            self.operations.append((str(func), shapes, before, top, after))
        return out


def _status(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name + ":"))
    return 1024 * int(line.split()[1])


def dry_run(arms: list[Arm], batches: list[int], width: int) -> str:
    """Return what the measurement will take, from the ledgers and the seconds of one small step."""
    begun = time.monotonic()
    _child({"arm": str(arms[0]), "batch": 8, "width": width, "images": 32, "trace": False})
    seconds = time.monotonic() - begun  # two steps of 8 images, and the start of a process
    peak = max(step_ledger(_plan(arm, max(batches), width), _shapes(32), arm).peak for arm in arms)
    minutes = len(arms) * 2 * seconds * sum(max(1, batch / 8) for batch in batches) / 60
    count = 2 * len(arms) * len(batches)
    return f"{count} processes, up to {peak / 1e6:.0f} MB of tensors, at most {minutes:.0f} minutes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what this experiment asks beyond the place to write."""
    parser.add_argument("--arms", default=ARMS)
    parser.add_argument("--batches", type=int, nargs="+", default=[2, 32, 128])
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--dry-run", action="store_true", help="estimate time and memory, measure nothing")


def execute(args: argparse.Namespace, command: str) -> None:
    """Measure what the arguments of `add_arguments` ask for, and write the record."""
    arms = [Arm.parse(text) for text in args.arms.split(",")]
    for batch in args.batches:
        checks.integer("batches", batch, minimum=2)
    if any("bf16" in arm.tricks for arm in arms) or args.device not in ("auto", "cpu"):
        raise ValueError("arms must be in float32 and device the CPU: on a GPU memory.ledger asks the allocator")
    if args.dry_run:
        print(dry_run(arms, args.batches, args.width))
        return
    rows = measure(arms, args.batches, width=args.width)
    print("\n".join(map(shown, rows)))
    if args.out is not None:
        about = {"data": "random images, 3 x 32 x 32", "seed": SEED, "note": args.note}
        write_record(args.out, {"provenance": provenance(command, "cpu", **about), "width": args.width, "rows": rows})
