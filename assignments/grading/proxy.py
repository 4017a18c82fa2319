"""Stand-ins for a student's names: what a test gets, and what turns its calls into messages."""

from __future__ import annotations

import importlib
from typing import Any

from assignments.grading.meter import Meter, Stopwatch
from assignments.grading.phrases import error_phrase, kind_of, texts
from assignments.grading.sandbox import Limits
from assignments.grading.wire import BadReply, Channel, Gone, decode, encode

# A test that asks for one of these gets the grader's own, whatever the student made of it.
MODULES = {"np": "numpy", "nn": "torch.nn", "F": "torch.nn.functional"} | {m: m for m in ("numpy", "torch", "math")}
TOO_LONG = "a call took longer than"
SEND = 600.0  # seconds of the wall clock to hand over a question that nobody reads
KNOWN = (ValueError, TypeError, RuntimeError, NotImplementedError, AssertionError, AttributeError, NameError)
KNOWN_ERRORS = {e.__name__: e for e in (*KNOWN, ArithmeticError, ZeroDivisionError, IndexError, KeyError, MemoryError)}


class StudentError(Exception):
    """Student code raised an exception; also an instance of the built-in exception of that name, if there is one."""


def student_error(kind: str) -> StudentError:
    """Return an exception that a test can catch by the name it had in the student's process; its words are ours."""
    base = KNOWN_ERRORS.get(kind)
    return type(kind_of(kind), (StudentError, base) if base else (StudentError,), {})(error_phrase(kind))


class Names:
    """The student's names during one test; a test's arguments come from here.

    The connection is made on first use. After it is lost, every further question raises the same error.
    """

    def __init__(self, connect: Any, limits: Limits, meter: Meter) -> None:
        self._connect = connect
        self._limits = limits
        self._meter = meter
        self._channel: Channel | None = None
        self._spent = 0.0  # seconds in calls that took longer than a look at the meter
        self.trouble = ""
        self.found: set[bool] = set()  # of each name asked for, whether the notebook has it
        self.texts: set[str] = set()  # what student code has said, which no message may repeat

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a name, a `Handle` for what is not plain, or ``default`` where there is none."""
        if name in MODULES:
            return importlib.import_module(MODULES[name])
        try:
            value = self.ask({"op": "get", "name": name})
        except Gone:
            self.found.add(True)  # who knows
            raise
        self.found.add(value is not None)
        return default if value is None else value

    def __getitem__(self, name: str) -> Any:
        return self.get(name)

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def ask(self, head: dict[str, Any], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        """Send one question and return its answer.

        Raises:
            Gone: if the process ended, took too long, or answered in no known format.
            StudentError: if student code raised an exception.
        """
        if self.trouble:
            raise Gone(self.trouble)
        buffers: list[bytes] = []
        if head["op"] == "call":
            head = {**head, "args": encode((args, kwargs or {}), buffers, self._number)}
        watch: list[Stopwatch] = []
        left = min(self._limits.call, self._limits.question - self._spent)

        def over() -> bool:
            if not watch:
                watch.append(Stopwatch(self._meter))
            return watch[0].over(left)

        try:
            if self._channel is None:
                self._channel = self._connect()
            self._channel.send(head, buffers, SEND)
            reply, arrays = self._channel.receive(over)
            return self._value(reply, arrays)
        except TimeoutError:
            limit = f"{self._limits.call:g} s" if left == self._limits.call else f"{self._limits.question:g} s in all"
            self._lost(f"{TOO_LONG} {limit}")
        except Gone as error:
            self._lost(str(error))
        finally:
            self._spent += watch[0].poll() if watch else 0.0

    def _value(self, reply: Any, arrays: list[bytes]) -> Any:
        if isinstance(reply, dict) and "value" in reply:
            value = decode(reply["value"], arrays, lambda number: Handle(self, number))
            self.texts |= texts(value)
            return value
        error = reply.get("error") if isinstance(reply, dict) else None
        if not isinstance(error, str):
            raise BadReply("a reply in no known format")
        raise student_error(error)

    def _lost(self, why: str) -> None:
        self.trouble = why
        self.close()
        raise Gone(why)

    def _number(self, value: Any) -> int:
        if isinstance(value, Handle) and value._names is self:
            return value._number
        raise TypeError(f"a test cannot hand over a {type(value).__name__}")

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None


class Handle:
    """Something in the student's process: call it, read its attributes, pass it back. Never true, never equal."""

    def __init__(self, names: Names, number: int) -> None:
        self._names = names
        self._number = number

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._names.ask({"op": "call", "handle": self._number}, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._names.ask({"op": "attribute", "handle": self._number, "name": name})

    def __bool__(self) -> bool:
        raise TypeError("a test must compare values: this is an object in the student's process")

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "<an object in the student's process>"
