"""What every public function asks of its arguments.

Each check raises ``ValueError`` with the argument's name, what came, and what was expected; nothing is clipped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

_T = TypeVar("_T")
LARGEST = 2**63 - 1  # what a tensor's sizes and torch's seeds can hold


def integer(name: str, value: Any, minimum: int = 1) -> int:
    """Return ``value`` as an int of at least ``minimum`` that fits 64 bits, or raise ``ValueError``."""
    try:
        whole = None if isinstance(value, bool) else value.__index__()
    except (AttributeError, TypeError, ValueError, RuntimeError):  # the last one: a tensor without content
        whole = None
    if whole is None or not minimum <= whole <= LARGEST:
        limit = f"an integer >= {minimum}" + (" of 64 bits" if whole is not None and whole > LARGEST else "")
        raise ValueError(f"{name} must be {limit}, got {shown(value)}")
    return whole


def number(name: str, value: Any, *, positive: bool = False, signed: bool = False) -> float:
    """Return ``value`` as a finite float, non-negative (or ``positive``, or ``signed``), or raise ``ValueError``."""
    try:
        x = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        x = math.nan
    bad = not math.isfinite(x) or (x <= 0 if positive else x < 0 and not signed)
    if bad or isinstance(value, bool | str):
        wanted = "" if signed else f" {'>' if positive else '>='} 0"
        raise ValueError(f"{name} must be a finite number{wanted}, got {shown(value)}")
    return x


def flag(name: str, value: Any) -> bool:
    """Return ``value`` if it is True or False, or raise ``ValueError``: as a condition, nan and "no" both mean yes."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, got {shown(value)}")
    return value


def option(name: str, value: Any, *options: str) -> str:
    """Return ``value`` if it is one of the texts ``options``, or raise ``ValueError``."""
    if not isinstance(value, str) or value not in options:
        *front, last = (f'"{o}"' for o in options)
        raise ValueError(f"{name} must be {', '.join(front)} or {last}, got {shown(value)}")
    return value


def instance(name: str, value: Any, *kinds: type[_T]) -> _T:
    """Return ``value`` if it is an instance of one of ``kinds``, or raise ``ValueError``."""
    if not isinstance(value, kinds):
        raise ValueError(f"{name} must be a {' or a '.join(k.__name__ for k in kinds)}, got {type(value).__name__}")
    return value


def function(name: str, value: Any) -> Any:
    """Return ``value`` if it can be called, or raise ``ValueError``."""
    if not callable(value):
        raise ValueError(f"{name} must be callable, got {shown(value)}")
    return value


def module(name: str, value: Any, *parts: str) -> Any:
    """Return ``value`` if it is a module that has each of ``parts``, or raise ``ValueError``."""
    instance(name, value, nn.Module)
    missing = [part for part in parts if not hasattr(value, part)]
    if missing:
        raise ValueError(f"{name} must have {' and '.join(parts)}, got {type(value).__name__} without {missing[0]}")
    return value


def device(name: str, value: Any) -> torch.device:
    """Return ``value``, a device or its name, as a device, or raise ``ValueError``."""
    instance(name, value, str, torch.device)
    try:
        return torch.device(value)
    except RuntimeError as error:
        raise ValueError(f"{name} must be a device that torch knows, got {value!r}") from error


def sequence(name: str, value: Any, length: int | None = None) -> tuple[Any, ...]:
    """Return what ``value`` holds as a tuple (of ``length``), or raise ``ValueError``; a text is no sequence."""
    items = None
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        try:
            items = tuple(value)
        except TypeError:  # a tensor or an array without axes
            items = None
    if items is None or length not in (None, len(items)):
        wanted = "a sequence" if length is None else f"a sequence of {length}"
        raise ValueError(f"{name} must be {wanted}, got {shown(value) if items is None else len(items)}")
    return items


def integers(name: str, value: Any, length: int | None = None, minimum: int = 1) -> tuple[int, ...]:
    """Return what ``value`` holds as integers of at least ``minimum``, or raise ``ValueError``."""
    return tuple(integer(name, item, minimum) for item in sequence(name, value, length))


def shown(value: Any) -> str:
    """Return how ``value`` is shown in an error: as it is where that is short, else its type."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} and dtype {value.dtype}"
    plain = value is None or isinstance(value, str | int | float | complex | list | tuple | dict)
    text = repr(value) if plain else ""
    return text if 0 < len(text) <= 80 else type(value).__name__


def tensor(name: str, value: Any, shape: str, *, read: bool = True, **sizes: int | None) -> Tensor:
    """Return ``value`` if it is a finite real floating tensor of ``shape``, or raise ``ValueError``.

    ``shape`` is a string such as ``"N, d"``, or ``"N, …"`` with any axes at the end; a size given by keyword (``d=4``)
    must match. With ``read=False`` the numbers are not looked at: a layer in training must not wait for its device.
    """
    if not isinstance(value, Tensor):
        raise ValueError(f"{name} must be a torch tensor of shape ({shape}), got {type(value).__name__}")
    axes = [axis.strip() for axis in shape.split(",") if axis.strip()]
    wanted = [sizes.get(axis) for axis in axes]
    long_enough = value.ndim >= len(axes) - 1 if axes[-1:] == ["…"] else value.ndim == len(axes)
    fits = long_enough and all(w is None or w == s for w, s in zip(wanted, value.shape))
    if not fits:
        expected = ", ".join(axis if w is None else f"{axis}={w}" for axis, w in zip(axes, wanted))
        raise ValueError(f"{name} must be ({expected}), got {tuple(value.shape)}")
    if not value.is_floating_point():
        raise ValueError(f"{name} must hold real floating-point numbers, got dtype {value.dtype}")
    if not read:
        return value
    if value.is_meta:
        raise ValueError(f"{name} must hold numbers, got a tensor on the meta device, which has none")
    if not _is_finite(value):
        where = tuple(int(i) for i in (~torch.isfinite(value)).nonzero()[0])
        raise ValueError(f"{name} must be finite, got {value[where].item()} at index {where}")
    return value


def _is_finite(value: Tensor) -> bool:
    """Tell whether all entries are finite: several times as quick as `torch.isfinite`, and without memory."""
    if value.numel() == 0:
        return True
    if value.element_size() < 2:  # a float of eight bits has no order in PyTorch
        return bool(torch.isfinite(value).all())
    return all(math.isfinite(float(end)) for end in value.detach().aminmax())


def labels(name: str, value: Any, num_samples: int | None = None, num_classes: int | None = None) -> Tensor:
    """Return ``value`` if it is an integer vector of labels in ``0 … num_classes - 1``, or raise ``ValueError``."""
    if not isinstance(value, Tensor) or value.ndim != 1:
        came = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"{name} must be an integer tensor of shape (N,), got {came}")
    if value.is_floating_point() or value.is_complex() or value.dtype == torch.bool:
        raise ValueError(f"{name} must hold integers, got dtype {value.dtype}")
    if value.is_meta:
        raise ValueError(f"{name} must hold numbers, got a tensor on the meta device, which has none")
    if num_samples is not None and len(value) != num_samples:
        raise ValueError(f"{name} must have one entry per sample ({num_samples}), got {len(value)}")
    if len(value) == 0:
        raise ValueError(f"{name} must not be empty")
    low, high = int(value.min()), int(value.max())
    if low < 0 or (num_classes is not None and high >= num_classes):
        top = "K - 1" if num_classes is None else str(num_classes - 1)
        raise ValueError(f"{name} must lie in 0 … {top}, got values from {low} to {high}")
    return value.long()


def samples(images: str, xs: Any, name: str, ys: Any, num_classes: int | None = None) -> Tensor:
    """Return the labels ``ys`` if there is one for each of ``xs``, finite and (N, …), or raise ``ValueError``."""
    tensor(images, xs, "N, …")
    ys = labels(name, ys, num_classes=num_classes)
    if len(ys) != len(xs):
        raise ValueError(f"{name} must have one entry for each of {images} ({len(xs)}), got {len(ys)}")
    return ys
