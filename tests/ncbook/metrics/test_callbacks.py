"""Loops people use: Hugging Face's Trainer, Lightning, a torchmetrics collection; and a library that is not there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from ncbook.metrics import NeuralCollapse, lightning_callback, measure, neural_collapse, trainer_callback
from tests.ncbook.metrics.reference import classes


class Rows(torch.utils.data.Dataset):
    def __init__(self) -> None:
        self.x, self.y = (t for t in classes(3, 4, [12] * 3, noise=1.0)[:2])

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        return {"pixels": self.x[i].float(), "labels": self.y[i]}


class Speaking(nn.Module):
    """A classifier in the manner of transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(4, 6), nn.ReLU()), nn.Linear(6, 3)

    def forward(self, pixels: Tensor, labels: Tensor | None = None) -> Any:
        logits = self.head(self.body(pixels))
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return {"loss": loss, "logits": logits} if labels is not None else SimpleNamespace(logits=logits)


def test_a_hugging_face_trainer_logs_the_report_of_every_epoch(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="pip install transformers accelerate")
    torch.manual_seed(0)
    model, loader, heard = Speaking(), DataLoader(Rows(), 16), []
    callback = trainer_callback(loader, every=2, prefix="", log=heard.append, classifier="head")
    arguments = transformers.TrainingArguments(
        str(tmp_path), num_train_epochs=4, per_device_train_batch_size=8, report_to=[], use_cpu=True,
        save_strategy="no", disable_tqdm=True, learning_rate=0.05,
    )  # fmt: skip
    trainer = transformers.Trainer(model, arguments, train_dataset=Rows(), callbacks=[callback])
    trainer.train()
    assert [round(epoch) for epoch, _ in callback.reports] == [2, 4]
    entries = [entry for entry in trainer.state.log_history if "nc1" in entry]
    assert [entry["nc1"] for entry in entries] == [r.nc1 for _, r in callback.reports] == [e["nc1"] for e in heard]
    assert callback.reports[-1][1] == measure(model, loader, "head", progress=False)
    assert callback.reports[-1][1].accuracy > 0.8


def test_lightning_logs_the_report_of_every_epoch(tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning.pytorch", reason="pip install lightning")

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)

        def training_step(self, batch: Any, index: int) -> Tensor:
            return nn.functional.cross_entropy(self(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), 0.05)

    torch.manual_seed(0)
    features, labels, _, _ = classes(3, 4, [12] * 3, noise=1.0)
    loader = DataLoader(TensorDataset(features.float(), labels), 16)
    module, callback = Module(), lightning_callback(loader, every=2)
    trainer = lightning.Trainer(
        max_epochs=4, callbacks=[callback], accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=str(tmp_path),
    )  # fmt: skip
    trainer.fit(module, loader)
    assert [epoch for epoch, _ in callback.reports] == [2, 4]
    last = callback.reports[-1][1]
    assert float(trainer.callback_metrics["nc/nc1"]) == pytest.approx(last.nc1, rel=1e-5)
    assert last == measure(module, loader, progress=False) and last.accuracy > 0.8


@pytest.mark.parametrize("make", [trainer_callback, lightning_callback])
def test_a_library_that_is_not_there_is_named_with_its_command(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("transformers", "lightning", "lightning.pytorch"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(ModuleNotFoundError, match=r"not installed: pip install (transformers|lightning)"):
        make([])


@pytest.mark.parametrize("options, message", [
    ({"every": 0}, "every must be an integer >= 1"),
    ({"prefix": 3}, "prefix must be a str"),
    ({"layers": ["a"]}, "layers must be left out"),
    ({"log": 3}, "log must be callable or None, got int"),
    ({"loader": iter([])}, "loader must be an iterable that can be read every epoch, got list_iterator"),
    ({"loader": "x"}, "loader must be an iterable that can be read every epoch, got str"),
    ({"loader": None}, "loader must be an iterable that can be read every epoch, got NoneType"),
])  # fmt: skip
def test_a_callback_that_cannot_be_is_refused_library_or_not(options: dict[str, Any], message: str) -> None:
    for make in (trainer_callback,) if "log" in options else (trainer_callback, lightning_callback):
        with pytest.raises(ValueError, match=message):
            make(**({"loader": []} | options))


def test_a_room_whose_library_is_missing_says_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    import ncbook.metrics as room

    monkeypatch.delitem(sys.modules, "ncbook.metrics.stream", raising=False)
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    with pytest.raises(
        ModuleNotFoundError,
        match=r"needs torchmetrics, .*: pip install torchmetrics \(it comes with ncbook\[stream\]\)$",
    ):
        room.__getattr__("NeuralCollapse")


def test_a_collection_measures_in_two_ways_at_once() -> None:
    from torchmetrics import MetricCollection

    features, labels, _, _ = classes(3, 5, [4, 9, 6], noise=0.7)
    both = MetricCollection({name: NeuralCollapse(3, 5, between=name) for name in ("class", "sample")})
    for h, y in zip(features.split(7), labels.split(7)):
        both.update(h, y)
    found = both.compute()
    for name in ("class", "sample"):
        assert found[name].nc1 == pytest.approx(neural_collapse(features, labels, between=name).nc1, rel=1e-9)


def test_a_plot_shows_what_vanishes(tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    features, labels, weight, _ = classes(3, 5, [4, 9, 6], noise=0.7)
    stream = NeuralCollapse(3, 5)
    stream.update(features, labels)
    _, axes = stream.plot()
    assert axes.get_yscale() == "log"
    steps = [stream.compute(weight), neural_collapse(features / 2, labels, weight)]
    _, axes = stream.plot(steps, pyplot.figure().subplots())
    shown = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert shown["nc3"] == pytest.approx([r.nc3 for r in steps], rel=1e-6)
    for bad in ("x", [1.0]):
        with pytest.raises(ValueError, match="val must be a NeuralCollapseReport"):
            stream.plot(bad)
    pyplot.close("all")
