"""Strips scored in time at the rate of Sentinel-2, with all of the processor or a share of it.

A row of cells has the time that the satellite takes for it. With `--share` below 1 the run is stopped and let go on in
turns, which takes from it what heat or a neighbour would. Late are then the strips that made the governor drop a step,
those with which it tried whether one can be taken up again, and, where even the last step does not help, all of them:
only these could not have been kept by dropping more.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

from benchmarks import granule
from benchmarks.command import detect, warm
from onboard.governor import ACTING, Decision
from onboard.sense.grid import CELL
from onboard.store import Store

LINE_RATE = 18_945
"""Cells of 320 m a second: a swath of 290 km at 6.69 km/s over the ground."""
PERIOD_S = 0.004
"""Of the turns."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--side", type=int, default=10_980, help="px (default: %(default)s, a granule)")
    parser.add_argument("--share", type=float, action="append", help="of the processor; repeat (default: 1, 0.25)")
    parser.add_argument("--rate", type=float, default=LINE_RATE, help="cells a second (default: %(default)s)")
    parser.add_argument("--bundle", default="s2-10", help="default: %(default)s")


def run(args: argparse.Namespace) -> dict[str, Any]:
    first, second = granule.prepare(args.side, "strips", 2)
    deadline_ms = args.side // CELL / args.rate * 1e3
    metrics: dict[str, Any] = {"side_px": args.side, "deadline_ms_per_row": round(deadline_ms, 2)}
    runs: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="onboard-governor-") as name:
        for share in args.share or (1.0, 0.25):
            folder = Path(name) / str(share)
            options = ["--bundle", args.bundle]
            detect([first], folder / "past", folder / "store", None, options)
            warm(second)
            options += ["--deadline", str(deadline_ms)]
            beside = partial(slowed, share=share)
            one = detect([second], folder / "out", folder / "store", None, options, beside=beside)
            with Store(folder / "store") as store:
                decisions = store.state.decisions(2)
            told = {f"{key}_at_{share:g}": value for key, value in tell(decisions).items()}
            metrics |= told
            runs[f"{share:g}"] = [vars(one)]
    return {"metrics": metrics, "runs": runs}


def tell(decisions: list[Decision]) -> dict[str, Any]:
    """What came of the strips: in time, late and passed over; of the late ones those that nothing could have kept."""
    looked = [one for one in decisions if one.looked]
    late = [one for one in looked if not one.kept]
    return {
        "strips": len(decisions),
        "kept": len(looked) - len(late),
        "late": len(late),
        "late_with_all_dropped": sum(one.level is ACTING[-1] for one in late),
        "skipped": len(decisions) - len(looked),
        "most_dropped": max(one.level for one in decisions).words,
    }


@contextmanager
def slowed(pid: int, share: float) -> Iterator[None]:
    """A process that may run for a share of each period; at 1 it is left alone."""
    ended = Event()

    def turns() -> None:
        with suppress(ProcessLookupError):
            while not ended.wait(share * PERIOD_S):
                os.kill(pid, signal.SIGSTOP)
                ended.wait((1 - share) * PERIOD_S)
                os.kill(pid, signal.SIGCONT)

    thread = Thread(target=turns, daemon=True)
    if share < 1:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if share < 1:
            thread.join()
