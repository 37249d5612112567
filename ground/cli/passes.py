"""`ground passes --tle FILE --stations FILE`: when the satellite is seen, and the contact plan for it."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from onboard.errors import EXIT_NO_INPUT, OnboardError

app = typer.Typer(add_completion=False)

STALE = timedelta(days=14)
"""Elements older than this are minutes wrong in low orbit."""


@app.command(
    epilog="Exit codes: 0 done, 2 wrong options or files, 4 no pass in this time, 6 the archive cannot be written."
)
def passes(
    tle: Annotated[Path, typer.Option(help="Two-line elements of the satellite.")],
    stations: Annotated[
        Path,
        typer.Option(
            help="GeoJSON points (properties name, min_elevation, rate) or TOML tables [[station]] (name, latitude, "
            "longitude, altitude, min_elevation, rate)."
        ),
    ],
    start: Annotated[str, typer.Option(help="ISO time, UTC; now otherwise.")] = "",
    hours: Annotated[float, typer.Option(min=0.1, max=744.0, help="How far ahead.")] = 48.0,
    min_elevation: Annotated[
        float, typer.Option(min=-5.0, max=89.0, help="Degrees, of stations that name none.")
    ] = 10.0,
    rate: Annotated[int, typer.Option(min=1, help="bit/s of the link, of stations that name none.")] = 1_000_000,
    efficiency: Annotated[float, typer.Option(min=0.01, max=1.0, help="Share of a window that carries packets.")] = 0.9,
    out: Annotated[Path | None, typer.Option(help="Write the plan as JSON.")] = None,
    archive: Annotated[
        Path | None, typer.Option(help="Of `ground receive`: the plan goes up in the next contact, authenticated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The plan as JSON on stdout.")] = False,
) -> None:
    """Compute passes by SGP4 and make the contact plan: windows that do not overlap, and the bytes of each."""
    from ground.passes import predict
    from ground.passes.files import read_stations, read_tle
    from ground.passes.plan import contacts, plan_of
    from ground.receive.durable import write_durably
    from ground.receive.outbox import Outbox

    try:
        elements, sites = read_tle(tle), read_stations(stations)
        begin = predict.utc(start) if start else datetime.now(UTC)
        end = begin + timedelta(hours=hours)
        epoch = predict.epoch_of(elements)
        if abs(begin - epoch) > STALE:
            typer.echo(f"warning: the elements are of {epoch:%Y-%m-%d}: times may be minutes wrong", err=True)
        found = [one for site in sites for one in predict.passes(elements, site, begin, end, min_elevation)]
        planned = contacts(found, {site.name: site.rate or rate for site in sites}, efficiency)
        plan = plan_of(planned, int(time.time()))
        if not planned:
            typer.echo(f"error: {elements.name}: no pass over these stations in {hours:g} hours", err=True)
            raise typer.Exit(EXIT_NO_INPUT)
        document = {
            "satellite": elements.name,
            "tle_epoch": epoch.isoformat(timespec="seconds"),
            "issued": plan.issued,
            "passes": [
                {
                    "station": p.station, "rise": p.rise.isoformat(timespec="milliseconds"),
                    "culmination": p.culmination.isoformat(timespec="milliseconds"),
                    "set": p.set.isoformat(timespec="milliseconds"), "elevation_deg": round(p.elevation, 2),
                    "rise_azimuth_deg": round(p.rise_azimuth, 2), "set_azimuth_deg": round(p.set_azimuth, 2),
                }
                for p in sorted(found, key=lambda p: (p.rise, p.station))
            ],
            "windows": [
                {
                    "station": c.station, "start": datetime.fromtimestamp(c.window.start, UTC).isoformat(),
                    "seconds": c.window.seconds, "bytes": c.window.size, "rate": c.window.rate,
                    "uplinked": n < len(plan.windows),
                }
                for n, c in enumerate(planned)
            ],
        }  # fmt: skip
        text = json.dumps(document, indent=1)
        if out:
            write_durably(out, text.encode())
        if archive:
            with Outbox(archive) as outbox:
                outbox.put(plan, plan.issued)
    except OnboardError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    if as_json:
        typer.echo(text)
        return
    for c in planned:
        begin = datetime.fromtimestamp(c.window.start, UTC)
        seen = [
            p for p in found if p.station == c.station and p.rise.timestamp() < c.window.end <= p.set.timestamp() + 1
        ]
        span = f"{begin:%Y-%m-%d %H:%M:%S}  {c.window.seconds:4d} s  {c.window.size / 1e6:8.1f} MB"
        typer.echo(f"{span}  up to {max(p.elevation for p in seen):4.1f} deg  {c.station}")
    left = len(planned) - len(plan.windows)
    if archive:
        typer.echo(
            f"{len(plan.windows)} windows go up in the next contact"
            + (f"; {left} later ones do not fit" if left else "")
        )
