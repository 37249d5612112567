"""Quality layers of Sentinel-2 products: which of their classes may be looked at.

Sources: Sentinel-2 Products Specification Document S2-PDGS-TAS-DI-PSD, Scene Classification (SCL) and MSK_CLASSI.
"""

from __future__ import annotations

SCL_CLASSES = 12
SCL_UNUSABLE = {
    0: "no data",
    1: "saturated or defective",
    3: "cloud shadow",
    8: "cloud, medium probability",
    9: "cloud, high probability",
    10: "thin cirrus",
}
"""Left out of every comparison. Kept: 2 dark or topographic shadow (stays where it is from pass to pass), 4 vegetation,
5 bare, 6 water, 7 unclassified (often just a change!), 11 snow (a change of the surface)."""

SCL_USABLE = tuple(value not in SCL_UNUSABLE for value in range(SCL_CLASSES))

CLASSI_CLOUD_BANDS = (1, 2)
"""Bands of MSK_CLASSI_B00: 1 opaque cloud, 2 cirrus, 3 snow or ice (which is surface)."""

CLASSI_USABLE = (True,)
"""0: not of this class. Anything else is."""
