"""`ground report ARCHIVE`: write report.html and the index of detections of an archive anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onboard.errors import OnboardError, StoreError

app = typer.Typer(add_completion=False)


@app.command(epilog="Exit codes: 0 done, 6 no archive here, or a file cannot be written, 7 the disk is full.")
def report(archive: Annotated[Path, typer.Argument(help="Of `ground receive`.")]) -> None:
    """Write report.html, detections.geojson and detections.parquet; `ground receive` keeps them up to date itself."""
    from ground.receive.archive import PRODUCTS
    from ground.station.watch import REPORT, Station

    try:
        if not (archive / PRODUCTS).is_dir():
            raise StoreError(f"{archive}: no archive here")
        Station(archive).update()
    except OnboardError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    typer.echo(f"open {archive / REPORT}")
