"""The machine-checked proofs in the book: a page of the appendix, and a badge beside each theorem that has one.

python -m tools.proofs            says whether they are what proofs/ says
python -m tools.proofs --write    writes them

What is where comes from the table in proofs/README.md; statements come from the Coq files themselves.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat

from tools.notebooks import write

ROOT = Path(__file__).resolve().parent.parent
PAGE = Path("appendix/proofs.md")
ROW = re.compile(r"^\| (.*) \| \[`(\w+\.v)`\]\(\w+\.v\) \| `(\w+)` \| (.*) \|$", re.MULTILINE)
VERDICT = "## What the checker has verified, and what not\n"
BADGE = re.compile(r"\n*:::\{dropdown\} Checked by machine\n.*?\n:::(?=\n|\Z)", re.DOTALL)
ASSUMED = re.compile(r"^(?:Variables?|Hypothes[ie]s|Context|Implicit Types?)\b.*?\.$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Theorem:
    """A row of the table, with what the Coq file states and under which assumptions of its sections."""

    claim: str
    file: str
    name: str
    place: str  # labels of the book in backticks, or words
    statement: str
    given: str

    @property
    def anchor(self) -> str:
        return "proof-" + self.name.replace("_", "-")

    @property
    def labels(self) -> list[str]:
        return re.findall(r"`([\w-]+)`", self.place)


def stated(text: str, name: str) -> tuple[str, str]:
    """Return the statement of a theorem in Coq source, and what the sections around it assume.

    Raises:
        ValueError: if the source has no such theorem.
    """
    found = re.search(rf"^Theorem {name}\b.*?\.(?=\nProof\.)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"proofs/README.md names the theorem {name}, which its file does not have")
    open_sections = [""]
    for piece in re.split(r"^(?=Section \w|End \w)", text[: found.start()], flags=re.MULTILINE):
        if piece.startswith("End "):
            open_sections.pop()
            open_sections[-1] += piece
        elif piece.startswith("Section "):
            open_sections.append(piece)
        else:
            open_sections[-1] += piece
    given = [line for section in open_sections for line in ASSUMED.findall(section)]
    return found.group(0), "\n".join(given)


def theorems(root: Path = ROOT) -> list[Theorem]:
    """Return every row of the table in proofs/README.md, in order.

    Raises:
        ValueError: for a row whose theorem is not in its file.
    """
    rows = ROW.findall((root / "proofs/README.md").read_text(encoding="utf-8"))
    texts = {file: (root / "proofs" / file).read_text(encoding="utf-8") for _, file, _, _ in rows}
    return [Theorem(claim, file, name, place, *stated(texts[file], name)) for claim, file, name, place in rows]


def page(root: Path = ROOT) -> str:
    """Return the page of the appendix."""
    readme = (root / "proofs/README.md").read_text(encoding="utf-8")
    verdict = readme.partition(VERDICT)[2]
    parts = [
        "(proofs)=\n# Checked by machine\n",
        "Theorems of the book, proved once more in [Coq](https://coq.inria.fr) with the "
        "[Mathematical Components](https://math-comp.github.io), a library of algebra. A program has followed each of "
        "these proofs from the rules of logic on. You need none of this to read or to run the book. "
        "`python3 proofs/check.py` runs the checker; `proofs/README.md` says what it needs.\n",
        "Each statement stands below what its section assumes. A name that it uses is defined in the same file, in "
        "full below, or in `algebra.v` (`inner`, `normsq`, `ones`).\n",
        "To read them: `'M[R]_(K, d)` is the type of matrices with $K$ rows and $d$ columns over $R$, `'cV[R]_K` that "
        "of columns, `'I_K` that of indices. `*m` multiplies matrices, `*:` a number and a matrix, `^T` transposes. "
        "`K%:R` is the integer $K$ as a number of $R$, `d.+1` is $d+1$, `K.-1` is $K-1$, `x ^+ 2` is $x^2$, `x^-1` "
        "is $1/x$. `<->` is *if and only if*.\n",
        VERDICT,
        verdict.strip() + "\n",
    ]
    known = theorems(root)
    for file in dict.fromkeys(t.file for t in known):
        parts.append(f"## {title(root / 'proofs' / file)}\n")
        parts += [section(theorem) for theorem in known if theorem.file == file]
        parts.append(listing(file))
    parts += ["## Steps that all files share\n", listing("algebra.v")]
    return "\n".join(parts)


def title(path: Path) -> str:
    """Return what the first comment of a Coq file is about."""
    return re.split(r"[:.]", path.read_text(encoding="utf-8").removeprefix("(* "))[0].replace("\n", " ").strip()


def section(theorem: Theorem) -> str:
    """Return the part of the page on one theorem."""
    links = [f"{{eq}}`{x}`" if x.startswith("eq-") else f"{{prf:ref}}`{x}`" for x in theorem.labels]
    where = ", ".join(links) or theorem.place
    code = "\n\n".join(x for x in (theorem.given, theorem.statement) if x)
    head = f"({theorem.anchor})=\n### `{theorem.name}`\n"
    return f"{head}\n{theorem.claim[0].upper()}{theorem.claim[1:]}: {where}.\n\n```coq\n{code}\n```\n"


def listing(file: str) -> str:
    """Return a folded listing of a Coq file."""
    inside = f"```{{literalinclude}} ../proofs/{file}\n:language: coq\n```"
    return f"::::{{dropdown}} All of `{file}`, proofs included\n{inside}\n::::\n"


def badge(known: list[Theorem]) -> str:
    """Return what stands below a theorem of a chapter: its statements in Coq, and where to read on."""
    links = ", ".join(f"{{ref}}`{t.name} <{t.anchor}>`" for t in known)
    statements = "\n\n".join(t.statement for t in known)
    return (
        f":::{{dropdown}} Checked by machine\nA program has followed a proof of this in Coq, step by step: {links}. "
        f"The appendix {{ref}}`proofs` says what that verifies, and what not.\n\n```coq\n{statements}\n```\n:::"
    )


def with_badges(source: str, known: list[Theorem]) -> str:
    """Return a Markdown cell with a fresh badge below each directive whose label has a proof, and no other badge."""
    source = BADGE.sub("", source)
    for label in dict.fromkeys(label for t in known for label in t.labels):
        found = re.search(rf"^(:::+)\{{prf:\w+\}}[^\n]*\n:label: {label}\n.*?^\1$", source, re.MULTILINE | re.DOTALL)
        if found:
            new = badge([t for t in known if label in t.labels])
            source = f"{source[: found.end()]}\n\n{new}{source[found.end() :]}"
    return source


def stale(root: Path = ROOT, *, rewrite: bool = False) -> list[str]:
    """Return what is not as ``proofs/`` says: files, and labels of theorems that no chapter has.

    Args:
        root: of the repository.
        rewrite: write the files anew.
    """
    found, known, seen = [], theorems(root), set()
    if not (root / PAGE).exists() or (root / PAGE).read_text(encoding="utf-8") != page(root):
        found.append(str(PAGE))
        if rewrite:
            (root / PAGE).write_text(page(root), encoding="utf-8")
    labels = {label for t in known for label in t.labels}
    for path in sorted((root / "chapters").glob("*.ipynb")):
        text, changed = path.read_text(encoding="utf-8"), False
        if not any(f":label: {label}" in text for label in labels) and "Checked by machine" not in text:
            continue
        notebook = nbformat.reads(text, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                fresh = with_badges(cell.source, known)
                seen.update(re.findall(r"^:label: ([\w-]+)$", fresh, re.MULTILINE))
                changed |= fresh != cell.source
                cell.source = fresh
        if changed:
            found.append(str(path.relative_to(root)))
            if rewrite:
                write(path, notebook)
    wanted = {label for label in labels if not label.startswith("eq-")}
    return found + [f"no chapter has {label}" for label in sorted(wanted - seen)]


def main() -> int:
    """Say what is stale, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the page and the badges")
    found = stale(rewrite=parser.parse_args().write)
    print("\n".join(found) or "the page and the badges are what proofs/ says")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
