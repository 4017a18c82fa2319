"""What may pass between student code and the grader: plain values and raw arrays in length-prefixed frames.

A frame is two 8-byte lengths, a JSON text, and raw bytes. Nothing that arrives is ever executed: no pickle, no class
names, no code. A value that is not plain travels as a *handle*, a number that its owner looks up.
"""

from __future__ import annotations

import itertools
import json
import math
import socket
import time
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from assignments.grading.meter import POLL

MAX_JSON = 4 << 20
MAX_DEPTH = 50
MAX_ITEMS = 100_000
FLOATS = ("float16", "float32", "float64", "complex64", "complex128")
INTEGERS = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DTYPES = frozenset(FLOATS + INTEGERS)
LAZY: tuple[type, ...] = (
    types.GeneratorType,
    range,
    map,
    zip,
    filter,
    type({}.keys()),
    type({}.values()),
    type({}.items()),
)


class Gone(Exception):
    """The other side ended, did not answer in time, or sent what is no frame. The text says which."""


class BadReply(Gone):
    """What came is not in the format, or too large."""


def encode(value: Any, buffers: list[bytes], handle: Callable[[Any], int], depth: int = 0) -> Any:
    """Return ``value`` as JSON, its arrays appended to ``buffers``; ``handle`` numbers what cannot travel."""
    if depth > MAX_DEPTH:
        raise ValueError(f"a value nested more than {MAX_DEPTH} deep cannot be handed over")
    inner = lambda x: encode(x, buffers, handle, depth + 1)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, torch.Tensor):
        return ["t", *_bytes_of_tensor(value, buffers)]
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.ascontiguousarray(value).reshape(np.shape(value))
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        return ["a" if isinstance(value, np.ndarray) else "s", *_bytes_of(array, array.dtype.name, buffers)]
    if isinstance(value, (int, float, str)):
        plain = next(kind for kind in (int, float, str) if isinstance(value, kind))
        return plain(value)
    if isinstance(value, complex):
        return ["c", value.real, value.imag]
    if value is ...:
        return ["e"]
    if isinstance(value, torch.dtype):
        return ["y", str(value).removeprefix("torch.")]
    if isinstance(value, tuple):
        return ["u", [inner(x) for x in value]]
    if isinstance(value, (list, *LAZY)):
        items: Any = value
        known = list(itertools.islice(items, MAX_ITEMS + 1))  # a lazy sequence may have no end
        if len(known) > MAX_ITEMS:
            raise ValueError(f"a sequence of more than {MAX_ITEMS} items cannot be handed over")
        return ["l", [inner(x) for x in known]]
    if isinstance(value, (set, frozenset)):
        return ["x", [inner(x) for x in value]]
    if isinstance(value, dict):
        return ["d", [[inner(k), inner(v)] for k, v in value.items()]]
    return ["h", handle(value)]


def _bytes_of(array: np.ndarray, dtype: str, buffers: list[bytes]) -> list[Any]:
    if dtype not in DTYPES | {"bfloat16"}:
        raise TypeError(f"an array of dtype {dtype} cannot be handed over")
    buffers.append(array.tobytes())
    return [dtype, list(array.shape), len(buffers) - 1]


def _bytes_of_tensor(tensor: torch.Tensor, buffers: list[bytes]) -> list[Any]:
    plain = tensor.detach().cpu()
    plain = plain.to_dense() if plain.layout != torch.strided else plain
    plain = plain.resolve_conj().resolve_neg().contiguous()
    if plain.dtype == torch.bfloat16:
        return _bytes_of(plain.view(torch.int16).numpy(), "bfloat16", buffers)
    array = plain.numpy()
    return _bytes_of(array, array.dtype.name, buffers)


def decode(node: Any, buffers: list[bytes], handle: Callable[[int], Any], depth: int = 0) -> Any:
    """Return the value of a JSON node. Every step is checked: the node may come from anyone.

    Raises:
        BadReply: for anything that `encode` does not write.
    """
    if node is None or type(node) in (bool, int, float, str):
        return node
    if type(node) is not list or not node or depth > MAX_DEPTH:
        raise BadReply("a reply in no known format")
    kind, *rest = node
    inner = lambda x: decode(x, buffers, handle, depth + 1)
    try:
        if kind in ("t", "a", "s"):
            dtype, shape, index = rest
            return _array(kind, dtype, shape, index, buffers)
        if kind in ("l", "u", "x"):
            (items,) = rest
            return {"l": list, "u": tuple, "x": set}[kind](inner(x) for x in _list(items))
        if kind == "d":
            (pairs,) = rest
            return {inner(k): inner(v) for k, v in _list(pairs)}
        if kind == "c":
            real, imag = rest
            return complex(float(real), float(imag))
        if kind == "e":
            return ...
        if kind == "y":
            dtype = getattr(torch, str(rest[0]), None)
            if isinstance(dtype, torch.dtype):
                return dtype
        if kind == "h" and type(rest[0]) is int:
            return handle(rest[0])
    except (TypeError, ValueError, KeyError, IndexError, OverflowError) as error:
        raise BadReply(f"a reply in no known format ({type(error).__name__})") from error
    raise BadReply("a reply in no known format")


def _list(node: Any) -> list[Any]:
    if type(node) is not list:
        raise TypeError("expected a list")
    return node


def _array(kind: str, dtype: str, shape: list[int], index: int, buffers: list[bytes]) -> Any:
    if any(type(n) is not int or n < 0 for n in _list(shape)) or len(shape) > 32 or index < 0:
        raise ValueError("bad shape")
    if dtype not in DTYPES and (kind, dtype) != ("t", "bfloat16"):
        raise ValueError("bad dtype")
    raw = np.dtype("int16" if dtype == "bfloat16" else dtype)
    if math.prod(shape) * raw.itemsize != len(buffers[index]):
        raise ValueError("bad length")
    array = np.frombuffer(bytearray(buffers[index]), dtype=raw).reshape(shape)
    if kind == "s":
        return array[()]
    if kind == "a":
        return array
    tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16) if dtype == "bfloat16" else tensor


class Channel:
    """One end of a connection: whole frames, each with a time limit and a size limit."""

    def __init__(self, end: socket.socket, max_bytes: int = 64 << 20) -> None:
        self.end = end
        self.max_bytes = max_bytes

    def send(self, head: Any, buffers: list[bytes] | None = None, seconds: float | None = None) -> None:
        """Send a JSON head and raw buffers."""
        buffers = buffers or []
        text = json.dumps({"head": head, "sizes": [len(b) for b in buffers]}).encode()
        size = sum(map(len, buffers))
        if len(text) > MAX_JSON or size > self.max_bytes:
            raise ValueError(f"a value of {(len(text) + size) / 2**20:.0f} MB is too large to hand over")
        try:
            self.end.settimeout(seconds)
            self.end.sendall(len(text).to_bytes(8, "big") + size.to_bytes(8, "big") + text + b"".join(buffers))
        except OSError as error:
            raise Gone("the process ended") from error

    def receive(self, over: Callable[[], bool] | None = None) -> tuple[Any, list[bytes]]:
        """Return the next frame's head and buffers.

        Args:
            over: asked now and then, from `POLL` seconds on, whether the waiting must end; by default it never does.

        Raises:
            TimeoutError: if it was over before the frame was whole.
            Gone: if the other side ended.
            BadReply: if what came is no frame, or too large.
        """
        start = self._read(16, over)
        text_size, size = int.from_bytes(start[:8], "big"), int.from_bytes(start[8:], "big")
        if text_size > MAX_JSON or size > self.max_bytes:
            raise BadReply("a reply that is too large or no reply at all")
        text, raw = self._read(text_size, over), self._read(size, over)
        try:
            frame = json.loads(text)
            head, sizes = frame["head"], frame["sizes"]
            if any(type(n) is not int or n < 0 for n in sizes) or sum(sizes) != size:
                raise ValueError("sizes")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise BadReply("a reply in no known format") from error
        ends = np.cumsum([0, *sizes]).tolist()
        return head, [raw[a:b] for a, b in itertools.pairwise(ends)]

    def _read(self, count: int, over: Callable[[], bool] | None) -> bytes:
        parts: list[bytes] = []
        look = time.monotonic() + POLL
        while count > 0:
            if over and time.monotonic() >= look:
                if over():
                    raise TimeoutError
                look = time.monotonic() + POLL
            try:
                self.end.settimeout(POLL if over else None)
                part = self.end.recv(min(count, 1 << 20))
            except TimeoutError:
                continue
            except OSError as error:
                raise Gone("the process ended") from error
            if not part:
                raise Gone("the process ended")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def close(self) -> None:
        self.end.close()
