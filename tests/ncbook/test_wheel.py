"""The wheel is the package: every file is in it, and every public name can be imported from it alone."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "ncbook"
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
FILES = sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")
# What a build needs and nothing else: no installed metadata lies about that could tell setuptools what belongs in.
NEEDED = ("pyproject.toml", "README.md", "LICENSE", "LICENSE-CODE", "LICENSE-TEXT")
LITTER = shutil.ignore_patterns("__pycache__", ".*_cache", ".ipynb_checkpoints")
# Asks each module for all its public names. An editable install offers what a wheel lacks: it must be out of reach.
IMPORT = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", "")]
counts = {}
for part in sys.argv[2:]:
    module = importlib.import_module("ncbook." + part)
    counts[part] = len([getattr(module, name) for name in getattr(module, "__all__", [])])
files = [module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "ncbook"]
print(json.dumps([files, counts]))
"""


def build(source, folder):
    """Return the wheel built from ``source``."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (wheel,) = folder.glob("*.whl")
    return wheel


def sources(folder):
    """Lay a clean copy of what the wheel is made from."""
    shutil.copytree(PACKAGE, folder / "ncbook", ignore=LITTER)
    for name in NEEDED:
        shutil.copy(ROOT / name, folder)
    return folder


def missing(source, wheel):
    """Return the package's files that are not in the wheel with the same bytes."""
    with zipfile.ZipFile(wheel) as archive:
        packed = {name: archive.read(name) for name in archive.namelist()}
    paths = [path for path in (source / "ncbook").rglob("*") if path.is_file()]
    assert len(paths) > 50  # a test of nothing passes
    return sorted(
        path.relative_to(source).as_posix()
        for path in paths
        if packed.get(path.relative_to(source).as_posix()) != path.read_bytes()
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return sources(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    return build(source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def unpacked(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_every_file_of_the_package_is_in_the_wheel(source, wheel):
    assert missing(source, wheel) == []


def test_the_wheel_holds_nothing_but_the_package(source, wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert {name for name in names if not (source / name).is_file()} == set()
    assert {name.split("/")[0] for name in names} == {"ncbook"}


def test_a_wheel_of_the_first_folder_only_is_caught(tmp_path):
    """Naming the package but not its rooms ships none of them, and the build says nothing."""
    (tmp_path / "source").mkdir()
    source = sources(tmp_path / "source")
    settings = (source / "pyproject.toml").read_text(encoding="utf-8")
    flat = settings.replace('include = ["ncbook", "ncbook.*"]', 'include = ["ncbook"]').replace(
        ', "figures/scripts/*"', ""
    )
    assert flat != settings
    (source / "pyproject.toml").write_text(flat, encoding="utf-8")
    lost = missing(source, build(source, tmp_path / "wheel"))
    assert {name.split("/")[1] for name in lost} == set(ROOMS)
    assert {name.rsplit(".")[-1] for name in lost} == {"py", "js", "css"}


def run(unpacked, elsewhere, code, *arguments):
    """Run a piece of code that sees nothing of this repository; return what it printed."""
    command = [sys.executable, "-I", "-c", code, str(unpacked), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=elsewhere)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_every_public_name_is_imported_from_the_wheel_alone(unpacked, tmp_path):
    files, counts = json.loads(run(unpacked, tmp_path, IMPORT, *ROOMS, *FILES))
    assert {file for file in files if not Path(file).is_relative_to(unpacked / "ncbook")} == set()
    assert len(files) > len(ROOMS + FILES)
    assert {room for room in ROOMS if not counts[room]} == set()  # a face without names would pass without a look


def test_a_wheel_without_a_file_does_not_fall_back_on_the_repository(unpacked, tmp_path):
    shutil.copytree(unpacked, tmp_path / "torn")
    (tmp_path / "torn" / "ncbook" / "etf.py").unlink()
    with pytest.raises(AssertionError, match=r"ncbook\.etf"):
        run(tmp_path / "torn", tmp_path, IMPORT, "etf")


def test_the_scripts_of_the_live_experiments_are_read_from_the_wheel(unpacked, tmp_path):
    code = """
import sys
sys.path.insert(0, sys.argv[1])
from ncbook.figures import in_page, live, style
for name in in_page.NAMES:
    print(live(name, alt="x", still=lambda: style.new(2, 2)[0]).to_html().count(f'define("{name}"'))
"""
    assert set(run(unpacked, tmp_path, code).split()) == {"1"}


def test_recorded_results_are_found_where_pip_installed_the_package(tmp_path):
    """On Colab there is no copy of the repository to read them from."""
    (tmp_path / "source").mkdir()
    source = sources(tmp_path / "source")
    shutil.copytree(ROOT / "results", source / "results")
    place = tmp_path / "installed"
    wheel = build(source, tmp_path / "wheel")
    # Without --ignore-installed pip takes the package out of the environment that runs this test.
    options = ("-q", "--no-deps", "--no-index", "--ignore-installed", "--prefix", place)
    command = [sys.executable, "-m", "pip", "install", *options, wheel]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    code = """
import sys
sys.path.insert(0, sys.argv[1])
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", "")]
from ncbook import experiments
for name in ("memory-digits", "memory-bf16"):
    found = experiments.recorded(name).resolve()
    print(found.is_relative_to(sys.argv[2]), len(list(found.glob("*.json"))))
"""
    (packages,) = place.rglob("site-packages")
    counts = [len(list((ROOT / "results" / name).glob("*.json"))) for name in ("memory-digits", "memory-bf16")]
    assert run(packages, tmp_path, code, str(place.resolve())).split() == [
        "True",
        str(counts[0]),
        "True",
        str(counts[1]),
    ]
