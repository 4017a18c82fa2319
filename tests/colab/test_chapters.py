"""Every chapter alone on the versions that Colab ships: the wheel on top moves none of them.

Makes ``.venv-colab`` on first use (some minutes and gigabytes), so ``make test-colab`` runs this apart.
"""

import json
import os
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT

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
    run(PYTHON, "-m", "pip", "install", "-q", wheel)
    return before, versions()


def test_the_stand_in_has_colabs_versions(colab):
    pinned = dict(line.split("==") for line in REQUIREMENTS.read_text().splitlines() if "==" in line)
    before, _ = colab
    assert {name: before.get(name) for name in pinned} == pinned


def test_installing_the_package_moves_nothing_that_was_there(colab):
    before, after = colab
    assert {n: (v, after.get(n)) for n, v in before.items() if after.get(n) != v} == {}


def test_the_wheel_holds_the_package_and_nothing_else(colab):
    files = run(PYTHON, "-m", "pip", "show", "-f", "ncbook").split("Files:")[1].split()
    assert all(f.startswith(("ncbook/", "ncbook-")) for f in files) and "ncbook/etf.py" in files


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_chapter_runs_alone_in_an_empty_folder(colab, path, tmp_path):
    (tmp_path / path.name).write_bytes(path.read_bytes())
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    result = subprocess.run(
        [str(PYTHON), "-c", RUN, path.name], cwd=tmp_path, env=environment, text=True, capture_output=True
    )
    assert result.returncode == 0, result.stderr[-3000:]
    executed = json.loads((tmp_path / "executed.ipynb").read_text())
    bundles = [o.get("data", {}) for c in executed["cells"] if c["cell_type"] == "code" for o in c["outputs"]]
    moving = [b for b in bundles if re.search(r"^Exploration\(", "".join(b.get("text/plain", "")))]
    # Colab's ipywidgets 7 must show the live control, not fall back to text.
    assert moving and all("application/vnd.jupyter.widget-view+json" in b for b in moving)
