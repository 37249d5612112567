"""ESA's `.SAFE` products, L1C and L2A, as a folder or zipped; a zip is read in place, never unpacked.

One acquisition per granule. Bands are looked up among the files that are there, radiometry in the product's metadata.
An L2A image at 60 m does not stand in for a 10 or 20 m band: such a product is refused, naming what is missing.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from onboard.errors import InputError
from onboard.sense.acquisition import Acquisition
from onboard.sense.bands import NATIVE_RESOLUTION_M, S2_BANDS
from onboard.sense.mosaic import compose, fit
from onboard.sense.plane import Plane, plane_of
from onboard.sense.planefile import QualityPlane
from onboard.sense.quality import CLASSI_CLOUD_BANDS, CLASSI_USABLE, SCL_USABLE
from onboard.sense.raster import gdal_env, open_raster
from onboard.sense.reader import RasterAcquisition
from onboard.sense.safe_metadata import MAX_XML_BYTES, ProductMetadata, parse_granule_time, parse_product

_PRODUCT = re.compile(r"^(?:MTD_MSI|S2[A-Z]_OPER_MTD_SAF)(L1C|L2A)(?:_.*)?\.xml$")
_GRANULE = re.compile(r"^(?:MTD_TL|S2[A-Z]_OPER_MTD_L(?:1C|2A)_TL_.*)\.xml$")
_IMAGE = re.compile(r"_(B\d\d|B8A|SCL)(?:_(10|20|60)m)?\.jp2$")
_CLASSES = re.compile(r"^MSK_CLASSI_B00\.jp2$")


@dataclass(frozen=True)
class _Tree:
    """Files of one product, by path below its root; the same for a folder and a zip."""

    path: Path
    root: str
    names: tuple[str, ...]
    zipped: bool

    def read(self, name: str) -> bytes:
        """The whole of a small file, one byte more than allowed at most."""
        try:
            if not self.zipped:
                with (self.path / name).open("rb") as file:
                    return file.read(MAX_XML_BYTES + 1)
            with zipfile.ZipFile(self.path) as archive, archive.open(self.root + name) as member:
                return member.read(MAX_XML_BYTES + 1)
        except (OSError, zipfile.BadZipFile, RuntimeError, EOFError, ValueError) as error:
            raise InputError(self.where(name), f"cannot read: {error}", "unreadable") from error

    def gdal(self, name: str) -> str:
        """What rasterio opens."""
        return f"/vsizip/{{{self.path}}}/{self.root}{name}" if self.zipped else str(self.path / name)

    def where(self, name: str) -> str:
        """For messages."""
        return f"{self.path}/{self.root}{name}" if self.zipped else str(self.path / name)


def is_product(path: Path) -> bool:
    """A product, if perhaps a damaged one: named `.SAFE`, or a folder or zip with a product's metadata at its top."""
    if path.suffix.upper() == ".SAFE":
        return path.is_dir()
    if path.is_dir():
        return any(_PRODUCT.match(item.name) for item in path.iterdir())
    if path.suffix.lower() != ".zip":
        return False
    try:
        return bool(_roots(_zip_names(path))) or path.name.startswith("S2")
    except (OSError, zipfile.BadZipFile):
        return True


def find_products(folder: Path) -> list[Path]:
    """The products directly in a folder."""
    return [item for item in sorted(folder.iterdir()) if is_product(item)]


def list_products(paths: Iterable[Path]) -> tuple[list[Acquisition], list[InputError]]:
    """The acquisitions in products, and what was refused: a product, a granule or a single image."""
    found: list[Acquisition] = []
    refused: list[InputError] = []
    with gdal_env():
        for path in paths:
            try:
                for tree in _trees(path):
                    found += _granules(tree, refused)
            except InputError as error:
                refused.append(error)
    return found, refused


def _zip_names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def _roots(names: Iterable[str]) -> list[str]:
    """Folders (with a slash, or empty for the top) of a zip that hold a product's metadata."""
    parts = [PurePosixPath(name) for name in names]
    hits = [part for part in parts if len(part.parts) <= 2 and _PRODUCT.match(part.name)]
    return sorted({"" if len(hit.parts) == 1 else f"{hit.parts[0]}/" for hit in hits})


def _trees(path: Path) -> list[_Tree]:
    if path.is_dir():
        walked = ((Path(folder), files) for folder, _, files in os.walk(path))
        names = sorted((folder / file).relative_to(path).as_posix() for folder, files in walked for file in files)
        return [_Tree(path, "", tuple(names), zipped=False)]
    try:
        names = _zip_names(path)
    except FileNotFoundError as error:
        raise InputError(str(path), "no such file", "missing") from error
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(str(path), f"not a complete zip file: {error}", "truncated") from error
    roots = _roots(names)
    if not roots:
        raise InputError(str(path), "no MTD_MSIL1C.xml or MTD_MSIL2A.xml in it", "missing")
    below = {root: tuple(name[len(root) :] for name in names if name.startswith(root)) for root in roots}
    return [_Tree(path, root, inner, zipped=True) for root, inner in below.items()]


def _granules(tree: _Tree, refused: list[InputError]) -> list[RasterAcquisition]:
    own = [(name, match.group(1)) for name in tree.names if (match := _PRODUCT.match(name))]
    if not own:
        raise InputError(str(tree.path), "no MTD_MSIL1C.xml or MTD_MSIL2A.xml in it", "missing")
    name, level = own[0]
    metadata = parse_product(tree.read(name), tree.where(name), level, PurePosixPath(tree.root or tree.path.name).name)
    granules: dict[str, list[str]] = {}
    for item in tree.names:
        parts = item.split("/")
        if parts[0] == "GRANULE" and len(parts) > 2 and parts[-1]:
            granules.setdefault(parts[1], []).append(item)
    found = []
    for granule, names in granules.items():
        try:
            found.append(_acquisition(tree, metadata, granule, names, len(granules) == 1, refused))
        except InputError as error:
            refused.append(error)
    if not granules:
        raise InputError(str(tree.path), "no granule in it: the folder GRANULE is missing or empty", "missing")
    return found


def _acquisition(
    tree: _Tree, metadata: ProductMetadata, granule: str, names: list[str], only: bool, refused: list[InputError]
) -> RasterAcquisition:
    where = str(tree.path) if only else tree.where(f"GRANULE/{granule}")
    images = _images(names, metadata.level)
    _check_images(where, images, names, metadata.level)
    opened = [_plane(tree, images[band], band, metadata, refused) for band in S2_BANDS if band in images]
    planes = [plane for plane in opened if plane is not None]
    if not planes:
        raise InputError(where, "none of its images can be opened", "unreadable")
    mosaic = compose(planes)
    quality = tuple(_quality(tree, names, images, mosaic.planes, refused))
    missing = [band for band in S2_BANDS if band not in images and any(f"_{band}" in name for name in metadata.images)]
    notes = (f"announced in its metadata but not there: {', '.join(missing)}",) if missing else ()
    documents = [name for name in names if name.count("/") == 2 and _GRANULE.match(name.rsplit("/", 1)[1])]
    times = [parse_granule_time(tree.read(name), tree.where(name)) for name in documents]
    time = next((time for time in times if time), metadata.start_time)
    if time is None:
        raise InputError(where, "no sensing time in its metadata", "no-date")
    return RasterAcquisition(
        product_id=metadata.product_id if only else f"{metadata.product_id}/{granule}",
        sensing_time=time,
        grid=mosaic.grid,
        bands=tuple(plane.info for plane in mosaic.planes),
        block_shape=mosaic.block_shape,
        where=where,
        notes=notes + mosaic.notes,
        planes=mosaic.planes,
        quality=quality,
    )


def _images(names: Iterable[str], level: str) -> dict[str, str]:
    """Band (or SCL) -> the finest of its images that may be used for it."""
    best: dict[str, tuple[int, str]] = {}
    for name in names:
        match = _IMAGE.search(name)
        if match is None or "/IMG_DATA/" not in name:
            continue
        band, native = match.group(1), NATIVE_RESOLUTION_M.get(match.group(1), 60)
        resolution = int(match.group(2) or native)
        if band != "SCL" and band not in NATIVE_RESOLUTION_M:
            continue
        if level == "L2A" and resolution > max(native, 20):
            continue
        if band not in best or resolution < best[band][0]:
            best[band] = (resolution, name)
    return {band: name for band, (_, name) in best.items()}


def _check_images(where: str, images: dict[str, str], names: Iterable[str], level: str) -> None:
    if any(NATIVE_RESOLUTION_M.get(band, 60) <= 20 for band in images):
        return
    there = sorted({match.group(0)[1:-4] for name in names if (match := _IMAGE.search(name))})
    wanted = "R10m and R20m" if level == "L2A" else "IMG_DATA"
    reason = f"no 10 m or 20 m image of any band in {wanted}; there is only {', '.join(there) or 'no image at all'}"
    raise InputError(where, reason, "missing-band")


def _plane(tree: _Tree, name: str, band: str, metadata: ProductMetadata, refused: list[InputError]) -> Plane | None:
    try:
        radiometry = metadata.radiometry(band)
        with open_raster(tree.gdal(name)) as source:
            return plane_of(source, 1, band, radiometry, nodata=float(metadata.nodata), saturated=metadata.saturated)
    except KeyError:
        reason = "the product's metadata lists radiometric offsets, but none for this band"
        refused.append(InputError(tree.where(name), reason, "metadata"))
    except InputError as error:
        refused.append(error)
    return None


def _quality(
    tree: _Tree, names: Iterable[str], images: dict[str, str], planes: tuple[Plane, ...], refused: list[InputError]
) -> Iterable[QualityPlane]:
    """Scene classification of L2A; cloud classes of L1C since baseline 04.00 (before: vector masks, not read)."""
    layers = [(images["SCL"], 1, SCL_USABLE)] if "SCL" in images else []
    masks = [name for name in names if _CLASSES.match(name.rsplit("/", 1)[1])]
    layers += [(name, index, CLASSI_USABLE) for name in masks[:1] for index in CLASSI_CLOUD_BANDS if not layers]
    finest = max(planes, key=lambda plane: plane.size)
    for name, index, usable in layers:
        try:
            with open_raster(tree.gdal(name)) as source:
                plane = plane_of(source, index, "classes")
            yield QualityPlane(replace(plane, factor=fit(plane, finest) * finest.factor), usable)
        except InputError as error:
            refused.append(error)
