"""Assignment 1: its reference earns everything, its placeholders nothing, and each wrong answer what it deserves."""

from __future__ import annotations

from pathlib import Path

import pytest

from assignments.grading.trial import Trial

FIT = """
def train(inputs, labels, seed, decay={decay}, steps={steps}):
    draw = torch.Generator().manual_seed(seed)
    sizes = [inputs.shape[1], 32, 32, int(labels.max()) + 1]
    p = []
    for a, b in zip(sizes, sizes[1:]):
        p += [(2 / a) ** 0.5 * torch.randn(b, a, generator=draw, dtype=torch.float64), torch.zeros(b).double()]
    opt = torch.optim.Adam([q.requires_grad_() for q in p], lr=0.01)
    for _ in range(steps):
        h = torch.relu(torch.relu(inputs @ p[0].T + p[1]) @ p[2].T + p[3])
        loss = torch.nn.functional.cross_entropy(h @ p[4].T + p[5], labels) + decay * sum((q**2).sum() for q in p)
        opt.zero_grad()
        loss.backward()
        opt.step()
    return [q.detach() for q in p]
"""

# What a student might write: the question, the code, the marks lost by question.
WRONG: dict[str, tuple[str, str, dict[str, float]]] = {
    "inner products in place of cosines": ("q1", "def cosine_matrix(v): return v @ v.T", {"q1": 3}),
    "the visible example, written down": (
        "q1",
        "def cosine_matrix(v): return torch.tensor([[1, 0.8], [0.8, 1]], dtype=torch.float64)",
        {"q1": 2},
    ),
    "as many dimensions as classes": ("q2", "q2_dimension = 10", {"q2": 1}),
    "a step that is right only once": (
        "q3",
        "def grow(f):\n    a = torch.cat([f * 0.75**0.5, torch.full((len(f), 1), -0.5).double()], 1)\n"
        "    return torch.cat([a, torch.eye(f.shape[1] + 1).double()[-1:]])",
        {"q3": 2},
    ),
    "the distance, squared": (
        "q4",
        "def etf_distance(w):\n    K = len(w)\n    g = w @ w.T\n"
        "    return float(((g / g.norm() - (torch.eye(K).double() - 1 / K) / (K - 1) ** 0.5) ** 2).sum())",
        {"q4": 3},
    ),
    "the centre of all samples": (
        "q5",
        "_right = class_statistics\ndef class_statistics(h, y):\n    m, w, _ = _right(h, y)\n"
        "    c = m - h.mean(0)\n    return m, w, c.T @ c / len(m)",
        {"q5": 3},
    ),
    "one sample less in the average": (
        "q5",
        "_right = class_statistics\ndef class_statistics(h, y):\n    m, w, b = _right(h, y)\n"
        "    return m, w * len(h) / (len(h) - 1), b",
        {"q5": 3, "q6": 3},
    ),
    "an inverse that does not exist": (
        "q6",
        "def nc1(h, y):\n    m, w, b = class_statistics(h, y)\n"
        "    return float(torch.trace(w @ torch.linalg.inv(b)) / len(m))",
        {"q6": 3},
    ),
    "a trace not divided by the classes": (
        "q6",
        "def nc1(h, y):\n    m, w, b = class_statistics(h, y)\n"
        "    return float(torch.trace(w @ torch.linalg.pinv(b, hermitian=True)))",
        {"q6": 3},
    ),
    "a factor of two in the gradient": (
        "q7",
        "_right_gradient = gram_gradient\ndef gram_gradient(w): return 2 * _right_gradient(w)",
        {"q7": 3},
    ),
    "a gradient computed once": (
        "q8",
        "def descend(w, steps, rate):\n    K = len(w)\n"
        "    g = (w @ w.T - (K * torch.eye(K).double() - 1) / (K - 1)) @ w\n"
        "    for _ in range(steps): w = w - rate * g\n    return w",
        {"q8": 3},
    ),
    "no weight decay": ("q9", FIT.format(decay=0.0, steps=400), {"q9": 2}),
    "no training": ("q9", FIT.format(decay=0.0, steps=0), {"q9": 4}),
    "noise in every direction": (
        "q10",
        "def hide_variation(h, y):\n    m, w, _ = class_statistics(h, y)\n    return m[y] + 20 * (h - m[y])",
        {"q10": 3},
    ),
    "noise that moves the means": (
        "q10",
        "def hide_variation(h, y):\n    m, w, _ = class_statistics(h, y)\n"
        "    v = torch.linalg.svd(m - m.mean(0))[2][-1]\n"
        "    return h + 30 * h.norm() * torch.rand(len(h), 1, generator=torch.Generator().manual_seed(1)).double() * v",
        {"q10": 4},
    ),
}


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    return Trial.of("hw1", Path(tmp_path_factory.mktemp("hw1")))


def test_points_sum_to_forty(trial: Trial) -> None:
    assert sum(q["points"] for q in trial.assignment.questions.values()) == 40


def test_reference_earns_every_mark(trial: Trial) -> None:
    assert (trial.reference.lost, trial.reference.status) == ({}, "ok")


def test_untouched_earns_nothing_and_raises_nothing(trial: Trial) -> None:
    assert (trial.untouched.total, trial.untouched.errors, trial.untouched.status) == (0, {}, "ok")


def test_each_wrong_answer_loses_its_marks(trial: Trial) -> None:
    outcomes = trial.grade({name: (question, code, 0) for name, (question, code, _) in WRONG.items()})
    assert {name: o.lost for name, o in outcomes.items()} == {name: lost for name, (_, _, lost) in WRONG.items()}
