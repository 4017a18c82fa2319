"""Stand in for a processor that adds up in another order: run in a kernel before a notebook's first cell.

    python -m tools.texts --another-processor 1 chapters/01-neural-collapse.ipynb

Processors differ in the last digit of products and convolutions. Here every such result, forward and backward, is
moved by up to one unit in its last place, at random by the seed. What a chapter stores must not depend on it.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

PRODUCTS = {
    getattr(torch.ops.aten, name).default
    for name in ("mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "convolution", "convolution_backward")
}


class AnotherProcessor(TorchDispatchMode):
    """Moves the results of products and convolutions of floating-point numbers by their last digit."""

    def __init__(self, seed: int):
        super().__init__()
        self.rng = torch.Generator().manual_seed(seed)  # its own: the notebook's random numbers stay as they are

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func not in PRODUCTS:
            return out
        return tuple(map(self.moved, out)) if isinstance(out, (tuple, list)) else self.moved(out)

    def moved(self, result: Any) -> Any:
        if not isinstance(result, torch.Tensor) or not result.is_floating_point():
            return result
        unit = torch.finfo(result.dtype).eps
        noise = torch.empty(result.shape, dtype=result.dtype).uniform_(-unit, unit, generator=self.rng)
        return result + result * noise.to(result.device)


if __name__ == "__main__":  # as a kernel's first code
    AnotherProcessor(int(os.environ["NCBOOK_PROCESSOR"])).__enter__()
