"""From what was earned to what counts: marks given by hand, and what is lost for being late."""

from __future__ import annotations

import csv
import dataclasses
import math
from datetime import datetime, timedelta
from pathlib import Path

from assignments.grading import blind
from assignments.grading.platforms import Platform
from assignments.grading.results import Result
from assignments.grading.roster import Roster, Submission, clean, read_roster
from assignments.grading.submission import Assignment

MOODLE_TIME = "%A, %d %B %Y, %I:%M %p"


@dataclasses.dataclass(frozen=True)
class LatePolicy:
    """What late work loses: a share of the marks earned, for each day begun after the grace period.

    Attributes:
        due: the deadline.
        grace: minutes after it that cost nothing.
        per_day: per cent lost for each day begun.
        cap: the most that is lost, in per cent.
    """

    due: datetime
    grace: float = 15.0
    per_day: float = 10.0
    cap: float = 50.0

    def __post_init__(self) -> None:
        for name in ("grace", "per_day", "cap"):
            value = getattr(self, name)
            most = math.inf if name == "grace" else 100.0
            if not 0 <= value <= most:
                raise ValueError(f"late {name} must lie between 0 and {most:g}, got {value:g}")

    def days(self, when: datetime) -> int:
        """Return the days begun after deadline and grace; 0 is on time."""
        over = when - self.due - timedelta(minutes=self.grace)
        return max(0, math.ceil(over / timedelta(days=1)))

    def loss(self, days: int) -> float:
        """Return the per cent lost."""
        return min(self.cap, self.per_day * days)


@dataclasses.dataclass(frozen=True)
class Marks:
    """One student's marks.

    Attributes:
        questions: by question, of those graded so far.
        total: what counts: their sum, less what was lost for being late.
        days: days late; None where nobody knows by how much.
        loss: per cent lost.
        note: for the status.
    """

    questions: dict[str, float]
    total: float
    days: int | None = 0
    loss: float = 0.0
    note: str = ""


def read_hand(path: Path, assignment: Assignment, id_column: str = "") -> dict[str, dict[str, float]]:
    """Return marks given by hand from a table with a column of students, or of anonymous ids, and one a question.

    Raises:
        ValueError: for a column that is no question graded by hand, or a mark that is no number from 0 to its points.
    """
    table = read_roster(path, blind.ID if is_anonymous(path) else id_column)
    manual = {q: about["points"] for q, about in assignment.questions.items() if about["manual"]}
    if not (columns := [c for c in table.columns if c in manual]):
        raise ValueError(f"{path} must have a column of {', '.join(manual)}, got {', '.join(table.columns)}")
    if wrong := [c for c in table.columns if c in assignment.questions and c not in manual]:
        raise ValueError(f"{path} must hold questions graded by hand only, got {', '.join(wrong)}")
    found: dict[str, dict[str, float]] = {}
    for student, row in table.rows.items():
        for question in columns:
            text = row.get(question, "").replace(",", ".")
            if not text:
                continue
            try:
                mark = float(text)
            except ValueError:
                mark = math.nan
            if not 0 <= mark <= manual[question]:
                raise ValueError(f"{question} of {student} must be from 0 to {manual[question]:g}, got {text!r}")
            found.setdefault(student, {})[question] = mark
    return found


def is_anonymous(path: Path) -> bool:
    """Whether a table of marks names students by the ids of `assignments.grading.blind`."""
    return read_roster(path).columns[0] == blind.ID


def read_times(path: Path) -> dict[str, datetime]:
    """Return when students handed in, from a table with the columns ``student`` and ``submitted`` (ISO 8601).

    Raises:
        ValueError: for a time in another format.
    """
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    try:
        return {clean(row["student"]): _plain(datetime.fromisoformat(row["submitted"])) for row in rows}
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{path} must have columns student and submitted, as 2026-11-20T23:59: {error}") from error


def _plain(when: datetime) -> datetime:
    """Return a time in this machine's zone, without its zone."""
    return when.astimezone().replace(tzinfo=None) if when.tzinfo else when


def submitted(
    submission: Submission, roster: Roster | None, platform: Platform, times: dict[str, datetime]
) -> datetime | None:
    """Return when a student handed in, or None where nothing tells.

    A table of times wins; Moodle's worksheet tells; a file's own time tells only where no platform has packed it.
    """
    if submission.student in times:
        return times[submission.student]
    if platform.name == "moodle" and roster:
        text = roster.rows.get(submission.student, {}).get("Last modified (submission)", "")
        try:
            return datetime.strptime(text, MOODLE_TIME)
        except ValueError:
            return None
    if platform.name == "plain" and submission.path is not None:
        return datetime.fromtimestamp(submission.path.lstat().st_mtime)
    return None


def marks_of(
    result: Result,
    assignment: Assignment,
    hand: dict[str, dict[str, float]],
    policy: LatePolicy | None = None,
    when: datetime | None = None,
    late: bool = False,
) -> Marks:
    """Return what counts for one student.

    Args:
        result: of the automatic questions.
        assignment: whose questions.
        hand: marks given by hand, by student and question; empty where there are none yet.
        policy: what late work loses.
        when: when it was handed in, if known.
        late: whether the platform says that it was late.
    """
    questions = {q: result.points(q) for q, about in assignment.questions.items() if not about["manual"]}
    questions |= hand.get(result.student, {})
    earned, notes = sum(questions.values()), []
    waiting = [q for q in assignment.questions if q not in questions]
    if hand and waiting and result.file:
        notes.append(f"not yet marked by hand: {', '.join(waiting)}")
    days: int | None = policy.days(when) if policy and when else 0
    if late and not days:
        days = None
        notes.append("late, nobody knows by how much" if when is None else "late, says the platform")
    loss = policy.loss(days) if policy and days else 0.0
    if days:
        notes.append(f"late by {days} day{'s' if days > 1 else ''}: loses {loss:g} %")
    return Marks(questions, earned * (1 - loss / 100), days, loss, "; ".join(notes))
