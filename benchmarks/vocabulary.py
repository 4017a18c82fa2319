"""The whole report on a vocabulary of classes, as a language model has: CPU seconds, and the memory of the process.

    python benchmarks/vocabulary.py --num-classes 2000       some seconds
    python benchmarks/vocabulary.py --out results/metrics-vocabulary-cpu.json     50,000 classes: a quarter of an hour

Two samples a class, features in half precision, a classifier in float32, one thread. A table of all pairs of classes
would take 20 GB.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

import torch

from ncbook.experiments import provenance, write_record
from ncbook.metrics import neural_collapse


def peak() -> float:
    """Return the most gigabytes that this process has held at once."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-classes", type=int, default=50_000)
    parser.add_argument("--feature-dim", type=int, default=768)
    parser.add_argument("--out", type=Path, help="write what was seen as JSON")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rng, K, d = torch.Generator().manual_seed(0), given.num_classes, given.feature_dim
    weight = torch.randn(K, d, generator=rng)
    labels = torch.arange(K).repeat_interleave(2)
    features = (weight[labels] + 0.3 * torch.randn(2 * K, d, generator=rng)).half()
    before, start = peak(), time.process_time()
    report = neural_collapse(features, labels, weight)
    seen = {"K": K, "d": d, "N": 2 * K, "cpu_seconds": time.process_time() - start}
    seen |= {"peak_gigabytes": peak(), "peak_gigabytes_before": before, "report": report.as_scalars()}
    print(report)
    print(f"{seen['cpu_seconds']:.0f} CPU s; the process held {peak():.2f} GB at most, {before:.2f} before")
    if given.out:
        about = {"data": "random normal features, seed 0, made in this script"}
        origin = provenance("python benchmarks/vocabulary.py " + " ".join(sys.argv[1:]), "cpu", **about)
        write_record(given.out, {"provenance": origin, **seen})


if __name__ == "__main__":
    main()
