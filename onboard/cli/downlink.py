"""`onboard-downlink --to HOST:PORT --pass-bytes N`: one pass of the link: the best of the queue goes down first."""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic, time

from onboard import __version__
from onboard.cli.console import Stopper, positive, run_command
from onboard.errors import (
    EXIT_INTERRUPTED,
    EXIT_NO_INPUT,
    EXIT_OK,
    EXIT_PARTIAL,
    StoreError,
    UsageError,
)

log = logging.getLogger("onboard.downlink")

DEFAULT_RATE = 1_000_000
DEFAULT_SECONDS = 900

EPILOG = """exit codes:
  0    the ground has confirmed every product of this pass (without --key: every one was sent)
  1    internal error (a bug: please report the log line)
  2    wrong usage, or the key cannot be used
  3    the pass is over, and some products are not confirmed; the next pass goes on from there
  4    nothing waits in the queue, or the contact plan has no window now
  6    the store is missing, of another version, damaged or locked
  7    the disk is full
  130  interrupted; run again to go on
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="onboard-downlink",
        description="Send the queue of a store to `ground receive`, best product first, as CCSDS Space Packets over "
        "UDP. What the ground confirms under the shared key is marked as delivered, what it orders is stored; "
        "nothing is deleted.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--to", required=True, metavar="HOST:PORT", help="the receiving station")
    p.add_argument(
        "--pass-bytes", type=positive, metavar="N",
        help="bytes of packets in this pass (default: what is left of the present window of the contact plan)",
    )  # fmt: skip
    p.add_argument(
        "--profile", metavar="NAME|FILE",
        help="budgets of a computer (onboard-detect --profile): a pass has at most its bytes, plan or no plan",
    )  # fmt: skip
    p.add_argument(
        "--rate", type=positive, metavar="BITS/S",
        help=f"of the link (default: the window's; {DEFAULT_RATE:,} with --pass-bytes)",
    )  # fmt: skip
    p.add_argument(
        "--store", type=Path, default=Path("store"), metavar="DIR", help="of onboard-detect (default: ./%(default)s)"
    )
    p.add_argument(
        "--key", type=Path, metavar="FILE",
        help="64 hexadecimal digits shared with the ground (openssl rand -hex 32), not readable by everyone; without "
        "one everything is sent once, and no confirmation is taken",
    )  # fmt: skip
    p.add_argument(
        "--seconds", type=positive, metavar="S",
        help=f"the pass is over after (default: with the window; {DEFAULT_SECONDS} with --pass-bytes)",
    )  # fmt: skip
    p.add_argument(
        "--half-life-days", type=positive, default=30, metavar="D",
        help="a product of a pass so much older than the newest is worth half (default: %(default)s)",
    )  # fmt: skip
    p.add_argument(
        "--expire-days", type=positive, metavar="D",
        help="what is so much older is not sent, but for what was asked for (default: never)",
    )  # fmt: skip
    p.add_argument(
        "--cfdp", type=entities, metavar="FROM:TO",
        help="send files by CFDP class 1 instead, from entity FROM to entity TO, a PDU a datagram; no confirmation",
    )  # fmt: skip
    p.add_argument("--json", action="store_true", help="print what happened on stdout")
    p.add_argument("--verbose", action="store_true", help="log more")
    p.add_argument("--version", action="version", version=f"onboard-downlink {__version__}")
    return p


def entities(text: str) -> tuple[int, int]:
    """`FROM:TO`, CFDP entity ids of 16 bits, for argparse."""
    source, colon, destination = text.partition(":")
    ids = int(source), int(destination)
    if not colon or not all(0 <= one < 1 << 16 for one in ids):
        raise argparse.ArgumentTypeError("FROM:TO wanted, 0 to 65535 each")
    return ids


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(parser().parse_args(argv), run, log)


def run(args: argparse.Namespace) -> int:
    """Everything between the command line and the exit code."""
    from onboard.budget import load_budget
    from onboard.downlink.link.address import resolve
    from onboard.downlink.link.cfdp import CfdpSession
    from onboard.downlink.link.seal import load_key
    from onboard.downlink.link.session import Session
    from onboard.downlink.link.udp import UdpLink
    from onboard.downlink.link.window import no_window, present
    from onboard.downlink.plan import PlanSettings
    from onboard.downlink.settle import settle
    from onboard.store import STATE_FILE, Store

    if args.cfdp and args.key:
        raise UsageError("--cfdp and --key: class 1 has no way back, nothing can be confirmed")
    key, stopper = load_key(args.key) if args.key else None, Stopper()
    planning = PlanSettings(args.half_life_days, args.expire_days or math.inf)
    most = load_budget(args.profile).pass_mb if args.profile else None
    most_bytes = None if most is None else round(most * 1e6)
    resolve(args.to, "--to")
    if not (args.store / STATE_FILE).exists():
        raise StoreError(f"{args.store}: no store here; name the one of onboard-detect with --store")
    with Store(args.store) as store, stopper:
        pass_bytes, rate, seconds = args.pass_bytes, args.rate or DEFAULT_RATE, float(args.seconds or DEFAULT_SECONDS)
        windows, now = store.state.orders.windows(), time()
        if pass_bytes is None and not windows:
            pass_bytes = most_bytes
        if pass_bytes is None:
            window = present(windows, now)
            if window is None:
                log.error("%s: %s; name the bytes with --pass-bytes", args.store, no_window(windows, now))
                return EXIT_NO_INPUT
            pass_bytes, left = window.left(now)
            pass_bytes = pass_bytes if most_bytes is None else min(pass_bytes, most_bytes)
            rate, seconds = args.rate or window.rate, min(left, float(args.seconds or left))
        with UdpLink(args.to, rate) as link:
            # what moved up since the last run of onboard-detect, and the one product that the end of the pass will cut
            one_more = max((item.size for item in store.queue.items()), default=0)
            damaged = settle(store.queue, pass_bytes + one_more)
            start = monotonic()
            session = (
                CfdpSession(store, pass_bytes, args.cfdp, planning)
                if args.cfdp
                else Session(store, pass_bytes, key, start, planning=planning, utc=time())
            )
            try:
                link.run(session, seconds, stopper.asked)  # with a key also where nothing waits: orders may come up
            finally:
                session.close()
            session.faults["damaged-product"] += damaged
    delivered, orders = (session.delivered, session.orders) if isinstance(session, Session) else (0, 0)
    done = delivered if key else session.sent
    told = {
        "due": session.due, "sent": session.sent, "delivered": delivered, "bytes": session.spent_bytes,
        "orders": orders, "seconds": round(monotonic() - start, 3), "faults": dict(+session.faults),
    }  # fmt: skip
    log.info(
        "%d of %d products %s in %d bytes", done, session.due, "confirmed" if key else "sent", session.spent_bytes,
        extra={"fields": told},
    )  # fmt: skip
    if args.json:
        print(json.dumps(told))
    if not session.due and not stopper.asked():
        log.info("nothing waits in the queue of %s", args.store)
        return EXIT_NO_INPUT
    if stopper.asked():
        log.warning("interrupted; run again to go on")
        return EXIT_INTERRUPTED
    return EXIT_OK if done == session.due else EXIT_PARTIAL


if __name__ == "__main__":
    sys.exit(main())
