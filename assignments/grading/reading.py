"""Read what a student handed in: the code cells of one notebook, out of whatever it came in."""

from __future__ import annotations

import json
import os
import re
import stat
import zipfile
from pathlib import Path
from typing import Any

MAX_NOTEBOOK = 64 << 20
MAX_SOURCE = 3 << 20
NOTEBOOKS = (".ipynb", ".ipynb.txt", ".ipynb.json", ".json")


class Unreadable(Exception):
    """A submission that is no notebook; the text says why."""


def read_bytes(path: Path, assignment: str = "") -> bytes:
    """Return a submission's notebook, out of a zip if need be; links, pipes and giants are not read.

    Args:
        path: the file.
        assignment: of several notebooks in a zip, the only one so named counts.

    Raises:
        Unreadable: if it is not a regular file of reasonable size, or a zip without exactly one such notebook.
    """
    info = os.lstat(path)
    if not stat.S_ISREG(info.st_mode):
        raise Unreadable("not a regular file")
    if info.st_size > MAX_NOTEBOOK:
        raise Unreadable(f"larger than {MAX_NOTEBOOK >> 20} MB")
    if path.suffix.lower() != ".zip":
        return path.read_bytes()
    try:
        with zipfile.ZipFile(path) as zipped:
            inside = [i for i in zipped.infolist() if is_notebook(i.filename)]
            inside = [i for i in inside if i.filename.lower().endswith(".ipynb")] or inside
            named = [i for i in inside if Path(i.filename).stem.casefold() == assignment.casefold()]
            inside = named if len(inside) > 1 and len(named) == 1 else inside
            if len(inside) != 1:
                raise Unreadable(f"a zip with {len(inside)} notebooks")
            with zipped.open(inside[0]) as file:
                data = file.read(MAX_NOTEBOOK + 1)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError) as error:
        raise Unreadable(f"a damaged zip ({type(error).__name__})") from error
    if len(data) > MAX_NOTEBOOK:
        raise Unreadable(f"larger than {MAX_NOTEBOOK >> 20} MB")
    return data


def is_notebook(name: str) -> bool:
    """Whether a file's name is one that notebooks come under: browsers save them as ``.ipynb.txt`` or ``.json`` too."""
    parts = Path(name.replace("\\", "/")).parts
    litter = any(part in (".ipynb_checkpoints", "__MACOSX") or part.startswith("._") for part in parts)
    return not litter and name.lower().endswith(NOTEBOOKS)


def source_of_cell(cell: dict[str, Any]) -> str:
    """Return a cell's source, of notebook format 4 or 3."""
    source = cell["source"] if "source" in cell else cell["input"]
    return source if isinstance(source, str) else "".join(source)


def read_cells(data: bytes, assignment: str) -> list[str]:
    """Return the sources of a notebook's code cells; outputs and attachments are never looked at.

    Raises:
        Unreadable: if the bytes are no notebook, or the notebook of another assignment.
    """
    if not data.strip():
        raise Unreadable("an empty file")
    try:
        notebook = json.loads(data.decode("utf-8-sig"))
        sheets = [notebook] if "cells" in notebook else notebook["worksheets"]  # format 3 has sheets
        sources = [source_of_cell(c) for sheet in sheets for c in sheet["cells"] if c["cell_type"] == "code"]
        otter = notebook.get("metadata", {}).get("otter", {})
        other = otter.get("assignment_name", assignment) if isinstance(otter, dict) else assignment
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, MemoryError) as error:
        raise Unreadable(f"no notebook ({type(error).__name__})") from error
    if other != assignment:
        named = f" ({other})" if re.fullmatch(r"[\w-]{1,20}", str(other)) else ""
        raise Unreadable(f"a notebook of another assignment{named}")
    if sum(map(len, sources)) > MAX_SOURCE:
        raise Unreadable(f"more than {MAX_SOURCE >> 20} MB of code")
    return [s.encode("utf-8", "replace").decode() for s in sources]
