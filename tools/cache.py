"""The executed notebooks that a build keeps, in the form in which Jupyter Book looks for them.

Jupyter Book's own cache knows a notebook by its code cells alone. Beside it lies a ledger: for each executed notebook
the key that it was executed under and the digest of the stored file. What the ledger does not vouch for is executed
again, so a build that is killed between any two steps leaves nothing that the next one takes for fresh.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.cache.db import NbCacheRecord
from sqlalchemy.exc import DatabaseError, OperationalError

from tools.execution import Outcome


def write_whole(path: Path, text: str) -> None:
    """Write a text file so that a reader finds the old one or the new one, never a part."""
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


class Remembered:
    """Results by the digest of what they were made from, in one JSON file.

    What was not asked for since it was opened is forgotten when it is saved. Without a file nothing outlasts this.
    """

    def __init__(self, file: Path | None):
        self.file, self._used = file, dict[str, Any]()
        try:
            self._known = json.loads(file.read_text(encoding="utf-8")) if file is not None else {}
        except (FileNotFoundError, ValueError):
            self._known = {}
        if not isinstance(self._known, dict):
            self._known = {}

    def get(self, made_from: str, make: Callable[[], Any]) -> Any:
        """Return what ``make`` gives, made only where it is not known; it must be what JSON holds."""
        digest = hashlib.sha256(made_from.encode()).hexdigest()
        self._used[digest] = self._known[digest] if digest in self._known else make()
        return self._used[digest]

    def save(self) -> None:
        """Write what was asked for; a file that holds it already stays."""
        if self.file is not None and self._used != self._known:
            write_whole(self.file, json.dumps(self._used, ensure_ascii=False))


class Kept:
    """A cache folder with its ledger."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.ledger = folder, folder / "keys.json"
        self.cache = get_cache(str(folder))
        try:
            self.cache.list_cache_records()
            for record in self.cache.list_project_records():
                self.cache.remove_nb_from_project(record.pk)
        except OperationalError:  # a full disk, a folder that may not be written: not the database's fault
            raise
        except DatabaseError:  # a database that is none: begin again
            shutil.rmtree(folder)
            folder.mkdir()
            self.cache = get_cache(str(folder))

    def _entries(self) -> dict[str, dict[str, str]]:
        try:
            found = json.loads(self.ledger.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        if not isinstance(found, dict):
            return {}
        return {code: entry for code, entry in found.items() if isinstance(entry, dict)}

    def _code(self, notebook: nbformat.NotebookNode) -> str:
        return self.cache.create_hashed_notebook(notebook)[1]

    def _file(self, code: str) -> Path:
        return self.folder / "executed" / code / "base.ipynb"

    def fresh(self, path: Path, key: str) -> nbformat.NotebookNode | None:
        """Return the kept run of a notebook's code under ``key``, or None where it has to be executed."""
        code = self._code(nbformat.read(path, as_version=4))
        entry, file = self._entries().get(code, {}), self._file(code)
        if entry.get("key") != key or not file.is_file():
            return None
        if hashlib.sha256(file.read_bytes()).hexdigest() != entry.get("digest"):
            return None
        try:
            NbCacheRecord.record_from_hashkey(code, self.cache.db)
        except KeyError:
            return None
        return nbformat.read(file, as_version=4)

    def seconds(self, path: Path, key: str) -> float | None:
        """Return how long the kept run under ``key`` took, or None where there is none."""
        if self.fresh(path, key) is None:
            return None
        code = self._code(nbformat.read(path, as_version=4))
        return float(NbCacheRecord.record_from_hashkey(code, self.cache.db).data["execution_seconds"])

    def forget(self, path: Path) -> None:
        """Drop what is kept of a notebook's code: the ledger first, so that a kill in between leaves it stale."""
        code = self._code(nbformat.read(path, as_version=4))
        entries = self._entries()
        if entries.pop(code, None) is not None:
            write_whole(self.ledger, json.dumps(entries, indent=1))
        self._drop(code)

    def _drop(self, code: str) -> None:
        shutil.rmtree(self._file(code).parent, ignore_errors=True)
        try:
            record = NbCacheRecord.record_from_hashkey(code, self.cache.db)
        except KeyError:
            return
        NbCacheRecord.remove_record(record.pk, self.cache.db)

    def keep(self, outcome: Outcome, key: str, halfway: Callable[[], None] = lambda: None) -> None:
        """Store an executed notebook, then vouch for it; ``halfway`` runs in between (tests fail there)."""
        code = self._code(outcome.notebook)
        self._drop(code)
        bundle = CacheBundleIn(outcome.notebook, str(outcome.path), data={"execution_seconds": outcome.seconds})
        self.cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
        halfway()
        digest = hashlib.sha256(self._file(code).read_bytes()).hexdigest()
        write_whole(self.ledger, json.dumps(self._entries() | {code: {"key": key, "digest": digest}}, indent=1))
