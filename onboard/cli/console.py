"""What a command says: a progress bar on a terminal, JSON lines on stderr otherwise. Shared by all commands."""

from __future__ import annotations

import argparse
import json
import logging
import math
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import TextIO

from onboard.errors import EXIT_INTERNAL, OnboardError

BAR_WIDTH = 28
REDRAW_S = 0.1


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {"time": f"{stamp}.{int(record.msecs):03d}Z", "level": record.levelname.lower(), "logger": record.name}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps({**line, "message": record.getMessage(), **getattr(record, "fields", {})})


def set_up_logging(stream: TextIO, verbose: bool) -> None:
    """Plain lines on a terminal, JSON lines otherwise. Libraries speak only when something is wrong."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s") if stream.isatty() else JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("onboard").setLevel(logging.DEBUG if verbose else logging.INFO)
    logging.getLogger("rasterio").setLevel(logging.CRITICAL)  # its faults come back as exceptions, said once by us


def run_command(args: argparse.Namespace, run: Callable[[argparse.Namespace], int], log: logging.Logger) -> int:
    """Run a command and return its exit code: the one place where what nothing below could contain is logged."""
    set_up_logging(sys.stderr, args.verbose)
    try:
        return run(args)
    except OnboardError as error:
        log.error("%s", error)
        return error.exit_code
    except Exception:  # a bug: a satellite gets a line, a traceback and an exit code all the same
        log.exception("internal error")
        return EXIT_INTERNAL


class ProgressBar:
    """`name ######----- 42 %  1234/2940 cells  5100/s` on a terminal; silent elsewhere."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._shown = stream.isatty()
        self._name, self._start, self._last, self._first = "", 0.0, 0.0, 0

    def __call__(self, name: str, done: int, total: int) -> None:
        """Show progress; a new `name` begins a new line."""
        if not self._shown:
            return
        now = time.monotonic()
        if name != self._name:
            self._name, self._start, self._first = name, now, done
        elif now - self._last < REDRAW_S and done < total:
            return
        self._last = now
        filled = BAR_WIDTH * done // max(total, 1)
        rate = (done - self._first) / (now - self._start) if now > self._start else 0.0
        bar = "#" * filled + "-" * (BAR_WIDTH - filled)
        text = f"\r{name[:40]:40} {bar} {100 * done // max(total, 1):3d} %  {done}/{total} cells  {rate:,.0f}/s "
        self._stream.write(text + ("\n" if done >= total else ""))
        self._stream.flush()


class Stopper:
    """SIGINT and SIGTERM end the run at the next good moment, with everything committed; a second one at once."""

    def __init__(self) -> None:
        self._asked = False
        self._before: dict[int, object] = {}

    def asked(self) -> bool:
        """Whether a signal has come."""
        return self._asked

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._ask)

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def above_zero(text: str) -> float:
    """A finite number above 0, for argparse."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError("must be above 0")
    return value
