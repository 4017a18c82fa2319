"""Try an assignment's checks on wrong answers, before anybody hands them in: none may earn a mark.

    python -m assignments.mutants hw1        after a release; `assignments.release` does it by itself

Three kinds of answers are tried. Those of `assignments.mutations` fit no assignment: constants, empties, wrong shapes,
complex numbers, broadcasting tricks, an argument not looked at. Visible examples written down are made here. Typical
wrong answers to a question stand beside its master in ``wrong.py``: ``WRONG = {name: (question, code, marks lost)}``.
Where a mutant must live, ``SURVIVES = {(question, mutant): reason}`` in that file says why.

Hidden checks run here as in the grader, and hear and say the same plain values, but in this process: seconds in all.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import inspect
import io
import json
import os
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import torch
from IPython.core.inputtransformer2 import TransformerManager
from otter.test_files.exception_test import ExceptionTestFile

from assignments.grading.child import Answers, stub_otter
from assignments.grading.meter import Meter
from assignments.grading.proxy import MODULES
from assignments.grading.submission import Assignment, Case, run_case
from assignments.grading.wire import encode
from assignments.mutations import CONSTANTS, Answer, blind, mutations
from assignments.parameters import filled

LONGEST = 20.0  # seconds for one check of one mutant


class Loop:
    """A channel whose other end answers at once, in this process."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.answers = Answers(names, self)  # type: ignore[arg-type]
        self.reply: tuple[Any, list[bytes]] = (None, [])

    def send(self, head: Any, buffers: list[bytes] | None = None, seconds: float | None = None) -> None:
        out: list[bytes] = []
        try:
            found = self.answers.find(json.loads(json.dumps(head)), buffers or [])
            said = {"value": encode(found, out, self.answers.keep)}
        except Exception as error:
            said = {"error": type(error).__name__[:80]}
        self.reply = json.loads(json.dumps(said)), out

    def receive(self, over: Any = None) -> tuple[Any, list[bytes]]:
        return self.reply

    def close(self) -> None:
        pass


class Here:
    """In the place of a sandbox: the names of a notebook that has run in this process."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names
        self.meter = Meter(os.getpid())

    def open_test(self) -> Loop:
        return Loop(self.names)


@dataclasses.dataclass(frozen=True)
class Survivor:
    """A wrong answer and the checks that let it pass.

    Attributes:
        question: asked.
        mutant: what was answered.
        checks: the names of the checks, or for a wrong answer of ``wrong.py`` what it lost and should have.
    """

    question: str
    mutant: str
    checks: str

    def __str__(self) -> str:
        return f"{self.question}: {self.mutant}: {self.checks}"


def tables(beside: Path) -> tuple[dict[str, tuple[str, str, float]], dict[tuple[str, str], str]]:
    """Return ``WRONG`` and ``SURVIVES`` of a master's folder; both empty where it has no ``wrong.py``."""
    path = beside / "wrong.py"
    found = runpy.run_path(str(path)) if path.exists() else {}
    return found.get("WRONG", {}), found.get("SURVIVES", {})


def run_reference(notebook: Path) -> dict[str, Any]:
    """Run the code cells of an assignment's own solution; return its names."""
    names: dict[str, Any] = {"__name__": "__main__"}
    real = sys.modules["otter"]
    stub_otter()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            for cell in nbformat.read(notebook, as_version=4).cells:
                if cell.cell_type == "code":
                    exec(compile(TransformerManager().transform_cell(cell.source), str(notebook), "exec"), names)
    finally:
        sys.modules["otter"] = real
    return names


class Memory:
    """A student's right function, which computes each answer once, and what was asked of it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.known: dict[str, Any] = {}
        self.example: tuple[Any, ...] = ()

    def key(self, args: tuple[Any, ...]) -> str:
        out: list[bytes] = []
        return json.dumps([encode(args, out, id), [x.hex() for x in out]])

    def __call__(self, *args: Any) -> Any:
        self.example = self.example or args
        key = self.key(args)
        if key not in self.known:
            self.known[key] = self.function(*args)
        return self.known[key]


def same(a: Any, b: Any) -> bool:
    """Whether two answers are the same up to round-off."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and bool(torch.allclose(a, b, rtol=1e-12, equal_nan=True))
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return a == b or abs(a - b) <= 1e-12 * abs(a) or (a != a and b != b)
    return a is b or bool(a == b)


def equal(a: Any, b: Any) -> bool:
    """Whether two values are one number, however it is written."""
    number = (bool, int, float, torch.Tensor)
    single = lambda x: isinstance(x, number) and (not isinstance(x, torch.Tensor) or x.numel() == 1)
    return single(a) and single(b) and float(a) == float(b)


class Suite:
    """An assignment's checks, its right answers, and the mutants of them.

    Args:
        released: the folder that the release wrote.
        beside: the master's folder, where ``wrong.py`` may be.
    """

    def __init__(self, released: Path, beside: Path) -> None:
        whole = Assignment.read(released / "autograder")
        shorter = dataclasses.replace(whole.limits, question=LONGEST, call=LONGEST)
        self.assignment = dataclasses.replace(whole, limits=shorter)
        self.names = run_reference(released / "autograder" / f"{whole.name}.ipynb")
        self.tests = {q: ExceptionTestFile.from_string(text, q) for q, text in whole.tests.items()}
        values = json.loads((released / "autograder" / "grading.json").read_text()).get("parameters", {})
        wrong, self.reasons = tables(beside)
        self.wrong = {name: (question, filled(code, values), lost) for name, (question, code, lost) in wrong.items()}

    def case(self, question: str, number: int, names: dict[str, Any]) -> Case:
        """Run one check on a notebook's names, and leave torch's own random numbers as they were."""
        state = torch.random.get_rng_state()
        try:
            return run_case(self.tests[question], number, Here(names), self.assignment.limits, set())  # type: ignore[arg-type]
        finally:
            torch.random.set_rng_state(state)

    def cases(self, question: str, names: dict[str, Any], *, hidden: bool | None = None) -> list[Case]:
        """Run a question's checks, or only the hidden or visible ones."""
        every = enumerate(self.tests[question].test_cases)
        return [self.case(question, i, names) for i, c in every if hidden is None or c.hidden == hidden]

    def answers(self, question: str) -> list[str]:
        """Return the student's names that a question's checks ask for."""
        asked = [list(inspect.signature(c.body.test_func).parameters) for c in self.tests[question].test_cases]
        names = dict.fromkeys(name for names in asked for name in names)
        return [n for n in names if n not in MODULES and n in self.names]

    def wrong_answers(self) -> Iterator[Survivor]:
        """Try those of ``wrong.py``; each must lose exactly its marks."""
        for name, (question, code, lost) in self.wrong.items():
            before = dict(self.names)
            try:
                exec(code, self.names)
                cases = self.cases(question, self.names)
            finally:
                self.names.clear()
                self.names.update(before)
            found = self.assignment.questions[question]["points"] - sum(c.points for c in cases if c.passed)
            if found != lost:
                yield Survivor(question, name, f"lost {found:g}, must lose {lost:g}")

    def generated(self, question: str) -> Iterator[Survivor]:
        """Try every generated mutant of a question's answers, all of them changed at once."""
        names = self.answers(question)
        right = {n: Memory(self.names[n]) for n in names if callable(self.names[n])}
        values = {n: self.names[n] for n in names if n not in right}
        self.cases(question, self.names | right, hidden=False)  # first: their calls are the examples
        shown = {n: dict(memory.known) for n, memory in right.items()}
        examples = {n: memory.example for n, memory in right.items()}
        self.cases(question, self.names | right, hidden=True)
        most = max((len(inspect.signature(m.function).parameters) for m in right.values()), default=0)
        for mutant, change in mutations(most).items():
            yield from self._try(question, mutant, right, values, change)
        if shown:
            yield from self._examples(question, right, shown)
        for name, memory in right.items():
            for mutant, function in blind(memory.function, examples[name]).items():
                hidden = [i for i, c in enumerate(self.tests[question].test_cases) if c.hidden]
                if all(self.case(question, i, self.names | {name: function}).passed for i in hidden):
                    yield Survivor(question, f"{name} {mutant}", "all hidden checks")

    def _try(
        self, question: str, mutant: str, right: dict[str, Memory], values: dict[str, Any], change: Answer
    ) -> Iterator[Survivor]:
        """Try one mutant; a check in which it happened to answer right says nothing."""
        differs: list[bool] = []

        def changed(memory: Memory) -> Callable[..., Any]:
            def function(*args: Any) -> Any:
                good = memory(*args)
                answer = change(good, args)
                differs.append(not same(good, answer))
                return answer

            return function

        constants = {f"always {name}": c for name, c in CONSTANTS.items()}
        wrong = {n: constants[mutant] for n, v in values.items() if mutant in constants}
        wrong = {n: c for n, c in wrong.items() if not equal(c, values[n])}
        names = self.names | {n: changed(memory) for n, memory in right.items()} | wrong
        for number, case in enumerate(self.tests[question].test_cases):
            if case.hidden and case.points:
                differs.clear()
                asked = inspect.signature(case.body.test_func).parameters
                passed = self.case(question, number, names).passed
                if passed and (any(differs) or any(n in wrong for n in asked)):
                    yield Survivor(question, mutant, case.body.test_func.__name__)

    def _examples(
        self, question: str, right: dict[str, Memory], shown: dict[str, dict[str, Any]]
    ) -> Iterator[Survivor]:
        """Try the visible examples written down: what was asked there is answered right, all else by one of these."""

        def written(memory: Memory, table: dict[str, Any]) -> Callable[..., Any]:
            last = next(reversed(table.values()), None)
            return lambda *args: table.get(memory.key(args), last)

        nothing = dict.fromkeys(n for n in self.answers(question) if n not in right)
        names = self.names | nothing | {n: written(memory, shown[n]) for n, memory in right.items()}
        cases = self.cases(question, names)
        if earned := [c for c in cases if c.passed and c.points]:
            yield Survivor(question, "the visible examples, written down", ", ".join(c.label for c in earned))

    def run(self) -> list[Survivor]:
        """Return the mutants that live without a reason, and reasons that are not needed (any more)."""
        found = list(self.wrong_answers())
        for question in self.tests:
            found += self.generated(question)
        alive = {(s.question, s.mutant) for s in found}
        idle = [Survivor(*key, "has a reason to live, and does not") for key in self.reasons if key not in alive]
        return [s for s in found if (s.question, s.mutant) not in self.reasons] + idle


def main() -> None:
    from assignments.release import OUT, masters

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--released", type=Path, help="the folder that the release wrote")
    parser.add_argument("--beside", type=Path, help="the master's folder")
    args = parser.parse_args()
    torch.set_num_threads(1)
    suite = Suite(args.released or OUT / args.name, args.beside or masters()[args.name].parent)
    found = suite.run()
    for survivor in found:
        print(survivor)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
