"""Turn a percent-format draft into a master notebook, and a master back into a draft.

python -m assignments.author convert DRAFT OUT.ipynb
python -m assignments.author draft MASTER.ipynb OUT.py
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import jupytext
import nbformat

CONFIG = """\
# ASSIGNMENT CONFIG
name: {name}
init_cell: false
check_all_cell: true
export_cell: false
show_question_points: true
requirements:
    - matplotlib
    - numpy
    - torch
generate:
    pdf: false
    show_hidden: false
tests:
    files: true
    ok_format: false
"""

# The release writes the course's address into the empty text. `--no-deps` keeps Colab's widgets as they are.
SETUP = """\
# Set-up: run me first. Works on Colab and on your own machine.
import sys
from pathlib import Path

RELEASE = ""  # where the course keeps this assignment's zip
if "google.colab" in sys.modules:
    %pip install --quiet --no-deps otter-grader==7.0.0 fica==0.4.1 ipylab==1.1.0 python-frontmatter==1.3.0
    if not Path("tests").is_dir():  # fetch the checks, or ask for the zip this notebook came in
        import io, urllib.request, zipfile
        from google.colab import files
        packed = urllib.request.urlopen(RELEASE).read() if RELEASE else next(iter(files.upload().values()))
        zipfile.ZipFile(io.BytesIO(packed)).extractall()
{extra}
import numpy as np
import torch
try:
    import otter
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("Run `pip install otter-grader==7.0.0`, restart the kernel, run me again.") from error
grader = otter.Notebook()"""

NCBOOK = "import ncbook  # the book's package: the folder beside this notebook"

CONFIG_LINE = re.compile(r"(?m)^# %% \[config\] (\w+).*$")
SETUP_LINE = re.compile(r"(?m)^# %% \[setup( ncbook)?\].*$")


def setup_cell(ncbook: bool = False) -> str:
    """Return the text of a master's set-up cell, with the book's package where the assignment needs it."""
    return SETUP.replace("{extra}\n", NCBOOK + "\n" if ncbook else "")


def convert(text: str) -> nbformat.NotebookNode:
    """Return the master notebook of a percent-format draft.

    Raises:
        ValueError: if the draft has no ``[config]`` or no ``[setup]`` line.
    """
    names = CONFIG_LINE.findall(text)
    if len(names) != 1 or len(SETUP_LINE.findall(text)) != 1:
        raise ValueError("a draft must have exactly one line `# %% [config] NAME` and one `# %% [setup]`")
    text = CONFIG_LINE.sub("# %% [raw]\n# CONFIG_CELL_HERE", text)
    extra = SETUP_LINE.search(text).group(1) is not None  # type: ignore[union-attr]
    text = SETUP_LINE.sub("# %%\nSETUP_CELL_HERE", text)
    notebook = jupytext.reads(text, fmt="py:percent")
    for i, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{i:03d}"
        if cell.source.strip() == "CONFIG_CELL_HERE":
            cell.source = CONFIG.format(name=names[0]).rstrip()
        if cell.source.strip() == "SETUP_CELL_HERE":
            cell.source = setup_cell(extra)
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    nbformat.validate(notebook)
    return notebook


def draft(notebook: nbformat.NotebookNode) -> str:
    """Return a master as the percent-format text that `convert` reads."""
    for cell in notebook.cells:
        if cell.cell_type == "raw" and cell.source.startswith("# ASSIGNMENT CONFIG"):
            cell.source = "CONFIG_LINE " + re.search(r"(?m)^name: (\w+)", cell.source).group(1)  # type: ignore[union-attr]
        if cell.source in (setup_cell(), setup_cell(ncbook=True)):
            cell.source = "SETUP_LINE" + (" ncbook" if NCBOOK in cell.source else "")
    notebook.metadata = nbformat.from_dict({})
    text = jupytext.writes(notebook, fmt="py:percent")
    text = text[text.index("# %%") :]
    text = re.sub(r"(?m)^# %% \[raw\].*\n# CONFIG_LINE (\w+)$", r"# %% [config] \1", text)
    return re.sub(r"(?m)^# %%.*\nSETUP_LINE( ncbook)?$", r"# %% [setup\1]", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["convert", "draft"])
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    if args.what == "convert":
        args.out.write_text(nbformat.writes(convert(args.source.read_text())) + "\n")
    else:
        args.out.write_text(draft(nbformat.read(args.source, as_version=4)))


if __name__ == "__main__":
    main()
