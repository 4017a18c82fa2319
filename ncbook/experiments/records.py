"""What a recorded result must say about its origin."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch


def provenance(command: str, device: str) -> dict[str, Any]:
    """Return what a recorded result must say about its origin: command, commit, device, versions, date."""
    try:
        git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
        commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = "unknown"
    name = torch.cuda.get_device_name() if device.startswith("cuda") else f"CPU ({platform.machine()})"
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    return {"command": command, "commit": commit, "device": name, "versions": versions, "date": date}
