"""Build the book: execute what changed, side by side, then let Jupyter Book write the pages.

    python -m tools.build [--strict]                      the whole book into _build/html
    python -m tools.build --only NOTEBOOK … --out DIR     a look at single chapters, links to others left open

Jupyter Book's own cache knows a notebook by its code cells alone. Here each chapter also has a key: a digest of the
parts of ``ncbook`` it imports (with what those import) and of the locked requirements. A chapter whose key changed is
executed again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import yaml
from jupyter_cache import get_cache
from jupyter_cache.executors import load_executor

from tools import imports

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "ncbook"
TIMEOUT = 600  # seconds a cell
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
    """Return a notebook's code, with shell and magic lines turned into ``pass``."""
    cells = nbformat.read(path, as_version=4).cells
    lines = "\n".join(c.source for c in cells if c.cell_type == "code").splitlines()
    return "\n".join(re.sub(r"^(\s*)[%!].*$", r"\1pass", line) for line in lines)


def inputs(path: Path) -> list[Path]:
    """Return the files of the package that a chapter reaches when it runs, the face of each room among them."""
    known = imports.modules(PACKAGE)
    try:
        names = imports.reached(imports.named_in(code_of(path), known), known)
    except SyntaxError:  # code that plain Python cannot read: depend on the whole package
        names = set(known)
    return [known[name].path for name in sorted(names)]


def key(path: Path) -> str:
    """Return the digest of everything a chapter's output depends on besides its own code."""
    digest = hashlib.sha256(sys.version.encode())
    for file in [*inputs(path), ROOT / "requirements.txt"]:
        digest.update(file.relative_to(ROOT).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()


def toc_notebooks(source: Path) -> list[Path]:
    """Return the notebooks that the table of contents names, in order."""
    toc = yaml.safe_load((source / "_toc.yml").read_text())
    entries = [toc, *(toc.get("chapters") or [])]
    for part in toc.get("parts") or []:
        entries += part["chapters"]
    files = [entry.get("root") or entry.get("file") for entry in entries]
    return [path for f in files if f and (path := source / f"{f}.ipynb").exists()]


def execute(notebooks: list[Path], cache_path: Path, pages: Path) -> list[Path]:
    """Bring the cache up to date, notebooks side by side; return those that were executed."""
    cache = get_cache(str(cache_path))
    cache_path.mkdir(parents=True, exist_ok=True)
    store = cache_path / "keys.json"
    keys = json.loads(store.read_text()) if store.exists() else {}
    for record in cache.list_project_records():
        cache.remove_nb_from_project(record.pk)
    stale = []
    for path in notebooks:
        name = path.relative_to(path.parent.parent).as_posix()
        wanted = key(path)
        try:
            record = cache.match_cache_file(str(path))
        except KeyError:
            record = None
        if record is not None and keys.get(name) != wanted:
            cache.remove_cache(record.pk)
            record = None
        if record is None:
            stale.append(path)
            cache.add_nb_to_project(str(path))
            # The page must be written again even where the notebook's own file did not change.
            (pages / path.parent.name / f"{path.stem}.doctree").unlink(missing_ok=True)
        keys[name] = wanted
    if stale:
        print(f"executing {len(stale)} of {len(notebooks)} notebooks: " + ", ".join(p.stem for p in stale), flush=True)
        result = load_executor("temp-parallel", cache, _logger()).run_and_cache(
            filter_uris=[str(p) for p in stale], timeout=TIMEOUT
        )
        for uri in [*result.excepted, *result.errored]:
            record = cache.get_project_record(uri)
            print(f"\n{uri} failed:\n{getattr(record, 'traceback', '')}", file=sys.stderr)
        if result.excepted or result.errored:
            sys.exit(1)
    store.write_text(json.dumps(keys, indent=1))
    return stale


def _logger() -> logging.Logger:
    logger = logging.getLogger("execution")
    if not logger.handlers:
        logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.WARNING)
    return logger


def pages(source: Path, output: Path, strict: bool) -> None:
    """Write the pages from the executed notebooks."""
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(source), "--path-output", str(output)]
    if strict:
        # -n: a reference that leads nowhere is a warning too, and every warning is an error.
        command += ["-W", "-n", "--keep-going"]
    subprocess.run(command, check=True)
    for page in (output / "_build" / "html").rglob("*.html"):
        text = page.read_text()
        if (trimmed := UNWANTED.sub("", text)) != text:
            page.write_text(trimmed)


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
    (source / "_toc.yml").write_text(yaml.safe_dump(toc))
    return source


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strict", action="store_true", help="turn every warning into an error")
    parser.add_argument("--only", nargs="+", type=Path, metavar="NOTEBOOK")
    parser.add_argument("--out", type=Path, default=ROOT)
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # notebooks run side by side: one thread each
    source = ROOT if args.only is None else excerpt([p.resolve() for p in args.only], args.out.resolve())
    output = args.out.resolve()
    begin = time.perf_counter()
    cache = source / "_build" / ".jupyter_cache"
    execute(toc_notebooks(source), cache, output / "_build" / ".doctrees")
    pages(source, output, args.strict)
    page = output / "_build" / "html" / "index.html"
    print(
        f"\nbuilt in {time.perf_counter() - begin:.0f} s. Open {page}\nor run `make serve` and visit http://localhost:8000"
    )


if __name__ == "__main__":
    main()
