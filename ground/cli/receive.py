"""`ground receive --listen HOST:PORT --archive DIR`: the receiving station."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from onboard.errors import OnboardError

app = typer.Typer(add_completion=False)

COUNTER_STEPS_PER_S = 1 << 20
"""Reports a second that can never catch up with the clock, which the counters of a new inbox start from."""


@app.command(
    epilog="Exit codes: 0 ended by a signal or --idle, 2 wrong options or key, 6 the archive is damaged or in use, "
    "7 the disk is full (everything acknowledged is kept)."
)
def receive(
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="UDP address that packets arrive at.")],
    archive: Annotated[Path, typer.Option(help="Folder of the products that have arrived.")],
    key: Annotated[
        Path | None,
        typer.Option(help="64 hexadecimal digits shared with the spacecraft; without it nothing is acknowledged."),
    ] = None,
    idle: Annotated[float, typer.Option(min=0.0, help="End after so many seconds without a packet; 0: never.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout at the end.")] = False,
) -> None:
    """Receive products, archive each one once, and acknowledge those that are on the disk."""
    from ground.receive.archive import Archive
    from ground.receive.inbox import Inbox
    from ground.receive.outbox import Outbox
    from ground.receive.receiver import Receiver
    from ground.receive.udp import listen as bind
    from ground.receive.udp import serve
    from ground.station.report import Live
    from ground.station.watch import Watch
    from onboard.cli.console import Stopper
    from onboard.downlink.link.seal import load_key

    stopper = Stopper()
    try:
        secret = load_key(key) if key else None
        with (
            Archive(archive) as products,
            Inbox(archive / "inbox.sqlite", int(time.time()) * COUNTER_STEPS_PER_S) as inbox,
            Outbox(archive) as outbox,
            bind(listen) as one,
            stopper,
        ):
            receiver = Receiver(inbox, products, secret, outbox, lambda: int(time.time()))
            host, port = one.getsockname()[:2]
            typer.echo(f"listening on {host}:{port}", err=True)
            with Watch(archive, Live(f"{host}:{port}")):
                serve(one, receiver, stopper.asked, idle, products.index)
    except OnboardError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    counts = {name: receiver.counts[name] for name in sorted(receiver.counts)}
    told = {"products": 0, **counts, "forgotten": inbox.forgotten}
    typer.echo(json.dumps(told) if as_json else f"{told['products']} new products; open {archive / 'report.html'}")
