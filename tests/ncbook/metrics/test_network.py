"""Measuring a network through a hook, and saved arrays by the command."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from ncbook.metrics import main, measure, neural_collapse
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
        if name not in without and value is not None and not isinstance(value, str):
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
    fixed = FeatureClassifier(nn.Sequential(nn.Flatten(), nn.Linear(3072, 16), nn.ReLU()), ETFClassifier(16, 2))
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
    assert once.nc4 is None and once.nearest_mean_accuracy is None and once.accuracy is None
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


# --- The command. ---


def saved(folder: Path, **arrays: np.ndarray) -> list[str]:
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return [part for name in arrays for part in (f"--{name}", str(folder / f"{name}.npy"))]


def arrays(dtype: str = "float32") -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 3
    features = (rng.normal(size=(30, 5)) + 3 * labels[:, None]).astype(dtype)
    return {
        "features": features,
        "labels": labels,
        "weight": rng.normal(size=(3, 5)).astype(dtype),
        "bias": rng.normal(size=3).astype(dtype),
    }


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_command_prints_what_the_function_returns(
    dtype: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = arrays(dtype)
    assert main([*saved(tmp_path, **given), "--format", "json", "--within", "class"]) == 0
    wanted = neural_collapse(**{k: torch.from_numpy(v) for k, v in given.items()}, within="class")
    assert json.loads(capsys.readouterr().out) == wanted.as_dict()


def test_the_command_runs_as_a_module_and_prints_a_table(tmp_path: Path) -> None:
    given = arrays()
    command = [sys.executable, "-m", "ncbook.metrics", *saved(tmp_path, **given)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0 and ran.stderr == ""
    assert ran.stdout.rstrip("\n") == str(neural_collapse(**{k: torch.from_numpy(v) for k, v in given.items()}))


def test_the_files_are_not_changed(tmp_path: Path) -> None:
    saved(tmp_path, **arrays())
    before = (tmp_path / "features.npy").read_bytes()
    main(saved(tmp_path, **arrays()))
    assert (tmp_path / "features.npy").read_bytes() == before


def test_json_stays_json_where_a_value_is_infinite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same = np.tile(np.random.default_rng(0).normal(size=(4, 3)), (2, 1))
    main([*saved(tmp_path, features=same, labels=np.arange(8) // 4), "--format", "json"])

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is not JSON")

    fields = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert math.isinf(float(fields["nc1"])) and math.isnan(float(fields["nc2_means"]))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"labels": np.arange(30)}, "labels must lie in 0 … 2, got values from 0 to 29"),
        ({"labels": np.arange(29) % 3}, r"labels must have one entry per sample"),
        ({"features": np.full((30, 5), np.nan)}, "features must be finite, got nan at sample 0, coordinate 0"),
        ({"features": np.array(["a", "b"])}, "features must be a .npy file of numbers"),
        ({"features": np.arange(30.0).astype(">f4")}, "features must be a .npy file of numbers"),
    ],
)
def test_the_command_says_what_is_wrong(
    change: dict[str, np.ndarray], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(saved(tmp_path, **(arrays() | change))) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and message in captured.err


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--features", str(tmp_path / "gone.npy"), "--labels", "y.npy"]) == 2
    assert "features must be a .npy file, found no file" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="limits the heap as Linux counts it")
def test_a_file_is_read_without_being_loaded_whole(tmp_path: Path) -> None:
    """256 MB of features through a process whose heap may grow by far less."""
    features = np.lib.format.open_memmap(tmp_path / "f.npy", "w+", "float32", (2**16, 2**10))
    rng = np.random.default_rng(0)
    for start in range(0, 2**16, 2**12):
        features[start : start + 2**12] = rng.standard_normal((2**12, 2**10), dtype=np.float32)
    features.flush()
    np.save(tmp_path / "y.npy", np.arange(2**16) % 4)
    script = (
        "import resource, sys; from ncbook.metrics import main\n"
        "import torch; torch.set_num_threads(1)\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv.pop()),) * 2)\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    limit = used_by_imports() + 120 * 2**20  # the blocks of 4 MB and their products; 256 MB would not fit
    command = [sys.executable, "-c", script, "--features", str(tmp_path / "f.npy"), "--labels", str(tmp_path / "y.npy")]
    ran = subprocess.run([*command, str(limit)], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "num_samples            65536" in ran.stdout


def used_by_imports() -> int:
    script = "import ncbook.metrics.network, torch; torch.set_num_threads(1); print(open('/proc/self/status').read())"
    status = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120).stdout
    return int(status.split("VmData:")[1].split()[0]) * 1024
