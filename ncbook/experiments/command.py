"""The one command line of all recorded experiments.

    python -m ncbook.experiments NAME …
    python -m ncbook.experiments NAME --help

Bad input ends in one line that names the argument. What an experiment writes says where it came from.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

from ncbook.data import DataUnavailable
from ncbook.experiments import collapse_speed, memory_command, optimisers, process_memory
from ncbook.training import CheckpointError

# Each module has `add_arguments(parser)` and `execute(args, command)`.
EXPERIMENTS = {
    "resnet18": memory_command,
    "resnet50": memory_command,
    "step-memory": process_memory,
    "collapse-speed": collapse_speed,
    "optimisers": optimisers,
}


def main(arguments: Iterable[str] | None = None) -> None:
    """Run an experiment from the command line."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    args = parser().parse_args(given)
    try:
        EXPERIMENTS[args.name].execute(args, "python -m ncbook.experiments " + shlex.join(given))
    except (ValueError, DataUnavailable, CheckpointError, FloatingPointError) as error:
        sys.exit(f"error: {error}")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command and of every experiment."""
    form = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser(prog="python -m ncbook.experiments", description=__doc__, formatter_class=form)
    names = top.add_subparsers(dest="name", metavar="NAME", required=True)
    for name, module in EXPERIMENTS.items():
        text = module.__doc__ or ""
        each = names.add_parser(name, help=text.splitlines()[0], description=text, formatter_class=form)
        each.add_argument("--data", default="digits", help="digits, mnist, cifar10 or a folder of images")
        each.add_argument("--root", help="where MNIST or CIFAR-10 is, in torchvision's layout")
        each.add_argument("--samples-per-class", type=int)
        each.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 …")
        each.add_argument("--out", type=Path, help="where to write: a file, or a folder where there are many runs")
        each.add_argument("--note", default="", help="for the record, such as 'JPEG quality 75'")
        module.add_arguments(each)
    return top
