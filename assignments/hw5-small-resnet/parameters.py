"""What differs from course to course in assignment 5: the number of orthonormal rows in question 10."""

import random


def draw(rng: random.Random) -> dict[str, int]:
    """Return the parameters, by name."""
    rows = rng.randrange(5, 11)
    return {"ROWS": rows, "OTHERS": rows - 1}
