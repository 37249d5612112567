"""Passes -> the contact plan: windows that do not overlap, with the bytes each of them carries. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ground.passes.predict import Pass
from onboard.downlink.link.orders import MAX_WINDOWS, PassWindow, Plan

SHORTEST_S = 30
"""What is left of a window beside a better one and is shorter than this is given up."""


@dataclass(frozen=True)
class Contact:
    """A window and the station it is with."""

    station: str
    window: PassWindow


def contacts(found: Sequence[Pass], rates: Mapping[str, int], efficiency: float) -> list[Contact]:
    """Windows by time; where two stations see the satellite at once, the one that carries more keeps its whole pass.

    Args:
        rates: bit/s by station.
        efficiency: share of the time that carries packets, 0..1.
    """
    taken: list[tuple[int, int, str]] = []
    for one in sorted(found, key=lambda p: (-p.seconds * rates[p.station], p.rise, p.station)):
        parts = [(math.ceil(one.rise.timestamp()), math.floor(one.set.timestamp()))]
        for start, end, _ in taken:
            parts = (
                [
                    piece
                    for first, last in parts
                    for piece in ((first, min(last, start)), (max(first, end), last))
                    if piece[1] > piece[0]
                ]
                if any(first < end and start < last for first, last in parts)
                else parts
            )
        shortest = min(SHORTEST_S, int(one.seconds))
        taken += [(first, last, one.station) for first, last in parts if last - first >= max(1, shortest)]
    return [
        Contact(
            name, PassWindow(start, end - start, max(1, int((end - start) * rates[name] / 8 * efficiency)), rates[name])
        )
        for start, end, name in sorted(taken)
    ]


def plan_of(found: Sequence[Contact], issued: int) -> Plan:
    """The plan that goes up: as many of the next windows as one packet holds."""
    return Plan(issued, tuple(contact.window for contact in found[:MAX_WINDOWS]))
