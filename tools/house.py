"""The drawing of the package in CONTRIBUTING.md: which room imports which, read from the imports themselves.

python -m tools.house            prints the drawing
python -m tools.house --write    writes it between the two marks in CONTRIBUTING.md
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tools.imports import modules

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- begin: python -m tools.house --write -->", "<!-- end -->"
GROUND = ("", "checks", "_lazy")  # every room stands on these: an arrow to them would say nothing


def room(name: str) -> str:
    """Return the room of a module by its dotted name, an empty text for the package itself."""
    return [*name.split("."), ""][1]


def rooms(package: Path) -> dict[str, set[str]]:
    """Return every room of the package and the other rooms that it imports, the ground left out.

    Raises:
        ValueError: if ``package`` holds no Python file.
    """
    found: dict[str, set[str]] = {}
    for name, module in modules(package).items():
        if room(name) not in GROUND:
            others = {room(other) for other in module.imports | set(module.offers.values())}
            found.setdefault(room(name), set()).update(others - {room(name), *GROUND})
    return found


def drawing(package: Path) -> str:
    """Return the graph as Mermaid text, which GitHub draws and anyone can read: A --> B says that A imports B."""
    lines = ["```mermaid", "flowchart BT"]
    for name, others in sorted(rooms(package).items()):
        lines += [f"    {name} --> {other}" for other in sorted(others)] or [f"    {name}"]
    return "\n".join([*lines, "```"])


def written(page: str, package: Path) -> str:
    """Return the page with a fresh drawing between the marks.

    Raises:
        ValueError: if the page does not have each mark once, in order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in before + after:
        raise ValueError(f"page must have {BEGIN!r} once and {END!r} once after it")
    return f"{before}{BEGIN}\n{drawing(package)}\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the drawing into CONTRIBUTING.md")
    if parser.parse_args().write:
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), ROOT / "ncbook"), encoding="utf-8")
    else:
        print(drawing(ROOT / "ncbook"))


if __name__ == "__main__":
    main()
