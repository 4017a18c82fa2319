"""Models as launchers wrap them, and what the processes of one run must agree on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn


class FailedElsewhereError(ValueError):
    """Another process of the run met an error, and this one stops with it."""


class Ranks:
    """The processes that measure together; one alone where none were started, or where it is asked for."""

    def __init__(self, synchronise: bool) -> None:
        group = torch.distributed
        self.many = synchronise and group.is_available() and group.is_initialized() and group.get_world_size() > 1

    def gather(self, value: Any) -> list[Any]:
        """Return everyone's value, in the order of the ranks; every process must call this."""
        if not self.many:
            return [value]
        values: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(values, value)
        return values

    def agree(self, value: Any, error: Exception | None = None) -> list[Any]:
        """Return everyone's value; if anyone comes with an error, raise on every process, so that none waits.

        Raises:
            Exception: this process's own error.
            FailedElsewhereError: naming the first process that had one.
        """
        found = self.gather((value, None if error is None else f"{type(error).__name__}: {error}"))
        if error is not None:
            raise error
        for rank, (_, failure) in enumerate(found):
            if failure is not None:
                raise FailedElsewhereError(f"process {rank} could not measure: {failure}")
        return [value for value, _ in found]

    def in_step(self, loader: Iterable[Any], sharded: bool) -> Iterator[tuple[Any, bool]]:
        """Yield (batch, whether it is new), in step with the others where the model is sharded.

        A sharded model gathers its weights as it runs, so every process must run it equally often: one whose loader
        has ended runs its last batch again, and drops what comes out.

        Raises:
            ValueError: if the model is sharded and a process has no batch at all.
        """
        if not (self.many and sharded):
            for batch in loader:
                yield batch, True
            return
        batches, last, nothing = iter(loader), None, object()
        while True:
            batch = next(batches, nothing)
            going = self.agree(batch is not nothing)
            if not any(going):
                return
            if last is None and not all(going):
                raise FailedElsewhereError(
                    "loader must yield at least one batch on every process of a sharded model,"
                    f" got none on process {going.index(False)}"
                )
            last = last if batch is nothing else batch
            yield last, batch is not nothing


def original(model: nn.Module) -> nn.Module:
    """Return the module under (Distributed)DataParallel and ``torch.compile``.

    DistributedDataParallel sends buffers around in its forward, so processes with unequal numbers of batches would
    wait for each other; and a compiled graph does not run hooks.
    """
    while True:
        if isinstance(model, (nn.parallel.DistributedDataParallel, nn.DataParallel)):
            model = model.module
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model = model._orig_mod  # type: ignore[assignment]
        else:
            return model


def eagerly(model: nn.Module) -> AbstractContextManager[Any]:
    """Return a context in which compiled parts of the model run as they were written, hooks included."""
    compiled = any(
        getattr(part, "_compiled_call_impl", None) is not None or hasattr(part, "_orig_mod") for part in model.modules()
    )
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()


def is_sharded(model: nn.Module) -> bool:
    """Return whether a parameter is spread over processes (a DTensor, as ``fully_shard`` makes)."""
    return any(hasattr(parameter, "full_tensor") for parameter in model.parameters())


def whole(tensor: Tensor | None) -> Tensor | None:
    """Return the tensor, gathered from all processes if it is spread over them; every process must then call this."""
    return tensor.full_tensor() if tensor is not None and hasattr(tensor, "full_tensor") else tensor
