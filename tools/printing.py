"""What the book on paper and the book for readers share: the order of its pages, and a browser that has set them.

Pages are opened with the network cut off. Live experiments stay the still pictures that they are without scripts, and
what folds out is open.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parent.parent
TITLE = "Neural Collapse: an executable textbook"
AUTHOR = "the contributors"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
# The shared part of the experiments leaves everything alone where there is an `ncLive` before it.
STILL = "window.ncLive = { kernels: {}, define() {}, start() {} };"
SET = "!window.MathJax || !MathJax.startup || MathJax.startup.promise.then(() => true)"
OPEN = """() => {
  document.querySelectorAll("details").forEach((node) => (node.open = true));
  document.querySelectorAll(".toggle-hidden").forEach((node) => node.classList.remove("toggle-hidden"));
  document.querySelectorAll("img").forEach((node) => (node.loading = "eager"));
  return Promise.all([...document.images].map((image) => image.decode().catch(() => 0)));
}"""


class Part(NamedTuple):
    """A part of the book: its name, and the names of its pages."""

    caption: str
    pages: list[str]


def parts(toc: Path = ROOT / "_toc.yml") -> list[Part]:
    """Return the book's parts in order; the first page of all stands alone in a part without a name."""
    table = yaml.safe_load(toc.read_text(encoding="utf-8"))
    named = [Part(part["caption"], [entry["file"] for entry in part["chapters"]]) for part in table["parts"]]
    return [Part("", [table["root"]]), *named]


def options(description: str | None, ending: str) -> argparse.Namespace:
    """Read the command line of an edition: the built pages, the table of contents, and the file to write."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--site", type=Path, default=ROOT / "_build" / "html")
    parser.add_argument("--toc", type=Path, default=ROOT / "_toc.yml")
    parser.add_argument("--out", type=Path, default=ROOT / "_build" / f"neural-collapse.{ending}")
    return parser.parse_args()


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Start Chromium.

    Raises:
        FileNotFoundError: where there is none.
    """
    from playwright.sync_api import sync_playwright

    found = [path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path]
    if not found:
        raise FileNotFoundError("Chromium is not installed (Debian: apt install chromium)")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found[0], args=FLAGS)
        yield chromium
        chromium.close()


@contextlib.contextmanager
def opened(chromium: Any, file: Path) -> Iterator[Any]:
    """Show a page of the book with all its formulas set and everything open.

    Raises:
        FileNotFoundError: if the page was not built.
    """
    if not file.exists():
        raise FileNotFoundError(f"{file} was not built: build the book first (make book)")
    context = chromium.new_context(viewport={"width": 800, "height": 1100}, color_scheme="light", offline=True)
    context.add_init_script(STILL)
    page = context.new_page()
    page.goto(file.resolve().as_uri())
    page.wait_for_load_state("load")
    page.wait_for_function(SET, timeout=120_000)
    page.evaluate(OPEN)
    yield page
    context.close()
