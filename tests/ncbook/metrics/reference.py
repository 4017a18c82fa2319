"""Every quantity from its definition, in 60-digit arithmetic that shares no code with the package; and hard cases."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from torch import Tensor

from ncbook.metrics import NeuralCollapse, NeuralCollapseReport

# The promise: nine digits, whatever the input. float64 itself has sixteen.
DIGITS = 1e-9
VARIABILITY = ("nc1", "nc1_trace_quotient", "cdnv", "directional_nc1")


def exact(features: Tensor, labels: Tensor, weight: Tensor, bias: Tensor, within: str, between: str) -> dict[str, Any]:
    """Every quantity of the report from its definition, one sample at a time."""
    with mpmath.workdps(60):
        H = [mpmath.matrix([mpmath.mpf(x) for x in row]) for row in features.double().tolist()]
        W = [mpmath.matrix([mpmath.mpf(x) for x in row]) for row in weight.double().tolist()]
        b = [mpmath.mpf(x) for x in bias.double().tolist()]
        y, K, N = labels.tolist(), len(W), len(H)
        members = [[H[i] for i in range(N) if y[i] == k] for k in range(K)]
        n = [len(m) for m in members]
        means = [total(m) / len(m) for m in members]
        shares = [mpmath.mpf(1) / K if between == "class" else mpmath.mpf(n[k]) / N for k in range(K)]
        centre = total([shares[k] * means[k] for k in range(K)])
        M = [mean - centre for mean in means]
        each = [1 / mpmath.mpf(K * n[k]) if within == "class" else 1 / mpmath.mpf(N) for k in range(K)]
        residuals = [[h - means[k] for h in members[k]] for k in range(K)]
        whitened = pseudo_inverse_form(M, shares)
        squares = [[dot(r, r) for r in rs] for rs in residuals]
        v = [sum(s) / len(s) for s in squares]
        pairs = [(j, k) for j in range(K) for k in range(j + 1, K)]
        units = [[h / norm(h) for h in m] for m in members]
        rays = [total(u) / len(u) for u in units]
        gap = total([shares[k] * dot(M[k], M[k]) * mpmath.ones(1, 1) for k in range(K)])[0]
        out = {
            "nc1": sum(each[k] * whitened(r) for k in range(K) for r in residuals[k]) / K,
            "nc1_trace_quotient": sum(each[k] * s for k in range(K) for s in squares[k]) / gap,
            "cdnv": sum((v[j] + v[k]) / (2 * dot(M[j] - M[k], M[j] - M[k])) for j, k in pairs) / len(pairs),
            "directional_nc1": sum(each[k] * dot(u - rays[k], u - rays[k]) for k in range(K) for u in units[k]),
            "nc3": distance(stack(W), stack(M)),
            "nc3_product": distance(product(W, M), simplex(K)),
            "bias_collapse": norm(mpmath.matrix([b[k] + dot(W[k], centre) for k in range(K)])),
        }
        for name, rows in (("means", M), ("weight", W)):
            lengths = [norm(r) for r in rows]
            average = sum(lengths) / K
            cosines = [dot(rows[j], rows[k]) / lengths[j] / lengths[k] for j, k in pairs]
            middle = sum(cosines) / len(cosines)
            out[f"nc2_{name}"] = distance(product(rows, rows), simplex(K))
            out[f"equinorm_{name}"] = mpmath.sqrt(sum((x - average) ** 2 for x in lengths) / K) / average
            out[f"equiangularity_{name}"] = mpmath.sqrt(sum((c - middle) ** 2 for c in cosines) / len(cosines))
            kernel = [-mpmath.log(norm(rows[j] / lengths[j] - rows[k] / lengths[k])) for j, k in pairs]
            out[f"uniformity_{name}"] = variation(kernel)
            out[f"max_angle_{name}"] = sum(abs(c + mpmath.mpf(1) / (K - 1)) for c in cosines) / len(cosines)
        out["nc0"] = norm(total(W)) / norm(stack(W))
        out["uniform_duality"] = variation([dot(W[k], M[k]) / norm(W[k]) / norm(M[k]) for k in range(K)])
        nearest = [min(range(K), key=lambda k: dot(h - means[k], h - means[k])) for h in H]
        chosen = [max(range(K), key=lambda k: dot(W[k], h) + b[k]) for h in H]
        out["nc4"] = sum(each[y[i]] * (nearest[i] == chosen[i]) for i in range(N))
        out["accuracy"] = sum(each[y[i]] * (chosen[i] == y[i]) for i in range(N))
        out["nearest_mean_accuracy"] = sum(each[y[i]] * (nearest[i] == y[i]) for i in range(N))
        return out


def pseudo_inverse_form(M: list, shares: list) -> Any:
    """``r -> r' pinv(Sigma_B) r`` exactly: by Sigma_B itself where it is invertible, else by the means' own span."""
    K, d = len(M), len(M[0])
    if d < K:
        sigma = mpmath.zeros(d, d)
        for k in range(K):
            sigma += shares[k] * M[k] * M[k].T
        return lambda r: dot(r, mpmath.lu_solve(sigma, r))
    # Contrasts between classes: K - 1 independent rows B with Sigma_B = B'B, so pinv(Sigma_B) = B'(BB')^-2 B.
    left = null_of([mpmath.sqrt(s) for s in shares])
    B = [total([c[k] * mpmath.sqrt(shares[k]) * M[k] for k in range(K)]) for c in left]
    gram = product(B, B)

    def form(r: Any) -> Any:
        x = mpmath.lu_solve(gram, mpmath.matrix([dot(row, r) for row in B]))
        return dot(x, x)

    return form


def null_of(direction: list) -> list:
    """K - 1 orthonormal vectors orthogonal to ``direction``, by Gram-Schmidt."""
    K = len(direction)
    basis = [mpmath.matrix(direction) / norm(mpmath.matrix(direction))]
    for k in range(K - 1):
        v = mpmath.zeros(K, 1)
        v[k] = 1
        for e in basis:
            v -= dot(e, v) * e
        basis.append(v / norm(v))
    return basis[1:]


def total(vectors: list) -> Any:
    out = vectors[0] * 0
    for v in vectors:
        out += v
    return out


def dot(a: Any, b: Any) -> Any:
    return mpmath.fdot(zip(a, b))


def norm(a: Any) -> Any:
    return mpmath.sqrt(dot(a, a))


def variation(values: list) -> Any:
    """Standard deviation over |mean|."""
    middle = sum(values) / len(values)
    return mpmath.sqrt(sum((v - middle) ** 2 for v in values) / len(values)) / abs(middle)


def stack(rows: list) -> Any:
    return mpmath.matrix([list(r) for r in rows])


def product(rows: list, columns: list) -> Any:
    return mpmath.matrix([[dot(r, c) for c in columns] for r in rows])


def simplex(K: int) -> Any:
    return mpmath.eye(K) - mpmath.ones(K, K) / K


def distance(a: Any, b: Any) -> Any:
    return norm(a / norm(a) - b / norm(b))


def classes(K: int, d: int, sizes: list[int], noise: float, offset: float = 0.0, seed: int = 0) -> tuple[Tensor, ...]:
    rng = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, dtype=torch.float64, generator=rng)
    y = torch.repeat_interleave(torch.arange(K), torch.tensor(sizes))
    y = y[torch.randperm(len(y), generator=rng)]
    means = draw(K, d)
    return means[y] + noise * draw(len(y), d) + offset, y, means + 0.3 * draw(K, d), draw(K)


def outside_the_span() -> tuple[Tensor, ...]:
    """Noise 1e4 times larger across the span of the class means than within it."""
    features, labels, weight, bias = classes(3, 8, [5] * 3, noise=1e-3)
    centred = features.new_tensor(np.stack([features[labels == k].mean(0) for k in range(3)]))
    basis = torch.linalg.svd(centred)[2][3:]
    return features + 10 * torch.randn(15, 5, dtype=features.dtype, generator=seeded(7)) @ basis, labels, weight, bias


def on_rays() -> tuple[Tensor, ...]:
    """Directions collapsed to 1e-9, lengths not at all."""
    features, labels, weight, bias = classes(4, 6, [5] * 4, noise=1e-9)
    return features * (0.5 + torch.rand(20, 1, dtype=features.dtype, generator=seeded(8))), labels, weight, bias


def close_pair() -> tuple[Tensor, ...]:
    features, labels, weight, bias = classes(4, 6, [5] * 4, noise=1e-5)
    means = torch.stack([features[labels == k].mean(0) for k in range(4)])
    features = torch.where((labels == 3)[:, None], features - means[3] + means[2] + 1e-4, features)
    return features, labels, weight, bias


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


HARD: dict[str, tuple[Tensor, ...]] = {
    "near-total collapse": classes(4, 6, [5] * 4, noise=1e-10),
    "offset 1e3": classes(4, 6, [5] * 4, noise=1e-3, offset=1e3),
    "offset 1e3 and near-total collapse": classes(4, 6, [5] * 4, noise=1e-8, offset=1e3),
    "offset 1e6": classes(4, 6, [6] * 4, noise=1e-1, offset=1e6),
    "d far above N": classes(3, 80, [3] * 3, noise=0.3),
    "d below K": classes(6, 3, [4] * 6, noise=0.3),
    "d equal to K - 1": classes(4, 3, [4] * 4, noise=0.3),
    "one sample in a class": classes(4, 5, [5, 1, 4, 3], noise=0.2),
    "unbalanced": classes(4, 7, [16, 2, 5, 1], noise=0.5),
    "noise across the means' span": outside_the_span(),
    "rays from the origin": on_rays(),
    "two means close together": close_pair(),
    "two classes": classes(2, 3, [4, 7], noise=0.5),
    "no collapse at all": classes(3, 4, [9] * 3, noise=30.0),
    "float32 input": tuple(t.float() if t.is_floating_point() else t for t in classes(4, 8, [5] * 4, 1e-3, 1e2)),
    "float16 input": tuple(t.half() if t.is_floating_point() else t for t in classes(4, 8, [5] * 4, 0.2, 10.0)),
    "bfloat16 input": tuple(t.bfloat16() if t.is_floating_point() else t for t in classes(4, 8, [5] * 4, 0.2, 3.0)),
}


def same(got: NeuralCollapseReport, wanted: dict[str, Any], tolerance: float = DIGITS) -> None:
    for name, value in wanted.items():
        if value is None or isinstance(value, str):
            assert getattr(got, name) == value, name
            continue
        came = getattr(got, name)
        # Relative for what collapses. Distances between unit matrices are differences of numbers near one, so they
        # cannot be finer than their round-off.
        floor = 0.0 if name in VARIABILITY else 1e-14
        assert came == pytest.approx(float(value), rel=tolerance, abs=floor), name


def streamed(features: Tensor, labels: Tensor, sizes: list[int], **options: Any) -> NeuralCollapse:
    """A stream that was fed batches of the given sizes, over and over."""
    K = options.pop("num_classes", int(labels.max()) + 1)
    if options.get("within") == "class":
        options["class_counts"] = torch.bincount(labels)
    stream, start, turn = NeuralCollapse(K, features.shape[1], **options), 0, 0
    while start < len(labels):
        stop = start + sizes[turn % len(sizes)]
        stream.update(features[start:stop], labels[start:stop])
        start, turn = stop, turn + 1
    return stream


def problem(seed: int, K: int = 3, d: int = 5, noise: float = 0.5) -> tuple[Tensor, ...]:
    sizes = (2 + torch.randint(0, 6, (K,), generator=seeded(seed))).tolist()
    return classes(K, d, sizes, noise, seed=seed)
