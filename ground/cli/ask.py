"""`ground ask --archive DIR --polygon FILE`: an operator's query goes up; `ground orders`: what became of them."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from onboard.errors import OnboardError, UsageError

app = typer.Typer(add_completion=False)
orders_app = typer.Typer(add_completion=False)

_CODES = "Exit codes: 0 done, 2 wrong options or polygon, 6 the archive cannot be read or written."


@app.command(epilog=_CODES)
def ask(
    archive: Annotated[Path, typer.Option(help="Of `ground receive`, which sends the query up, authenticated.")],
    polygon: Annotated[Path, typer.Option(help="GeoJSON: one polygon without holes, WGS84.")],
    bands: Annotated[str, typer.Option(help="Names, comma-separated; all that an acquisition has otherwise.")] = "",
    lossless: Annotated[bool, typer.Option(help="Whether nothing less will do.")] = True,
    priority: Annotated[int, typer.Option(min=1, max=255, help="The greater goes first.")] = 1,
    days: Annotated[float, typer.Option(min=0.01, max=365.0, help="In force for so long.")] = 7.0,
) -> None:
    """Ask for the pixels of a polygon: what waits of it jumps the queue, later passes keep it whatever its score."""
    from ground.receive.outbox import Outbox
    from onboard.downlink.link.orders import Query

    now = int(time.time())
    try:
        names = tuple(name for name in bands.split(",") if name)
        query = Query(now, now + round(days * 86_400), priority, lossless, names, read_ring(polygon))
        with Outbox(archive) as outbox:
            tag = outbox.put(query, now)
    except OnboardError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    except ValueError as error:
        typer.echo(f"error: {polygon}: cannot be asked for ({error})", err=True)
        raise typer.Exit(UsageError.exit_code) from error
    typer.echo(f"{tag.hex()} goes up in the next contact")


@orders_app.command(epilog=_CODES)
def orders(
    archive: Annotated[Path, typer.Argument(help="Of `ground receive`.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """List plans and queries, and whether the spacecraft has them."""
    from ground.receive.outbox import OUTBOX_FILE, Outbox
    from onboard.downlink.link.orders import Plan, tag_of

    if not (archive / OUTBOX_FILE).exists():
        typer.echo(json.dumps({"orders": []}) if as_json else "nothing has been ordered")
        return
    try:
        with Outbox(archive) as outbox:
            found = outbox.all()
    except OnboardError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    told: list[dict[str, Any]] = []
    for one in found:
        what = (
            {"kind": "plan", "windows": len(one.order.windows)}
            if isinstance(one.order, Plan)
            else {
                "kind": "query", "bands": list(one.order.bands) or "all", "lossless": one.order.lossless,
                "priority": one.order.priority, "expires": _iso(one.order.expires), "vertices": len(one.order.ring),
            }
        )  # fmt: skip
        told.append(
            {
                "tag": tag_of(one.order).hex(),
                "made": _iso(one.made),
                "received": one.received and _iso(one.received),
                **what,
            }
        )
    if as_json:
        typer.echo(json.dumps({"orders": told}))
        return
    for line in told:
        state = f"on board since {line['received']}" if line["received"] else "waits"
        typer.echo(f"{line['tag']}  {line['kind']:5}  made {line['made']}  {state}")


def read_ring(path: Path) -> tuple[tuple[int, int], ...]:
    """The outer ring of the only polygon in a GeoJSON file, in 1e-7 degrees, without the closing vertex.

    Raises:
        UsageError: not there, or not one polygon without holes.
    """
    from onboard.downlink.link.orders import DEGREE, MAX_VERTICES

    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["type"] == "FeatureCollection":
            (found,) = found["features"]
        if found["type"] == "Feature":
            found = found["geometry"]
        if found["type"] != "Polygon":
            raise ValueError(f"a {found['type']}")
        (ring,) = found["coordinates"]
        vertices = tuple((round(float(p[0]) * DEGREE), round(float(p[1]) * DEGREE)) for p in ring)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
        raise UsageError(f"{path}: one polygon without holes wanted ({type(error).__name__}: {error})") from error
    vertices = vertices[:-1] if len(vertices) > 1 and vertices[0] == vertices[-1] else vertices
    if not 3 <= len(vertices) <= MAX_VERTICES:
        raise UsageError(f"{path}: {len(vertices)} vertices; 3 to {MAX_VERTICES} go up in one packet")
    return vertices


def _iso(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
