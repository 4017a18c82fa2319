"""The last layer of a trained network: the features it sees, its weights, and how collapsed they are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ncbook import checks, data, models
from ncbook._modes import in_mode
from ncbook.metrics import NeuralCollapseReport, neural_collapse
from ncbook.models import FeatureClassifier
from ncbook.training.loop import Recipe, State, fit

# How chapter 1 trains its perceptron on the digits: far past the last training error, in a few seconds on a CPU.
DIGITS_RECIPE = Recipe(epochs=300, batch_size=280, learning_rate=0.05, weight_decay=1e-2)


@dataclass(frozen=True)
class LastLayer:
    """Features (N, d), labels (N,), weight (K, d) and bias (K,), in float64 on the CPU."""

    features: Tensor
    labels: Tensor
    weight: Tensor
    bias: Tensor

    @property
    def logits(self) -> Tensor:
        """(N, K)."""
        return self.features @ self.weight.T + self.bias

    @property
    def loss(self) -> float:
        """Mean cross-entropy, without any decay."""
        return float(nn.functional.cross_entropy(self.logits, self.labels))

    @property
    def accuracy(self) -> float:
        """Fraction of the samples whose largest logit is their label's."""
        return float((self.logits.argmax(dim=1) == self.labels).double().mean())

    def report(self) -> NeuralCollapseReport:
        """Return NC1-NC4 of this layer."""
        return neural_collapse(self.features, self.labels, self.weight, self.bias)


@dataclass(frozen=True)
class TrainedLastLayer(LastLayer):
    """A last layer at the end of training, its samples ordered by class, with the decays it was trained under.

    The decays are those of the unconstrained feature model: ``weight_decay/2 ||weight||^2`` and so on.
    """

    weight_decay: float
    feature_decay: float
    bias_decay: float

    @property
    def samples_per_class(self) -> int:
        """n, the same for every class."""
        return len(self.features) // len(self.weight)


def trained_last_layer(
    *,
    feature_dim: int = 64,
    weight_decay: float = DIGITS_RECIPE.weight_decay,
    epochs: int = DIGITS_RECIPE.epochs,
    seed: int = 0,
    progress: bool = True,
) -> TrainedLastLayer:
    """Train chapter 1's perceptron on the digits, and return its last layer with the decays it lived under.

    A few seconds on a CPU. Weight decay is applied to every parameter. The features leave a batch normalisation, so
    over the training set ``||gamma||^2 + ||beta||^2 = ||features||^2 / N``: decaying its scale and shift by
    ``weight_decay`` is decaying the features by ``weight_decay / N``. The weights before it have no scale that the
    network could feel, so nothing else is penalised, and the last layer stands where an unconstrained feature model
    with these decays stands::

        layer = trained_last_layer()
        decays = layer.weight_decay, layer.feature_decay, layer.bias_decay
        problem = UFM(10, layer.samples_per_class, feature_dim, *decays)
        float(problem.objective(layer.weight, layer.features, layer.bias)) >= problem.optimum().value

    Args:
        feature_dim: d of the network; at least 9 for an ETF of ten classes to fit.
        weight_decay: > 0, of every parameter.
        epochs: of training. seed: of initial weights and batches. progress: a bar on standard error.

    Returns:
        TrainedLastLayer: 1400 samples, 140 of each of 10 classes, ordered by class.

    Raises:
        ValueError: for an argument out of range.
    """
    checks.number("weight_decay", weight_decay, positive=True)
    digits = data.load("digits")
    model = models.mlp(digits.image_shape, digits.num_classes, feature_dim=feature_dim, seed=seed)
    recipe = replace(DIGITS_RECIPE, epochs=epochs, weight_decay=weight_decay)
    fit(model, digits.images, digits.labels, recipe, seed=seed, progress=progress)
    recalibrate(model, digits.images)
    layer = last_layer(model, digits.images, digits.labels)
    decays = weight_decay, weight_decay / len(digits.images), weight_decay
    return TrainedLastLayer(layer.features, layer.labels, layer.weight, layer.bias, *decays)


def last_layer(model: FeatureClassifier, images: Tensor, labels: Tensor, *, batch_size: int = 2000) -> LastLayer:
    """Return what the last layer of ``model`` sees and is, the model in evaluation mode, its state unchanged.

    Args:
        images: (N, …) and labels: (N,) in ``0 … K - 1``.
        batch_size: how many images go through the network at once; it changes nothing but memory.

    Raises:
        ValueError: if images and labels differ in number, a label is out of range, or ``batch_size < 1``.
    """
    checks.module("model", model, "features", "classifier", "num_classes")
    labels = checks.samples("images", images, "labels", labels, model.num_classes)
    device = model.classifier.weight.device
    with in_mode(model, training=False), torch.no_grad():
        pieces = [model.features(x.to(device)) for x in images.split(checks.integer("batch_size", batch_size))]
        tensors = torch.cat(pieces), labels, model.classifier.weight, model.classifier.bias
    features, labels, weight, bias = (t.detach().cpu().clone() for t in tensors)
    return LastLayer(features.double(), labels, weight.double(), bias.double())


def recalibrate(model: nn.Module, images: Tensor, *, batch_size: int = 2000) -> None:
    """Set the running mean and variance of every batch normalisation to those over ``images``, in place.

    In training the running statistics trail behind the weights, which at a large learning rate spoils what the
    network does in evaluation mode. Training itself never reads them, so calling this in between changes nothing else.
    With all images in one batch, as here by default up to 2000, the statistics are exact. A batch normalisation that
    is frozen, in evaluation mode while the model is in training mode, keeps its own: there training reads them.

    Raises:
        ValueError: if ``batch_size < 2``, or fewer than two images are given.
    """
    checks.module("model", model)
    checks.integer("number of images", len(checks.tensor("images", images, "N, …")), minimum=2)
    size = checks.integer("batch_size", batch_size, minimum=2)
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    frozen = [m for m in norms if model.training and not m.training]
    device = next(model.parameters()).device
    with in_mode(model, training=True), torch.no_grad():
        for m in frozen:
            m.eval()
        momenta = [(m, m.momentum) for m in norms if m.training]  # a model may keep parts frozen by itself
        for m, _ in momenta:
            m.reset_running_stats()
            m.momentum = None  # torch's way to ask for the plain average over the batches
        try:
            for x in images.split(size):
                model(x.to(device))
        finally:
            for m, momentum in momenta:
                m.momentum = momentum


def spread_epochs(epochs: int, count: int) -> list[int]:
    """Return at most ``count`` epochs from 0 to ``epochs``, dense at the start: 0, then evenly spaced in the logarithm.

    Raises:
        ValueError: if ``epochs < 1`` or ``count < 2``.
    """
    last = checks.integer("epochs", epochs)
    steps = checks.integer("count", count, minimum=2) - 2
    return sorted({0, last, *(round(last ** (i / steps)) for i in range(steps))})


@dataclass
class CollapseProbe:
    """A callback for `fit` that measures the last layer as training goes, and may keep it.

    It records ``train_loss``, ``train_accuracy``, with test samples ``test_accuracy``, and every number of the
    `NeuralCollapseReport`, all with the batch normalisation of the whole training set (`recalibrate`).

    Args:
        images, labels: the training samples. test_images, test_labels: optional.
        epochs: when to measure; every epoch by default.
        keep: hold on to the last layers measured, in ``layers`` (epoch to `LastLayer`).

    Raises:
        ValueError: for images that are not finite, labels that are not theirs, or an epoch below 0.
    """

    images: Tensor
    labels: Tensor
    test_images: Tensor | None = None
    test_labels: Tensor | None = None
    epochs: Collection[int] | None = None
    keep: bool = False
    layers: dict[int, LastLayer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checks.samples("images", self.images, "labels", self.labels)
        if self.test_images is not None and self.test_labels is not None:
            checks.samples("test_images", self.test_images, "test_labels", self.test_labels)
        if self.epochs is not None:
            self.epochs = checks.integers("epochs", self.epochs, minimum=0)
        checks.flag("keep", self.keep)

    def __call__(self, state: State) -> dict[str, float]:
        if self.epochs is not None and state.epoch not in self.epochs:
            return {}
        recalibrate(state.model, self.images)
        layer = last_layer(state.model, self.images, self.labels)
        if self.keep:
            self.layers[state.epoch] = layer
        seen = {"train_loss": layer.loss, "train_accuracy": layer.accuracy}
        if self.test_images is not None and self.test_labels is not None:
            seen["test_accuracy"] = last_layer(state.model, self.test_images, self.test_labels).accuracy
        measured = {k: float(v) for k, v in asdict(layer.report()).items() if isinstance(v, (int, float))}
        return seen | measured
