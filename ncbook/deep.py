"""Products of layers over free features: the deep unconstrained feature model, and the shapes that compete in it.

Minimise over ``L`` factors, the features ``H (N, d)``, then ``W_1 … W_(L-2) (d, d)``, then ``W_(L-1) (K, d)``,

    mean loss of the logits  Z = H W_1' … W_(L-1)'   +   decay/2 (||H||^2 + ||W_1||^2 + … + ||W_(L-1)||^2)

``L = 2`` is the model of ``ncbook.ufm`` with equal decays and no bias. For linear layers the least penalty of given
logits is a Schatten quasi-norm (Shang et al. 2020; proved in the chapter on depth), which is what lets low rank win.
Sources: Tirer and Bruna (2022) and Súkeník et al. (2023) for the model, Súkeník et al. (2024) for low rank.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize, minimize_scalar
from torch import Tensor
from torch.nn.functional import cross_entropy

from ncbook import checks
from ncbook._shapes import ExactScale, enclosed
from ncbook.etf import simplex_etf

SHAPES = ("simplex ETF", "orthoplex", "circle")


@dataclass(frozen=True)
class DeepSolution:
    """What the solver reached: the ``factors`` (features first), the objective's ``value``, its ``gradient_norm``."""

    factors: tuple[Tensor, ...]
    value: float
    gradient_norm: float


@dataclass(frozen=True)
class ShapeOptimum:
    """A shape at its best ``scale``: logits ``scale * vectors @ vectors.T``, its ``value`` and its ``rank``."""

    name: str
    scale: float
    value: float
    rank: int


@dataclass(frozen=True)
class DeepUFM:
    """``layers`` equally decayed factors over free features, balanced classes, no bias, float64.

    Args:
        num_classes: K >= 2.
        samples_per_class: n >= 1.
        feature_dim: d >= 1, of the features and of every layer between.
        decay: lambda > 0 on every factor, in the convention ``lambda/2 ||W||^2``.
        layers: L >= 2 factors, the features among them.
        loss: "cross-entropy" or "squared error" (``1/(2N) ||Z - Y||^2`` with one-hot ``Y``).
        relu: put a ReLU on the features and after every factor but the last.

    Raises:
        ValueError: for a count that is no such integer, a decay that is not positive, another loss.

    Source: Súkeník et al. (2023), deep unconstrained features.
    """

    num_classes: int
    samples_per_class: int
    feature_dim: int
    decay: float
    layers: int
    loss: str = "cross-entropy"
    relu: bool = False

    def __post_init__(self) -> None:
        checks.integer("num_classes", self.num_classes, minimum=2)
        checks.integer("samples_per_class", self.samples_per_class)
        checks.integer("feature_dim", self.feature_dim)
        checks.number("decay", self.decay, positive=True)
        checks.integer("layers", self.layers, minimum=2)
        checks.option("loss", self.loss, "cross-entropy", "squared error")
        checks.flag("relu", self.relu)

    @property
    def labels(self) -> Tensor:
        """Labels (N,) int64, ordered by class."""
        return torch.arange(self.num_classes).repeat_interleave(self.samples_per_class)

    def shapes(self) -> list[tuple[int, int]]:
        """Return the factors' shapes: the features first, the classifier last."""
        d = self.feature_dim
        return [(len(self.labels), d), *[(d, d)] * (self.layers - 2), (self.num_classes, d)]

    def _checked(self, name: str, factors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        factors = checks.sequence(name, factors, self.layers)
        for factor, (rows, columns) in zip(factors, self.shapes()):
            checks.tensor(name, factor, "rows, columns", rows=rows, columns=columns)
        return factors

    def activations(self, factors: tuple[Tensor, ...]) -> list[Tensor]:
        """Return what every layer gives, the features first (N, d) and the logits last (N, K).

        Raises:
            ValueError: for factors that are not of the shapes that ``shapes`` names.
        """
        return self._activations(self._checked("factors", factors))

    def _activations(self, factors: tuple[Tensor, ...]) -> list[Tensor]:
        found = [factors[0].relu() if self.relu else factors[0]]
        for i, weight in enumerate(factors[1:], 2):
            out = found[-1] @ weight.T
            found.append(out.relu() if self.relu and i < self.layers else out)
        return found

    def fit(self, logits: Tensor) -> Tensor:
        """Return the mean loss of logits (N, K), a differentiable scalar."""
        checks.tensor("logits", logits, "N, K", N=len(self.labels), K=self.num_classes)
        return self._fit(logits)

    def _fit(self, logits: Tensor) -> Tensor:
        if self.loss == "cross-entropy":
            return cross_entropy(logits, self.labels)
        target = torch.eye(self.num_classes, dtype=logits.dtype)[self.labels]
        return (logits - target).square().sum() / (2 * len(self.labels))

    def objective(self, factors: tuple[Tensor, ...]) -> Tensor:
        """Return the objective at the factors (features first) as a differentiable scalar.

        Raises:
            ValueError: for factors that are not of the shapes that ``shapes`` names.
        """
        return self._objective(self._checked("factors", factors))

    def _objective(self, factors: tuple[Tensor, ...]) -> Tensor:
        penalty = torch.stack([f.square().sum() for f in factors]).sum()
        return self._fit(self._activations(factors)[-1]) + self.decay / 2 * penalty

    def least_penalty(self, logits: Tensor) -> float:
        """Return the least penalty of linear factors with product ``logits`` (N, K): ``L decay/2 sum s^(2/L)``.

        ``s`` are the logits' singular values; those below rounding count as 0. The chapter on depth proves it.
        """
        checks.tensor("logits", logits, "N, K", N=len(self.labels), K=self.num_classes)
        s = torch.linalg.svdvals(logits)
        s = s[s > 1e-12 * s.max()]
        return float(self.layers * self.decay / 2 * s.pow(2 / self.layers).sum())

    def balanced_factors(self, logits: Tensor) -> tuple[Tensor, ...]:
        """Return linear factors with product ``logits`` (N, K) that attain ``least_penalty``.

        Raises:
            ValueError: if the logits' rank exceeds ``feature_dim``.
        """
        checks.tensor("logits", logits, "N, K", N=len(self.labels), K=self.num_classes)
        U, s, Vh = torch.linalg.svd(logits.double(), full_matrices=False)
        r = int((s > 1e-12 * s.max()).sum())
        d = self.feature_dim
        if r > d:
            raise ValueError(f"logits must have rank <= feature_dim = {d}, got {r}")
        root = s[:r].pow(1 / self.layers)
        first, last = torch.zeros(len(U), d, dtype=s.dtype), torch.zeros(self.num_classes, d, dtype=s.dtype)
        first[:, :r], last[:, :r] = U[:, :r] * root, Vh[:r].T * root
        between = torch.zeros(d, d, dtype=s.dtype)
        between[range(r), range(r)] = root
        return first, *[between.clone() for _ in range(self.layers - 2)], last

    def best_scale(self, vectors: Tensor, name: str = "given") -> ShapeOptimum:
        """Return the best multiple of the logits ``vectors @ vectors.T`` (vectors (K, r)), linear layers.

        The scale is sought between e^-3 and e^12 on a grid, then refined: with more than two layers the objective has
        two local minima along it, one at 0.

        Raises:
            ValueError: for vectors that are not (K, r), or for a model with ``relu``.
        """
        checks.instance("name", name, str)
        checks.tensor("vectors", vectors, "K, r", K=self.num_classes)
        if self.relu:
            raise ValueError("relu must be False for best_scale: the least penalty is that of linear layers")
        logits = (vectors.double() @ vectors.double().T).repeat_interleave(self.samples_per_class, dim=0)
        unit = self.least_penalty(logits)

        def value(log_scale: float) -> float:
            scale = math.exp(log_scale)
            return float(self._fit(scale * logits)) + unit * scale ** (2 / self.layers)

        at = min(np.linspace(-3, 12, 151), key=value)
        found = minimize_scalar(value, bounds=(at - 0.1, at + 0.1), method="bounded", options={"xatol": 1e-10})
        zero = float(self._fit(0 * logits))
        if zero <= found.fun:
            return ShapeOptimum(name, 0.0, zero, 0)
        return ShapeOptimum(name, math.exp(found.x), float(found.fun), int(torch.linalg.matrix_rank(logits)))

    def random_start(self, seed: int = 0, scale: float = 1.0) -> tuple[Tensor, ...]:
        """Return Gaussian factors whose entries have standard deviation ``scale / sqrt(feature_dim)``."""
        seed, scale = checks.integer("seed", seed, minimum=0), checks.number("scale", scale)
        g = torch.Generator().manual_seed(seed)
        size = scale / math.sqrt(self.feature_dim)
        return tuple(size * torch.randn(*shape, generator=g, dtype=torch.float64) for shape in self.shapes())

    def solve(
        self, seed: int = 0, *, start: tuple[Tensor, ...] | None = None, scale: float = 1.0, max_iterations: int = 5000
    ) -> DeepSolution:
        """Minimise the objective by L-BFGS (scipy) from a random or given start.

        Args:
            seed: of the Gaussian start; ignored when ``start`` is given.
            start: factors to start from, features first.
            scale: of the random start. Small ones end at zero, which is a local minimum for L >= 3.
            max_iterations: of L-BFGS.

        Raises:
            ValueError: for a bad start or option.
        """
        checks.integer("max_iterations", max_iterations)
        checks.integer("seed", seed, minimum=0)
        checks.number("scale", scale)
        factors = self.random_start(seed, scale) if start is None else self._checked("start", start)
        sizes = [f.numel() for f in factors]

        def unpack(x: np.ndarray) -> tuple[Tensor, ...]:
            parts = torch.from_numpy(np.array(x)).split(sizes)
            return tuple(part.view(shape) for part, shape in zip(parts, self.shapes()))

        def value_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
            point = [f.requires_grad_() for f in unpack(x)]
            value = self._objective(tuple(point))
            gradient = torch.autograd.grad(value, point)
            return float(value.detach()), torch.cat([g.reshape(-1) for g in gradient]).numpy()

        x = torch.cat([f.double().reshape(-1) for f in factors]).numpy()
        options = {"maxiter": max_iterations, "maxfun": 2 * max_iterations + 20, "maxcor": 30, "ftol": 0, "gtol": 1e-9}
        result = minimize(value_and_gradient, x, jac=True, method="L-BFGS-B", options=options)
        return DeepSolution(unpack(result.x), float(result.fun), float(np.linalg.norm(result.jac)))


def shape_vectors(name: str, num_classes: int) -> Tensor:
    """Return unit vectors (K, r) of a shape: "simplex ETF" (r = K - 1), "orthoplex" (r = K/2) or "circle" (r = 2).

    Raises:
        ValueError: for another name, or an orthoplex of an odd number of classes.
    """
    checks.option("name", name, *SHAPES)
    K = checks.integer("num_classes", num_classes, minimum=2)
    if name == "simplex ETF":
        return simplex_etf(K, K - 1)
    if name == "orthoplex":
        if K % 2:
            raise ValueError(f"num_classes must be even for an orthoplex, got {K}")
        axes = torch.eye(K // 2, dtype=torch.float64)
        return torch.cat([axes, -axes])
    angle = 2 * math.pi * torch.arange(K, dtype=torch.float64) / K
    return torch.stack([angle.cos(), angle.sin()], dim=1)


def exact_best_scale(problem: DeepUFM, name: str, *, digits: int = 30) -> ExactScale:
    """Return intervals that provably hold the best scale of a shape, and the objective there: ``scale`` and ``value``.

    Args:
        problem: linear layers with cross-entropy.
        name: "simplex ETF", "orthoplex" or "circle", with the vectors of ``shape_vectors``.
        digits: of the arithmetic, from 15 to 10 000. The intervals shrink with it.

    Raises:
        ValueError: for another problem, another name, or an orthoplex of an odd number of classes.
        ArithmeticError: where no scale is proved to be better than zero.

    Source: branch and bound in ball arithmetic (Johansson 2017), with the least penalty of the chapter on depth.
    """
    checks.instance("problem", problem, DeepUFM)
    checks.option("name", name, *SHAPES)
    K = problem.num_classes
    if problem.relu or problem.loss != "cross-entropy":
        raise ValueError(f"problem must have linear layers and cross-entropy, got {problem}")
    if name == "orthoplex" and K % 2:
        raise ValueError(f"name must not be an orthoplex for an odd number of classes, got {K}")
    return enclosed(name, K, problem.samples_per_class, problem.layers, problem.decay, digits=digits)


def jump(layers: int, samples_per_class: int, num_samples: int) -> tuple[float, float]:
    """Return where a singular value of the squared-error model jumps to zero, and from where: ``(decay, value)``.

    The target is ``sqrt(n)``; for L factors the value jumps from ``sqrt(n) (L - 2)/(L - 1)`` at the returned decay. For
    ``L = 2`` it goes to zero without a jump, at ``1/(K sqrt(n))``.

    Source: derived in the chapter on depth; the jump was described by Dang et al. (2023).
    """
    L, n = checks.integer("layers", layers, minimum=2), checks.integer("samples_per_class", samples_per_class)
    N = checks.integer("num_samples", num_samples)
    target, power = math.sqrt(n), 2 / L
    height = target * (L - 2) / (L - 1)
    most = 2 * target if L == 2 else 2 * target * height ** (1 - power) - height ** (2 - power)
    return most / (L * N), height
