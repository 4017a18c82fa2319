"""Gaussian classes around the corners of a simplex: data whose signal is one number."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ncbook import checks
from ncbook.etf import simplex_etf


@dataclass(frozen=True)
class Mixture:
    """Classes of Gaussian samples: a centre each, and noise of variance 1 in every coordinate.

    Args:
        centres: (K, D), K >= 2.

    Raises:
        ValueError: for a wrong shape, a non-finite entry, or fewer than two centres.
    """

    centres: Tensor

    def __post_init__(self) -> None:
        checks.integer("the number of centres", len(checks.tensor("centres", self.centres, "K, D")), minimum=2)

    @classmethod
    def simplex(cls, num_classes: int, input_dim: int, signal: float, *, seed: int = 0) -> Mixture:
        """Put the centres at the corners of a regular simplex, turned at random, at distance ``signal`` from 0.

        Args:
            num_classes: K. input_dim: D >= K - 1. signal: beta >= 0, in standard deviations of the noise; beta^2 is
                the signal-to-noise ratio. seed: of the rotation.

        Raises:
            ValueError: for an argument out of range.
        """
        K = checks.integer("num_classes", num_classes, minimum=2)
        D = checks.integer("input_dim", input_dim, minimum=K - 1)
        beta = checks.number("signal", signal)
        g = torch.Generator().manual_seed(checks.integer("seed", seed, minimum=0))
        return cls(beta * simplex_etf(K, D, generator=g))

    def draw(self, samples_per_class: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Return inputs (N, D) and labels (N,), ordered by class, of mean squared length 1.

        One factor, that of the mixture, scales all inputs: two draws of one mixture belong together.

        Raises:
            ValueError: for an argument out of range.
        """
        n = checks.integer("samples_per_class", samples_per_class)
        g = torch.Generator().manual_seed(checks.integer("seed", seed, minimum=0))
        centres = self.centres.double()
        y = torch.arange(len(centres)).repeat_interleave(n)
        X = centres[y] + torch.randn(len(y), centres.shape[1], generator=g, dtype=torch.float64)
        return X / math.sqrt(float(centres.square().sum(dim=1).mean()) + centres.shape[1]), y
