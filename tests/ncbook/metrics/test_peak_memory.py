"""A vocabulary of classes: no table of all pairs is ever held."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# A child process, because what other tests left behind would hide its peak.
CHILD = """
import sys, torch
from pathlib import Path
from ncbook.metrics import NeuralCollapse, neural_collapse
form, K, d = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(1)
def measure(K):
    rng = torch.Generator().manual_seed(0)
    features, weight = torch.randn(2 * K, d, generator=rng), torch.randn(K, d, generator=rng)
    labels = torch.arange(2 * K) % K
    if form == "in memory":
        return neural_collapse(features, labels, weight, min_samples=1)
    stream = NeuralCollapse(K, d)
    for h, y in zip(features.split(512), labels.split(512)):
        stream.update(h, y, h @ weight.T)
    return stream.compute(weight)
status = lambda key: int(Path("/proc/self/status").read_text().split(key)[1].split()[0])
measure(50)  # what is loaded on first use is not part of it
before = status("VmRSS:")
report = measure(K)
assert report.num_classes == K and 0 < report.nc2_means < 2**0.5 and 0 < report.nc3_product < 2
print(status("VmHWM:") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
@pytest.mark.parametrize("form", ["in memory", "stream"])
def test_no_table_of_all_pairs_of_classes_is_held(form: str) -> None:
    K, d = 8_000, 16
    table = 8 * K**2 / 2**10  # KB: half a GB
    ran = subprocess.run([sys.executable, "-c", CHILD, form, str(K), str(d)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    peak = int(ran.stdout)
    print(f"{form}: {peak / 2**10:.0f} MB above the start, a table would be {table / 2**10:.0f} MB")
    assert peak < table / 3
