"""Question parameters that differ from course to course: drawn from the course's secret, written in by the release.

``parameters.py`` beside a master defines ``draw(rng)``, which returns a dictionary: ``{"CLASSES": 8}`` puts 8 wherever
the master says ``COURSE_CLASSES``: in a task, a solution, a check, and in the wrong answers of ``wrong.py``. What a
visible check has to compare with is worked out there, too: students see its value, and not how it was found.
"""

from __future__ import annotations

import random
import re
import runpy
from pathlib import Path
from typing import Any

NAME = re.compile(r"\bCOURSE_([A-Z][A-Z0-9_]*)\b")
SEED = "SEED"  # another one in each question, and never in what students get


class ParameterError(ValueError):
    """A parameter that a master names and nobody draws, or the other way round."""


def drawn(folder: Path, seed: int) -> dict[str, Any]:
    """Return the parameters of the master in a folder, by name; none where no ``parameters.py`` stands beside it.

    Raises:
        ParameterError: if a name is not in capitals, is ``SEED``, or a value is not a number, a text or a list of them.
    """
    path = folder / "parameters.py"
    if not path.exists():
        return {}
    found = runpy.run_path(str(path))["draw"](random.Random(seed))
    for name, value in found.items():
        if name == SEED or not NAME.fullmatch(f"COURSE_{name}"):
            raise ParameterError(f"{path}: a parameter's name must be in capitals and not {SEED}, got {name!r}")
        if not isinstance(value, (int, float, str, list)):
            raise ParameterError(f"{path}: {name} must be a number, a text or a list, got {type(value).__name__}")
    return found


def filled(text: str, values: dict[str, Any]) -> str:
    """Return a text with each ``COURSE_NAME`` replaced by its value.

    Raises:
        ParameterError: if it names a parameter that has no value.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise ParameterError(f"COURSE_{match[1]} has no value: `parameters.py` draws {sorted(values)}")
        return str(values[match[1]])

    return NAME.sub(value, text)


def named(text: str) -> set[str]:
    """Return the parameters that a text names."""
    return set(NAME.findall(text))
