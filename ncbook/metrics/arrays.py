"""What features and labels may come as: tensors, NumPy arrays, any integers; the rest is refused, with hints."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def as_tensor(name: str, value: Any) -> Any:
    """Return a NumPy array as a tensor over the same memory (copied if its byte order is foreign), else ``value``.

    Raises:
        ValueError: for an array of something else than numbers, or a tensor without data or not stored densely.
    """
    if not isinstance(value, Tensor):
        if type(value).__module__.partition(".")[0] != "numpy" or not hasattr(value, "dtype"):
            return value
        if not value.dtype.isnative:
            value = value.astype(value.dtype.newbyteorder("="))
        try:
            return torch.from_numpy(value)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} must be an array of numbers, got dtype {value.dtype}: {error}") from None
    if value.is_meta:
        raise ValueError(f"{name} must hold data, got a tensor on the meta device")
    if value.layout != torch.strided:
        raise ValueError(f"{name} must be a dense tensor, got layout {value.layout}: give {name}.to_dense()")
    return value


def feature_matrix(features: Any, feature_dim: int | None = None) -> Tensor:
    """Return ``features`` detached, after checking that it is a real floating matrix (finiteness is seen on reading).

    Raises:
        ValueError: if it is not a floating tensor or array of shape (N, d) with N >= 1 and d >= 1.
    """
    features = as_tensor("features", features)
    if not isinstance(features, Tensor) or features.ndim != 2 or not features.is_floating_point():
        came = f"{tuple(features.shape)} {features.dtype}" if isinstance(features, Tensor) else type(features).__name__
        raise ValueError(f"features must be a floating tensor of shape (N, d), got {came}{_way_out(features)}")
    if 0 in features.shape or (feature_dim is not None and features.shape[1] != feature_dim):
        expected = "d >= 1" if feature_dim is None else f"d = {feature_dim}"
        raise ValueError(f"features must be (N, d) with N >= 1 and {expected}, got {tuple(features.shape)}")
    # MPS has no float64: the work is then done on the CPU.
    return features.detach().to("cpu") if features.device.type == "mps" else features.detach()


def _way_out(features: Any) -> str:
    if isinstance(features, (list, tuple)):
        return ": give torch.tensor(features), or torch.cat(features) of batches"
    if not isinstance(features, Tensor):
        return ""
    if features.ndim > 2:
        return ": flatten or average the axes beyond the second"
    return ": give features.float()" if features.ndim == 2 and not features.is_complex() else ""


def label_vector(name: str, labels: Any, num_samples: int | None = None) -> Tensor:
    """Return ``labels`` as int64 (N,); a column (N, 1), a NumPy array and any integer dtype are accepted.

    Raises:
        ValueError: for another shape, a dtype that is not an integer's, or another number of entries.
    """
    labels = as_tensor(name, labels)
    if isinstance(labels, Tensor) and labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if not isinstance(labels, Tensor) or labels.ndim != 1:
        came = tuple(labels.shape) if isinstance(labels, Tensor) else type(labels).__name__
        hint = ""
        if isinstance(labels, Tensor) and labels.ndim == 2:
            hint = f": from one-hot rows, give {name}.argmax(1)"
        elif isinstance(labels, (list, tuple)):
            hint = f": give torch.tensor({name})"
        raise ValueError(f"{name} must be an integer tensor of shape (N,), got {came}{hint}")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"{name} must hold integers, got dtype {labels.dtype}: whole numbers become so by .long()")
    if num_samples is not None and len(labels) != num_samples:
        raise ValueError(f"{name} must have one entry per sample ({num_samples}), got {len(labels)}")
    if len(labels) == 0:
        raise ValueError(f"{name} must not be empty")
    if labels.dtype == torch.uint64 and bool((labels.view(torch.int64) < 0).any()):
        raise ValueError(f"{name} must be below 2**63")
    return labels.detach().long()


def parameter(name: str, value: Any) -> Any:
    """Return a classifier's weight or bias as a tensor that has data; its shape is checked elsewhere."""
    return as_tensor(name, value)
