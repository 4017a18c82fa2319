"""What the tests of live experiments share: their names, what each starts with, and a look at their state."""

import functools
import json

import pytest

from ncbook import data
from ncbook.figures import phenomenon, style

START = {
    "formulas price": {"which": "price", "num_classes": 4, "Kq": 0.1},
    "formulas margin": {"which": "price", "num_classes": 4, "q": 0.02},
    "formulas temperature": {"which": "temperature", "num_classes": 10, "temperature": 10.0},
    "formulas overlap": {"which": "overlap", "num_classes": 10, "nc1": 1.0},
    "formulas retraction": {"which": "retraction", "step": 1.6},
    "formulas phase": {
        "which": "phase",
        "num_classes": 10,
        "samples_per_class": 10,
        "weight_decay": 0.01,
        "feature_decay": 0.001,
    },
    "formulas orthant": {"which": "orthant", "share": 0.5},
    "formulas bias": {
        "which": "bias",
        "num_classes": 4,
        "samples_per_class": 5,
        "decay": 0.005,
        "bias_decay": 0.02,
    },
    "formulas swing": {"which": "swing", "num_classes": 3, "temperature": 6.0, "angle": 150},
    "formulas cutoff": {
        "which": "cutoff",
        "sizes": [1.0, 0.5, 1e-4, 1e-9, 1e-10],
        "terms": [1.0, 2.0, 4.0, -100.0, 3000.0],
        "rank": 3,
        "truth": 7.0,
        "cutoff": 1e-15,
    },
    "frames shadow": {"which": "shadow", "num_classes": 5},
    "frames pull": {"which": "pull", "num_classes": 3, "angle": 20},
    "frames onto": {
        "which": "onto",
        "rows": [[0.0, 1.0], [-(0.75**0.5), -0.5], [0.75**0.5, -0.5]],
        "target": [[0.75**0.5, -0.5], [-(0.75**0.5), -0.5], [0.0, 1.0]],
        "angle": 0,
    },
    "frames sets": {
        "which": "sets",
        "sets": [
            [[0.0, 1.0], [1.0, 0.0], [-1.0, 0.0]],
            [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
            [[0.0, 1.0], [1.0, 0.0], [-1.0, 0.0], [0.0, -1.0]],
            [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.6, 0.0, -0.8]],
        ],
        "feature_dim": 3,
        "num_vectors": 3,
    },
    "freefeatures": {"num_classes": 3, "weight_decay": 0.02, "feature_decay": 0.01},
    "neurons": {"log_scale": 4},
    "race": {"num_classes": 10, "layers": 3, "decay": 0.001},
    "saddle": {"weight_decay": 0.1},
    "simplex": {"num_classes": 4, "feature_dim": 3},
    "sphere": {"num_classes": 3, "feature_dim": 2, "temperature": 5},
    "train": {"autoplay": False},
}
ONE_PANEL = ("formulas price", "formulas margin", "formulas overlap", "formulas swing", "formulas cutoff")
STILL = ("formulas", "frames", "race")  # nothing runs there by itself
by_name = pytest.mark.parametrize("name", START)
of_vectors = pytest.mark.parametrize("name", ["freefeatures", "simplex", "sphere"])
LAB = "Object.values(ncLive.labs)[0]"


def still():
    return style.new(2, 2)[0]


@functools.cache
def three_digits():
    """The data of "train", as the book's pages hold it."""
    digits = data.load("digits", classes=[0, 1, 2])
    train, test = (digits.images, digits.labels), (digits.test_images, digits.test_labels)
    return phenomenon.train_it(train, test, digits.class_names, still).parameters


def parameters(name, **changes):
    return (three_digits() if name == "train" else {}) | START[name] | changes


def state(page):
    return json.loads(page.evaluate(f"JSON.stringify({LAB}.experiment.save())"))


def settle(page):
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
