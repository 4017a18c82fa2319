"""The unconstrained feature model: the objective, its closed-form optimum, and a solver.

The last layer of a network with its features set free: minimise over ``W (K, d)``, ``H (N, d)`` and ``b (K,)``

    f = mean cross-entropy of (H W' + b)  +  weight_decay/2 ||W||^2  +  feature_decay/2 ||H||^2  +  bias_decay/2 ||b||^2

with ``N = K n`` balanced samples, ordered by class. Source: Zhu et al. (2021), section 2; the closed form is
derived in chapter 3 and proved optimal in chapter 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn.functional import cross_entropy

from ncbook import checks
from ncbook.etf import simplex_etf


@dataclass(frozen=True)
class Optimum:
    """A global minimum in closed form: its ``value``, the logit ``margin`` and squared norm of each row of ``W``."""

    value: float
    margin: float  # correct logit minus any other, the same for every sample
    weight_norm: float  # squared Euclidean norm of one row of W
    W: Tensor  # (K, d)
    H: Tensor  # (N, d)
    b: Tensor  # (K,)


@dataclass(frozen=True)
class Solution:
    """What the solver reached: the point, its ``value``, and the objective after each iteration."""

    W: Tensor  # (K, d)
    H: Tensor  # (N, d)
    b: Tensor  # (K,)
    value: float
    history: tuple[float, ...]
    gradient_norm: float  # Euclidean norm of the (projected) gradient at the point


@dataclass(frozen=True)
class UFM:
    """One unconstrained-feature problem with balanced classes, in float64.

    Args:
        num_classes: K >= 2.
        samples_per_class: n >= 1.
        feature_dim: d >= 1. Any may be posed and solved; ``optimum`` needs d >= K - 1.
        weight_decay: lambda_W >= 0 on the classifier, in the convention ``lambda/2 ||W||^2``.
        feature_decay: lambda_H >= 0 on the features.
        bias_decay: lambda_b >= 0 on the bias.

    Raises:
        ValueError: for a count that is not a positive integer or a decay that is negative or not finite.

    Source: Zhu et al. (2021), equation for the regularised unconstrained feature model.
    """

    num_classes: int
    samples_per_class: int
    feature_dim: int
    weight_decay: float
    feature_decay: float
    bias_decay: float = 0.0

    def __post_init__(self) -> None:
        checks.integer("num_classes", self.num_classes, minimum=2)
        checks.integer("samples_per_class", self.samples_per_class)
        checks.integer("feature_dim", self.feature_dim)
        checks.number("weight_decay", self.weight_decay)
        checks.number("feature_decay", self.feature_decay)
        checks.number("bias_decay", self.bias_decay)

    @property
    def num_samples(self) -> int:
        """N = K n."""
        return self.num_classes * self.samples_per_class

    @property
    def labels(self) -> Tensor:
        """Labels (N,) int64, ordered by class: n zeros, n ones, …"""
        return torch.arange(self.num_classes).repeat_interleave(self.samples_per_class)

    @property
    def collapses(self) -> bool:
        """True where the optimum is a simplex ETF; False where ``K sqrt(n lambda_W lambda_H) >= 1`` and zero is optimal."""
        return self.num_classes * self._q < 1

    @property
    def _q(self) -> float:
        # Each square root apart: the product of two tiny decays could underflow.
        return (
            math.sqrt(self.samples_per_class) * math.sqrt(self.weight_decay) * math.sqrt(self.feature_decay)
        )

    def check_point(self, W: Tensor, H: Tensor, b: Tensor) -> None:
        """Raise ``ValueError`` unless ``W (K, d)``, ``H (N, d)`` and ``b (K,)`` are finite and of this problem's shape."""
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
        return self._objective(W, H, b)

    def _objective(self, W: Tensor, H: Tensor, b: Tensor) -> Tensor:
        # Unchecked, so that torch.func can transform it.
        fit = cross_entropy(H @ W.T + b, self.labels.to(H.device))
        decay = self.weight_decay * W.square().sum() + self.feature_decay * H.square().sum()
        return fit + (decay + self.bias_decay * b.square().sum()) / 2

    def gradient(self, W: Tensor, H: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradient with respect to ``W``, ``H`` and ``b`` from the formula (no autograd).

        With ``G = (softmax(H W' + b) - one-hot) / N``, shape (N, K): ``G'H + lambda_W W``, ``G W + lambda_H H``,
        ``G'1 + lambda_b b``.

        Raises:
            ValueError: for a wrong shape or a non-finite entry, naming the argument.
        """
        G = self.residual(W, H, b)
        return (
            G.T @ H + self.weight_decay * W,
            G @ W + self.feature_decay * H,
            G.sum(dim=0) + self.bias_decay * b,
        )

    def residual(self, W: Tensor, H: Tensor, b: Tensor) -> Tensor:
        """Return ``G = (softmax(H W' + b) - one-hot) / N``, shape (N, K): the gradient with respect to the logits.

        Raises:
            ValueError: for a wrong shape or a non-finite entry, naming the argument.
        """
        self.check_point(W, H, b)
        labels = self.labels.to(H.device)
        probabilities = torch.softmax(H @ W.T + b, dim=1)
        # 1 - p_y from the other classes' probabilities: subtracting a p_y near 1 would cancel.
        others = probabilities.scatter(1, labels[:, None], 0.0)
        return others.scatter(1, labels[:, None], -others.sum(dim=1, keepdim=True)) / self.num_samples

    def optimum(self, *, nonnegative: bool = False, generator: torch.Generator | None = None) -> Optimum:
        """Return a global minimum in closed form.

        With ``q = sqrt(n lambda_W lambda_H)`` and ``K q < 1``: margin ``s = log(1/q - (K - 1))``, value
        ``log(1 + (K - 1) e^-s) + q (K - 1) s``, ``W`` a simplex ETF with squared row norm
        ``(K - 1)/K s sqrt(n lambda_H / lambda_W)``, each feature its class's row times ``sqrt(lambda_W / (n lambda_H))``,
        and ``b = 0``. Where ``K q >= 1`` everything is zero and the value is ``log K``.

        Args:
            nonnegative: require ``H >= 0`` (features behind a ReLU): class means are then an orthogonal frame.
            generator: if given, the frame is turned at random (not with ``nonnegative``, where only permutations
                of the axes would keep ``H >= 0``); all rotations are equally optimal.

        Raises:
            ValueError: if a decay is zero (the infimum 0 is then not attained), or where the frame does not fit:
                ``feature_dim < num_classes - 1``, or ``< num_classes`` with ``nonnegative``.

        Source: derived in chapter 3, proved in chapter 4 (Zhu et al. 2021, Theorem 3.1 bounds the same quantities).
        """
        K, n, d = self.num_classes, self.samples_per_class, self.feature_dim
        self._need_decay("optimum")
        least = K if nonnegative else K - 1
        if d < least:
            frame = "orthogonal frame" if nonnegative else "simplex ETF"
            raise ValueError(
                f"feature_dim must be >= {least} for an {frame} of {K} classes, got {d}".replace(
                    "an s", "a s"
                )
            )
        if nonnegative:
            return self._nonnegative_optimum()
        q = self._q
        # log1p keeps the margin accurate just above the threshold, where 1/q - (K - 1) is close to 1.
        s = math.log1p((1 - K * q) / q) if self.collapses else 0.0
        norm = (K - 1) / K * s * math.sqrt(n * self.feature_decay / self.weight_decay)
        W = math.sqrt(norm) * simplex_etf(K, d, generator=generator)
        H = math.sqrt(self.weight_decay / (n * self.feature_decay)) * W.repeat_interleave(n, dim=0)
        value = math.log1p((K - 1) * math.exp(-s)) + q * (K - 1) * s
        return Optimum(value, s, norm, W, H, torch.zeros(K, dtype=torch.float64))

    def _nonnegative_optimum(self) -> Optimum:
        K, n, d = self.num_classes, self.samples_per_class, self.feature_dim
        c = self._q * math.sqrt(K * (K - 1))
        s = max(0.0, math.log((K - 1) * (1 / c - 1))) if c < 1 else 0.0
        # Feature length a and classifier scale beta balance the two penalties at a * beta = s.
        beta = math.sqrt(s * math.sqrt(self.feature_decay * n * K / (self.weight_decay * (K - 1))))
        a = s / beta if beta > 0 else 0.0
        frame = torch.eye(K, d, dtype=torch.float64)
        W = beta * (frame - frame.mean(dim=0))
        H = (a * frame).repeat_interleave(n, dim=0)
        value = math.log1p((K - 1) * math.exp(-s)) + c * s
        return Optimum(value, s, beta**2 * (K - 1) / K, W, H, torch.zeros(K, dtype=torch.float64))

    def random_point(self, seed: int = 0, scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
        """Return Gaussian ``W``, ``H``, ``b`` of standard deviation ``scale``, reproducible from ``seed``."""
        checks.integer("seed", seed, minimum=0)
        checks.number("scale", scale)
        g = torch.Generator().manual_seed(seed)
        draw = lambda *shape: scale * torch.randn(*shape, generator=g, dtype=torch.float64)
        return (
            draw(self.num_classes, self.feature_dim),
            draw(self.num_samples, self.feature_dim),
            draw(self.num_classes),
        )

    def solve(
        self,
        seed: int = 0,
        *,
        start: tuple[Tensor, Tensor, Tensor] | None = None,
        scale: float = 1.0,
        nonnegative: bool = False,
        max_iterations: int = 20_000,
    ) -> Solution:
        """Minimise the objective by L-BFGS from a random or given start.

        Args:
            seed: of the Gaussian start; ignored when ``start`` is given.
            start: a point ``(W, H, b)`` to start from.
            scale: standard deviation of the random start.
            nonnegative: keep ``H >= 0`` (the start is reflected into it).
            max_iterations: of L-BFGS.

        Returns:
            Solution: the point reached, with its value, gradient norm and history (the first entry is the start).

        Raises:
            ValueError: for a bad start or option, or if a decay on ``W`` or ``H`` is zero (no minimum is attained).

        Source: scipy's L-BFGS-B (Byrd, Lu, Nocedal and Zhu 1995), in float64.
        """
        self._need_decay("solve")
        checks.integer("max_iterations", max_iterations)
        W, H, b = self.random_point(seed, scale) if start is None else start
        self.check_point(W, H, b)
        if nonnegative:
            H = H.abs()
        x0 = _pack(W, H, b)
        history: list[float] = []

        def value_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
            point = self._unpack(x)
            return float(self._objective(*point)), _pack(*self.gradient(*point))

        low = np.full(x0.shape, -np.inf)
        if nonnegative:
            low[W.numel() : W.numel() + H.numel()] = 0.0
        history.append(value_and_gradient(x0)[0])
        x = x0
        # scipy stops when one step gains too little; a restart with fresh memory continues from there.
        for _ in range(5):
            result = minimize(
                value_and_gradient,
                x,
                jac=True,
                method="L-BFGS-B",
                bounds=list(zip(low, np.full(x0.shape, np.inf))) if nonnegative else None,
                callback=lambda intermediate_result: history.append(float(intermediate_result.fun)),
                options={
                    "maxiter": max_iterations,
                    "maxfun": 2 * max_iterations,
                    "maxcor": 30,
                    "ftol": 0.0,
                    "gtol": 1e-11,
                },
            )
            x = result.x
            if np.abs(_projected(result.jac, x, low)).max() < 1e-9:
                break
        norm = float(np.linalg.norm(_projected(result.jac, x, low)))
        return Solution(*self._unpack(x), float(result.fun), tuple(history), norm)

    def _need_decay(self, caller: str) -> None:
        for name in ("weight_decay", "feature_decay"):
            if getattr(self, name) == 0:
                raise ValueError(
                    f"{name} must be > 0 for {caller}: without it the minimum is not attained, got 0"
                )

    def _unpack(self, x: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        K, N, d = self.num_classes, self.num_samples, self.feature_dim
        W, H, b = torch.from_numpy(np.array(x, dtype=np.float64)).split([K * d, N * d, K])
        return W.view(K, d), H.view(N, d), b


def _pack(W: Tensor, H: Tensor, b: Tensor) -> np.ndarray:
    return torch.cat([t.detach().double().reshape(-1) for t in (W, H, b)]).cpu().numpy()


def _projected(gradient: np.ndarray, x: np.ndarray, low: np.ndarray) -> np.ndarray:
    """The part of the gradient that a step inside the bounds can use."""
    return np.where((x <= low) & (gradient > 0), 0.0, gradient)
