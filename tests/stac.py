"""Validation of a static STAC catalogue without a network: pystac's own core schemas, and the extensions' fields.

pystac carries the schemas of the core and fetches those of extensions. What the four extensions used here say about
their fields (github.com/stac-extensions: file 2.1.0, processing 1.2.0, projection 2.0.0, raster 1.1.0) is stated below;
a field with an extension's prefix that is not in its table is refused.
"""

from __future__ import annotations

import json
from pathlib import Path

import pystac
from pystac.validation.stac_validator import JsonSchemaSTACValidator

_HOME = "https://stac-extensions.github.io/{}/v{}/schema.json"
_NUMBER, _TEXT = {"type": "number"}, {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}


def _fields(prefix: str, **properties: object) -> dict[str, object]:
    named = {f"{prefix}:{name}": rule for name, rule in properties.items()}
    others = {f"^(?!{prefix}:)": {}}
    return {"type": "object", "properties": named, "patternProperties": others, "additionalProperties": False}


def _schema(
    uri: str, properties: object = True, assets: object = True, required: tuple[str, ...] = ()
) -> dict[str, object]:
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": uri,
        "type": "object",
        "required": ["stac_extensions"],
        "properties": {
            "stac_extensions": {"type": "array", "contains": {"const": uri}},
            "properties": {"allOf": [properties, {"required": list(required)}]} if required else properties,
            "assets": {"type": "object", "additionalProperties": assets},
        },
    }


_FILE = _fields(
    "file",
    checksum={"type": "string", "pattern": "^1220[0-9a-f]{64}$"},  # multihash of a SHA-256
    size=_COUNT,
    header_size=_COUNT,
    byte_order={"enum": ["big-endian", "little-endian"]},
)
_PROCESSING = _fields(
    "processing",
    lineage=_TEXT,
    software={"type": "object", "additionalProperties": _TEXT, "minProperties": 1},
    level=_TEXT,
    facility=_TEXT,
    version=_TEXT,
    datetime={"type": "string", "format": "date-time"},
)
_PROJECTION = _fields(
    "proj",
    code={"type": ["string", "null"], "pattern": "^[A-Z]+:[0-9A-Za-z]+$"},
    wkt2={"type": ["string", "null"]},
    projjson={"type": ["object", "null"]},
    geometry={"type": "object"},
    bbox={"type": "array", "items": _NUMBER, "minItems": 4, "maxItems": 6},
    centroid={"type": "object", "required": ["lat", "lon"]},
    shape={"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
    transform={"type": "array", "items": _NUMBER, "minItems": 6, "maxItems": 9},
)
_BAND = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": False,
    "properties": {
        "data_type": {"enum": ["int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64"]},
        "nodata": {"anyOf": [_NUMBER, {"enum": ["nan", "inf", "-inf"]}]},
        "spatial_resolution": {"type": "number", "exclusiveMinimum": 0},
        "scale": _NUMBER,
        "offset": _NUMBER,
        "unit": _TEXT,
    },
}
_RASTER = _fields("raster", bands={"type": "array", "items": _BAND, "minItems": 1})

SCHEMAS = {
    (uri := _HOME.format("file", "2.1.0")): _schema(uri, assets=_FILE),
    (uri := _HOME.format("processing", "1.2.0")): _schema(uri, properties=_PROCESSING, assets=_PROCESSING),
    (uri := _HOME.format("projection", "2.0.0")): _schema(uri, _PROJECTION, _PROJECTION, required=("proj:code",)),
    (uri := _HOME.format("raster", "1.1.0")): _schema(uri, assets=_RASTER),
}


def validate(catalogue: Path) -> int:
    """Follow every link from a catalogue, validate every document, and look for every asset.

    Returns:
        how many items there are.
    """
    validator = JsonSchemaSTACValidator()
    validator.schema_cache.update(SCHEMAS)  # nothing is fetched: an extension that is not listed above is an error
    paths, items = [catalogue], 0
    while paths:
        path = paths.pop()
        document = json.loads(path.read_bytes())
        kind = pystac.STACObjectType("Feature" if document["type"] == "Feature" else document["type"])
        assert document["stac_version"] == "1.1.0"
        for uri in document.get("stac_extensions", []):
            assert uri in SCHEMAS, uri
        validator.validate(document, kind, "1.1.0", document.get("stac_extensions", []), None)
        for link in document["links"]:
            target = path.parent / link["href"]
            assert target.exists(), (path, link)
            if link["rel"] in ("child", "item"):
                paths.append(target)
        if document["type"] == "Feature":
            items += 1
            for asset in document["assets"].values():
                assert (path.parent / asset["href"]).stat().st_size == asset["file:size"]
    return items
