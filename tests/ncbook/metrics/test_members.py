"""Sums and differences by class: the same for few classes, by a product, and for many, by index."""

import copy
import pickle

import pytest
import torch

from ncbook.metrics import members
from ncbook.metrics.members import Members, at_hand
from ncbook.metrics.scratch import Scratch

B, D, K = 50, 6, 9


@pytest.fixture(params=[0, 20], ids=["by index", "by a product"])
def block(request, monkeypatch):
    monkeypatch.setattr(members, "FEW", request.param)
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(0, K - 1, (B,), generator=rng)  # the last class has no sample
    found = Members(labels, K)
    assert (found.matrix is not None) == (request.param > 0)
    return found, labels, torch.randn(B, D, generator=rng, dtype=torch.float64)


def test_totals(block):
    found, labels, rows = block
    wanted = torch.stack([rows[labels == k].sum(0) for k in range(K)])
    torch.testing.assert_close(found.totals(rows), wanted, rtol=0, atol=1e-13)
    torch.testing.assert_close(found.totals(rows[:, 0]), wanted[:, 0], rtol=0, atol=1e-13)
    assert torch.equal(found.totals(rows[:, 0] > 0), torch.bincount(labels[rows[:, 0] > 0], minlength=K).double())


def test_sums_are_added_in_place(block):
    found, labels, rows = block
    weights, sums = rows[:, 0].clone(), torch.ones(K, D, dtype=torch.float64)
    wanted = torch.stack([1 + rows[labels == k].sum(0) for k in range(K)])
    assert found.add(sums, rows) is sums
    torch.testing.assert_close(sums, wanted, rtol=0, atol=1e-13)
    found.add_weighted(sums, rows, weights)
    wanted += torch.stack([(weights[:, None] * rows)[labels == k].sum(0) for k in range(K)])
    torch.testing.assert_close(sums, wanted, rtol=0, atol=1e-13)


def test_a_difference_is_rounded_once(block):
    found, labels, rows = block
    table = torch.randn(K, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 1e6
    wanted = rows - table[labels]
    assert found.subtract(rows, table) is rows
    assert torch.equal(rows, wanted)


def test_working_memory_is_used_again_and_never_copied():
    scratch, cpu = Scratch(), torch.device("cpu")
    first = scratch.take("rows", (4, 5), cpu)
    assert first.shape == (4, 5) and first.dtype == torch.float64
    assert scratch.take("rows", (2, 3), cpu).data_ptr() == first.data_ptr()
    assert scratch.take("units", (4, 5), cpu).data_ptr() != first.data_ptr()
    assert scratch.take("rows", (5, 5), cpu).shape == (5, 5)
    for other in (copy.deepcopy(scratch), pickle.loads(pickle.dumps(scratch))):
        assert other._held == {} and scratch._held


@pytest.mark.parametrize("labels, num_classes", [([2, 0, 1, 2], 3), ([2, 0, 2], 3), ([40, 7, 40], 50)])
def test_classes_at_hand(labels, num_classes):
    labels = torch.tensor(labels)
    present, of, samples = at_hand(labels, num_classes)
    assert torch.equal(torch.arange(num_classes)[present][of], labels)
    assert torch.equal(samples, torch.bincount(labels, minlength=num_classes)[present]) and int(samples.min()) > 0
