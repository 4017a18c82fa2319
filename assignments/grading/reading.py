"""Read what a student handed in: the code cells of one notebook, out of whatever it came in."""

from __future__ import annotations

import json
import os
import re
import stat
import zipfile
from pathlib import Path

MAX_NOTEBOOK = 64 << 20
MAX_SOURCE = 3 << 20


class Unreadable(Exception):
    """A submission that is no notebook; the text says why."""


def read_bytes(path: Path) -> bytes:
    """Return a submission's notebook, out of a zip if need be; links, pipes and giants are not read.

    Raises:
        Unreadable: if it is not a regular file of reasonable size, or a zip without exactly one notebook.
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
            inside = [i for i in zipped.infolist() if i.filename.endswith(".ipynb") and "__MACOSX" not in i.filename]
            if len(inside) != 1:
                raise Unreadable(f"a zip with {len(inside)} notebooks")
            with zipped.open(inside[0]) as file:
                data = file.read(MAX_NOTEBOOK + 1)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError) as error:
        raise Unreadable(f"a damaged zip ({type(error).__name__})") from error
    if len(data) > MAX_NOTEBOOK:
        raise Unreadable(f"larger than {MAX_NOTEBOOK >> 20} MB")
    return data


def read_cells(data: bytes, assignment: str) -> list[str]:
    """Return the sources of a notebook's code cells; outputs and attachments are never looked at.

    Raises:
        Unreadable: if the bytes are no notebook, or the notebook of another assignment.
    """
    if not data.strip():
        raise Unreadable("an empty file")
    try:
        notebook = json.loads(data.decode("utf-8-sig"))
        cells = notebook["cells"]
        sources = [c["source"] for c in cells if c["cell_type"] == "code"]
        sources = [s if isinstance(s, str) else "".join(s) for s in sources]
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
