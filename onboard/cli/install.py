"""`onboard-install PACKAGE`: verify a signed package, write it to the inactive slot, try it there, switch to it."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

from onboard import __version__
from onboard.cli.console import run_command
from onboard.errors import EXIT_OK, UsageError

log = logging.getLogger("onboard.install")

EXIT_CODES = """exit codes:
  0    done
  1    internal error (a bug: please report the log line)
  2    wrong usage, or nothing to confirm or to go back from
  5    the package is refused, with the reason; what was active stays active
  7    the disk is full; what was active stays active
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="onboard-install",
        description="Install a package of `onboard-export bundle`: signature, target, expiry, version and hashes are "
        "checked, the inactive slot is written, its known answers are run there, and only then it becomes active.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("package", nargs="?", type=Path, metavar="PACKAGE", help="the signed file")
    p.add_argument(
        "--slots", type=Path, metavar="DIR", default=os.environ.get("ONBOARD_SLOTS"),
        help="where the slots, the trusted keys (trust/*.pub) and the target lie (default: $ONBOARD_SLOTS)",
    )  # fmt: skip
    what = p.add_mutually_exclusive_group()
    what.add_argument("--confirm", action="store_true", help="keep what is active; nothing older from now on")
    what.add_argument("--rollback", action="store_true", help="back to what ran before the last, unconfirmed, switch")
    what.add_argument("--status", action="store_true", help="print the slots as JSON")
    p.add_argument("--verbose", action="store_true", help="log more")
    p.add_argument("--version", action="version", version=f"onboard-install {__version__}")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(parser().parse_args(argv), run, log)


def run(args: argparse.Namespace) -> int:
    """Everything between the command line and the exit code."""
    from onboard.install.install import install, own_target
    from onboard.install.slots import Slots, installed_bundle, locked

    if args.slots is None:
        raise UsageError("where are the slots? --slots DIR, or $ONBOARD_SLOTS")
    acts = args.confirm or args.rollback or args.status
    if bool(args.package) == bool(acts):
        raise UsageError("one of PACKAGE, --confirm, --rollback, --status")
    folder = Path(args.slots)
    with nullcontext() if args.status else locked(folder):
        slots = Slots(folder)
        if args.package:
            done = install(args.package, slots, datetime.now(UTC))
            log.info(
                "%s version %d is active in slot %s, unconfirmed", done.name, done.version, done.slot,
                extra={"fields": {"known_answers": done.checked}},
            )  # fmt: skip
        elif args.confirm:
            slots.confirm()
        elif args.rollback:
            slots.rollback()
    if args.status:
        state = slots.state
        bundle, faults = installed_bundle(folder)
        status = {
            "active": state.active, "confirmed": state.confirmed, "versions": dict(state.versions),
            "minimum": state.minimum, "time": state.time, "target": own_target(folder),
            "runs": bundle.name if bundle else "a bundle that ships", "faults": faults,
            "on_trial": state.on_trial, "cells": state.cells, "unended_runs": state.starts,
            "fallbacks": state.fallbacks, "last_fault": state.fault,
        }  # fmt: skip
        print(json.dumps(status, indent=2))
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
