"""A network in two halves: a backbone that makes features, and the classifier after it."""

from __future__ import annotations

from torch import Tensor, nn

from ncbook import checks
from ncbook.models.etf_classifier import ETFClassifier


class FeatureClassifier(nn.Module):
    """A ``backbone`` from images to features (N, d), then a linear ``classifier`` with ``weight`` and ``bias``.

    Raises:
        ValueError: if one of the two is no module, or the classifier has no weight and bias.
    """

    def __init__(self, backbone: nn.Module, classifier: nn.Linear | ETFClassifier) -> None:
        super().__init__()
        self.backbone = checks.module("backbone", backbone)
        self.classifier = checks.module("classifier", classifier, "weight", "bias")

    @property
    def num_classes(self) -> int:
        """K."""
        return self.classifier.weight.shape[0]

    @property
    def feature_dim(self) -> int:
        """d."""
        return self.classifier.weight.shape[1]

    def features(self, images: Tensor) -> Tensor:
        """Return the features (N, d) that the last layer sees."""
        return self.backbone(checks.tensor("images", images, "N, …", read=False))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, K)."""
        return self.classifier(self.features(images))
