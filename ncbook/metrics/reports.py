"""The report on neural collapse: every published quantity, named apart, from the moments that were measured.

Papers use one name for several things and several names for one. Here each quantity has its own field, with its
formula and its source. `ncbook.metrics` is the way in; this is where its two forms end.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ncbook import checks
from ncbook.metrics.arrays import as_tensor
from ncbook.metrics.baselines import Baselines
from ncbook.metrics.choices import Averaging, Choices, Selection
from ncbook.metrics.class_moments import SecondRead
from ncbook.metrics.class_table import ClassTable, class_table
from ncbook.metrics.decisions import Head
from ncbook.metrics.geometry import cdnv, duality, frame, norm
from ncbook.metrics.unit_rows import row_squares
from ncbook.metrics.whitening import Whitener

# Printed only where they say something.
OCCASIONAL = ("correction", "singletons", "classes", "classes_left_out", "samples_left_out")


@dataclass(frozen=True)
class NeuralCollapseReport:
    """How collapsed a set of labelled features is, and what was measured.

    Notation: ``h`` a feature, ``mu_k`` a class mean, ``mu_G`` the global mean, ``Sigma_W`` the covariance within
    classes, ``Sigma_B`` that of the class means, ``m_k = mu_k - mu_G``, ``w_k, b_k`` the classifier's rows and bias,
    ``M`` and ``W`` the matrices of the ``m_k`` and ``w_k``. What the averages run over is in ``within`` and
    ``between``. All but NC4 and the accuracies are zero at perfect collapse unless said otherwise. A quantity that
    needs a classifier is ``None`` without one; a quantity that is not defined (0/0) is ``nan``.

    Attributes:
        nc1: ``tr(Sigma_W pinv(Sigma_B)) / K``, Papyan et al. (2020). ``inf`` if all class means coincide; ``nan`` if
            no class has two samples.
        nc1_trace_quotient: ``tr(Sigma_W) / tr(Sigma_B)``, Hui, Belkin and Nakkiran (2022); no inverse, so it is
            never large only because two class means are close. ``inf`` and ``nan`` as for ``nc1``.
        cdnv: class-distance normalised variance, the mean over pairs of classes of
            ``(v_j + v_k) / (2 ||mu_j - mu_k||^2)`` with ``v_k`` the mean of ``||h - mu_k||^2`` over the class,
            Galanti et al. (2022). ``inf`` if two class means coincide.
        directional_nc1: one minus the mean cosine between two features of a class, drawn with replacement: the
            variance within classes of ``h / ||h||``. In [0, 1]; zero exactly where every class lies on a ray from
            the origin, whatever the lengths. Zero features have no direction and are left out.
        nc2_means: distance of ``M M'`` from a simplex ETF's Gram matrix, both normalised: `etf.etf_distance`,
            Zhu et al. (2021).
        nc2_weight: the same of the classifier's rows as they are, not centred.
        equinorm_means: standard deviation over mean of the ``||m_k||``, Papyan et al. (2020).
        equinorm_weight: the same of the ``||w_k||``.
        equiangularity_means: standard deviation of the cosines between different ``m_k``, Papyan et al. (2020).
        equiangularity_weight: the same of the ``w_k``.
        max_angle_means: mean of ``|cosine + 1/(K - 1)|`` over pairs of ``m_k``, Papyan et al. (2020).
        max_angle_weight: the same of the ``w_k``.
        nc3: self-duality, ``|| W/||W||_F - M/||M||_F ||_F``, between 0 and 2, Papyan et al. (2020).
        nc3_product: ``|| W M'/||W M'||_F - (I - 1 1'/K)/sqrt(K - 1) ||_F``, Zhu et al. (2021).
        nc0: ``||W' 1|| / ||W||_F``, how far the classifier's rows are from summing to zero, as those of every ETF do;
            between 0 and ``sqrt(K)``. Zhao et al. (2026) follow its square, not normalised.
        uniformity_means: for K > d, where there is no ETF: relative spread of ``log(1 / distance)``
            between the ``m_k / ||m_k||`` of different classes; zero at an ETF, and small where directions are spread
            evenly over the sphere. Wu and Papyan (2024), called GNC2 there; the kernel by Liu et al. (2023).
        uniformity_weight: the same of the ``w_k``.
        uniform_duality: relative spread of the cosines of ``w_k`` and ``m_k``: zero where every row is
            aligned with its class mean to the same degree, Wu and Papyan (2024), called UNC3 there.
        nc4: share of samples for which the classifier, bias included, decides as the nearest class mean does, in
            [0, 1] and one at collapse, Papyan et al. (2020). ``None`` where the features were read only once.
        bias_collapse: ``||b + W mu_G||``, called NC4 by some; in units of a logit. A missing bias counts as zero.
        accuracy: share of samples the classifier gets right.
        nearest_mean_accuracy: share of samples nearest to the mean of their own class; ``None`` as ``nc4``.
        effective_rank: ``exp`` of the entropy of the normalised singular values of ``M`` (rows weighted as
            in ``Sigma_B``), between 1 and K - 1, and K - 1 at a simplex ETF, Roy and Vetterli (2007).
        between_rank: numerical rank of ``Sigma_B``, at most ``min(K - 1, d)``. A smaller value says that class means
            are affinely dependent; ``nc1`` then ignores the directions in which they do not differ.
        between_condition: largest over smallest retained singular value of ``M``: how much ``nc1`` can amplify.
        num_samples: N.
        num_classes: K.
        feature_dim: d.
        smallest_class: samples in the smallest class.
        largest_class: samples in the largest class.
        within: what the averages within classes (``Sigma_W``, ``directional_nc1``, ``nc4``, accuracies) run over.
        between: what ``mu_G`` and ``Sigma_B`` average over.
        correction: 0, or 1 where variances are by ``n_k - 1``.
        singletons: measured classes of one sample. Their variance reads as zero, though nothing was seen of it.
        classes: the numbers of the measured classes, ``None`` where all were measured.
        classes_left_out: classes of the head that were not measured.
        samples_left_out: samples that were not measured: ignored, or of a class left out.
        per_class: a `ClassTable`, what the averages above average away. Not part of `as_dict`.
        baselines: `Baselines`, what shuffled labels and noise score; where ``shuffles`` asked for it. Not part of
            `as_dict`.
    """

    nc1: float
    nc1_trace_quotient: float
    cdnv: float
    directional_nc1: float
    nc2_means: float
    nc2_weight: float | None
    equinorm_means: float
    equinorm_weight: float | None
    equiangularity_means: float
    equiangularity_weight: float | None
    max_angle_means: float
    max_angle_weight: float | None
    nc3: float | None
    nc3_product: float | None
    nc0: float | None
    uniformity_means: float
    uniformity_weight: float | None
    uniform_duality: float | None
    nc4: float | None
    bias_collapse: float | None
    accuracy: float | None
    nearest_mean_accuracy: float | None
    effective_rank: float
    between_rank: int
    between_condition: float
    num_samples: int
    num_classes: int
    feature_dim: int
    smallest_class: int
    largest_class: int
    within: Averaging
    between: Averaging
    correction: int = 0
    singletons: int = 0
    classes: tuple[int, ...] | None = None
    classes_left_out: int = 0
    samples_left_out: int = 0
    per_class: ClassTable | None = dataclasses.field(default=None, compare=False, repr=False)
    baselines: Baselines | None = dataclasses.field(default=None, compare=False, repr=False)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What may mislead in these numbers, one sentence each; empty where nothing was seen."""
        found = []
        possible = min(self.num_classes - 1, self.feature_dim)
        if self.between_rank < possible:
            found.append(
                f"the class means span {self.between_rank} of {possible} directions: nc1 ignores those in which they"
                " do not differ, so classes that have merged can pass for collapsed"
            )
        if self.singletons and self.correction == 0:
            found.append(
                f"{self.singletons} of {self.num_classes} classes have one sample, whose variance counts as zero:"
                " correction=1 or min_samples=2 leave them out"
            )
        elif self.smallest_class < 5 and self.correction == 0 and self.largest_class > 1:
            found.append(
                f"the smallest class has {self.smallest_class} samples, so its variance reads"
                f" {1 / self.smallest_class:.0%} too small: correction=1 removes that"
            )
        return tuple(found)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a plain dictionary, in order."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.compare}

    def as_scalars(self, prefix: str = "") -> dict[str, float]:
        """Return the measured numbers by name, for any logger: what is ``None`` or no number is left out."""
        fields = self.as_dict() | ({} if self.baselines is None else self.baselines.as_dict())
        checks.instance("prefix", prefix, str)
        return {prefix + name: float(v) for name, v in fields.items() if isinstance(v, (int, float))}

    def __str__(self) -> str:
        """Return a table, one line a field, four significant digits; then baselines and warnings, if any."""
        lines = []
        for name, value in self.as_dict().items():
            if name in OCCASIONAL and not value:
                continue
            if isinstance(value, tuple):
                value = ", ".join(map(str, value[:8])) + (f", … ({len(value)})" if len(value) > 8 else "")
            shown = "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
            lines.append(f"{name:<22} {shown}")
        lines += [] if self.baselines is None else [str(self.baselines)]
        lines += [f"warning: {text}" for text in self.warnings]
        return "\n".join(lines)


def plotted(reports: Any, ax: Any) -> Any:
    """Return what torchmetrics plots of a report, or of a sequence of them: the measures that vanish at collapse."""
    several = isinstance(reports, (list, tuple))
    for one in reports if several else (reports,):
        checks.instance("val", one, NeuralCollapseReport)
    if ax is not None and not hasattr(ax, "plot"):
        raise ValueError(f"ax must be Matplotlib axes or None, got {type(ax).__name__}")
    names = ("nc1", "cdnv", "directional_nc1", "nc2_means", "nc2_weight", "nc3")
    numbers = [
        {name: torch.tensor(value) for name in names if (value := getattr(one, name)) is not None}
        for one in (reports if several else (reports,))
    ]
    return numbers if several else numbers[0]


def classifier_arguments(
    weight: Tensor | None,
    bias: Tensor | None,
    feature_dim: int,
    device: torch.device,
    num_classes: int | None = None,
) -> tuple[Tensor | None, Tensor | None]:
    """Return ``weight`` (K, d) and ``bias`` (K,) checked, in float64 on ``device``.

    Raises:
        ValueError: for another shape, a non-finite entry, or a bias without a weight.
    """
    if weight is None:
        if bias is not None:
            raise ValueError("bias must come with a weight, got a bias and no weight")
        return None, None
    weight, bias = as_tensor("weight", weight), as_tensor("bias", bias)
    W = checks.tensor("weight", weight, "K, d", K=num_classes, d=feature_dim).detach().cpu().double().to(device)
    if bias is None:
        return W, None
    return W, checks.tensor("bias", bias, "K", K=len(W)).detach().cpu().double().to(device)


@dataclass(frozen=True)
class LeftOut:
    """What was not measured."""

    classes: tuple[int, ...] | None  # those that were, where not all were
    classes_left_out: int
    samples_left_out: int

    @classmethod
    def of(cls, chosen: Selection) -> LeftOut:
        """Return what a selection left out."""
        kept = None if chosen.classes is None else tuple(chosen.classes.tolist())
        return cls(kept, chosen.classes_left_out, chosen.samples_left_out)


def report(
    read: SecondRead, between_map: Whitener, head: Head | None, choices: Choices, left_out: LeftOut
) -> NeuralCollapseReport:
    """Turn what was read into the report; `neural_collapse` and the stream both end here."""
    within, between = choices.within, choices.between
    weight, bias = (None, None) if head is None else head.measured()
    moments = read.moments
    counts, K = moments.counts, len(moments.counts)
    centred, mean = moments.centred(between), moments.global_mean(between)
    M = frame(centred, between_map.rank > 0)
    singular = between_map.singular_values[: between_map.rank]
    variability, confusion = _variability(read, between_map, choices, centred)
    W = frame(weight, bool(weight.any())) if weight is not None else dict.fromkeys(M)
    return NeuralCollapseReport(
        **variability,
        nc2_means=M["nc2"],
        nc2_weight=W["nc2"],
        equinorm_means=M["equinorm"],
        equinorm_weight=W["equinorm"],
        equiangularity_means=M["equiangularity"],
        equiangularity_weight=W["equiangularity"],
        max_angle_means=M["max_angle"],
        max_angle_weight=W["max_angle"],
        **duality(centred, between_map.rank > 0, weight),  # type: ignore[arg-type]
        nc0=None if weight is None else norm(weight.sum(0)) / norm(weight) if bool(weight.any()) else math.nan,
        uniformity_means=M["uniformity"],
        uniformity_weight=W["uniformity"],
        nc4=_share(read.agreeing, counts, within),
        bias_collapse=None if weight is None else norm(weight @ mean + (0 if bias is None else bias)),
        accuracy=_share(read.right, counts, within),
        nearest_mean_accuracy=_share(read.nearest, counts, within),
        effective_rank=_effective_rank(singular),
        between_rank=between_map.rank,
        between_condition=float(singular[0] / singular[-1]) if len(singular) else math.nan,
        num_samples=int(counts.sum()),
        num_classes=K,
        feature_dim=moments.offsets.shape[1],
        smallest_class=int(counts.min()),
        largest_class=int(counts.max()),
        within=within,
        between=between,
        correction=choices.correction,
        singletons=int((counts == 1).sum()),
        classes=left_out.classes,
        classes_left_out=left_out.classes_left_out,
        samples_left_out=left_out.samples_left_out,
        per_class=class_table(read, centred, weight, choices.correction, left_out.classes, confusion),
    )


def _variability(
    read: SecondRead, between_map: Whitener, choices: Choices, centred: Tensor
) -> tuple[dict[str, Any], tuple[Tensor, Tensor]]:
    """NC1 in its four forms; and each class's largest CDNV, and with whom."""
    moments, within, correction = read.moments, choices.within, choices.correction
    counts, degrees = moments.counts, moments.degrees(correction)
    if float(counts.max()) < 2:  # no class has two samples: the variance within classes was not observed
        nobody = torch.full_like(counts, math.nan), torch.zeros_like(counts, dtype=torch.int64)
        return dict.fromkeys(("nc1", "nc1_trace_quotient", "cdnv", "directional_nc1"), math.nan), nobody
    variances = moments.scatters / degrees.clamp_min(1)
    within_trace = float(moments.within_weights(within, correction) @ variances)
    collapsed = between_map.rank == 0
    none = math.nan if within_trace == 0 else math.inf
    between_trace = float(moments.class_weights(choices.between) @ row_squares(centred))
    turns, sizes = moments.direction_scatters, (moments.direction_counts - correction).clamp_min(0)
    directional = turns.sum() / sizes.sum() if within == "sample" else (turns / sizes)[sizes > 0].mean()
    shown = (degrees > 0).nonzero()[:, 0]
    mean_cdnv, worst, partner = cdnv(centred[shown], variances[shown])  # whatever the means are centred about
    confusion = torch.full_like(variances, math.nan), torch.zeros_like(counts, dtype=torch.int64)
    confusion[0][shown], confusion[1][shown] = worst, shown[partner]
    values = {
        "nc1": none if collapsed else read.whitened / len(counts),
        "nc1_trace_quotient": none if collapsed else within_trace / between_trace,
        "cdnv": none if collapsed else mean_cdnv,
        "directional_nc1": float(directional),
    }
    return values, confusion


def _share(hits: Tensor | None, counts: Tensor, within: Averaging) -> float | None:
    if hits is None:
        return None
    return float(hits.sum() / counts.sum()) if within == "sample" else float((hits / counts).mean())


def _effective_rank(singular_values: Tensor) -> float:
    if len(singular_values) == 0:
        return math.nan
    shares = singular_values / singular_values.sum()
    return math.exp(float(torch.special.entr(shares).sum()))
