"""What features that know nothing of the labels would have scored: shuffled labels, and isotropic noise."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ncbook.metrics.reports import NeuralCollapseReport

SHUFFLED = ("nc1", "nc1_trace_quotient", "cdnv", "directional_nc1", "nc2_means")


@dataclass(frozen=True)
class Baselines:
    """Scores to hold a report against: collapse is what lies well below them.

    Attributes:
        shuffles: how often the labels were shuffled; the five numbers of that name are means over the shuffles, of the
            same features with class sizes kept.
        nc1_shuffled: NC1.
        nc1_trace_quotient_shuffled: its trace quotient.
        cdnv_shuffled: CDNV.
        directional_nc1_shuffled: the directional NC1.
        nc2_means_shuffled: NC2 of the class means.
        nc1_noise: the expected NC1 of isotropic Gaussian features of this N, K and d, chapter 9; ``nan`` for d <= K.
            Features that are not isotropic score otherwise, often several times: then ``nc1_shuffled`` counts.
        nc2_noise: about the NC2 of the class means of such features, ``sqrt((K - 2)(K + 1) / ((K - 1) d))``, however
            many samples there are; for classes of one size and d well above K.
    """

    shuffles: int
    nc1_shuffled: float
    nc1_trace_quotient_shuffled: float
    cdnv_shuffled: float
    directional_nc1_shuffled: float
    nc2_means_shuffled: float
    nc1_noise: float
    nc2_noise: float

    def as_dict(self) -> dict[str, float]:
        """Return the fields as a plain dictionary, in order."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        """Return a table, one line a field, four significant digits."""
        return "\n".join(f"{name:<28} {value:.4g}" for name, value in self.as_dict().items())


def baselines(found: NeuralCollapseReport, shuffled: Sequence[NeuralCollapseReport]) -> Baselines:
    """Return the baselines of a report from reports on the same features with shuffled labels."""
    assert found.per_class is not None
    K, d = found.num_classes, found.feature_dim
    means = {f"{name}_shuffled": sum(getattr(r, name) for r in shuffled) / len(shuffled) for name in SHUFFLED}
    return Baselines(
        shuffles=len(shuffled),
        **means,
        nc1_noise=noise_nc1(found.per_class.count, d, found.within, found.between, found.correction),
        nc2_noise=math.sqrt((K - 2) * (K + 1) / ((K - 1) * d)),
    )


def noise_nc1(counts: Sequence[int], feature_dim: int, within: str, between: str, correction: int) -> float:
    """Return the expected NC1 of independent Gaussian features, whatever the class sizes; ``nan`` for d <= K.

    The residuals' covariance is ``c sigma^2 I`` and independent of the means. ``Sigma_B`` is a Wishart matrix on the
    K - 1 contrasts, with inverse of mean ``S^-1 / (d - K)`` for contrasts of covariance ``S``: the trace of ``S^-1`` is
    ``N - sum n_k^2 / N`` where classes count equally, and ``N (K - 1) / K`` where they count by size.
    """
    N, K = sum(counts), len(counts)
    if feature_dim <= K:
        return math.nan
    if correction:
        variance = 1.0
    elif within == "sample":
        variance = (N - K) / N
    else:
        variance = sum((n - 1) / n for n in counts) / K
    trace = N - sum(n * n for n in counts) / N if between == "class" else N * (K - 1) / K
    return variance * trace / (feature_dim - K)
