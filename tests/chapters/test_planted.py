"""Each inequality of a page is tried where it is nearly an equality: a page catches a constant 4 % too strong."""

import ast

import pytest

from tests.chapters.test_chapters import CHAPTERS, cells

# Chapter, pieces of the cells that must have run, a piece of the checking cell, what it says, what is planted.
DOORS = ["doors that open", '"near equality": (']
SPHERE = ["problem = SphericalUFM(4", "def apart(", "rng = torch.Generator", "def chain"]
PLANTS = [
    ("04", ["def never", "def instances"], "beside the optimum",
     ("beside the optimum", "(c.steps[k], c.steps[k + 1])", "(c.steps[k], 1.04 * c.steps[k + 1])")),
    ("05", ["def second_derivative", "inner = ", "GROUPINGS = {", "def above_floor"], "near the escape direction",
     ("def above_floor", "- 2 * sigma * w * h\n", "- 0.96 * 2 * sigma * w * h\n")),
    ("06", SPHERE, "beside the optimum",
     ("def chain", "p.margin * centred.norm(", "0.96 * p.margin * centred.norm(")),
    ("06", SPHERE, "rise < traces",
     ("rise < traces", "rise < traces / 2", "rise < 1.04 * traces / 2")),
    ("07", [], "largest[noise] <=", ("largest[noise] <=", "1 / (K - 1)", "0.96 / (K - 1)")),
    ("07", DOORS, "in cases.items()", ("def closing", "unit.max() *", "0.96 * unit.max() *")),
    ("07", DOORS, "in cases.items()", ("def closing", "mu_d * unit.min()", "1.04 * mu_d * unit.min()")),
    ("10", ["convex = [", "def dual_bound"], "highest bound over",
     ("def dual_bound", "(problem.joint_decay / sigma)", "(1.04 * problem.joint_decay / sigma)")),
    ("10", ["def dual_bound", "def sides"], "smallest ratio",
     ("def sides", "(K - 1) * problem.q", "1.04 * (K - 1) * problem.q")),
    ("11", ["def near_equality"], "largest ratio near", ("largest ratio near", "(s * t)", "(0.96 * s * t)")),
    ("11", ["DECAY = ", "def apart", "def bisected"], "merges between",
     ("merges between", "math.sqrt(sizes[-1]) / sum(sizes)", "1.04 * math.sqrt(sizes[-1]) / sum(sizes)")),
]  # fmt: skip


def sources(number):
    path = next(p for p in CHAPTERS if p.stem.startswith(number))
    return [c.source for c in cells(path, "code")]


def with_piece(code, piece):
    found = [source for source in code if piece in source]
    assert len(found) == 1, f"{len(found)} cells hold {piece!r}"
    return found[0]


def imports(code):
    """Return the import statements of all cells but the set-up cell."""
    lines = [
        node for source in code[1:] for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    return ast.unparse(ast.Module(lines, []))


def run(number, before, check, plant=None):
    code = sources(number)
    steps = [with_piece(code, piece) for piece in [*before, *([plant[0]] if plant else []), check]]
    namespace = {}
    exec(imports(code), namespace)
    for source in dict.fromkeys(steps):
        if plant and plant[0] in source:
            assert plant[1] in source, f"{plant[1]!r} is no longer in the cell"
            source = source.replace(plant[1], plant[2])
        exec(source, namespace)


@pytest.mark.parametrize(("number", "before", "check", "plant"), PLANTS, ids=lambda x: x if isinstance(x, str) else "")
def test_a_constant_four_per_cent_too_strong_is_caught(number, before, check, plant):
    run(number, before, check, (plant[0], plant[1], plant[1]))
    with pytest.raises(AssertionError):
        run(number, before, check, plant)
