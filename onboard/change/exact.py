"""Arithmetic that gives the same bits on every processor, at the speed of a BLAS. Pure arrays.

A sum in floating point depends on the order of its terms and on fused multiply-adds, and every processor's BLAS has its
own. Where no term and no partial sum is ever rounded, neither matters: the inputs of the score are 8-bit numbers (or
quarters of them), so weights of a limited number of bits are enough.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

F32 = NDArray[np.float32]

MANTISSA_BITS = 24
"""Of a float32, the implied one included."""


def exact_weights(weights: ArrayLike, input_bits: int) -> F32:
    """Weights rounded so that float32 products with small whole numbers are summed without any rounding.

    Each row is rounded to multiples of a power of two such that no sum of it exceeds 24 bits of them. With 8-bit inputs
    and weights of a row that sum to 1 in absolute value a weight is off by at most 2^-17.

    Args:
        weights: (rows, terms).
        input_bits: bits of the inputs' absolute values as whole numbers (8 for uint8; 10 for quarters of it, in which
            case the grid is that of the weights times 1/4).

    Returns:
        float32 (rows, terms).
    """
    w = np.asarray(weights, dtype=np.float64)
    # one bit of room, for rounding may make the sum greater
    _, exponent = np.frexp(np.abs(w).sum(axis=-1, keepdims=True))
    step = np.ldexp(1.0, exponent + input_bits + 1 - MANTISSA_BITS)
    return np.asarray(np.rint(w / step) * step, dtype=np.float32)


def sum_of_squares(values: F32) -> F32:
    """Sum of squares over the first axis, term after term; `values` is overwritten."""
    return ordered_sum(np.multiply(values, values, out=values))


def ordered_sum(values: F32) -> F32:
    """Sum over the first axis, term after term, float32: a reduction over an outer axis knows no other order."""
    return np.asarray(np.add.reduce(values, axis=0, dtype=np.float32))
