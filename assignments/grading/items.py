"""One page about a class: its marks, how hard each question and check was, how well it told students apart."""

from __future__ import annotations

import dataclasses
import html
from pathlib import Path

import numpy as np

from assignments.grading.results import Result
from assignments.grading.submission import Assignment

MANY = 10  # bars of the histogram
STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
table{border-collapse:collapse}td,th{padding:.2rem .7rem;text-align:right;border-bottom:1px solid #ccc}
td:first-child,th:first-child{text-align:left}caption{text-align:left;font-weight:600;padding:.5rem 0}
.flag{color:#9a3412;font-weight:600}svg text{font:13px system-ui,sans-serif}
"""


@dataclasses.dataclass(frozen=True)
class Item:
    """How one question did.

    Attributes:
        question: its name.
        points: what it is worth.
        difficulty: the mean share of its points that students earned: 1 is easy.
        discrimination: the correlation of its marks with those of all other questions; NaN where either does not vary.
        full: the share of students with all its points.
        nothing: the share with none.
        checks: by label, the share of students who passed.
    """

    question: str
    points: float
    difficulty: float
    discrimination: float
    full: float
    nothing: float
    checks: dict[str, float]


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return the Pearson correlation of two arrays (N,); NaN where one does not vary."""
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def analyse(results: list[Result], assignment: Assignment) -> tuple[np.ndarray, list[Item]]:
    """Return the totals (N,) of all who handed in something that could be graded, and each question's item.

    Raises:
        ValueError: if nobody did.
    """
    graded = [r for r in results if r.cases]
    if not graded:
        raise ValueError("results must hold at least one graded submission, got none")
    names = [q for q in assignment.tests if assignment.questions[q]["points"] > 0]
    marks = np.array([[r.points(q) for q in names] for r in graded])
    totals = marks.sum(axis=1)
    items = []
    for i, question in enumerate(names):
        points, own = float(assignment.questions[question]["points"]), marks[:, i]
        checks: dict[str, list[bool]] = {}
        for case in (c for r in graded for c in r.cases if c.question == question):
            kind = "hidden" if case.hidden else "visible"
            checks.setdefault(f"{kind}: {case.label or f'number {case.number + 1}'}", []).append(case.passed)
        items.append(
            Item(
                question,
                points,
                float(own.mean() / points),
                correlation(own, totals - own),
                float((own >= points).mean()),
                float((own == 0).mean()),
                {label: float(np.mean(passed)) for label, passed in checks.items()},
            )
        )
    return totals, items


def histogram(totals: np.ndarray, best: float) -> str:
    """Return a picture of the totals (N,), of ``best`` points, as SVG."""
    counts, edges = np.histogram(totals, bins=MANY, range=(0, best))
    tall, wide, high = max(int(counts.max()), 1), 56, 160
    bars = []
    for i, (count, low, up) in enumerate(zip(counts, edges, edges[1:])):
        size = high * int(count) / tall
        place = f'x="{i * wide + 4}" y="{high - size + 20:.1f}" width="{wide - 8}" height="{size:.1f}"'
        middle = f'x="{(i + 0.5) * wide}" text-anchor="middle"'
        bars.append(
            f'<rect {place} fill="#31688e"/>'
            f'<text {middle} y="{high - size + 15:.1f}">{count}</text>'
            f'<text {middle} y="{high + 36}">{low:.3g}–{up:.3g}</text>'
        )
    said = f"Histogram of {len(totals)} totals: mean {totals.mean():.1f}, median {np.median(totals):.1f} of {best:g}"
    box = f'viewBox="0 0 {MANY * wide} {high + 44}" width="100%"'
    return f'<svg role="img" aria-label="{said}" {box}>{"".join(bars)}</svg>'


def remark(item: Item) -> str:
    """Return what a question's numbers ask the instructor to look at."""
    if item.discrimination < 0:
        return "those who did well elsewhere did worse here: read the tests"
    if item.difficulty < 0.3:
        return "few could do it"
    if item.full > 0.95:
        return "told nobody apart"
    return ""


def page(results: list[Result], assignment: Assignment) -> str:
    """Return the page as HTML that needs nothing else."""
    totals, items = analyse(results, assignment)
    best = sum(item.points for item in items)
    cell = lambda text: f"<td>{html.escape(text)}</td>"
    shown = lambda x: "–" if np.isnan(x) else f"{x:.2f}"
    rows, checks = [], []
    for item in items:
        numbers = [f"{item.points:g}", shown(item.difficulty), shown(item.discrimination)]
        shares = [f"{item.full:.0%}", f"{item.nothing:.0%}"]
        said = f'<td class="flag">{html.escape(remark(item))}</td>'
        rows.append(f"<tr>{cell(item.question)}{''.join(map(cell, [*numbers, *shares]))}{said}</tr>")
        checks += [f"<tr>{cell(item.question)}{cell(k)}{cell(f'{v:.0%}')}</tr>" for k, v in item.checks.items()]
    name = html.escape(assignment.name)
    spread = f"mean {totals.mean():.1f}, median {np.median(totals):.1f}, standard deviation {totals.std():.1f}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}: the class</title><style>{STYLE}</style>'
        f"<h1>{name}: the class</h1><p>{len(totals)} submissions graded; automatic marks of {best:g}: {spread}.</p>"
        f"{histogram(totals, best)}<table><caption>Questions. Difficulty: mean share of the points. Discrimination: "
        "correlation with the marks of all other questions.</caption><tr><th>question</th><th>points</th>"
        "<th>difficulty</th><th>discrimination</th><th>all points</th><th>none</th><th></th></tr>"
        f"{''.join(rows)}</table><table><caption>Checks</caption><tr><th>question</th><th>check</th><th>passed</th></tr>"
        f"{''.join(checks)}</table></html>\n"
    )


def read_results(folder: Path) -> list[Result]:
    """Return the results stored in a folder."""
    return [Result.read(path) for path in sorted(folder.glob("*.json"))]
