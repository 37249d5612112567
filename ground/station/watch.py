"""Keeps what an operator sees up to date while products arrive: a thread that reads the archive's items from the disk.

It shares nothing with the receiver but the archive's files, each of which is wholly there or not at all. What goes
wrong here is logged and never ends the reception.
"""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from ground.receive.durable import write_durably
from ground.station.chips import Chip, in_order, item_paths, read_chip
from ground.station.detections import write_detections
from ground.station.picture import Picture
from ground.station.report import Live, render
from onboard.errors import OnboardError

REPORT = "report.html"
EVERY_S = 5.0
MOST_SHARE = 0.05
"""Of the time, spent on views: a large archive is refreshed more rarely."""

log = logging.getLogger("ground.station")


class Station:
    """The views of one archive; each `update` reads only the items that are new."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._chips: dict[str, Chip] = {}
        self._pictures: dict[str, Picture] = {}
        self._shown: tuple[int, bool] | None = None

    def update(self, live: Live | None = None, now: datetime | None = None) -> bool:
        """Write report.html and the index of detections where something is new.

        Args:
            live: the station that is receiving, or None: then the page does not refresh itself.

        Returns:
            whether anything was written.

        Raises:
            DiskFullError, StoreError: the files cannot be written.
        """
        for path in item_paths(self._archive):
            if path.stem not in self._chips:
                chip = read_chip(path)
                if chip is not None:
                    self._chips[path.stem] = chip
        state = (len(self._chips), live is not None)
        if state == self._shown:
            return False
        chips = in_order(self._chips.values())
        write_detections(self._archive, chips)
        page = render(chips, self._pictures, now or datetime.now(UTC), live)
        write_durably(self._archive / REPORT, page.encode())
        self._shown = state
        return True


class Watch:
    """Updates the views every few seconds for as long as the block lasts, and once more at its end.

    Args:
        archive: its folder.
        live: what the page says of the station.
        every_s: seconds between two looks, at least.
    """

    def __init__(self, archive: Path, live: Live, every_s: float = EVERY_S) -> None:
        self._station, self._live, self._every = Station(archive), live, every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="views", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()
        self._update(None)

    def _run(self) -> None:
        wait = 0.0
        while not self._over.wait(wait):
            start = monotonic()
            self._update(self._live)
            wait = max(self._every, (monotonic() - start) / MOST_SHARE)

    def _update(self, live: Live | None) -> None:
        try:
            self._station.update(live)
        except OnboardError as error:
            log.error("%s", error)
        except Exception:  # a bug in a view must not end the reception
            log.exception("the report could not be made")
