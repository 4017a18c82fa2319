"""Measure neural collapse of any network: a forward hook finds what its classifier sees."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

from ncbook import checks
from ncbook._modes import in_mode
from ncbook.metrics.choices import Averaging, Choices
from ncbook.metrics.collectors import Collector
from ncbook.metrics.launchers import FailedElsewhereError, Ranks, eagerly, is_sharded, original, whole
from ncbook.metrics.network_batches import IGNORED, Batch, pooled
from ncbook.metrics.reports import NeuralCollapseReport

KEEP_BYTES = 2**30  # features up to 1 GB are kept, so that one pass over the loader gives every quantity


@overload
def measure(
    model: nn.Module,
    loader: Iterable[Any],
    classifier: nn.Module | str | None = None,
    *,
    layers: None = None,
    **options: Any,
) -> NeuralCollapseReport: ...


@overload
def measure(
    model: nn.Module,
    loader: Iterable[Any],
    classifier: nn.Module | str | None = None,
    *,
    layers: Sequence[str],
    **options: Any,
) -> dict[str, NeuralCollapseReport]: ...


def measure(  # type: ignore[misc]  # the overloads stand for its options by **options
    model: nn.Module,
    loader: Iterable[Any],
    classifier: nn.Module | str | None = None,
    *,
    layers: Sequence[str] | None = None,
    pooling: Callable[[Tensor], Tensor] | None = None,
    shift_labels: bool = False,
    mode: Literal["eval", "train"] = "eval",
    within: Averaging = "sample",
    between: Averaging = "class",
    correction: int = 0,
    classes: Sequence[int] | None = None,
    min_samples: int | None = None,
    ignore_index: int | None = -100,
    second_pass: bool = False,
    keep_bytes: int = KEEP_BYTES,
    synchronise: bool = True,
    device: torch.device | str | None = None,
    progress: bool = True,
) -> NeuralCollapseReport | dict[str, NeuralCollapseReport]:
    """Measure neural collapse of the features that ``model`` feeds to its classifier, or of the layers named.

    The model is run on every batch without gradients; a hook takes what goes into the classifier. Features
    are kept while they fit in ``keep_bytes``. Beyond that they are streamed, and ``nc4`` and
    ``nearest_mean_accuracy`` need ``second_pass``, because they compare with class means that the first pass finds.
    The model is left as it was found: its mode, module by module, its buffers, and its hooks.

    Where several processes run (``torch.distributed``), every one must call this, with its own share of the data,
    however unequal, and every one gets the report on all of it. A sampler that repeats samples to make shares equal
    has them counted twice. Under DistributedDataParallel or ``torch.compile`` the module inside is measured; a model
    sharded by ``fully_shard`` needs at least one batch on every process.

    Args:
        model: any module that maps inputs to logits (B, K), or (B, T, K) for labels (B, T).
        loader: batches (inputs, labels, …), where inputs may be a tuple, or mappings with "labels" or "label", of
            which all other entries are given to the model by name (where "attention_mask" is 0, a token is left
            out). Batches without samples are passed over. Read twice with ``second_pass`` if the features do not fit.
        classifier: the last layer, as a module or by its name in ``model.named_modules()``. By default
            ``model.get_classifier()`` where there is one (as in timm), else the one module with a 2-D ``weight``
            whose output the model returns (as in torchvision).
        layers: names of modules whose *outputs* are measured instead, in one pass; without a classifier's quantities.
        pooling: turns a layer's output into vectors (B, d); by default maps and tokens are averaged over positions.
        shift_labels: labels (B, T) are the inputs themselves, as for causal language models: position t is then
            measured with label t + 1.
        mode: "eval", or "train" to see what the loss sees: batch statistics and dropout.
        within: as in `neural_collapse`; "class" needs features that fit in ``keep_bytes``.
        between: as in `neural_collapse`.
        correction: as in `neural_collapse`.
        classes: as in `neural_collapse`.
        min_samples: as in `neural_collapse`; above 2 it needs features that fit in ``keep_bytes``.
        ignore_index: as in `neural_collapse`.
        second_pass: read the loader again, if the features do not fit, for the quantities above. The features must
            then be the same in both passes: no random augmentation, and no ``mode="train"``.
        keep_bytes: how many bytes of features to keep, of all layers and processes together.
        synchronise: speak for all processes; if not, for this one alone (and others need not call).
        device: where to run; by default where the model's parameters are. The model itself is not moved.
        progress: show a progress bar on the error stream.

    Returns:
        A `NeuralCollapseReport` of the features, with the classifier's weight and bias where it has them; with
        ``layers`` one report for each, by name.

    Raises:
        ValueError: if the classifier cannot be found, does not run or runs more than once, if its input is not (B, d)
            or its weight not (K, d), for a batch of another form, an empty loader, what `neural_collapse` refuses, or
            an error on another process.
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if not isinstance(loader, Iterable) or isinstance(loader, str | bytes):
        raise ValueError(f"loader must be an iterable of batches, got {type(loader).__name__}")
    if mode not in ("eval", "train"):
        raise ValueError(f"mode must be 'eval' or 'train', got {mode!r}")
    checks.integer("keep_bytes", keep_bytes, minimum=0)
    flags = {"shift_labels": shift_labels, "second_pass": second_pass, "synchronise": synchronise, "progress": progress}
    for name, flag in flags.items():
        checks.flag(name, flag)
    if pooling is not None:
        checks.function("pooling", pooling)
    choices = Choices(within, between, correction, classes, min_samples, ignore_index)
    model, classifier = original(model), original(classifier) if isinstance(classifier, nn.Module) else classifier
    where = checks.device("device", device) if device is not None else _device(model)
    ranks = Ranks(synchronise)
    if second_pass and iter(loader) is loader:
        raise ValueError("loader must be one that can be read twice with second_pass=True, got an iterator")
    sources = _sources(model, classifier, layers)
    with as_found(model, mode), eagerly(model):
        run = _Run(model, loader, sources, where, progress, ranks, choices, pooling, shift_labels, layers is not None)
        found = run.reports(second_pass, keep_bytes)
    return found if layers is not None else found[CLASSIFIER]


@contextmanager
def as_found(model: nn.Module, mode: str) -> Iterator[None]:
    """Put the model in a mode, without gradients, and leave it as it was: modes module by module, and buffers."""
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    # Sharded weights are resized in place as the model runs, which inference tensors do not allow.
    without = torch.no_grad() if is_sharded(model) else torch.inference_mode()
    try:
        with in_mode(model, training=mode == "train"), without:
            yield
    finally:
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)


CLASSIFIER = "classifier"


def _sources(
    model: nn.Module, classifier: nn.Module | str | None, layers: Sequence[str] | None
) -> dict[str, nn.Module | None]:
    """Return the modules to look at by name: the classifier (``None`` if it is yet to be found) or the layers."""
    if layers is None:
        return {CLASSIFIER: _named(model, classifier)}
    if isinstance(layers, str) or not isinstance(layers, Sequence) or not layers:
        raise ValueError(f"layers must be a sequence of names of modules of the model, got {layers!r}")
    modules = dict(model.named_modules())
    for name in layers:
        if not isinstance(name, str) or name not in modules:
            raise ValueError(f"layers must be names of modules of the model, got {name!r}")
    if classifier is not None:
        raise ValueError("classifier must be left out where layers are given")
    return {name: modules[name] for name in layers}


class _Run:
    """Runs a model over a loader, and collects what its classifier or its layers see."""

    def __init__(
        self,
        model: nn.Module,
        loader: Iterable[Any],
        sources: dict[str, nn.Module | None],
        device: torch.device,
        progress: bool,
        ranks: Ranks,
        choices: Choices,
        pooling: Callable[[Tensor], Tensor] | None,
        shift: bool,
        is_layers: bool,
    ) -> None:
        self.model, self.loader, self.sources, self.device = model, loader, sources, device
        self.progress, self.ranks, self.choices, self.pooling, self.shift = progress, ranks, choices, pooling, shift
        self.sharded, self.is_layers = is_sharded(model), is_layers
        # Padding needs a label to be left out by.
        self.ignored = IGNORED if choices.ignore_index is None else choices.ignore_index
        self.seen: dict[str, list[Any]] = {}

    def reports(self, second_pass: bool, keep_bytes: int) -> dict[str, NeuralCollapseReport]:
        """Read the loader, once or twice, and report on each source."""
        collectors = {
            name: Collector(self.choices, keep_bytes // len(self.sources), self.ranks, self.device)
            for name in self.sources
        }
        with self._together():
            for name, *batch in self._batches("features"):
                collectors[name].add(*batch)
        self._share_classifier()
        streamed = {name: collector.settle() for name, collector in collectors.items()}
        weight, bias = (whole(part) for part in self._parameters())
        reports = {}
        again = {}
        for name, collector in collectors.items():
            if not streamed[name]:
                reports[name] = collector.from_memory(weight, bias)
            elif second_pass:
                again[name] = collector.new_stream(*collector.means_and_choices())
        if again:
            with self._together():
                for name, *batch in self._batches("nearest means"):
                    if name in again:
                        again[name].update(*batch)
        for name, collector in collectors.items():
            if streamed[name]:
                reports[name] = collector.from_stream(again.get(name), weight, bias)
        return {name: reports[name] for name in collectors}

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Let an error on one process end the pass on all."""
        error: Exception | None = None
        try:
            yield
        except FailedElsewhereError:
            raise
        except Exception as raised:
            error = raised
        self.ranks.agree(None, error)

    def _batches(self, what: str) -> Iterator[tuple[str, Tensor, Tensor, Tensor]]:
        """Yield (source, features, labels, logits) for every batch and source, all on the device."""
        from tqdm import tqdm

        handles: list[Any] = []
        steps = self.ranks.in_step(self.loader, self.sharded)
        total = len(self.loader) if isinstance(self.loader, Sized) else None
        try:
            for given, new in tqdm(steps, what, total, unit="batch", disable=not self.progress, leave=False):
                batch = Batch.of(given, self.device)
                if batch.labels.numel() == 0 and not self.sharded:
                    continue
                if not self.is_layers and self.sources[CLASSIFIER] is None:
                    self.sources[CLASSIFIER] = find_classifier(self.model, batch.run)
                if not handles:
                    handles += [self._hook(name, module) for name, module in self.sources.items()]
                for values in self.seen.values():
                    values.clear()
                logits = batch.run(self.model)
                if new and batch.labels.numel():
                    yield from self._rows(batch, logits)
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, name: str, module: nn.Module | None) -> Any:
        assert module is not None
        seen = self.seen[name] = []
        if self.is_layers:
            return module.register_forward_hook(lambda module, args, output: seen.append(output))
        take = lambda module, args, kwargs: seen.append(args[0] if args else next(iter(kwargs.values())))
        return module.register_forward_pre_hook(take, with_kwargs=True)

    def _rows(self, batch: Batch, logits: Any) -> Iterator[tuple[str, Tensor, Tensor, Tensor]]:
        labels = batch.flat_labels(self.shift, self.ignored)
        rows = {}
        for name, values in self.seen.items():
            if len(values) != 1:
                raise ValueError(f"{name} must run exactly once for each batch, got {len(values)} times")
            value = pooled(values[0], batch.labels, self.pooling) if self.is_layers else values[0]
            what = f"output of {name}" if self.is_layers else "input of the classifier"
            rows[name] = batch.flat(what, value, self.shift)
        logits = batch.flat("output of the model", logits, self.shift)
        for name, features in rows.items():
            yield name, features, labels, logits

    def _share_classifier(self) -> None:
        """Tell processes that had no batch which module the others found."""
        if self.is_layers or not self.ranks.many:
            return
        own = self.sources[CLASSIFIER]
        names = self.ranks.gather(next((name for name, m in self.model.named_modules() if m is own), None))
        if own is None:
            found = next((name for name in names if name is not None), None)
            self.sources[CLASSIFIER] = None if found is None else self.model.get_submodule(found)

    def _parameters(self) -> tuple[Tensor | None, Tensor | None]:
        found = None if self.is_layers else self.sources[CLASSIFIER]
        return getattr(found, "weight", None), getattr(found, "bias", None)


def find_classifier(model: nn.Module, run: Callable[[nn.Module], Any]) -> nn.Module:
    """Return the last layer: what ``model.get_classifier()`` names, or whose output the model returns.

    Args:
        model: the model.
        run: runs a model on a batch and returns its logits.

    Raises:
        ValueError: if there is no such module with a 2-D weight.
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    checks.function("run", run)
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


def _device(model: nn.Module) -> torch.device:
    first = next(iter(model.parameters()), next(iter(model.buffers()), None))
    return torch.device("cpu") if first is None else first.device
