"""The tools that clean, address and rebuild notebooks."""

import importlib.machinery
import re
import shutil
import sys
import types

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests.conftest import ROOT
from tools import __main__ as commands
from tools import build, notebooks, repository

NOTEBOOK = new_notebook(cells=[new_code_cell("from ncbook.figures import style")])


def test_cleaning_keeps_text_and_drops_pictures_progress_and_widgets():
    cell = new_code_cell("x", execution_count=1)
    cell.outputs = [
        new_output("stream", name="stderr", text="50%"),
        new_output("stream", name="stdout", text="kept"),
        new_output("display_data", data={"image/png": "AA=="}),
        new_output("execute_result", execution_count=1, data={"text/plain": "kept too", "text/html": "<p>"}),
    ]
    outputs = notebooks.clean(new_notebook(cells=[cell])).cells[0].outputs
    assert [o.get("text") or dict(o.data) for o in outputs] == ["kept", {"text/plain": "kept too"}]


def test_running_twice_leaves_no_diff(tmp_path):
    path = tmp_path / "a.ipynb"
    nbformat.write(new_notebook(cells=[new_markdown_cell("# A"), new_code_cell("print(1)\n2")]), path)
    assert notebooks.run(path) == ""
    first = path.read_bytes()
    assert notebooks.run(path) == "" and path.read_bytes() == first


def test_failed_notebook_is_reported_and_left_as_it_was(tmp_path):
    path = tmp_path / "a.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("1 / 0")]), path)
    before = path.read_bytes()
    assert "ZeroDivisionError" in notebooks.run(path) and path.read_bytes() == before


def test_draft_becomes_a_notebook_with_the_set_up_cell(tmp_path):
    draft, out = tmp_path / "d.py", tmp_path / "d.ipynb"
    draft.write_text('# %% [markdown]\n# # T\n\n# %% [setup]\n\n# %% tags=["nbval-ignore-output"]\n1\n')
    notebooks.convert(draft, out)
    cells = nbformat.read(out, as_version=4).cells
    assert cells[1].source == repository.setup_cell(repository.address(), nbformat.read(out, as_version=4))
    assert cells[2].metadata.tags == ["nbval-ignore-output"]


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the files that show the repository's address."""
    for name in ("pyproject.toml", "_config.yml", "README.md", "CITATION.cff"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "chapters").mkdir()
    shutil.copy(sorted((ROOT / "chapters").glob("*.ipynb"))[0], tmp_path / "chapters")
    monkeypatch.setattr(repository, "ROOT", tmp_path)
    return tmp_path


def write_address(monkeypatch, url):
    monkeypatch.setattr("sys.argv", ["repository.py", "--write", url])
    repository.main()


def test_address_is_written_everywhere_and_taken_back_everywhere(copy, monkeypatch):
    before = {p: p.read_text() for p in copy.rglob("*") if p.is_file()}
    write_address(monkeypatch, "https://github.com/someone/book.git")
    assert repository.address() == "https://github.com/someone/book" and repository.disagreements() == []
    for path in before:
        assert "https://github.com/someone/book" in path.read_text(), path.name
    assert "colab_url" in (copy / "_config.yml").read_text()
    write_address(monkeypatch, "")
    assert {p: p.read_text() for p in before} == before


def test_a_place_that_disagrees_is_found(copy):
    readme = copy / "README.md"
    readme.write_text(readme.read_text().replace("<!-- begin: repository -->\n", "<!-- begin: repository -->\nother "))
    assert repository.disagreements() == ["README.md"]


@pytest.mark.parametrize(
    "url", ["github.com/a/b", "http://github.com/a/b", "https://github.com/a", 'https://x.org/a/b"; rm']
)
def test_an_address_of_another_form_is_refused(copy, monkeypatch, url):
    with pytest.raises(SystemExit, match="URL must look like"):
        write_address(monkeypatch, url)


def test_set_up_cell_without_package_and_address_says_so_and_installs_nothing():
    code = repository.setup_cell("", NOTEBOOK).replace('find_spec("ncbook")', 'find_spec("ncbook_that_is_not_there")')
    code = re.sub(r"(?m)^(\s*)%pip.*$", r"\1raise AssertionError('installed')", code)
    with pytest.raises(ModuleNotFoundError, match="its repository is not set"):
        exec(code, {})


@pytest.mark.parametrize("works", [True, False])
def test_set_up_cell_with_an_address_installs_from_it_and_stops_where_that_fails(works):
    code = repository.setup_cell("https://github.com/a/b", NOTEBOOK)
    code = code.replace('("ncbook")', '("ncbook_that_is_not_there")')
    code = re.sub(r"(?m)^(\s*)%pip (.*)$", r"\1install(\2)", code).replace("install --quiet ", "f")
    calls, module = [], types.ModuleType("ncbook_that_is_not_there")
    module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)

    def install(what):
        calls.append(what)
        if works:
            sys.modules[module.__name__] = module

    try:
        if works:
            exec(code, {"install": install})
        else:
            with pytest.raises(ModuleNotFoundError, match=r"Installing from https://github\.com/a/b failed"):
                exec(code, {"install": install})
    finally:
        sys.modules.pop(module.__name__, None)
    assert calls == ["ncbook[notebook] @ git+https://github.com/a/b"]


def test_a_chapters_key_follows_what_it_imports_and_nothing_else(tmp_path, monkeypatch):
    package = tmp_path / "ncbook"
    shutil.copytree(ROOT / "ncbook", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "requirements.txt", tmp_path)
    monkeypatch.setattr(build, "PACKAGE", package)
    monkeypatch.setattr(build, "ROOT", tmp_path)
    path = tmp_path / "a.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("from ncbook import ufm\n%time 1")]), path)
    before = build.key(path)
    (package / "explore.py").write_text("x = 1")
    assert build.key(path) == before
    (package / "etf.py").write_text((package / "etf.py").read_text() + "\n# an edit two imports away")
    assert build.key(path) != before


def test_edited_package_executes_again_and_edited_text_does_not(tmp_path, monkeypatch):
    source = tmp_path / "chapters"
    source.mkdir()
    path = source / "a.ipynb"
    notebook = new_notebook(
        cells=[new_markdown_cell("text"), new_code_cell("1")],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    nbformat.write(notebook, path)
    keys = iter(["one", "one", "two"])
    monkeypatch.setattr(build, "key", lambda _: next(keys))
    run = lambda: build.execute([path], tmp_path / "cache", tmp_path / "doctrees")
    assert run() == [path]
    notebook.cells[0].source = "other text"
    nbformat.write(notebook, path)
    assert run() == []
    doctree = tmp_path / "doctrees" / "chapters" / "a.doctree"
    doctree.parent.mkdir(parents=True)
    doctree.write_text("")
    assert run() == [path] and not doctree.exists()


def test_a_command_runs_with_one_thread_a_process_whatever_the_shell_says(monkeypatch):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "8")
    seen = []
    monkeypatch.setattr(commands, "set_up", lambda: None)
    monkeypatch.setattr(commands.subprocess, "call", lambda command, cwd, env: seen.append(env) or 0)
    monkeypatch.setattr(sys, "argv", ["tools", "book"])
    with pytest.raises(SystemExit) as ended:
        commands.main()
    assert ended.value.code == 0
    assert {k: v for k, v in seen[0].items() if "NUM_THREADS" in k} == {"OMP_NUM_THREADS": "1"}
