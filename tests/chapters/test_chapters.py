"""The form of every chapter: runs alone, reads well on Colab, keeps only text."""

import json
import re

import nbformat
import pytest

from tests.conftest import ROOT
from tools import boxes
from tools.notebooks import clean
from tools.numbers import tolerance
from tools.repository import SETUP_MARK, address, disagreements, setup_cell

CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
# Share of printed lines that are verdicts. A limit only ever falls: a chapter that does better lowers its own.
VERDICTS = {
    "01-neural-collapse": 0.1,
    "02-simplex-etf": 0.1,
    "04-why-the-etf-is-optimal": 0.1,
    "05-no-bad-valleys": 0.1,
    "07-gradient-flow-on-shallow-networks": 0.1,
    "08-what-twenty-per-cent-buys": 0.1,
}
GOAL = 0.1  # what every chapter is to reach, and a new one starts from
KNOWN_TAGS = {"hide-input", "measured", "nbval-ignore-output", "raises-exception"}
by_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)


def cells(path, kind):
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == kind]


def prose(path):
    return "\n\n".join(c.source for c in cells(path, "markdown"))


def test_there_are_chapters():
    assert len(CHAPTERS) >= 3


@by_chapter
def test_every_code_cell_was_executed_in_order(path):
    assert [c.execution_count for c in cells(path, "code")] == list(range(1, len(cells(path, "code")) + 1))


@by_chapter
def test_only_text_is_stored(path):
    kinds = {key for c in cells(path, "code") for o in c.outputs for key in o.get("data", {})}
    streams = {o.name for c in cells(path, "code") for o in c.outputs if o.output_type == "stream"}
    assert kinds <= {"text/plain"} and streams <= {"stdout"}


@by_chapter
def test_no_cell_failed(path):
    assert not [o for c in cells(path, "code") for o in c.outputs if o.output_type == "error"]


@by_chapter
def test_notebook_is_clean(path):
    notebook = nbformat.read(path, as_version=4)
    before = nbformat.writes(notebook)
    assert nbformat.writes(clean(notebook)) == before


@by_chapter
def test_cells_do_one_thing(path):
    long = {c.execution_count: len(c.source.splitlines()) for c in cells(path, "code")}
    assert {n: lines for n, lines in long.items() if lines > 15} == {}


@by_chapter
def test_set_up_cell_comes_first_and_is_the_one(path):
    notebook = nbformat.read(path, as_version=4)
    first = cells(path, "code")[0].source
    assert first.startswith(SETUP_MARK) and first == setup_cell(address(), notebook)


@by_chapter
def test_directives_stay_readable_on_colab(path):
    assert not re.search(r"^\s*`{3,}\{", prose(path), re.M)


@by_chapter
def test_figures_have_alt_text_and_a_number(path):
    lacking = []
    for cell in cells(path, "code"):
        meta = cell.metadata.get("mystnb", {})
        text = "".join(o.get("data", {}).get("text/plain", "") for o in cell.outputs)
        drawn = bool(re.search(r"<Figure size|(Exploration|LiveExperiment|Table)\(", text))
        described = re.search(r"(Exploration|LiveExperiment|Table)\(", text) or meta.get("image", {}).get("alt")
        if drawn and not (described and "figure" in meta and "nbval-ignore-output" in cell.metadata.get("tags", [])):
            lacking.append(cell.execution_count)
    assert lacking == []


@by_chapter
def test_output_is_ignored_only_where_something_is_drawn_or_measured(path):
    """``measured`` marks printed values that another processor may print differently, such as a count of runs."""
    wrong = []
    for cell in cells(path, "code"):
        text = "".join(o.get("data", {}).get("text/plain", "") for o in cell.outputs)
        tags = cell.metadata.get("tags", [])
        drawn = re.search(r"<Figure size|(Exploration|LiveExperiment|Table)\(", text)
        if "nbval-ignore-output" in tags and not drawn and not ("measured" in tags and cell.outputs):
            wrong.append(cell.execution_count)
    assert wrong == []


@by_chapter
def test_most_of_what_is_printed_is_compared(path):
    printing = [c for c in cells(path, "code") if any(o.output_type == "stream" for o in c.outputs)]
    compared = [c for c in printing if "nbval-ignore-output" not in c.metadata.get("tags", [])]
    assert len(compared) >= 0.8 * len(printing)


@by_chapter
def test_chapter_has_its_parts(path):
    text = prose(path)
    for part in (
        "**Reading**",
        "**Running**",
        "**GPU**",
        "You will be able to",
        "## Summary",
        "## Exercises",
        "What to read next",
    ):
        assert part.lower() in text.lower(), part
    assert len(re.findall(r"^:::+\{exercise\}", text, re.M)) >= 4
    assert len(re.findall(r"\{exercise\}", text)) == len(re.findall(r"\{solution(?:-start)?\}", text))


@by_chapter
def test_the_box_says_the_time_that_was_measured(path):
    seconds = json.loads(boxes.RECORD.read_text(encoding="utf-8"))["seconds"]
    notebook = nbformat.read(path, as_version=4)
    before = nbformat.writes(notebook)
    assert boxes.boxed(notebook, seconds[path.stem]) == 1 and nbformat.writes(notebook) == before


def test_no_chapter_takes_more_than_its_readers_were_promised():
    seconds = json.loads(boxes.RECORD.read_text(encoding="utf-8"))["seconds"]
    assert set(seconds) == {path.stem for path in CHAPTERS}
    assert {stem: s for stem, s in seconds.items() if s > 120} == {}


@by_chapter
def test_words_that_hide_a_gap_are_not_used(path):
    assert not re.search(r"\b(simply|clearly|obviously|trivially|as expected)\b", prose(path), re.I)


@by_chapter
def test_code_hides_nothing(path):
    hidden = [
        c.execution_count for c in cells(path, "code") if {"remove-cell", "hide-cell"} & set(c.metadata.get("tags", []))
    ]
    assert hidden == []


def printed_lines(path):
    """Return the lines of text that a reader sees, without the placeholders of figures."""
    outputs = [o for c in cells(path, "code") for o in c.outputs]
    texts = [o.get("text") or o.get("data", {}).get("text/plain", "") for o in outputs]
    drawn = re.compile(r"<Figure size|(Exploration|LiveExperiment|Table)\(")
    return [line for text in texts if not drawn.search(text) for line in text.splitlines() if line.strip()]


@by_chapter
def test_a_page_shows_numbers_not_verdicts(path):
    lines = printed_lines(path)
    verdicts = [line for line in lines if re.search(r"\b(True|False)\b", line)]
    share, limit = len(verdicts) / len(lines), VERDICTS.get(path.stem, GOAL)
    print(f"{path.stem}: {len(verdicts)} of {len(lines)} printed lines say True or False, {share:.0%}")
    assert share <= limit, f"{share:.1%} verdicts, at most {limit:.0%} allowed; print the numbers:\n" + "\n".join(
        verdicts
    )
    assert limit <= max(share + 0.02, GOAL), (
        f"better than its limit: lower VERDICTS[{path.stem!r}] to {max(share, GOAL)}"
    )


@by_chapter
def test_tags_are_known_and_say_how_far(path):
    unknown = []
    for cell in cells(path, "code"):
        tags = cell.metadata.get("tags", [])
        tolerance(tags)  # raises for a limit it cannot read
        unknown += [tag for tag in tags if tag not in KNOWN_TAGS and tolerance([tag]) is None]
    assert unknown == []


def test_labels_are_unique_in_the_book():
    labels = []
    for path in CHAPTERS:
        labels += re.findall(r"^:label:\s*(\S+)", prose(path), re.M) + re.findall(r"^\((\S+)\)=$", prose(path), re.M)
        labels += re.findall(r"\$\$\s*\((\S+)\)\s*$", prose(path), re.M)
    assert sorted({label for label in labels if labels.count(label) > 1}) == []


def test_every_place_agrees_on_the_repositorys_address():
    assert disagreements() == []
