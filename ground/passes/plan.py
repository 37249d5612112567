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
        free = [(math.ceil(one.rise.timestamp()), math.floor(one.set.timestamp()))]
        for start, end, _ in taken:
            free = [part for whole in free for part in _without(whole, start, end)]
        shortest = min(SHORTEST_S, max(1, int(one.seconds)))
        taken += [(start, end, one.station) for start, end in free if end - start >= shortest]
    return [Contact(name, _window(start, end, rates[name], efficiency)) for start, end, name in sorted(taken)]


def _without(whole: tuple[int, int], start: int, end: int) -> list[tuple[int, int]]:
    """What an interval has outside another one."""
    first, last = whole
    return [(a, b) for a, b in ((first, min(last, start)), (max(first, end), last)) if b > a]


def _window(start: int, end: int, rate: int, efficiency: float) -> PassWindow:
    return PassWindow(start, end - start, max(1, int((end - start) * rate / 8 * efficiency)), rate)


def plan_of(found: Sequence[Contact], issued: int) -> Plan:
    """The plan that goes up: as many of the next windows as one packet holds."""
    return Plan(issued, tuple(contact.window for contact in found[:MAX_WINDOWS]))
