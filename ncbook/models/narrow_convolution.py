"""Convolutions of a few channels, kept away from a fault of oneDNN on processors without AVX-512.

With torch 2.15 (oneDNN 3.13) the backward pass of a convolution with fewer than eight channels writes past its memory
there, and the process dies sooner or later; ``benchmarks/onednn_small_convolutions.py`` shows it without this package.
"""

from __future__ import annotations

import math
import os
from typing import Any

import torch
from torch import Tensor, nn

SAFE_CHANNELS = 8  # from here on no fault was seen
IMAGE_CHANNELS = 3  # the first layer's few input channels did no harm where its outputs were enough


class NarrowConv2d(nn.Conv2d):
    """A convolution that does not use oneDNN on a CPU where that could write past its memory.

    The numbers are those of ``torch.backends.mkldnn.enabled = False``, in forward and backward pass alike, whatever
    loop the network is trained in. Elsewhere it is an ordinary ``Conv2d``.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if input.device.type != "cpu" or not at_risk():
            return super()._conv_forward(input, weight, bias)
        # Not among the operations that autocast knows: computed in the weights' own precision.
        input = input.to(weight.dtype)
        input, weight = _canonical(input), _canonical(weight)
        output = torch.ops.aten.thnn_conv2d(input, weight, self.kernel_size, bias, self.stride, self.padding)
        return _CanonicalGradient.apply(output)  # type: ignore[no-any-return]


class _CanonicalGradient(torch.autograd.Function):
    """Leaves values as they are and hands gradients on channels first: the operation takes them for that, unasked."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return _canonical(gradient)


def _canonical(values: Tensor) -> Tensor:
    """Return a tensor (a, b, height, width) with the strides of that order; one channel counts as contiguous in any."""
    strides = math.prod(values.shape[1:]), math.prod(values.shape[2:]), values.shape[3], 1
    return values if values.stride() == strides else values.clone(memory_format=torch.contiguous_format)


def at_risk() -> bool:
    """Return whether oneDNN's convolutions may run below AVX-512 here: by the processor, or because it was told to."""
    told = os.environ.get("ONEDNN_MAX_CPU_ISA", os.environ.get("DNNL_MAX_CPU_ISA", "")).upper()
    lowered = told not in ("", "ALL", "DEFAULT") and not told.startswith("AVX512") and not told.startswith("AVX10")
    return lowered or torch.backends.cpu.get_cpu_capability() != "AVX512"


def guard(model: nn.Module) -> None:
    """Replace, in place, every convolution of fewer than eight channels by a `NarrowConv2d` of the same weights."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Conv2d and _narrow(child):
                setattr(parent, name, _narrowed(child))


def _narrow(layer: nn.Conv2d) -> bool:
    simple = layer.groups == 1 and set(layer.dilation) == {1} and layer.padding_mode == "zeros"
    few_inputs = IMAGE_CHANNELS < layer.in_channels < SAFE_CHANNELS
    return simple and (layer.out_channels < SAFE_CHANNELS or few_inputs)


def _narrowed(layer: nn.Conv2d) -> NarrowConv2d:
    options = (layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding)
    with torch.device("meta"):
        narrow = NarrowConv2d(*options, bias=layer.bias is not None)  # type: ignore[arg-type]
    narrow.weight, narrow.bias = layer.weight, layer.bias
    return narrow
