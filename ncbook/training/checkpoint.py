"""Checkpoints that no interruption can spoil.

A checkpoint is written beside its place, forced to disk, and moved there in one step, so that whatever moment the
process dies at, the folder holds the previous checkpoint or the new one, whole. Each carries a digest of its content
and the identity of the run that wrote it; a damaged or foreign one is never loaded.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ncbook import checks

MAGIC = b"ncbook checkpoint 1\n"
NAME = re.compile(r"checkpoint-(\d{6})\.pt")
CHUNK = 2**22  # bytes written at a time


class CheckpointError(RuntimeError):
    """A checkpoint cannot be used; the message says which, why, and what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """What a run was after ``epoch`` epochs; ``state`` holds tensors, numbers, texts, and lists and dicts of these."""

    epoch: int
    state: dict[str, Any]


def save(folder: str | Path, epoch: int, state: Mapping[str, Any], identity: Mapping[str, Any], keep: int = 2) -> Path:
    """Write a checkpoint and keep the ``keep - 1`` before it; older ones are deleted.

    Args:
        folder: one for each run; made where missing.
        epoch: how many epochs are done.
        state: tensors, numbers, texts, and lists and dicts of these, so that it can be read without running code.
        identity: what makes this run this run (model, data, recipe, seed): numbers, texts, and lists of these.
        keep: how many checkpoints to keep, >= 2, so that there always is a previous one.

    Returns:
        Path: of the checkpoint.

    Raises:
        ValueError: if ``epoch`` is negative or ``keep < 2``.
        OSError: if the disk is full or the folder cannot be written to, naming the file; the checkpoints before are
            untouched, and nothing half-written is left.
    """
    checks.integer("epoch", epoch, minimum=0)
    checks.integer("keep", keep, minimum=2)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save({"epoch": epoch, "identity": dict(identity), "state": dict(state)}, buffer)
    path = folder / f"checkpoint-{epoch:06d}.pt"
    if path.is_dir() and not path.is_symlink():  # nothing can be moved onto it: else the run would end here every time
        aside = path.with_name(f"{path.name}.set-aside")
        warnings.warn(f"{path} is a folder where a checkpoint belongs: moved to {aside}", RuntimeWarning, stacklevel=2)
        path.rename(aside)
    _write(path, buffer.getbuffer())
    earlier = [p for p in _checkpoints(folder) if p.name < path.name and p.is_file()]
    unfinished = [p for p in folder.glob("checkpoint-*.tmp") if p.is_file()]
    for old in [*earlier[keep - 1 :], *unfinished]:
        old.unlink(missing_ok=True)
    return path


def _write(path: Path, payload: memoryview) -> None:
    """Write a file whole or not at all: beside its place, forced to disk, and moved there."""
    beside = path.with_suffix(".tmp")
    try:
        with beside.open("wb") as file:
            file.write(MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n")
            for start in range(0, len(payload), CHUNK):
                file.write(payload[start : start + CHUNK])
            file.flush()
            os.fsync(file.fileno())  # before the move: else a power cut could leave a whole name on half a file
        os.replace(beside, path)
    except BaseException as error:
        with suppress(OSError):  # what went wrong first is what is said; on a full disk this makes room again
            beside.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # that of a full disk names no file
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    _sync_folder(path.parent)


def read(path: str | Path, identity: Mapping[str, Any] | None = None) -> Checkpoint:
    """Read one checkpoint, onto the CPU, without running any code in it.

    Args:
        path: of the file.
        identity: of the run that wants it; ``None`` reads a checkpoint of any run.

    Raises:
        CheckpointError: if the file cannot be read, is not a checkpoint, is cut off or altered, or belongs to another
            run.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:  # a folder or a dangling link of that name, or no permission
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    start = len(MAGIC) + 65
    if not content.startswith(MAGIC):
        raise CheckpointError(f"{path} is not a checkpoint of this package, or its beginning is damaged")
    if hashlib.sha256(content[start:]).hexdigest().encode() != content[len(MAGIC) : start - 1]:
        raise CheckpointError(f"{path} is cut off or altered: its content does not match its digest")
    found, written = _plain(path, content[start:])
    if identity is not None and written != dict(identity):
        differing = sorted(k for k in {*written, *identity} if written.get(k) != identity.get(k))
        shown = ", ".join(f"{k}: {written.get(k)!r} there, {identity.get(k)!r} here" for k in differing)
        raise CheckpointError(f"{path} belongs to another run ({shown}): use another folder, or move it away")
    return found


def _plain(path: Path, payload: bytes) -> tuple[Checkpoint, dict[str, Any]]:
    """Return a checkpoint and the identity of its run, refusing whatever `save` does not write."""
    try:
        whole = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
        epoch, identity, state = whole["epoch"], whole["identity"], whole["state"]
        checks.integer("epoch", epoch, minimum=0)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a damaged pickle can raise anything: EOFError where it is empty, for one
        raise CheckpointError(f"{path} does not hold plain data: {type(error).__name__}: {error}") from error
    for name, part in (("identity", identity), ("state", state)):
        if not isinstance(part, dict):
            raise CheckpointError(f"{path} does not hold a checkpoint: its {name} is {type(part).__name__}, not dict")
    return Checkpoint(epoch, state), identity


def latest(
    folder: str | Path,
    identity: Mapping[str, Any] | None = None,
    restore: Callable[[Checkpoint], None] | None = None,
) -> Checkpoint | None:
    """Return the newest usable checkpoint of a folder, and ``None`` where there is none at all.

    An unusable one is passed over with a warning that says why, and the one before it is used.

    Args:
        folder: of one run. identity: of the run that wants it; ``None`` takes a checkpoint of any run.
        restore: sets the run to a checkpoint; one that it cannot use, say for lack of the optimiser's state, is passed
            over like a damaged one. It must set all it sets again when it is called with the one before.

    Raises:
        CheckpointError: if there are checkpoints and none is usable.
    """
    refused: list[str] = []
    for path in _checkpoints(Path(folder)):
        try:
            found = read(path, identity)
            if restore is not None:
                _restored(path, found, restore)
        except CheckpointError as error:
            refused.append(str(error))
            continue
        for reason in refused:
            warnings.warn(f"{reason}. Using the one before, {path.name}", RuntimeWarning, stacklevel=2)
        return found
    if refused:
        raise CheckpointError("no checkpoint is usable:\n" + "\n".join(refused) + "\nTo start anew, move them away.")
    return None


def _restored(path: Path, found: Checkpoint, restore: Callable[[Checkpoint], None]) -> None:
    try:
        restore(found)
    except torch.OutOfMemoryError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise CheckpointError(f"{path} does not fit this run: {type(error).__name__}: {error}") from error


def random_states() -> dict[str, Tensor | list[Tensor]]:
    """Return the states of torch's global generators, of the CPU and of every GPU in use."""
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else []
    return {"cpu": torch.get_rng_state(), "cuda": gpus}


def restore_random_states(states: Mapping[str, Any]) -> None:
    """Set the states of `random_states` again; those of GPUs only where as many are at hand."""
    torch.set_rng_state(states["cpu"])
    if states["cuda"] and torch.cuda.is_available() and torch.cuda.device_count() == len(states["cuda"]):
        torch.cuda.set_rng_state_all(states["cuda"])


def _checkpoints(folder: Path) -> list[Path]:
    """Newest first."""
    return sorted((p for p in folder.glob("checkpoint-*.pt") if NAME.fullmatch(p.name)), reverse=True)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # elsewhere a folder cannot be opened, and the move itself is what the system promises
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
