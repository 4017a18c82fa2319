"""Training that takes hours: on one device or many, in mixed precision, and never lost.

The loop of ``ncbook.training`` fits on a page and holds the book's small networks. This one takes the same `Recipe` and
adds what a ResNet on a GPU needs: the data on the device, autocast, `torch.compile`, several processes under
``accelerate launch``, neural collapse measured as a stream, and a checkpoint after every epoch.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from ncbook import checks
from ncbook._lazy import optional
from ncbook.data import ImageData
from ncbook.metrics import NeuralCollapse
from ncbook.models import FeatureClassifier
from ncbook.training import checkpoint
from ncbook.training.device_data import DeviceData, Share
from ncbook.training.loop import History, Recipe

Precision = Literal["float32", "bf16", "fp16"]
RECORDED = ("nc1", "nc1_trace_quotient", "cdnv", "directional_nc1", "nc2_means", "nc2_weight", "nc3", "accuracy")


@dataclass(frozen=True)
class Hardware:
    """What to run on, and how.

    ``device`` is ``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"`` or ``"cuda:1"``. ``precision`` other than
    ``"float32"`` is autocast; ``"fp16"``, for GPUs too old for bf16, scales the loss and needs a GPU.

    Raises:
        ValueError: for an unknown device or precision, or fp16 on a CPU.
    """

    device: str = "auto"
    precision: Precision = "float32"
    channels_last: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        checks.option("precision", self.precision, "float32", "bf16", "fp16")
        checks.flag("channels_last", self.channels_last)
        checks.flag("compile", self.compile)
        if self.resolved().type == "cpu" and self.precision == "fp16":
            raise ValueError("precision must not be fp16 on a CPU: use bf16 or float32")

    def resolved(self) -> torch.device:
        """Return the device itself."""
        best = "cuda" if torch.cuda.is_available() else "cpu"
        return checks.device("device", best if self.device == "auto" else self.device)

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context of a forward pass."""
        kind = torch.float16 if self.precision == "fp16" else torch.bfloat16
        return torch.autocast(self.resolved().type, kind, enabled=self.precision != "float32")


@dataclass(frozen=True)
class Run:
    """What a run left: its history, and what it cost.

    ``finished`` is false where ``time_limit`` ended it. ``seconds`` is the time spent training and measuring, over all
    resumptions; ``images_per_second`` the median over epochs of training alone. ``peak_bytes`` is the CUDA allocator's
    peak in training, of which ``data_bytes`` are the data set; ``None`` without a GPU.
    """

    history: History
    finished: bool
    seconds: float
    images_per_second: float
    peak_bytes: int | None
    data_bytes: int


def train(
    model: FeatureClassifier,
    data: ImageData,
    recipe: Recipe,
    *,
    seed: int = 0,
    hardware: Hardware | None = None,
    augment: bool = False,
    folder: str | Path | None = None,
    identity: Mapping[str, Any] | None = None,
    measure_every: int = 1,
    time_limit: float | None = None,
    progress: bool = True,
) -> Run:
    """Train ``model`` in place, from the newest checkpoint in ``folder`` where there is one.

    With a checkpoint the run goes on as if it had never stopped: on a CPU the weights are the same bit for bit.
    Under ``accelerate launch`` every process calls this with the same arguments, and each takes its share of every
    batch; batch normalisation then uses the statistics of the share, and ``batch_size`` is that of all processes.

    Args:
        model: any module with ``features``, ``classifier`` and ``num_classes``; moved to the device.
        data: training and test images; normalised with the training images' mean and deviation.
        recipe: epochs, batch size, learning rate …
        seed: of order, crops and flips.
        hardware: device, precision, layout, compilation; a GPU in float32 where there is one by default.
        augment: random crops and flips.
        folder: for the checkpoints, one after every epoch; without it nothing is saved.
        identity: what makes this run this run; a checkpoint of another one is refused. Recipe and seed are added.
        measure_every: epochs between measurements, in evaluation mode and float32, over all training and test images;
            the first (before training) and the last epoch are always measured.
        time_limit: in seconds; the run stops before the first epoch that would pass it.
        progress: a bar on standard error: images, images/s, time left, loss and accuracy.

    Returns:
        Run: its history has ``loss`` and ``train_accuracy`` (both as trained) of every epoch from 1, and at measured
        epochs ``test_accuracy`` and neural collapse of the training images.

    Raises:
        ValueError: for an argument out of range.
        FloatingPointError: if the loss stops being finite, naming the epoch.
        CheckpointError: if ``folder`` holds checkpoints and none of them is usable.
    """
    checks.module("model", model, "features", "classifier", "num_classes")
    checks.instance("data", data, ImageData)
    checks.instance("recipe", recipe, Recipe)
    checks.instance("hardware", Hardware() if hardware is None else hardware, Hardware)
    checks.instance("identity", {} if identity is None else identity, Mapping)  # type: ignore[type-abstract]
    checks.flag("augment", augment)
    checks.flag("progress", progress)
    checks.integer("measure_every", measure_every)
    checks.integer("seed", seed, minimum=0)
    if time_limit is not None:
        checks.number("time_limit", time_limit, positive=True)
    loop = _Loop(model, data, recipe, seed, hardware or Hardware(), augment)
    about = dict(identity or {}) | {"recipe": repr(recipe), "seed": seed, "augment": augment}
    if folder is not None:
        checkpoint.latest(folder, about, loop.resume)
    started = time.monotonic()
    bar = loop.bar(progress)
    while loop.epoch < recipe.epochs or not loop.records:
        begun = time.monotonic()
        if time_limit is not None and loop.records and begun - started + loop.longest > time_limit:
            break
        epoch = len(loop.records)  # record 0 is from before training
        seen = loop.train_epoch(bar) if epoch else {}
        if epoch % measure_every == 0 or epoch == recipe.epochs:
            seen |= loop.measure()
        loop.records.append(seen)
        lasted = time.monotonic() - begun
        loop.seconds, loop.longest = loop.seconds + lasted, max(loop.longest, lasted)
        if folder is not None and loop.processes.first:
            checkpoint.save(folder, loop.epoch, loop.state(), about)
        loop.processes.wait()
    bar.close()
    return loop.result()


class _Processes:
    """This process among those that ``accelerate launch`` started, or alone."""

    def __init__(self, device: torch.device) -> None:
        self.accelerator: Any = None
        self.share = Share()
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            self.accelerator = optional("accelerate").Accelerator(cpu=device.type == "cpu")
            device = self.accelerator.device
            self.share = Share(self.accelerator.process_index, self.accelerator.num_processes)
        self.device = device

    @property
    def first(self) -> bool:
        return self.share.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        return model if self.accelerator is None else self.accelerator.prepare(model)

    def total(self, numbers: Tensor) -> list[float]:
        summed = numbers if self.accelerator is None else self.accelerator.reduce(numbers, "sum")
        return summed.tolist()

    def wait(self) -> None:
        if self.accelerator is not None:
            self.accelerator.wait_for_everyone()


@dataclass
class _Loop:
    model: FeatureClassifier
    data: ImageData
    recipe: Recipe
    seed: int
    hardware: Hardware
    augment: bool
    records: list[dict[str, float]] = field(default_factory=list)
    speeds: list[float] = field(default_factory=list)
    seconds: float = 0.0
    longest: float = 0.0  # seconds that the longest epoch took
    peak: int = 0

    def __post_init__(self) -> None:
        self.processes = _Processes(self.hardware.resolved())
        device = self.device = self.processes.device
        last = self.hardware.channels_last
        self.train_data = DeviceData(self.data.images, self.data.labels, device, channels_last=last)
        mean, std = self.train_data.mean, self.train_data.std
        tested = self.data.test_images, self.data.test_labels
        self.test_data = DeviceData(*tested, device, mean=mean, std=std, channels_last=last)
        self.model.to(device)
        if self.hardware.channels_last:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        wrapped = self.processes.wrap(self.model)
        # Two graphs, one for the last batch of an epoch, are faster than one for batches of any size.
        self.forward = torch.compile(wrapped, dynamic=False) if self.hardware.compile else wrapped
        r, cuda = self.recipe, device.type == "cuda"
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        options = {"momentum": r.momentum, "weight_decay": r.weight_decay, "fused": True if cuda else None}
        self.optimizer = torch.optim.SGD(parameters, r.learning_rate, **options)  # type: ignore[arg-type]
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.hardware.precision == "fp16")
        self.generator = torch.Generator().manual_seed(self.seed)

    @property
    def epoch(self) -> int:
        """Epochs trained: record 0 is from before training."""
        return max(0, len(self.records) - 1)

    def bar(self, progress: bool) -> tqdm:
        count, shown = len(self.train_data), progress and self.processes.first
        return tqdm(
            desc="training", total=self.recipe.epochs * count, initial=self.epoch * count, unit=" images",
            unit_scale=True, disable=not shown, mininterval=0.5,
        )  # fmt: skip

    def train_epoch(self, bar: tqdm) -> dict[str, float]:
        """Train one epoch; the loop waits for the device twice a second at most, and at the end."""
        epoch, count = len(self.records), len(self.train_data)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self.model.train()
        sums = torch.zeros(2, dtype=torch.float64, device=self.device)  # loss and hits of this process
        begun = shown = time.monotonic()
        done = 0
        share = self.processes.share
        for batch in self.train_data.epoch(self.recipe.batch_size, self.generator, augment=self.augment, share=share):
            rate = self.recipe.rate((epoch - 1 + done / count) / self.recipe.epochs)
            self._step(batch.images, batch.labels, batch.everywhere, rate, sums)
            done += batch.everywhere
            bar.update(batch.everywhere)
            if not bar.disable and time.monotonic() - shown > 0.5:
                shown, (loss, hits) = time.monotonic(), sums.tolist()
                mine = done / share.processes
                bar.set_postfix(epoch=epoch, loss=f"{loss / mine:.2e}", accuracy=f"{hits / mine:.3f}", refresh=False)
        loss, hits = (total / count for total in self.processes.total(sums))
        self.speeds.append(count / (time.monotonic() - begun))
        if self.device.type == "cuda":
            self.peak = max(self.peak, torch.cuda.max_memory_allocated(self.device))
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss became {loss} in epoch {epoch}: lower the learning rate")
        return {"loss": loss, "train_accuracy": hits}

    def _step(self, images: Tensor, labels: Tensor, everywhere: int, rate: float, sums: Tensor) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with self.hardware.autocast():
            logits = self.forward(images)
            loss = cross_entropy(logits, labels)
        # Gradients are averaged over processes: weighted like this, the average is the mean over all samples.
        weight = len(labels) * self.processes.share.processes / everywhere
        self.optimizer.zero_grad()
        self.scaler.scale(loss * weight if weight != 1 else loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        sums[0] += loss.detach() * len(labels)
        sums[1] += (logits.detach().argmax(1) == labels).sum()

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """Measure all training and test images, in evaluation mode and float32."""
        self.model.eval()
        metric = NeuralCollapse(self.model.num_classes, self.model.feature_dim).to(self.device)
        share, classifier = self.processes.share, self.model.classifier
        for batch in self.train_data.in_order(1000, share):
            features = self.model.features(batch.images)
            metric.update(features, batch.labels, classifier(features))
        hits = torch.zeros(1, dtype=torch.float64, device=self.device)
        for batch in self.test_data.in_order(1000, share):
            hits += (self.model(batch.images).argmax(1) == batch.labels).sum()
        found = metric.compute(classifier.weight, classifier.bias).as_dict()
        test_accuracy = self.processes.total(hits)[0] / len(self.test_data)
        return {"test_accuracy": test_accuracy} | {name: float(found[name]) for name in RECORDED}

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "generator": self.generator.get_state(),
            "random": checkpoint.random_states(),
            "records": self.records,
            "spent": {"speeds": self.speeds, "seconds": self.seconds, "longest": self.longest, "peak": self.peak},
        }

    def resume(self, found: checkpoint.Checkpoint) -> None:
        """Set everything to a checkpoint.

        Raises:
            LookupError, TypeError, ValueError, RuntimeError: if something is missing or of another form; what was set
            until then stays.
        """
        state, spent = found.state, found.state["spent"]
        if len(state["records"]) != found.epoch + 1:
            raise ValueError(f"records must be one an epoch and one before, got {len(state['records'])}")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.generator.set_state(state["generator"])
        checkpoint.restore_random_states(state["random"])
        self.records = state["records"]
        self.speeds, self.seconds = spent["speeds"], spent["seconds"]
        self.longest, self.peak = spent["longest"], spent["peak"]

    def result(self) -> Run:
        return Run(
            History(tuple(self.records)),
            finished=self.epoch == self.recipe.epochs,
            seconds=self.seconds,
            images_per_second=statistics.median(self.speeds) if self.speeds else math.nan,
            peak_bytes=self.peak or None,
            data_bytes=self.train_data.nbytes + self.test_data.nbytes,
        )
