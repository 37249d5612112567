"""Passes of a satellite over a station, by SGP4 through skyfield (to half a second). Without refraction.

No file is fetched. The horizon is the station's minimum elevation. A pass that has begun before the span, or outlasts
it, is cut there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from skyfield.api import EarthSatellite, Timescale, load, wgs84

from ground.passes.files import Station, Tle
from onboard.errors import UsageError

RISE, CULMINATION, SET = 0, 1, 2


@dataclass(frozen=True)
class Pass:
    """One pass over one station; times UTC, angles in degrees, azimuths from north over east."""

    station: str
    rise: datetime
    culmination: datetime
    set: datetime
    elevation: float
    rise_azimuth: float
    set_azimuth: float

    @property
    def seconds(self) -> float:
        """From rise to set."""
        return (self.set - self.rise).total_seconds()


def epoch_of(tle: Tle) -> datetime:
    """What the elements hold for, UTC."""
    return _satellite(tle).epoch.utc_datetime()


def passes(tle: Tle, station: Station, start: datetime, end: datetime, min_elevation: float) -> list[Pass]:
    """All passes within a span, by time.

    Args:
        min_elevation: degrees, where the station names none.

    Raises:
        UsageError: the elements cannot be propagated to this time.
    """
    horizon = min_elevation if station.min_elevation is None else station.min_elevation
    satellite, times = _satellite(tle), _timescale()
    site = wgs84.latlon(station.latitude, station.longitude, elevation_m=station.altitude)
    t0, t1 = times.from_datetime(start), times.from_datetime(end)

    fault = satellite.at(t0).message or satellite.at(t1).message
    if fault:
        raise UsageError(f"{tle.name}: these elements do not reach that time ({fault})")

    def looks(at: Any) -> tuple[float, float]:
        elevation, azimuth, _ = (satellite - site).at(at).altaz()
        return float(elevation.degrees), float(azimuth.degrees)

    events = [
        (time.utc_datetime(), time, int(kind))
        for time, kind in zip(*satellite.find_events(site, t0, t1, horizon), strict=True)
    ]
    found: list[Pass] = []
    rise: tuple[datetime, Any] | None = (start, t0) if looks(t0)[0] > horizon else None
    highest: tuple[float, datetime] | None = None
    for when, time, kind in [*events, (end, t1, SET)]:
        if kind == RISE:
            rise, highest = (when, time), None
        elif rise is not None:
            elevation = looks(time)[0]
            if highest is None or elevation > highest[0]:
                highest = (elevation, when)
            if kind == SET:
                first = looks(rise[1])
                highest = max(highest, (first[0], rise[0]))
                found.append(Pass(station.name, rise[0], highest[1], when, highest[0], first[1], looks(time)[1]))
                rise = None
    return [one for one in found if one.seconds > 0]


def _satellite(tle: Tle) -> EarthSatellite:
    return EarthSatellite(tle.line1, tle.line2, tle.name, _timescale())


@lru_cache(maxsize=1)
def _timescale() -> Timescale:
    return load.timescale(builtin=True)


def utc(text: str) -> datetime:
    """An ISO time; one without a zone is taken to be in UTC.

    Raises:
        UsageError: not one.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text}: an ISO time wanted, e.g. 2026-05-01T10:00:00Z") from error
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
