"""`onboard-downlink --to HOST:PORT --pass-bytes N`: one pass of the link: the best of the queue goes down first."""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from onboard import __version__
from onboard.cli.console import Stopper, positive, run_command
from onboard.errors import (
    EXIT_INTERRUPTED,
    EXIT_NO_INPUT,
    EXIT_OK,
    EXIT_PARTIAL,
    StoreError,
)

log = logging.getLogger("onboard.downlink")

EPILOG = """exit codes:
  0    the ground has confirmed every product of this pass (without --key: every one was sent)
  1    internal error (a bug: please report the log line)
  2    wrong usage, or the key cannot be used
  3    the pass is over, and some products are not confirmed; the next pass goes on from there
  4    nothing waits in the queue
  6    the store is missing, of another version, damaged or locked
  7    the disk is full
  130  interrupted; run again to go on
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="onboard-downlink",
        description="Send the queue of a store to `ground receive`, best product first, as CCSDS Space Packets over "
        "UDP. What the ground confirms under the shared key is marked as delivered; nothing is deleted.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--to", required=True, metavar="HOST:PORT", help="the receiving station")
    p.add_argument("--pass-bytes", required=True, type=positive, metavar="N", help="bytes of packets in this pass")
    p.add_argument(
        "--rate", type=positive, default=1_000_000, metavar="BITS/S", help="of the link (default: %(default)s)"
    )
    p.add_argument(
        "--store", type=Path, default=Path("store"), metavar="DIR", help="of onboard-detect (default: ./%(default)s)"
    )
    p.add_argument(
        "--key", type=Path, metavar="FILE",
        help="64 hexadecimal digits shared with the ground (openssl rand -hex 32), not readable by everyone; without "
        "one everything is sent once, and no confirmation is taken",
    )  # fmt: skip
    p.add_argument(
        "--seconds", type=positive, default=900, metavar="S", help="the pass is over after (default: %(default)s)"
    )
    p.add_argument(
        "--half-life-days", type=positive, default=30, metavar="D",
        help="a product of a pass so much older than the newest is worth half (default: %(default)s)",
    )  # fmt: skip
    p.add_argument(
        "--expire-days", type=positive, metavar="D", help="what is so much older is not sent (default: never)"
    )
    p.add_argument("--json", action="store_true", help="print what happened on stdout")
    p.add_argument("--verbose", action="store_true", help="log more")
    p.add_argument("--version", action="version", version=f"onboard-downlink {__version__}")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(parser().parse_args(argv), run, log)


def run(args: argparse.Namespace) -> int:
    """Everything between the command line and the exit code."""
    from onboard.downlink.link.address import resolve
    from onboard.downlink.link.seal import load_key
    from onboard.downlink.link.session import Session
    from onboard.downlink.link.udp import UdpLink
    from onboard.downlink.plan import PlanSettings
    from onboard.downlink.settle import settle
    from onboard.store import STATE_FILE, Store

    key, stopper = load_key(args.key) if args.key else None, Stopper()
    planning = PlanSettings(args.half_life_days, args.expire_days or math.inf)
    resolve(args.to, "--to")
    if not (args.store / STATE_FILE).exists():
        raise StoreError(f"{args.store}: no store here; name the one of onboard-detect with --store")
    with UdpLink(args.to, args.rate) as link, Store(args.store) as store, stopper:
        # what moved up since the last run of onboard-detect, and the one product that the end of the pass will cut
        one_more = max((item.size for item in store.queue.items()), default=0)
        damaged = settle(store.queue, args.pass_bytes + one_more)
        start = monotonic()
        session = Session(store, args.pass_bytes, key, start, planning=planning)
        if not session.due:
            log.info("nothing waits in the queue of %s", args.store)
            return EXIT_NO_INPUT
        try:
            link.run(session, args.seconds, stopper.asked)
        finally:
            session.close()
        session.faults["damaged-product"] += damaged
    done = session.delivered if key else session.sent
    told = {
        "due": session.due, "sent": session.sent, "delivered": session.delivered, "bytes": session.spent_bytes,
        "seconds": round(monotonic() - start, 3), "faults": dict(+session.faults),
    }  # fmt: skip
    log.info(
        "%d of %d products %s in %d bytes", done, session.due, "confirmed" if key else "sent", session.spent_bytes,
        extra={"fields": told},
    )  # fmt: skip
    if args.json:
        print(json.dumps(told))
    if stopper.asked():
        log.warning("interrupted; run again to go on")
        return EXIT_INTERRUPTED
    return EXIT_OK if done == session.due else EXIT_PARTIAL


if __name__ == "__main__":
    sys.exit(main())
