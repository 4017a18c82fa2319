"""The process's own peak: a row that adds up, and a count that is never above what the machine gave."""

import os
from pathlib import Path

import pytest

from ncbook import experiments
from ncbook.experiments import process_memory
from ncbook.experiments.memory_arms import Arm

needs_linux = pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="needs Linux")


@needs_linux
def test_the_row_adds_up_and_the_process_holds_what_was_counted():
    (row,) = process_memory.measure([Arm.parse("etf-10+recompute")], [16], width=16)
    peak = row["at_peak"]
    assert row["handed_back"] == peak["alive"] + peak["kernel"] + peak["rest"]
    assert 0 < peak["alive"] <= row["counted"]
    # The kernel counts pages, and a few of them late.
    assert row["handed_back"] > 0.95 * row["counted"] and row["process"] > 0.95 * row["counted"]
    assert peak["kernel"] >= 0 and row["largest_kernel"]["operation"].startswith("aten.")
    assert "counted" in process_memory.shown(row) and "etf-10+recompute" in process_memory.shown(row)


@needs_linux
def test_a_dry_run_measures_nothing(capsys, tmp_path):
    out = tmp_path / "none.json"
    arguments = ["--arms", "etf-10,learned-10", "--width", "2", "--batches", "2", "4", "--out", str(out), "--dry-run"]
    experiments.main(["step-memory", *arguments])
    assert "8 processes" in capsys.readouterr().out and not out.exists()


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--batches", "1"], "batches"),
        (["--arms", "etf-10+bf16"], "arms"),
        (["--arms", "frozen"], "arms"),
        (["--device", "cuda"], "arms"),
    ],
)
def test_bad_arguments_are_named(arguments, names):
    with pytest.raises(SystemExit, match=f"^error: {names}"):
        experiments.main(["step-memory", *arguments])


def test_elsewhere_it_says_what_it_needs(monkeypatch):
    monkeypatch.setattr(process_memory, "RESET", Path("/nowhere/clear_refs"))
    with pytest.raises(ValueError, match=r"^device must be a Linux machine"):
        process_memory.measure([Arm.parse("etf-10")], [2])
