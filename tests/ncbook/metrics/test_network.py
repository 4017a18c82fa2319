"""Measuring a network through a hook."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from ncbook.metrics import measure, neural_collapse
from ncbook.models import ETFClassifier, FeatureClassifier


class Net(nn.Module):
    """Batch norm, dropout and a last layer that is not the last one registered."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(7, 3)
        self.body = nn.Sequential(nn.Linear(4, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Dropout(0.3))
        self.auxiliary = nn.Linear(7, 5)

    def features(self, x: Tensor) -> Tensor:
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        h = self.features(x)
        self.auxiliary(h)  # runs after nothing, returns nothing: not the classifier
        return self.head(h)


class TimmStyle(Net):
    """Names its classifier, and returns something else than its output."""

    def get_classifier(self) -> nn.Module:
        return self.head

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 1.0


class Wrapped(nn.Module):
    """Takes keywords and returns an object with logits, as language-model libraries do."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Net()

    def forward(self, pixels: Tensor) -> Any:
        return SimpleNamespace(logits=self.net(pixels))


@pytest.fixture
def data() -> TensorDataset:
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    return TensorDataset(torch.randn(60, 4, generator=rng) + labels[:, None], labels)


@pytest.fixture
def net() -> Net:
    torch.manual_seed(1)
    return Net()


def direct(net: Net, data: TensorDataset) -> Any:
    """The same measurement without hooks: features by hand."""
    net.eval()
    with torch.no_grad():
        return neural_collapse(net.features(data.tensors[0]), data.tensors[1], net.head.weight, net.head.bias)


def close(a: Any, b: Any, *, without: tuple[str, ...] = ()) -> None:
    for name, value in b.as_dict().items():
        if name not in without and value is not None and not isinstance(value, (str, tuple)):
            # float32 features of one batch differ in the last bit from those of another batch size.
            assert getattr(a, name) == pytest.approx(value, rel=1e-4, abs=1e-6), name


@pytest.mark.parametrize("classifier", [None, "head", "module"])
def test_the_hook_finds_what_the_classifier_sees(net: Net, data: TensorDataset, classifier: str | None) -> None:
    named = net.head if classifier == "module" else classifier
    close(measure(net, DataLoader(data, 16), named, progress=False), direct(net, data))


def test_a_timm_style_model_names_its_own_classifier(data: TensorDataset) -> None:
    net = TimmStyle()
    close(measure(net, DataLoader(data, 16), progress=False), direct(net, data))


def test_a_model_that_takes_keywords_and_returns_an_object(data: TensorDataset) -> None:
    model = Wrapped()
    batches = [{"pixels": x, "labels": y} for x, y in DataLoader(data, 16)]
    close(measure(model, batches, progress=False), direct(model.net, data))


def test_a_torchvision_model_and_the_books_own() -> None:
    from torchvision.models import resnet18

    labels = torch.arange(8) % 2
    loader = DataLoader(TensorDataset(torch.randn(8, 3, 32, 32), labels), 4)
    fixed = FeatureClassifier(nn.Sequential(nn.Flatten(), nn.Linear(3072, 16), nn.ReLU()), ETFClassifier(2, 16))
    for model, last in ((resnet18(num_classes=2), "fc"), (fixed, "classifier")):
        found, named = measure(model, loader, progress=False), measure(model, loader, last, progress=False)
        assert found == named
        assert found.num_classes == 2 and found.nc3 is not None and 0 <= found.nc4 <= 1


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_the_model_is_left_as_it_was_found(net: Net, data: TensorDataset, mode: Any) -> None:
    net.train()
    net.body[1].eval()
    modes = [m.training for m in net.modules()]
    state = {k: v.clone() for k, v in net.state_dict().items()}
    measure(net, DataLoader(data, 16), mode=mode, progress=False)
    assert [m.training for m in net.modules()] == modes
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert torch.is_grad_enabled() and all(p.requires_grad for p in net.parameters())
    net(data.tensors[0]).sum().backward()  # buffers are not inference tensors now


def test_the_model_is_left_as_it_was_found_after_an_error(net: Net, data: TensorDataset) -> None:
    def broken() -> Iterator[Any]:
        yield data.tensors[0], data.tensors[1]
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        measure(net, broken(), progress=False)
    assert net.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_train_mode_sees_other_features(net: Net, data: TensorDataset) -> None:
    loader = DataLoader(data, 20)
    evaluated = measure(net, loader, progress=False)
    trained = measure(net, loader, mode="train", progress=False)
    assert abs(trained.nc1 / evaluated.nc1 - 1) > 0.05


def test_features_that_do_not_fit_are_streamed(net: Net, data: TensorDataset) -> None:
    loader = DataLoader(data, 16)
    kept = measure(net, loader, progress=False)
    once = measure(net, loader, keep_bytes=1000, progress=False)
    twice = measure(net, loader, keep_bytes=1000, second_pass=True, progress=False)
    assert once.nc4 is None and once.nearest_mean_accuracy is None and once.accuracy == kept.accuracy
    assert twice.nc4 == kept.nc4 and twice.accuracy == kept.accuracy
    for streamed in (once, twice):
        for name in ("nc1", "cdnv", "directional_nc1", "nc3", "bias_collapse"):
            assert getattr(streamed, name) == pytest.approx(getattr(kept, name), rel=1e-9)


def test_features_fill_the_memory_allowed_and_no_more(net: Net, data: TensorDataset) -> None:
    exactly = 60 * 7 * 4
    assert measure(net, DataLoader(data, 16), keep_bytes=exactly, progress=False).nc4 is not None
    assert measure(net, DataLoader(data, 16), keep_bytes=exactly - 1, progress=False).nc4 is None


def test_what_cannot_be_measured_is_refused(net: Net, data: TensorDataset) -> None:
    loader = DataLoader(data, 16)
    twice = nn.Sequential(net.body, net.head, nn.Linear(3, 7), net.head)
    spatial = nn.Sequential(nn.Linear(4, 3))
    inputs, labels = data.tensors
    cases: list[tuple[Any, Any, dict[str, Any], str]] = [
        ("net", loader, {}, "model must be a torch.nn.Module, got str"),
        (net, loader, {"mode": "test"}, "mode must be 'eval' or 'train', got 'test'"),
        (net, loader, {"keep_bytes": -1}, "keep_bytes must be an integer >= 0"),
        (net, loader, {"classifier": "fc"}, "classifier must be the name of a module of the model, got 'fc'"),
        (net, loader, {"classifier": nn.Linear(7, 3)}, "classifier must be a module of the model, got Linear"),
        (nn.Sequential(net.body, net.head, nn.Softmax(1)), loader, {}, "classifier must be given"),
        (twice, loader, {"classifier": "1"}, "classifier must run exactly once for each batch, got 2 times"),
        (net, loader, {"classifier": "auxiliary.x"}, "classifier must be the name"),
        (spatial, [(inputs[:, None, :], labels)], {}, r"input of the classifier must be \(B=60, d\), got \(60, 1, 4\)"),
        (net, [], {}, "loader must yield at least one batch"),
        (net, [inputs], {}, "a batch must be .inputs, labels"),
        (net, [{"x": inputs}], {}, "must have 'labels' or 'label', got .'x'."),
        (net, [(inputs, labels % 2)], {}, "got none of class 2 among 3 classes"),
        (net, [(inputs / 0, labels)], {}, "features must be finite, got nan at sample"),
    ]
    for model, batches, options, message in cases:
        with pytest.raises(ValueError, match=message):
            measure(model, batches, **options, progress=False)


def test_progress_goes_to_the_error_stream(net: Net, data: TensorDataset, capsys: pytest.CaptureFixture[str]) -> None:
    measure(net, DataLoader(data, 16))
    captured = capsys.readouterr()
    assert captured.out == "" and "features" in captured.err
