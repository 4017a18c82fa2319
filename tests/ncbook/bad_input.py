"""The names that readers can call, and the values that no argument of its kind can take."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tests.conftest import ROOT

HUGE = 10**30
NAN, INF = float("nan"), float("inf")
# What functions return: readers are not asked to build one.
RETURNED = {
    "codes.Code", "data.DataUnavailable", "deep.DeepSolution", "deep.ShapeOptimum", "memory.LayerBytes",
    "memory.MemoryLedger", "metrics.Baselines", "metrics.ClassTable", "metrics.NeuralCollapseReport",
    "metrics.UnseenReport",
    "shallow.Collapse", "shallow.Flow", "shallow.Limit", "shallow.Separability", "shallow.Violations",
    "sphere.Census", "sphere.Certificate", "sphere.Descent", "sphere.Escape", "sphere.Optimum", "sphere.Point",
    "sphere.Solution", "training.CheckpointError", "training.History",
    "training.LastLayer", "training.Run", "training.State", "training.TrainedLastLayer", "ufm.Census",
    "sphere.ExactBound", "ufm.ExactCertificate", "ufm.LocalMinimum",
    "ufm.BestMargin", "ufm.Certificate", "ufm.Chain", "ufm.Descent", "ufm.Escape", "ufm.GapBudget", "ufm.Optimum",
    "ufm.DataOptimum", "ufm.Loss", "ufm.Point", "ufm.Solution",
}  # fmt: skip
# A command speaks to a shell and is tested with what a shell can say; ``forward`` hands all it gets to ``update``;
# a callback needs a library that may not be there.
ELSEWHERE = {
    "metrics.main", "experiments.main", "metrics.NeuralCollapse.forward", "metrics.lightning_callback",
    "metrics.trainer_callback",
}  # fmt: skip
# Arguments that a zero, a minus sign, any text or any shape suits, whatever the function or in the one named.
ZERO = {"gamma", "smoothing",
        "seed", "bias_decay", "epochs", "momentum", "noise", "weight_decay", "feature_decay", "sample",
        "fraction",
        "tolerance", "index", "max_iterations", "iterations", "steps", "test_samples", "correction",
        "singular_value", "keep_bytes", "shuffles", "done", "ufm.UFM.random_point.scale", "ufm.UFM.solve.scale",
        "deep.DeepUFM.random_start.scale", "deep.DeepUFM.solve.scale",
        "shallow.planar_data.spread", "shallow.Mixture.simplex.signal"}  # fmt: skip
SIGNED = {"time", "index", "log_time", "ignore_index"}
FREE_TEXT = {
    "deep.DeepUFM.best_scale.name",
    "prefix",
    "root",
    "path",
    "folder",
    "alt",
    "command",
    "data.ImageData.name",
    "figures.LiveExperiment.to_html.image",
}
# What shape a network takes is its backbone's to say.
ANY_SHAPE = {"ufm.loss_of_margin.margin", "models.FeatureClassifier.features.images",
             "models.FeatureClassifier.forward.images", "training.newton_schulz.matrices"}  # fmt: skip
# A layer does not look at its numbers: that would make a GPU wait in every step, and `memory.ledger` runs a network on
# tensors that have none. `fit` and `train` say when the loss is not finite.
UNREAD = {"models.ETFClassifier.forward", "models.NormalisedClassifier.forward", "models.UnitFeatures.forward",
          "models.FeatureClassifier.features", "models.FeatureClassifier.forward", "models.Crowd.layers",
          "models.Crowd.forward"}  # fmt: skip


def public() -> Iterator[str]:
    """Every function, class and method that the rooms' faces offer, as ``room.name`` or ``room.Class.method``."""
    for path in sorted((ROOT / "ncbook").iterdir()):
        room = path.stem
        if room.startswith("_") or room == "checks" or not (path.suffix == ".py" or (path / "__init__.py").exists()):
            continue
        face = importlib.import_module(f"ncbook.{room}")
        own = (n for n, v in vars(face).items() if n[0] != "_" and getattr(v, "__module__", "") == face.__name__)
        for name in getattr(face, "__all__", own):
            value = getattr(face, name)
            if inspect.isfunction(value) or inspect.isclass(value):
                yield f"{room}.{name}"
            if inspect.isclass(value):
                methods = {k: getattr(f, "__func__", f) for k, f in vars(value).items() if not k.startswith("_")}
                yield from (f"{room}.{name}.{k}" for k, f in methods.items() if inspect.isfunction(f))


def bad(name: str, argument: str, value: Any, annotation: str) -> Iterator[tuple[str, Any]]:
    """Yield the kinds of bad input that ``argument`` of ``name``, which takes ``value``, can never take."""
    names = {argument, f"{name}.{argument}"}
    module = nn.Identity()
    if value is not None and "None" not in annotation:
        yield "none", None
    if isinstance(value, Tensor):
        yield from {"text": "x", "list": [1.0], "dict": {}, "int": 3, "module": module}.items()
        if not names & ANY_SHAPE:
            yield "shape", value[None, None, None]
        yield "complex", value.to(torch.complex128)
        if name not in UNREAD:
            yield "meta", value.to("meta")
        if value.is_floating_point():
            if name not in UNREAD:
                yield from (("nan", torch.full_like(value, NAN)), ("inf", torch.full_like(value, INF)))
            yield "integer", value.long()
        else:
            yield from (("nan", torch.full(value.shape, NAN)), ("negative", -1 - value))
    elif isinstance(value, bool):
        yield from {"text": "x", "list": [1.0], "nan": NAN, "int": 3, "module": module}.items()
    elif isinstance(value, int | float):
        yield from {"text": "x", "list": [1.0], "dict": {}, "module": module, "nan": NAN, "complex": 1j}.items()
        if "ufm.UFM.bias_decay" not in names:  # there it is: no bias
            yield "inf", INF
        yield from {"bool": True, "meta": torch.ones((), device="meta")}.items()
        if not names & SIGNED:
            yield "negative", -1
        if not names & (SIGNED | ZERO):
            yield "zero", 0
        if isinstance(value, int):
            yield "huge", HUGE
    elif isinstance(value, str):
        yield from {"list": [1.0], "dict": {}, "int": 3}.items()
        if "Callable" not in annotation:
            yield "module", module
        if not names & FREE_TEXT:
            yield "text", "no such option"
    elif isinstance(value, nn.Module):
        yield from {"text": "x", "int": 3, "nan": NAN, "list": [1.0], "dict": {}}.items()
    elif value is not None:
        yield from {"text": "x", "nan": NAN}.items()
        if "int |" not in annotation:
            yield "int", 3
        if not callable(value):
            yield "module", module
