"""Every assignment's student notebook, untouched, on the versions that Colab ships: it runs, and its checks speak.

Uses the stand-in that `make test-colab` makes; what the set-up cell installs on Colab lies in a folder beside it here.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import nbformat
import pytest

from assignments.author import SETUP
from assignments.release import assign, masters, prepare

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-colab" / "bin" / "python"
COLABS_OWN = ("dill", "pandas", "wrapt")  # Colab has them; the stand-in holds only what the book touches
RUN = """
import nbformat, sys
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=300, resources={"metadata": {"path": "."}}).execute()
texts = [o["data"]["text/plain"] for c in notebook.cells if "grader.check(" in c.source for o in c.get("outputs", [])]
print(sum("Test case failed" in text for text in texts))
"""

pytestmark = pytest.mark.skipif(
    not (ROOT / ".venv-colab" / ".installed").exists() or "PYTEST_XDIST_WORKER" in os.environ,
    reason="needs the stand-in of `make test-colab`",
)


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with exactly what the set-up cell asks pip for."""
    folder = tmp_path_factory.mktemp("beside")
    (line,) = [x for x in SETUP.splitlines() if "%pip install" in x]
    wanted = [word for word in line.split() if "==" in word]
    assert "--no-deps" in line and len(wanted) == 4
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *wanted, *COLABS_OWN]
    subprocess.run(pip, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("name", masters())
def test_untouched_notebook_runs_on_colabs_versions(name: str, beside: Path, tmp_path: Path) -> None:
    master = tmp_path / "master" / f"{name}.ipynb"
    master.parent.mkdir()
    notebook = prepare(masters()[name], "a secret for trials", "")
    nbformat.write(notebook, master)
    assign(master, tmp_path, run_tests=False)
    student = tmp_path / "student"
    packages = os.pathsep.join([str(beside), str(ROOT)])  # the book's package, where an assignment needs it
    environment = {**os.environ, "PYTHONPATH": packages, "OMP_NUM_THREADS": "1"}
    command = [str(PYTHON), "-c", RUN, f"{name}.ipynb"]
    done = subprocess.run(command, cwd=student, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.split()[-1]) >= 8, f"checks of an untouched notebook must fail, got {done.stdout}"
