"""One training loop, what may watch it, and the last layer that it leaves behind.

``fit`` trains where the model's parameters are (CPU or GPU). All its randomness comes from one ``seed``. Whatever is
to be measured on the way is a callback: a function of a `State` that returns named numbers, kept in the `History`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from ncbook import checks
from ncbook.models import FeatureClassifier


@dataclass(frozen=True)
class Recipe:
    """How to train: stochastic gradient descent with momentum on the mean cross-entropy.

    ``weight_decay`` is lambda in ``lambda/2 ||theta||^2`` over every parameter that is trained. ``schedule`` is
    ``"constant"``, ``"cosine"`` (from ``learning_rate`` down to zero) or ``"steps"`` (divided by ten after a third
    and after two thirds of the epochs, as Papyan, Han and Donoho did).

    Raises:
        ValueError: for a count below 1 (``epochs`` may be 0), a ``learning_rate`` that is not positive, a momentum
            outside [0, 1), a negative ``weight_decay`` or an unknown ``schedule``.
    """

    epochs: int
    batch_size: int = 128
    learning_rate: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: Literal["constant", "cosine", "steps"] = "cosine"

    def __post_init__(self) -> None:
        checks.integer("epochs", self.epochs, minimum=0)
        checks.integer("batch_size", self.batch_size)
        checks.number("learning_rate", self.learning_rate, positive=True)
        if checks.number("momentum", self.momentum) >= 1:
            raise ValueError(f"momentum must be in [0, 1), got {self.momentum!r}")
        checks.number("weight_decay", self.weight_decay)
        checks.option("schedule", self.schedule, "constant", "cosine", "steps")

    def rate(self, done: float) -> float:
        """Return the learning rate once a fraction ``done`` of the training, in [0, 1), is over.

        Raises:
            ValueError: if ``done`` is not a finite number >= 0.
        """
        over = checks.number("done", done)
        if self.schedule == "cosine":
            return self.learning_rate * (1 + math.cos(math.pi * over)) / 2
        return self.learning_rate * (0.1 ** int(3 * over) if self.schedule == "steps" else 1.0)


@dataclass(frozen=True)
class State:
    """What a callback sees: before training as epoch 0, then after every epoch."""

    epoch: int
    model: FeatureClassifier
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    loss: float  # mean cross-entropy over the epoch's batches, as they were trained on; nan at epoch 0


Callback = Callable[[State], Mapping[str, float] | None]
Batches = Callable[[Tensor, torch.Generator], Iterable[Tensor]]


@dataclass(frozen=True)
class History:
    """What the callbacks returned: one mapping of names to numbers for each epoch, epoch 0 (before training) first."""

    records: tuple[Mapping[str, float], ...]

    def series(self, name: str) -> tuple[list[int], list[float]]:
        """Return the epochs at which ``name`` was recorded, and its values there.

        Raises:
            ValueError: if nothing of that name was recorded.
        """
        checks.instance("name", name, str)
        pairs = [(epoch, record[name]) for epoch, record in enumerate(self.records) if name in record]
        if not pairs:
            known = sorted({key for record in self.records for key in record})
            raise ValueError(f"name must be one of {known}, got {name!r}")
        epochs, values = zip(*pairs)
        return list(epochs), list(values)

    def last(self, name: str) -> float:
        """Return the last recorded value of ``name``; raises ``ValueError`` as `series`."""
        return self.series(name)[1][-1]


def fit(
    model: FeatureClassifier,
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    *,
    seed: int = 0,
    batches: Batches | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
) -> History:
    """Train ``model`` in place, on the device that holds its parameters.

    Args:
        model: any module with ``features``, ``classifier`` and ``num_classes``; its logits (N, K) are trained by
            cross-entropy.
        images: (N, C, height, width), or whatever numbers the model takes, N first.
        labels: (N,) in ``0 … K - 1``.
        recipe: epochs, batch size, learning rate …
        seed: of the order of the samples; the initial weights are the model's own matter.
        batches: yields the index tensors of one epoch, given labels and generator; `shuffled` by default.
        callbacks: called with a `State` before training and after each epoch; the numbers they return are kept.
        progress: a progress bar on standard error.

    Returns:
        History: for each epoch from 0, what the callbacks returned, and from epoch 1 the training ``loss``.

    Raises:
        ValueError: if images and labels differ in number, a label is out of range, or the ``seed`` is negative.
        FloatingPointError: if the loss stops being finite, naming the epoch.
    """
    checks.instance("recipe", recipe, Recipe)
    checks.flag("progress", progress)
    watching = checks.sequence("callbacks", callbacks)
    checks.module("model", model, "features", "classifier", "num_classes")
    labels = checks.samples("images", images, "labels", labels, model.num_classes)
    parameters = [p for p in model.parameters() if p.requires_grad]
    generator = torch.Generator().manual_seed(checks.integer("seed", seed, minimum=0))
    draw = shuffled(recipe.batch_size) if batches is None else batches
    optimizer = torch.optim.SGD(
        parameters, recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    records: list[dict[str, float]] = []
    # Silence is asked for, a bar is only allowed: tqdm's own TQDM_DISABLE still has its say.
    quiet = {} if progress else {"disable": True}
    bar = tqdm(range(recipe.epochs + 1), desc="training", unit="epoch", mininterval=0.5, **quiet)
    for epoch in bar:
        seen: dict[str, float] = {}
        loss = math.nan
        if epoch > 0:
            order = list(draw(labels, generator))
            rates = [recipe.rate((epoch - 1 + step / len(order)) / recipe.epochs) for step in range(len(order))]
            seen["loss"] = loss = _train_epoch(model, optimizer, images, labels, order, rates)
            if not math.isfinite(loss):
                raise FloatingPointError(f"the loss became {loss} in epoch {epoch}: lower the learning rate")
            bar.set_postfix(loss=f"{loss:.1e}", refresh=False)
        for callback in watching:
            seen.update(callback(State(epoch, model, optimizer, generator, loss)) or {})
        records.append(seen)
    return History(tuple(records))


def _train_epoch(
    model: FeatureClassifier,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    order: Sequence[Tensor],
    rates: Sequence[float],
) -> float:
    """Take one step for each index tensor of ``order`` at its learning rate; return the mean loss of the samples."""
    model.train()
    device = next(model.parameters()).device
    total = torch.zeros((), dtype=torch.float64, device=device)  # on the device: no wait for it at every step
    for index, rate in zip(order, rates):
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = cross_entropy(model(images[index].to(device)), labels[index].to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.detach() * len(index)
    return float(total) / sum(map(len, order))


def shuffled(batch_size: int) -> Batches:
    """Return the usual batches: every sample once an epoch, in random order.

    A last batch of a single sample is joined to the one before: batch normalisation needs two.

    Raises:
        ValueError: if ``batch_size`` is not a positive integer.
    """
    checks.integer("batch_size", batch_size)

    def draw(labels: Tensor, generator: torch.Generator) -> Iterator[Tensor]:
        yield from _split(torch.randperm(len(labels), generator=generator), batch_size)

    return draw


def few_classes(batch_size: int, classes_per_batch: int) -> Batches:
    """Return batches that each hold samples of at most ``classes_per_batch`` classes; every sample once an epoch.

    Each epoch deals the classes anew into groups, cuts each group into batches, and shuffles the batches.

    Raises:
        ValueError: if a count is not a positive integer.
    """
    checks.integer("batch_size", batch_size)
    checks.integer("classes_per_batch", classes_per_batch)

    def draw(labels: Tensor, generator: torch.Generator) -> Iterator[Tensor]:
        present = labels.unique()
        dealt = present[torch.randperm(len(present), generator=generator)]
        batches: list[Tensor] = []
        for group in dealt.split(classes_per_batch):
            members = torch.isin(labels, group).nonzero()[:, 0]
            batches += _split(members[torch.randperm(len(members), generator=generator)], batch_size)
        for i in torch.randperm(len(batches), generator=generator).tolist():
            yield batches[i]

    return draw


def _split(order: Tensor, batch_size: int) -> list[Tensor]:
    pieces = list(order.split(batch_size))
    if len(pieces) > 1 and len(pieces[-1]) == 1:
        pieces[-2:] = [torch.cat(pieces[-2:])]
    return pieces
