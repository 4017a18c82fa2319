"""The unconstrained feature model: the objective, its closed-form optimum, and a solver.

The last layer of a network with its features set free: minimise over ``W (K, d)``, ``H (N, d)`` and ``b (K,)``

    f = mean cross-entropy of (H W' + b)  +  weight_decay/2 ||W||^2  +  feature_decay/2 ||H||^2  +  bias_decay/2 ||b||^2

with ``N`` samples ordered by class, ``n`` of each or as many as each class has. Source: Zhu et al. (2021) for the
model; the closed forms, for equal classes, are proved in chapter 3 and certified point by point in chapter 4.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import Bounds, minimize
from torch import Tensor

from ncbook import checks
from ncbook._landscape import AtPoint
from ncbook.etf import simplex_etf
from ncbook.ufm import formulas
from ncbook.ufm.formulas import Point
from ncbook.ufm.margins import best_margin


class _At(AtPoint):
    b = property(lambda self: self.point.b, doc="Bias (K,).")


@dataclass(frozen=True)
class Optimum(_At):
    """A global minimum in closed form: its ``value``, the logit ``margin`` and squared norm of each row of ``W``."""

    value: float
    margin: float  # correct logit minus any other, the same for every sample
    squared_weight_norm: float  # squared Euclidean norm of one row of W


@dataclass(frozen=True)
class Solution(_At):
    """What the solver reached: the point, its ``value``, and the objective after each iteration."""

    value: float
    history: tuple[float, ...]
    gradient_norm: float  # Euclidean norm of the (projected) gradient at the point


@dataclass(frozen=True)
class UFM:
    """One unconstrained-feature problem, in float64.

    Args:
        num_classes: K >= 2.
        samples_per_class: n >= 1, or one such number a class (equal ones become the one n).
        feature_dim: d >= 1. Any may be posed and solved; ``optimum`` needs d >= K - 1.
        weight_decay: lambda_W >= 0 on the classifier, in the convention ``lambda/2 ||W||^2``.
        feature_decay: lambda_H >= 0 on the features.
        bias_decay: lambda_b >= 0 on the bias.

    Raises:
        ValueError: for a count that is not a positive integer or a decay that is negative or not finite.

    Source: Zhu et al. (2021), equation for the regularised unconstrained feature model.
    """

    num_classes: int
    samples_per_class: int | Sequence[int]
    feature_dim: int
    weight_decay: float
    feature_decay: float
    bias_decay: float = 0.0

    def __post_init__(self) -> None:
        checks.integer("num_classes", self.num_classes, minimum=2)
        sizes: Any = self.samples_per_class
        if isinstance(sizes, Iterable) and not isinstance(sizes, str):
            sizes = checks.sequence("samples_per_class", sizes, self.num_classes)
            sizes = tuple(checks.integer("samples_per_class", n) for n in sizes)
            sizes = sizes if len(set(sizes)) > 1 else sizes[0]
        else:
            sizes = checks.integer("samples_per_class", sizes)
        object.__setattr__(self, "samples_per_class", sizes)
        checks.integer("feature_dim", self.feature_dim)
        for name in ("weight_decay", "feature_decay", "bias_decay"):
            checks.number(name, getattr(self, name))

    @property
    def class_sizes(self) -> tuple[int, ...]:
        """The number of samples of each class."""
        n = self.samples_per_class
        return (n,) * self.num_classes if isinstance(n, int) else tuple(n)

    @property
    def num_samples(self) -> int:
        """N, the sum of ``class_sizes``."""
        return sum(self.class_sizes)

    @property
    def labels(self) -> Tensor:
        """Labels (N,) int64, ordered by class: zeros, ones, …"""
        return torch.arange(self.num_classes).repeat_interleave(torch.tensor(self.class_sizes))

    @property
    def collapses(self) -> bool:
        """True where the optimum is a simplex ETF; False where zero is, at ``K sqrt(n lambda_W lambda_H) >= 1``.

        With non-negative features the threshold is ``sqrt((K - 1)/K)``: read ``margin > 0`` off the optimum there.
        """
        return self.num_classes * self.q < 1

    @property
    def joint_decay(self) -> float:
        """``sqrt(lambda_W lambda_H)``, each root apart so that the product of two tiny decays cannot underflow."""
        return math.sqrt(self.weight_decay) * math.sqrt(self.feature_decay)

    @property
    def q(self) -> float:
        """``sqrt(n lambda_W lambda_H)``: the decays' price for one unit of margin is ``(K - 1) q``."""
        n = self.samples_per_class
        if not isinstance(n, int):
            raise ValueError(f"samples_per_class must be equal: for cross-entropy no closed form is proved with {n}")
        # From the left: at the threshold itself, rounding must not let the zero solution pass for a frame.
        return math.sqrt(n) * math.sqrt(self.weight_decay) * math.sqrt(self.feature_decay)

    def check_point(self, W: Tensor, H: Tensor, b: Tensor) -> None:
        """Raise ``ValueError`` unless ``W (K, d)``, ``H (N, d)``, ``b (K,)`` are finite and of this problem's shape."""
        checks.tensor("W", W, "K, d", K=self.num_classes, d=self.feature_dim)
        checks.tensor("H", H, "N, d", N=self.num_samples, d=self.feature_dim)
        checks.tensor("b", b, "K", K=self.num_classes)

    def objective(self, W: Tensor, H: Tensor, b: Tensor) -> Tensor:
        """Return the objective at a point as a differentiable scalar.

        Args:
            W: classifier (K, d). H: features (N, d), ordered by class as ``labels``. b: bias (K,).

        Raises:
            ValueError: for a wrong shape or a non-finite entry, naming the argument.
        """
        self.check_point(W, H, b)
        return formulas.objective(self, W, H, b)

    def gradient(self, W: Tensor, H: Tensor, b: Tensor) -> Point:
        """Return the gradient with respect to ``W``, ``H`` and ``b`` from the formula (no autograd).

        With ``G = (softmax(H W' + b) - one-hot) / N``, shape (N, K): ``G'H + lambda_W W``, ``G W + lambda_H H``,
        ``G'1 + lambda_b b``.

        Raises:
            ValueError: for a wrong shape or a non-finite entry, naming the argument.
        """
        self.check_point(W, H, b)
        return formulas.gradient(self, W, H, b)

    def residual(self, W: Tensor, H: Tensor, b: Tensor) -> Tensor:
        """Return ``G = (softmax(H W' + b) - one-hot) / N``, shape (N, K): the gradient with respect to the logits.

        Raises:
            ValueError: for a wrong shape or a non-finite entry, naming the argument.
        """
        self.check_point(W, H, b)
        return formulas.residual(self, W, H, b)

    def lower_bound(self, *, nonnegative: bool = False) -> float:
        """Return ``f*``: no point of any feature dimension has a smaller objective.

        It is attained where ``optimum`` exists.

        Args:
            nonnegative: the bound for features ``H >= 0``.

        Raises:
            ValueError: for a zero decay, where the infimum is not attained, or unequal classes, where none is proved.

        Source: chapter 3.
        """
        need_decay(self, "lower_bound")
        return best_margin(self.num_classes, self.q, nonnegative=nonnegative).value

    def optimum(self, *, nonnegative: bool = False, generator: torch.Generator | None = None) -> Optimum:
        """Return a global minimum in closed form.

        With ``q = sqrt(n lambda_W lambda_H)`` and ``K q < 1``: margin ``s = log(1/q - (K - 1))``, value
        ``log(1 + (K - 1) e^-s) + q (K - 1) s``, ``W`` a simplex ETF with squared row norm
        ``(K - 1)/K s sqrt(n lambda_H / lambda_W)``, each feature its class's row times
        ``sqrt(lambda_W / (n lambda_H))``, and ``b = 0``. Where ``K q >= 1`` all is zero and the value ``log K``.

        With ``nonnegative``, ``c = q sqrt(K (K - 1))`` and ``c < (K - 1)/K``: ``s = log((K - 1)(1/c - 1))``, value
        ``log(1 + (K - 1) e^-s) + c s``, the class means an orthogonal frame, ``W`` the same frame minus its mean (a
        simplex ETF), and ``b = 0``. It is optimal for every bias decay; for ``K = 2`` and ``bias_decay = 0`` it is one
        of a family of optima with other biases, else the only one up to a change of the frame.

        Args:
            nonnegative: require ``H >= 0`` (features behind a ReLU).
            generator: if given, the frame is drawn at random among the equally optimal ones: turned by a rotation, or,
                with ``nonnegative``, placed on randomly chosen axes.

        Raises:
            ValueError: if a decay is zero (the infimum 0 is then not attained), for unequal classes (no closed form is
                proved; ``solve`` and ``certificate`` find and prove the minimum), or where the frame does not fit:
                ``feature_dim < num_classes - 1``, or ``< num_classes`` with ``nonnegative``.

        Source: derived and proved in chapter 3 (Zhu et al. 2021 show the ETF; the value is worked out there).
        """
        K, d = self.num_classes, self.feature_dim
        need_decay(self, "optimum")
        checks.flag("nonnegative", nonnegative)
        least, name = (K, "an orthogonal frame") if nonnegative else (K - 1, "a simplex ETF")
        if d < least:
            raise ValueError(f"feature_dim must be >= {least} for {name} of {K} classes, got {d}")
        best = best_margin(K, self.q, nonnegative=nonnegative)
        if nonnegative:
            axes = torch.arange(d)
            if generator is not None:
                axes = torch.randperm(d, generator=generator, device=generator.device).cpu()
            frame = torch.eye(K, d, dtype=torch.float64)[:, axes]
            # Rows of the centred frame have norm sqrt((K - 1)/K), rows of the frame norm 1: fourth roots even this out.
            uneven, length = (K / (K - 1)) ** 0.25, math.sqrt(best.margin)
            W, means = uneven * (frame - frame.mean(dim=0)), frame / uneven
        else:
            W = means = simplex_etf(K, d, generator=generator)
            length = math.sqrt((K - 1) / K * best.margin)
        n = self.class_sizes[0]
        # (n lambda_H / lambda_W)^(1/4), each root apart so that no ratio of extreme decays overflows.
        stretch = (math.sqrt(n) * math.sqrt(self.feature_decay)) ** 0.5 / self.weight_decay**0.25
        W = length * stretch * W
        H = (length / stretch * means).repeat_interleave(n, dim=0)
        point = Point(W, H, torch.zeros(K, dtype=torch.float64))
        return Optimum(point, best.value, best.margin, float(W[0].square().sum()))

    def random_point(self, seed: int = 0, scale: float = 1.0) -> Point:
        """Return Gaussian ``W``, ``H``, ``b`` of standard deviation ``scale``, reproducible from ``seed``."""
        checks.integer("seed", seed, minimum=0)
        checks.number("scale", scale)
        g = torch.Generator().manual_seed(seed)
        K, N, d = self.num_classes, self.num_samples, self.feature_dim
        shapes = (K, d), (N, d), (K,)
        return Point(*(scale * torch.randn(*shape, generator=g, dtype=torch.float64) for shape in shapes))

    def solve(
        self,
        seed: int = 0,
        *,
        start: Point | None = None,
        scale: float = 1.0,
        nonnegative: bool = False,
        max_iterations: int = 20_000,
    ) -> Solution:
        """Minimise the objective by L-BFGS from a random or given start.

        Args:
            seed: of the Gaussian start; ignored when ``start`` is given.
            start: a point ``(W, H, b)`` to start from. A critical point, such as the origin, is where it then stays.
            scale: standard deviation of the random start.
            nonnegative: keep ``H >= 0`` (the start is reflected into it).
            max_iterations: of L-BFGS, restarts included.

        Returns:
            Solution: the point reached, with its value, gradient norm and history (the first entry is the start).

        Raises:
            ValueError: for a bad start or option, or if a decay on ``W`` or ``H`` is zero (no minimum is attained).

        Source: scipy's L-BFGS-B (Byrd, Lu, Nocedal and Zhu 1995), in float64.
        """
        need_decay(self, "solve")
        checks.integer("max_iterations", max_iterations)
        checks.flag("nonnegative", nonnegative)
        checks.integer("seed", seed, minimum=0)
        checks.number("scale", scale)
        W, H, b = self.random_point(seed, scale) if start is None else checks.sequence("start", start, 3)
        self.check_point(W, H, b)
        # Solved for (W / c, c H) with c^4 = lambda_H / lambda_W, which leaves W H' as it is and makes both decays
        # sqrt(lambda_W lambda_H): unequal decays would leave the problem badly conditioned.
        c = self.feature_decay**0.25 / self.weight_decay**0.25

        def unscaled(x: np.ndarray) -> Point:
            W, H, b = formulas.split(self, torch.from_numpy(np.array(x, dtype=np.float64)))
            return Point(c * W, H / c, b)

        def value_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
            point = unscaled(x)
            dW, dH, db = formulas.gradient(self, *point)
            return float(formulas.objective(self, *point)), formulas.flat((c * dW, dH / c, db)).numpy()

        W, H, b = (t.detach().cpu().double() for t in (W, H, b))
        x = formulas.flat((W / c, (H.abs() if nonnegative else H) * c, b)).numpy()
        history = [value_and_gradient(x)[0]]
        if not math.isfinite(history[0]):
            raise ValueError(f"start must have a finite objective, got {history[0]}")
        low = np.full(x.shape, -np.inf)
        if nonnegative:
            low[W.numel() : W.numel() + H.numel()] = 0.0
        # scipy stops when one line search fails; a restart with fresh memory goes on from there.
        for _ in range(5):
            left = max_iterations - (len(history) - 1)
            result = minimize(
                value_and_gradient,
                x,
                jac=True,
                method="L-BFGS-B",
                bounds=Bounds(low) if nonnegative else None,
                callback=lambda intermediate_result: history.append(float(intermediate_result.fun)),
                options={"maxiter": left, "maxfun": 2 * left + 20, "maxcor": 30, "ftol": 0.0, "gtol": 1e-12},
            )
            x = result.x
            if (
                np.abs(_projected(result.jac, x, low)).max() <= 1e-12
                or result.nit == 0
                or len(history) > max_iterations
            ):
                break
        point = unscaled(x)
        slope = formulas.flat(formulas.gradient(self, *point)).numpy()
        norm = float(np.linalg.norm(_projected(slope, x, low)))
        return Solution(point, float(result.fun), tuple(history), norm)


def need_decay(problem: UFM, caller: str = "this") -> None:
    """Raise ``ValueError`` unless ``weight_decay`` and ``feature_decay`` are positive."""
    for name in ("weight_decay", "feature_decay"):
        if getattr(problem, name) == 0:
            raise ValueError(f"{name} must be > 0 for {caller}: without it the minimum is not attained, got 0")


def _projected(gradient: np.ndarray, x: np.ndarray, low: np.ndarray) -> np.ndarray:
    """The part of the gradient that a step inside the bounds can use."""
    return np.where((x <= low) & (gradient > 0), 0.0, gradient)
