"""Names that a room's face offers but loads on first use, because what they need is heavy or optional."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from collections.abc import Callable
from typing import Any

# Libraries that are installed under another name than they are imported by.
INSTALLED_AS = {"PIL": "pillow", "flint": "python-flint", "sklearn": "scikit-learn"}


def optional(name: str) -> Any:
    """Return the module ``name``.

    Raises:
        ModuleNotFoundError: if a library that it needs is not installed, naming the command that brings it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        library = (error.name or "ncbook").partition(".")[0]
        if library == "ncbook":  # a mistake of ours
            raise
        project = INSTALLED_AS.get(library, library)
        said = f"this needs {library}, which is not installed: pip install {project}"
        if extra := _extra(project):
            said += f" (it comes with ncbook[{extra}])"
        raise ModuleNotFoundError(said, name=library) from error


def _extra(project: str) -> str | None:
    """Return the first of our extras that brings a project, or None, as where ncbook is a folder on the path."""
    try:
        lines = importlib.metadata.requires("ncbook") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = (re.match(rf"{re.escape(project)}\b.*; extra == ['\"]([\w-]+)['\"]", line) for line in lines)
    return next((match.group(1) for match in found if match), None)


def lazily(room: str, files: dict[str, tuple[str, ...]]) -> Callable[[str], Any]:
    """Return a module's ``__getattr__`` that imports ``room.file`` when one of its names is first asked for.

    Args:
        room: the module's ``__name__``.
        files: the names that each file offers; a file with no names of its own is itself what is offered.
    """
    home = {name: file for file, names in files.items() for name in names or (file,)}

    def load(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        module = optional(f"{room}.{home[name]}")
        return module if name == home[name] and not files[name] else getattr(module, name)

    return load
