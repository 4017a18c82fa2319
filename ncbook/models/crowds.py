"""Many small perceptrons of one shape at once: every layer's weights in one tensor, so that seeds cost little."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ncbook import checks
from ncbook.models.networks import EPS


class Crowd(nn.Module):
    """Several perceptrons of one shape, side by side: blocks of linear, batch normalisation and ReLU, then logits.

    Network ``i`` of ``count`` is slice ``i`` of every parameter. An optimiser that works entry by entry (SGD, Adam,
    AdamW) on the sum of their losses therefore trains each as if it were alone.

    Args:
        count: C networks.
        input_dim: D, the entries of an input.
        hidden: widths of the blocks; the last is the feature dimension d.
        num_classes: K >= 2.
        normalise: batch normalisation in every block; without it the blocks have biases.
        scale: factor on the initial weights (He et al. 2015).
        seed: of the initial weights.

    Raises:
        ValueError: for a size that is not a positive integer, or a ``scale`` that is not positive.
    """

    def __init__(
        self,
        count: int,
        input_dim: int,
        hidden: Sequence[int],
        num_classes: int,
        *,
        normalise: bool = True,
        scale: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        C, D = checks.integer("count", count), checks.integer("input_dim", input_dim)
        K = checks.integer("num_classes", num_classes, minimum=2)
        self.normalise = checks.flag("normalise", normalise)
        checks.number("scale", scale, positive=True)
        generator = torch.Generator().manual_seed(checks.integer("seed", seed, minimum=0))
        sizes = (D, *checks.integers("hidden", hidden), K)
        # Rows are outputs, as in torch's Linear: a classifier's slice is (K, d).
        draw = [torch.randn(C, m, k, generator=generator) * scale * math.sqrt(2 / k) for k, m in pairwise(sizes)]
        self.weights = nn.ParameterList(draw)
        self.biases = nn.ParameterList([torch.zeros(C, 1, m) for m in sizes[1:]])
        self.gains = nn.ParameterList([torch.ones(C, 1, m) for m in sizes[1:-1]] if normalise else [])

    @property
    def count(self) -> int:
        """C."""
        return len(self.weights[0])

    def layers(self, inputs: Tensor, like: Tensor | None = None) -> list[Tensor]:
        """Return what every block makes of the inputs, and last the logits.

        Args:
            inputs: (N, D), the same for all networks, or (C, N, D).
            like: inputs whose mean and spread the batch normalisations use, such as the training samples where
                ``inputs`` are others; ``inputs`` themselves by default.

        Returns:
            list: one (C, N, width) a block, then the logits (C, N, K).

        Raises:
            ValueError: for another shape.
        """
        streams = [self._stream("inputs", inputs)]
        if like is not None:
            streams.append(self._stream("like", like))
        found = []
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases)):
            streams = [x @ weight.mT for x in streams]
            if i < len(self.gains):
                mean = streams[-1].mean(1, keepdim=True)
                spread = (streams[-1].var(1, keepdim=True, correction=0) + EPS).rsqrt()
                streams = [(x - mean) * (spread * self.gains[i]) for x in streams]
            streams = [x + bias for x in streams]
            if i + 1 < len(self.weights):
                streams = [torch.relu(x) for x in streams]
            found.append(streams[0])
        return found

    def _stream(self, name: str, inputs: Tensor) -> Tensor:
        """Return inputs as (C, N, D), without a look at their numbers: a layer must not wait for its device."""
        alone = not isinstance(inputs, Tensor) or inputs.dim() == 2
        checks.tensor(
            name, inputs, "N, D" if alone else "C, N, D", read=False, C=self.count, D=self.weights[0].shape[2]
        )
        return inputs.expand(self.count, -1, -1) if alone else inputs

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits (C, N, K); arguments as of `layers`."""
        return self.layers(inputs)[-1]
