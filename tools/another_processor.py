"""Stand in for a processor that adds up in another order: run in a kernel before a notebook's first cell.

    python -m tools.texts --another-processor 1 chapters/01-neural-collapse.ipynb

Processors differ in the last digit of products and convolutions. Here every entry of such a result, forward and
backward, is moved to the number before it, to the one after it, or left: by its own digits and the seed, so that the
same product comes out the same again, as on any one processor. What a chapter stores must not depend on it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

NAMES = "mm addmm bmm baddbmm mv addmv dot convolution convolution_backward"
UNDER_INFERENCE = "linear matmul conv2d"  # what it does not take apart
PRODUCTS = {getattr(torch.ops.aten, name).default for name in (NAMES + " " + UNDER_INFERENCE).split()}
INTEGERS = {8: torch.int64, 4: torch.int32, 2: torch.int16}  # of as many bytes as a number


class AnotherProcessor(TorchDispatchMode):
    """Moves the results of products and convolutions of floating-point numbers by their last digit."""

    def __init__(self, seed: int):
        super().__init__()
        self.seed = seed

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func not in PRODUCTS:
            return out
        return tuple(map(self.moved, out)) if isinstance(out, (tuple, list)) else self.moved(out)

    def moved(self, result: Any) -> Any:
        if not isinstance(result, torch.Tensor) or not result.is_floating_point():
            return result
        bits = result.contiguous().view(INTEGERS[result.element_size()])
        folded = (bits ^ (bits >> 32)).int() if bits.dtype == torch.int64 else bits.int()
        scrambled = (folded ^ self.seed) * 0x9E3779B1  # Knuth's multiplicative hashing, modulo 2^32
        step = (scrambled >> 16) % 3 - 1
        step *= result.isfinite() & (result != 0)
        # A number's neighbours are one away as integers, too.
        return (bits + step.to(bits.dtype)).view(result.dtype)
