"""What the tests of the problem on spheres share: random problems, tangent vectors, an inner product."""

import math

import torch
from hypothesis import settings
from hypothesis import strategies as st

from ncbook.sphere import SphericalUFM, project

ROUND_OFF = 1e-12  # a few hundred operations on numbers of order 1 to 10, in float64

problems = st.builds(
    SphericalUFM,
    num_classes=st.integers(2, 5),
    samples_per_class=st.integers(1, 3),
    feature_dim=st.integers(2, 6),
    temperature=st.floats(0.1, 12),
)
seeds = st.integers(0, 10_000)
few = settings(max_examples=40, deadline=None)


def tangent(problem, W, H, seed):
    """A random tangent vector of unit length."""
    g = torch.Generator().manual_seed(seed)
    vectors = [project(x, torch.randn(x.shape, generator=g, dtype=torch.float64)) for x in (W, H)]
    length = math.hypot(*(float(v.norm()) for v in vectors))
    return tuple(v / length for v in vectors)


def inner(a, b):
    return float(sum((x * y).sum() for x, y in zip(a, b)))
