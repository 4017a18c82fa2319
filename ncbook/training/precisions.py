"""Which number formats a device computes in by itself."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from ncbook import checks

CPUINFO = Path("/proc/cpuinfo")  # Linux only
FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # the last one is ARM's; without one of them oneDNN emulates
# Limits that a reader may set on what the kernels use; their names are compared as oneDNN and ATen compare them.
BELOW_BF16 = {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI"}
ATEN_BELOW_BF16 = {"default", "avx2"}


def bf16_is_native(device: str | torch.device = "cpu") -> bool:
    """Return whether ``device`` computes in bfloat16 by itself, so that training in it is not far slower than float32.

    A CUDA device is asked. A CPU has it with AVX512-BF16, AMX or ARM's BF16, as Linux reports them, where PyTorch has
    oneDNN and no limit in the environment (``ONEDNN_MAX_CPU_ISA``, ``DNNL_MAX_CPU_ISA``, ``ATEN_CPU_CAPABILITY``) takes
    it away. Of every other device, and of a CPU on another system, nothing is known: the answer is no.

    Raises:
        ValueError: if ``device`` is no device.
    """
    place = checks.device("device", device)
    if place.type == "cuda":
        if not torch.cuda.is_available():
            return False
        with torch.cuda.device(place):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    if place.type != "cpu" or not torch.backends.mkldnn.is_available() or _is_lowered():
        return False
    return bool(FLAGS & _processor_flags())


def _is_lowered() -> bool:
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", os.environ.get("DNNL_MAX_CPU_ISA", ""))  # the older name still works
    return limit.upper() in BELOW_BF16 or os.environ.get("ATEN_CPU_CAPABILITY") in ATEN_BELOW_BF16


def _processor_flags() -> set[str]:
    """Return the features of all processors that Linux lists: lines "flags : …" on x86, "Features : …" on ARM."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    pairs = (line.partition(":") for line in lines)
    return {flag for name, _, value in pairs if name.strip() in ("flags", "Features") for flag in value.split()}
