"""Super-class saddles are critical and not minimal; descent leaves them at the predicted rate."""

import itertools
import math

import pytest
import torch

from ncbook.ufm import UFM, block_eigenvalue, certificate, descend, smallest_curvature, superclass_saddle


def partitions(items):
    """All partitions of a list into groups."""
    if not items:
        return [[]]
    head, rest = items[0], items[1:]
    result = []
    for size in range(len(rest) + 1):
        for mates in itertools.combinations(rest, size):
            left = [x for x in rest if x not in mates]
            result += [[[head, *mates], *p] for p in partitions(left)]
    return result


@pytest.mark.parametrize("bias_decay", [0.0, 1e-2])
def test_every_grouping_gives_a_critical_point_that_is_no_minimum(bias_decay):
    problem = UFM(4, 3, 5, 5e-3, 1e-3, bias_decay)
    groupings = [p for p in partitions([0, 1, 2, 3]) if len(p) < 4]
    assert len(groupings) == 14
    for groups in groupings:
        W, H, b = superclass_saddle(problem, groups)
        assert max(float(g.abs().max()) for g in problem.gradient(W, H, b)) < 1e-10
        for group in groups:  # classes of a group are told apart in no way
            assert all(torch.equal(W[group[0]], W[k]) for k in group)
        assert int(torch.linalg.matrix_rank(W, atol=1e-6)) == len(groups) - 1
        assert problem.objective(W, H, b) > problem.optimum().value + 1e-3
        assert smallest_curvature(problem, W, H, b)[0] < -1e-3
        assert not certificate(problem, W, H, b).is_global


@pytest.mark.parametrize(
    "problem, groups",
    [
        (UFM(30, 2, 40, 1e-4, 1e-4), [list(range(15)), list(range(15, 22)), *[[k] for k in range(22, 30)]]),
        (UFM(3, 2, 4, 1e-9, 1e-3), [[0, 1], [2]]),
        (UFM(6, 4, 5, 1e-3, 1e-5, 1.0), [[0, 1, 2], [3, 4], [5]]),
        (UFM(6, 2, 2, 1e-3, 1e-3), [[0, 1], [2, 3], [4, 5]]),
    ],
)
def test_superclass_saddle_is_critical_for_large_lopsided_and_flat_problems(problem, groups):
    point = superclass_saddle(problem, groups)
    assert max(float(g.abs().max()) for g in problem.gradient(*point)) < 1e-10


def test_one_group_of_all_is_the_origin():
    W, H, b = superclass_saddle(UFM(3, 2, 4, 1e-3, 1e-3), [[0, 1, 2]])
    assert not W.any() and not H.any() and not b.any()


@pytest.mark.parametrize(
    "groups, message",
    [
        ([[0, 1]], "must split"),
        ([[0, 1], [1, 2]], "must split"),
        ([[0, 1, 2], []], "must split"),
        ([[0, 1], [3]], "must split"),
        ([[0], [1], [2]], "at least two classes"),
        ([[0, 1.5], [2]], "groups must be an integer"),
        ([[0, -1], [2]], "groups must be an integer"),
    ],
)
def test_groups_that_give_no_saddle_are_refused(groups, message):
    with pytest.raises(ValueError, match=message):
        superclass_saddle(UFM(3, 2, 4, 1e-3, 1e-3), groups)


def test_superclass_saddle_needs_a_problem_with_saddles():
    with pytest.raises(ValueError, match="the origin is the minimum"):
        superclass_saddle(UFM(3, 1, 4, 1.0, 1.0), [[0, 1], [2]])
    with pytest.raises(ValueError, match="weight_decay"):
        superclass_saddle(UFM(3, 1, 4, 0.0, 1.0), [[0, 1], [2]])
    with pytest.raises(ValueError, match="seed"):
        superclass_saddle(UFM(3, 1, 4, 1e-3, 1e-3), [[0, 1], [2]], seed=-1)


def test_descent_from_exactly_the_origin_stays():
    problem = UFM(3, 1, 4, 5e-3, 5e-3)
    run = descend(problem, superclass_saddle(problem, [[0, 1, 2]]), step_size=0.5, steps=500)
    assert float(run.distances.max()) < 1e-12


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_descent_beside_a_saddle_leaves_at_the_predicted_rate(momentum):
    problem = UFM(4, 2, 5, 5e-3, 2e-3)
    saddle = superclass_saddle(problem, [[0, 1], [2, 3]])
    rate, direction = smallest_curvature(problem, *saddle)
    start = tuple(x + 1e-8 * d for x, d in zip(saddle, direction))
    eta = 0.5
    run = descend(problem, start, step_size=eta, steps=250, momentum=momentum, origin=saddle)
    window = (run.distances > 1e-6) & (run.distances < 1e-2)
    steps = window.nonzero()[:, 0]
    measured = (run.distances[steps[-1]] / run.distances[steps[0]]) ** (1 / float(steps[-1] - steps[0]))
    # One step multiplies by the larger root of x^2 - (1 + momentum + eta |lambda|) x + momentum.
    half = (1 + momentum + eta * abs(rate)) / 2
    # 1e-3: up to a distance of 1e-2 the objective is quadratic to about that accuracy.
    assert float(measured) == pytest.approx(half + math.sqrt(half**2 - momentum), rel=1e-3)
    assert rate == pytest.approx(block_eigenvalue(problem, math.sqrt(2) / 8), abs=1e-9)


def test_descent_ends_at_the_global_minimum():
    problem = UFM(3, 2, 4, 2e-2, 2e-2)
    run = descend(problem, problem.random_point(0), step_size=1.0, steps=3000, record=100)
    assert certificate(problem, *run.point).is_global
    assert len(run.path) == 31 and len(run.values) == 3001
    assert all(torch.equal(x, y) for x, y in zip(run.path[-1], run.point))
    assert run.values[-1] == pytest.approx(problem.optimum().value, abs=1e-8)


def test_noise_is_reproducible_and_moves_off_the_origin():
    problem = UFM(3, 2, 4, 5e-3, 5e-3)
    origin = superclass_saddle(problem, [[0, 1, 2]])
    runs = [descend(problem, origin, step_size=0.5, steps=300, noise=1e-3, seed=s) for s in (0, 0, 1)]
    assert torch.equal(runs[0].distances, runs[1].distances)
    assert not torch.equal(runs[0].distances, runs[2].distances)
    assert float(runs[0].distances[-1]) > 0.1


@pytest.mark.parametrize(
    "options", [{"step_size": 0.0}, {"steps": 0}, {"momentum": 1.0}, {"noise": -1.0}, {"seed": -1}, {"record": 0}]
)
def test_bad_options_of_descent_are_refused(options):
    problem = UFM(3, 2, 4, 5e-3, 5e-3)
    with pytest.raises(ValueError, match=next(iter(options))):
        descend(problem, problem.random_point(), **({"step_size": 0.1, "steps": 3} | options))
