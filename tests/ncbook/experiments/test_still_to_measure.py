"""The commands that wait for a GPU: each line of the list, dry-run as it stands, so that none fails there."""

import json
import re
import shlex
from importlib import import_module

import pytest
import torch

from ncbook import experiments
from tests.conftest import ROOT

ARM = "etf-10"  # for the word ARM; the others take the same path


def offered():
    """Return the command that chapter 8 offers to a reader with a GPU, as it printed it."""
    chapter = json.loads((ROOT / "chapters" / "08-what-twenty-per-cent-buys.ipynb").read_text(encoding="utf-8"))
    printed = "".join("".join(o.get("text", "")) for c in chapter["cells"] for o in c.get("outputs", []))
    (line,) = [line for line in printed.splitlines() if line.startswith("python -m ncbook.experiments resnet18")]
    return line.replace("--data cifar10", "--data DATA")  # which is in torchvision's layout there, and not here


def commands():
    """Return the commands of the list and of chapter 8, one line each."""
    _, text = (ROOT / "results" / "README.md").read_text(encoding="utf-8").split("## Still to measure")
    blocks = re.findall(r"```bash\n(.*?)```", text, re.S)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line[:1] != "#"]
    parts = [part.strip() for line in lines for part in line.split("&&") if "pytest" not in part]
    return [*(part.replace(" ARM ", f" {ARM} ") for part in parts), offered()]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A folder like the one of CIFAR-10: ten classes of 500 images, each class the same image over and over."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("photographs")
    noise = torch.randint(0, 256, (10, 32, 32, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    for half, count in (("train", 500), ("test", 4)):
        for k in range(10):
            (folder / half / str(k)).mkdir(parents=True)
            image = Image.fromarray(noise[k].numpy())
            for i in range(count):
                image.save(folder / half / str(k) / f"{i:04d}.jpg", quality=75)
    return folder


def test_the_list_has_commands():
    assert len(commands()) >= 8 and all(command.startswith("python ") for command in commands())


@pytest.mark.parametrize("command", commands())
def test_a_dry_run_checks_the_arguments_and_says_time_and_memory(command, photographs, tmp_path, monkeypatch, capsys):
    words = [str(photographs) if word == "DATA" else word for word in shlex.split(command)]
    monkeypatch.chdir(tmp_path)  # whatever is written shows
    if words[1:3] == ["-m", "ncbook.experiments"]:
        experiments.main([*words[3:], "--dry-run"])
    else:
        script = import_module(words[1].removesuffix(".py").replace("/", "."))
        monkeypatch.setattr("sys.argv", [*words[1:], "--dry-run"])
        script.main()
    shown = capsys.readouterr().out
    assert re.search(r"\d [MG]B", shown) and re.search(r"\b\d+(\.\d+)? (s|minutes)\b|minutes", shown)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [c for c in commands() if "resnet18 --data" in c][:1])
def test_a_wrong_argument_is_named_before_anything_runs(command, photographs):
    words = [str(photographs) if word == "DATA" else word for word in shlex.split(command)]
    with pytest.raises(SystemExit, match=r"^error: arms"):
        experiments.main([*words[3:], "--arms", "etf-10+magic", "--dry-run"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks without a GPU")
def test_half_precision_of_old_gpus_can_be_asked_about_without_one(capsys):
    experiments.main(["resnet18", "--width", "8", "--arms", "etf-10", "--precision", "fp16", "--dry-run"])
    assert "etf-10" in capsys.readouterr().out
