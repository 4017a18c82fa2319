"""Time and memory of the smallest curvature and the certificate, from a thousand to a million variables.

    python benchmarks/landscape.py [--largest 1000000] [--repeat 3]

Each size runs in a process of its own, so that its peak memory is its own. Three kinds of point: a super-class saddle,
a global minimum and a random one, which is hardest for Lanczos.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable

# (num_classes, samples_per_class, feature_dim), from about 1e3 to about 1e6 variables
SIZES = ((4, 10, 24), (10, 20, 48), (10, 50, 64), (10, 50, 200), (10, 100, 512), (10, 200, 512), (100, 20, 512))


def variables(size: tuple[int, int, int]) -> int:
    K, n, d = size
    return K * d + K * n * d + K


def measure(size: tuple[int, int, int], kind: str, what: str, repeat: int) -> dict[str, float]:
    """Return the best of ``repeat`` wall times in seconds and the peak memory that the call added, in MB."""
    from ncbook import ufm
    from ncbook.ufm import UFM

    K, n, d = size
    problem = UFM(K, n, d, 5e-4, 5e-4)
    half = K // 2
    point = {
        "saddle": lambda: ufm.superclass_saddle(problem, [range(half), range(half, K)]),
        "minimum": lambda: problem.optimum().point,
        "random": lambda: problem.random_point(0, 0.05),
    }[kind]()
    call: Callable = {"curvature": ufm.smallest_curvature, "certificate": ufm.certificate}[what]
    small = UFM(2, 1, 2, 1e-2, 1e-2)
    call(small, *small.random_point())  # load what is loaded on first use
    before, times = _peak_mb(), []
    for _ in range(repeat):
        start = time.perf_counter()
        call(problem, *point)
        times.append(time.perf_counter() - start)
    return {"seconds": min(times), "added_mb": _peak_mb() - before, "peak_mb": _peak_mb()}


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=2_000_000, help="skip problems with more variables")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each measurement; the best is kept")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # a single measurement, for the child processes
    options = parser.parse_args()
    if options.one:
        size, kind, what = json.loads(options.one)
        print(json.dumps(measure(tuple(size), kind, what, options.repeat)))
        return
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    names = ("K", "n", "d", "variables", "point", "what", "seconds", "added MB", "peak MB")
    print("{:>4} {:>4} {:>4} {:>10}  {:8} {:12} {:>8} {:>9} {:>8}".format(*names))
    for size in SIZES:
        if variables(size) > options.largest:
            continue
        for what in ("certificate", "curvature"):
            for kind in ("saddle", "minimum", "random"):
                task = json.dumps([size, kind, what])
                command = [sys.executable, __file__, "--one", task, "--repeat", str(options.repeat)]
                out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                row = json.loads(out)
                K, n, d = size
                print(
                    f"{K:4d} {n:4d} {d:4d} {variables(size):10d}  {kind:8} {what:12} "
                    f"{row['seconds']:8.3f} {row['added_mb']:9.0f} {row['peak_mb']:8.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
