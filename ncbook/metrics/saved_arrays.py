"""Measure neural collapse of features saved to files, through a memory map.

python -m ncbook.metrics --features f.npy --labels y.npy [--weight w.npy --bias b.npy] [--format table|json]
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ncbook.metrics.in_memory import neural_collapse
from ncbook.metrics.reports import NeuralCollapseReport


def load(name: str, path: str) -> Tensor:
    """Return the array saved at ``path`` as a tensor over a memory map: nothing is read until it is looked at.

    Args:
        name: what the file holds, for errors.
        path: a ``.npy`` file.

    Raises:
        ValueError: if there is no such file, or it does not hold numbers that torch knows.
    """
    if not Path(path).is_file():
        raise ValueError(f"{name} must be a .npy file, found no file {path}")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        with warnings.catch_warnings():
            # A writable map would count as memory, so a file larger than memory could be refused. Torch warns that
            # this one is read-only; it is only ever read.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return torch.from_numpy(array)
    except (TypeError, ValueError, EOFError) as error:
        raise ValueError(f"{name} must be a .npy file of numbers, cannot read {path}: {error}") from error


def as_json(report: NeuralCollapseReport) -> str:
    """Return the report as JSON; numbers that JSON cannot write become the texts "nan", "inf" and "-inf"."""
    fields = {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in report.as_dict().items()
    }
    return json.dumps(fields, indent=2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m ncbook.metrics", description="Measure neural collapse.")
    parser.add_argument("--features", required=True, help=".npy, (N, d), float16, float32 or float64")
    parser.add_argument("--labels", required=True, help=".npy, (N,), integers from 0")
    parser.add_argument("--weight", help=".npy, (K, d), the classifier's rows")
    parser.add_argument("--bias", help=".npy, (K,), the classifier's bias")
    parser.add_argument("--within", choices=("sample", "class"), default="sample")
    parser.add_argument("--between", choices=("class", "sample"), default="class")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    given = parser.parse_args(arguments)
    try:
        arrays = {
            name: None if path is None else load(name, path)
            for name, path in vars(given).items()
            if name in ("features", "labels", "weight", "bias")
        }
        report = neural_collapse(**arrays, within=given.within, between=given.between)  # type: ignore[arg-type]
    except ValueError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    print(as_json(report) if given.format == "json" else report)
    return 0
