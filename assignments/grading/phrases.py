"""The words that reach a status or a feedback file: ours, never those of student code.

A student's exception text, class name or string could say "38 of 38", or give away what a test asked. So exceptions are
named from a list, and every text that came out of the student's process is taken out of a check's message.
"""

from __future__ import annotations

import builtins
import re
from typing import Any

HINTS = {
    "AttributeError": "a value has no attribute or method of that name",
    "CellTimeout": "it took too long",
    "FileNotFoundError": "a file is not there; only files that the notebook itself writes are",
    "ImportError": "something cannot be imported",
    "IndexError": "an index is out of range",
    "KeyError": "a key is not in the dictionary",
    "LinAlgError": "a matrix is singular, or an iteration did not converge",
    "MemoryError": "it needs more memory than there is",
    "ModuleNotFoundError": "a package is not installed where this was graded",
    "NameError": "a name is used that is not defined",
    "NotImplementedError": "something is not implemented",
    "RecursionError": "a function calls itself too often",
    "RuntimeError": "often shapes or dtypes that do not fit",
    "TypeError": "often the number or the type of the arguments",
    "UnboundLocalError": "a variable is used before it has a value",
    "ValueError": "often shapes or values that do not fit",
    "ZeroDivisionError": "a division by zero",
}
KINDS = {name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, BaseException)}
KINDS |= {"AxisError", "CellTimeout", "JSONDecodeError", "LinAlgError", "OutOfMemoryError", "UsageError"}
OTHER = "an exception"
SHORTEST = 3  # characters; a shorter text says nothing


def kind_of(name: str) -> str:
    """Return the name of an exception's kind if it is a known one, else that it is one."""
    return name if name in KINDS else OTHER


def error_phrase(name: str) -> str:
    """Return what is said of an exception in student code."""
    kind = kind_of(name)
    return f"your code raised {kind}" + (f" ({HINTS[kind]})" if kind in HINTS else "")


def label(function: str, given: str, number: int) -> str:
    """Return what a hidden check is called: the name its author gave it, else what its function is called.

    >>> label("test_q5_unequal_decays", "", 1)
    'unequal decays'
    """
    words = [w for w in function.split("_") if w not in ("test", "hidden", "") and not re.fullmatch(r"q\d+", w)]
    return given or " ".join(words) or f"number {number}"


def texts(value: Any, depth: int = 0) -> set[str]:
    """Return the strings in a plain value."""
    if isinstance(value, str):
        return {str(value)}
    if depth > 6 or not isinstance(value, (list, tuple, set, dict)):
        return set()
    inside = [*value.keys(), *value.values()] if isinstance(value, dict) else list(value)
    return set().union(*(texts(x, depth + 1) for x in inside[:1000])) if inside else set()


def without(message: str, foreign: set[str]) -> str:
    """Return the message with every foreign text taken out, however it was printed."""
    spelled = {s for text in foreign if len(text) >= SHORTEST for s in (text, repr(text)[1:-1], ascii(text)[1:-1])}
    for text in sorted(spelled, key=len, reverse=True):
        message = message.replace(text, "[your text]")
    return message
