"""The files that passes are computed from: a TLE, and a list of stations as GeoJSON or TOML."""

from __future__ import annotations

import json
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onboard.errors import UsageError


@dataclass(frozen=True)
class Tle:
    """Two-line elements, checked by their checksums; `name` is the line above them, else the catalogue number."""

    name: str
    line1: str
    line2: str


@dataclass(frozen=True)
class Station:
    """A ground station.

    Attributes:
        latitude, longitude: degrees, WGS84.
        altitude: metres above the ellipsoid.
        min_elevation: degrees above the horizon; None for the command's.
        rate: of its link, bit/s; None for the command's.
    """

    name: str
    latitude: float
    longitude: float
    altitude: float = 0.0
    min_elevation: float | None = None
    rate: int | None = None


def read_tle(path: Path) -> Tle:
    """The first elements in a file of two or three lines each.

    Raises:
        UsageError: not there, no elements, or a checksum that differs.
    """
    lines = [line.rstrip() for line in _text(path).splitlines() if line.strip()]
    for at, line in enumerate(lines[:-1]):
        following = lines[at + 1]
        if line.startswith("1 ") and following.startswith("2 "):
            for one in (line, following):
                if len(one) != 69 or _checksum(one) != one[68]:
                    raise UsageError(f"{path}: line {lines.index(one) + 1} is damaged (length or checksum)")
            if line[2:7] != following[2:7]:
                raise UsageError(f"{path}: the two lines are of different satellites")
            name = lines[at - 1].removeprefix("0 ").strip() if at else line[2:7]
            return Tle(name, line, following)
    raise UsageError(f"{path}: no two-line elements in it")


def read_stations(path: Path) -> list[Station]:
    """Stations from GeoJSON points (properties `name`, `min_elevation`, `rate`) or TOML tables `[[station]]` with
    `name`, `latitude`, `longitude`, `altitude`, `min_elevation`, `rate`.

    Raises:
        UsageError: not there, or not of this form.
    """
    text = _text(path)
    try:
        if path.suffix.lower() == ".toml":
            stations = [_station(dict(entry)) for entry in tomllib.loads(text)["station"]]
        else:
            stations = [_of_feature(feature) for feature in json.loads(text)["features"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: not a list of stations ({type(error).__name__}: {error})") from error
    if not stations:
        raise UsageError(f"{path}: no station in it")
    if len({station.name for station in stations}) < len(stations):
        raise UsageError(f"{path}: two stations of one name")
    return stations


def _of_feature(feature: dict[str, Any]) -> Station:
    if feature["geometry"]["type"] != "Point":
        raise ValueError(f"a {feature['geometry']['type']} is no station")
    longitude, latitude, *altitude = feature["geometry"]["coordinates"]
    where = {"longitude": longitude, "latitude": latitude, "altitude": altitude[0] if altitude else 0.0}
    known = {k: v for k, v in (feature.get("properties") or {}).items() if k in ("name", "min_elevation", "rate")}
    return _station(known | where)


def _station(fields: dict[str, Any]) -> Station:
    rate = fields.pop("rate", None)
    name = str(fields.pop("name"))
    station = Station(
        name, rate=None if rate is None else int(rate), **{k: float(v) for k, v in fields.items() if v is not None}
    )
    numbers = (station.latitude, station.longitude, station.altitude, station.min_elevation or 0.0)
    if not all(map(math.isfinite, numbers)) or abs(station.latitude) > 90 or abs(station.longitude) > 180:
        raise ValueError(f"{name} lies nowhere on Earth")
    if not -5 <= (station.min_elevation or 0.0) < 90 or (rate is not None and not 0 < station.rate < 1 << 32):  # type: ignore[operator]
        raise ValueError(f"{name}: elevation or rate out of range")
    return station


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not a text file") from error


def _checksum(line: str) -> str:
    """Of a line of elements: digits and one for each minus, modulo ten (NORAD)."""
    return str(sum(int(c) if c.isdigit() else c == "-" for c in line[:68]) % 10)
