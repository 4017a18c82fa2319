"""What differs from course to course in assignment 1: the number of vectors in question 2."""

import random


def draw(rng: random.Random) -> dict[str, int]:
    """Return the parameters, by name."""
    classes = rng.randrange(7, 16)
    return {"CLASSES": classes, "PAIRS": classes * (classes - 1)}
