"""The repository's address: it stands in pyproject.toml and is written from there to every place that shows it.

python -m tools.repository --write https://github.com/OWNER/NAME   (make repository URL=…)
python -m tools.repository --check                                 lists every place that disagrees
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from pathlib import Path

import nbformat

from tools import extras

ROOT = Path(__file__).resolve().parent.parent
ADDRESS = re.compile(r"https://[A-Za-z0-9.-]+(/[A-Za-z0-9._-]+){2}")
SETUP_MARK = "# Set-up: run me first."
SETUP_CELL = """\
# Set-up: run me first. Does nothing where the book's package is at hand.
import importlib.util

REPOSITORY = "{address}"
if importlib.util.find_spec("ncbook") is None:
    if not REPOSITORY:
        raise ModuleNotFoundError(
            "The package ncbook is missing, and its repository is not set: get it "
            'from a copy of the book: pip install "FOLDER[{extras}]"'
        )
    %pip install --quiet "ncbook[{extras}] @ git+{{REPOSITORY}}"
    importlib.invalidate_caches()
    if importlib.util.find_spec("ncbook") is None:
        raise ModuleNotFoundError(f"Installing from {{REPOSITORY}} failed: see above")"""


def address() -> str:
    """Return the one address, or an empty text while it is unset."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ncbook"]["repository"]


def setup_cell(url: str, notebook: nbformat.NotebookNode) -> str:
    """Return the text of a notebook's set-up cell: it asks for what the notebook's code needs."""
    return SETUP_CELL.format(address=url, extras=",".join(extras.needed(notebook)))


def colab(url: str) -> str:
    """Return where Colab opens the book's first chapter."""
    return url.replace("https://github.com/", "https://colab.research.google.com/github/") + (
        "/blob/main/chapters/01-neural-collapse.ipynb"
    )


def config_block(url: str) -> str:
    """Return the lines of _config.yml that depend on the address: no button may lead to an address nobody owns."""
    if not url:
        return "# (unset: `make repository URL=…` adds the repository link and the Colab buttons)"
    return (
        f'repository:\n  url: "{url}"\n  branch: main\n'
        'launch_buttons:\n  colab_url: "https://colab.research.google.com"\n  notebook_interface: classic'
    )


def readme_block(url: str) -> str:
    """Return the README's lines that depend on the address."""
    if not url:
        return "The repository's address is not set in this copy (`make repository URL=…` writes it everywhere)."
    return f"Clone: `git clone {url}` · [Open chapter 1 in Colab]({colab(url)})"


def citation_block(url: str) -> str:
    return f'repository-code: "{url}"' if url else "# repository-code: unset"


def expected(url: str) -> dict[Path, str]:
    """Return what every file that shows the address should hold, were it ``url``."""
    files: dict[Path, str] = {}
    pyproject = ROOT / "pyproject.toml"
    files[pyproject] = re.sub(
        r'(?m)^repository = ".*"$', f'repository = "{url}"', pyproject.read_text(encoding="utf-8")
    )
    for name, block, mark in (
        ("_config.yml", config_block(url), "# {}: repository"),
        ("README.md", readme_block(url), "<!-- {}: repository -->"),
        ("CITATION.cff", citation_block(url), "# {}: repository"),
    ):
        path = ROOT / name
        begin, end = mark.format("begin"), mark.format("end")
        pattern = re.compile(re.escape(begin) + r"\n.*?" + re.escape(end), re.S)
        if not pattern.search(path.read_text(encoding="utf-8")):
            raise ValueError(f"{name} must hold the lines {begin!r} and {end!r}")
        written = f"{begin}\n{block}\n{end}".replace("\\", r"\\")
        files[path] = pattern.sub(written, path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "chapters").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        cells = [c for c in notebook.cells if c.cell_type == "code" and c.source.startswith(SETUP_MARK)]
        if len(cells) != 1:
            raise ValueError(f"{path.name} must have one set-up cell (beginning {SETUP_MARK!r}), got {len(cells)}")
        cells[0].source = setup_cell(url, notebook)
        files[path] = nbformat.writes(notebook) + "\n"
    return files


def disagreements() -> list[str]:
    """Return the files that do not hold the one address."""
    return [
        p.relative_to(ROOT).as_posix()
        for p, text in expected(address()).items()
        if p.read_text(encoding="utf-8") != text
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--write", metavar="URL")
    group.add_argument("--check", action="store_true")
    args = parser.parse_args()
    if args.check:
        if wrong := disagreements():
            sys.exit("These disagree with the address in pyproject.toml: " + ", ".join(wrong))
        print(f"every place agrees: {address() or '(unset)'}")
    else:
        url = args.write.rstrip("/").removesuffix(".git")
        if url and not ADDRESS.fullmatch(url):
            sys.exit(f"URL must look like https://github.com/OWNER/NAME (or be empty to unset it), got {args.write!r}")
        changed = [path for path, text in expected(url).items() if path.read_text(encoding="utf-8") != text]
        for path, text in expected(url).items():
            path.write_text(text, encoding="utf-8")
        print(f"wrote {url or '(unset)'} to {len(changed)} files")


if __name__ == "__main__":
    main()
