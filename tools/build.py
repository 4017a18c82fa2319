"""Build the book: execute what changed, side by side, then let Jupyter Book write the pages.

    python -m tools.build [--strict]                      the whole book into _build/html
    python -m tools.build --only NOTEBOOK … --out DIR     a look at single chapters, links to others left open

Jupyter Book's own cache knows a notebook by its code cells alone. Here each chapter also has a key: a digest of the
parts of ``ncbook`` it imports (with what those import) and of the locked requirements. A chapter whose key changed is
executed again.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import filecmp
import functools
import hashlib
import importlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import yaml
from filelock import FileLock, Timeout
from sqlalchemy.exc import OperationalError

from tools import articles, cards, downloads, execution, imports, landing_page, published, search_texts
from tools.cache import Kept, Remembered, write_whole
from tools.repository import address

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "ncbook"
# What a page from the disk is better without: fonts asked for a second time in a way that browsers refuse there, and
# thebe, a live kernel from a CDN that this book does not offer (its constants, declared twice, raise an error).
UNWANTED = re.compile(
    r'<link rel="preload" as="font"[^>]*>\s*'
    r"|<script[^>]*>const THEBE_JS_URL.*?</script>\s*"
    r'|<script[^>]*src="[^"]*sphinx-thebe\.js[^"]*"[^>]*></script>\s*'
    r'|<script type="text/x-thebe-config">.*?</script>\s*(<script>kernelName = [^<]*</script>\s*)?',
    re.S,
)


def code_of(path: Path) -> str:
    """Return the code of the notebook at ``path``, as plain Python reads it."""
    return _code_of(path.read_bytes())


@functools.lru_cache(maxsize=64)
def _code_of(notebook: bytes) -> str:
    return imports.code_of(nbformat.reads(notebook, as_version=4))


@functools.lru_cache(maxsize=4)
def _known(package: Path, state: tuple[tuple[str, str], ...]) -> dict[str, imports.Module]:
    """Read the package once for all chapters; ``state`` is what it was read at."""
    return imports.modules(package)


def reached(code: str) -> list[Path]:
    """Return the files of the package that some code reaches when it runs, the face of each room among them."""
    files = sorted(PACKAGE.rglob("*.py"))
    known = _known(PACKAGE, tuple((str(f), hashlib.sha256(f.read_bytes()).hexdigest()) for f in files))
    try:
        names = imports.reached(imports.named_in(code, known), known)
    except SyntaxError:  # code that plain Python cannot read: depend on the whole package
        names = set(known)
    return [known[name].path for name in sorted(names)]


def inputs(path: Path) -> list[Path]:
    """Return the files of the package that a chapter reaches."""
    return reached(code_of(path))


def scripts(files: list[Path]) -> list[Path]:
    """Return the scripts and styles that the rooms of these files lay into a page."""
    rooms = sorted({file.parent for file in files})
    return [file for room in rooms for file in sorted((room / "scripts").glob("*.*"))]


def records(path: Path) -> list[Path]:
    """Return the recorded results that a chapter reads by name, a folder's one by one."""
    names = re.findall(r'\brecorded\("([\w./-]+)"\)', code_of(path))
    found = [ROOT / "results" / name for name in sorted(set(names))]
    return [file for place in found for file in ([place] if place.is_file() else sorted(place.glob("*.json")))]


def key(path: Path) -> str:
    """Return the digest of everything a chapter's output depends on besides its own code."""
    return digest(code_of(path), records(path))


def digest(code: str, read: list[Path]) -> str:
    """Return the digest of what some code's results depend on besides itself; ``read`` are the files it reads."""
    found, files = hashlib.sha256(sys.version.encode()), reached(code)
    for file in [*files, *scripts(files), *read, ROOT / "requirements.txt"]:
        found.update(file.relative_to(ROOT).as_posix().encode() + file.read_bytes())
    return found.hexdigest()


def toc_notebooks(source: Path) -> list[Path]:
    """Return the notebooks that the table of contents names, in order."""
    toc = yaml.safe_load((source / "_toc.yml").read_text(encoding="utf-8"))
    entries = [toc, *(toc.get("chapters") or [])]
    for part in toc.get("parts") or []:
        entries += part["chapters"]
    files = [entry.get("root") or entry.get("file") for entry in entries]
    return [path for f in files if f and (path := source / f"{f}.ipynb").exists()]


def execute(notebooks: list[Path], cache_path: Path, pages: Path) -> list[Path]:
    """Bring the cache up to date, notebooks side by side; return those that were executed.

    Raises:
        SystemExit: if a notebook failed, after all others have ended and are kept.
    """
    kept, keys, stale = Kept(cache_path), {path: key(path) for path in notebooks}, []
    for path in notebooks:
        if kept.fresh(path, keys[path]) is not None:
            print(f"{path.stem}: from the cache", flush=True)
            continue
        stale.append(path)
        kept.forget(path)
        # The page must be written again even where the notebook's own file did not change.
        (pages / path.parent.name / f"{path.stem}.doctree").unlink(missing_ok=True)
    if stale:
        print(f"executing {len(stale)} of {len(notebooks)} notebooks, {execution.width()} at a time", flush=True)
    failures = []
    for outcome in execution.execute_all(stale):
        if outcome.failure:
            failures.append(outcome.failure)
        else:
            kept.keep(outcome, keys[outcome.path])
    if failures:
        sys.exit(
            "\n".join(["", *failures, f"\n{len(failures)} of {len(notebooks)} notebooks failed; no page was written"])
        )
    return stale


def restyled(static: Path, built: Path) -> bool:
    """Say whether a style or script of the book is not the one its pages were built with."""
    names = [path.relative_to(static) for path in static.rglob("*") if path.is_file()]
    _, different, missing = filecmp.cmpfiles(static, built, names, shallow=False)
    return built.exists() and bool(different or missing)


def pages(source: Path, output: Path, strict: bool) -> None:
    """Write the pages from the executed notebooks."""
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(source), "--path-output", str(output)]
    if strict:
        # -n: a reference that leads nowhere is a warning too, and every warning is an error.
        # --all: a page that an earlier build read says its warnings only when it is read again.
        command += ["-W", "-n", "--keep-going", "--all"]
    elif restyled(source / "_static", output / "_build" / "html" / "_static"):
        command.append("--all")  # Sphinx leaves styles and scripts as they were where no page changed
    # A page half written looks newer than its source: the mark says that none of them is to be trusted.
    unfinished = output / "_build" / "unfinished"
    if unfinished.exists():
        print("the last build was interrupted: writing every page again", flush=True)
        for folder in ("html", ".doctrees"):
            shutil.rmtree(output / "_build" / folder, ignore_errors=True)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    unfinished.touch()
    environment = os.environ | {"PYTHONUTF8": "1"}  # Jupyter Book reads its files in the system's encoding otherwise
    # In the source folder, to which the path of the cache in _config.yml is relative.
    threading.Thread(target=importlib.import_module, args=["tools.pictures"]).start()  # meanwhile: it brings torch
    failed = subprocess.run(command, env=environment, cwd=source).returncode
    for page in (output / "_build" / "html").rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        if (trimmed := UNWANTED.sub("", text)) != text:
            write_whole(page, trimmed)
    finish(output / "_build" / "html", Remembered(output / "_build" / "remembered.json"))
    if failed:
        sys.exit("the pages could not be written, or not without a warning: see the messages above")
    unfinished.unlink()


def finish(site: Path, remembered: Remembered) -> None:
    """Write into the pages what Jupyter Book does not."""
    from tools import pictures

    pictures.lay_in(site)
    code = Path(landing_page.__file__).read_text(encoding="utf-8")
    experiment_key = code + digest(code, [])
    landing_page.lay_in(
        site / "index.html",
        lambda picture: remembered.get(experiment_key + picture, lambda: landing_page.experiment(picture)),
    )
    found = articles.of_site(site, remembered)
    remembered.save()
    cards.lay_in(site, found)
    if search_texts.lay_in(site, {name: article.sections for name, article in found.items()}):
        downloads.withdraw(site)
    downloads.offer(site)
    published.lay_in(site, address(), found)


@contextlib.contextmanager
def alone(output: Path) -> Iterator[None]:
    """Hold the output folder for this build; a second build in it says so and waits."""
    lock = FileLock(output / "_build" / "lock")
    (output / "_build").mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"another build is at work in {output}: waiting for it to end", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def explained(output: Path) -> Iterator[None]:
    """Say what is wrong, and what to do, where the disk is full or may not be written."""
    try:
        (output / "_build").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output / "_build") as probe:
            probe.write(b"0" * 65536)
        yield
    except (OSError, OperationalError) as error:
        number, text = getattr(error, "errno", None), str(error)
        if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or "disk is full" in text:
            sys.exit(f"The disk is full, and the book was not built: {text}\nMake room and run the same command again.")
        if number in (errno.EROFS, errno.EACCES, errno.EPERM) or "readonly" in text:
            sys.exit(
                f"{output} may not be written, and the book was not built: {text}\n"
                "Copy the book's folder to a place of your own, or name another one: python -m tools.build --out DIR"
            )
        raise


def excerpt(notebooks: list[Path], out: Path) -> Path:
    """Lay out a small book of single notebooks in ``out`` and return its source folder."""
    source = out / "src"
    shutil.rmtree(source, ignore_errors=True)
    (source / "chapters").mkdir(parents=True)
    for path in notebooks:
        shutil.copy(path, source / "chapters" / path.name)
    for name in ("_config.yml", "references.bib"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source / name)
    if (ROOT / "_static").exists():
        shutil.copytree(ROOT / "_static", source / "_static")
    first, *rest = [f"chapters/{path.stem}" for path in notebooks]
    toc = {"format": "jb-book", "root": first} | ({"chapters": [{"file": f} for f in rest]} if rest else {})
    (source / "_toc.yml").write_text(yaml.safe_dump(toc), encoding="utf-8")
    return source


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strict", action="store_true", help="turn every warning into an error")
    parser.add_argument("--only", nargs="+", type=Path, metavar="NOTEBOOK")
    parser.add_argument("--out", type=Path, default=ROOT)
    args = parser.parse_args()
    output, begin = args.out.resolve(), time.perf_counter()
    with explained(output), alone(output):
        source = ROOT if args.only is None else excerpt([p.resolve() for p in args.only], output)
        execute(toc_notebooks(source), source / "_build" / ".jupyter_cache", output / "_build" / ".doctrees")
        pages(source, output, args.strict)
    page = output / "_build" / "html" / "index.html"
    print(
        f"\nbuilt in {time.perf_counter() - begin:.0f} s. Open {page}\nor run `make serve` and visit http://localhost:8000"
    )


if __name__ == "__main__":
    main()
