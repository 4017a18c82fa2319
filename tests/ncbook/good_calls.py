"""One good call for each public name, with every argument it has."""

from __future__ import annotations

import importlib
import inspect
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import nn

from ncbook import data, deep, etf, experiments, figures, metrics, models, shallow, sphere, training, ufm

DEEP = deep.DeepUFM(3, 2, 4, 0.01, 3)
FREE = ufm.UFM(3, 2, 4, 0.01, 0.01, 0.01)
W, H, B = FREE.random_point(0)
BEST = FREE.optimum()
ROUND = sphere.SphericalUFM(3, 2, 4, 2.0)
V, U = ROUND.random_point(0)
X, Y = shallow.planar_data(3, 4, 10.0)
NET = shallow.ShallowReLU.random(9, 2, 3, seed=3)
TIMES = torch.linspace(-4, 0, 3, dtype=torch.float64)
FLOW = shallow.gradient_flow(NET, X, Y, TIMES)
LIMIT = shallow.predicted_limit(X, Y)
FEATURES, LABELS = X.repeat(1, 2)[:, :4].contiguous(), Y
IMAGES = torch.linspace(0, 1, 12 * 16).reshape(12, 1, 4, 4)
DATA = data.ImageData("tiny", IMAGES, Y, IMAGES, Y, ("a", "b", "c"))
RECIPE = training.Recipe(1, 6)
CROWD = models.Crowd(2, 16, (5, 4), 3)


def network() -> models.FeatureClassifier:
    return models.mlp((1, 4, 4), 3, hidden=(5,), feature_dim=4)


def point(**more: Any) -> dict[str, Any]:
    return {"problem": FREE, "W": W, "H": H, "b": B, **more}


def on_spheres(**more: Any) -> dict[str, Any]:
    return {"problem": ROUND, "W": V, "H": U, **more}


def samples(**more: Any) -> dict[str, Any]:
    return {"network": NET, "inputs": X, "labels": Y, **more}


def metric() -> metrics.NeuralCollapse:
    stream = metrics.NeuralCollapse(3, 4)
    stream.update(FEATURES, LABELS)
    return stream


def good() -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """Return, for each public name, what to call and with what; models are new, for some calls train them."""
    unit = torch.nn.functional.normalize
    tall = etf.simplex_etf(3, 4)
    choices = {"correction": 0, "classes": [0, 1, 2], "min_samples": 1, "ignore_index": -100}
    live = {"name": "simplex", "alt": "A", "still": lambda: draw(1)}
    calls: dict[str, dict[str, Any]] = {
        "etf.simplex_etf": {
            "num_classes": 3, "feature_dim": 4, "generator": torch.Generator(), "dtype": torch.float64, "device": "cpu"
        },
        "etf.helmert": {"num_classes": 3},
        **{f"etf.{f}": {"weight": tall} for f in ("etf_distance", "cosine_matrix", "coherence", "largest_cosine")},
        **{f"etf.{f}": {"num_classes": 3, "feature_dim": 2} for f in ("welch_bound", "simplex_bound")},
        "etf.align": {"weight": tall, "target": tall},
        "etf.best_packing": {"num_classes": 3, "feature_dim": 2, "lines": False, "restarts": 1, "seed": 0},
        "codes.best_code": {"num_classes": 7, "feature_dim": 3, "restarts": 1, "seed": 0},
        "codes.best_features": {"weight": tall},
        "codes.icosahedron": {},
        "data.load": {
            "source": "digits", "classes": [0, 1], "samples_per_class": 2, "image_size": None, "root": None,
            "download": False, "seed": 0,
        },
        "data.ImageData": vars(DATA),
        "data.ImageData.with_label_noise": {"fraction": 0.5, "seed": 0},
        "memory.ledger": {
            "model": network(), "batch": (IMAGES, Y), "optimizer": None, "precision": "float32", "simulate": False
        },
        "memory.parameter_bytes": {"model": network()},
        "metrics.NeuralCollapse": {
            "num_classes": 3, "feature_dim": 4, "within": "sample", "between": "class",
            "class_counts": torch.full((3,), 4), "class_means": tall, **choices,
        },
        "metrics.NeuralCollapse.update": {"features": FEATURES, "labels": LABELS, "logits": torch.zeros(12, 3)},
        "metrics.NeuralCollapse.compute": {"weight": tall, "bias": torch.zeros(3).double()},
        "metrics.NeuralCollapseReport.as_dict": {},
        "metrics.NeuralCollapseReport.as_scalars": {"prefix": ""},
        **{f"metrics.{name}.as_dict": {} for name in ("Baselines", "ClassTable", "UnseenReport")},
        "metrics.ClassTable.rows": {},
        "metrics.find_classifier": {"model": network(), "run": lambda model: model(IMAGES)},
        "metrics.measure": {
            "model": network(), "loader": [(IMAGES, Y)], "classifier": None, "layers": ["backbone"],
            "pooling": torch.abs, "shift_labels": False, "mode": "eval", "within": "sample", "between": "class",
            "second_pass": False, "keep_bytes": 1000, "synchronise": True, "device": "cpu", "progress": False,
            **choices,
        },
        "metrics.neural_collapse": {
            "features": FEATURES, "labels": LABELS, "weight": tall, "bias": torch.zeros(3).double(),
            "within": "sample", "between": "class", "shuffles": 1, "seed": 0, **choices,
        },
        "metrics.unseen_collapse": {
            "features": FEATURES, "labels": LABELS, "class_means": tall, "weight": tall, "bias": torch.zeros(3).double()
        },
        "metrics.few_shot_accuracy": {"features": FEATURES, "labels": LABELS, "shots": 1, "episodes": 2, "seed": 0},
        "metrics.out_of_distribution_cosine": {"class_means": tall, "features": FEATURES},
        "metrics.variability_collapse_index": {"features": FEATURES, "labels": LABELS},
        "metrics.NeuralCollapse.plot": {"val": None, "ax": None},
        "ufm.UFM": {
            "num_classes": 3, "samples_per_class": 2, "feature_dim": 4, "weight_decay": 0.01, "feature_decay": 0.01,
            "bias_decay": 0.01, "loss": ufm.SquaredError(), "nonnegative": False,
        },
        "ufm.CrossEntropy": {"smoothing": 0.0},
        "ufm.Focal": {"gamma": 2.0},
        "ufm.LabelSmoothing": {"smoothing": 0.1},
        "ufm.SquaredError": {},
        "ufm.Loss.value": {"logits": W, "labels": torch.arange(3)},
        "ufm.Loss.gradient": {"logits": W, "labels": torch.arange(3)},
        "ufm.Loss.conjugate": {"multiplier": W, "labels": torch.arange(3)},
        **{f"ufm.UFM.{m}": {"W": W, "H": H, "b": B} for m in ("check_point", "objective", "gradient", "residual")},
        "ufm.UFM.optimum": {"nonnegative": False, "generator": torch.Generator()},
        "ufm.UFM.random_point": {"seed": 0, "scale": 1.0},
        "ufm.UFM.solve": {"seed": 0, "start": (W, H, B), "scale": 1.0, "nonnegative": False, "max_iterations": 3},
        "ufm.block_eigenvalue": {"problem": FREE, "singular_value": 0.1},
        "ufm.UFM.lower_bound": {"nonnegative": False},
        "ufm.best_margin": {"num_classes": 3, "q": 0.1, "nonnegative": False, "loss": ufm.CrossEntropy()},
        "ufm.certificate": point(tolerance=1e-5, exact=False),
        "ufm.exact_certificate": point(digits=30),
        "ufm.prove_local_minimum": {
            "problem": FREE, "W": BEST.W, "H": BEST.H, "b": BEST.b, "nonnegative": False, "digits": 30
        },
        "ufm.critical_points": {
            "problem": FREE, "starts": 2, "seed": 0, "scale": 1.0, "max_iterations": 5, "tolerance": 1e-10
        },
        "ufm.descend": {
            "problem": FREE, "start": (W, H, B), "step_size": 0.1, "steps": 2, "momentum": 0.0, "noise": 0.0,
            "seed": 0, "origin": (W, H, B), "record": 1,
        },
        "ufm.data_optimum": {
            "inputs": X, "labels": Y, "joint_decay": 0.01, "loss": ufm.SquaredError(), "max_steps": 5, "tolerance": 1e-9
        },
        **{f"ufm.DataOptimum.{m}": {"inputs": X} for m in ("logits", "features")},
        "ufm.escape_direction": point(tolerance=1e-6),
        "ufm.gap_budget": point(nonnegative=False),
        "ufm.hessian": point(),
        "ufm.hessian_vector_product": {"problem": FREE, "point": (W, H, B), "direction": (W, H, B)},
        "ufm.inequality_chain": point(),
        "ufm.layer_problem": {
            "features": H, "labels": FREE.labels, "weight": W, "bias": B, "weight_decay": 0.01, "feature_decay": 0.01,
            "bias_decay": 0.01,
        },
        "ufm.loss_of_margin": {"margin": torch.ones(2).double(), "num_classes": 3},
        "ufm.mean_margins": point(),
        "ufm.pack": {"point": (W, H, B)},
        "ufm.smallest_curvature": point(tolerance=1e-10, seed=0, max_iterations=500),
        "ufm.superclass_saddle": {"problem": FREE, "groups": [[0, 1], [2]], "seed": 0},
        "ufm.unpack": {"problem": FREE, "x": torch.from_numpy(ufm.pack((W, H, B)))},
        "deep.DeepUFM": {
            "num_classes": 3, "samples_per_class": 2, "feature_dim": 4, "decay": 0.01, "layers": 3,
            "loss": "cross-entropy", "relu": False,
        },
        **{f"deep.DeepUFM.{m}": {"factors": DEEP.random_start(0)} for m in ("activations", "objective")},
        **{
            f"deep.DeepUFM.{m}": {"logits": torch.ones(6, 3).double()}
            for m in ("fit", "least_penalty", "balanced_factors")
        },
        "deep.DeepUFM.best_scale": {"vectors": tall, "name": "given"},
        "deep.DeepUFM.random_start": {"seed": 0, "scale": 1.0},
        "deep.DeepUFM.shapes": {},
        "deep.DeepUFM.solve": {"seed": 0, "start": DEEP.random_start(0), "scale": 1.0, "max_iterations": 3},
        "deep.exact_best_scale": {"problem": DEEP, "name": "circle", "digits": 30},
        "deep.jump": {"layers": 3, "samples_per_class": 2, "num_samples": 6},
        "deep.shape_vectors": {"name": "circle", "num_classes": 4},
        "sphere.SphericalUFM": {"num_classes": 3, "samples_per_class": 2, "feature_dim": 4, "temperature": 2.0},
        **{
            f"sphere.SphericalUFM.{m}": {"W": V, "H": U}
            for m in ("check_point", "objective", "residual", "euclidean_gradient", "gradient")
        },
        "sphere.SphericalUFM.lower_bound": {},
        "sphere.SphericalUFM.optimum": {"generator": torch.Generator()},
        "sphere.SphericalUFM.random_point": {"seed": 0},
        "sphere.SphericalUFM.solve": {"seed": 0, "start": (V, U), "max_iterations": 3},
        "sphere.certificate": on_spheres(tolerance=1e-8),
        "sphere.exact_lower_bound": on_spheres(digits=30),
        "sphere.critical_points": {
            "problem": ROUND, "starts": 2, "seed": 0, "max_iterations": 5, "tolerance": 1e-10
        },
        "sphere.descend": {"problem": ROUND, "start": (V, U), "steps": 3, "step_size": 0.1},
        "sphere.hessian_vector_product": {"problem": ROUND, "point": (V, U), "direction": (0 * V, 0 * U)},
        **{f"sphere.{f}": on_spheres() for f in ("hessian", "radial_gradient", "smallest_curvature")},
        "sphere.escape_direction": on_spheres(tolerance=1e-8),
        "sphere.geodesic": {"points": V, "vectors": torch.zeros_like(V), "time": 1.0},
        **{f"sphere.{f}": {"points": V, "vectors": torch.zeros_like(V)} for f in ("project", "retract")},
        "sphere.stranded_point": {"problem": ROUND, "sample": 0},
        "sphere.tangent_basis": {"points": V},
        "sphere.temperature_for": {"probability": 0.9, "num_classes": 3},
        "sphere.unused_direction": {"W": V, "H": U, "tolerance": 1e-7},
        "shallow.Flow.network": {"index": -1},
        "shallow.Flow.log_time_of_loss": {"fraction": 0.99},
        "shallow.Limit.features": {"inputs": X, "labels": Y},
        "shallow.Limit.classifier": {"num_outputs": 3},
        "shallow.ShallowReLU": {"W": NET.W, "V": NET.V},
        "shallow.ShallowReLU.random": {
            "width": 4, "input_dim": 2, "num_outputs": 3, "scale": 1e-3, "balanced": True, "seed": 0
        },
        "shallow.ShallowReLU.semi_local": {
            "inputs": X, "labels": Y, "width": 9, "scale": 1e-3, "num_outputs": 3, "seed": 0
        },
        "shallow.ShallowReLU.features": {"inputs": X},
        "shallow.ShallowReLU.direction": {},
        **{f"shallow.{f}": samples() for f in ("assignment", "in_cone", "measured_limit")},
        "shallow.Mixture": {"centres": etf.simplex_etf(3, 4)},
        "shallow.Mixture.simplex": {"num_classes": 3, "input_dim": 4, "signal": 1.0, "seed": 0},
        "shallow.Mixture.draw": {"samples_per_class": 2, "seed": 0},
        **{f"shallow.{f}": {"inputs": X} for f in ("nngp_kernel", "tangent_kernel")},
        "shallow.kernel_trace_quotient": {"kernel": X @ X.T, "labels": Y},
        "shallow.centred": {"inputs": X},
        "shallow.class_directions": {"features": X, "labels": Y},
        "shallow.collapse": {"features": NET.features(X), "labels": Y, "classifier": NET.V},
        "shallow.gradient_flow": samples(log_times=TIMES, loss="cross_entropy", rtol=1e-3, max_steps=500),
        "shallow.loss_and_gradient": samples(loss="cross_entropy"),
        "shallow.max_margin": {"inputs": X[Y == 0]},
        "shallow.orthogonal_data": {
            "num_classes": 3, "samples_per_class": 2, "input_dim": 12, "mu_s": 0.5, "mu_d": 0.1,
            "norms": (1.0, 1.0), "seed": 0,
        },
        "shallow.planar_data": {
            "num_classes": 3, "samples_per_class": 2, "spread": 10.0, "norms": (1.0, 1.0), "seed": 0
        },
        "shallow.pseudo_labels": {"num_classes": 3, "num_outputs": 3},
        **{
            f"shallow.{f}": {"inputs": X, "labels": Y}
            for f in ("predicted_limit", "separability", "separable_subset", "violations")
        },
        "shallow.stochastic_gradient_descent": samples(epochs=1, batch_size=6, learning_rate=0.1, seed=0),
        "models.Crowd": {
            "count": 2, "input_dim": 16, "hidden": (5, 4), "num_classes": 3, "normalise": True, "scale": 1.0, "seed": 0
        },
        "models.Crowd.layers": {"inputs": IMAGES.flatten(1), "like": IMAGES.flatten(1)},
        "models.Crowd.forward": {"inputs": IMAGES.flatten(1)},
        "models.ETFClassifier": {
            "num_classes": 3, "feature_dim": 4, "scale": 1.0, "generator": torch.Generator(), "nonnegative": False,
            "learn_scale": False, "learn_bias": False,
        },
        "models.ETFClassifier.forward": {"features": torch.ones(2, 4)},
        "models.FeatureClassifier": {"backbone": nn.Flatten(), "classifier": nn.Linear(16, 3)},
        "models.FeatureClassifier.features": {"images": IMAGES},
        "models.FeatureClassifier.forward": {"images": IMAGES},
        "models.NormalisedClassifier": {"directions": unit(tall), "temperature": 2.0, "learned": False},
        "models.NormalisedClassifier.forward": {"features": torch.ones(2, 4).double()},
        "models.UnitFeatures": {},
        "models.UnitFeatures.forward": {"features": torch.ones(2, 4)},
        "models.cnn": {
            "input_shape": (1, 8, 8), "num_classes": 3, "channels": (2, 2), "feature_dim": 4, "relu_features": False,
            "classifier": "learned", "seed": 0,
        },
        "models.mlp": {
            "input_shape": (1, 4, 4), "num_classes": 3, "hidden": (4,), "feature_dim": 4, "normalise": True,
            "relu_features": False, "classifier": "learned", "seed": 0,
        },
        "models.normalise_features": {"model": network(), "temperature": 2.0, "learned_temperature": False},
        **{
            f"models.{f}": {
                "num_classes": 3, "feature_dim": 4, "classifier": "learned", "stem": "cifar", "width": 2,
                "last_width": 4, "channels": 1, "recompute": False, "seed": 0,
            }
            for f in ("resnet18", "resnet50")
        },
        "training.CollapseProbe": {
            "images": IMAGES, "labels": Y, "test_images": IMAGES, "test_labels": Y, "epochs": {1}, "keep": False
        },
        "training.Hardware": {"device": "cpu", "precision": "float32", "channels_last": False, "compile": False},
        "training.Hardware.resolved": {},
        "training.Hardware.autocast": {},
        "training.History.series": {"name": "loss"},
        "training.History.last": {"name": "loss"},
        "training.LastLayer.report": {},
        "training.Recipe": vars(training.Recipe(1)),
        "training.Recipe.rate": {"done": 0.5},
        "training.bf16_is_native": {"device": "cpu"},
        "training.few_classes": {"batch_size": 4, "classes_per_batch": 2},
        "training.fit": {
            "model": network(), "images": IMAGES, "labels": Y, "recipe": RECIPE, "seed": 0, "batches": None,
            "callbacks": (), "progress": False,
        },
        "training.StackedMuon": {
            "params": [torch.ones(2, 3, 4)], "lr": 0.02, "weight_decay": 0.1, "momentum": 0.95
        },
        "training.StackedMuon.step": {"closure": None},
        "training.fit_crowd": {
            "crowd": CROWD, "inputs": IMAGES.flatten(1), "labels": Y,
            "optimizer": torch.optim.SGD(CROWD.parameters(), 0.1), "epochs": 1, "batch_size": 6, "cosine": True,
            "seed": 0, "watch": None,
        },
        "training.newton_schulz": {"matrices": torch.ones(2, 3, 4)},
        "training.last_layer": {"model": network(), "images": IMAGES, "labels": Y, "batch_size": 6},
        "training.recalibrate": {"model": network(), "images": IMAGES, "batch_size": 6},
        "training.shuffled": {"batch_size": 4},
        "training.spread_epochs": {"epochs": 10, "count": 3},
        "training.train": {
            "model": network(), "data": DATA, "recipe": RECIPE, "seed": 0, "hardware": training.Hardware("cpu"),
            "augment": False, "folder": None, "identity": {}, "measure_every": 1, "time_limit": None,
            "progress": False,
        },
        "training.trained_last_layer": {
            "feature_dim": 4, "weight_decay": 0.01, "epochs": 0, "seed": 0, "progress": False
        },
        "experiments.described": {"images": DATA},
        "experiments.origin": {"record": {"provenance": experiments.provenance("x", "cpu")}},
        "experiments.provenance": {"command": "x", "device": "cpu"},
        "experiments.recorded": {"name": "memory-digits"},
        "experiments.write_record": {"path": str(Path(tempfile.mkdtemp()) / "a.json"), "record": {"a": 1.0}},
        "figures.explore": {"draw": draw, "alt": "A", "labels": {"K": "K"}, "start": {"K": 1}, "K": [1]},
        "figures.Exploration": {
            "draw": draw, "alt": "A", "labels": {"K": "K"}, "start": {"K": 1}, "choices": {"K": [1]}
        },
        "figures.Exploration.to_html": {},
        "figures.live": live,
        "figures.LiveExperiment": {**live, "parameters": {}},
        "figures.LiveExperiment.to_html": {"image": "picture.webp"},
    }  # fmt: skip
    return {name: (_found(name), arguments) for name, arguments in calls.items()}


def draw(K: int) -> Figure:
    return Figure((1, 1), dpi=20)


def _found(name: str) -> Callable[..., Any]:
    room, first, *method = name.split(".")
    owner = getattr(importlib.import_module(f"ncbook.{room}"), first)
    if not method or isinstance(inspect.getattr_static(owner, method[0]), classmethod):
        return getattr(owner, method[0]) if method else owner
    layer = training.LastLayer(FEATURES, Y, torch.zeros(3, 4).double(), torch.zeros(3).double())
    hosts: dict[str, Callable[[], Any]] = {
        "ImageData": lambda: DATA, "NeuralCollapse": metric, "UFM": lambda: FREE, "Loss": ufm.SquaredError,
        "DeepUFM": lambda: DEEP, "DataOptimum": lambda: ufm.data_optimum(X, Y, 0.1),
        "Mixture": lambda: shallow.Mixture.simplex(3, 4, 1.0),
        "SphericalUFM": lambda: ROUND, "Flow": lambda: FLOW,
        "Limit": lambda: LIMIT, "ShallowReLU": lambda: NET, "FeatureClassifier": network,
        "ETFClassifier": lambda: models.ETFClassifier(3, 4), "UnitFeatures": models.UnitFeatures,
        "NormalisedClassifier": lambda: models.NormalisedClassifier(etf.simplex_etf(3, 4), 2.0),
        "Hardware": lambda: training.Hardware("cpu"), "History": lambda: training.History(({"loss": 1.0},)),
        "NeuralCollapseReport": lambda: metrics.neural_collapse(FEATURES, Y), "LastLayer": lambda: layer,
        "Crowd": lambda: CROWD, "StackedMuon": lambda: training.StackedMuon([torch.ones(2, 3, 4)]),
        "Recipe": lambda: RECIPE, "UnseenReport": lambda: metrics.unseen_collapse(FEATURES, Y, FEATURES[:3]),
        "Baselines": lambda: metrics.neural_collapse(FEATURES, Y, shuffles=1).baselines,
        "ClassTable": lambda: metrics.neural_collapse(FEATURES, Y).per_class,
        "Exploration": lambda: figures.explore(draw, alt="A", K=[1]),
        "LiveExperiment": lambda: figures.live("simplex", alt="A", still=lambda: draw(1)),
    }  # fmt: skip
    return getattr(hosts[first](), method[0])
