"""Normalised features: the unconstrained feature model on a product of spheres.

Every classifier row and every feature is held at length one, and one temperature replaces the decays: minimise

    f = mean cross-entropy of (temperature * H W')   over unit rows of ``W (K, d)`` and ``H (N, d)``

with ``N = K n`` balanced samples, ordered by class. Source: Yaras et al. (2022), section 2; every formula here is
derived in chapter 6. Tangent vectors and retractions are in ``geometry``; curvature, certificates and
critical points have files of their own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from ncbook import checks
from ncbook._landscape import AtPoint
from ncbook.etf import simplex_etf
from ncbook.sphere import formulas
from ncbook.sphere.formulas import Point
from ncbook.sphere.geometry import check_unit

# Trust regions stop here. At large temperature the gradient is small long before the gap is, hence so low.
GRADIENT_TOLERANCE = 1e-11


def temperature_for(probability: float, num_classes: int) -> float:
    """Return the temperature at which the best reachable probability of the right class is ``probability``.

    ``(K - 1)/K * log((K - 1) p / (1 - p))``, the inverse of ``SphericalUFM.optimum().probability``.

    Raises:
        ValueError: if ``num_classes < 2`` or ``probability`` is not strictly between ``1/num_classes`` and 1.
    """
    K = checks.integer("num_classes", num_classes, minimum=2)
    p = checks.number("probability", probability)
    if not 1 / K < p < 1:
        raise ValueError(f"probability must lie strictly between 1/num_classes = {1 / K:.6g} and 1, got {p}")
    return (K - 1) / K * math.log((K - 1) * p / (1 - p))


@dataclass(frozen=True)
class Optimum(AtPoint):
    """A global minimum in closed form: a simplex ETF, with every feature equal to its class's row."""

    value: float
    margin: float  # correct logit minus any other: K temperature / (K - 1)
    probability: float  # of the right class, the same for every sample


@dataclass(frozen=True)
class Solution(AtPoint):
    """What the solver reached, with ``gap``: its value minus the lower bound (0 at a global minimum)."""

    value: float
    gap: float
    gradient_norm: float  # Euclidean norm of the Riemannian gradient
    iterations: int


@dataclass(frozen=True)
class SphericalUFM:
    """One normalised-feature problem with balanced classes, in float64.

    Args:
        num_classes: K >= 2.
        samples_per_class: n >= 1.
        feature_dim: d >= 2. Any may be posed and solved; ``optimum`` needs d >= K - 1.
        temperature: tau > 0, the factor in front of the cosines.

    Raises:
        ValueError: for a count that is not an integer in range or a temperature that is not positive and finite.

    Source: Yaras et al. (2022), the normalised problem over oblique manifolds.
    """

    num_classes: int
    samples_per_class: int
    feature_dim: int
    temperature: float

    def __post_init__(self) -> None:
        checks.integer("num_classes", self.num_classes, minimum=2)
        checks.integer("samples_per_class", self.samples_per_class)
        checks.integer("feature_dim", self.feature_dim, minimum=2)
        checks.number("temperature", self.temperature, positive=True)

    @property
    def num_samples(self) -> int:
        """N = K n."""
        return self.num_classes * self.samples_per_class

    @property
    def labels(self) -> Tensor:
        """Labels (N,) int64, ordered by class: n zeros, n ones, …"""
        return torch.arange(self.num_classes).repeat_interleave(self.samples_per_class)

    @property
    def margin(self) -> float:
        """The largest margin that every sample can have at once, ``K temperature / (K - 1)``, in units of a logit."""
        return self.num_classes * self.temperature / (self.num_classes - 1)

    def check_point(self, W: Tensor, H: Tensor) -> None:
        """Raise ``ValueError`` unless ``W (K, d)`` and ``H (N, d)`` are finite, of this shape, with unit rows."""
        checks.tensor("W", W, "K, d", K=self.num_classes, d=self.feature_dim)
        checks.tensor("H", H, "N, d", N=self.num_samples, d=self.feature_dim)
        check_unit("W", W)
        check_unit("H", H)

    def objective(self, W: Tensor, H: Tensor) -> Tensor:
        """Return the objective at a point as a differentiable scalar.

        Args:
            W: classifier (K, d), unit rows. H: features (N, d), unit rows, ordered by class as ``labels``.

        Raises:
            ValueError: for a wrong shape, a non-finite entry, or a row that is not of length 1.
        """
        self.check_point(W, H)
        return cross_entropy(self.temperature * H @ W.T, self.labels.to(H.device))

    def lower_bound(self) -> float:
        """Return ``log(1 + (K - 1) exp(-K temperature / (K - 1)))``: no point of any dimension lies below.

        It is attained exactly by simplex ETFs with every feature equal to its class's row, so only when
        ``feature_dim >= num_classes - 1``.

        Source: proved in chapter 6; Yaras et al. (2022), theorem on global optimality.
        """
        return math.log1p((self.num_classes - 1) * math.exp(-self.margin))

    def optimum(self, *, generator: torch.Generator | None = None) -> Optimum:
        """Return a global minimum in closed form.

        Args:
            generator: if given, the frame is turned at random; all rotations are equally optimal.

        Raises:
            ValueError: if ``feature_dim < num_classes - 1``, where no simplex ETF fits and the bound is not attained.
        """
        W = simplex_etf(self.num_classes, self.feature_dim, generator=generator)
        H = W[self.labels]
        probability = 1 / (1 + (self.num_classes - 1) * math.exp(-self.margin))
        return Optimum(Point(W, H), self.lower_bound(), self.margin, probability)

    def residual(self, W: Tensor, H: Tensor) -> Tensor:
        """Return ``G = (softmax(temperature H W') - one-hot) / N``, shape (N, K), whose rows sum to zero.

        Raises:
            ValueError: as for ``objective``.
        """
        self.check_point(W, H)
        return formulas.residual(self, W, H)[0]

    def euclidean_gradient(self, W: Tensor, H: Tensor) -> Point:
        """Return ``temperature G'H`` and ``temperature G W``: the gradient before projection.

        Raises:
            ValueError: as for ``objective``.
        """
        self.check_point(W, H)
        return formulas.euclidean_gradient(self, W, H)

    def gradient(self, W: Tensor, H: Tensor) -> Point:
        """Return the Riemannian gradient on the product of spheres: the Euclidean one, projected row by row.

        Raises:
            ValueError: as for ``objective``.

        Source: Absil, Mahony and Sepulchre (2008), equation (3.37).
        """
        self.check_point(W, H)
        return formulas.gradient(self, W, H)

    def random_point(self, seed: int = 0) -> Point:
        """Return ``W`` and ``H`` with rows drawn uniformly on the sphere, reproducible from ``seed``."""
        g = torch.Generator().manual_seed(checks.integer("seed", seed, minimum=0))
        draw = lambda rows: normalize(torch.randn(rows, self.feature_dim, generator=g, dtype=torch.float64), dim=1)
        return Point(draw(self.num_classes), draw(self.num_samples))

    def solve(self, seed: int = 0, *, start: Point | None = None, max_iterations: int = 500) -> Solution:
        """Minimise by Riemannian trust regions on a product of oblique manifolds.

        Args:
            seed: of the uniform start; ignored when ``start`` is given.
            start: a point ``(W, H)`` to start from.
            max_iterations: of trust regions.

        Returns:
            Solution: with its gap to the lower bound. For ``feature_dim >= max(K, 3)`` every second-order
            critical point is a global minimum; at ``feature_dim = K - 1`` and large temperature some runs stop at a
            local minimum, and below ``K - 1`` the gap stays positive.

        Raises:
            ValueError: for a bad start or option.

        Source: pymanopt's trust regions (Townsend, Koep and Weichwald 2016; Absil, Baker and Gallivan 2007).
        """
        from ncbook.sphere.pymanopt_bridge import as_pymanopt, columns, optimizers, rows

        checks.integer("max_iterations", max_iterations)
        checks.integer("seed", seed, minimum=0)
        W, H = self.random_point(seed) if start is None else checks.sequence("start", start, 2)
        self.check_point(W, H)
        problem = as_pymanopt(self)
        options = {"min_gradient_norm": GRADIENT_TOLERANCE, "max_time": math.inf, "verbosity": 0}
        # By default a gain below 1e3 eps counts as noise. Here values near the bound carry a small relative error
        # instead, and at large temperature the bound is tiny, so the threshold is scaled with it.
        trust = optimizers.TrustRegions(
            max_iterations=max_iterations, rho_regularization=1e3 * min(1.0, self.lower_bound()), **options
        )
        result = trust.run(problem, initial_point=columns((W, H)))
        iterations = result.iterations
        if result.gradient_norm > GRADIENT_TOLERANCE:  # far above the bound noise stops the run: polish as usual
            polish = optimizers.TrustRegions(max_iterations=20, **options).run(problem, initial_point=result.point)
            result, iterations = polish, iterations + polish.iterations
        point = Point(*(normalize(x, dim=1) for x in rows(result.point)))
        value, norm = formulas.value(self, *point), formulas.gradient_norm(self, *point)
        return Solution(point, value, value - self.lower_bound(), norm, iterations)


def prepare(problem: SphericalUFM, W: Tensor, H: Tensor) -> Point:
    """Return the point in float64 on the CPU, after checking the problem and the point."""
    checks.instance("problem", problem, SphericalUFM).check_point(W, H)
    return Point(W.detach().cpu().double(), H.detach().cpu().double())
