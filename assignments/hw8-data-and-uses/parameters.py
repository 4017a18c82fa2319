"""What differs from course to course in assignment 8, and the value that a visible check compares with."""

import math
import random


def draw(rng: random.Random) -> dict[str, int | float]:
    """Return the parameters, by name."""
    slope = rng.choice([0.1, 0.15, 0.2, 0.25, 0.3])
    linear = 2 * slope / (1 + slope**2)  # the share of the identity in the leaky layer's kernel
    return {
        "SHARE": rng.choice([3, 4, 5, 6]),
        "SLOPE": slope,
        "RIGHT": round(6 * (1 - linear) / math.pi, 6),  # rows of length 2 and 3 at a right angle
        "TIMES": rng.randrange(20, 90),
        "OLD": rng.choice([4, 5, 6, 7]),
        "MOMENTUM": rng.choice([0.7, 0.8, 0.85, 0.95]),
        "STEP": rng.choice([0.01, 0.004, 0.0025, 0.001]),
        "REST": rng.choice([100, 1000, 10_000]),
    }
