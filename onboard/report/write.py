"""Writing a run's outputs: each file appears whole or not at all, and a full disk ends as one clear error."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from onboard.errors import DiskFullError
from onboard.report import geojson, page, scoremap, summary
from onboard.report.outcome import Outcome
from onboard.resident import give_back

NUMBERED = re.compile(r"(?:score|status)(?:_\d+)?\.tif")


def write_all(outcome: Outcome, out_dir: Path) -> list[Path]:
    """Write detections.geojson, score.tif, status.tif, report.html and, last, summary.json.

    Maps of an earlier run that this one does not write again are removed: they would pass for its own.

    Returns:
        The paths in the order they were written; summary.json being there says that the others are.

    Raises:
        DiskFullError: no space left; files already in place stay whole.
        OSError: the folder cannot be written for another reason.
    """
    contents: tuple[Callable[[], Mapping[str, bytes]], ...] = (  # one after another: a page of a granule is megabytes
        lambda: {"detections.geojson": geojson.render(outcome).encode()},
        lambda: scoremap.render(outcome),
        lambda: {"report.html": page.render(outcome).encode()},
    )
    written: list[Path] = []
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        for make in contents:
            give_back()  # what the one before needed: GDAL's code for maps alone is 20 MB
            written += [_write(out_dir / name, data) for name, data in make().items()]
        names = [path.name for path in written]
        for stale in sorted(out_dir.iterdir()):
            if NUMBERED.fullmatch(stale.name) and stale.name not in names:
                stale.unlink()
        text = summary.render(outcome, (*names, "summary.json")).encode()
        written.append(_write(out_dir / "summary.json", text))
        give_back()  # the libraries' own ends touch 20 MB that nothing else did
        return written
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(f"{out_dir}: the disk is full; the outputs are incomplete, the store is not") from error
        raise


def _write(path: Path, data: bytes) -> Path:
    """Write beside the target, flush to the disk, rename over it: a power cut leaves the old file or the new one."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    return path
