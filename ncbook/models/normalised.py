"""Networks with normalised features: unit features, unit classifier rows, one temperature.

`normalise_features` turns any network of `ncbook.models` into one whose last layer is the normalised problem of
chapter 6. Its gradient with respect to an unnormalised row is the Riemannian gradient of that problem, divided by the
row's length.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, normalize

from ncbook import checks
from ncbook.models.feature_classifier import FeatureClassifier


class UnitFeatures(nn.Module):
    """Scale every feature to length one: (N, d) to (N, d). A zero feature stays zero."""

    def forward(self, features: Tensor) -> Tensor:
        """Return ``features`` (N, d) with unit rows."""
        return normalize(checks.tensor("features", features, "N, d", read=False), dim=1)


class NormalisedClassifier(nn.Module):
    """Logits ``temperature * <w_k / ||w_k||, h>``, without bias, for features ``h`` of unit length.

    Args:
        directions: (K, d), the rows to start from, any length but zero.
        temperature: tau > 0, the factor in front of the cosines.
        learned: make the temperature a parameter (its logarithm is trained, so it stays positive).

    ``weight`` (K, d) is what multiplies the features, ``temperature`` times the unit rows, and ``bias`` (K,) is zero,
    so that whatever reads a linear classifier's ``weight`` and ``bias`` reads this one's too.

    Raises:
        ValueError: for a wrong shape, a zero row, or a temperature that is not positive and finite.

    Source: Yaras et al. (2022), section 2.
    """

    bias: Tensor

    def __init__(self, directions: Tensor, temperature: float, *, learned: bool = False) -> None:
        super().__init__()
        checks.tensor("directions", directions, "K, d")
        if bool((directions == 0).all(dim=1).any()):
            raise ValueError("directions must have no zero row: it has no direction")
        log_temperature = torch.tensor(math.log(checks.number("temperature", temperature, positive=True)))
        self.directions = nn.Parameter(directions.detach().clone())
        if checks.flag("learned", learned):
            self.log_temperature = nn.Parameter(log_temperature)
        else:
            self.register_buffer("log_temperature", log_temperature)
        self.register_buffer("bias", torch.zeros(len(directions), dtype=directions.dtype))

    @property
    def temperature(self) -> Tensor:
        """tau, a scalar tensor."""
        return self.log_temperature.exp()

    @property
    def weight(self) -> Tensor:
        """(K, d): ``temperature`` times the unit rows."""
        return self.temperature * normalize(self.directions, dim=1)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (N, K) of unit ``features`` (N, d)."""
        checks.tensor("features", features, "N, d", read=False, d=self.directions.shape[1])
        return linear(features, self.weight)


def normalise_features(
    model: FeatureClassifier, temperature: float, *, learned_temperature: bool = False
) -> FeatureClassifier:
    """Return a copy of ``model`` with unit features and unit classifier rows; ``model`` itself is left as it is.

    The backbone's weights and the directions of the classifier's rows are the model's own; its bias is dropped.

    Args:
        model: a network of `ncbook.models` with a learned linear classifier.
        temperature: tau > 0; `sphere.temperature_for` turns a wanted probability into one.
        learned_temperature: train the temperature too.

    Raises:
        ValueError: if the classifier is not a linear layer, or for a temperature that is not positive and finite.

    Source: Yaras et al. (2022), section 2.
    """
    checks.flag("learned_temperature", learned_temperature)
    checks.instance("model", model, FeatureClassifier)
    if not isinstance(model.classifier, nn.Linear):
        raise ValueError(f"model must have a linear classifier, got {type(model.classifier).__name__}")
    own = copy.deepcopy(model)
    classifier = NormalisedClassifier(own.classifier.weight, temperature, learned=learned_temperature)
    return FeatureClassifier(nn.Sequential(own.backbone, UnitFeatures()), classifier)  # type: ignore[arg-type]
