"""A build that is killed, meets a failing cell, a full disk or another build: the next one is right or says why not."""

import errno
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time

import nbformat
import pytest
from filelock import FileLock
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests.conftest import ROOT
from tools import build, cache, execution, texts

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def notebook_at(path, *sources):
    cells = [new_markdown_cell("# A"), *map(new_code_cell, sources)]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells, metadata=KERNEL), path)
    return path


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Two notebooks that print a file's word; the word is also their key, so a stale page shows an old word."""
    word = tmp_path / "word"
    paths = [
        notebook_at(tmp_path / "chapters" / f"{n}.ipynb", f"print(open({str(word)!r}).read())  # {n}") for n in "ab"
    ]
    monkeypatch.setattr(build, "key", lambda _: word.read_text())
    return tmp_path, word, paths


def printed(folder, paths, key):
    kept = cache.Kept(folder / "cache")
    runs = [kept.fresh(path, key) for path in paths]
    return [run.cells[0].outputs[0].text.strip() if run else None for run in runs]


def at_once(paths):
    """Stand in for the kernels: what a notebook prints, without waiting for one to start."""
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        text = (path.parent.parent / "word").read_text()
        notebook.cells[1].outputs = [new_output("stream", name="stdout", text=text)]
        yield execution.Outcome(path, notebook, 0.0)


WRITES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree", "sqlite3.connect")


def build_and_die_at(step, run):
    """Run in a child that dies, as by kill -9, before its ``step``-th write; return whether it got that far."""
    child = os.fork()
    if child == 0:
        left = [step]

        def hook(event, arguments):
            writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if writes or event in (
                "os.rename",
                "os.remove",
                "os.rmdir",
                "os.mkdir",
                "shutil.rmtree",
                "sqlite3.connect",
            ):
                left[0] -= 1
                if left[0] < 0:
                    os._exit(9)

        sys.addaudithook(hook)
        try:
            run()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_death_before_any_write_leaves_nothing_that_is_taken_for_fresh(world, monkeypatch):
    folder, word, paths = world
    monkeypatch.setattr(execution, "execute_all", at_once)
    run = lambda: build.execute(paths, folder / "cache", folder / "doctrees")
    step, died = 0, True
    while died:
        word.write_text(f"before {step}")
        run()
        word.write_text(f"after {step}")  # every notebook is stale now
        died = build_and_die_at(step, run)
        # What the dead build left counts as fresh only where it is.
        assert set(printed(folder, paths, f"after {step}")) <= {None, f"after {step}"}
        run()
        assert printed(folder, paths, f"after {step}") == [f"after {step}"] * 2
        step += 1
    assert step > 10


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_death_in_the_very_first_build_is_recovered_from(world, monkeypatch):
    folder, word, paths = world
    word.write_text("one")
    monkeypatch.setattr(execution, "execute_all", at_once)
    step = 0
    run = lambda: build.execute(paths, folder / f"c{step}" / "cache", folder / "doctrees")
    while build_and_die_at(step, run):
        run()
        assert printed(folder / f"c{step}", paths, "one") == ["one"] * 2
        step += 1
    assert step > 5


KILLED = """
import sys
from pathlib import Path
from tools import build
folder = Path(sys.argv[1])
build.key = lambda _: (folder / "word").read_text()
build.execute(sorted((folder / "chapters").glob("*.ipynb")), folder / "cache", folder / "doctrees")
"""


def test_killed_with_its_kernels_running_it_is_right_the_next_time(world):
    folder, word, paths = world
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    chance = random.Random(0)
    for i in range(2):
        word.write_text(f"word {i}")
        child = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], env=environment, stdout=subprocess.PIPE)
        for line in child.stdout:
            if b"executing" in line:
                break
        time.sleep(chance.uniform(0, 2))
        child.kill()
        child.wait()
        child.stdout.close()
        word.write_text(f"word {i} again")
        build.execute(paths, folder / "cache", folder / "doctrees")
        assert printed(folder, paths, f"word {i} again") == [f"word {i} again"] * 2


def test_code_that_comes_back_is_not_taken_for_fresh_under_another_key(world, monkeypatch):
    folder, word, paths = world
    monkeypatch.setattr(execution, "execute_all", at_once)
    run = lambda: build.execute(paths, folder / "cache", folder / "doctrees")
    word.write_text("old")
    run()
    before = paths[0].read_text()
    notebook_at(paths[0], "print('other code')")
    word.write_text("new")
    run()
    paths[0].write_text(before)
    assert run() == [paths[0]] and printed(folder, paths, "new") == ["new"] * 2


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"x": 1}'])
def test_a_damaged_ledger_or_page_is_executed_again(world, monkeypatch, damage):
    folder, word, paths = world
    monkeypatch.setattr(execution, "execute_all", at_once)
    word.write_text("one")
    run = lambda: build.execute(paths, folder / "cache", folder / "doctrees")
    assert run() == paths and run() == []
    (folder / "cache" / "keys.json").write_text(damage)
    assert run() == paths and run() == []
    file = next((folder / "cache" / "executed").rglob("base.ipynb"))
    file.write_text(file.read_text()[:-20])
    assert len(run()) == 1 and run() == []
    (folder / "cache" / "global.db").write_text("this is no database, but long enough to look at" * 30)
    assert run() == paths and run() == []


def test_a_failing_cell_is_named_and_the_other_notebook_is_kept(world, capsys):
    folder, word, paths = world
    word.write_text("one")
    notebook_at(paths[0], "x = 1", "y = 0\nz = 2\nx / y\nz")
    with pytest.raises(SystemExit) as stop:
        build.execute(paths, folder / "cache", folder / "doctrees")
    message = str(stop.value)
    assert "a.ipynb, cell 3, line 3: x / y" in message and "ZeroDivisionError: division by zero" in message
    assert "1 of 2 notebooks failed" in message and "\x1b" not in message
    assert printed(folder, paths, "one") == [None, "one"]
    shown = capsys.readouterr().out
    assert "b |" in shown and "1/1 cells" in shown and "FAILED" in shown
    notebook_at(paths[0], "x = 1")
    assert build.execute(paths, folder / "cache", folder / "doctrees") == [paths[0]]
    assert "b: from the cache" in capsys.readouterr().out


def test_a_kernel_that_dies_is_reported_with_what_it_said(tmp_path):
    path = notebook_at(tmp_path / "a.ipynb", "import os, sys\nos.write(2, b'last words\\n')\nos._exit(1)")
    failure = execution.execute(path).failure
    assert failure.startswith("a.ipynb, cell 2: DeadKernelError") and "last words" in failure


def test_a_second_build_in_one_folder_waits_and_says_so(tmp_path, capsys):
    (tmp_path / "_build").mkdir()
    order, held = [], threading.Event()

    def first():
        with FileLock(tmp_path / "_build" / "lock"):
            held.set()
            while "waiting" not in capsys.readouterr().out:
                time.sleep(0.01)
            order.append("first ends")

    waiter = threading.Thread(target=first)
    waiter.start()
    held.wait()
    with build.alone(tmp_path):
        order.append("second begins")
    waiter.join()
    assert order == ["first ends", "second begins"]


@pytest.mark.parametrize(
    "number, says",
    [(errno.ENOSPC, "The disk is full"), (errno.EROFS, "may not be written"), (errno.EACCES, "--out DIR")],
)
def test_a_full_disk_and_a_read_only_folder_are_named(tmp_path, number, says):
    with pytest.raises(SystemExit, match=says), build.explained(tmp_path):
        raise OSError(number, os.strerror(number), "file")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_disk_that_fills_up_while_a_run_is_kept_is_named_and_nothing_is_vouched_for(world, monkeypatch):
    folder, word, paths = world
    word.write_text("one")
    monkeypatch.setattr(execution, "execute_all", at_once)
    (folder / "cache").mkdir()
    (folder / "cache" / "keys.json.tmp").symlink_to("/dev/full")
    with pytest.raises(SystemExit, match="The disk is full"), build.explained(folder):
        build.execute(paths, folder / "cache", folder / "doctrees")
    (folder / "cache" / "keys.json.tmp").unlink()
    assert printed(folder, paths, "one") == [None, None]
    assert build.execute(paths, folder / "cache", folder / "doctrees") == paths


def test_pages_of_an_interrupted_build_are_all_written_again(tmp_path, monkeypatch):
    page = tmp_path / "_build" / "html" / "half.html"
    page.parent.mkdir(parents=True)

    def sphinx(command, env, cwd):
        done = not page.exists()
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text("half")
        if not done:
            os.kill(os.getpid(), signal.SIGINT)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(build.subprocess, "run", sphinx)
    page.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        build.pages(tmp_path, tmp_path, strict=False)
        time.sleep(1)
    assert (tmp_path / "_build" / "unfinished").exists()
    build.pages(tmp_path, tmp_path, strict=False)  # removes the half page first, so the stand-in ends
    assert not (tmp_path / "_build" / "unfinished").exists()


def test_a_strict_build_finds_what_an_earlier_build_let_pass(tmp_path, capfd):
    extensions = "parse: {myst_enable_extensions: [colon_fence]}"
    (tmp_path / "_config.yml").write_text(f"title: A book\nexecute: {{execute_notebooks: 'off'}}\n{extensions}\n")
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: index\n")
    (tmp_path / "index.md").write_text("# Words\n\n:::{glossary}\none\n  A word.\n\none\n  Again.\n:::\n")
    build.pages(tmp_path, tmp_path, strict=False)
    with pytest.raises(SystemExit, match="not without a warning"):
        build.pages(tmp_path, tmp_path, strict=True)
    assert capfd.readouterr().err.count("duplicate term description of one") == 2
    page = (tmp_path / "_build" / "html" / "index.html").read_text("utf-8")
    assert "A word." in page and "THEBE_JS_URL" not in page  # a page with a warning is still a page to look at


def test_a_changed_style_reaches_the_pages_though_no_page_changed(tmp_path, capfd):
    (tmp_path / "_config.yml").write_text("title: A book\nexecute: {execute_notebooks: 'off'}\n")
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: index\n")
    (tmp_path / "index.md").write_text("# Words\n")
    style, html = tmp_path / "_static" / "book.css", tmp_path / "_build" / "html"
    style.parent.mkdir()
    seen = []
    for rule in ("p { color: red }", "p { color: navy }"):
        style.write_text(rule)
        build.pages(tmp_path, tmp_path, strict=False)
        assert (html / "_static" / "book.css").read_text() == rule
        seen.append(re.search(r"book\.css\?v=\w+", (html / "index.html").read_text("utf-8"))[0])
    assert seen[0] != seen[1]  # browsers do not show the style they know
    capfd.readouterr()
    build.pages(tmp_path, tmp_path, strict=False)
    assert "no targets are out of date" in capfd.readouterr().out


def cell(source, *outputs, tags=()):
    made = new_code_cell(source, execution_count=1, metadata={"tags": list(tags)})
    made.outputs = [new_output("stream", name=name, text=text) for name, text in outputs]
    return made


@pytest.mark.parametrize(
    "stored, fresh, says",
    [
        (cell("x", ("stdout", "1\n")), cell("x", ("stdout", "1\n")), None),
        (cell("x", ("stdout", "1\n2\n")), cell("x", ("stdout", "1\n"), ("stdout", "2\n")), None),
        (cell("x", ("stdout", "one\n")), cell("x", ("stdout", "two\n")), "one"),
        (cell("x", ("stdout", "one\n"), tags=["nbval-ignore-output"]), cell("x", ("stdout", "two\n")), None),
        (cell("x"), cell("x", ("stderr", "a warning\n")), "stderr"),
        (cell("x", ("stdout", "1\n")), cell("x"), "nothing"),
        (cell("x"), cell("y"), "other code"),
        (new_code_cell("x"), cell("x"), "stores no run"),
    ],
)
def test_stored_and_fresh_text_are_compared_as_nbval_does(stored, fresh, says):
    found = texts.disagreement(stored, fresh)
    assert found is None if says is None else says in found
