"""A data set that lives on the device, and is cropped and mirrored there: no worker, no copy, no waiting."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ncbook import checks

PADDING = 4  # pixels, as usual for CIFAR-10


@dataclass(frozen=True)
class Share:
    """Which of how many processes this one is."""

    rank: int = 0
    processes: int = 1


@dataclass(frozen=True)
class Batch:
    """Images (B, C, height, width) and labels (B,) on the device, and of how many samples over all processes."""

    images: Tensor
    labels: Tensor
    everywhere: int


class DeviceData:
    """Images and labels on a device.

    Args:
        images: (N, C, height, width) in [0, 1]. Kept in one byte a pixel where that loses nothing.
        labels: (N,).
        device: where to keep them.
        mean, std: (C,), subtracted from and divided into every image; those of ``images`` by default.
        channels_last: give batches in that memory layout.

    Raises:
        ValueError: for images of another shape, or another number of labels.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        device: torch.device | str,
        *,
        mean: Tensor | None = None,
        std: Tensor | None = None,
        channels_last: bool = False,
    ) -> None:
        checks.tensor("images", images, "N, C, height, width")
        labels = checks.labels("labels", labels, len(images))
        whole = (images * 255).round()
        exact = bool((whole / 255 == images).all())
        self.scale = 255.0 if exact else 1.0
        self.images = (whole.to(torch.uint8) if exact else images.float()).to(device)
        self.labels = labels.to(device)
        self.mean = (images.double().mean((0, 2, 3)) if mean is None else mean).float().cpu()
        spread = images.double().std((0, 2, 3)) if std is None else std.double()
        self.std = spread.clamp_min(1e-6).float().cpu()  # a constant channel stays what it is: zero
        self._shift, self._factor = (
            t.view(-1, 1, 1).to(device) for t in (self.mean * self.scale, self.std * self.scale)
        )
        self.layout = torch.channels_last if channels_last else torch.contiguous_format

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def nbytes(self) -> int:
        """Bytes on the device."""
        return self.images.nbytes + self.labels.nbytes

    def epoch(
        self, batch_size: int, generator: torch.Generator, *, augment: bool = False, share: Share | None = None
    ) -> Iterator[Batch]:
        """Yield every sample once, in random order, in batches of ``batch_size`` over all processes.

        All that is random is drawn from ``generator`` on the CPU before the first batch, so that the draw is the same
        on every device and for every number of processes. A last batch that would leave a process with fewer than two
        samples is joined to the one before: batch normalisation needs two.

        Args:
            batch_size: over all processes.
            generator: of the order, and of crops and flips.
            augment: pad by 4 pixels of black, crop at random, and mirror every other image at random.
            share: this process takes its part of each batch; all of it by default.

        Raises:
            ValueError: if ``batch_size`` is not a positive integer.
        """
        checks.integer("batch_size", batch_size)
        share = share or Share()
        device, count = self.labels.device, len(self)
        order = torch.randperm(count, generator=generator).to(device)
        moves = torch.zeros(count, 3, dtype=torch.int64)
        if augment:
            moves[:, :2] = torch.randint(0, 2 * PADDING + 1, (count, 2), generator=generator)
            moves[:, 2] = torch.randint(0, 2, (count,), generator=generator)
        moves = moves.to(device)
        for start, stop in _bounds(count, batch_size, 2 * share.processes):
            mine = slice(start + share.rank, stop, share.processes)
            index = order[mine]
            images = self.images[index]
            if augment:
                images = crop_and_flip(images, moves[mine])
            yield Batch(self._normalised(images), self.labels[index], stop - start)

    def in_order(self, batch_size: int, share: Share | None = None) -> Iterator[Batch]:
        """Yield every sample once, in order, without augmentation; ``batch_size`` for this process alone."""
        share = share or Share()
        mine = torch.arange(share.rank, len(self), share.processes, device=self.labels.device)
        for index in mine.split(checks.integer("batch_size", batch_size)):
            yield Batch(self._normalised(self.images[index]), self.labels[index], len(index))

    def _normalised(self, images: Tensor) -> Tensor:
        normalised = (images.float() - self._shift) / self._factor
        # Copied into fresh memory: of one channel, `contiguous` would keep strides that no other batch has.
        return torch.empty(normalised.shape, device=normalised.device, memory_format=self.layout).copy_(normalised)


def crop_and_flip(images: Tensor, moves: Tensor, padding: int = PADDING) -> Tensor:
    """Shift each image by up to ``padding`` pixels, black coming in, and mirror it left to right where asked for.

    Args:
        images: (B, C, height, width), of any dtype.
        moves: (B, 3) integers: rows to move up by and columns to move left by, each from 0 to ``2 padding`` with
            ``padding`` for none, and 1 to mirror.
        padding: in pixels.
    """
    height, width = images.shape[2:]
    padded = torch.nn.functional.pad(images, (padding,) * 4)
    rows = moves[:, :1] + torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device).expand(len(images), width)
    columns = moves[:, 1:2] + torch.where(moves[:, 2:3] == 1, width - 1 - columns, columns)
    sample = torch.arange(len(images), device=images.device)[:, None, None]
    # Advanced indices around a slice put the channels last.
    return padded[sample, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _bounds(count: int, size: int, smallest: int) -> list[tuple[int, int]]:
    starts = list(range(0, count, size))
    if len(starts) > 1 and count - starts[-1] < smallest:
        starts.pop()
    return list(zip(starts, [*starts[1:], count]))
