"""Bad input is named: the argument, what came, what was expected."""

import numpy as np
import pytest
import torch

from ncbook import checks

NAN = float("nan")


@pytest.mark.parametrize("value", [0, -1, 1.5, 2.0, "3", None, True, NAN])
def test_integer_refuses(value):
    with pytest.raises(ValueError, match=f"^count must be an integer >= 1, got {value!r}$"):
        checks.integer("count", value)


@pytest.mark.parametrize("value", [1, 7, np.int64(3), torch.tensor(4)])
def test_integer_accepts_what_counts(value):
    assert checks.integer("count", value) == int(value)


@pytest.mark.parametrize("value", [-1e-9, NAN, float("inf"), "1", None, True, [1]])
def test_number_refuses(value):
    with pytest.raises(ValueError, match=r"^decay must be a finite number >= 0, got "):
        checks.number("decay", value)


def test_number_may_be_zero_only_where_it_need_not_be_positive():
    assert checks.number("decay", 0) == 0.0
    with pytest.raises(ValueError, match="decay must be a finite number > 0, got 0"):
        checks.number("decay", 0, positive=True)


@pytest.mark.parametrize(
    "value, words",
    [
        ([[1.0]], r"W must be a torch tensor of shape \(K, d\), got list"),
        (torch.ones(3), r"W must be \(K, d=2\), got \(3,\)"),
        (torch.ones(3, 4), r"W must be \(K, d=2\), got \(3, 4\)"),
        (torch.ones(3, 2, dtype=torch.int64), "W must hold real floating-point numbers, got dtype torch.int64"),
        (torch.ones(3, 2, dtype=torch.complex64), "W must hold real floating-point numbers"),
        (torch.tensor([[1.0, 2.0], [3.0, NAN]]), r"W must be finite, got nan at index \(1, 1\)"),
    ],
)
def test_tensor_refuses(value, words):
    with pytest.raises(ValueError, match=words):
        checks.tensor("W", value, "K, d", d=2)


@pytest.mark.parametrize(
    "value, words",
    [
        ([0, 1], r"labels must be an integer tensor of shape \(N,\), got list"),
        (torch.zeros(2, 2, dtype=torch.int64), r"got \(2, 2\)"),
        (torch.tensor([0.0, 1.0]), "labels must hold integers, got dtype torch.float32"),
        (torch.tensor([True, False]), "labels must hold integers, got dtype torch.bool"),
        (torch.tensor([0, 1, 2]), r"labels must have one entry per sample \(2\), got 3"),
        (torch.tensor([0, -1]), "labels must lie in 0 … 2, got values from -1 to 0"),
        (torch.tensor([0, 3]), "labels must lie in 0 … 2, got values from 0 to 3"),
    ],
)
def test_labels_refuse(value, words):
    with pytest.raises(ValueError, match=words):
        checks.labels("labels", value, 2, 3)


def test_empty_labels_are_refused():
    with pytest.raises(ValueError, match="labels must not be empty"):
        checks.labels("labels", torch.zeros(0, dtype=torch.int64))


@pytest.mark.parametrize("value, came", [("ab", "'ab'"), (b"ab", "bytes"), (3, "3"), (None, "None"), ((1,), "1")])
def test_sequence_refuses(value, came):
    with pytest.raises(ValueError, match=f"^pair must be a sequence of 2, got {came}$"):
        checks.sequence("pair", value, 2)


def test_sequence_refuses_a_tensor_without_axes():
    with pytest.raises(ValueError, match=r"^pair must be a sequence, got a tensor of shape"):
        checks.sequence("pair", torch.tensor(1.0))


@pytest.mark.parametrize("value", [[1, 2], (1, 2), range(1, 3), iter([1, 2]), np.array([1, 2])])
def test_sequence_returns_what_is_held(value):
    assert checks.sequence("pair", value, 2) == (1, 2)
