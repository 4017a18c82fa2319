"""Numbers in a chapter's prose are numbers of that chapter: printed by a cell, or set in one."""

import re

import nbformat
import pytest

from tests.chapters.test_chapters import CHAPTERS, cells, prose
from tools.numbers import NUMBER, value

# Decimals that no cell can print: where they are from.
ELSEWHERE = {
    "02-simplex-etf": {"0.111"},  # -1/(K - 1) for ten classes
    "12-more-classes-than-dimensions": {"3.13"},  # a version of Python
    "13-when-the-etf-loses": {"0.79", "4.85"},  # 2^(2/3)/2, and where it times K is K - 1
    "07-gradient-flow-on-shallow-networks": {
        # one recorded run on MNIST, results/shallow_mnist.json
        *("0.52", "0.07", "0.70", "0.12", "1.02", "0.14", "98.6"),
    },
}
# What is no quoted number: code, roles such as {cite}`…`, addresses, and display mathematics.
NOT_PROSE = re.compile(r"\{[a-z:]+\}`[^`]*`|`[^`]*`|https?://\S+|\$\$.*?\$\$", re.S)
DECIMAL = re.compile(r"(?<![\w.])\d+\.\d+(?![\w.]*\d)")


def quoted(path):
    """Return the decimals of the prose, as written."""
    return DECIMAL.findall(NOT_PROSE.sub(" ", prose(path)))


def known(path):
    """Return the numbers that the chapter prints, and those of its code."""
    texts = [o.get("text") or o.get("data", {}).get("text/plain", "") for c in cells(path, "code") for o in c.outputs]
    code = [c.source for c in cells(path, "code")]
    return [abs(value(number)) for text in texts + code for number in NUMBER.findall(text)]


def rounds_to(number, written):
    """Tell whether a number, rounded as the prose rounds, is what the prose says; per cent are such too."""
    half = 0.5 * 10.0 ** -len(written.partition(".")[2])
    return any(abs(abs(x) - float(written)) <= half * (1 + 1e-9) for x in (number, 100 * number))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_quoted_numbers_are_printed_or_set_in_a_cell(path):
    numbers, elsewhere = known(path), ELSEWHERE.get(path.stem, set())
    lost = [w for w in quoted(path) if w not in elsewhere and not any(rounds_to(x, w) for x in numbers)]
    assert lost == []


def test_a_number_that_no_cell_prints_is_found(tmp_path):
    cell = nbformat.v4.new_code_cell("print(x)", outputs=[nbformat.v4.new_output("stream", text="value 0.29817\n")])
    for text, count in (("It is 0.298.", 1), ("It is 0.299.", 0), ("It is `0.5`.", None)):
        path = tmp_path / "one.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text), cell]), path)
        found = [any(rounds_to(x, w) for x in known(path)) for w in quoted(path)]
        assert found == ([] if count is None else [bool(count)])
