"""What differs from course to course in assignment 4: the origin of question 2, the slowdown of question 10."""

import random


def draw(rng: random.Random) -> dict[str, int]:
    """Return the parameters, by name."""
    origin = {
        "CLASSES": rng.choice([4, 5, 6, 8]),
        "SAMPLES": rng.choice([5, 10, 20, 25]),
        "DIMENSION": rng.choice([8, 9, 11]),
    }
    return origin | {"DEPTH": rng.choice([4, 5]), "SMALLER": rng.choice([5, 10, 20])}
