"""How much of the machine a process and all it started have used, whatever else the machine was doing.

The wall clock measures the neighbours as well: beside eight busy processes a second of work takes many. So a limit
counts processor seconds, and seconds in which everything was asleep; waiting for a core does not count.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable

TICK = os.sysconf("SC_CLK_TCK")
POLL = 0.25
WALL = 40.0  # however long a process waits for a core, a limit is over after so many times its seconds


@dataclasses.dataclass(frozen=True)
class Reading:
    """Processor seconds so far, and whether every thread is asleep."""

    cpu: float
    asleep: bool


def _stat(path: str) -> list[str]:
    """Return the fields of a ``stat`` file of /proc that follow the name; empty where the process is gone."""
    try:
        with open(path) as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []


class Meter:
    """Reads a process and its descendants; where there is no /proc, nothing is ever asleep and no time passes."""

    def __init__(self, root: int) -> None:
        self.root = root

    def _tree(self) -> dict[int, list[str]]:
        with contextlib.suppress(OSError):
            everyone = {int(name): _stat(f"/proc/{name}/stat") for name in os.listdir("/proc") if name.isdigit()}
            tree = {self.root: everyone[self.root]} if everyone.get(self.root) else {}
            grown = len(tree)
            while grown:
                new = {p: s for p, s in everyone.items() if s and p not in tree and int(s[1]) in tree}
                tree |= new
                grown = len(new)
            return tree
        return {}

    def read(self) -> Reading:
        """Return the processor seconds of all living members, those of their waited-for children included."""
        ticks, asleep = 0, True
        for pid, fields in self._tree().items():
            ticks += sum(map(int, fields[11:15]))
            with contextlib.suppress(OSError):
                states = [_stat(f"/proc/{pid}/task/{name}/stat")[:1] for name in os.listdir(f"/proc/{pid}/task")]
                asleep = asleep and not any(state in (["R"], ["D"]) for state in states)
        return Reading(ticks / TICK, asleep)


class Stopwatch:
    """Seconds that a process would have taken on an idle machine, since this watch was made."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.spent = 0.0
        self._cpu, self._at = meter.read().cpu, time.monotonic()
        self._begun = self._at

    def poll(self) -> float:
        """Return the seconds spent so far."""
        reading, now = self.meter.read(), time.monotonic()
        used = max(0.0, reading.cpu - self._cpu)
        if reading.asleep:  # a late look says nothing about the time before
            used += min(max(0.0, now - self._at - used), 2 * POLL)
        self._cpu, self._at = reading.cpu, now
        self.spent += used
        return self.spent

    def over(self, seconds: float) -> bool:
        """Whether ``seconds`` have been spent, or the wall clock's generous cap is reached."""
        return self.poll() > seconds or self._at - self._begun > WALL * seconds + 60


def limit(meter: Meter, seconds: float) -> Callable[[], bool]:
    """Return a question to ask now and then: are ``seconds`` over? The watch starts with the first question."""
    watch: list[Stopwatch] = []

    def over() -> bool:
        if not watch:
            watch.append(Stopwatch(meter))
        return watch[0].over(seconds)

    return over
