"""Features that come batch by batch: kept while they fit in memory, streamed from then on, on one process or many."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ncbook.metrics.choices import Choices
from ncbook.metrics.in_memory import neural_collapse
from ncbook.metrics.launchers import Ranks
from ncbook.metrics.reports import NeuralCollapseReport

if TYPE_CHECKING:
    from ncbook.metrics.stream import NeuralCollapse


class Collector:
    """Takes the features of one layer, and reports on those of all processes together."""

    def __init__(self, choices: Choices, keep_bytes: int, ranks: Ranks, device: torch.device) -> None:
        self.choices, self.keep_bytes, self.ranks = choices, keep_bytes, ranks
        # MPS has no float64: the state then lives on the CPU.
        self.device = torch.device("cpu") if device.type == "mps" else device
        self.kept: list[tuple[Tensor, Tensor]] = []
        self.size = 0
        self.sizes: tuple[int, int] | None = None  # K, d
        self.stream: NeuralCollapse | None = None

    def add(self, features: Tensor, labels: Tensor, logits: Tensor) -> None:
        """Take a batch: features (B, d), labels (B,), logits (B, K)."""
        self.sizes = (logits.shape[-1], features.shape[1])
        if self.stream is None:
            self.size += features.numel() * features.element_size()
            # The decisions that came with the features are kept too: they cost 8 bytes a sample, and no logits.
            self.kept.append((features.clone(), torch.stack([labels, logits.argmax(1)])))
            if self.size > self.keep_bytes:
                self._pour()
        else:
            self.stream.update(features, labels, logits)

    def _pour(self) -> None:
        """Stream what was kept, and all that comes."""
        assert self.sizes is not None
        self.stream = self.new_stream()
        for features, (labels, chosen) in self.kept:
            self.stream.update(features, labels, as_logits(chosen, self.sizes[0]))
        self.kept.clear()

    def new_stream(self, class_means: Tensor | None = None, choices: Choices | None = None) -> NeuralCollapse:
        """Return an empty stream for these features, whose `compute` speaks for all processes that measure."""
        from ncbook.metrics.stream import NeuralCollapse

        assert self.sizes is not None
        options = (choices or self.choices).as_options()
        stream = NeuralCollapse(*self.sizes, class_means=class_means, sync_on_compute=self.ranks.many, **options)
        return stream.to(self.device)

    def settle(self) -> bool:
        """Agree with the other processes on what to do with the features; return whether they are streamed.

        Raises:
            ValueError: if no process had a batch, or their features do not fit together.
        """
        found = self.ranks.agree((self.sizes, self.size, self.stream is not None))
        sizes = {sizes for sizes, _, _ in found if sizes is not None}
        if not sizes:
            raise ValueError(
                "loader must yield at least one batch with samples, got none"
                " (an iterator or a generator can be read only once)"
            )
        if len(sizes) > 1:
            raise ValueError(f"features and logits must have one size on all processes, got (K, d) = {sorted(sizes)}")
        self.sizes = sizes.pop()
        streamed = any(stream for _, _, stream in found) or sum(size for _, size, _ in found) > self.keep_bytes
        if streamed and self.stream is None:
            self._pour()
        return streamed

    def from_memory(self, weight: Tensor | None, bias: Tensor | None) -> NeuralCollapseReport:
        """Report on the features that all processes kept."""
        own = [torch.cat([h for h, _ in self.kept]), torch.cat([y for _, (y, _) in self.kept])] if self.kept else None
        if not self.ranks.many:
            assert own is not None
            return neural_collapse(own[0], own[1], weight, bias, **self.choices.as_options())
        parts = self.ranks.gather(None if own is None else [part.cpu() for part in own])
        features, labels = (torch.cat(part).to(self.device) for part in zip(*(part for part in parts if part)))
        return neural_collapse(features, labels, weight, bias, **self.choices.as_options())

    def means_and_choices(self) -> tuple[Tensor, Choices]:
        """Return the class means of all processes, and the choices with the classes that they leave to measure."""
        stream = self.stream
        assert stream is not None
        with _quiet():
            # What a second look compares with: means of classes that are there.
            classes = stream.compute().classes
        if self.ranks.many:
            stream.sync()
        try:
            means = stream.class_means.clone()
        finally:
            if self.ranks.many:
                stream.unsync()
        return means, self.choices if classes is None else replace(self.choices, classes=classes)

    def from_stream(
        self, again: NeuralCollapse | None, weight: Tensor | None, bias: Tensor | None
    ) -> NeuralCollapseReport:
        """Report on what all processes streamed: in a second pass, or else in the first."""
        stream = self.stream if again is None else again
        assert stream is not None
        with _quiet():
            return stream.compute(weight, bias)


class _quiet(warnings.catch_warnings):
    """A process without a single batch is no mistake here: its state is merged with those of the others."""

    def __enter__(self) -> Any:
        entered = super().__enter__()
        warnings.filterwarnings("ignore", message="The ``compute`` method of metric")
        return entered


def as_logits(chosen: Tensor, num_classes: int) -> Tensor:
    """Return logits (B, K) that decide as ``chosen`` (B,)."""
    return torch.nn.functional.one_hot(chosen, num_classes).float()
