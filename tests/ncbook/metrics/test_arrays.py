"""What features and labels may come as, on which devices, and what is refused with the way out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ncbook.metrics import NeuralCollapse, find_classifier, measure, neural_collapse
from tests.ncbook.metrics.reference import classes

FEATURES, LABELS, WEIGHT, BIAS = classes(3, 5, [4, 5, 6], noise=0.3)


@pytest.mark.parametrize("change", [
    {"labels": LABELS.to(torch.uint8)}, {"labels": LABELS.to(torch.uint16)}, {"labels": LABELS.to(torch.uint64)},
    {"labels": LABELS[:, None]}, {"labels": LABELS.numpy().astype(">i4")}, {"features": FEATURES.numpy()},
    {"features": FEATURES.numpy().astype(">f8")}, {"weight": WEIGHT.numpy(), "bias": BIAS.numpy()},
])  # fmt: skip
def test_harmless_forms_are_taken(change: dict[str, Any]) -> None:
    given = {"features": FEATURES, "labels": LABELS, "weight": WEIGHT, "bias": BIAS}
    assert neural_collapse(**(given | change)) == neural_collapse(**given)


REFUSED = [
    ({"features": FEATURES.to("meta")}, "features must hold data, got a tensor on the meta device"),
    ({"labels": LABELS.to("meta")}, "labels must hold data"),
    ({"weight": WEIGHT.to("meta")}, "weight must hold data"),
    ({"features": FEATURES.to_sparse()}, r"features must be a dense tensor, got layout .*: give features.to_dense\(\)"),
    ({"features": FEATURES[:, :, None]}, "flatten or average the axes beyond the second"),
    ({"features": list(FEATURES)}, r"got list: give torch.tensor\(features\)"),
    ({"features": FEATURES.int()}, r"give features.float\(\)"),
    ({"features": FEATURES + 0j}, "features must be a floating tensor"),
    ({"features": np.array(["a"])}, "features must be an array of numbers, got dtype <U1"),
    ({"features": None}, "features must be a floating tensor of shape .* got NoneType"),
    ({"labels": torch.nn.functional.one_hot(LABELS)}, r"from one-hot rows, give labels.argmax\(1\)"),
    ({"labels": LABELS.tolist()}, r"got list: give torch.tensor\(labels\)"),
    ({"labels": LABELS.double()}, r"whole numbers become so by .long\(\)"),
    ({"labels": LABELS > 0}, "labels must hold integers, got dtype torch.bool"),
    ({"labels": "cat"}, "labels must be an integer tensor of shape .* got str"),
    ({"weight": WEIGHT.tolist()}, "weight must be a torch tensor of shape"),
]


@pytest.mark.parametrize("change, message", REFUSED)
def test_the_rest_is_refused_with_the_way_out(change: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"features": FEATURES, "labels": LABELS, "weight": WEIGHT, "bias": BIAS}
    with pytest.raises(ValueError, match=message):
        neural_collapse(**(given | change))
    with pytest.raises(ValueError, match=message):
        streamed(**(given | change))


def streamed(features: Any, labels: Any, weight: Any, bias: Any) -> Any:
    stream = NeuralCollapse(3, 5)
    stream.update(features, labels)
    return stream.compute(weight, bias)


def test_everything_runs_under_deterministic_algorithms(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU `torch.bincount` with weights refuses to run then; here it refuses in its place."""
    wanted = neural_collapse(FEATURES, LABELS, WEIGHT, BIAS)
    plain = torch.bincount

    def refuse(*args: Any, **kwargs: Any) -> Any:
        if len(args) > 1 or kwargs.get("weights") is not None:
            raise RuntimeError("does not have a deterministic implementation")
        return plain(*args, **kwargs)

    monkeypatch.setattr(torch, "bincount", refuse)
    torch.use_deterministic_algorithms(True)
    try:
        assert neural_collapse(FEATURES, LABELS, WEIGHT, BIAS) == wanted
        stream = NeuralCollapse(3, 5, class_means=WEIGHT)
        stream.update(FEATURES, LABELS, FEATURES @ WEIGHT.T + BIAS)
        assert stream.compute(WEIGHT, BIAS).nc1 == pytest.approx(wanted.nc1, rel=1e-12)
    finally:
        torch.use_deterministic_algorithms(False)


def test_the_state_stays_where_there_is_float64() -> None:
    """MPS has none; a move there would raise, in the middle of `model.to("mps")`."""
    stream = NeuralCollapse(3, 5)
    stream.update(FEATURES, LABELS)

    def to_mps(tensor: Any) -> Any:
        if tensor.dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return SimpleNamespace(device=torch.device("mps"))

    assert stream._apply(to_mps) is stream
    assert stream.state.device.type == "cpu" and stream.compute().num_samples == 15


def test_a_model_is_asked_for_where_one_is_needed() -> None:
    for call in (lambda: measure(None, []), lambda: find_classifier(None, lambda m: m)):
        with pytest.raises(ValueError, match=r"model must be a torch\.nn\.Module, got NoneType"):
            call()
    with pytest.raises(ValueError, match="loader must be an iterable of batches, got int"):
        measure(torch.nn.Linear(2, 2), 3)
