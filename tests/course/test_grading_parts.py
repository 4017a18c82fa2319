"""The grader's parts by themselves: what may pass through the pipe, rosters, matching, tables, similarity, refusals."""

from __future__ import annotations

import builtins
import contextlib
import json
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assignments.grading import __main__ as command_line
from assignments.grading import similarity
from assignments.grading.isolation import Isolation
from assignments.grading.meter import Meter
from assignments.grading.proxy import Handle, Names, StudentError, student_error
from assignments.grading.reading import Unreadable, read_cells
from assignments.grading.sandbox import Limits
from assignments.grading.submission import Assignment
from assignments.grading.wire import BadReply, Channel, Gone, decode, encode

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.just(...)
    | st.complex_numbers(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(list("tasluxdceyh")),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=20,
)


def no_handle(value: object) -> int:
    raise AssertionError(f"{value!r} became a handle")


def there_and_back(value: object) -> object:
    buffers: list[bytes] = []
    text = json.dumps(encode(value, buffers, no_handle))
    return decode(json.loads(text), buffers, no_handle)


@settings(max_examples=150, deadline=None)
@given(PLAIN)
def test_plain_values_come_back_as_they_were(value: object) -> None:
    back = there_and_back(value)
    assert back == value and type(back) is type(value)


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int16", "int64", "float16", "bfloat16", "float32", "float64", "complex128"]
)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3)])
def test_tensors_come_back_as_they_were(dtype: str, shape: tuple[int, ...]) -> None:
    tensor = (5 * torch.randn(shape, generator=torch.Generator().manual_seed(0))).to(getattr(torch, dtype))
    back = there_and_back(tensor)
    assert isinstance(back, torch.Tensor) and back.dtype == tensor.dtype and torch.equal(back, tensor)


def test_views_scalars_and_gradients_come_back_as_plain_values() -> None:
    base = torch.arange(12.0).reshape(3, 4).requires_grad_()
    back = there_and_back(base.T[::2])
    assert isinstance(back, torch.Tensor) and torch.equal(back, base.T[::2].detach()) and not back.requires_grad
    assert type(there_and_back(np.float64(0.5))) is np.float64
    big_endian = np.arange(3, dtype=">f8")
    assert np.array_equal(there_and_back(big_endian), big_endian)  # type: ignore[arg-type]
    assert there_and_back(torch.float32) is torch.float32
    assert there_and_back(x for x in (1, 2)) == [1, 2]
    assert there_and_back(torch.zeros(2, 3).shape) == (2, 3)


@settings(max_examples=300, deadline=None)
@given(JSON, st.lists(st.binary(max_size=16), max_size=2))
def test_decoding_anything_gives_a_value_or_says_bad_reply(node: object, buffers: list[bytes]) -> None:
    with contextlib.suppress(BadReply):
        decode(node, buffers, lambda number: number)


@pytest.mark.parametrize(
    "node",
    [
        ["t", "float64", [2], 0],  # too few bytes
        ["t", "float64", [-1], 0],
        ["t", "object", [1], 0],
        ["a", "bfloat16", [4], 0],
        ["t", "float64", [1], 5],
        ["t", "float64", [2**40, 2**40], 0],
        ["d", [[["l", []], 1]]],  # a key that cannot be one
        ["y", "nn"],
        ["h", "0"],
        ["zz"],
        {"v": 1},
        [],
    ],
)
def test_each_malformed_reply_is_refused(node: object) -> None:
    with pytest.raises(BadReply):
        decode(node, [bytes(8)], lambda number: number)


def test_channel_says_late_gone_and_too_large() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(ours, max_bytes=1000)
    with pytest.raises(TimeoutError):
        channel.receive(lambda: True)
    with pytest.raises(ValueError, match="too large"):
        channel.send(None, [bytes(2000)])
    theirs.sendall((2**40).to_bytes(8, "big") + bytes(8))
    with pytest.raises(BadReply, match="too large"):
        channel.receive()
    theirs.close()
    with pytest.raises(Gone, match="ended"):
        channel.receive()


def test_handles_are_never_true_and_never_equal() -> None:
    handle = Handle(Names(lambda: None, Limits(), Meter(0)), 0)
    with pytest.raises(TypeError, match="must compare values"):
        bool(handle)
    assert handle != handle and handle != 0
    with pytest.raises(TypeError):
        len(handle)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["ValueError", "TypeError", "KeyError", "ZeroDivisionError"])
def test_student_errors_are_caught_by_their_name(kind: str) -> None:
    error = student_error(kind)
    assert isinstance(error, getattr(builtins, kind)) and isinstance(error, StudentError)


@pytest.mark.parametrize("kind", ["SystemExit", "KeyboardInterrupt", "GeneratorExit", "Gone", "x y"])
def test_no_student_error_escapes_a_test(kind: str) -> None:
    assert isinstance(student_error(kind), Exception) and not isinstance(student_error(kind), Gone)


@pytest.mark.parametrize("table", [{"cell": 0}, {"cell": "5"}, {"cells": 5}, {"call": True}])
def test_limits_must_be_positive_and_known(table: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="positive numbers named call, cell"):
        Limits.read(table)


def test_folder_that_was_not_released_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"run `python -m assignments\.release` first"):
        Assignment.read(tmp_path)


def test_marks_that_hang_together_are_refused(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "q1.py").write_text('name = "q1"\npoints = 2\nall_or_nothing = True\n')
    about = {"assignment": "hw0", "questions": {"q1": {"points": 2, "manual": False}}, "limits": {}}
    (tmp_path / "grading.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match="all_or_nothing is not supported: give each test its points in q1"):
        Assignment.read(tmp_path)


# Similarity.

ORIGINAL = """
def grow(frame):
    K = len(frame)
    c = -1 / K
    old = torch.cat([frame * (1 - c**2) ** 0.5, torch.full((K, 1), c, dtype=frame.dtype)], dim=1)
    new = torch.zeros(1, K, dtype=frame.dtype)
    new[0, -1] = 1
    return torch.cat([old, new])
"""
RENAMED = ORIGINAL.replace("frame", "vectors").replace("old", "a").replace("new", "b") + "# all my own work\n"
OTHER = """
def grow(frame):
    out = []
    for row in frame.tolist():
        out.append([x * 0.5 for x in row] + [0.25])
    while len(out) < 3:
        out.append([0.0] * len(out[0]))
    return torch.tensor(sorted(out))
"""


def write_code(path: Path, *cells: str) -> None:
    code = [{"cell_type": "code", "source": c} for c in cells]
    path.write_text(json.dumps({"cells": code, "metadata": {"otter": {"assignment_name": "hw1"}}}))


def test_renamed_copy_is_found_and_given_code_is_not_counted(tmp_path: Path) -> None:
    given_code = (
        "def shared(a, b, c):\n    total = [a * b + c for _ in range(10)]\n    return sum(total) / len(total) - a * b\n"
    )
    folder = tmp_path / "in"
    folder.mkdir()
    for name, code in (("ada", ORIGINAL), ("ben", RENAMED), ("eve", OTHER)):
        write_code(folder / f"{name}.ipynb", "%pip install x", given_code, code)
    (folder / "broken.ipynb").write_text("{")
    write_code(tmp_path / "given.ipynb", given_code)
    pairs = similarity.compare(folder, tmp_path / "given.ipynb")
    assert (pairs[0].first, pairs[0].second) == ("ada", "ben") and pairs[0].share > 0.9
    assert len(pairs) == 3 and all(p.share < 0.4 for p in pairs[1:])
    write_code(tmp_path / "solution.ipynb", given_code, OTHER.replace("row", "line"))
    first, *_ = sorted(
        similarity.compare(folder, tmp_path / "given.ipynb", tmp_path / "solution.ipynb"),
        key=lambda p: (p.second != similarity.SOLUTION, -p.share),
    )
    assert (first.first, first.second) == ("eve", similarity.SOLUTION) and first.share > 0.9
    similarity.write(pairs, tmp_path / "pairs.csv")
    assert (tmp_path / "pairs.csv").read_text(encoding="utf-8-sig").splitlines()[1].startswith("ada,ben,")


# Refusals.


def test_without_isolation_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "find_isolation", lambda *args, **kwargs: (None, "unshare: no, never"))
    tests = tmp_path / "hw0" / "autograder" / "tests"
    tests.mkdir(parents=True)
    (tests.parent / "grading.json").write_text(json.dumps({"assignment": "hw0", "questions": {}, "limits": {}}))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "ada.ipynb").write_text("{}")
    arguments = [
        "grade",
        "--assignment",
        "hw0",
        "--submissions",
        str(tmp_path / "in"),
        "--out",
        str(tmp_path / "g.csv"),
    ]
    monkeypatch.setattr(sys, "argv", ["grading", "--released", str(tmp_path), *arguments])
    with pytest.raises(SystemExit, match=r"cannot be isolated here, and will not be run:\n    unshare: no, never"):
        command_line.main()
    assert not (tmp_path / "g.csv").exists()
    assert "none: student code has this user's rights" in str(Isolation())


def test_notebook_text_of_every_kind_is_read_or_refused() -> None:
    good = {"cells": [{"cell_type": "code", "source": ["a = 1\n", "b"]}, {"cell_type": "markdown", "source": "no"}]}
    assert read_cells(b"\xef\xbb\xbf" + json.dumps(good).encode(), "hw1") == ["a = 1\nb"]
    for bad in (b"", b"null", b"3", b'"text"', b'{"cells": {}}x', b'{"cells": [{"cell_type": "code"}]}', b"\xff\xfe"):
        with pytest.raises(Unreadable):
            read_cells(bad, "hw1")
    huge = {"cells": [{"cell_type": "code", "source": "x" * (4 << 20)}]}
    with pytest.raises(Unreadable, match="more than 3 MB of code"):
        read_cells(json.dumps(huge).encode(), "hw1")
