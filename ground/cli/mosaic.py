"""`ground mosaic --archive DIR --out DIR`: the current picture of each granule, with the age of each cell."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from onboard.errors import EXIT_NO_INPUT, OnboardError, UsageError

app = typer.Typer(add_completion=False)


@app.command(
    epilog="Exit codes: 0 done, 2 wrong options, 3 a base cannot be used, 4 nothing to show, 6 no archive, or a file "
    "cannot be read or written."
)
def mosaic(
    archive: Annotated[Path, typer.Option(help="Of `ground receive`.")],
    out: Annotated[Path, typer.Option(help="Folder of the mosaics: NAME.tif and NAME-age.tif a granule.")],
    base: Annotated[
        list[str] | None,
        typer.Option(
            help="A full image, GeoTIFF or SAFE, or a folder of them: the newest on a granule's grid counts. Repeat."
        ),
    ] = None,
    bands: Annotated[str, typer.Option(help="Names, comma-separated; all of them otherwise.")] = "",
    at: Annotated[str, typer.Option(help="ISO time that ages count from; now otherwise.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout at the end.")] = False,
) -> None:
    """Paste the newest chips over the last full image of each granule; without one, over the chips before them."""
    try:
        told = _mosaics(archive, out, base or [], [b for b in bands.split(",") if b], at)
    except OnboardError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    if not told:
        typer.echo(f"error: {archive}: no chips in it, and no --base to show", err=True)
        raise typer.Exit(EXIT_NO_INPUT)
    if as_json:
        typer.echo(json.dumps({"granules": told}))
        return
    for one in told:
        typer.echo(
            f"{one['picture']}: {one['chips']} chips, {one['cells']} cells, {one['cells_from_base']} of the base"
        )


def _mosaics(archive: Path, out: Path, specs: list[str], only: list[str], at: str) -> list[dict[str, object]]:
    from ground.station.chips import granule_name, grid_of, read_chips
    from ground.station.mosaic import match_base, open_bases, write_mosaic

    try:
        now = datetime.fromisoformat(at) if at else datetime.now(UTC)
    except ValueError as error:
        raise UsageError(f"--at {at}: an ISO time wanted") from error
    now = now.replace(tzinfo=UTC) if now.tzinfo is None else now
    granules = defaultdict(list)
    for chip in read_chips(archive):
        if chip.is_picture:
            granules[chip.granule].append(chip)
    bases = open_bases(specs)
    jobs = []
    for name, chips in sorted(granules.items()):
        found = match_base(grid_of(chips), bases)
        jobs.append((name, found.grid if found else grid_of(chips), chips, found))
    used = {id(job[3]) for job in jobs}
    for full in bases:  # a granule of which nothing has come down yet is shown as it was
        name = granule_name(full.grid.crs, full.grid.transform)
        if id(full) not in used and name not in {job[0] for job in jobs} and match_base(full.grid, bases) is full:
            jobs.append((name, full.grid, [], full))
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {out}: cannot be made ({error.strerror})") from error
    told: list[dict[str, object]] = []
    for name, grid, chips, found in jobs:
        one = write_mosaic(out / f"{name}.tif", grid, chips, found, now, only)
        told.append(
            {
                "granule": name, "picture": str(one.picture), "ages": str(one.ages), "bands": list(one.bands),
                "chips": one.chips, "cells": one.cells, "cells_from_base": one.cells_from_base,
                "base": found.product_id if found else None,
            }
        )  # fmt: skip
    return told
