"""Batches as loaders give them, and features as layers give them: inputs, labels, tokens, masks and maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ncbook.metrics.arrays import label_vector

IGNORED = -100  # what padding is labelled, until the choices say otherwise


@dataclass(frozen=True)
class Batch:
    """One batch: how to run a model on it, its labels (B,) or (B, T), and which tokens are not padding."""

    run: Callable[[nn.Module], Any]
    labels: Tensor
    mask: Tensor | None

    @classmethod
    def of(cls, batch: Any, device: torch.device) -> Batch:
        """Read a batch (inputs, labels, …), where inputs may be a tuple, or a mapping with "labels" or "label".

        Raises:
            ValueError: for another form.
        """
        if isinstance(batch, Mapping):
            name = next((name for name in ("labels", "label") if name in batch), None)
            if name is None:
                raise ValueError(f"a batch that is a mapping must have 'labels' or 'label', got {sorted(batch)}")
            inputs = {k: _there(v, device) for k, v in batch.items() if k != name}
            labels = _labels(batch[name], device)
            mask = inputs.get("attention_mask")
            mask = mask if isinstance(mask, Tensor) and mask.shape == labels.shape and mask.ndim == 2 else None
            return cls(lambda model: _logits(model(**inputs)), labels, mask)
        if not isinstance(batch, Sequence) or isinstance(batch, str) or len(batch) < 2:
            raise ValueError(f"a batch must be (inputs, labels, …) or a mapping, got {type(batch).__name__}")
        given = batch[0] if isinstance(batch[0], (tuple, list)) else (batch[0],)
        arguments = [_there(value, device) for value in given]
        return cls(lambda model: _logits(model(*arguments)), _labels(batch[1], device), None)

    def flat_labels(self, shift: bool, ignored: int) -> Tensor:
        """Return the labels as one vector, a padding token's replaced by ``ignored``, shifted if asked."""
        labels = self.labels if self.mask is None else self.labels.masked_fill(self.mask == 0, ignored)
        if shift:
            if labels.ndim != 2:
                raise ValueError(f"shift_labels needs labels of shape (B, T), got {tuple(labels.shape)}")
            labels = labels[:, 1:]
        return labels.reshape(-1)

    def flat(self, name: str, values: Tensor, shift: bool) -> Tensor:
        """Return a layer's values (B, d), or (B, T, d) for labels (B, T), as one row a label.

        Raises:
            ValueError: for another shape.
        """
        wanted = tuple(self.labels.shape)
        if not isinstance(values, Tensor) or values.ndim != len(wanted) + 1 or values.shape[:-1] != wanted:
            came = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            shape = ", ".join(f"{axis}={size}" for axis, size in zip("BT", wanted))
            raise ValueError(f"the {name} must be ({shape}, d), got {came}")
        return (values[:, :-1] if shift else values).detach().reshape(-1, values.shape[-1])


def pooled(value: Any, labels: Tensor, pooling: Callable[[Tensor], Tensor] | None) -> Any:
    """Return a layer's output as one vector a label: maps (B, C, H, W) and tokens (B, T, d) are averaged.

    Tokens that have a label each stay as they are.
    """
    value = value[0] if isinstance(value, (tuple, list)) else value
    if not isinstance(value, Tensor):
        return value
    if pooling is not None:
        return pooling(value)
    if value.ndim <= labels.ndim + 1:
        return value
    return value.flatten(2).mean(2) if value.ndim > 3 else value.mean(1)


def _there(value: Any, device: torch.device) -> Any:
    return value.to(device) if hasattr(value, "to") else value


def _labels(labels: Any, device: torch.device) -> Tensor:
    if isinstance(labels, Tensor) and labels.ndim == 2 and labels.shape[1] != 1 and not labels.is_floating_point():
        return labels.long().to(device)
    if isinstance(labels, Tensor) and labels.numel() == 0:
        return torch.zeros(0, dtype=torch.long, device=device)  # an empty last batch
    return label_vector("labels", labels).to(device)


def _logits(output: Any) -> Any:
    """Unwrap what some models put around their logits (a tuple, or an object with ``logits``)."""
    if isinstance(output, Tensor):
        return output
    return output.logits if hasattr(output, "logits") else output[0]
