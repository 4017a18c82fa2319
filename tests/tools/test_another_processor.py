"""The stand-in for another processor moves products by their last digit, forward and backward, and nothing else."""

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook

from tools import execution, texts
from tools.another_processor import AnotherProcessor


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_move_by_their_last_digit_and_nothing_else_does(dtype):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(3, 2, 8, 8, dtype=dtype, generator=rng)
    layer = torch.nn.Conv2d(2, 4, 3, dtype=dtype)
    W = torch.randn(5, 144, dtype=dtype, generator=rng)

    def values():
        layer.weight.grad = None
        out = layer(x).flatten(1)
        y = out @ W.T
        y.square().sum().backward()
        return out.detach(), y.detach(), layer.weight.grad, torch.arange(4) * 2, x.exp()

    here = values()
    with AnotherProcessor(1):
        there, again = values(), values()
    with AnotherProcessor(2):
        elsewhere = values()
    unit = torch.finfo(dtype).eps
    for old, new, same, other in zip(here[:3], there[:3], again[:3], elsewhere[:3]):
        assert 0 < (new - old).abs().max() / old.abs().max() < 1000 * unit
        assert torch.equal(new, same) and not torch.equal(new, other)
    for old, new in zip(here[3:], there[3:]):
        assert torch.equal(old, new)


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_without_gradients_it_is_the_same_processor(mode):
    layer = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.Flatten(), torch.nn.Linear(108, 5))
    x = torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with AnotherProcessor(1):
        trained = layer(x)
        with mode():
            assert torch.equal(layer(x), trained)
    assert not torch.equal(layer(x), trained)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_number_goes_to_a_neighbour_or_stays_and_what_has_none_stays(dtype):
    x = torch.randn(20_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(dtype)
    moved = AnotherProcessor(1).moved(x)
    assert ((moved.double() - x.double()).abs() <= x.double().abs() * torch.finfo(dtype).eps).all()
    shares = [float((moved > x).double().mean()), float((moved < x).double().mean())]
    assert all(0.3 < share < 0.37 for share in shares)
    bare = torch.tensor([0.0, -0.0, torch.inf, -torch.inf], dtype=dtype)
    assert AnotherProcessor(1).moved(bare).tolist() == bare.tolist() and moved.isfinite().all()


def test_a_kernel_runs_on_it_from_the_first_cell(tmp_path):
    code = "import torch\nx = torch.full((50, 50), 0.1)\nprint(float((x @ x)[0, 0]))"
    path = tmp_path / "a.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(code)]), path)
    before = texts.on_another_processor(1)
    said = [execution.execute(path, before=first).notebook.cells[0].outputs[0].text for first in ("", before)]
    assert said[0] != said[1] and float(said[0]) == pytest.approx(float(said[1]), rel=1e-6)
