"""The unconstrained feature model: the objective, its closed-form optimum, and a solver.

The last layer of a network with its features set free: minimise over ``W (K, d)``, ``H (N, d)`` and ``b (K,)``

    f = mean cross-entropy of (H W' + b)  +  weight_decay/2 ||W||^2  +  feature_decay/2 ||H||^2  +  bias_decay/2 ||b||^2

with ``N = K n`` balanced samples, ordered by class. Source: Zhu et al. (2021) for the model; the closed forms are
derived and proved in chapter 3, and certified point by point in chapter 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import Bounds, minimize
from torch import Tensor
from torch.nn.functional import cross_entropy

from ncbook import checks
from ncbook.etf import simplex_etf


@dataclass(frozen=True)
class Optimum:
    """A global minimum in closed form: its ``value``, the logit ``margin`` and squared norm of each row of ``W``."""

    value: float
    margin: float  # correct logit minus any other, the same for every sample
    squared_weight_norm: float  # squared Euclidean norm of one row of W
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
        """True where the optimum is a simplex ETF; False where zero is, at ``K sqrt(n lambda_W lambda_H) >= 1``.

        With non-negative features the threshold is ``sqrt((K - 1)/K)``: read ``margin > 0`` off the optimum there.
        """
        return self.num_classes * self._q < 1

    @property
    def joint_decay(self) -> float:
        """``sqrt(lambda_W lambda_H)``, each root apart so that the product of two tiny decays cannot underflow."""
        return math.sqrt(self.weight_decay) * math.sqrt(self.feature_decay)

    @property
    def _q(self) -> float:
        # From the left: at the threshold itself, rounding must not let the zero solution pass for a frame.
        return math.sqrt(self.samples_per_class) * math.sqrt(self.weight_decay) * math.sqrt(self.feature_decay)

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
        self.check_point(W, H, b)
        return self._gradient(W, H, b)

    def _gradient(self, W: Tensor, H: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        G = self._residual(W, H, b)
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
        return self._residual(W, H, b)

    def _residual(self, W: Tensor, H: Tensor, b: Tensor) -> Tensor:
        labels = self.labels.to(H.device)
        probabilities = torch.softmax(H @ W.T + b, dim=1)
        # 1 - p_y from the other classes' probabilities: subtracting a p_y near 1 would cancel.
        others = probabilities.scatter(1, labels[:, None], 0.0)
        return others.scatter(1, labels[:, None], -others.sum(dim=1, keepdim=True)) / self.num_samples

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
            ValueError: if a decay is zero (the infimum 0 is then not attained), or where the frame does not fit:
                ``feature_dim < num_classes - 1``, or ``< num_classes`` with ``nonnegative``.

        Source: derived and proved in chapter 3 (Zhu et al. 2021 show the ETF; the value is worked out there).
        """
        K, d = self.num_classes, self.feature_dim
        self._need_decay("optimum")
        checks.flag("nonnegative", nonnegative)
        least, frame = (K, "an orthogonal frame") if nonnegative else (K - 1, "a simplex ETF")
        if d < least:
            raise ValueError(f"feature_dim must be >= {least} for {frame} of {K} classes, got {d}")
        if nonnegative:
            return self._nonnegative_optimum(generator)
        q = self._q
        s = _log_of_one_plus(1 - K * q, q) if self.collapses else 0.0
        etf = simplex_etf(K, d, generator=generator)
        return self._balanced(s, q * (K - 1), etf, etf, length=math.sqrt((K - 1) / K * s))

    def _nonnegative_optimum(self, generator: torch.Generator | None) -> Optimum:
        K, d = self.num_classes, self.feature_dim
        c = self._q * math.sqrt(K * (K - 1))
        s = _log_of_one_plus(K - 1 - K * c, c) if K * c < K - 1 else 0.0
        frame = torch.eye(K, d, dtype=torch.float64)
        if generator is not None:
            axes = torch.randperm(d, generator=generator, device=generator.device).cpu()
            frame = frame[:, axes]
        # Rows of the centred frame have norm sqrt((K - 1)/K), rows of the frame norm 1: fourth roots even this out.
        uneven = (K / (K - 1)) ** 0.25
        W, H = uneven * (frame - frame.mean(dim=0)), frame / uneven
        return self._balanced(s, c, W, H, length=math.sqrt(s))

    def _balanced(self, s: float, price: float, W: Tensor, means: Tensor, length: float) -> Optimum:
        """The optimum of margin ``s``, with the two decays' shares of the penalty evened out."""
        K, n = self.num_classes, self.samples_per_class
        # (n lambda_H / lambda_W)^(1/4), each root apart so that no ratio of extreme decays overflows.
        stretch = (math.sqrt(n) * math.sqrt(self.feature_decay)) ** 0.5 / self.weight_decay**0.25
        W = length * stretch * W
        H = (length / stretch * means).repeat_interleave(n, dim=0)
        value = math.log1p((K - 1) * math.exp(-s)) + price * s
        return Optimum(value, s, float(W[0].square().sum()), W, H, torch.zeros(K, dtype=torch.float64))

    def random_point(self, seed: int = 0, scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
        """Return Gaussian ``W``, ``H``, ``b`` of standard deviation ``scale``, reproducible from ``seed``."""
        checks.integer("seed", seed, minimum=0)
        checks.number("scale", scale)
        g = torch.Generator().manual_seed(seed)
        K, N, d = self.num_classes, self.num_samples, self.feature_dim
        W, H, b = (scale * torch.randn(*shape, generator=g, dtype=torch.float64) for shape in ((K, d), (N, d), (K,)))
        return W, H, b

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
        self._need_decay("solve")
        checks.integer("max_iterations", max_iterations)
        checks.flag("nonnegative", nonnegative)
        checks.integer("seed", seed, minimum=0)
        checks.number("scale", scale)
        W, H, b = self.random_point(seed, scale) if start is None else checks.sequence("start", start, 3)
        self.check_point(W, H, b)
        # Solved for (W / c, c H) with c^4 = lambda_H / lambda_W, which leaves W H' as it is and makes both decays
        # sqrt(lambda_W lambda_H): unequal decays would leave the problem badly conditioned.
        c = self.feature_decay**0.25 / self.weight_decay**0.25

        def unpack(x: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
            W, H, b = self._unpack(x)
            return c * W, H / c, b

        def value_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
            point = unpack(x)
            dW, dH, db = self._gradient(*point)
            return float(self._objective(*point)), _pack(c * dW, dH / c, db)

        x = _pack(W / c, (H.abs() if nonnegative else H) * c, b)
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
        point = unpack(x)
        norm = float(np.linalg.norm(_projected(_pack(*self._gradient(*point)), x, low)))
        return Solution(*point, float(result.fun), tuple(history), norm)

    def _need_decay(self, caller: str) -> None:
        for name in ("weight_decay", "feature_decay"):
            if getattr(self, name) == 0:
                raise ValueError(f"{name} must be > 0 for {caller}: without it the minimum is not attained, got 0")

    def _unpack(self, x: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        K, N, d = self.num_classes, self.num_samples, self.feature_dim
        W, H, b = torch.from_numpy(np.array(x, dtype=np.float64)).split([K * d, N * d, K])
        return W.view(K, d), H.view(N, d), b


def _log_of_one_plus(part: float, q: float) -> float:
    """Return ``log(1 + part / q)``: accurate for a ``part`` near zero, and where ``part / q`` would overflow."""
    if q < 1e-8:  # part is then of order one, and the 1 shifts the logarithm by q / part
        return math.log(part) - math.log(q) + math.log1p(q / part)
    return math.log1p(part / q)


def _pack(W: Tensor, H: Tensor, b: Tensor) -> np.ndarray:
    return torch.cat([t.detach().double().reshape(-1) for t in (W, H, b)]).cpu().numpy()


def _projected(gradient: np.ndarray, x: np.ndarray, low: np.ndarray) -> np.ndarray:
    """The part of the gradient that a step inside the bounds can use."""
    return np.where((x <= low) & (gradient > 0), 0.0, gradient)
