"""Stored and fresh text are compared number by number, as far as a cell's tags say and no further."""

import subprocess
import sys

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import ROOT
from tools.numbers import NUMBER, compare, tolerance

STORED = "NC1 0.0021 (epoch 1: 1.7)\ndeviation 3e-16\n"
TAGS = ["tolerance-0.02", "below-1e-12"]


def test_the_same_text_agrees_with_any_tag():
    for tags in ([], ["tolerance-0.02"], ["tolerance-x3"], ["below-1e-12"], TAGS):
        assert compare(STORED, STORED, tags) is None


def test_numbers_within_the_tolerance_agree():
    fresh = "NC1 0.00213 (epoch 1: 1.68)\ndeviation -7.2e-15\n"
    assert compare(STORED, fresh, TAGS) is None
    assert compare(STORED, fresh, ["tolerance-0.02"]) is not None
    assert compare(STORED, fresh, []) is not None


@pytest.mark.parametrize(
    ("fresh", "says"),
    [
        ("NC1 0.0024 (epoch 1: 1.7)\ndeviation 3e-16\n", "line 1: number 1 was 0.0021, is 0.0024"),
        ("NC1 -0.0021 (epoch 1: 1.7)\ndeviation 3e-16\n", "line 1: number 1 was 0.0021, is -0.0021"),
        ("NC1 0.0021 (epoch 1: 1.7)\n", "2 lines stored, 1 lines now"),
        ("NC1 0.0021 (epoch 1: 1.7)\ndeviation 3e-16\nmore\n", "2 lines stored, 3 lines now"),
        ("NC1 0.0021 (epoch 1: 1.7)\ndeviation 3e-16 4\n", "line 2: 1 numbers stored, 2 now"),
        ("NC1 nan (epoch 1: 1.7)\ndeviation 3e-16\n", "line 1: number 1 was 0.0021, is nan"),
        ("NC1 0.0021 (epoch 1: inf)\ndeviation 3e-16\n", "line 1: number 3 was 1.7, is inf"),
        ("NC1 0.0021 (epoch 1: 1.7)\ndeviation 3e-11\n", "line 2: number 1 was 3e-16, is 3e-11"),
        ("NC2 0.0021 (epoch 1: 1.7)\ndeviation 3e-16\n", "line 1: the words differ"),
        ("NC1 0.0021 (epoch 1: 1.7)\ndistance 3e-16\n", "line 2: the words differ"),
    ],
)
def test_a_difference_is_named_with_its_line(fresh, says):
    assert says in (compare(STORED, fresh, TAGS) or "")


def test_nan_and_infinity_match_only_themselves():
    for tags in (TAGS, ["tolerance-x3"]):
        for number in ("nan", "inf", "-inf"):
            assert compare(number, number + "  ", tags) is None
            assert [other for other in ("1.0", "nan", "inf", "-inf") if compare(number, other, tags) is None] == (
                [number]
            )


def test_a_verdict_is_a_word():
    assert compare("met True", "met False", ["tolerance-x3"]) is not None


def test_columns_may_move_and_words_may_not_join():
    assert compare("a   9.99  b", "a  10.01  b", ["tolerance-0.02"]) is None
    assert compare("a b 1", "ab 1", ["tolerance-0.02"]) is not None
    assert compare("a b", "a  b", []) is not None


def test_without_a_tag_a_digit_more_is_a_difference():
    assert compare("1.0", "1.00", []) is not None
    assert compare("3", "3\n", []) is not None


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("NC1 is 2e-3, nc2_means float64", ["2e-3"]),
        ("[-0.5  1. ]", ["-0.5", "1."]),
        ("3-5 of x-1, h(x)-2", ["3", "5", "1", "2"]),
        ("5 -3 +2 −4", ["5", "-3", "+2", "−4"]),
        ("information nan -inf", ["nan", "-inf"]),
        ("gap .5 that is 0.15 %", [".5", "0.15"]),
        ("1+2j", ["1", "2"]),
    ],
)
def test_what_counts_as_a_number(text, numbers):
    assert NUMBER.findall(text) == numbers


@pytest.mark.parametrize(
    "tags",
    [
        ["tolerance"],
        ["tolerance-"],
        ["tolerance-2"],
        ["tolerance-0"],
        ["tolerance-x1"],
        ["tolerance-x0.5"],
        ["tolerance-x"],
        ["below"],
        ["below-0"],
        ["below-x3"],
        ["below-tiny"],
        ["below-1e-12", "below-1e-10"],
        ["tolerance-0.1", "tolerance-x3"],
    ],
)
def test_a_bad_tag_is_an_error_that_names_it(tags):
    with pytest.raises(ValueError, match=f"tag '{tags[-1]}'"):
        compare("1", "1", tags)


def test_other_tags_are_not_about_numbers():
    assert tolerance(["hide-input", "measured", "nbval-ignore-output"]) is None


finite = st.floats(allow_nan=False, allow_infinity=False, width=32).filter(lambda x: abs(x) > 1e-30)


@given(finite, st.floats(0, 5), st.sampled_from([0.001, 0.02, 0.3]))
def test_relative_means_relative_to_the_stored_number(number, share, limit):
    fresh = number * (1 + share * limit)
    agrees = compare(f"x {number!r}", f"x {fresh!r}", [f"tolerance-{limit}"]) is None
    if abs(share - 1) > 1e-6:  # at the limit itself, round-off decides
        assert agrees == (share < 1)


@given(finite, st.floats(0.05, 20), st.sampled_from([1.5, 3, 10]))
def test_a_factor_is_a_factor_both_ways(number, ratio, limit):
    agrees = compare(f"x {number!r}", f"x {number * ratio!r}", [f"tolerance-x{limit}"]) is None
    if min(abs(ratio / limit - 1), abs(ratio * limit - 1)) > 1e-6:
        assert agrees == (1 / limit < ratio < limit)


@given(finite, st.sampled_from(["tolerance-0.02", "tolerance-x3"]))
def test_a_swapped_sign_is_never_within_a_tolerance(number, tag):
    assert compare(f"x {number!r}", f"x {-number!r}", [tag]) is not None


@given(st.floats(-1e-10, 1e-10), st.floats(-1e-10, 1e-10))
def test_vanishing_numbers_agree_where_both_vanish(stored, fresh):
    agrees = compare(f"x {stored!r}", f"x {fresh!r}", ["below-1e-12"]) is None
    both = max(abs(stored), abs(fresh)) <= 1e-12
    assert agrees == (both or stored == fresh)


@given(st.lists(finite, min_size=1, max_size=6), st.integers(0, 5))
def test_a_number_more_or_less_is_found(numbers, place):
    text = " ".join(map(repr, numbers))
    fewer = " ".join(map(repr, numbers[: place % len(numbers)] + numbers[place % len(numbers) + 1 :]))
    assert compare(text, fewer, ["tolerance-x10"]) is not None
    assert compare(fewer, text, ["tolerance-x10"]) is not None


def outcome(folder, source, stored, tags):
    """Run one cell through nbval with the plugin; return what pytest said."""
    output = nbformat.v4.new_output("stream", name="stdout", text=stored)
    cell = nbformat.v4.new_code_cell(source, execution_count=1, outputs=[output], metadata={"tags": tags})
    path = folder / "one.ipynb"
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), path)
    plugins = ["-p", "tools.nbval_numbers", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-q", "--nbval", str(path), *plugins]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout


def test_nbval_asks_the_tags(tmp_path):
    assert "1 passed" in outcome(tmp_path, "print('x', 1.01)", "x 1.0\n", ["tolerance-0.02"])
    assert "1 failed" in outcome(tmp_path, "print('x', 1.01)", "x 1.0\n", [])
    far = outcome(tmp_path, "print('x', 1.1)", "x 1.0\n", ["tolerance-0.02"])
    assert "1 failed" in far and "number 1 was 1.0, is 1.1" in far
    assert "1 failed" in outcome(tmp_path, "pass", "x 1.0\n", ["tolerance-0.02"])
    bad = outcome(tmp_path, "print('x', 1.0)", "x 1.0\n", ["tolerance-2"])
    assert "1 failed" in bad and "tolerance-2" in bad
