"""Keeps what an operator sees up to date while products arrive: a process of its own, at low priority.

It shares nothing with the receiver but the archive's files, each of which is wholly there or not at all, so that
drawing never keeps a packet waiting. What goes wrong here is logged and never ends the reception.
"""

from __future__ import annotations

import logging
import os
import select
import subprocess
import sys
from collections.abc import Callable
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
LAST_S = 120.0
"""That the last update may take once the reception has ended."""
NICENESS = 10
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
        self._command = [sys.executable, "-m", "ground.station.watch", str(archive), live.listens, str(every_s)]

    def __enter__(self) -> Watch:
        # it ends when its input is closed, which the kernel does however this process ends; signals of a terminal are
        # not for it
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
        )
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(LAST_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            log.error("the last report took more than %g s and was given up", LAST_S)


def follow(station: Station, live: Live, every_s: float, over: Callable[[float], bool]) -> None:
    """Update a station's views until `over`, called with seconds to wait, says that it is; then once more."""
    wait = 0.0
    while not over(wait):
        start = monotonic()
        _update(station, live)
        wait = max(every_s, (monotonic() - start) / MOST_SHARE)
    _update(station, None)


def _update(station: Station, live: Live | None) -> None:
    try:
        station.update(live)
    except OnboardError as error:
        log.error("%s", error)
    except Exception:  # a bug in a view must not end the others
        log.exception("the report could not be made")


def main(archive: str, listens: str, every_s: str) -> None:
    """The process: follows an archive until its standard input is closed."""

    def over(wait: float) -> bool:
        return bool(select.select([sys.stdin], [], [], wait)[0])

    os.nice(NICENESS)
    follow(Station(Path(archive)), Live(listens), float(every_s), over)


if __name__ == "__main__":
    main(*sys.argv[1:])
