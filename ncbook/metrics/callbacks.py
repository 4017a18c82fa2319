"""Measuring as a network trains: callbacks for Hugging Face's ``Trainer`` and for Lightning, where they are installed.

Both measure at the end of every epoch, log ``report.as_scalars()``, and keep the reports in ``reports``. Every process
of a run measures together, as `measure` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ncbook import checks
from ncbook._lazy import optional
from ncbook.metrics.network import measure
from ncbook.metrics.reports import NeuralCollapseReport


def trainer_callback(
    loader: Iterable[Any],
    *,
    every: int = 1,
    prefix: str = "nc/",
    log: Callable[[dict[str, float]], Any] | None = None,
    **options: Any,
) -> Any:
    """Return a callback for ``transformers.Trainer``: ``Trainer(…, callbacks=[trainer_callback(loader)])``.

    Args:
        loader: the batches to measure on, read once each time: see `measure`.
        every: measure after every so many epochs.
        prefix: of the logged names.
        log: also called with each epoch's numbers, such as ``wandb.log``: a callback cannot reach the trainer's own
            loggers. On one process of many, the first.
        options: of `measure`, such as ``classifier``, ``shift_labels`` or ``min_samples``.

    Returns:
        A ``transformers.TrainerCallback`` whose ``reports`` lists (epoch, report); its numbers are in the trainer's
        ``state.log_history``.

    Raises:
        ModuleNotFoundError: naming the command that installs transformers.
        ValueError: for ``every`` below one, a prefix that is no text, or ``layers``.
    """
    if log is not None and not callable(log):
        raise ValueError(f"log must be callable or None, got {type(log).__name__}")
    library, options = _prepared("transformers", loader, every, prefix, options)
    base: Any = library.TrainerCallback

    class NeuralCollapseCallback(base):
        def __init__(self) -> None:
            self.reports: list[tuple[float, NeuralCollapseReport]] = []

        def on_epoch_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            if round(state.epoch) % every:
                return
            report = measure(model, loader, **options)
            self.reports.append((state.epoch, report))
            numbers = report.as_scalars(prefix) | {"epoch": state.epoch}
            state.log_history.append(numbers | {"step": state.global_step})
            if log is not None and state.is_world_process_zero:
                log(numbers)

    return NeuralCollapseCallback()


def lightning_callback(loader: Iterable[Any], *, every: int = 1, prefix: str = "nc/", **options: Any) -> Any:
    """Return a callback for Lightning: ``Trainer(callbacks=[lightning_callback(loader)])``.

    Args:
        loader: the batches to measure on, read once each time: see `measure`.
        every: measure after every so many epochs.
        prefix: of the logged names.
        options: of `measure`. The module must map inputs to logits in its ``forward``.

    Returns:
        A ``lightning.pytorch.Callback`` whose ``reports`` lists (epoch, report); its numbers are logged by the module,
        so they are in ``trainer.callback_metrics`` and can be monitored.

    Raises:
        ModuleNotFoundError: naming the command that installs Lightning.
        ValueError: for ``every`` below one, a prefix that is no text, or ``layers``.
    """
    library, options = _prepared("lightning.pytorch", loader, every, prefix, options)
    base: Any = library.Callback

    class NeuralCollapseCallback(base):
        def __init__(self) -> None:
            self.reports: list[tuple[int, NeuralCollapseReport]] = []

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            epoch = trainer.current_epoch + 1
            if epoch % every:
                return
            report = measure(pl_module, loader, **options)
            self.reports.append((epoch, report))
            # All processes have the report on all of the data: nothing is left to reduce.
            pl_module.log_dict(report.as_scalars(prefix), rank_zero_only=False, sync_dist=False)

    return NeuralCollapseCallback()


def _prepared(
    library: str, loader: Iterable[Any], every: int, prefix: str, options: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Return the library, and the options of `measure` without its progress bar, which would break the trainer's."""
    if isinstance(loader, str) or not isinstance(loader, Iterable) or iter(loader) is loader:
        raise ValueError(f"loader must be an iterable that can be read every epoch, got {type(loader).__name__}")
    checks.integer("every", every)
    checks.instance("prefix", prefix, str)
    if options.get("layers") is not None:
        raise ValueError("layers must be left out in a callback, whose log has one report an epoch")
    return optional(library), {"progress": False} | options
