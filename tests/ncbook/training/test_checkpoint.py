"""Checkpoints: killed at every line of the writing, cut off anywhere, altered anywhere, or another run's."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import time
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ncbook.training import CheckpointError, checkpoint
from ncbook.training.checkpoint import latest, read, save

IDENTITY = {"model": "tiny", "seed": 3, "widths": [2, 3]}


def state(epoch):
    return {"weights": torch.full((50,), float(epoch)), "history": [{"loss": 1 / (1 + e)} for e in range(epoch)]}


def same(a, b):
    return torch.equal(a["weights"], b["weights"]) and a["history"] == b["history"]


def test_what_is_saved_comes_back(tmp_path):
    save(tmp_path / "new", 7, state(7), IDENTITY)
    found = latest(tmp_path / "new", IDENTITY)
    assert found.epoch == 7 and same(found.state, state(7))


def test_no_folder_and_no_checkpoint_are_none(tmp_path):
    assert latest(tmp_path / "nowhere", IDENTITY) is None and latest(tmp_path, IDENTITY) is None


def test_only_the_newest_are_kept(tmp_path):
    (tmp_path / "checkpoint-000009.tmp").write_bytes(b"left by a kill")
    for epoch in range(8, 13):  # from one digit to two: the order is that of numbers
        save(tmp_path, epoch, state(epoch), IDENTITY)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-000011.pt", "checkpoint-000012.pt"]


def test_another_runs_newer_checkpoints_do_not_push_out_this_runs(tmp_path):
    for epoch in (98, 99):
        save(tmp_path, epoch, state(1), {"seed": 4})
    for epoch in (1, 2, 3):
        save(tmp_path, epoch, state(epoch), IDENTITY)
    with pytest.warns(RuntimeWarning, match="another run"):
        assert latest(tmp_path, IDENTITY).epoch == 3
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize(("epoch", "keep", "names"), [(-1, 2, "epoch"), (1.5, 2, "epoch"), (1, 1, "keep")])
def test_bad_values_are_named(tmp_path, epoch, keep, names):
    with pytest.raises(ValueError, match=f"^{names}"):
        save(tmp_path, epoch, {}, {}, keep)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_kill_at_any_line_of_the_writing_leaves_the_old_or_the_new_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "CHUNK", 500)  # many pieces, so that kills fall inside the file too
    save(tmp_path, 1, state(1), IDENTITY)
    seen, line = set(), 0
    while True:
        line += 1
        for path in tmp_path.glob("checkpoint-000002*"):
            path.unlink()
        if not _killed_at_line(line, tmp_path):
            break
        found = latest(tmp_path, IDENTITY)
        seen.add(found.epoch)
        assert same(found.state, state(found.epoch)), line
    assert seen == {1, 2} and line > 30  # the kills fell on both sides of the move
    assert latest(tmp_path, IDENTITY).epoch == 2


def _killed_at_line(number, folder):
    """Write checkpoint 2 in a child that kills itself, as ``kill -9`` does, at a line of the module."""
    child = os.fork()
    if child == 0:
        count = 0

        def trace(frame, event, argument):
            nonlocal count
            if frame.f_code.co_filename != checkpoint.__file__:
                return None
            count += event == "line"
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        save(folder, 2, state(2), IDENTITY)
        sys.settrace(None)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def test_a_process_killed_at_random_moments_always_leaves_a_checkpoint(tmp_path):
    code = (
        "import itertools, sys, torch\nfrom ncbook.training.checkpoint import latest, save\n"
        "found = latest(sys.argv[1], {})\nepoch = found.epoch if found else 0\nprint('ready', flush=True)\n"
        "for e in itertools.count(epoch + 1):\n    save(sys.argv[1], e, {'x': torch.full((300_000,), float(e))}, {})\n"
    )
    reached = [0]
    for wait in (0.05, 0.21, 0.4):
        process = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        found = latest(tmp_path, {})
        reached.append(found.epoch if found else 0)
        assert found is None or torch.equal(found.state["x"], torch.full((300_000,), float(found.epoch)))
    assert reached == sorted(reached) and reached[-1] > 0


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 1, exclude_max=True))
def test_cut_off_anywhere_it_is_refused_and_the_one_before_is_used(tmp_path_factory, share):
    folder = tmp_path_factory.mktemp("cut")
    save(folder, 1, state(1), IDENTITY)
    path = save(folder, 2, state(2), IDENTITY)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.warns(RuntimeWarning, match=r"000002.*before, checkpoint-000001"):
        assert latest(folder, IDENTITY).epoch == 1


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_one_byte_altered_anywhere_it_is_refused(tmp_path_factory, share, flip):
    path = save(tmp_path_factory.mktemp("altered"), 2, state(2), IDENTITY)
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= flip
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=str(path.name)):
        read(path, IDENTITY)


def test_another_runs_checkpoint_is_refused_with_what_differs(tmp_path):
    path = save(tmp_path, 2, state(2), IDENTITY | {"seed": 4})
    with pytest.raises(CheckpointError, match=r"another run \(seed: 4 there, 3 here\)"):
        read(path, IDENTITY)
    assert read(path).epoch == 2


def test_where_none_is_usable_the_run_does_not_start_over_in_silence(tmp_path):
    save(tmp_path, 1, state(1), {"seed": 4})
    save(tmp_path, 2, state(2), {"seed": 5})
    with pytest.raises(CheckpointError, match=r"no checkpoint is usable(.|\n)*seed: 5(.|\n)*seed: 4"):
        latest(tmp_path, IDENTITY)


class Nasty:
    def __reduce__(self):
        return (os.system, ("exit 1",))


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    path = save(tmp_path, 1, {"nasty": Nasty()}, IDENTITY)
    with pytest.raises(CheckpointError, match="plain data"):
        read(path, IDENTITY)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_checkpoint_before_and_nothing_half_written(tmp_path, monkeypatch, call):
    save(tmp_path, 1, state(1), IDENTITY)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.os, call, full)
    with pytest.raises(OSError, match=r"No space left.*checkpoint-000002\.pt"):
        save(tmp_path, 2, state(2), IDENTITY)
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-000001.pt"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert latest(tmp_path, IDENTITY).epoch == 1


def sealed(path, payload):
    """A file with a valid digest over any payload."""
    path.write_bytes(checkpoint.MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)


def holding(path, whole):
    buffer = io.BytesIO()
    torch.save(whole, buffer)
    sealed(path, buffer.getvalue())


UNUSABLE = {
    "an empty payload": (lambda p: sealed(p, b""), "plain data: EOFError"),
    "no pickle": (lambda p: sealed(p, b"abc"), "plain data"),
    "a list": (lambda p: holding(p, [1, 2]), "plain data"),
    "an epoch in words": (lambda p: holding(p, {"epoch": "two", "identity": IDENTITY, "state": {}}), "epoch"),
    "an identity of one number": (
        lambda p: holding(p, {"epoch": 2, "identity": 7, "state": {}}),
        "its identity is int",
    ),
    "an identity in words": (lambda p: holding(p, {"epoch": 2, "identity": "x", "state": {}}), "its identity is str"),
    "a state of one tensor": (
        lambda p: holding(p, {"epoch": 2, "identity": IDENTITY, "state": torch.ones(3)}),
        "its state is Tensor",
    ),
    "a folder": (lambda p: p.mkdir(), "cannot be read"),
    "a dangling link": (lambda p: p.symlink_to(p.parent / "gone"), "cannot be read"),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_what_is_no_checkpoint_is_named_and_the_one_before_is_used(tmp_path, what):
    write, reason = UNUSABLE[what]
    save(tmp_path, 1, state(1), IDENTITY)
    write(tmp_path / "checkpoint-000002.pt")
    with pytest.warns(RuntimeWarning, match=rf"checkpoint-000002\.pt .*{reason}.*before, checkpoint-000001"):
        assert latest(tmp_path, IDENTITY).epoch == 1
    with pytest.raises(CheckpointError, match=reason):
        read(tmp_path / "checkpoint-000002.pt")


@pytest.mark.parametrize("what", ["a folder", "a dangling link"])
def test_the_run_goes_on_past_what_only_has_a_checkpoints_name(tmp_path, what):
    save(tmp_path, 1, state(1), IDENTITY)
    UNUSABLE[what][0](tmp_path / "checkpoint-000002.pt")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for epoch in (2, 3, 4):
            save(tmp_path, epoch, state(epoch), IDENTITY)
    named = [str(w.message) for w in said if "checkpoint-000002.pt is a folder" in str(w.message)]
    assert len(named) == (what == "a folder")
    kept = {p.name for p in tmp_path.iterdir()} - {"checkpoint-000002.pt.set-aside"}
    assert kept == {"checkpoint-000003.pt", "checkpoint-000004.pt"} and latest(tmp_path, IDENTITY).epoch == 4


def test_a_folder_does_not_count_among_those_that_are_kept(tmp_path):
    save(tmp_path, 1, state(1), IDENTITY)
    for name in ("checkpoint-000002.pt", "checkpoint-000002.tmp"):
        (tmp_path / name).mkdir()
    save(tmp_path, 3, state(3), IDENTITY)
    assert (tmp_path / "checkpoint-000001.pt").is_file() and (tmp_path / "checkpoint-000002.tmp").is_dir()


def test_a_state_that_the_run_cannot_use_is_passed_over(tmp_path):
    save(tmp_path, 1, state(1), IDENTITY)
    save(tmp_path, 2, {"weights": torch.ones(50)}, IDENTITY)
    used = []

    def restore(found):
        used.append((found.epoch, found.state["history"]))

    with pytest.warns(RuntimeWarning, match=r"000002\.pt does not fit this run: KeyError: 'history'"):
        assert latest(tmp_path, IDENTITY, restore).epoch == 1
    assert used == [(1, state(1)["history"])]


def test_random_states_come_back():
    before = checkpoint.random_states()
    first = torch.rand(3)
    checkpoint.restore_random_states(before)
    assert torch.equal(first, torch.rand(3))
