"""Working memory that is used again: fresh memory costs more than a pass over it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Scratch:
    """Float64 matrices by name, kept from one use to the next; whoever takes one overwrites what it held.

    Copies and pickles of it start empty.
    """

    def __init__(self) -> None:
        self._held: dict[str, Tensor] = {}

    def take(self, name: str, shape: tuple[int, int], device: torch.device) -> Tensor:
        """Return a float64 matrix of ``shape`` whose content is anything."""
        held = self._held.get(name)
        if held is None or held.numel() < shape[0] * shape[1] or held.device != device:
            held = self._held[name] = torch.empty(shape[0] * shape[1], dtype=torch.float64, device=device)
        return held[: shape[0] * shape[1]].view(shape)

    def __reduce__(self) -> tuple[Any, ...]:
        return Scratch, ()
