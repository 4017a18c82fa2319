"""Measure neural collapse of any network: a forward hook finds what its classifier sees."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ncbook import checks
from ncbook.metrics.class_moments import Averaging
from ncbook.metrics.in_memory import neural_collapse
from ncbook.metrics.reports import NeuralCollapseReport

KEEP_BYTES = 2**30  # features up to 1 GB are kept, so that one pass over the loader gives every quantity


def measure(
    model: nn.Module,
    loader: Iterable[Any],
    classifier: nn.Module | str | None = None,
    *,
    mode: Literal["eval", "train"] = "eval",
    within: Averaging = "sample",
    between: Averaging = "class",
    second_pass: bool = False,
    keep_bytes: int = KEEP_BYTES,
    device: torch.device | str | None = None,
    progress: bool = True,
) -> NeuralCollapseReport:
    """Measure neural collapse of the features that ``model`` feeds to its classifier.

    The model is run on every batch under ``inference_mode``; a hook takes what goes into the classifier. Features
    are kept while they fit in ``keep_bytes``. Beyond that they are streamed, and ``nc4`` and
    ``nearest_mean_accuracy`` need ``second_pass``, because they compare with class means that the first pass finds.
    The model is left as it was found: its mode, module by module, its buffers, and its hooks.

    Args:
        model: any module that maps inputs to logits (B, K).
        loader: batches (inputs, labels, …), or mappings with "labels" or "label", of which all other entries are
            given to the model by name. Read twice with ``second_pass`` if the features do not fit.
        classifier: the last layer, as a module or by its name in ``model.named_modules()``. By default
            ``model.get_classifier()`` where there is one (as in timm), else the one module with a 2-D ``weight``
            whose output the model returns (as in torchvision).
        mode: "eval", or "train" to see what the loss sees: batch statistics and dropout.
        within: as in `neural_collapse`; "class" needs features that fit in ``keep_bytes``.
        between: as in `neural_collapse`.
        second_pass: read the loader again, if the features do not fit, for the quantities above. The features must
            then be the same in both passes: no random augmentation, and no ``mode="train"``.
        keep_bytes: how many bytes of features to keep.
        device: where to run; by default where the model's parameters are. The model itself is not moved.
        progress: show a progress bar on the error stream.

    Returns:
        A `NeuralCollapseReport` of the features, with the classifier's weight and bias where it has them.

    Raises:
        ValueError: if the classifier cannot be found, does not run or runs more than once, if its input is not (B, d)
            or its weight not (K, d), for a batch of another form, an empty loader, or what `neural_collapse` refuses.
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if mode not in ("eval", "train"):
        raise ValueError(f"mode must be 'eval' or 'train', got {mode!r}")
    checks.integer("keep_bytes", keep_bytes, minimum=0)
    where = torch.device(device) if device is not None else _device(model)
    with as_found(model, mode):
        batches = _Features(model, loader, classifier, where, progress)
        return batches.report(within, between, second_pass, keep_bytes)


@contextmanager
def as_found(model: nn.Module, mode: str) -> Iterator[None]:
    """Put the model in a mode, without gradients, and leave it as it was: modes module by module, and buffers."""
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    model.train(mode == "train")
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, training in modes:
            module.training = training
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)


class _Features:
    """Runs a model over a loader and yields what its classifier sees."""

    def __init__(
        self,
        model: nn.Module,
        loader: Iterable[Any],
        classifier: nn.Module | str | None,
        device: torch.device,
        progress: bool,
    ) -> None:
        self.model, self.loader, self.device, self.progress = model, loader, device, progress
        self.classifier = _named(model, classifier)

    def batches(self, what: str) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield (features, labels, logits), all on the device."""
        from tqdm import tqdm

        seen: list[Tensor] = []
        handle = None
        try:
            for batch in tqdm(self.loader, desc=what, unit="batch", disable=not self.progress, leave=False):
                run, labels = _split(batch, self.device)
                if self.classifier is None:
                    self.classifier = find_classifier(self.model, run)
                if handle is None:
                    handle = self.classifier.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
                seen.clear()
                logits = run(self.model)
                yield _features(seen, len(labels)), labels, logits
        finally:
            if handle is not None:
                handle.remove()

    def report(self, within: Averaging, between: Averaging, second_pass: bool, keep: int) -> NeuralCollapseReport:
        """Keep the features while they fit; stream from then on."""
        kept: list[tuple[Tensor, Tensor]] = []
        size, stream = 0, None
        for features, labels, logits in self.batches("features"):
            if stream is None:
                size += features.numel() * features.element_size()
                kept.append((features.clone(), labels))
                if size <= keep:
                    continue
                stream = self._stream(within, between, logits.shape[-1], features.shape[1])
                for h, y in kept:
                    stream.update(h, y)
                kept.clear()
            else:
                stream.update(features, labels)
        if stream is None and not kept:
            raise ValueError("loader must yield at least one batch, got none")
        weight, bias = self._parameters()
        if stream is None:
            h, y = (torch.cat(part) for part in zip(*kept))
            return neural_collapse(h, y, weight, bias, within=within, between=between)
        if second_pass:
            again = self._stream(within, between, stream.num_classes, stream.feature_dim, stream.class_means)
            for features, labels, logits in self.batches("nearest means"):
                again.update(features, labels, logits)
            stream = again
        return stream.compute(weight, bias)

    def _stream(self, within: Averaging, between: Averaging, K: int, d: int, means: Tensor | None = None) -> Any:
        from ncbook.metrics.stream import NeuralCollapse

        # MPS has no float64: the state then lives on the CPU.
        where = torch.device("cpu") if self.device.type == "mps" else self.device
        return NeuralCollapse(K, d, within=within, between=between, class_means=means).to(where)

    def _parameters(self) -> tuple[Tensor | None, Tensor | None]:
        weight, bias = (getattr(self.classifier, name, None) for name in ("weight", "bias"))
        return weight, bias


def find_classifier(model: nn.Module, run: Callable[[nn.Module], Any]) -> nn.Module:
    """Return the last layer: what ``model.get_classifier()`` names, or whose output the model returns.

    Args:
        model: the model.
        run: runs a model on a batch and returns its logits.

    Raises:
        ValueError: if there is no such module with a 2-D weight.
    """
    named = getattr(model, "get_classifier", None)
    if callable(named) and isinstance(named(), nn.Module) and hasattr(named(), "weight"):
        return named()
    outputs: list[tuple[nn.Module, Any]] = []
    layers = [m for m in model.modules() if getattr(getattr(m, "weight", None), "ndim", 0) == 2]
    handles = [m.register_forward_hook(lambda module, args, out: outputs.append((module, out))) for m in layers]
    try:
        logits = run(model)
    finally:
        for handle in handles:
            handle.remove()
    found = [module for module, output in outputs if output is logits]
    if not found:
        raise ValueError("classifier must be given: the model does not return the output of a layer with a 2-D weight")
    return found[-1]


def _named(model: nn.Module, classifier: nn.Module | str | None) -> nn.Module | None:
    modules = dict(model.named_modules())
    if isinstance(classifier, str):
        if classifier not in modules:
            raise ValueError(f"classifier must be the name of a module of the model, got {classifier!r}")
        return modules[classifier]
    if classifier is not None and not any(classifier is module for module in modules.values()):
        raise ValueError(f"classifier must be a module of the model, got {type(classifier).__name__} from elsewhere")
    return classifier


def _split(batch: Any, device: torch.device) -> tuple[Callable[[nn.Module], Any], Tensor]:
    """Return how to run a model on the batch, and the batch's labels."""
    if isinstance(batch, Mapping):
        name = next((name for name in ("labels", "label") if name in batch), None)
        if name is None:
            raise ValueError(f"a batch that is a mapping must have 'labels' or 'label', got {sorted(batch)}")
        inputs = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in batch.items() if k != name}
        return lambda model: _logits(model(**inputs)), batch[name].to(device)
    if not isinstance(batch, Sequence) or len(batch) < 2 or not isinstance(batch[1], Tensor):
        raise ValueError(f"a batch must be (inputs, labels, …) or a mapping, got {type(batch).__name__}")
    images = batch[0].to(device)
    return lambda model: _logits(model(images)), batch[1].to(device)


def _logits(output: Any) -> Any:
    """Unwrap what some models put around their logits (a tuple, or an object with ``logits``)."""
    if isinstance(output, Tensor):
        return output
    return output.logits if hasattr(output, "logits") else output[0]


def _features(seen: list[Tensor], batch: int) -> Tensor:
    if len(seen) != 1:
        raise ValueError(f"classifier must run exactly once for each batch, got {len(seen)} times")
    features = seen[0]
    if features.ndim != 2 or len(features) != batch:
        raise ValueError(f"the input of the classifier must be (B={batch}, d), got {tuple(features.shape)}")
    return features.detach()


def _device(model: nn.Module) -> torch.device:
    first = next(iter(model.parameters()), next(iter(model.buffers()), None))
    return torch.device("cpu") if first is None else first.device
