"""A network in two halves: a backbone that makes features, and the classifier after it."""

from __future__ import annotations

from torch import Tensor, nn

from ncbook.models.etf_classifier import ETFClassifier


class FeatureClassifier(nn.Module):
    """A ``backbone`` from images to features (N, d), then a linear ``classifier`` with ``weight`` and ``bias``."""

    def __init__(self, backbone: nn.Module, classifier: nn.Linear | ETFClassifier) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier

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
        return self.backbone(images)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, K)."""
        return self.classifier(self.features(images))
