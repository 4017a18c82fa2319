"""Compile the machine-checked proofs and print what each theorem rests on: ``python proofs/check.py``.

Needs Coq 8.16 with the libraries that README.md names. Works on a copy, so no compiled file is left behind.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

PROOFS = Path(__file__).resolve().parent
PACKAGES = "coq libcoq-mathcomp-algebra libcoq-mathcomp-algebra-tactics libcoq-mathcomp-analysis"
# What the real numbers of mathcomp-analysis rest on. Files that do not import it must rest on nothing.
REAL_NUMBERS = {
    "boolp.propositional_extensionality",
    "boolp.functional_extensionality_dep",
    "boolp.constructive_indefinite_description",
}
UNPROVED = re.compile(
    r"\b(Axioms?|Conjectures?|Parameters?|Admitted|Admit|admit|give_up|Abort|bypass_check|Declare\s+Module)\b"
    r"|\b(?:Unset|Set)\s+(?:Guard|Positivity|Universe)\s+Checking\b"
)
ASSUMED = re.compile(r"\b(Hypothes[ie]s|Variables?|Context)\b")


class ProofError(Exception):
    """A proof that does not hold, or does not prove what it says."""


def without_comments(text: str) -> str:
    """Return Coq source without its (nested) comments."""
    kept, depth = [], 0
    for piece in re.split(r"(\(\*|\*\))", text):
        depth += {"(*": 1, "*)": -1}.get(piece, 0)
        if depth == 0 and piece != "*)":
            kept.append(piece)
    return "".join(kept)


def order(folder: Path) -> list[str]:
    """Return the files of ``_CoqProject`` in order; raise ProofError where it and the folder disagree."""
    named = [line for line in (folder / "_CoqProject").read_text().split("\n") if line.endswith(".v")]
    found = sorted(path.name for path in folder.glob("*.v"))
    if sorted(named) != found:
        raise ProofError(f"_CoqProject must name every .v file, got {sorted(named)}, expected {found}")
    return named


def options(folder: Path) -> list[str]:
    """Return coqc's options as ``_CoqProject`` states them."""
    words = " ".join(x for x in (folder / "_CoqProject").read_text().split("\n") if not x.endswith(".v")).split()
    return [word for word in words if word != "-arg"]


def theorems(folder: Path) -> dict[str, list[str]]:
    """Return the names of each file's theorems; a ``Theorem`` is a statement of the book, a ``Lemma`` a step to it."""
    read = {name: without_comments((folder / name).read_text()) for name in order(folder)}
    return {name: re.findall(r"^\s*Theorem\s+(\w+)", text, re.MULTILINE) for name, text in read.items()}


def check_text(name: str, text: str) -> None:
    """Raise ProofError where the source of one file leaves something unproved, or assumes outside a Section."""
    depth = 0
    for number, line in enumerate(without_comments(text).split("\n"), 1):
        if found := UNPROVED.search(line):
            raise ProofError(f"{name}: line {number} of the proof text has {found.group(0)!r}")
        if depth == 0 and (found := ASSUMED.search(line)):
            raise ProofError(f"{name}: {found.group(0)} outside a Section: {line.strip()!r}")
        depth += bool(re.match(r"\s*Section\b", line)) - (depth > 0 and bool(re.match(r"\s*End\b", line)))


def coqc(folder: Path, name: str) -> str:
    """Compile one file and return what Coq prints; raise ProofError where it refuses."""
    run = subprocess.run(["coqc", *options(folder), name], cwd=folder, capture_output=True, text=True)
    if run.returncode:
        raise ProofError(f"{name} does not compile:\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
    return run.stdout


def assumptions(folder: Path, name: str, names: list[str]) -> set[str]:
    """Return the axioms under the theorems of a compiled file together: one walk through the library serves all."""
    module = Path(name).stem
    script = folder / f"assumptions_of_{module}.v"
    every = ", ".join(f"@{module}.{theorem}" for theorem in names)
    script.write_text(
        f"From collapse Require Import {module}.\nDefinition every := ({every}, tt).\nPrint Assumptions every.\n"
    )
    printed = coqc(folder, script.name)
    if "Closed under the global context" in printed:
        return set()
    if not printed.startswith("Axioms:"):
        raise ProofError(f"{name}: Print Assumptions gave no answer: {printed[:200]!r}")
    return set(re.findall(r"^(\w[\w.']*)\s*:", printed.removeprefix("Axioms:"), re.MULTILINE))


def check(source: Path = PROOFS) -> dict[str, dict[str, set[str]]]:
    """Compile a copy of ``source``; return file -> theorem -> axioms of the file, or raise ProofError."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "proofs"
        shutil.copytree(source, folder, ignore=lambda _, names: {n for n in names if not n.endswith((".v", "Project"))})
        stated = theorems(folder)
        for name in stated:
            check_text(name, (folder / name).read_text())
        walks: dict[str, Future[set[str]]] = {}
        with ThreadPoolExecutor(os.cpu_count()) as beside:  # the next file compiles while Coq walks through this one
            for name, names in stated.items():
                coqc(folder, name)
                if names:
                    walks[name] = beside.submit(assumptions, folder, name, names)
        found: dict[str, dict[str, set[str]]] = {}
        for name, walk in walks.items():
            real = re.search(r"Require Import[^.]*\breals\b", (folder / name).read_text())
            if extra := walk.result() - (REAL_NUMBERS if real else set()):
                raise ProofError(f"{name}: a theorem among {stated[name]} rests on {sorted(extra)}")
            found[name] = dict.fromkeys(stated[name], walk.result())
    return found


def main() -> int:
    """Print one line a theorem; return 1 where a proof fails or Coq is missing."""
    if shutil.which("coqc") is None:
        print(f"coqc not found. On Debian: apt-get install {PACKAGES}")
        return 1
    try:
        found = check()
    except ProofError as error:
        print(error)
        return 1
    for name, rests_on in found.items():
        for theorem, axioms in rests_on.items():
            print(f"{name:18s} {theorem:28s} {'three axioms of the reals' if axioms else 'no axioms'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
