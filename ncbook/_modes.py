"""Run a network in one mode and leave every part of it in the mode in which it was found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def in_mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Put ``model`` in training or evaluation mode, and each of its modules back in its own mode afterwards.

    ``model.train(before)`` would not do: it wakes a batch normalisation that somebody froze with ``eval()``.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
