"""Measure neural collapse of features saved to files, through a memory map.

python -m ncbook.metrics --features f.npy --labels y.npy [--weight w.npy --bias b.npy] [--format table|json]
"""

from __future__ import annotations

import argparse
import json
import math
import pickle
import sys
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ncbook.metrics.arrays import as_tensor
from ncbook.metrics.in_memory import neural_collapse
from ncbook.metrics.reports import NeuralCollapseReport


def load(name: str, path: str) -> Tensor:
    """Return the array saved at ``path``; nothing that is in the file is run.

    Args:
        name: what the file holds, for errors, and to find it among several.
        path: a ``.npy`` file (read through a memory map: nothing is loaded until it is looked at); an ``.npz`` file or
            a ``.pt`` file with a dictionary, holding ``name`` or one array only; or a ``.pt`` file with a tensor.

    Raises:
        ValueError: if there is no such file, or it does not hold numbers that torch knows.
    """
    if not Path(path).is_file():
        raise ValueError(f"{name} must be a .npy, .npz or .pt file, found no file {path}")
    kind = Path(path).suffix.lower()
    try:
        if kind in (".pt", ".pth"):
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            found = _pick(name, path, found) if isinstance(found, dict) else found
        else:
            found = np.load(path, mmap_mode="r", allow_pickle=False)
            if isinstance(found, np.lib.npyio.NpzFile):
                with found as archive:
                    found = _pick(name, path, archive)
    except (
        TypeError,
        ValueError,
        EOFError,
        OSError,
        RuntimeError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
    ) as error:
        # NumPy advises allow_pickle and torch weights_only=False: both run what is in the file.
        first = str(error).split("\n")[0]
        reason = "it holds Python objects" if "ickle" in first or "eights" in first or kind == ".pkl" else first
        raise ValueError(f"{name} must be a file of numbers, cannot read {path}: {reason}{_way_out(kind)}") from None
    with warnings.catch_warnings():
        # A writable map would count as memory, so a file larger than memory could be refused. Torch warns that
        # this one is read-only; it is only ever read.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        tensor = as_tensor(name, found)
    if not isinstance(tensor, Tensor):
        raise ValueError(f"{name} must be a file of numbers, {path} holds a {type(found).__name__}")
    return tensor.detach()


def _pick(name: str, path: str, found: Mapping[str, Any]) -> Any:
    """Return the array called ``name``, or the only one."""
    names = list(found)
    if name in names:
        return found[name]
    if len(names) == 1:
        return found[names[0]]
    raise ValueError(f"no {name!r} among {names[:10]}")


def _way_out(kind: str) -> str:
    if kind in (".csv", ".txt", ".tsv"):
        return "; save it by numpy.save(…, numpy.loadtxt(…, delimiter=','))"
    return "; save numbers by numpy.save, numpy.savez or torch.save"


OPTIONS = ("within", "between", "correction", "classes", "min_samples", "ignore_index")


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
    parser.add_argument("--features", required=True, help=".npy, .npz or .pt, (N, d), floating")
    parser.add_argument("--labels", required=True, help="the same, (N,), integers from 0")
    parser.add_argument("--weight", help="the same, (K, d), the classifier's rows")
    parser.add_argument("--bias", help="the same, (K,), the classifier's bias")
    parser.add_argument("--within", choices=("sample", "class"), default="sample")
    parser.add_argument("--between", choices=("class", "sample"), default="class")
    parser.add_argument("--correction", type=int, choices=(0, 1), default=0, help="1: variances by n - 1")
    parser.add_argument("--classes", type=int, nargs="+", help="the classes to measure")
    parser.add_argument("--min-samples", type=int, help="leave out classes with fewer samples")
    parser.add_argument("--ignore-index", type=int, default=-100, help="leave out samples with this label")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    given = parser.parse_args(arguments)
    try:
        arrays = {
            name: None if path is None else load(name, path)
            for name, path in vars(given).items()
            if name in ("features", "labels", "weight", "bias")
        }
        options = {name: getattr(given, name) for name in OPTIONS}
        report = neural_collapse(**arrays, **options)  # type: ignore[arg-type]
    except ValueError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    print(as_json(report) if given.format == "json" else report)
    return 0
