"""The archive: every product once, by its SHA-256, with a COG and a STAC item. On the disk when `put` returns.

    ARCHIVE/products/<first two digits>/<SHA-256>.obp     the bytes that came down; written last: the others are there
    ARCHIVE/stac/<acquisition>/<SHA-256>.tif, .json       the same as COG and as STAC item
    ARCHIVE/stac/<acquisition>/collection.json, ARCHIVE/catalog.json     indices, rebuilt from the items by `index`
    ARCHIVE/quarantine/<SHA-256>.obp                      what came down as it was queued, but cannot be decoded

What a crash left half-written is removed when the archive is opened, and indices that lack an item are written again.
"""

from __future__ import annotations

import fcntl
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ground.receive import stac
from ground.receive.cog import to_cog
from ground.receive.durable import UNFINISHED, make_folder, sync_folder, write_durably
from onboard.downlink.product import decode
from onboard.errors import StoreError

PRODUCTS, STAC, QUARANTINE = "products", "stac", "quarantine"
CATALOG, COLLECTION, LOCK_FILE = "catalog.json", "collection.json", "lock"
MAX_QUARANTINE_BYTES = 100_000_000
"""Of undecodable products; more are refused and never acknowledged: the way down is not authenticated."""

log = logging.getLogger("ground.archive")


class Archive:
    """A folder of products, locked against other processes. Use as a context manager.

    Args:
        folder: made where it is missing.
        clock: tells when a product was archived, UTC; the item's `created`.

    Raises:
        StoreError: the folder cannot be written, or another process holds it.
    """

    def __init__(self, folder: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.folder, self._clock = folder, clock
        try:
            make_folder(folder / PRODUCTS)
            make_folder(folder / QUARANTINE)
            self._lock = (folder / LOCK_FILE).open("w")
        except OSError as error:
            raise StoreError(f"{folder}: cannot hold an archive ({error.strerror})") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # freed by the kernel however the process ends
        except OSError as error:
            self._lock.close()
            raise StoreError(f"{folder}: in use by another receiver") from error
        try:
            for left in folder.rglob(f"*{UNFINISHED}"):
                left.unlink(missing_ok=True)  # a report that is drawn at this moment may be gone already
            for shard in (*(folder / PRODUCTS).iterdir(), folder / QUARANTINE):
                sync_folder(shard)  # names that the last process had no time to bring onto the disk
            self._quarantined = sum(path.stat().st_size for path in (folder / QUARANTINE).iterdir())
        except OSError as error:
            self._lock.close()
            raise StoreError(f"{folder}: cannot hold an archive ({error.strerror})") from error
        self._touched = self._unindexed()

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Bring the indices up to date and free the lock."""
        try:
            self.index()
        finally:
            self._lock.close()

    def path(self, sha256: str) -> Path:
        """Where a product lies or would lie."""
        return self.folder / PRODUCTS / sha256[:2] / f"{sha256}.obp"

    def find(self, tag: bytes, size: int) -> str | None:
        """SHA-256 of the archived product that begins with `tag` and has this size, or None."""
        prefix = tag.hex()
        for folder in (self.folder / PRODUCTS / prefix[:2], self.folder / QUARANTINE):
            for path in folder.glob(f"{prefix}*.obp"):
                if path.stat().st_size == size:
                    return path.stem
        return None

    def put(self, sha256: str, data: bytes) -> str:
        """Archive a product; one that is there already stays as it is.

        Args:
            sha256: of `data`, hexadecimal.

        Returns:
            "products", "known", "undecodable" (kept in quarantine as it is), or "refused": the only one not kept.

        Raises:
            DiskFullError: no space left.
            StoreError: it cannot be written.
        """
        if self.find(bytes.fromhex(sha256), len(data)) is not None:
            return "known"
        try:
            product = decode(data)
            cog = to_cog(product)
            name, item = stac.collection_id(product), stac.item(product, sha256, len(data), cog)
            item["properties"]["created"] = self._clock().isoformat()
            text = json.dumps(item, indent=1, allow_nan=False)
        except Exception as error:  # anyone may have made it, and GDAL has exceptions without a public name
            return self._quarantine(sha256, data, error)
        folder = self.folder / STAC / name
        write_durably(folder / f"{sha256}.tif", cog)
        write_durably(folder / f"{sha256}.json", text.encode())
        write_durably(self.path(sha256), data)
        self._touched.add(name)
        return "products"

    def index(self) -> None:
        """Write the collections that have new items, and the catalogue.

        Raises:
            DiskFullError, StoreError: as `put`.
        """
        if not self._touched:
            return
        for name in sorted(self._touched):
            items = [item for path in self._items(name) if (item := _read(path))]
            if items:
                write_durably(self.folder / STAC / name / COLLECTION, _text(stac.collection(name, items)))
        names = {path.parent.name for path in (self.folder / STAC).glob(f"*/{COLLECTION}")}
        write_durably(self.folder / CATALOG, _text(stac.catalog(names)))
        self._touched.clear()

    def _items(self, name: str) -> list[Path]:
        """The items of a collection whose product is archived; others are left from a crash and will come again."""
        paths = (self.folder / STAC / name).glob("*.json")
        return [path for path in paths if path.name != COLLECTION and self.path(path.stem).exists()]

    def _unindexed(self) -> set[str]:
        """Collections whose index does not name as many items as there are."""
        found = set()
        for folder in (self.folder / STAC).glob("*/"):
            index = _read(folder / COLLECTION)
            named = sum(link.get("rel") == "item" for link in index["links"]) if index else 0
            if named != len(self._items(folder.name)):
                found.add(folder.name)
        return found

    def _quarantine(self, sha256: str, data: bytes, error: Exception) -> str:
        if self._quarantined + len(data) > MAX_QUARANTINE_BYTES:
            log.error("%s: cannot be decoded, and the quarantine is full: refused", sha256)
            return "refused"
        log.error("%s: cannot be decoded, kept in quarantine (%s)", sha256, error)
        write_durably(self.folder / QUARANTINE / f"{sha256}.obp", data)
        self._quarantined += len(data)
        return "undecodable"


def _read(path: Path) -> dict[str, Any] | None:
    """A JSON object of ours, or None where it is missing or damaged."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _text(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=1, allow_nan=False).encode()
