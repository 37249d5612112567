"""The XML of Sentinel-2 products: identity, time, and the radiometry of each band.

Source: Sentinel-2 Products Specification Document (S2-PDGS-TAS-DI-PSD). Elements are found by their local name, because
namespaces differ between baselines. Documents with a DOCTYPE are refused: the products have none, entity bombs do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn
from xml.etree import ElementTree

from onboard.errors import InputError
from onboard.sense.bands import S2_BANDS
from onboard.sense.dates import parse_time
from onboard.sense.plane import Radiometry

MAX_XML_BYTES = 16 << 20
"""The largest real document, a granule's metadata, has under 2 MiB."""

QUANTIFICATION_TAGS = {
    "L1C": ("QUANTIFICATION_VALUE",),
    "L2A": ("BOA_QUANTIFICATION_VALUE", "L2A_BOA_QUANTIFICATION_VALUE"),
}
OFFSET_TAG = {"L1C": "RADIO_ADD_OFFSET", "L2A": "BOA_ADD_OFFSET"}


@dataclass(frozen=True)
class ProductMetadata:
    """What `MTD_MSIL1C.xml` or `MTD_MSIL2A.xml` states. `offsets` in DN; empty before baseline 04.00."""

    level: str
    product_id: str
    start_time: datetime | None
    quantification: float
    offsets: Mapping[str, float]
    nodata: int
    saturated: int
    images: tuple[str, ...]

    def radiometry(self, band: str) -> Radiometry:
        """Of one band; KeyError where the product lists offsets but none for this band."""
        return Radiometry(offset=self.offsets[band] if self.offsets else 0.0, quantification=self.quantification)


class _NoDoctype(ElementTree.TreeBuilder):
    def doctype(self, name: str, pubid: str | None, system: str | None) -> NoReturn:
        raise ValueError("it has a DOCTYPE, which no Sentinel-2 product has")


def parse_xml(data: bytes, where: str) -> dict[str, list[ElementTree.Element]]:
    """All elements of a document by local name.

    Raises:
        InputError: kind `metadata`: too large, not well-formed, or with a DOCTYPE.
    """
    if len(data) > MAX_XML_BYTES:
        raise InputError(where, f"metadata of {len(data) >> 20} MiB, more than any product has", "metadata")
    try:
        root = ElementTree.fromstring(data, ElementTree.XMLParser(target=_NoDoctype()))
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(where, f"damaged metadata: {error}", "metadata") from error
    elements: dict[str, list[ElementTree.Element]] = {}
    for element in root.iter():
        elements.setdefault(element.tag.rsplit("}", 1)[-1], []).append(element)
    return elements


def parse_product(data: bytes, where: str, level: str, name: str) -> ProductMetadata:
    """Read a product's own metadata.

    Args:
        data: the document.
        where: its path, for messages.
        level: `L1C` or `L2A`.
        name: product name to fall back on.

    Raises:
        InputError: kind `metadata`: damaged, or without the values reflectance needs.
    """
    elements = parse_xml(data, where)
    try:
        quantification = [float(text) for tag in QUANTIFICATION_TAGS[level] for text in _texts(elements, tag)]
        listed = elements.get(OFFSET_TAG[level], [])
        offsets = {S2_BANDS[int(item.attrib["band_id"])]: float(item.text or "") for item in listed}
        special = _special_values(elements)
    except (ValueError, KeyError, IndexError) as error:
        raise InputError(where, f"radiometric metadata cannot be read: {error!r}", "metadata") from error
    if not quantification or not quantification[0] > 0:
        raise InputError(where, f"no {QUANTIFICATION_TAGS[level][0]}: reflectance cannot be told from DN", "metadata")
    uri = next(iter(_texts(elements, "PRODUCT_URI") + _texts(elements, "PRODUCT_URI_2A")), name)
    starts = _texts(elements, "PRODUCT_START_TIME") + _texts(elements, "DATATAKE_SENSING_START")
    times = [parse_time(text) for text in starts]
    images = _texts(elements, "IMAGE_FILE") + _texts(elements, "IMAGE_ID") + _texts(elements, "IMAGE_FILE_2A")
    return ProductMetadata(
        level=level,
        product_id=re.sub(r"\.SAFE$", "", uri),
        start_time=next((time for time in times if time), None),
        quantification=quantification[0],
        offsets=offsets,
        nodata=special.get("NODATA", 0),
        saturated=special.get("SATURATED", 65_535),
        images=tuple(images),
    )


def parse_granule_time(data: bytes, where: str) -> datetime | None:
    """SENSING_TIME of a granule: its own moment, minutes after its datatake began."""
    times = (parse_time(text) for text in _texts(parse_xml(data, where), "SENSING_TIME"))
    return next((time for time in times if time), None)


def _texts(elements: Mapping[str, list[ElementTree.Element]], tag: str) -> list[str]:
    return [item.text.strip() for item in elements.get(tag, []) if item.text and item.text.strip()]


def _special_values(elements: Mapping[str, list[ElementTree.Element]]) -> dict[str, int]:
    names, values = _texts(elements, "SPECIAL_VALUE_TEXT"), _texts(elements, "SPECIAL_VALUE_INDEX")
    return {name.upper(): int(value) for name, value in zip(names, values, strict=False)}
