"""Where the bytes of a training step are: parameters, gradients, optimiser state, what is kept for the backward pass.

Every tensor's storage is counted from the operation that makes it until it is freed, once however many tensors share
it. That needs no GPU, and with ``simulate=True`` no arithmetic either: the step is run on tensors that have shapes but
no content. What a kernel takes for itself while it runs is not a tensor and is not seen; on a GPU the allocator's own
figure, which includes it, stands beside the count.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ncbook import checks

Phase = Literal["forward", "backward", "step"]
PHASES: tuple[Phase, ...] = ("forward", "backward", "step")
BOOKKEEPING = ("prim.", "aten.detach.")  # what simulated tensors do beside the arithmetic
MakeOptimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


@dataclass(frozen=True)
class LayerBytes:
    """What one module holds by itself, without its children: bytes of parameters, and of activations it keeps."""

    name: str
    parameters: int
    activations: int


@dataclass(frozen=True)
class MemoryLedger:
    """Bytes of one training step, in the steady state (the optimiser has stepped before).

    Attributes:
        parameters: all parameters, trained or not.
        buffers: running statistics, and a fixed classifier.
        inputs: the batch itself.
        gradients: of the parameters that are trained, when all are there.
        optimizer_state: what the optimiser keeps from step to step.
        activations: what the forward pass keeps for the backward pass, without parameters, buffers and inputs.
            Under bf16 this includes the copies of the weights in bf16.
        peak: the most bytes of tensors alive at one time.
        peak_phase: when that was.
        allocator_peak: the CUDA allocator's peak, kernels' workspaces included; ``None`` without a GPU.
        timeline: bytes alive after each operation of the step, with the phase it belongs to.
        layers: one entry for each module with parameters or activations of its own, in the order they run.
    """

    parameters: int
    buffers: int
    inputs: int
    gradients: int
    optimizer_state: int
    activations: int
    peak: int
    peak_phase: Phase
    allocator_peak: int | None
    timeline: tuple[tuple[Phase, int], ...]
    layers: tuple[LayerBytes, ...]

    @property
    def total(self) -> int:
        """The sum of the parts: what the peak would be if all were there at once."""
        fixed = self.parameters + self.buffers + self.inputs
        return fixed + self.gradients + self.optimizer_state + self.activations

    def __str__(self) -> str:
        """Return a table in megabytes (10^6 bytes)."""
        names = ("parameters", "buffers", "inputs", "gradients", "optimizer_state", "activations", "total", "peak")
        return "\n".join(f"{name:<16}{getattr(self, name) / 1e6:10.1f} MB" for name in names)


def ledger(
    model: nn.Module,
    batch: tuple[Tensor, Tensor],
    optimizer: MakeOptimizer | None = None,
    *,
    precision: Literal["float32", "bf16"] = "float32",
    simulate: bool = False,
) -> MemoryLedger:
    """Run two training steps on a copy of ``model`` and account for every byte of the second.

    Args:
        model: maps images to logits (B, K); it is left as it was.
        batch: images (B, …) and labels (B,), on the model's device.
        optimizer: makes the optimiser from the parameters, such as ``torch.optim.AdamW``; by default SGD with momentum
            0.9 and weight decay.
        precision: ``"bf16"`` runs the forward pass under autocast.
        simulate: on shapes alone: no arithmetic, no memory, any batch size. The counts are those of the CPU.

    Returns:
        MemoryLedger: in bytes.

    Raises:
        ValueError: if images and labels differ in number, or for an unknown ``precision``.

    Source: saved-tensor hooks and dispatch modes of PyTorch.
    """
    checks.module("model", model)
    images, labels = checks.sequence("batch", batch, 2)
    checks.option("precision", precision, "float32", "bf16")
    checks.flag("simulate", simulate)
    checks.labels("labels", labels, len(images))
    device = images.device
    on_gpu = device.type == "cuda" and not simulate
    before = torch.cuda.memory_allocated(device) if on_gpu else 0
    with _fake_tensors() if simulate else nullcontext():
        twin = copy.deepcopy(model) if not simulate else _hollow(model)
        if simulate:
            images, labels = _empty_as(images), _empty_as(labels)
        step = _Step(twin, images, labels, optimizer or _momentum, precision)
        step.run()
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(device)
        found = step.run()
    peak = torch.cuda.max_memory_allocated(device) - before + found["inputs"] if on_gpu else None
    return MemoryLedger(**found, allocator_peak=peak)


def parameter_bytes(model: nn.Module) -> dict[str, int]:
    """Return the bytes of the trainable parameters of each module by itself, in order.

    Raises:
        ValueError: if ``model`` is no module.
    """
    owned = ((name, m.parameters(recurse=False)) for name, m in checks.module("model", model).named_modules())
    sizes = {name: sum(_bytes(p) for p in parameters if p.requires_grad) for name, parameters in owned}
    return {name: size for name, size in sizes.items() if size}


def _momentum(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, 0.05, momentum=0.9, weight_decay=5e-4)


class _Step:
    """A training step of a model, watched."""

    def __init__(
        self, model: nn.Module, images: Tensor, labels: Tensor, optimizer: MakeOptimizer, precision: str
    ) -> None:
        self.model, self.images, self.labels, self.precision = model.train(), images, labels, precision
        self.optimizer = optimizer([p for p in model.parameters() if p.requires_grad])
        self.running: list[str] = []  # names of the modules in progress, the innermost last
        for name, module in model.named_modules():
            module.register_forward_pre_hook(lambda *_, name=name: self.running.append(name))
            module.register_forward_hook(self._leave)

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self.running.pop()

    def run(self) -> dict[str, Any]:
        fixed = [*self.model.parameters(), *self.model.buffers(), self.images, self.labels]
        state = [t for s in self.optimizer.state.values() for t in s.values() if isinstance(t, Tensor)]
        kept = _Kept(self.running, fixed)
        with _Live([*fixed, *state]) as live:
            cast = torch.autocast(self.images.device.type, torch.bfloat16, enabled=self.precision == "bf16")
            with cast, torch.autograd.graph.saved_tensors_hooks(kept.pack, lambda t: t):
                loss = cross_entropy(self.model(self.images), self.labels)
            live.phase = "backward"
            loss.backward()
            gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
            sizes = {"gradients": _count(gradients)}
            del gradients
            live.phase = "step"
            self.optimizer.step()
            self.optimizer.zero_grad()
        peak_phase, peak = max(live.timeline, key=lambda moment: moment[1])
        return sizes | {
            "parameters": _count(self.model.parameters()),
            "buffers": _count(self.model.buffers()),
            "inputs": _count([self.images, self.labels]),
            "optimizer_state": _count(state),
            "activations": sum(kept.by_module.values()),
            "peak": peak,
            "peak_phase": peak_phase,
            "timeline": tuple(live.timeline),
            "layers": self._layers(kept.by_module),
        }

    def _layers(self, activations: dict[str, int]) -> tuple[LayerBytes, ...]:
        owned = {name: _count(m.parameters(recurse=False)) for name, m in self.model.named_modules()}
        names = [*owned, *(name for name in activations if name not in owned)]
        rows = (LayerBytes(name, owned.get(name, 0), activations.get(name, 0)) for name in names)
        return tuple(row for row in rows if row.parameters or row.activations)


class _Kept:
    """Counts what autograd saves, by the module that is running when it is saved for the first time."""

    def __init__(self, running: list[str], without: Iterable[Tensor]) -> None:
        self.running = running
        self.seen = {id(t.untyped_storage()) for t in without}
        self.by_module: dict[str, int] = {}

    def pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        # Autograd holds what it saves until the backward pass, so no identity is used twice while this counts.
        if id(storage) not in self.seen:
            self.seen.add(id(storage))
            name = self.running[-1] if self.running else "loss"
            self.by_module[name] = self.by_module.get(name, 0) + storage.nbytes()
        return tensor


class _Live(TorchDispatchMode):
    """Sees the result of every operation, and counts the bytes of storages that are alive."""

    def __init__(self, present: Iterable[Tensor]) -> None:
        super().__init__()
        self.bytes = 0
        self.alive: set[int] = set()
        self.phase: Phase = "forward"
        self.timeline: list[tuple[Phase, int]] = []
        for tensor in present:
            self._count(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._count(leaf)
        if not str(func).startswith(BOOKKEEPING):
            self.timeline.append((self.phase, self.bytes))
        return out

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = id(storage), storage.nbytes()
        if key not in self.alive:
            self.alive.add(key)
            self.bytes += size
            weakref.finalize(storage, self._drop, key, size).atexit = False

    def _drop(self, key: int, size: int) -> None:
        self.alive.discard(key)
        self.bytes -= size


def _bytes(tensor: Tensor) -> int:
    return tensor.untyped_storage().nbytes()


def _count(tensors: Iterable[Tensor]) -> int:
    """Bytes of the storages of tensors, each once."""
    return sum({id(s): s.nbytes() for s in [t.untyped_storage() for t in tensors]}.values())


@contextmanager
def _fake_tensors() -> Iterator[None]:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def _hollow(model: nn.Module) -> nn.Module:
    """A copy with the shapes and without the content; made under ``_fake_tensors``."""
    from torch.utils._python_dispatch import _disable_current_modes

    with _disable_current_modes():
        twin = copy.deepcopy(model).to("meta")
    return twin.to_empty(device="cpu")


def _empty_as(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype)
