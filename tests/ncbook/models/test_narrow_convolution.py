"""Networks of a few channels train on a processor without AVX-512, in any loop, and give the numbers they should."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ncbook import models
from ncbook.models import narrow_convolution
from ncbook.models.narrow_convolution import NarrowConv2d, at_risk, guard
from tests.conftest import ROOT

SMALL = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "OMP_NUM_THREADS": "1"}
# A user's own loop, with the strides that set the fault off; and the package's, which crops by the same indexing.
OWN_LOOP = """
import sys, torch
from torch.nn.functional import cross_entropy
from ncbook import models
torch.manual_seed(0)
model = models.resnet18(10, feature_dim=10, width=int(sys.argv[1]), channels=1)
optimizer = torch.optim.SGD(model.parameters(), 0.05)
for _ in range(40):
    images = torch.randn(32, 8, 8, 1).permute(0, 3, 1, 2)
    loss = cross_entropy(model(images), torch.randint(10, (32,)))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
LONG_LOOP = """
import sys
from ncbook import data, models
from ncbook.training import Hardware, Recipe, train
images = data.load("digits", samples_per_class=20)
model = models.resnet18(10, feature_dim=10, width=int(sys.argv[1]), channels=1)
hardware = Hardware("cpu", channels_last=len(sys.argv) > 2)
train(model, images, Recipe(1, batch_size=32), augment=True, progress=False, hardware=hardware)
"""


@pytest.mark.parametrize("script", [OWN_LOOP, LONG_LOOP], ids=["own loop", "long loop"])
@pytest.mark.parametrize("arguments", [("2",), ("4",), ("2", "channels last")], ids="-".join)
def test_narrow_networks_outlive_their_training_on_a_small_processor(script, arguments):
    command = [sys.executable, "-c", script, *arguments]
    result = subprocess.run(command, env=os.environ | SMALL, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, (result.returncode, result.stderr[-500:])


@pytest.fixture
def risky(monkeypatch):
    monkeypatch.setattr(narrow_convolution, "at_risk", lambda: True)


def test_numbers_are_those_without_onednn(risky):
    torch.manual_seed(0)
    layer = nn.Conv2d(2, 4, 3, 2, 1, bias=False)
    narrow = NarrowConv2d(2, 4, 3, 2, 1, bias=False)
    narrow.load_state_dict(layer.state_dict())
    x = torch.randn(5, 2, 9, 9, requires_grad=True)
    with torch.backends.mkldnn.flags(enabled=False):
        expected = torch.autograd.grad(layer(x).square().sum(), [x, layer.weight])
    found = torch.autograd.grad(narrow(x).square().sum(), [x, narrow.weight])
    assert all(torch.equal(a, b) for a, b in zip(found, expected))


def test_a_network_laid_channels_last_has_the_gradients_of_the_plain_one(risky):
    """Read in the wrong order, weights and gradients of such a network were wrong by a tenth."""
    images = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        model = models.resnet18(10, 10, width=2, channels=1).double().to(memory_format=layout)
        model(images.double().contiguous(memory_format=layout)).square().sum().backward()
        found.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert float((found[0] - found[1]).norm() / found[0].norm()) < 1e-10


def test_autocast_computes_a_narrow_layer_in_its_own_precision(risky):
    narrow = NarrowConv2d(2, 2, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert narrow(torch.randn(1, 2, 4, 4).bfloat16()).dtype == torch.float32


def test_exactly_the_narrow_layers_are_replaced_and_keep_their_weights():
    wide, image, narrow = nn.Conv2d(8, 8, 3), nn.Conv2d(1, 16, 3), nn.Conv2d(4, 16, 1)
    model = nn.Sequential(image, nn.Sequential(wide, narrow), nn.Conv2d(4, 4, 3, dilation=2))
    weight = narrow.weight
    guard(model)
    assert [type(m) is NarrowConv2d for m in model.modules() if isinstance(m, nn.Conv2d)] == [False, False, True, False]
    assert model[1][1].weight is weight
    kinds = {type(m) for m in models.resnet18(10, width=8).modules() if isinstance(m, nn.Conv2d)}
    assert kinds == {nn.Conv2d}


def test_state_dictionaries_and_pickles_are_those_of_ordinary_networks():
    model = models.resnet18(10, width=2, channels=1)
    assert any(isinstance(m, NarrowConv2d) for m in model.modules())
    other = models.resnet18(10, width=2, channels=1, seed=1)
    other.load_state_dict(model.state_dict())
    images = torch.rand(4, 1, 8, 8)
    assert torch.equal(model.eval()(images), other.eval()(images))
    cross_entropy(model.train()(images), torch.arange(4)).backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    "told, capability, expected",
    [
        ("", "AVX512", False),
        ("AVX512_CORE", "AVX512", False),
        ("AVX2", "AVX512", True),
        ("SSE41", "AVX512", True),
        ("", "AVX2", True),
        ("", "DEFAULT", True),
    ],
)
def test_risk_is_read_from_the_processor_and_from_what_onednn_was_told(monkeypatch, told, capability, expected):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", told)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert at_risk() is expected
