"""What differs from course to course in assignment 7, and the values that visible checks compare with."""

import math
import random


def two_classes(share: int) -> float:
    """Return the least objective of two opposite classes, one sample each, two factors, decays of 0.1."""
    wrong = 2 * 0.1 / share  # the probability of the wrong class, where loss and price balance
    return -math.log(1 - wrong) + wrong * math.log(1 / wrong - 1)


def least(size: int, classes: int, price: float) -> float:
    """Return the least value of a block's convex function, by ternary search."""

    def value(u: float) -> float:
        own = (size - 1) * math.exp(-size * u / (size - 1))
        return math.log1p(own + (classes - size) * math.exp(-u)) + classes * price * u

    low, high = 0.0, 60.0
    for _ in range(200):
        a, b = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, b) if value(a) < value(b) else (a, high)
    return value(low)


def tie(classes: int) -> float:
    """Return the price at which blocks of 2 + (K - 2) and 3 + (K - 3) classes cost the same, by bisection."""

    def lead(price: float) -> float:
        cost = [sum(m * least(m, classes, price) for m in sizes) for sizes in ((2, classes - 2), (3, classes - 3))]
        return cost[1] - cost[0]

    low, high = 0.02, 0.12
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if lead(middle) > 0 else (low, middle)
    return low


def draw(rng: random.Random) -> dict[str, int | float]:
    """Return the parameters, by name."""
    share, layers, classes = rng.choice([3, 4, 5, 6]), rng.choice([3, 4, 5]), rng.choice([6, 7])
    end = (layers / (2 * layers - 2)) * ((layers - 2) / (2 * layers - 2)) ** (1 - 2 / layers) / 2
    drop = (layers - 2) / (layers - 1)
    jump = (2 * drop ** (1 - 2 / layers) - drop ** (2 - 2 / layers)) / (2 * layers)
    return {
        "SHARE": share,
        "TWO": round(two_classes(share), 9),
        "FACTOR": rng.randrange(20, 90),
        "HEIGHT": rng.choice([2, 3, 4]),
        "CORNERS": rng.choice([5, 6, 7]),
        "RACERS": rng.choice([12, 20, 24]),
        "LAYERS": layers,
        "SAMPLES": rng.randrange(4, 10),
        "LATER": round(100 * (end / jump - 1)),
        "LENGTH": rng.choice([2, 3, 5]),
        "STUCK": classes,
        "REST": classes - 3,
        "TIE": tie(classes) * share / 2,
    }
