"""How a result is recorded: where it came from, and what was measured, as one JSON file."""

from __future__ import annotations

import hashlib
import json
import math
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from ncbook import checks
from ncbook.data import ImageData


def provenance(command: str, device: torch.device | str, **about: Any) -> dict[str, Any]:
    """Return what a recorded result must say about its origin: command, commit, device, processor, versions, date.

    ``processor`` is the model of the CPU, its vector instructions and the threads PyTorch may use; with a GPU, versions
    include the driver's.

    Args:
        command: what was typed. device: what it ran on. about: what else is to be said, such as the data and a note.

    Raises:
        ValueError: if ``command`` is not a text, or ``device`` not a device.
    """
    checks.instance("command", command, str)
    place = checks.device("device", device)
    try:
        git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
        commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = "unknown"
    name = torch.cuda.get_device_name(place) if place.type == "cuda" else f"CPU ({platform.machine()})"
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    if place.type == "cuda":
        versions |= {"cuda": str(torch.version.cuda), "driver": _driver()}
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    where = {"device": name, "processor": _processor()}
    return {"command": command, "commit": commit} | where | {"versions": versions, "date": date} | about


def _processor() -> str:
    """Return the model of this machine's CPU, its widest vector instructions, and the threads PyTorch may use."""
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.exists() else []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    model = next(named, platform.processor() or platform.machine())
    return f"{model}, {torch.backends.cpu.get_cpu_capability()}, threads: {torch.get_num_threads()}"


def _driver() -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


def described(images: ImageData) -> dict[str, Any]:
    """Return what a record says about its data: name, digest, number of samples.

    Raises:
        ValueError: if ``images`` are no `ImageData`.
    """
    checks.instance("images", images, ImageData)
    counts = {"training_samples": len(images.labels), "test_samples": len(images.test_labels)}
    return {"name": Path(images.name).name, "sha256": digest(images)} | counts


def digest(images: ImageData) -> str:
    """Return a SHA-256 digest of all images and labels."""
    found = hashlib.sha256()
    for tensor in (images.images, images.labels, images.test_images, images.test_labels):
        found.update(tensor.contiguous().numpy().data)
    return found.hexdigest()


def write_record(path: str | Path, record: Mapping[str, Any]) -> None:
    """Write a record as JSON, whole or not at all; a number that is not finite, which JSON does not have, is null.

    Raises:
        ValueError: if ``path`` is no path, or ``record`` no mapping.
    """
    checks.instance("path", path, str, Path)
    checks.instance("record", record, Mapping)  # type: ignore[type-abstract]
    beside = Path(path).with_suffix(".tmp")
    beside.parent.mkdir(parents=True, exist_ok=True)  # hours of work must not end for want of a folder
    beside.write_text(json.dumps(_plain(record), indent=1) + "\n")
    beside.replace(path)


def recorded(name: str) -> Path:
    """Return where a recorded result is: a file or a folder of ``results/`` that came with the package.

    Args:
        name: as in ``results/README.md``, such as ``"memory-digits"``.

    Raises:
        ValueError: if nothing of that name is recorded here.
    """
    checks.instance("name", name, str)
    beside = Path(__file__).resolve().parents[2] / "results"  # in a copy of the repository
    if name and (found := beside / name).exists() and found.resolve().is_relative_to(beside):
        return found
    try:
        installed = [Path(str(file.locate())) for file in metadata.files("ncbook") or ()]
    except metadata.PackageNotFoundError:
        installed = []
    for path in (place for file in installed for place in (file, file.parent)):
        if name and path.as_posix().endswith(f"/share/ncbook/results/{name}") and path.exists():
            return path
    raise ValueError(f"name must be that of a recorded result, got {name!r}, which is not in {beside} nor installed")


def origin(record: Mapping[str, Any]) -> str:
    """Return one line that says where a record comes from: machine, versions, date, commit, data.

    Raises:
        ValueError: if ``record`` is no mapping with its ``"provenance"``.
    """
    checks.instance("record", record, Mapping)  # type: ignore[type-abstract]
    try:
        about = record["provenance"]
        machine = about.get("processor", about["device"]) if about["device"].startswith("CPU") else about["device"]
        data = about.get("data", {})
        named = data if isinstance(data, str) else data.get("name", "")
        versions = ", ".join(f"{key} {value}" for key, value in about["versions"].items())
        parts = (named, machine, versions, about["date"], f"commit {about['commit'][:9]}")
    except (KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"record must hold a whole provenance, got {type(error).__name__}: {error}") from error
    return "; ".join(part for part in parts if part)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
