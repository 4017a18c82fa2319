"""Models as people have them: compiled, over tokens, with several inputs; every layer; loaders with faults."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ncbook.metrics import measure, neural_collapse
from tests.ncbook.metrics.reference import same


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(4, 6), nn.ReLU())
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


LABELS = torch.arange(30) % 3
INPUTS = torch.randn(30, 4, generator=torch.Generator().manual_seed(1)) + LABELS[:, None]


def direct(net: Net, inputs: Tensor = INPUTS, labels: Tensor = LABELS) -> Any:
    with torch.no_grad():
        return neural_collapse(net.body(inputs), labels, net.head.weight, net.head.bias).as_dict()


def broken(graph: Any, inputs: Any) -> Any:
    """A compiler whose graphs must never run: it stands for all, and takes no time."""

    def run(*args: Any) -> Any:
        raise AssertionError("the compiled graph ran")

    return run


@pytest.mark.parametrize("how", ["torch.compile", "module.compile", "a part"])
def test_a_compiled_model_is_measured_as_it_was_written(how: str) -> None:
    net = Net()
    wanted = direct(net)
    model: Any = net
    if how == "torch.compile":
        model = torch.compile(net, backend=broken)
    elif how == "module.compile":
        net.compile(backend=broken)
    else:
        net.body = torch.compile(net.body, backend=broken)
    for classifier in (None, "head", net.head):
        same(measure(model, [(INPUTS, LABELS)], classifier, progress=False), wanted)


class Tokens(nn.Module):
    """An embedding for each token, and a head over the vocabulary, as a language model."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.embed, self.head = nn.Embedding(8, 5), nn.Linear(5, 8)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        return self.head(self.embed(input_ids).cumsum(1))


@pytest.mark.parametrize("keep", [2**20, 0])
@pytest.mark.parametrize("shift", [False, True])
def test_tokens_are_samples_and_padding_is_not(shift: bool, keep: int) -> None:
    model = Tokens()
    ids = torch.randint(0, 6, (6, 7), generator=torch.Generator().manual_seed(3))  # two of eight words never come
    mask = torch.ones_like(ids)
    mask[0, 4:] = mask[1, 2:] = 0
    batches = [{"input_ids": i, "attention_mask": m, "labels": i} for i, m in zip(ids.split(4), mask.split(4))]
    options: dict[str, Any] = {"min_samples": 1, "shift_labels": shift, "keep_bytes": keep, "progress": False}
    got = measure(model, batches, second_pass=True, **options)
    with torch.no_grad():
        features = model.embed(ids).cumsum(1)
    labels = ids.masked_fill(mask == 0, -100)
    features, labels = (features[:, :-1], labels[:, 1:]) if shift else (features, labels)
    wanted = neural_collapse(
        features.reshape(-1, 5), labels.reshape(-1), model.head.weight, model.head.bias, min_samples=1
    )
    assert wanted.classes_left_out == 2 and got.classes == wanted.classes
    same(got, {name: value for name, value in wanted.as_dict().items() if name != "classes"})


def test_every_layer_in_one_pass() -> None:
    torch.manual_seed(4)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    images = torch.randn(30, 1, 6, 6) + LABELS[:, None, None, None]
    batches = list(zip(images.split(8), LABELS.split(8)))
    for keep in (2**20, 0):
        found = measure(net, batches, layers=["0", "1", "3"], keep_bytes=keep, progress=False)
        assert list(found) == ["0", "1", "3"]
        with torch.no_grad():
            maps, logits = net[:2](images), net(images)
        same(found["1"], {"nc1": neural_collapse(maps.mean((2, 3)), LABELS).nc1}, tolerance=1e-4)
        same(found["3"], {"nc1": neural_collapse(logits, LABELS).nc1}, tolerance=1e-4)
        assert found["0"].nc3 is None and found["0"].feature_dim == 4
    flat = measure(net, batches, layers=["1"], pooling=lambda maps: maps.flatten(1), progress=False)["1"]
    assert flat.feature_dim == 64


class TwoInputs(Net):
    def forward(self, x: Tensor, shift: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x + shift)


def test_several_inputs_and_an_empty_last_batch() -> None:
    net = TwoInputs()
    batches = [((x, 0 * x), y) for x, y in zip(INPUTS.split(11), LABELS.split(11))]
    batches.append(((INPUTS[:0], INPUTS[:0]), LABELS[:0]))
    same(measure(net, batches, progress=False), direct(net), tolerance=1e-4)


def test_a_column_of_labels_and_a_list_of_a_batch() -> None:
    net = Net()
    same(measure(net, [[INPUTS, LABELS[:, None].to(torch.uint8)]], progress=False), direct(net))


def test_accuracy_comes_with_a_single_pass() -> None:
    once = measure(Net(), [(INPUTS, LABELS)], keep_bytes=0, progress=False)
    assert once.accuracy == direct(Net())["accuracy"] and once.nc4 is None


def test_a_sharp_end_of_a_loader_is_named() -> None:
    net = Net()
    read = iter([(INPUTS, LABELS)])
    measure(net, read, progress=False)
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (read, {}, "got none .an iterator or a generator can be read only once."),
        (iter([(INPUTS, LABELS)]), {"second_pass": True}, "loader must be one that can be read twice"),
        ([(INPUTS, LABELS.float())], {}, "labels must hold integers"),
        ([(INPUTS, torch.eye(3)[LABELS])], {}, "one-hot rows"),
        ([(INPUTS, LABELS)], {"layers": "body"}, "layers must be a sequence of names"),
        ([(INPUTS, LABELS)], {"layers": ["bodi"]}, "layers must be names of modules of the model, got 'bodi'"),
        ([(INPUTS, LABELS)], {"layers": ["body"], "classifier": "head"}, "classifier must be left out"),
        ([(INPUTS, LABELS)], {"shift_labels": True}, "shift_labels needs labels of shape"),
        ([INPUTS], {}, "a batch must be .inputs, labels"),
    ]
    for loader, options, message in cases:
        with pytest.raises(ValueError, match=message):
            measure(net, loader, **options, progress=False)
