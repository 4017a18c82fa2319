"""One command line for every experiment, and one way to record what it found."""

import dataclasses
import json
import math
import shlex

import pytest

from ncbook import data, experiments
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", samples_per_class=10)


def test_a_record_is_whole_and_has_null_where_json_has_no_number(tmp_path):
    experiments.write_record(tmp_path / "a.json", {"x": [1.5, math.nan, (math.inf, -math.inf)], "y": {"z": None}})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": [1.5, None, [None, None]], "y": {"z": None}}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_that_is_missing_is_made(tmp_path):
    experiments.write_record(tmp_path / "new" / "deep" / "a.json", {"x": 1})
    assert json.loads((tmp_path / "new" / "deep" / "a.json").read_text()) == {"x": 1}


def test_the_origin_holds_what_every_record_must_say():
    about = experiments.provenance("as typed", "cpu", note="a note")
    assert about["command"] == "as typed" and about["note"] == "a note" and about["device"].startswith("CPU")
    assert set(about) == {"command", "commit", "device", "processor", "versions", "date", "note"}
    assert set(about["versions"]) == {"python", "torch"}


def test_the_data_are_known_by_name_size_and_digest(digits):
    found = experiments.described(digits)
    assert found["name"] == "digits" and found["training_samples"] == 100
    assert found["test_samples"] == len(digits.test_labels)
    images = digits.images.clone()
    images[3, 0, 4, 4] += 1 / 16
    assert experiments.described(dataclasses.replace(digits, images=images))["sha256"] != found["sha256"]


def shown(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        experiments.main(arguments)
    assert stopped.value.code == 0
    return capsys.readouterr().out


def test_help_names_every_experiment_and_help_of_each_names_its_arguments(capsys):
    assert all(name in shown(capsys, "--help") for name in ("resnet18", "resnet50", "collapse-speed"))
    for name, own in (("resnet18", "--dry-run"), ("resnet50", "--stem"), ("collapse-speed", "--tuning-seeds")):
        text = shown(capsys, name, "--help")
        assert own in text and all(shared in text for shared in ("--data", "--root", "--device", "--out", "--note"))


def commands(text):
    """Every call of the experiments' command in a text, its lines joined."""
    lines = text.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip().startswith("python -m ncbook.experiments")]


def test_the_commands_that_the_list_of_results_gives_can_be_parsed():
    from ncbook.experiments.command import parser

    found = commands((ROOT / "results" / "README.md").read_text(encoding="utf-8"))
    assert len(found) >= 4
    for line in found:
        assert parser().parse_args(shlex.split(line)[3:]).data


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["collapse-speed"], "--out must name"),
        (["collapse-speed", "--out", "x", "--epochs", "0"], "epochs must be"),
        (["collapse-speed", "--out", "x", "--device", "nowhere"], "device must be"),
        (["resnet18", "--device", "nowhere"], "device must be"),
    ],
)
def test_errors_are_one_line_that_names_the_matter(arguments, says):
    with pytest.raises(SystemExit, match=f"^error: {says}"):
        experiments.main(arguments)


def test_what_is_recorded_is_found_and_says_where_it_comes_from():
    folder = experiments.recorded("memory-digits")
    assert folder == ROOT / "results" / "memory-digits" and experiments.recorded("shallow_mnist.json").is_file()
    line = experiments.origin(json.loads(next(folder.glob("*.json")).read_text()))
    assert line.startswith("digits; ") and "torch" in line and "commit" in line


@pytest.mark.parametrize("name", ["", "nothing.json", "../pyproject.toml", "memory"])
def test_what_is_not_recorded_is_named(name):
    with pytest.raises(ValueError, match=r"^name must be that of a recorded result"):
        experiments.recorded(name)


@pytest.mark.parametrize("record", [{}, {"provenance": {}}, {"provenance": "typed"}])
def test_a_record_without_its_origin_is_refused(record):
    with pytest.raises(ValueError, match=r"^record must hold a whole provenance"):
        experiments.origin(record)
