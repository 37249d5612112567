"""What `sim:` was asked for, and what follows from it for the whole scene: place, relief, covers, dates. No pixels."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import parse_qsl

from onboard.errors import UsageError
from onboard.sense.simulator.noise import generator, key_of

VERSION = 3
"""Of the world: raise it whenever any pixel changes, so that caches and quoted figures are not mixed up."""

DISASTERS = ("flood", "fire", "landslide", "storm")
OFFSETS = ("mixed", "0", "-1000")
REVISIT_DAYS = 5


@dataclass(frozen=True)
class SimSpec:
    """The options of a `sim:` stream.

    Attributes:
        seed: any non-negative integer.
        disaster: one of `DISASTERS`, or `none` (the last pass is then like the others).
        passes: history and event pass together, 1..40. More passes reach further back; the last ones stay the same.
        size: width and height in 10 m pixels, 64..10980.
        cloud: mean cloud fraction of a pass, 0..0.8. Single passes range from clear to twice that.
        offset: radiometric offset of the passes: `0`, `-1000`, or `mixed` between them. Reflectance is the same in all.
        snr: signal over standard deviation of every band on usual ground, as of a small sensor; 0: Sentinel-2's own.
    """

    seed: int
    disaster: str
    passes: int = 5
    size: int = 768
    cloud: float = 0.1
    offset: str = "mixed"
    snr: float = 0.0

    @property
    def world(self) -> int:
        """Key of the ground: of seed and disaster kind alone, so that every other option keeps the landscape."""
        return key_of("world", self.seed, self.disaster)

    @property
    def digest(self) -> str:
        """8 hex digits over all options."""
        given = {key: value for key, value in asdict(self).items() if key != "snr" or value}
        return blake2b(repr(sorted(given.items())).encode(), digest_size=4).hexdigest()


def parse_spec(text: str) -> SimSpec:
    """Read `sim:SEED[?option=value&...]`.

    Raises:
        UsageError: not a number, an unknown option, or a value out of range.
    """
    name, _, query = text.removeprefix("sim:").partition("?")
    if not (name.isascii() and name.isdigit() and int(name) < 2**63):
        raise UsageError(f"{text}: expected sim:SEED with a whole number, e.g. sim:7?disaster=flood")
    seed = int(name)
    options: dict[str, str] = {"disaster": DISASTERS[key_of("kind", seed) % len(DISASTERS)]}
    try:
        given = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError as error:
        raise UsageError(f"{text}: {error}") from None
    for key, value in given:
        if key not in ("disaster", "passes", "size", "cloud", "offset", "snr"):
            raise UsageError(f"{text}: no option {key!r}; there are disaster, passes, size, cloud, offset, snr")
        options[key] = value
    _choice(text, "disaster", options["disaster"], (*DISASTERS, "none"))
    _choice(text, "offset", options.get("offset", "mixed"), OFFSETS)
    return SimSpec(
        seed,
        options["disaster"],
        int(_number(text, "passes", options.get("passes", "5"), 1, 40, whole=True)),
        int(_number(text, "size", options.get("size", "768"), 64, 10980, whole=True)),
        _number(text, "cloud", options.get("cloud", "0.1"), 0.0, 0.8),
        options.get("offset", "mixed"),
        _number(text, "snr", options.get("snr", "0"), 0.0, 1000.0),
    )


def _choice(text: str, name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"{text}: {name}={value!r}; choose from {', '.join(choices)}")


def _number(text: str, name: str, value: str, low: float, high: float, whole: bool = False) -> float:
    try:
        number = float(int(value)) if whole else float(value)
    except ValueError:
        number = math.nan
    if not low <= number <= high:
        kind = "a whole number" if whole else "a number"
        raise UsageError(f"{text}: {name}={value!r}; expected {kind} {low:g}..{high:g}")
    return number


@dataclass(frozen=True)
class Style:
    """The character of a landscape. Lengths in 10 m pixels unless named; fractions 0..1."""

    relief_m: float
    ridges: float
    forest: float
    arid: float
    farm: float
    towns: float
    river_px: float
    river_spacing_px: float
    valley_px: float
    rice: float
    conifer: float
    lakes: float
    bearing: float
    latitude: float
    longitude: float


def _span(*spans: tuple[float, float]) -> dict[str, tuple[float, float]]:
    return dict(zip(("relief_m", "forest", "arid", "farm", "towns", "river_px"), spans, strict=True))


_RANGES: dict[str, dict[str, tuple[float, float]]] = {
    #         relief_m         forest           arid           farm           towns           river_px
    "flood": _span((25, 90), (0.10, 0.30), (0.0, 0.4), (0.8, 1.0), (0.4, 0.7), (4, 9)),
    "fire": _span((150, 450), (0.45, 0.70), (0.3, 1.0), (0.0, 0.4), (0.1, 0.3), (1, 3)),
    "landslide": _span((380, 620), (0.55, 0.80), (0.0, 0.4), (0.0, 0.3), (0.1, 0.3), (2, 4)),
    "storm": _span((15, 90), (0.38, 0.62), (0.0, 0.3), (0.05, 0.45), (0.5, 0.9), (2, 6)),
    "none": _span((20, 500), (0.10, 0.60), (0.0, 0.8), (0.2, 1.0), (0.2, 0.7), (1, 7)),
}


def style_of(spec: SimSpec) -> Style:
    """The landscape a seed stands for. Where disasters strike is not chance: slides need slopes, fires need fuel."""
    rng = generator(spec.world, "style")

    def draw(low: float, high: float) -> float:
        return low + (high - low) * float(rng.random())

    main = {name: draw(*span) for name, span in _RANGES[spec.disaster].items()}
    return Style(
        relief_m=main["relief_m"],
        ridges=min(1.0, main["relief_m"] / 500),
        forest=main["forest"],
        arid=main["arid"],
        farm=main["farm"],
        towns=main["towns"],
        river_px=main["river_px"],
        river_spacing_px=draw(650, 1000),
        valley_px=draw(90, 200) if main["relief_m"] < 150 else draw(110, 220),
        rice=draw(0.0, 0.15) if spec.disaster in ("flood", "storm", "none") else 0.0,
        conifer=draw(0.15, 0.85),
        lakes=draw(0.0, 1.0),
        bearing=draw(0, math.pi),
        latitude=draw(36, 50),
        longitude=draw(-9, 40),
    )


class Look(NamedTuple):
    """When and under which sun a pass sees the ground. Angles in radians; azimuth clockwise from north."""

    time: datetime
    sun_zenith: float
    sun_azimuth: float

    @property
    def day(self) -> float:
        """Day of the year, 1..366."""
        return float(self.time.timetuple().tm_yday)


def looks_of(spec: SimSpec, style: Style) -> list[Look]:
    """Sensing times in order, the last one the event's.

    Whole revisits apart; the gaps widen backwards (5 to 10 days before the event, then up to 25, 40, 55 ...; before a
    flood from up to 40 days on), as of an archive that keeps the clearest passes: any history reaches over seasons.
    """
    rng = generator(spec.world, "dates")
    first, last = {"fire": (170, 290), "none": (90, 300)}.get(spec.disaster, (110, 290))
    day = first + (last - first) * float(rng.random())
    year = 2019 + int(6 * rng.random())
    minutes = 10 * 60 + 32 - style.longitude * 4 + 18 * (float(rng.random()) - 0.5)  # mean local time 10:30
    time = datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=int(day), seconds=int(60 * minutes))
    looks = []
    overcast = 2 if spec.disaster == "flood" else 0  # the rain that brings a flood also hides the weeks before it
    for back in range(overcast, overcast + spec.passes):
        looks.append(_look(time, style))
        gap = REVISIT_DAYS * (1 + int((2 + 3 * back) * float(rng.random())))
        time -= timedelta(days=gap, seconds=int(20 * (float(rng.random()) - 0.5)))
    return looks[::-1]


def _look(time: datetime, style: Style) -> Look:
    """Solar position from declination and hour angle (Cooper 1969), good to about a degree."""
    declination = math.radians(23.45) * math.sin(2 * math.pi * (284 + time.timetuple().tm_yday) / 365)
    solar_hour = time.hour + time.minute / 60 + style.longitude / 15
    hour = math.radians(15 * (solar_hour - 12))
    latitude = math.radians(style.latitude)
    up = math.sin(latitude) * math.sin(declination) + math.cos(latitude) * math.cos(declination) * math.cos(hour)
    east = -math.cos(declination) * math.sin(hour)
    north = math.cos(latitude) * math.sin(declination) - math.sin(latitude) * math.cos(declination) * math.cos(hour)
    return Look(time, math.acos(up), math.atan2(east, north) % (2 * math.pi))
