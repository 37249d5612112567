"""Offset and scale that a GeoTIFF or netCDF variable states in its own metadata. Never guessed from a date."""

from __future__ import annotations

from collections.abc import Mapping

from rasterio.io import DatasetReader

from onboard.errors import InputError
from onboard.sense.plane import QUANTIFICATION, Radiometry
from onboard.sense.raster import display

OFFSET_TAGS = ("BOA_ADD_OFFSET", "RADIO_ADD_OFFSET")
QUANTIFICATION_TAGS = ("QUANTIFICATION_VALUE", "BOA_QUANTIFICATION_VALUE")


def band_radiometry(source: DatasetReader, index: int) -> Radiometry:
    """Radiometry of one band of an open dataset.

    GDAL's own scale and offset win (reflectance = value * scale + offset, hence offset / scale in DN); an offset beside
    a scale of 1 can only mean DN. Then the tags of ESA's metadata, on the band or on the dataset.

    Raises:
        InputError: kind `metadata`: a value is no number, or a scale is not positive.
    """
    scale, offset = float(source.scales[index - 1]), float(source.offsets[index - 1])
    tags = {key.upper(): value for key, value in (source.tags() | source.tags(index)).items()}
    tagged_offset = _number(source, tags, OFFSET_TAGS)
    quantification = _number(source, tags, QUANTIFICATION_TAGS)
    if not scale > 0 or (quantification is not None and not quantification > 0):
        raise InputError(display(source.name), f"band {index}: its scale is not positive", "metadata")
    if scale != 1.0:
        return Radiometry(offset=round(offset / scale, 6), quantification=round(1.0 / scale, 6))
    if offset == 0.0 and tagged_offset is not None:
        offset = tagged_offset
    if quantification is None and offset != 0.0:
        quantification = QUANTIFICATION
    return Radiometry(offset=offset, quantification=quantification)


def _number(source: DatasetReader, tags: Mapping[str, str], names: tuple[str, ...]) -> float | None:
    for name in names:
        if name in tags:
            try:
                return float(tags[name])
            except ValueError:
                reason = f"tag {name} is {tags[name]!r}, not a number"
                raise InputError(display(source.name), reason, "metadata") from None
    return None
