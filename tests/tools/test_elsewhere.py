"""The book in a folder whose name has spaces and letters of other alphabets, with no home folder and no git."""

import os
import shutil
import subprocess
import sys

import nbformat
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tests.conftest import ROOT

CODE = "import ncbook.etf as etf\nprint('ñ', etf.simplex_etf(3).shape, etf.__file__)"


def test_a_book_is_built_wherever_it_lies(tmp_path):
    book = tmp_path / "Bücher und Hefte" / "神经 collapse"
    for name in ("ncbook", "tools", "_static"):
        shutil.copytree(ROOT / name, book / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("_config.yml", "references.bib", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, book / name)
    (book / "chapters").mkdir()
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells = [new_markdown_cell("# Überall"), new_code_cell(CODE)]
    nbformat.write(new_notebook(cells=cells, metadata=kernel), book / "chapters" / "01-überall.ipynb")
    (book / "_toc.yml").write_text(yaml.safe_dump({"format": "jb-book", "root": "chapters/01-überall"}), "utf-8")
    kept = {k: v for k, v in os.environ.items() if k in ("SYSTEMROOT", "TMPDIR", "TEMP", "TMP")}
    environment = kept | {"PATH": str(tmp_path), "PYTHONPATH": str(book), "OMP_NUM_THREADS": "1"}
    built = subprocess.run(
        [sys.executable, "-m", "tools.build", "--strict"],
        cwd=book,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said = built.stdout.decode("utf-8", "replace")
    assert built.returncode == 0, said[-3000:]
    page = (book / "_build" / "html" / "chapters" / "01-überall.html").read_text("utf-8")
    assert "ñ torch.Size([3, 3])" in page and str(book / "ncbook") in page
    assert "Executing notebook" not in said  # the pages come from what was executed and kept, once
    path = book / "chapters" / "01-überall.ipynb"
    single = subprocess.run(
        [sys.executable, "-m", "tools.build", "--only", path, "--out", tmp_path / "look"],
        cwd=book,
        env=environment,
        capture_output=True,
    ).stdout.decode("utf-8", "replace")
    assert "executing 1 of 1" in single and "Executing notebook" not in single
