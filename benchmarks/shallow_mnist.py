"""The three-digit experiment of chapter 7 on MNIST, at the paper's settings, recorded in results/.

    python benchmarks/shallow_mnist.py FOLDER        (FOLDER holds MNIST/raw, as torchvision leaves it)

Digits 0, 1 and 2, global mean removed; 50 neurons, every entry Gaussian with variance 1e-6, not balanced; stochastic
gradient descent on the mean cross-entropy, batches of 1000, step 0.1, 50 epochs. Source: Min, Zhu and Vidal (2025),
appendix B.1.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch

from ncbook import data, experiments, shallow

ROOT = Path(__file__).resolve().parent.parent
RECIPE = {"epochs": 50, "batch_size": 1000, "learning_rate": 0.1}
PER_CLASS = 1000  # of the pairs whose cosines are counted: all pairs of 18 623 images would take 3 GB


def three_largest_share(features: torch.Tensor) -> float:
    """Share of the features' squared norm outside their three largest principal directions, not centred."""
    values = torch.linalg.svdvals(features).square()
    return float(1 - values[:3].sum() / values.sum())


def measure(folder: str, seed: int) -> dict[str, object]:
    digits = data.load("mnist", classes=(0, 1, 2), root=folder, download=False)
    mean = digits.images.flatten(1).double().mean(0)
    X, y = digits.images.flatten(1).double() - mean, digits.labels
    X_test, y_test = digits.test_images.flatten(1).double() - mean, digits.test_labels
    D = X.shape[1]
    start = shallow.ShallowReLU.random(50, D, 3, scale=1e-3, balanced=False, seed=seed)
    start = shallow.ShallowReLU(start.W * math.sqrt(D), start.V * math.sqrt(3))
    begin = time.perf_counter()
    trained = shallow.stochastic_gradient_descent(start, X, y, **RECIPE, seed=seed)
    seconds = time.perf_counter() - begin
    first = torch.cat([(y == k).nonzero()[:PER_CLASS, 0] for k in range(3)])
    found = shallow.violations(X[first], y[first])
    return {
        "training_images": len(X),
        "pairs_of_wrong_sign": {"same_class": found.same, "different_class": found.different, "per_class": PER_CLASS},
        "collapse_before": asdict(shallow.collapse(start.features(X), y, start.V)),
        "collapse_after": asdict(shallow.collapse(trained.features(X), y, trained.V)),
        "outside_three_principal_directions": {
            "images": three_largest_share(X),
            "features": three_largest_share(trained.features(X)),
        },
        "training_accuracy": float((trained(X).argmax(1) == y).double().mean()),
        "test_accuracy": float((trained(X_test).argmax(1) == y_test).double().mean()),
        "training_seconds": round(seconds, 1),
    }


def main(folder: str, seed: int = 0) -> None:
    command = "python benchmarks/shallow_mnist.py FOLDER"
    about = {"threads": torch.get_num_threads(), "data": "MNIST, training half, digits 0, 1 and 2"}
    record = {
        "what": "two-layer ReLU network on MNIST digits 0, 1, 2, as in Min, Zhu and Vidal (2025), appendix B.1",
        "provenance": experiments.provenance(command, "cpu", **about),
        "seed": seed,
        "settings": {"width": 50, "variance": 1e-6, "dtype": "float64", **RECIPE},
        "measured": measure(folder, seed),
    }
    out = ROOT / "results" / "shallow_mnist.json"
    experiments.write_record(out, record)
    print(out.read_text())


if __name__ == "__main__":
    main(sys.argv[1])
