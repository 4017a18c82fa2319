"""NC1 three ways and as a stream, side by side in one run: seconds, memory above the input, and the physical limits.

    python benchmarks/metrics.py                   N = 50,000: d = 512, K = 10 and d = 2048, K = 1000
    python benchmarks/metrics.py --quick           a tenth of the samples
    python benchmarks/metrics.py --device cuda --samples 1281167 --feature-dim 2048 --num-classes 1000 --no-loop
    python benchmarks/metrics.py --peer            beside a public package, six problems, medians of ratios

The two forms to compare with are written here, in the way research code does it: one outer product a sample in a
Python loop, and two passes with a d x d covariance and its pseudo-inverse. Both compute NC1 and nothing else, in
float32, the precision of their input; `neural_collapse` computes its whole report, in float64.
"""

from __future__ import annotations

import argparse
import ctypes
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from ncbook.experiments import provenance, write_record
from ncbook.metrics import NeuralCollapse, neural_collapse


def data(samples: int, feature_dim: int, num_classes: int, device: str, noise: float = 1.0) -> tuple[Tensor, Tensor]:
    """Noisy classes, float32, in random order: made in place, so that the input is all that is held."""
    rng = torch.Generator(device).manual_seed(0)
    labels = torch.randperm(samples, generator=rng, device=device) % num_classes
    features = torch.randn(samples, feature_dim, generator=rng, device=device).mul_(noise)
    means = torch.randn(num_classes, feature_dim, generator=rng, device=device)
    for start in range(0, samples, 4096):
        features[start : start + 4096] += means[labels[start : start + 4096]]
    return features, labels


def loop_form(features: Tensor, labels: Tensor, num_classes: int, limit: int | None = None) -> float:
    """One outer product a sample. ``limit`` samples only, for a time that is then scaled up."""
    means = torch.stack([features[labels == k].mean(0) for k in range(num_classes)])
    sigma_w = torch.zeros(features.shape[1], features.shape[1], device=features.device)
    count = len(features) if limit is None else min(limit, len(features))
    for i in range(count):
        residual = features[i] - means[labels[i].item()]
        sigma_w += residual[:, None] @ residual[None, :]
    return pinv_trace(sigma_w / count, means)


def pinv_form(features: Tensor, labels: Tensor, num_classes: int) -> float:
    """Two passes: class means by a one-hot product, then the covariance within classes by one product."""
    one_hot = torch.nn.functional.one_hot(labels, num_classes).to(features.dtype)
    means = (one_hot.T @ features) / one_hot.sum(0)[:, None]
    residuals = features - means[labels]
    return pinv_trace(residuals.T @ residuals / len(features), means)


def pinv_trace(sigma_w: Tensor, means: Tensor) -> float:
    centred = means - means.mean(0)
    sigma_b = centred.T @ centred / len(means)
    return float(torch.trace(torch.linalg.pinv(sigma_b) @ sigma_w) / len(means))


def stream_form(features: Tensor, labels: Tensor, num_classes: int, batch: int = 1024) -> float:
    """One pass, batch by batch."""
    stream = NeuralCollapse(num_classes, features.shape[1]).to(features.device)
    for h, y in zip(features.split(batch), labels.split(batch)):
        stream.update(h, y)
    return stream.compute().nc1


def double_product(features: Tensor) -> None:
    """One float64 product d x N by N x d, the yardstick of the stream, block by block as memory allows."""
    total = torch.zeros(features.shape[1], features.shape[1], dtype=torch.float64, device=features.device)
    for block in features.split(8192):
        double = block.double()
        total.addmm_(double.T, double)


def read_once(features: Tensor) -> None:
    """Read every byte of the input once, converted to float64 a cacheful at a time: the least any form here can do."""
    for block in features.split(max(256, 2**19 // features.shape[1])):
        block.double()


CLOCK = time.perf_counter


def timed(work: Callable[[], Any], device: str, repeats: int) -> tuple[float, Any]:
    """Best time of several runs, in seconds, and the last result."""
    best, result = float("inf"), None
    for _ in range(repeats):
        if device == "cuda":
            torch.cuda.synchronize()
        start = CLOCK()
        result = work()
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, CLOCK() - start)
    return best, result


def extra_memory(work: Callable[[], Any], device: str) -> float:
    """Gigabytes that ``work`` needs above what is held when it starts (the peak of the process or of the GPU)."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        work()
        return (torch.cuda.max_memory_allocated() - held) / 2**30
    ctypes.CDLL(None).malloc_trim(0)  # give back what earlier work freed
    before = int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0])
    Path("/proc/self/clear_refs").write_text("5")  # start the peak anew
    work()
    return (int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) - before) / 2**20


def compare(samples: int, feature_dim: int, num_classes: int, device: str, loop: bool, repeats: int) -> dict[str, Any]:
    """Run every form on one problem; print and return what was seen."""
    N, d, K = samples, feature_dim, num_classes
    features, labels = data(N, d, K, device)
    gigabytes = features.numel() * features.element_size() / 2**30
    print(f"\nN = {N:,}, d = {d}, K = {K}, float32 on {device}: {gigabytes:.2f} GB of features")
    ours: Callable[[], Any] = lambda: neural_collapse(features, labels)
    neural_collapse(features[: 4 * K], torch.arange(4 * K, device=device) % K)  # start the threads
    seconds: dict[str, float] = {}
    values: dict[str, float] = {}
    seconds["read once"], _ = timed(lambda: read_once(features), device, repeats)
    seconds["float64 product"], _ = timed(lambda: double_product(features), device, 1 if device == "cpu" else repeats)
    memory = extra_memory(ours, device)
    seconds["in memory"], report = timed(ours, device, repeats)
    seconds["stream"], values["stream"] = timed(lambda: stream_form(features, labels, K), device, 1)
    seconds["pinv form"], values["pinv form"] = timed(lambda: pinv_form(features, labels, K), device, repeats)
    if loop:
        limit = min(N, 10_000 if d <= 512 else 500)
        part, values["loop"] = timed(lambda: loop_form(features, labels, K, limit), device, 1)
        fixed, _ = timed(lambda: loop_form(features, labels, K, 0) if limit < N else 0.0, device, 1)
        seconds["loop"] = fixed + (part - fixed) * N / limit
    values["in memory"] = report.nc1
    for name in ("in memory", "stream", "pinv form", "loop"):
        if name in seconds:
            ratio = f"{seconds[name] / seconds['in memory']:8.1f} x" if name != "in memory" else " " * 10
            print(f"  {name:<16}{seconds[name]:10.3f} s {ratio}   nc1 = {values[name]:.6g}")
    flops = 2 * N * d * min(K - 1, d)
    rate = 2 * N * d * d / seconds["float64 product"]
    limit_ours = 2 * seconds["read once"] + flops / rate
    print(f"  limits: {seconds['read once']:.3f} s to read and convert the input once;"
          f" {rate / 1e9:.0f} Gflop/s in float64 products")  # fmt: skip
    print(f"  in memory: two reads and {flops / 1e9:.1f} Gflop, at best {limit_ours:.3f} s:"
          f" {seconds['in memory'] / limit_ours:.2f} times that")  # fmt: skip
    print(f"  stream: {seconds['stream'] / seconds['float64 product']:.2f} times one float64 product"
          f" of {2 * N * d * d / 1e9:.1f} Gflop ({seconds['float64 product']:.3f} s)")  # fmt: skip
    print(f"  memory above the input: {memory:.2f} GB")
    return {"N": N, "d": d, "K": K, "device": device, "seconds": seconds, "nc1": values, "extra_gb": memory}


PEER = "https://github.com/rhubarbwu/neural-collapse"
PEER_COMMIT = "c05a0b80d6bc6e8e2e102f2180f1f33b2c9605fd"
PROBLEMS = (  # samples, dimensions, classes, noise
    (20_000, 512, 10, 1.0),
    (20_000, 128, 10, 1.0),
    (5_000, 2048, 100, 1.0),
    (4_000, 1024, 1000, 1.0),
    (6_000, 64, 2000, 1.0),
    (20_000, 512, 10, 1e-4),  # collapsed
)


def peer_form(features: Tensor, labels: Tensor, weight: Tensor, batch: int = 1024) -> dict[str, float]:
    """What the peer measures, as its own example does: one pass for means, one for the rest, float32."""
    from neural_collapse import accumulate, measure

    (K, d), parts = weight.shape, list(zip(features.split(batch), labels.split(batch)))
    means = accumulate.MeanAccumulator(K, d)
    for h, y in parts:
        means.accumulate(h, y)
    M, centre = means.compute()
    covariance, norms = accumulate.CovarAccumulator(K, d, M=M), accumulate.VarNormAccumulator(K, d, M=M)
    decisions = accumulate.DecAccumulator(K, d, M=M, W=weight)
    for h, y in parts:
        covariance.accumulate(h, y, M)
        norms.accumulate(h, y, M)
        decisions.accumulate(h, y, weight, M)
    return {
        "nc1": measure.covariance_ratio(covariance.compute(), M, centre),
        "cdnv": measure.variability_cdnv(norms.compute()[0], M, tile_size=64),
        "nc2_means": measure.simplex_etf_error(M, centre),
        "nc3_product": measure.self_duality_error(weight, M, centre),
        "nc4": measure.clf_ncc_agreement(decisions),
    }


def beside_the_peer(repeats: int) -> list[dict[str, Any]]:
    """Time both on the same six problems, in turns, and print medians of ratios."""
    results = []
    for N, d, K, noise in PROBLEMS:
        features, labels = data(N, d, K, "cpu", noise)
        weight = torch.randn(K, d, generator=torch.Generator().manual_seed(1))
        forms: dict[str, Callable[[], Any]] = {
            "peer": lambda f=features, y=labels, w=weight: peer_form(f, y, w),
            "in memory": lambda f=features, y=labels, w=weight: neural_collapse(f, y, w),
            "stream": lambda f=features, y=labels, K=K: stream_form(f, y, K),
            "read twice": lambda f=features: (read_once(f), read_once(f)),
            "float64 product": lambda f=features: double_product(f),
        }
        forms["in memory"](), forms["peer"]()  # start the threads and load what is loaded on first use
        seconds: dict[str, list[float]] = {name: [] for name in forms}
        values: dict[str, Any] = {}
        for _ in range(repeats):
            for name, form in forms.items():
                spent, values[name] = timed(form, "cpu", 1)
                seconds[name].append(spent)
        ratio = lambda a, b, s=seconds: statistics.median(x / y for x, y in zip(s[a], s[b]))
        ratios = {
            f"{a} / {b}": ratio(a, b)
            for a, b in (("in memory", "peer"), ("stream", "peer"), ("in memory", "read twice"),
                         ("in memory", "float64 product"), ("stream", "float64 product"))
        }  # fmt: skip
        ours = values["in memory"].as_dict()
        apart = {name: abs(value / ours[name] - 1) for name, value in values["peer"].items() if ours[name]}
        medians = {name: statistics.median(times) for name, times in seconds.items()}
        print(
            f"\nN = {N:,}, d = {d}, K = {K}, noise {noise:g}: "
            + ", ".join(f"{name} {t:.3f} s" for name, t in medians.items())
        )
        print("  medians of ratios: " + ", ".join(f"{name} {value:.2f}" for name, value in ratios.items()))
        print("  the peer's numbers differ by " + ", ".join(f"{name} {value:.0e}" for name, value in apart.items()))
        results.append(
            {"N": N, "d": d, "K": K, "noise": noise, "seconds": medians, "ratios": ratios, "peer_differs_by": apart}
        )
    return results


def dry_run(samples: int, feature_dim: int, num_classes: int) -> str:
    """Return the memory of the input and of the report's float64 copy, and seconds from a hundredth of it here."""
    part = max(4 * num_classes, samples // 100)
    features, labels = data(part, feature_dim, num_classes, "cpu")
    seconds, _ = timed(lambda: stream_form(features, labels, num_classes), "cpu", 1)
    single = 4 * samples * feature_dim / 1e9
    return (
        f"{single:.1f} GB of features in float32, {3 * single:.1f} GB with a copy in float64\n"
        f"as a stream about {seconds * samples / part:.0f} s on this CPU, on a GPU far less"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the samples")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--samples", type=int)
    parser.add_argument("--feature-dim", type=int, default=2048)
    parser.add_argument("--num-classes", type=int, default=1000)
    parser.add_argument("--no-loop", action="store_true", help="leave the per-sample loop out")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--out", type=Path, help="write what was seen as JSON")
    parser.add_argument("--cpu-time", action="store_true", help="count CPU seconds of one thread: for a busy machine")
    parser.add_argument("--peer", action="store_true", help=f"compare with {PEER}, which must be importable")
    parser.add_argument("--repeats", type=int, default=5, help="turns with the peer")
    parser.add_argument("--dry-run", action="store_true", help="estimate time and memory, measure nothing")
    given = parser.parse_args()
    if given.dry_run:
        print(dry_run(given.samples or 50_000, given.feature_dim, given.num_classes))
        return
    if given.cpu_time:
        global CLOCK
        CLOCK, given.threads = time.process_time, 1
    torch.set_num_threads(given.threads)
    threadpool_limits(given.threads)  # SciPy's BLAS counts its threads for itself
    load = Path("/proc/loadavg").read_text().split()[0] if Path("/proc/loadavg").exists() else "unknown"
    name = torch.cuda.get_device_name() if given.device == "cuda" else platform.processor() or platform.machine()
    clock = "CPU time" if given.cpu_time else "wall-clock time"
    print(f"torch {torch.__version__}, {given.threads} CPU threads, {name}, load average {load} at the start; {clock}")
    if given.peer:
        results = beside_the_peer(given.repeats)
        problems = []
    elif given.samples:
        problems = [(given.samples, given.feature_dim, given.num_classes)]
    else:
        N = 5_000 if given.quick else 50_000
        problems = [(N, 512, 10), (N, 2048, 1000)]
    if not given.peer:
        results = [compare(*p, given.device, not given.no_loop, 3) for p in problems]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\npeak memory of the process: {peak:.2f} GB")
    if given.out:
        about = {"data": "random normal features, seed 0, made in this script"}
        origin = provenance("python benchmarks/metrics.py " + " ".join(sys.argv[1:]), given.device, **about)
        record = {"provenance": origin, "threads": given.threads, "load": load, "clock": clock, "problems": results}
        if given.peer:
            record["peer"] = {"address": PEER, "commit": PEER_COMMIT}
        write_record(given.out, record)


if __name__ == "__main__":
    main()
