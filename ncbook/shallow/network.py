"""Two-layer ReLU networks without biases, and their small starts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ncbook import checks
from ncbook.shallow.limit import pseudo_labels


@dataclass(frozen=True)
class ShallowReLU:
    """The network ``f(x) = V relu(W x)``: one row of ``W`` and one column of ``V`` make one neuron.

    Args:
        W: inner weights (h, D). V: outer weights (K, h), or (1, h) for a binary network with one output.

    Raises:
        ValueError: for a wrong shape, a non-finite entry, or numbers of neurons that differ.
    """

    W: Tensor
    V: Tensor

    def __post_init__(self) -> None:
        checks.tensor("W", self.W, "h, D")
        checks.tensor("V", self.V, "K, h", h=len(self.W))

    @classmethod
    def random(
        cls, width: int, input_dim: int, num_outputs: int, *, scale: float = 1e-3, balanced: bool = True, seed: int = 0
    ) -> ShallowReLU:
        """Draw Gaussian inner weights with ``E ||w_j||^2 = scale^2`` and outer weights in random directions.

        Args:
            width: h. input_dim: D. num_outputs: K, or 1 for a binary network.
            scale: epsilon > 0. balanced: make ``||v_j|| = ||w_j||``; otherwise ``E ||v_j||^2 = scale^2``.
            seed: of the draw.

        Raises:
            ValueError: for an argument out of range.

        Source: Min, Zhu and Vidal (2025), Assumption 2.
        """
        h, D = checks.integer("width", width), checks.integer("input_dim", input_dim)
        K = checks.integer("num_outputs", num_outputs)
        eps = checks.number("scale", scale, positive=True)
        g = torch.Generator().manual_seed(checks.integer("seed", seed, minimum=0))
        W = eps / math.sqrt(D) * torch.randn(h, D, generator=g, dtype=torch.float64)
        V = eps / math.sqrt(K) * torch.randn(K, h, generator=g, dtype=torch.float64)
        return cls(W, V * (W.norm(dim=1) / V.norm(dim=0)) if checks.flag("balanced", balanced) else V)

    @classmethod
    def semi_local(
        cls,
        inputs: Tensor,
        labels: Tensor,
        width: int,
        *,
        scale: float = 1e-3,
        num_outputs: int | None = None,
        seed: int = 0,
    ) -> ShallowReLU:
        """Start each neuron at a random sample and its pseudo-label: ``w_j = eps x_i/||x_i||``, ``v_j = eps e~_(y_i)``.

        Args:
            inputs: (N, D) without zero rows. labels: (N,), every class ``0 … K - 1`` present.
            width: h >= K; the first K neurons take one class each, the others any sample.
            scale: epsilon > 0. num_outputs: K (the default), or 1 when K = 2. seed: of the draw.

        Raises:
            ValueError: for a wrong shape or an argument out of range.

        Source: Min, Zhu and Vidal (2025), the practical scheme given for their semi-local Assumption 4.
        """
        X = checks.tensor("inputs", inputs, "N, D").detach().double()
        y = checks.labels("labels", labels, num_samples=len(X))
        K = int(y.max()) + 1
        targets = pseudo_labels(K, num_outputs)
        h, eps = checks.integer("width", width, minimum=K), checks.number("scale", scale, positive=True)
        g = torch.Generator().manual_seed(checks.integer("seed", seed, minimum=0))
        order = torch.randperm(len(X), generator=g)
        if bool((torch.bincount(y, minlength=K) == 0).any()):
            raise ValueError(f"labels must hold every class 0 … {K - 1}, got counts {torch.bincount(y).tolist()}")
        firsts = [int(order[y[order] == k][0]) for k in range(K)]
        picks = torch.cat([torch.tensor(firsts), torch.randint(len(X), (h - K,), generator=g)])
        length = X[picks].norm(dim=1, keepdim=True)
        if bool((length == 0).any()):
            raise ValueError(f"inputs must have no zero row, got one at index {int(picks[int(length.argmin())])}")
        return cls(eps * X[picks] / length, eps * targets[:, y[picks]])

    def features(self, inputs: Tensor) -> Tensor:
        """Return the last-layer features ``relu(W x)``, (N, h)."""
        X = checks.tensor("inputs", inputs, "N, D", D=self.W.shape[1])
        return torch.relu(X @ self.W.T)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the outputs (N, K)."""
        return self.features(inputs) @ self.V.T

    @property
    def norm(self) -> float:
        """``||theta||``, of all weights together."""
        return math.sqrt(float(self.W.square().sum() + self.V.square().sum()))

    @property
    def imbalance(self) -> Tensor:
        """``||w_j||^2 - ||v_j||^2`` of each neuron (h,): conserved by gradient flow."""
        return self.W.square().sum(dim=1) - self.V.square().sum(dim=0)

    def direction(self) -> ShallowReLU:
        """Return the same network with ``||theta|| = 1``; outputs scale by the square of the old norm."""
        return ShallowReLU(self.W / self.norm, self.V / self.norm)
