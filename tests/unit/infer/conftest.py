"""Tiles on the integer input's scale."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def tiles():
    """uint8 (37, 10, 32, 32): smooth enough to be like a scene, and no multiple of any batch."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 216, (37, 10, 8, 8)).repeat(4, 2).repeat(4, 3)
    return (coarse + rng.integers(-15, 16, (37, 10, 32, 32))).astype(np.uint8)
