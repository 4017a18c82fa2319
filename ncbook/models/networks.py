"""Networks that name their two halves: a ``backbone`` that makes features, and the ``classifier`` after it.

Every model here answers ``model(images)`` with logits and ``model.features(images)`` with what its last layer sees.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn
from torch.nn.utils import skip_init

from ncbook import checks
from ncbook.models.etf_classifier import ETFClassifier
from ncbook.models.feature_classifier import FeatureClassifier
from ncbook.models.narrow_convolution import guard

# Weight decay shrinks the weights before a batch normalisation until torch's default (1e-5) rivals their variance;
# this one stays negligible, so that a normalised feature's spread is its scale parameter and nothing else.
EPS = 1e-9
ClassifierKind = Literal["learned", "etf"]


def mlp(
    input_shape: int | Sequence[int],
    num_classes: int,
    *,
    hidden: Sequence[int] = (256, 256),
    feature_dim: int = 64,
    normalise: bool = True,
    relu_features: bool = False,
    classifier: ClassifierKind = "learned",
    seed: int = 0,
) -> FeatureClassifier:
    """Return a multi-layer perceptron: blocks of linear, batch normalisation and ReLU, then features, then logits.

    Args:
        input_shape: the shape of one input, such as ``(1, 8, 8)``, or its number of entries; inputs are flattened.
        num_classes: K >= 2.
        hidden: widths of the hidden layers; may be empty.
        feature_dim: d >= 1.
        normalise: batch normalisation after every linear layer but the last. The features then have, over a training
            batch, mean and spread that are parameters of their own, on which weight decay acts as feature decay.
        relu_features: end the backbone in a ReLU, so that features are non-negative.
        classifier: ``"learned"``, a linear layer with bias, or ``"etf"``, an `ETFClassifier` (needs d >= K - 1, and
            with ``relu_features``, towards which the frame is then turned, d >= K).
        seed: of the initial weights (He et al. 2015); the global random state is left as it was.

    Raises:
        ValueError: for a size that is not a positive integer, an unknown ``classifier``, or an ETF that does not fit.
    """
    checks.flag("normalise", normalise)
    checks.flag("relu_features", relu_features)
    entries = math.prod(checks.integers("input_shape", [input_shape] if isinstance(input_shape, int) else input_shape))
    widths = (*checks.integers("hidden", hidden), checks.integer("feature_dim", feature_dim))
    layers: list[nn.Module] = [nn.Flatten()]
    for i, width in enumerate(widths):
        layers.append(skip_init(nn.Linear, entries, width, bias=not normalise))
        if normalise:
            layers.append(nn.BatchNorm1d(width, eps=EPS))
        if relu_features or i < len(widths) - 1:
            layers.append(nn.ReLU())
        entries = width
    return _assemble(nn.Sequential(*layers), feature_dim, num_classes, classifier, seed, nonnegative=relu_features)


def cnn(
    input_shape: Sequence[int],
    num_classes: int,
    *,
    channels: Sequence[int] = (32, 64),
    feature_dim: int = 64,
    relu_features: bool = False,
    classifier: ClassifierKind = "learned",
    seed: int = 0,
) -> FeatureClassifier:
    """Return a small convolutional network: 3 x 3 convolutions, each halving the image, then features, then logits.

    Args:
        input_shape: (channels, height, width) of one image.
        num_classes: K >= 2.
        channels: of each convolution; every one is followed by batch normalisation, ReLU and 2 x 2 max pooling.
        feature_dim: d >= 1, made by a linear layer with batch normalisation from the last, flattened feature map.
        relu_features, classifier, seed: as in `mlp`.

    Raises:
        ValueError: as `mlp`; also if ``input_shape`` is not three sizes, or the image is too small to halve that often.
    """
    checks.flag("relu_features", relu_features)
    depth, height, width = checks.integers("input_shape", input_shape, 3)
    widths = checks.integers("channels", channels)
    if min(height, width) < 2 ** len(widths):
        raise ValueError(f"input_shape must allow {len(widths)} halvings, got {height} x {width} pixels")
    layers: list[nn.Module] = []
    for channel in widths:
        convolution = skip_init(nn.Conv2d, depth, channel, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(channel, eps=EPS), nn.ReLU(), nn.MaxPool2d(2)]
        depth, height, width = channel, height // 2, width // 2
    flat = skip_init(nn.Linear, depth * height * width, checks.integer("feature_dim", feature_dim), bias=False)
    layers += [nn.Flatten(), flat, nn.BatchNorm1d(feature_dim, eps=EPS)]
    if relu_features:
        layers.append(nn.ReLU())
    return _assemble(nn.Sequential(*layers), feature_dim, num_classes, classifier, seed, nonnegative=relu_features)


def resnet18(
    num_classes: int,
    feature_dim: int = 512,
    classifier: ClassifierKind = "learned",
    stem: Literal["cifar", "imagenet"] = "cifar",
    *,
    width: int = 64,
    last_width: int | None = None,
    channels: int = 3,
    recompute: bool = False,
    seed: int = 0,
) -> FeatureClassifier:
    """Return ResNet18, its features averaged over the image behind a ReLU (so none is negative), then logits.

    Args:
        num_classes: K >= 2.
        feature_dim: d, the channels that the last block ends in. 512 is the published network; another number
            replaces the block's last convolution and gives it a 1 x 1 shortcut (``models.resnet.backbone``).
        classifier: ``"learned"``, or ``"etf"``, an `ETFClassifier` turned towards non-negative features, its bias
            trained; needs d >= K.
        stem: ``"cifar"`` (3 x 3, stride 1) or ``"imagenet"`` (7 x 7, stride 2, max pooling).
        width: channels of the first stage, doubled from stage to stage.
        last_width: of the last stage, if not ``8 width``.
        channels: of an image.
        recompute: keep only the input of each block for the backward pass and compute the rest again: less memory,
            more time, the same numbers.
        seed: of the initial weights (He et al. 2015).

    Raises:
        ValueError: for a size that is not a positive integer, an unknown ``classifier`` or ``stem``, or an ETF that
            does not fit.

    Source: He et al. (2016); with d = K and a fixed simplex ETF, Zhu et al. (2021), section 5.
    """
    from ncbook.models.resnet import backbone

    options = {"width": width, "last_width": last_width, "channels": channels, "recompute": recompute}
    net = backbone(18, feature_dim, stem=stem, **options)  # type: ignore[arg-type]
    return _assemble(net, feature_dim, num_classes, classifier, seed, nonnegative=True, learn_bias=True)


def resnet50(
    num_classes: int,
    feature_dim: int = 2048,
    classifier: ClassifierKind = "learned",
    stem: Literal["cifar", "imagenet"] = "cifar",
    *,
    width: int = 64,
    last_width: int | None = None,
    channels: int = 3,
    recompute: bool = False,
    seed: int = 0,
) -> FeatureClassifier:
    """Return ResNet50; arguments and errors as `resnet18`, but for the 2048 features of the published network."""
    from ncbook.models.resnet import backbone

    options = {"width": width, "last_width": last_width, "channels": channels, "recompute": recompute}
    net = backbone(50, feature_dim, stem=stem, **options)  # type: ignore[arg-type]
    return _assemble(net, feature_dim, num_classes, classifier, seed, nonnegative=True, learn_bias=True)


def _assemble(
    backbone: nn.Module,
    feature_dim: int,
    num_classes: int,
    kind: ClassifierKind,
    seed: int,
    nonnegative: bool,
    learn_bias: bool = False,
) -> FeatureClassifier:
    checks.integer("num_classes", num_classes, minimum=2)
    generator = torch.Generator().manual_seed(checks.integer("seed", seed, minimum=0))
    checks.option("classifier", kind, "learned", "etf")
    last: nn.Linear | ETFClassifier
    if kind == "learned":
        last = skip_init(nn.Linear, feature_dim, num_classes)
    else:
        last = ETFClassifier(num_classes, feature_dim, nonnegative=nonnegative, learn_bias=learn_bias)
    model = FeatureClassifier(backbone, last)
    guard(model)
    # Layers come uninitialised (skip_init), so that nothing is drawn from the global random state.
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model
