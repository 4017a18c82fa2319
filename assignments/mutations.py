"""Wrong answers that fit no assignment in particular: what a lazy, a careless or a cunning student could hand in.

A mutation makes another answer of the right one. Those of `mutations` never are an answer, so no check with points may
accept one; those of `blind` do not look at one of their arguments.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

Answer = Callable[[Any, tuple[Any, ...]], Any]  # from what the right answer gives, and the arguments


class Yes:
    """Equal to everything, called with anything, of any attribute."""

    __hash__ = None  # type: ignore[assignment]
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = lambda *a: True  # type: ignore[assignment]
    __sub__ = __add__ = __call__ = lambda self, *args, **kwargs: self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self


CONSTANTS: dict[str, Any] = {
    "None": None,
    "0": 0,
    "1": 1,
    "-1": -1,
    "0.0": 0.0,
    "0.5": 0.5,
    "1.0": 1.0,
    "1e6": 1e6,
    "nan": math.nan,
    "inf": math.inf,
    "1j": 1j,
    "True": True,
    "False": False,
    "an empty text": "",
    "()": (),
    "[]": [],
    "{}": {},
    "an empty tensor": torch.zeros(0, dtype=torch.float64),
    "a tensor of no shape": torch.zeros((), dtype=torch.float64),
    "an object equal to everything": Yes(),
}


def leaves(change: Callable[[Any], Any], value: Any) -> Any:
    """Return a plain value of the same form, its numbers and tensors changed."""
    if isinstance(value, (list, tuple)):
        return type(value)(leaves(change, x) for x in value)
    if isinstance(value, dict):
        return {k: leaves(change, x) for k, x in value.items()}
    if isinstance(value, (bool, int, float, complex, np.generic, np.ndarray, torch.Tensor)):
        return change(value)
    return value


def _filled(number: float) -> Callable[[Any], Any]:
    def change(x: Any) -> Any:
        if isinstance(x, torch.Tensor):
            return torch.full_like(x, number) if x.is_floating_point() or math.isfinite(number) else x
        return number if isinstance(x, float) or not math.isfinite(number) else int(number)

    return change


def _noise(x: Any) -> Any:
    draw = torch.Generator().manual_seed(1)
    if isinstance(x, torch.Tensor):
        return torch.randn(x.shape, generator=draw, dtype=x.dtype) if x.is_floating_point() else torch.zeros_like(x)
    return float(torch.randn((), generator=draw)) if isinstance(x, float) else x


def _tensors(change: Callable[[torch.Tensor], Any]) -> Callable[[Any], Any]:
    """Change tensors of more than one number, and leave all else."""
    return lambda x: change(x) if isinstance(x, torch.Tensor) and x.numel() > 1 else x


def _real(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Change what is a real number or a tensor of them."""
    real = lambda x: isinstance(x, float) or (isinstance(x, torch.Tensor) and x.is_floating_point())
    return lambda x: change(x) if real(x) else x


FORMS: dict[str, Callable[[Any], Any]] = {
    "zeros of the right form": _filled(0.0),
    "ones of the right form": _filled(1.0),
    "not a number, in the right form": _filled(math.nan),
    "a million, in the right form": _filled(1e6),
    "minus a million, in the right form": _filled(-1e6),
    "noise of the right form": _noise,
    "an empty tensor for each": _tensors(lambda x: x.new_zeros(0)),
    "one axis too many": _tensors(lambda x: x[None]),
    "one axis too many, at the end": _tensors(lambda x: x[..., None]),
    "two copies of it": _tensors(lambda x: torch.stack([x, x])),
    "the mean for every entry": _tensors(lambda x: x.mean() if x.is_floating_point() else x),
    "the mean in the right form": _tensors(
        lambda x: torch.full_like(x, float(x.mean())) if x.is_floating_point() else x
    ),
    "the first entry for all": _tensors(lambda x: x.flatten()[:1].expand(x.shape).clone()),
    "in one long row": _tensors(lambda x: x.flatten() if x.dim() > 1 else x),
    "twice as large": _real(lambda x: 2 * x),
    "times a thousand i": _real(lambda x: x * 1e3j),
    "with an imaginary part": _real(lambda x: x + 1j),
}
WHOLES: dict[str, Answer] = {
    "nothing inside": lambda x, args: type(x)() if isinstance(x, (tuple, list, dict)) else (),
    "the first part only": lambda x, args: x[:1] if isinstance(x, (tuple, list)) else (x,),
    "the parts in reverse order": lambda x, args: type(x)(x[::-1]) if isinstance(x, (tuple, list)) else x,
    "inside one more list": lambda x, args: [x],
}


def mutations(arguments: int) -> dict[str, Answer]:
    """Return every mutation of a function of so many arguments, by name."""
    found: dict[str, Answer] = {f"always {name}": partial(_always, value) for name, value in CONSTANTS.items()}
    found |= {name: partial(_formed, change) for name, change in FORMS.items()}
    found |= WHOLES
    found |= {f"argument {i + 1} as it is": partial(_argument, i) for i in range(arguments)}
    return found


def _always(value: Any, answer: Any, args: tuple[Any, ...]) -> Any:
    return value


def _formed(change: Callable[[Any], Any], answer: Any, args: tuple[Any, ...]) -> Any:
    return leaves(change, answer)


def _argument(i: int, answer: Any, args: tuple[Any, ...]) -> Any:
    return args[i] if i < len(args) else None


def blind(function: Callable[..., Any], example: tuple[Any, ...]) -> dict[str, Callable[..., Any]]:
    """Return versions of a function that do not look at one of their arguments, but at the example's.

    Seeds are left alone: whoever uses none has drawn something, too.
    """
    names = list(inspect.signature(function).parameters)
    found: dict[str, Callable[..., Any]] = {}
    for i, (name, instead) in enumerate(zip(names, example)):
        if isinstance(instead, (bool, int, float, list)) and name != "seed":
            found[f"does not look at {name}"] = partial(_without, function, i, instead)
    return found


def _without(function: Callable[..., Any], i: int, instead: Any, *args: Any) -> Any:
    return function(*args[:i], instead, *args[i + 1 :])
