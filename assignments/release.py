"""Release assignments: test each master's solution and its wrong answers, then write what students and graders get.

    python -m assignments.release [hw1 …] [--masters DIR] [--secret FILE] [--address URL] [--out DIR] [--force]

For each master this writes, under ``_build/assignments/hwN/``:
``student/`` (no solution, no hidden test), ``autograder/`` (everything, for `assignments.grading`),
``hwN-student.zip`` and ``hwN-gradescope.zip``. A master that has not changed is not released again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import nbformat
import yaml

from assignments.author import NCBOOK
from assignments.leaks import leaks
from assignments.parameters import SEED, ParameterError, drawn, filled, named

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
OUT = ROOT / "_build" / "assignments"
DRAWS = 3  # how often instances are drawn before wrong answers that pass are blamed on the checks
BESIDE = ("limits.toml", "wrong.py", "parameters.py")
SECRET_FILE = HERE / "course-secret.txt"


class ReleaseError(Exception):
    """A master that must not be handed out, and why."""


class WrongAnswersPass(ReleaseError):
    """Hidden checks that a wrong answer passes: they are weak, or their instances are unlucky."""


def masters(folder: Path = HERE) -> dict[str, Path]:
    """Return the masters of a folder by name: ``{"hw1": …/hw1-simplex-etf/hw1.ipynb}``."""
    return {p.stem: p for p in sorted(folder.glob("hw*/hw*.ipynb")) if p.parent.name.startswith(p.stem + "-")}


def read_secret(path: Path = SECRET_FILE) -> str:
    """Return the course's secret: ``COURSE_SECRET`` if set, else the file's text; drawn and kept if there is none."""
    if os.environ.get("COURSE_SECRET"):
        return os.environ["COURSE_SECRET"]
    if not path.exists():
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32) + "\n")
    text = path.read_text().strip()
    if len(text) < 16:
        raise ReleaseError(f"the secret in {path} must have at least 16 characters, got {len(text)}")
    return text


def seed(secret: str, assignment: str, question: str) -> int:
    """Return the integer that ``COURSE_SEED`` stands for in one question: 1 … 2**31 - 1, unguessable."""
    digest = hashlib.sha256(f"{secret}\n{assignment}\n{question}".encode()).digest()
    return 1 + int.from_bytes(digest[:8], "big") % (2**31 - 1)


def questions(notebook: nbformat.NotebookNode) -> dict[str, dict[str, Any]]:
    """Return each question's configuration (``points``, ``manual``) by name, in order."""
    found = {}
    for cell in notebook.cells:
        if cell.cell_type == "raw" and cell.source.startswith("# BEGIN QUESTION"):
            config = yaml.safe_load(cell.source)
            found[config["name"]] = {"points": config["points"], "manual": bool(config.get("manual", False))}
    return found


def parameters(master: Path, secret: str) -> dict[str, Any]:
    """Return the parameters of a master's questions, which its course's secret decides.

    Raises:
        ReleaseError: if one is drawn that the master does not name, or its value cannot be written.
    """
    try:
        values = drawn(master.parent, seed(secret, master.stem, "parameters"))
    except ParameterError as error:
        raise ReleaseError(str(error)) from error
    if idle := set(values) - named(master.read_text(encoding="utf-8")):
        raise ReleaseError(f"{master.stem}: drawn and not named by the master: {', '.join(sorted(idle))}")
    return values


def prepare(master: Path, secret: str, address: str) -> nbformat.NotebookNode:
    """Return the master with its parameters, its seeds, its Colab badge and its set-up cell filled in.

    Raises:
        ReleaseError: if the master names a parameter that is not drawn.
    """
    notebook, name = nbformat.read(master, as_version=4), master.stem
    values = parameters(master, secret)
    question = ""
    badge = ""
    if address.startswith("https://github.com/"):
        there = address.replace("https://github.com/", "https://colab.research.google.com/github/")
        badge = f"[Open in Colab]({there}/blob/main/{name}/{name}.ipynb)"
    for cell in notebook.cells:
        if cell.cell_type == "raw" and cell.source.startswith("# BEGIN QUESTION"):
            question = yaml.safe_load(cell.source)["name"]
        here = {**values, SEED: seed(secret, name, question)} if cell.cell_type == "code" else values
        try:
            cell.source = filled(cell.source, here)
        except ParameterError as error:
            raise ReleaseError(f"{name}: {error}") from error
        if cell.cell_type == "code":
            zipped = f"{address}/raw/main/{name}-student.zip" if address else ""
            cell.source = cell.source.replace('RELEASE = ""', f'RELEASE = "{zipped}"')
            cell.outputs, cell.execution_count = [], None
        elif cell.cell_type == "markdown":
            cell.source = re.sub(r"(?m)^\(colab\)$", badge, cell.source)
    return notebook


def limits(folder: Path) -> dict[str, float]:
    """Return the grading limits that an assignment sets itself, in seconds."""
    path = folder / "limits.toml"
    return tomllib.loads(path.read_text()) if path.exists() else {}


def pack(folder: Path, out: Path) -> None:
    """Zip a folder's contents, without the folder, the same bytes each time."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            info = zipfile.ZipInfo(path.relative_to(folder).as_posix(), (2020, 1, 1, 0, 0, 0))
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            zipped.writestr(info, path.read_bytes())


def assign(master: Path, out: Path, *, run_tests: bool = True) -> None:
    """Run otter's assign, which fails unless the solution passes every test (where ``run_tests``)."""
    command = [sys.executable, "-m", "otter", "assign", str(master), str(out), "--no-pdfs"]
    command += [] if run_tests else ["--no-run-tests"]
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"), "MPLBACKEND": "Agg"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)
    if done.returncode != 0 or not (out / "student" / master.name).exists():
        raise ReleaseError(f"{master.stem}: otter assign failed\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")


def labels(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """Return the labels (``name:``) that tests of a master have, by function."""
    found = {}
    for cell in notebook.cells:
        head, end, body = cell.source.partition('""" # END TEST CONFIG')
        if cell.cell_type == "code" and end:
            config = yaml.safe_load(head.split("\n", 1)[1]) or {}
            function = re.search(r"(?m)^def (\w+)\(", body)
            if function and "name" in config:
                found[function[1]] = str(config["name"])
    return found


def write_labels(names: dict[str, str], tests: Path) -> None:
    """Put labels, which otter drops, into the grader's test files."""
    for path in tests.glob("*.py"):
        text = path.read_text()
        for function, label in names.items():
            before, here, after = text.partition(f"\ndef {function}(")
            if here:
                start, _, rest = before.rpartition("@test_case(")
                text = f"{start}@test_case(name={label!r}, {rest}{here}{after}"
        path.write_text(text)


def try_mutants(name: str, released: Path, beside: Path) -> None:
    """Try the hidden checks on wrong answers, in a process of its own.

    Raises:
        WrongAnswersPass: if a wrong answer earns a mark, and ``wrong.py`` beside the master gives no reason.
    """
    command = [sys.executable, "-m", "assignments.mutants", name, "--released", str(released), "--beside", str(beside)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise WrongAnswersPass(f"{name}: wrong answers earn marks:\n{done.stdout[-4000:] or done.stderr[-4000:]}")


def lay_package(name: str, out: Path) -> None:
    """Put the book's package beside the student's notebook and into Gradescope's zip."""
    source = ROOT / "ncbook"
    shutil.copytree(source, out / "student" / "ncbook", ignore=shutil.ignore_patterns("__pycache__"))
    with zipfile.ZipFile(out / f"{name}-gradescope.zip", "a", zipfile.ZIP_DEFLATED) as zipped:
        for path in sorted(source.rglob("*.py")):
            zipped.write(path, f"files/ncbook/{path.relative_to(source).as_posix()}")


def digest(paths: list[Path], *texts: str) -> str:
    state = hashlib.sha256("\n".join(texts).encode())
    for path in paths:
        state.update(path.read_bytes())
    return state.hexdigest()


def _write(master: Path, secret: str, address: str, out: Path, needs_package: bool, run_solution: bool) -> None:
    """Write all that a release holds, trying each part."""
    name = master.stem
    notebook = prepare(master, secret, address)
    prepared = out / "master" / master.name
    prepared.parent.mkdir()
    prepared.write_text(nbformat.writes(notebook))
    assign(prepared, out, run_tests=run_solution)
    write_labels(labels(notebook), out / "autograder" / "tests")
    for zipped in (out / "autograder").glob("*.zip"):
        zipped.rename(out / f"{name}-gradescope.zip")
    if found := leaks(prepared, out / "student"):
        raise ReleaseError(f"{name}: these lines must not reach students:\n" + "\n".join(found))
    if needs_package:
        lay_package(name, out)
    about = {"assignment": name, "questions": questions(notebook), "limits": limits(master.parent)}
    about["parameters"] = parameters(master, secret)
    (out / "autograder" / "grading.json").write_text(json.dumps(about, indent=2) + "\n")
    try_mutants(name, out, master.parent)
    pack(out / "student", out / f"{name}-student.zip")
    shutil.rmtree(prepared.parent)  # it holds the solutions and the seeds


def release(
    master: Path,
    *,
    secret: str,
    address: str = "",
    out: Path | None = None,
    force: bool = False,
    run_solution: bool = True,
) -> Path:
    """Release one master; return the folder that holds ``student/`` and ``autograder/``.

    Args:
        master: the master notebook, ``…/hwN-name/hwN.ipynb``.
        secret: the course's secret; hidden tests draw their instances from it.
        address: of the public course repository that will hold the student files, or empty.
        out: the folder to write; ``_build/assignments/hwN`` by default.
        force: release again even where nothing changed.
        run_solution: run the solution against all tests; only for who grades it next anyway.

    Raises:
        ReleaseError: if the solution fails a test, a wrong answer passes one whichever instances are drawn, or a
            solution line or hidden test would reach students.
    """
    name = master.stem
    out = (out or OUT / name).resolve()
    stamp = out / "stamp"
    sources = [master, *sorted(HERE.glob("*.py"))]
    sources += [path for path in (master.parent / x for x in BESIDE) if path.exists()]
    notebook = nbformat.read(master, as_version=4)
    needs_package = any(c.cell_type == "code" and NCBOOK in c.source for c in notebook.cells)
    if needs_package:
        sources += sorted((ROOT / "ncbook").rglob("*.py"))
    fresh = digest(sources, secret, address, str(run_solution))
    if not force and stamp.exists() and stamp.read_text() == fresh:
        return out
    for draw in range(DRAWS):
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        try:
            # An instance on which a wrong answer happens to be right is a bad one: draw all of them anew.
            _write(master, f"{secret}\n{draw}" if draw else secret, address, out, needs_package, run_solution)
            break
        except ReleaseError as error:
            shutil.rmtree(out)  # nobody is to hand out half of it
            if not isinstance(error, WrongAnswersPass) or draw == DRAWS - 1:
                raise
    stamp.write_text(fresh)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="assignments to release; all of them by default")
    parser.add_argument("--secret", type=Path, default=SECRET_FILE, help="file of the course's secret")
    private = os.environ.get("COURSE_MASTERS") or HERE
    parser.add_argument("--masters", type=Path, default=private, help="folder of your own masters, else COURSE_MASTERS")
    parser.add_argument("--address", default="", help="public repository that will hold the student files")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--force", action="store_true", help="release again even where nothing changed")
    args = parser.parse_args()
    known = masters(args.masters)
    if not known:
        parser.error(f"no master hwN-name/hwN.ipynb in {args.masters}")
    if unknown := [n for n in args.names if n not in known]:
        parser.error(f"no such assignment: {', '.join(unknown)} (there are {', '.join(known)})")
    try:
        secret = read_secret(args.secret)
        for name in args.names or known:
            address, out = args.address.rstrip("/"), args.out / name
            where = release(known[name], secret=secret, address=address, out=out, force=args.force)
            print(f"{name}: {os.path.relpath(where)}")
    except ReleaseError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
