"""The rungs of the ladder: in which forms something goes down, and what each of them is worth."""

from __future__ import annotations

from enum import IntEnum


class Rung(IntEnum):
    """What a product holds; the numbers are those of the file format."""

    EVENT = 1
    """The cells of a pass that most probably changed, with their probabilities."""
    SCORES = 2
    """The probability of every cell of a pass."""
    THUMBNAIL = 3
    """A pass at one pixel a cell, in three bands."""
    LOSSY = 4
    """A region of changed cells in all bands, at 40 dB or better (`lossy`)."""
    LOSSLESS = 5
    """One cell in all bands, to the bit."""
    ENHANCED = 6
    """A region of changed cells at twice the resolution: an estimate by the model that its text names (`enhanced`)."""


WORTH = {Rung.EVENT: 0.1, Rung.SCORES: 0.1, Rung.THUMBNAIL: 0.1, Rung.LOSSY: 1.0, Rung.LOSSLESS: 0.01,
         Rung.ENHANCED: 0.001}  # fmt: skip
"""How much of the value of its cells a rung brings. What the lossless chip adds to a lossy one of 40 dB is the last
hundredth of the reflectance; the first three tell where something is, and not what. An estimate adds nothing that was
measured: it comes last."""

CHIPS = (Rung.LOSSY, Rung.LOSSLESS)
"""Rungs in which a cell counts as delivered."""
