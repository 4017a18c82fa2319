"""Networks that name their two halves: a ``backbone`` that makes features, and the ``classifier`` after it.

Every model here answers ``model(images)`` with logits and ``model.features(images)`` with what its last layer sees.
"""

from ncbook.models.crowds import Crowd
from ncbook.models.etf_classifier import ETFClassifier
from ncbook.models.feature_classifier import FeatureClassifier
from ncbook.models.networks import cnn, mlp, resnet18, resnet50
from ncbook.models.normalised import NormalisedClassifier, UnitFeatures, normalise_features

__all__ = [
    "Crowd",
    "ETFClassifier",
    "FeatureClassifier",
    "NormalisedClassifier",
    "UnitFeatures",
    "cnn",
    "mlp",
    "normalise_features",
    "resnet18",
    "resnet50",
]
