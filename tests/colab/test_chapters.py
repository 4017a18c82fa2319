"""Every chapter alone on the versions that Colab ships: the wheel on top moves none of them.

Makes ``.venv-colab`` on first use (some minutes and gigabytes), so ``make test-colab`` runs this apart.
"""

import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.conftest import ROOT
from tools import extras, repository

ENVIRONMENT = ROOT / ".venv-colab"
PYTHON = ENVIRONMENT / "bin" / "python"
REQUIREMENTS = ROOT / "tests" / "colab" / "requirements.txt"
CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
RUN = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=600, resources={"metadata": {"path": "."}}).execute()
nbformat.write(notebook, "executed.ipynb")
"""


def run(*arguments, **options):
    return subprocess.run([str(a) for a in arguments], check=True, text=True, capture_output=True, **options).stdout


def execute(name, folder):
    """Execute the notebook ``name`` of ``folder`` in the stand-in, away from this environment's paths."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment["no_proxy"] = "127.0.0.1"
    environment["OMP_NUM_THREADS"] = "1"  # small products: threads that wait for each other take twice as long
    return subprocess.run([str(PYTHON), "-c", RUN, name], cwd=folder, env=environment, text=True, capture_output=True)


def versions():
    return {p["name"].lower(): p["version"] for p in json.loads(run(PYTHON, "-m", "pip", "list", "--format=json"))}


@pytest.fixture(scope="module")
def colab(tmp_path_factory):
    """The stand-in with the built wheel installed; returns the versions before and after."""
    marker = ENVIRONMENT / ".installed"
    if not marker.exists() or marker.read_text() != REQUIREMENTS.read_text():
        run(sys.executable, "-m", "venv", "--clear", ENVIRONMENT)
        run(PYTHON, "-m", "pip", "install", "-q", "-r", REQUIREMENTS)
        marker.write_text(REQUIREMENTS.read_text())
    subprocess.run([str(PYTHON), "-m", "pip", "uninstall", "-q", "-y", "ncbook"], check=True)
    before = versions()
    dist = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", dist, ROOT)
    (wheel,) = dist.glob("*.whl")
    run(PYTHON, "-m", "pip", "install", "-q", f"{wheel}[{','.join(extras.OURS)}]")
    return before, versions(), wheel


def test_the_stand_in_has_colabs_versions(colab):
    pinned = dict(line.split("==") for line in REQUIREMENTS.read_text().splitlines() if "==" in line)
    before, *_ = colab
    assert {name: before.get(name) for name in pinned} == pinned


def test_installing_the_package_moves_nothing_that_was_there(colab):
    before, after, _ = colab
    assert {n: (v, after.get(n)) for n, v in before.items() if after.get(n) != v} == {}


def test_the_wheel_holds_the_package_and_nothing_else(colab):
    files = run(PYTHON, "-m", "pip", "show", "-f", "ncbook").split("Files:")[1].split()
    wanted = ("ncbook/", "ncbook-", "../../../share/ncbook/results/")  # the records that chapters read
    assert all(f.startswith(wanted) for f in files) and "ncbook/etf.py" in files


@pytest.fixture(scope="module")
def runs(colab, request, tmp_path_factory):
    """Every chapter that is asked for, executed alone in an empty folder, two at a time: folder and outcome to come."""
    asked = {item.callspec.params["path"] for item in request.session.items if "runs" in item.fixturenames}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        started = {}
        for path in sorted(asked):
            folder = tmp_path_factory.mktemp("empty")
            (folder / path.name).write_bytes(path.read_bytes())
            started[path] = folder, pool.submit(execute, path.name, folder)
        yield started
        for _, outcome in started.values():
            outcome.cancel()


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_chapter_runs_alone_in_an_empty_folder(runs, path):
    folder, outcome = runs[path]
    result = outcome.result()
    assert result.returncode == 0, result.stderr[-3000:]
    executed = json.loads((folder / "executed.ipynb").read_text())
    bundles = [o.get("data", {}) for c in executed["cells"] if c["cell_type"] == "code" for o in c["outputs"]]
    moving = [b for b in bundles if re.search(r"^(Exploration|LiveExperiment)\(", "".join(b.get("text/plain", "")))]
    # A slider, or two buttons for a choice of two, over frames; or an experiment that makes its own.
    controls = re.compile(r'type="range"|class="ncx-two"|class="nclive"')
    assert moving and all(controls.search("".join(b["text/html"])) for b in moving)


@pytest.fixture
def without_package(colab):
    """The stand-in without the package, as a reader's Colab is; the wheel is put back afterwards."""
    run(PYTHON, "-m", "pip", "uninstall", "-q", "-y", "ncbook")
    yield
    run(PYTHON, "-m", "pip", "install", "-q", "--no-deps", "--force-reinstall", colab[2])


def set_up(tmp_path, address):
    """Run the set-up cell of a book at ``address`` and one import in the stand-in, as Colab does."""
    notebook = new_notebook(cells=[new_code_cell(""), new_code_cell("import ncbook.sphere; print(ncbook.__file__)")])
    notebook.cells[0].source = repository.setup_cell(address, notebook)
    nbformat.write(notebook, tmp_path / "a.ipynb")
    return execute("a.ipynb", tmp_path)


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_set_up_cell_installs_the_book_from_its_repository(without_package, tmp_path):
    book = tmp_path / "book"
    files = run("git", "-C", ROOT, "ls-files", "-z").split("\0")
    for name in filter(None, files):
        if (ROOT / name).is_file():
            (book / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, book / name)
    git = ["git", "-C", book, "-c", "user.name=a", "-c", "user.email=a@b.c"]
    run("git", "init", "-q", book)
    run(*git, "add", "-A")
    run(*git, "commit", "-qm", "the book")
    run(*git, "update-server-info")
    # Served on this machine: the form of address that a reader's copy has, which is not that of a file.
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=book)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        result = set_up(tmp_path, f"http://127.0.0.1:{server.server_port}/.git")
        server.shutdown()
    assert result.returncode == 0, result.stderr[-3000:]
    said = json.loads((tmp_path / "executed.ipynb").read_text())["cells"][1]["outputs"][0]["text"]
    assert str(ENVIRONMENT) in "".join(said)


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_set_up_cell_stops_where_the_install_fails(without_package, tmp_path):
    result = set_up(tmp_path, "http://127.0.0.1:9/nowhere.git")
    assert result.returncode != 0 and "Installing from http://127.0.0.1:9/nowhere.git failed" in result.stderr
    assert "No module named" not in result.stderr.splitlines()[-1]
