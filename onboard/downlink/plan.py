"""What a pass sends, in which order: value per byte, fresh before old, no scene forgotten. Pure.

    worth of a product = value of its cells (probability of change x area x priority, when it was chosen)
                         x what its rung brings (`ladder`) x 2^(-age / half-life)

What an operator asked for is above all worth, by the priority of the query, and does not expire. Age counts from the
newest pass in the queue: no clock on board has to be right. Products are taken greedily by worth per byte that is still
to be sent; a scene that has had bytes of this pass is discounted, by half when it has had an equal share. The last
product is cut where the pass ends, and goes on in the next one: none of its bytes are lost, and what is worth more need
not wait for what is small. Planned anew at each pass from what the ground has not confirmed.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

DAY_S = 86_400.0


class Offer(NamedTuple):
    """A product that waits.

    Attributes:
        key: its name, unique.
        worth: value x what its rung brings, 0 or more.
        left: bytes that are still to be sent, 1 or more.
        scene: what fairness is between.
        time: of sensing.
        priority: what is of a greater one goes first, whatever it is worth.
    """

    key: str
    worth: float
    left: int
    scene: int
    time: datetime
    priority: int = 0


@dataclass(frozen=True)
class PlanSettings:
    """How the planner weighs.

    Attributes:
        half_life_days: age at which a product is worth half.
        expiry_days: age from which it is not sent any more unless it was asked for; infinite: never.
        fair: whether scenes share a pass.
    """

    half_life_days: float = 30.0
    expiry_days: float = math.inf
    fair: bool = True


@dataclass(frozen=True)
class Plan:
    """What a pass sends.

    Attributes:
        order: keys, first to be sent first.
        worth: of what fits whole.
        bound: no choice that fits whole can be worth more (the linear relaxation's optimum).
        filler: key of the last one, where the pass will cut it; else None.
    """

    order: tuple[str, ...]
    worth: float
    bound: float
    filler: str | None


def plan(offers: Sequence[Offer], budget_bytes: int, settings: PlanSettings | None = None) -> Plan:
    """Choose and order what goes down in a pass of `budget_bytes`.

    Without fairness, and where all have the same priority, the order is that of the linear relaxation (Dantzig 1957):
    what fits whole and the filler are together worth at least as much as any choice that fits.
    """
    rule = settings or PlanSettings()
    fresh = _fresh(offers, rule)
    order = _greedy(fresh, budget_bytes, rule.fair)
    cut = sum(one.left for one in order) > budget_bytes
    return Plan(
        order=tuple(one.key for one in order),
        worth=sum(one.worth for one in (order[:-1] if cut else order)),
        bound=bound(fresh, budget_bytes),
        filler=order[-1].key if cut else None,
    )


def bound(offers: Sequence[Offer], budget_bytes: int) -> float:
    """The most that any choice within the budget can be worth, were products divisible."""
    total, room = 0.0, budget_bytes
    for one in sorted(offers, key=_density, reverse=True):
        taken = min(one.left, room)
        total, room = total + one.worth * taken / one.left, room - taken
    return total


def _fresh(offers: Sequence[Offer], rule: PlanSettings) -> list[Offer]:
    """What has not expired, its worth by its age."""
    newest = max((one.time for one in offers), default=datetime.min)
    found = []
    for one in offers:
        age = (newest - one.time).total_seconds() / DAY_S
        if one.priority or age <= rule.expiry_days:
            found.append(one._replace(worth=one.worth * 0.5 ** (age / rule.half_life_days)))
    return found


def _greedy(offers: Sequence[Offer], room: int, fair: bool) -> list[Offer]:
    """What fits, in the order of sending, and the first that does not fit whole."""
    queues: dict[int, list[Offer]] = {}
    for one in sorted(offers, key=_rank, reverse=True):  # stable: what was first stays first among equals
        queues.setdefault(one.scene, []).append(one)
    share = max(room, 1) / max(len(queues), 1)
    given = dict.fromkeys(queues, 0)
    heap = [(-queue[0].priority, -_density(queue[0]), scene, 0) for scene, queue in queues.items()]
    heapq.heapify(heap)
    chosen: list[Offer] = []
    while heap and room > 0:
        _, _, scene, place = heapq.heappop(heap)
        one = queues[scene][place]
        chosen.append(one)
        room -= one.left
        given[scene] += one.left
        if place + 1 < len(queues[scene]):
            discount = 1 + given[scene] / share if fair else 1.0
            following = queues[scene][place + 1]
            heapq.heappush(heap, (-following.priority, -_density(following) / discount, scene, place + 1))
    return chosen


def _rank(one: Offer) -> tuple[int, float]:
    return one.priority, _density(one)


def _density(one: Offer) -> float:
    return one.worth / one.left
