"""Run the project's checks in stages and count them.

    python -m tools.stages all      every stage below, one after the other
    python -m tools.stages colab    every chapter alone on the versions that Colab ships
    python -m tools.stages processor    every chapter with the rounding of another processor, against what it stores
    python -m tools.stages total    the count of all that ran last

Every stage runs even where an earlier one failed, so that one run shows all that is wrong.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / "_build" / "test"
BIN = Path(sys.executable).parent
WORKERS = str(min(4, os.cpu_count() or 1))


def pytest(stage: str, *arguments: str) -> bool:
    """Run pytest on one stage with a machine-readable report."""
    report = REPORTS / f"{stage}.xml"
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", "--durations=5", *arguments]
    return subprocess.run(command, cwd=ROOT).returncode == 0


def command(stage: str, *arguments: str) -> bool:
    """Run one command as one check."""
    good = subprocess.run([str(BIN / arguments[0]), *arguments[1:]], cwd=ROOT).returncode == 0
    (REPORTS / f"{stage}.xml").write_text(f'<testsuites><testsuite tests="1" failures="{int(not good)}"/></testsuites>')
    return good


def units() -> bool:
    folders = ("tests/ncbook", "tests/tools", "tests/chapters")
    return pytest("units", *folders, "-n", WORKERS, "--dist", "worksteal")


def small() -> bool:
    """What computes with convolutions or trains, on a processor without AVX-512, or on one that is told to be one."""
    cpus = Path("/proc/cpuinfo")
    if not cpus.exists() or "avx512f" not in cpus.read_text(encoding="utf-8"):
        print("this machine is a small one: every other stage has tried it")
        return True
    before = dict(os.environ)
    os.environ |= {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "OMP_NUM_THREADS": "4"}
    os.environ["OMP_WAIT_POLICY"] = "passive"  # more threads than cores: one that waits must not hold a core
    units_ = ("tests/ncbook/models", "tests/ncbook/training/test_loop.py", "tests/ncbook/training/test_device_data.py")
    good = pytest("small", *units_, "tests/ncbook/test_memory.py", "-n", WORKERS, "--dist", "worksteal")
    chapters = sorted(str(p) for n in ("01", "06", "08") for p in ROOT.glob(f"chapters/{n}-*.ipynb"))
    good &= command("small-chapters", "python", "-m", "tools.texts", *chapters)
    os.environ.clear()
    os.environ |= before
    return good


def fuzz() -> bool:
    """The property tests with new cases every time, for as long as they like."""
    os.environ["HYPOTHESIS_PROFILE"] = "fuzz"
    return pytest("fuzz", "tests/ncbook", "tests/tools", "-n", WORKERS, "--dist", "worksteal")


def colab() -> bool:
    # One after the other: the second asks whether the stand-in is there before its first test runs.
    return all([pytest("colab", "tests/colab/test_chapters.py"), pytest("colab-course", "tests/colab/test_course.py")])


def processor() -> bool:
    chapters = sorted(str(path) for path in ROOT.glob("chapters/*.ipynb"))
    return command("processor", "python", "-m", "tools.texts", "--another-processor", "1", *chapters)


STAGES: dict[str, Callable[[], bool]] = {
    "style": lambda: command("style", "ruff", "check", "."),
    "format": lambda: command("format", "ruff", "format", "--check", "."),
    "types": lambda: command("types", "mypy"),
    "units": units,
    "build": lambda: command("build", "python", "-m", "tools.build", "--strict"),
    "book": lambda: pytest("book", "tests/book"),
    "browser": lambda: pytest("browser", "tests/browser", "-n", WORKERS),
    "course": lambda: pytest("course", "tests/course", "-n", WORKERS, "--dist", "loadscope", "--no-loadscope-reorder"),
    "small": small,
    "proofs": lambda: pytest("proofs", "tests/proofs", "-n", WORKERS, "--dist", "worksteal"),
}
APART = {"colab": colab, "fuzz": fuzz, "processor": processor}  # run by name only


def counts() -> tuple[int, int, int]:
    """Return how many checks passed, failed and were skipped in the reports at hand."""
    passed = failed = skipped = 0
    for report in REPORTS.glob("*.xml"):
        for suite in ElementTree.parse(report).getroot().iter("testsuite"):
            of = {name: int(suite.get(name) or 0) for name in ("tests", "failures", "errors", "skipped")}
            bad = of["failures"] + of["errors"]
            passed += of["tests"] - bad - of["skipped"]
            failed, skipped = failed + bad, skipped + of["skipped"]
    return passed, failed, skipped


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["all", "total", *STAGES, *APART])
    what = parser.parse_args().what
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests and notebooks run side by side
    REPORTS.mkdir(parents=True, exist_ok=True)
    broken = []
    if what == "all":
        for report in REPORTS.glob("*.xml"):
            report.unlink()
    stages = STAGES if what == "all" else STAGES | APART
    for name, stage in stages.items():
        if what in ("all", name):
            begin = time.perf_counter()
            print(f"\n=== {name}", flush=True)
            if not stage():
                broken.append(name)
            verdict = "FAILED" if name in broken else "good"
            print(f"=== {name}: {verdict}, {time.perf_counter() - begin:.0f} s", flush=True)
    passed, failed, skipped = counts()
    if broken:
        print("\nfailed stages: " + ", ".join(broken))
    print(f"\n{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if broken or (failed and what in ("all", "total")) else 0)


if __name__ == "__main__":
    main()
