"""Paths that several tests need, and how property tests choose their cases."""

import os
from pathlib import Path

from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

# The same cases on every machine and every run; `make fuzz` looks for new ones. No test depends on how busy it is.
_QUIET = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("same", derandomize=True, database=None, **_QUIET)
settings.register_profile("fuzz", print_blob=True, **_QUIET)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
