"""The stand-in for another processor moves products by their last digit, forward and backward, and nothing else."""

from pathlib import Path

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook

from tools import another_processor, execution
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
    state = torch.random.get_rng_state()
    with AnotherProcessor(1):
        there, again = values(), values()
    assert torch.equal(state, torch.random.get_rng_state())
    unit = torch.finfo(dtype).eps
    for old, new, next_ in zip(here[:3], there[:3], again[:3]):
        size = (new - old).abs().max() / old.abs().max()
        assert 0 < size < 1000 * unit and not torch.equal(new, next_)
    for old, new in zip(here[3:], there[3:]):
        assert torch.equal(old, new)


def test_a_kernel_runs_on_it_from_the_first_cell(tmp_path, monkeypatch):
    code = "import torch\nx = torch.full((50, 50), 0.1)\nprint(bool(((x @ x) == (x @ x)).all()))"
    path = tmp_path / "a.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(code)]), path)
    monkeypatch.setenv("NCBOOK_PROCESSOR", "1")
    before = Path(another_processor.__file__).read_text(encoding="utf-8")
    said = [execution.execute(path, before=code).notebook.cells[0].outputs[0].text for code in ("", before)]
    assert said == ["True\n", "False\n"]
