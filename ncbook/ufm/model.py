"""The unconstrained feature model: the objective, its closed-form optimum, and a solver.

The last layer of a network with its features set free: minimise over ``W (K, d)``, ``H (N, d)`` and ``b (K,)``

    f = mean loss of (H W' + b)  +  weight_decay/2 ||W||^2  +  feature_decay/2 ||H||^2  +  bias_decay/2 ||b||^2

with ``N`` samples ordered by class, ``n`` of each or as many as each class has. Source: Zhu et al. (2021) for the
model with cross-entropy; its closed forms are proved in chapter 3, those of the other losses in chapter 10.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy.optimize import Bounds, minimize
from torch import Tensor

from ncbook import checks
from ncbook.ufm import formulas
from ncbook.ufm.closed_forms import At, Optimum, closed_form, least_value
from ncbook.ufm.formulas import Point
from ncbook.ufm.losses import CrossEntropy, Focal, Loss, smoothing_of
from ncbook.ufm.margins import best_margin


@dataclass(frozen=True)
class Solution(At):
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
        bias_decay: lambda_b >= 0 on the bias; ``math.inf`` is no bias (``b`` is then zero).
        loss: ``CrossEntropy()``, ``SquaredError()``, ``LabelSmoothing(smoothing)`` or ``Focal(gamma)``.
        nonnegative: features ``H >= 0``, behind a ReLU. The methods that ask for it take it from here.

    Raises:
        ValueError: for a count that is not a positive integer, a decay that is negative or not finite, or no loss.

    Source: Zhu et al. (2021), equation for the regularised unconstrained feature model.
    """

    num_classes: int
    samples_per_class: int | Sequence[int]
    feature_dim: int
    weight_decay: float
    feature_decay: float
    bias_decay: float = 0.0
    loss: Loss = field(default_factory=CrossEntropy)
    nonnegative: bool = False

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
            if not (name == "bias_decay" and isinstance(self.bias_decay, float) and self.bias_decay == math.inf):
                checks.number(name, getattr(self, name))
        checks.instance("loss", self.loss, Loss)
        checks.flag("nonnegative", self.nonnegative)

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
    def has_bias(self) -> bool:
        """False where ``bias_decay`` is infinite."""
        return self.bias_decay != math.inf

    @property
    def bias_stiffness(self) -> float:
        """``bias_decay``, or 1 without a bias: ``b`` is then zero and no logit sees it."""
        return self.bias_decay if self.has_bias else 1.0

    @property
    def collapses(self) -> bool:
        """True where the optimum is a frame of all classes; False where zero is, ``K sqrt(n lambda_W lambda_H) >= 1``.

        Label smoothing adds itself to the left side; for focal loss the least of a scalar function decides. With
        non-negative features the threshold differs: read ``margin > 0`` off the optimum there.
        """
        if isinstance(self.loss, Focal):
            return best_margin(self.num_classes, self.q, loss=self.loss).margin > 0
        return self.num_classes * self.q + smoothing_of(self.loss) < 1

    @property
    def joint_decay(self) -> float:
        """``sqrt(lambda_W lambda_H)``, each root apart so that the product of two tiny decays cannot underflow."""
        return math.sqrt(self.weight_decay) * math.sqrt(self.feature_decay)

    @property
    def q(self) -> float:
        """``sqrt(n lambda_W lambda_H)``: the decays' price for one unit of margin is ``(K - 1) q``."""
        n = self.samples_per_class
        if not isinstance(n, int):
            raise ValueError(f"samples_per_class must be equal: for {self.loss.name} no closed form is proved with {n}")
        # From the left: at the threshold itself, rounding must not let the zero solution pass for a frame.
        return math.sqrt(n) * math.sqrt(self.weight_decay) * math.sqrt(self.feature_decay)

    def check_point(self, W: Tensor, H: Tensor, b: Tensor) -> None:
        """Raise ``ValueError`` unless ``W (K, d)``, ``H (N, d)``, ``b (K,)`` are finite and of this problem's shape."""
        checks.tensor("W", W, "K, d", K=self.num_classes, d=self.feature_dim)
        checks.tensor("H", H, "N, d", N=self.num_samples, d=self.feature_dim)
        checks.tensor("b", b, "K", K=self.num_classes)
        if not self.has_bias and bool((b != 0).any()):
            raise ValueError(
                f"b must be zero with bias_decay=math.inf, got an entry of size {float(b.abs().max()):.3g}"
            )
        if self.nonnegative and bool((H < 0).any()):
            raise ValueError(f"H must be >= 0 with nonnegative=True, got a smallest entry of {float(H.min()):.3g}")

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

        With ``G = residual``, shape (N, K): ``G'H + lambda_W W``, ``G W + lambda_H H``, ``G'1 + lambda_b b``.

        Raises:
            ValueError: for a wrong shape or a non-finite entry, naming the argument.
        """
        self.check_point(W, H, b)
        return formulas.gradient(self, W, H, b)

    def residual(self, W: Tensor, H: Tensor, b: Tensor) -> Tensor:
        """Return the gradient with respect to the logits, (N, K): ``(softmax(H W' + b) - one-hot) / N`` by default.

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

        Source: chapter 3 for cross-entropy, chapter 10 for the other losses.
        """
        need_decay(self, "lower_bound")
        return least_value(self, checks.flag("nonnegative", nonnegative) or self.nonnegative)

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

        Other losses (chapter 10). Label smoothing and focal loss: the same frame at another margin. Squared error,
        ``mu = sqrt(lambda_W lambda_H)``: without bias rows of squared norm ``t_k sqrt(lambda_H/lambda_W)``, orthogonal,
        ``t_k = max(0, sqrt(n_k) - N mu)``, for any class sizes and also with ``nonnegative``; with a bias and equal
        classes a simplex ETF, and a growing part along all ones once ``lambda_b/(1 + lambda_b) > K q``.

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
        need_decay(self, "optimum")
        return closed_form(self, checks.flag("nonnegative", nonnegative) or self.nonnegative, generator)

    def random_point(self, seed: int = 0, scale: float = 1.0) -> Point:
        """Return Gaussian ``W``, ``H``, ``b`` of standard deviation ``scale``, reproducible from ``seed``."""
        checks.integer("seed", seed, minimum=0)
        checks.number("scale", scale)
        g = torch.Generator().manual_seed(seed)
        K, N, d = self.num_classes, self.num_samples, self.feature_dim
        shapes = (K, d), (N, d), (K,)
        W, H, b = (scale * torch.randn(*shape, generator=g, dtype=torch.float64) for shape in shapes)
        return Point(W, H.abs() if self.nonnegative else H, b if self.has_bias else 0 * b)

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
        nonnegative = checks.flag("nonnegative", nonnegative) or self.nonnegative
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


def need_free_features(problem: UFM, caller: str) -> None:
    """Raise ``ValueError`` for features behind a ReLU, for which a duality over all features says nothing tight."""
    if problem.nonnegative:
        raise ValueError(
            f"problem must have nonnegative=False for {caller}: its theory moves features in every direction, and the "
            "nuclear norm is not the price of features >= 0 (lower_bound() has the proved bound)"
        )


def need_cross_entropy(problem: UFM, caller: str) -> None:
    """Raise ``ValueError`` unless the problem is the one of chapters 3 to 5."""
    if not isinstance(problem.loss, CrossEntropy):
        raise ValueError(
            f"problem must have loss=CrossEntropy() for {caller}, whose formulas are its, got {problem.loss}"
        )
    if not problem.has_bias:
        raise ValueError(f"problem must have a finite bias_decay for {caller}, got no bias")


def _projected(gradient: np.ndarray, x: np.ndarray, low: np.ndarray) -> np.ndarray:
    """The part of the gradient that a step inside the bounds can use."""
    return np.where((x <= low) & (gradient > 0), 0.0, gradient)
