"""Saved arrays measured by the command."""

from __future__ import annotations

import json
import math
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ncbook.metrics import main, neural_collapse


def saved(folder: Path, **arrays: np.ndarray) -> list[str]:
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return [part for name in arrays for part in (f"--{name}", str(folder / f"{name}.npy"))]


def arrays(dtype: str = "float32") -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 3
    features = (rng.normal(size=(30, 5)) + 3 * labels[:, None]).astype(dtype)
    return {
        "features": features,
        "labels": labels,
        "weight": rng.normal(size=(3, 5)).astype(dtype),
        "bias": rng.normal(size=3).astype(dtype),
    }


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_command_prints_what_the_function_returns(
    dtype: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = arrays(dtype)
    assert main([*saved(tmp_path, **given), "--format", "json", "--within", "class"]) == 0
    wanted = neural_collapse(**{k: torch.from_numpy(v) for k, v in given.items()}, within="class")
    assert json.loads(capsys.readouterr().out) == wanted.as_dict()


def test_the_command_runs_as_a_module_and_prints_a_table(tmp_path: Path) -> None:
    given = arrays()
    command = [sys.executable, "-m", "ncbook.metrics", *saved(tmp_path, **given)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert ran.returncode == 0 and ran.stderr == ""
    assert ran.stdout.rstrip("\n") == str(neural_collapse(**{k: torch.from_numpy(v) for k, v in given.items()}))


def test_the_files_are_not_changed(tmp_path: Path) -> None:
    saved(tmp_path, **arrays())
    before = (tmp_path / "features.npy").read_bytes()
    main(saved(tmp_path, **arrays()))
    assert (tmp_path / "features.npy").read_bytes() == before


def test_json_stays_json_where_a_value_is_infinite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same = np.tile(np.random.default_rng(0).normal(size=(4, 3)), (2, 1))
    main([*saved(tmp_path, features=same, labels=np.arange(8) // 4), "--format", "json"])

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is not JSON")

    fields = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert math.isinf(float(fields["nc1"])) and math.isnan(float(fields["nc2_means"]))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"labels": np.arange(30)}, "labels must lie in 0 … 2, got values from 0 to 29"),
        ({"labels": np.arange(29) % 3}, r"labels must have one entry per sample"),
        ({"features": np.full((30, 5), np.nan)}, "features must be finite, got nan at sample 0, coordinate 0"),
        ({"features": np.array(["a", "b"])}, "features must be an array of numbers, got dtype <U1"),
    ],
)
def test_the_command_says_what_is_wrong(
    change: dict[str, np.ndarray], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(saved(tmp_path, **(arrays() | change))) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and message in captured.err


@pytest.mark.parametrize("kind", ["npz", "pt", "one tensor a file", "big-endian"])
def test_the_command_reads_other_files(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = arrays()
    wanted = neural_collapse(**{k: torch.from_numpy(v) for k, v in given.items()})
    one = str(tmp_path / f"all.{kind}")
    if kind == "npz":
        np.savez(one, **given)
    elif kind == "pt":
        torch.save({name: torch.from_numpy(array) for name, array in given.items()}, one)
    elif kind == "big-endian":
        given = {name: array.astype(array.dtype.newbyteorder(">")) for name, array in given.items()}
    else:
        for name, array in given.items():
            torch.save(torch.from_numpy(array), tmp_path / f"{name}.pt")
    if kind in ("npz", "pt"):
        files = [part for name in given for part in (f"--{name}", one)]
    elif kind == "big-endian":
        files = saved(tmp_path, **given)
    else:
        files = [part for name in given for part in (f"--{name}", str(tmp_path / f"{name}.pt"))]
    assert main([*files, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == wanted.as_dict()


class Trap:
    """Leaves a mark when a pickle of it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("name", ["f.npy", "f.npz", "f.pt", "f.pkl", "f.csv"])
def test_nothing_in_a_file_is_run(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mark, path = tmp_path / "it ran", tmp_path / name
    objects = np.array([Trap(mark)], dtype=object)
    if name == "f.npy":
        np.save(path, objects, allow_pickle=True)
    elif name == "f.npz":
        np.savez(path, features=objects)
    elif name == "f.pt":
        torch.save(Trap(mark), path)
    elif name == "f.pkl":
        path.write_bytes(pickle.dumps(Trap(mark)))
    else:
        path.write_text("1.0,2.0")
    assert main(["--features", str(path), "--labels", str(path)]) == 2
    message = capsys.readouterr().err
    assert "features must be a file of numbers" in message and "numpy.save" in message
    assert "allow_pickle" not in message and "weights_only" not in message
    assert not mark.exists()


def test_the_command_leaves_classes_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = arrays() | {"labels": np.where(np.arange(30) == 7, -100, np.arange(30) % 2)}
    assert main([*saved(tmp_path, **given), "--min-samples", "1"]) == 0
    shown = capsys.readouterr().out
    assert "classes                0, 1" in shown and "samples_left_out       1" in shown


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--features", str(tmp_path / "gone.npy"), "--labels", "y.npy"]) == 2
    assert "features must be a .npy, .npz or .pt file, found no file" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="limits the heap as Linux counts it")
def test_a_file_is_read_without_being_loaded_whole(tmp_path: Path) -> None:
    """256 MB of features through a process whose heap may grow by far less."""
    features = np.lib.format.open_memmap(tmp_path / "f.npy", "w+", "float32", (2**16, 2**10))
    rng = np.random.default_rng(0)
    for start in range(0, 2**16, 2**12):
        features[start : start + 2**12] = rng.standard_normal((2**12, 2**10), dtype=np.float32)
    features.flush()
    np.save(tmp_path / "y.npy", np.arange(2**16) % 4)
    script = (
        "import resource, sys; from ncbook.metrics import main\n"
        "import torch; torch.set_num_threads(1)\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv.pop()),) * 2)\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    limit = used_by_imports() + 120 * 2**20  # the blocks of 4 MB and their products; 256 MB would not fit
    command = [sys.executable, "-c", script, "--features", str(tmp_path / "f.npy"), "--labels", str(tmp_path / "y.npy")]
    ran = subprocess.run([*command, str(limit)], capture_output=True, text=True, timeout=900)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "num_samples            65536" in ran.stdout


def used_by_imports() -> int:
    script = "import ncbook.metrics.network, torch; torch.set_num_threads(1); print(open('/proc/self/status').read())"
    status = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=900).stdout
    return int(status.split("VmData:")[1].split()[0]) * 1024
