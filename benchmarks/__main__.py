"""`python -m benchmarks NAME [options] [--json]`: measure, append to benchmarks/results/, fail where a budget fails.

A benchmark is a file with `add_arguments(parser)` and `run(args) -> {"metrics": {...}, "runs": {...}}`.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from benchmarks import budget, machine
from onboard.errors import UsageError

NAMES = (
    "throughput",
    "latency",
    "governor",
    "memory",
    "startup",
    "roofline",
    "scaling",
    "peer",
    "budget",
    "export",
    "link",
    "downlink",
    "fuzz",
    "restoration",
)
RESULTS = Path(__file__).with_name("results")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name in NAMES:
        module = import_module(f"benchmarks.{name}")
        command = commands.add_parser(name, help=module.__doc__.splitlines()[0], description=module.__doc__)
        module.add_arguments(command)
        command.add_argument("--json", action="store_true", help="print one JSON object")
        command.add_argument("--no-record", action="store_true", help="do not append to benchmarks/results/")
        command.set_defaults(run=module.run)
    args = parser.parse_args(argv)
    before = machine.describe()
    result = {"benchmark": args.name, "time": datetime.now(UTC).isoformat(timespec="seconds"), "machine": before}
    try:
        result |= args.run(args)
    except UsageError as error:
        parser.error(str(error))
    missed = budget.failures(result["metrics"])
    result["budget_failures"] = missed
    if not args.no_record:
        RESULTS.mkdir(exist_ok=True)
        with (RESULTS / f"{args.name}.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(result) + "\n")
    if args.json:
        print(json.dumps(result, indent=2))
    else:
        for name, value in result["metrics"].items():
            print(f"{name:40s} {value:>12}")
    for line in missed:
        print(f"budget: {line}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
