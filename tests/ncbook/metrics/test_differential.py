"""200 random problems against an independent, slow, obvious implementation: plain loops over numpy rows.

The problems have gaps between the labels, classes of one sample, samples that tie, duplicates, and half precision.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from ncbook.metrics import NeuralCollapse, neural_collapse


def slow(H: np.ndarray, y: np.ndarray, W: np.ndarray, b: np.ndarray, kept: list[int], correction: int) -> dict:
    """The report's quantities, sample by sample and pair by pair; within="sample", between="class"."""
    K = len(kept)
    members = {k: [h for h, of in zip(H, y) if of == k] for k in kept}
    mean = {k: sum(members[k]) / len(members[k]) for k in kept}
    centre = sum(mean.values()) / K
    M = [mean[k] - centre for k in kept]
    total = sum(float((h - mean[k]) @ (h - mean[k])) for k in kept for h in members[k])
    degrees = {k: len(members[k]) - correction for k in kept}
    sigma_b = sum(np.outer(m, m) for m in M) / K
    sigma_w = sum(np.outer(h - mean[k], h - mean[k]) for k in kept for h in members[k]) / sum(degrees.values())
    values, vectors = np.linalg.eigh(sigma_b)
    rank = min(K - 1, H.shape[1])
    top = vectors[:, -rank:]
    inverse = top @ np.diag(1 / values[-rank:]) @ top.T
    spread = {
        k: sum(float((h - mean[k]) @ (h - mean[k])) for h in members[k]) / degrees[k] for k in kept if degrees[k] > 0
    }
    pairs = [
        (spread[j] + spread[k]) / (2 * float((mean[j] - mean[k]) @ (mean[j] - mean[k])))
        for j in spread for k in spread if j < k
    ]  # fmt: skip
    turns = 0.0
    directed = 0
    for k in kept:
        units = [h / np.sqrt(h @ h) for h in members[k] if h.any()]
        directed += max(0, len(units) - correction)
        for u in units:
            turns += float((u - sum(units) / len(units)) @ (u - sum(units) / len(units)))
    right = agree = near = 0
    for k in kept:
        for h in members[k]:
            chosen = int(np.argmax([float(w @ h) + c for w, c in zip(W, b)]))
            nearest = kept[int(np.argmin([float((h - mean[j]) @ (h - mean[j])) for j in kept]))]
            right, agree, near = right + (chosen == k), agree + (chosen == nearest), near + (nearest == k)
    N = sum(len(m) for m in members.values())
    rows = [W[k] for k in kept]
    norm = lambda vectors: math.sqrt(sum(float(v @ v) for v in vectors))
    return {
        "nc1": float(np.trace(sigma_w @ inverse)) / K,
        "nc1_trace_quotient": total / sum(degrees.values()) / (sum(float(m @ m) for m in M) / K),
        "cdnv": sum(pairs) / len(pairs) if pairs else math.nan,
        "directional_nc1": turns / directed,
        "nc3": math.sqrt(sum(float(np.sum((w / norm(rows) - m / norm(M)) ** 2)) for w, m in zip(rows, M))),
        "bias_collapse": math.sqrt(sum((float(W[k] @ centre) + b[k]) ** 2 for k in kept)),
        "accuracy": right / N, "nc4": agree / N, "nearest_mean_accuracy": near / N,
        "num_samples": N, "singletons": sum(len(m) == 1 for m in members.values()),
    }  # fmt: skip


def problem(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    head, d = int(rng.integers(2, 7)), int(rng.integers(1, 8))
    sizes = rng.integers(0, 7, head)
    sizes[rng.permutation(head)[:2]] = rng.integers(2, 7, 2)  # at least two classes show a variance
    y = rng.permutation(np.repeat(np.arange(head), sizes))
    means = rng.normal(size=(head, d))
    H = means[y] + rng.choice([0.05, 0.5, 2.0]) * rng.normal(size=(len(y), d)) + rng.choice([0, 10])
    for _ in range(int(rng.integers(0, 3))):  # duplicates, within a class or across
        H[rng.integers(len(y))] = H[rng.integers(len(y))]
    W, b = rng.normal(size=(head, d)), rng.normal(size=head)
    if seed % 5 == 0:  # ties: two outputs alike
        W[1], b[1] = W[0], b[0]
    dtype = [torch.float64, torch.float32, torch.float16, torch.bfloat16][seed % 4]
    features, weight, bias = (torch.from_numpy(a).to(dtype) for a in (H, W, b))
    y[: int(rng.integers(0, 2))] = -100
    return {"features": features, "labels": torch.from_numpy(y), "weight": weight, "bias": bias}


@pytest.mark.parametrize("block", range(4))
def test_two_hundred_problems_have_one_answer(block: int) -> None:
    gaps = singles = 0
    for seed in range(50 * block, 50 * block + 50):
        given = problem(seed)
        correction = seed // 2 % 2
        y = given["labels"].numpy()
        kept = [int(k) for k in np.unique(y) if k >= 0]
        arrays = [given[name].double().numpy() for name in ("features", "weight", "bias")]
        wanted = slow(arrays[0], y, arrays[1], arrays[2], kept, correction)
        got = neural_collapse(**given, min_samples=1, correction=correction)
        stream = NeuralCollapse(len(arrays[1]), arrays[0].shape[1], min_samples=1, correction=correction)
        for h, of in zip(given["features"].split(5), given["labels"].split(5)):
            stream.update(h, of, h.double() @ given["weight"].double().T + given["bias"].double())
        for report in (got, stream.compute(given["weight"], given["bias"])):
            for name, value in wanted.items():
                came = getattr(report, name)
                if came is None:
                    assert report is not got and name in ("nc4", "nearest_mean_accuracy")
                    continue
                # The reference squares the condition of the means; a decision at a tie may go either way.
                loose = max(1e-9, 1e-13 * got.between_condition**2)
                assert came == pytest.approx(value, rel=loose, abs=1e-12, nan_ok=True), (seed, name)
        gaps, singles = gaps + (len(kept) < len(arrays[1])), singles + (wanted["singletons"] > 0)
    assert gaps > 5 and singles > 5  # otherwise they were not tried
