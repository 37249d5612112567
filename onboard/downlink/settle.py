"""Codes what the queue holds for the ground: candidates that stayed are made JPEG 2000 in place, best first.

Runs once the stream has been looked at, from the store alone. Broken off anywhere, it continues at the next run; until
then a candidate stays the whole product it was.
"""

from __future__ import annotations

from onboard.downlink.product import ProductError, recode
from onboard.store.queue import Queue
from onboard.store.rows import QueueRow

BATCH = 64
"""Products that are coded in one transaction."""


def settle(queue: Queue, budget_bytes: int) -> int:
    """Code all candidates that fit the budget; what stays over is left as the reserve.

    Returns:
        how many were damaged in the store and have been dropped.
    """
    damaged = 0
    while waiting := _waiting(queue, budget_bytes):
        for start in range(0, len(waiting), BATCH):
            coded: list[tuple[int, bytes | None]] = []
            for item in waiting[start : start + BATCH]:
                payload = queue.payload(item.id)
                try:
                    coded.append((item.id, None if payload is None else recode(payload)))
                except ProductError:
                    coded.append((item.id, None))
            damaged += sum(payload is None for _, payload in coded)
            queue.settle(coded)
    return damaged


def _waiting(queue: Queue, budget_bytes: int) -> list[QueueRow]:
    """The candidates among what fits the budget, by their estimated bytes and those known."""
    return [item for item in queue.fitting(budget_bytes) if not item.coded]
