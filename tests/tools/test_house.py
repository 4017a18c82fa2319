"""The plan of the house in CONTRIBUTING.md is the house: its table, and the drawing of who imports whom."""

import re

import pytest

from tests.conftest import ROOT
from tests.ncbook.test_layering import GROUND, MAY, THEORY, plant
from tools import house

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)(?:\.py|/)` \| [^|]{10,} \| ([^|]*) \|$", re.M)


def plan(page):
    """Room to the rooms it may import, as the table says."""
    section = page.partition("## The plan of the house")[2].partition("\n## ")[0]
    return {name: set(re.findall(r"`(\w+)`", may)) for name, may in ROW.findall(section)}


def test_the_drawing_is_fresh():
    assert house.written(PAGE, ROOT / "ncbook") == PAGE, "stale: run python -m tools.house --write"


def test_a_new_import_makes_the_drawing_stale(tmp_path):
    package = plant(tmp_path, ufm__model="from ncbook.etf import x", etf="x = 1", sphere__model="y = 2")
    page = house.written(f"before\n{house.BEGIN}\n{house.END}\nafter\n", package)
    assert house.written(page, package) == page
    arrows = "    etf\n    sphere\n    ufm --> etf\n"
    assert page == f"before\n{house.BEGIN}\n```mermaid\nflowchart BT\n{arrows}```\n{house.END}\nafter\n"
    plant(tmp_path, sphere__model="def f():\n    from ncbook.ufm import model")
    assert "    sphere --> ufm\n" in house.written(page, package)


def test_the_drawing_leaves_out_what_every_room_stands_on_and_what_only_type_checkers_read(tmp_path):
    typed = "if TYPE_CHECKING:\n    import ncbook.training"
    package = plant(
        tmp_path, ufm__model="from ncbook.checks import x\n" + typed, checks="x = 1", training__loop="y = 1"
    )
    assert house.rooms(package) == {"ufm": set(), "training": set()}


@pytest.mark.parametrize("page", ["", house.BEGIN, house.END + house.BEGIN, (house.BEGIN + house.END) * 2])
def test_a_page_without_the_two_marks_is_an_error(page):
    with pytest.raises(ValueError, match="page must have"):
        house.written(page, ROOT / "ncbook")


def test_the_table_has_every_room_and_says_what_the_layering_test_allows():
    found = plan(PAGE)
    assert found == {name: MAY[name] for name in MAY if name not in GROUND} | {"checks": set()}


def test_the_table_names_the_layer_of_each_room_in_order():
    """Each room stands below those that it may import, theory before practice."""
    order = list(plan(PAGE))
    assert all(order.index(other) < order.index(name) for name, others in plan(PAGE).items() for other in others)
    assert set(order[1 : 1 + len(THEORY)]) == set(THEORY)


def test_the_page_names_only_files_that_exist():
    """Paths in backquotes, but for those with a placeholder in capitals."""
    paths = re.findall(r"`((?:ncbook|tools|tests|proofs|chapters|appendix|results|benchmarks)/[\w./-]*)`", PAGE)
    assert len(paths) > 20
    assert [p for p in paths if not re.search("NAME|NN", p) and not (ROOT / p).exists()] == []


def test_the_page_names_only_commands_that_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert set(re.findall(r"`make ([a-z-]+)", PAGE)) - targets == set()
    modules = set(re.findall(r"python -m (tools(?:\.\w+)?)", PAGE))
    found = {name: ROOT / (name.replace(".", "/") + ".py") for name in modules - {"tools"}}
    assert {name for name, path in found.items() if not path.exists()} == set()


def test_no_file_holds_the_marks_of_an_unfinished_merge():
    """What no linter reads, style sheets and scripts of pages, would be published with them."""
    folders = ("_static", "appendix", "assignments", "chapters", "ncbook", "proofs", "results", "tests", "tools")
    files = [p for folder in folders for p in (ROOT / folder).rglob("*") if p.is_file() and p.suffix != ".pyc"]
    assert len(files) > 300
    mark = re.compile(rb"^(?:<{7}|>{7}) ", re.MULTILINE)
    assert [str(p.relative_to(ROOT)) for p in files if mark.search(p.read_bytes())] == []
