"""The backbones of ResNet18 and ResNet50, from torchvision's blocks, ending in as many features as asked for.

`models.resnet18` and `models.resnet50` put a classifier on top; use those.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from ncbook import checks
from ncbook._lazy import optional

Stem = Literal["cifar", "imagenet"]
Block = type[Any]
BasicBlock: Any = optional("torchvision.models.resnet").BasicBlock
Bottleneck: Any = optional("torchvision.models.resnet").Bottleneck

DEPTHS: dict[int, tuple[Block, tuple[int, ...]]] = {18: (BasicBlock, (2, 2, 2, 2)), 50: (Bottleneck, (3, 4, 6, 3))}


class Backbone(nn.Sequential):
    """Stem, four stages, average over the image: from images (N, C, height, width) to features (N, d), not negative.

    The children have torchvision's names. With ``recompute`` a block keeps nothing but its input for the backward
    pass and is run again when its gradients are due: less memory, more time, the same numbers.
    """

    recompute: bool = False

    def forward(self, images: Tensor) -> Tensor:
        x = images
        for name, module in self.named_children():
            if self.recompute and self.training and torch.is_grad_enabled() and name.startswith("layer"):
                for block in module.children():
                    x = _recomputed(block, x)
            else:
                x = module(x)
        return x


def backbone(
    depth: int,
    feature_dim: int,
    *,
    stem: Stem = "cifar",
    width: int = 64,
    last_width: int | None = None,
    channels: int = 3,
    recompute: bool = False,
) -> Backbone:
    """Return the backbone of a ResNet, its weights not yet initialised but for the batch normalisations.

    Args:
        depth: 18 or 50.
        feature_dim: d, the channels that the last block ends in. Where d is not what the block would have anyway, its
            last convolution and its batch normalisation get d channels, and its shortcut becomes a 1 x 1 convolution
            with batch normalisation.
        stem: ``"cifar"``, a 3 x 3 convolution of stride 1; or ``"imagenet"``, a 7 x 7 convolution of stride 2 followed
            by 3 x 3 max pooling of stride 2.
        width: channels of the stem; 64 is the published network.
        last_width: of the last stage, ``8 width`` in the published network.
        channels: of an image.
        recompute: see `Backbone`.

    Raises:
        ValueError: for an unknown ``depth`` or ``stem``, or a size that is not a positive integer.

    Source: He et al. (2016), section 4; the d-channel last block as in the code released with Zhu et al. (2021).
    """
    if depth not in DEPTHS:
        raise ValueError(f"depth must be one of {sorted(DEPTHS)}, got {depth!r}")
    checks.option("stem", stem, "cifar", "imagenet")
    checks.integer("feature_dim", feature_dim)
    checks.integer("width", width)
    checks.integer("channels", channels)
    last_width = 8 * width if last_width is None else checks.integer("last_width", last_width)
    block, counts = DEPTHS[depth]
    # On the meta device nothing is allocated or drawn: torchvision's blocks would draw from the global random state.
    with torch.device("meta"):
        net = Backbone()
        kernel, stride = (3, 1) if stem == "cifar" else (7, 2)
        net.add_module("conv1", nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False))
        net.add_module("bn1", nn.BatchNorm2d(width))
        net.add_module("relu", nn.ReLU(inplace=True))
        if stem == "imagenet":
            net.add_module("maxpool", nn.MaxPool2d(3, stride=2, padding=1))
        inputs = width
        for i, (planes, count) in enumerate(zip((width, 2 * width, 4 * width, last_width), counts)):
            net.add_module(f"layer{i + 1}", _stage(block, inputs, planes, count, stride=1 if i == 0 else 2))
            inputs = planes * block.expansion
        _end_in(net.get_submodule(f"layer4.{counts[-1] - 1}"), feature_dim)
        net.add_module("avgpool", nn.AdaptiveAvgPool2d(1))
        net.add_module("flatten", nn.Flatten())
    net.recompute = checks.flag("recompute", recompute)
    net.to_empty(device="cpu")
    for module in net.modules():
        if isinstance(module, _BatchNorm):
            module.reset_parameters()
    return net


def _stage(block: Block, inputs: int, planes: int, count: int, stride: int) -> nn.Sequential:
    outputs = planes * block.expansion
    shortcut = None if stride == 1 and inputs == outputs else _projection(inputs, outputs, stride)
    rest = [block(outputs, planes) for _ in range(count - 1)]
    return nn.Sequential(block(inputs, planes, stride, shortcut), *rest)


def _projection(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


def _end_in(block: nn.Module, feature_dim: int) -> None:
    """Let a block without down-sampling end in ``feature_dim`` channels."""
    i = 2 if isinstance(block, BasicBlock) else 3
    last = block.get_submodule(f"conv{i}")
    assert isinstance(last, nn.Conv2d)
    if last.out_channels == feature_dim:
        return
    first = block.get_submodule("conv1")
    assert isinstance(first, nn.Conv2d)
    kernel, padding = last.kernel_size[0], last.padding[0]
    setattr(block, f"conv{i}", nn.Conv2d(last.in_channels, feature_dim, kernel, padding=padding, bias=False))
    setattr(block, f"bn{i}", nn.BatchNorm2d(feature_dim))
    block.downsample = _projection(first.in_channels, feature_dim)


def _recomputed(block: nn.Module, x: Tensor) -> Tensor:
    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_kept(block)

    # There is no dropout here, so no random state to replay.
    return checkpoint(block, x, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)


@contextmanager
def _statistics_kept(block: nn.Module) -> Iterator[None]:
    """Run a block again without counting its batch into the running statistics a second time."""
    norms = [m for m in block.modules() if isinstance(m, _BatchNorm)]
    before = [(m.momentum, m.state_dict()["num_batches_tracked"].clone()) for m in norms]
    for m in norms:
        m.momentum = 0.0
    try:
        yield
    finally:
        for m, (momentum, count) in zip(norms, before):
            m.momentum = momentum
            m.state_dict()["num_batches_tracked"].copy_(count)
