"""The queue as files below `products/`: exactly what would go down, and GeoTIFFs of it where asked for."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

from onboard.downlink.draft import as_product, read
from onboard.downlink.product import ProductError, write_geotiff
from onboard.errors import DiskFullError
from onboard.report.outcome import Outcome
from onboard.store import Store

log = logging.getLogger("onboard.products")

FOLDER = "products"


def write_products(store: Store, outcome: Outcome, out: Path, geotiff: bool) -> list[Path]:
    """Write every queued product of the run; files of products that have left the queue are removed.

    Raises:
        DiskFullError: no space left; the queue itself is safe in the store.
    """
    folder = out / FOLDER
    products = [(detection.queue_id, detection.product) for detection in outcome.detections]
    products += outcome.others
    keep = {name for _, name in products}
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("g*.obp"):
            if old.name not in keep:
                old.unlink()
                old.with_suffix(".tif").unlink(missing_ok=True)
        for queue_id, name in products:
            payload = store.queue.payload(queue_id)
            if payload is None:
                log.error("%s: its bytes in the store no longer match their checksum", name)
                continue
            path = folder / name
            try:
                path.write_bytes(as_product(payload))
                written.append(path)
                if geotiff:
                    write_geotiff(read(payload), str(path.with_suffix(".tif")))
                    written.append(path.with_suffix(".tif"))
            except ProductError as error:
                log.error("%s: %s", name, error)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFullError(f"{folder}: no space left; the queue is safe in the store") from error
        raise
    return written
