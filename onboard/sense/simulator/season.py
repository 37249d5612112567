"""What the calendar does to the ground: one table of spectra per pass, from the phenology of every unit.

Fields follow crop calendars of mid-latitude Europe (JECAM-style: emergence, peak, senescence, harvest, ploughing), each
parcel with its own dates, soil and, every year, its own crop. Nothing in here is change to be detected.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from onboard.sense.simulator.landscape import BUILT, FIELD, FIRST, FOREST, GRASS, ROAD, ROCK, SHRUB, SLOTS, UNITS, WATER
from onboard.sense.simulator.noise import F32, F64, generator, hash32, key_of, uniform
from onboard.sense.simulator.spec import Look, Style
from onboard.sense.simulator.spectra import BANDS, SPECTRA

_CROP_SHARES = {"wheat": 0.3, "maize": 0.24, "rape": 0.1, "beet": 0.08, "meadow": 0.14, "vines": 0.08, "fallow": 0.06}
_WET_LOSS = np.linspace(0.30, 0.55, len(BANDS))  # of soil reflectance when soaked; water absorbs more in the SWIR


class Table(NamedTuple):
    """Reflectance of every unit in one pass: `base + mix * delta`, float32 (UNITS, 10) each."""

    base: F32
    delta: F32


def spectra_table(world: int, style: Style, look: Look, rain: bool = False) -> Table:
    """The table of a pass. Depends on its date alone, not on the other passes; `rain`: it poured the days before."""
    rng = generator(world, "weather", look.time.isoformat())
    wet = float(rng.random()) ** 2
    wet = 0.6 + 0.4 * wet if rain else wet
    base = np.zeros((UNITS, len(BANDS)))
    delta = np.zeros((UNITS, len(BANDS)))
    soils = _soils(world, style, wet, look)
    for cover, fill in ((FIELD, _fields), (FOREST, _forest), (SHRUB, _shrub), (GRASS, _grass)):
        part = slice(FIRST[cover], FIRST[cover] + SLOTS[cover])
        base[part], delta[part] = fill(world, style, look, soils[: SLOTS[cover]])
    _built(world, base, delta, wet)
    water = slice(FIRST[WATER], FIRST[WATER] + SLOTS[WATER])
    turbid = np.array([0.35 + 0.5 * rng.random(), *(0.5 * rng.random(SLOTS[WATER] - 1))])[:, None]
    base[water] = SPECTRA["lake"] * (1 - turbid) + SPECTRA["river"] * turbid * (1 + 0.3 * rng.random())
    delta[water] = base[water] * 0.03
    return Table(np.maximum(base, 0.001).astype(np.float32), delta.astype(np.float32))


def _draw(world: int, name: str, count: int, *more: int) -> F64:
    """Uniform [0, 1) per slot, fixed for the world."""
    key = key_of(world, "slot", name, *more)
    return uniform(hash32(key, np.arange(count))).astype(np.float64)


def _logistic(x: F64) -> F64:
    return 1 / (1 + np.exp(-np.clip(x, -40, 40)))


def _soils(world: int, style: Style, wet: float, look: Look) -> F64:
    """Bare soil of each parcel today: two soils of the region mixed, darker by the day's moisture."""
    count = SLOTS[FIELD]
    kinds = ("loam", "dark_soil", "red_soil", "pale_soil")
    first, second = key_of(world, "soil") % 4, key_of(world, "soil-2") % 4
    share = _draw(world, "soil-share", count)[:, None] ** 2
    soil = SPECTRA[kinds[first]] * (1 - share) + SPECTRA[kinds[second]] * share
    soil = soil * (0.82 + 0.36 * _draw(world, "soil-light", count)[:, None])
    patchy = _draw(world, "rain", count, look.time.toordinal())
    moisture = np.clip(wet * (1 - 0.5 * style.arid) * 1.2 + 0.5 * (patchy > 0.9), 0, 1)[:, None]
    return np.asarray(soil * (1 - _WET_LOSS * moisture))


def _fields(world: int, style: Style, look: Look, soils: F64) -> tuple[F64, F64]:
    count = SLOTS[FIELD]
    year, day = (look.time.year, look.day) if look.day < 268 else (look.time.year + 1, look.day - 365)
    pick = _draw(world, "crop", count, year)
    early = 14 * (_draw(world, "early", count, year) + _draw(world, "early-2", count, year) - 1)
    late = 30 * (_draw(world, "harvest", count, year) - 0.5)
    d = day - early
    green = np.zeros(count)
    dry = np.zeros(count)
    straw = np.zeros(count)
    other = np.zeros((count, len(BANDS)))
    other_share = np.zeros(count)
    bounds = np.cumsum([0.0, *_CROP_SHARES.values()])
    bounds[1:] *= (1 - style.rice) / bounds[-1]
    limits = zip(_CROP_SHARES, bounds[:-1], bounds[1:], strict=True)
    crops = {name: (pick >= low) & (pick < high) for name, low, high in limits}

    winter = 0.25 * _logistic((d + 45) / 12)
    cut = _logistic((day - 198 - late) / 0.7)
    ploughed = _logistic((day - 232 - 1.5 * late) / 0.7)
    m = crops["wheat"]
    green[m] = (0.85 * (winter + 0.75 * _logistic((d - 90) / 12)) * (1 - _logistic((d - 172) / 6)))[m]
    dry[m] = (0.9 * _logistic((d - 172) / 6) * (1 - cut))[m]
    straw[m] = (0.85 * cut * (1 - ploughed))[m]
    m = crops["rape"]
    bloom = np.exp(-(((d - 116) / 10) ** 2))
    green[m] = (0.9 * _logistic((d + 50) / 10) * (1 - 0.8 * bloom) * (1 - _logistic((d - 165) / 7)))[m]
    other[m], other_share[m] = SPECTRA["rape_flower"], (0.75 * bloom)[m]
    dry[m] = (0.85 * _logistic((d - 165) / 7) * (1 - _logistic((day - 190 - late) / 0.7)))[m]
    straw[m] = (0.8 * _logistic((day - 190 - late) / 0.7) * (1 - ploughed))[m]
    for crop, start, end in (("maize", 158, 246), ("beet", 145, 270)):
        m = crops[crop]
        before = 1 - _logistic((day - 92 - late) / 0.7)  # ploughed in spring; till then stubble or a cover crop
        covered = _draw(world, "cover-crop", count, year) < 0.5
        green[m] = (0.9 * _logistic((d - start) / 8) * (1 - _logistic((d - end) / 7)) + 0.5 * before * covered)[m]
        dry[m] = (0.85 * _logistic((d - end) / 7) * (1 - _logistic((day - 262 - late) / 0.7)))[m]
        straw[m] = (0.7 * before * ~covered + 0.8 * _logistic((day - 262 - late) / 0.7))[m]
    m = crops["meadow"]
    regrowth = ((day + 35 * _draw(world, "cut", count)) / 38) % 1.0
    green[m] = ((0.35 + 0.5 * regrowth**0.5) * (1 - 0.45 * style.arid * np.exp(-(((day - 215) / 45) ** 2))))[m]
    dry[m] = (0.95 - green[m]) * 0.6
    m = crops["vines"]
    green[m] = (0.22 + 0.28 * _logistic((d - 130) / 14) * (1 - _logistic((d - 285) / 12)))[m]
    m = crops["fallow"]
    green[m], dry[m] = 0.2, 0.45
    m = ~np.any(list(crops.values()), axis=0)  # what is left is rice: flooded in late spring
    flooded = _logistic((d - 118) / 2) * (1 - _logistic((d - 255) / 3))
    green[m] = (0.9 * _logistic((d - 178) / 8) * (1 - _logistic((d - 248) / 6)))[m]
    other[m], other_share[m] = SPECTRA["paddy"], (flooded * (1 - green))[m]

    parts = np.stack([green, dry, straw, other_share])
    parts /= np.maximum(parts.sum(axis=0), 1.0)
    green, dry, straw, other_share = parts[:, :, None]
    bare = 1 - green - dry - straw - other_share
    vigour = (0.85 + 0.3 * _draw(world, "vigour", count, year))[:, None]
    lush = SPECTRA["crop"] * np.where(np.arange(len(BANDS)) > 3, vigour, 2 - vigour)
    stubbles = SPECTRA["stubble"] * (0.85 + 0.3 * _draw(world, "straw", count)[:, None])
    base = green * lush + dry * SPECTRA["dry_crop"] + straw * stubbles + other_share * other + bare * soils
    delta = 0.11 * green * (lush - soils) + 0.05 * (dry + straw) * SPECTRA["dry_crop"] + 0.055 * bare * soils
    return base, delta


def _leaves(day: F64, style: Style) -> F64:
    """Share of leaves on the trees, 0..1."""
    north = style.latitude - 43
    return _logistic((day - 108 - 1.5 * north) / 6) * (1 - _logistic((day - 303 + north) / 7))


def _forest(world: int, style: Style, look: Look, soils: F64) -> tuple[F64, F64]:
    count = SLOTS[FOREST]
    needles = np.clip(1.6 * (_draw(world, "needles", count) - 1 + style.conifer) + 0.5, 0.03, 0.97)[:, None]
    day = look.day + 10 * (_draw(world, "leaf-day", count) - 0.5)
    leaves = _leaves(day, style)[:, None]
    turning = np.exp(-(((day - 288) / 14) ** 2))[:, None] * 0.7
    broad = SPECTRA["deciduous"] * (1 - turning) + SPECTRA["autumn"] * turning
    broad = leaves * broad + (1 - leaves) * SPECTRA["leaf_off"]
    light = 0.84 + 0.32 * _draw(world, "stand", count)[:, None]
    open_ground = 0.22 * _draw(world, "open", count)[:, None] ** 2
    crowns = light * (needles * SPECTRA["conifer"] + (1 - needles) * broad)
    base = crowns * (1 - open_ground) + 0.6 * open_ground * soils
    return base, 0.12 * base


def _shrub(world: int, style: Style, look: Look, soils: F64) -> tuple[F64, F64]:
    count = SLOTS[SHRUB]
    share = 0.45 + 0.45 * _draw(world, "shrub", count)[:, None]
    under, _ = _grass(world, style, look, soils)
    base = share * SPECTRA["shrub"] * (0.85 + 0.3 * _draw(world, "shrub-light", count)[:, None]) + (1 - share) * under
    return base, 0.12 * base + 0.05 * (soils - base)


def _grass(world: int, style: Style, look: Look, soils: F64) -> tuple[F64, F64]:
    count = SLOTS[GRASS]
    drought = style.arid * np.exp(-(((look.day - 220) / 50) ** 2))
    winter = 0.3 * np.exp(-((((look.day + 150) % 365 - 175) / 60) ** 2))
    green = np.clip(0.78 - 0.65 * drought - winter + 0.4 * (_draw(world, "grass", count) - 0.5), 0.08, 0.95)[:, None]
    base = green * SPECTRA["grass"] + (0.92 - 0.85 * green).clip(0) * SPECTRA["dry_grass"] + 0.08 * soils
    return base, 0.08 * base + 0.05 * (SPECTRA["grass"] - base)


def _built(world: int, base: F64, delta: F64, wet: float) -> None:
    """Roofs, roads, rock in place: the calendar passes them by, rain darkens the mineral ones."""
    count = SLOTS[BUILT]
    kind = _draw(world, "roof", count)
    tiles = 0.25 + 0.5 * key_of(world, "tiles") / 2**32
    roofs = np.where((kind < tiles)[:, None], SPECTRA["tile_roof"], SPECTRA["grey_roof"])
    roofs = np.where((kind > 0.85)[:, None], SPECTRA["dark_roof"], roofs)
    halls = np.where((kind[48:] > 0.6)[:, None], SPECTRA["white_roof"], SPECTRA["grey_roof"])
    roofs[48:] = halls
    light = 0.75 + 0.5 * _draw(world, "roof-light", count)[:, None]
    part = slice(FIRST[BUILT], FIRST[BUILT] + count)
    base[part], delta[part] = roofs * light, 0.08 * roofs
    roads = np.where(np.arange(SLOTS[ROAD])[:, None] < 6, SPECTRA["asphalt"], SPECTRA["gravel"])
    part = slice(FIRST[ROAD], FIRST[ROAD] + SLOTS[ROAD])
    base[part], delta[part] = roads * (1 - 0.3 * wet), 0.08 * roads
    rocks = SPECTRA["rock"] * (0.8 + 0.5 * _draw(world, "rock", SLOTS[ROCK])[:, None])
    part = slice(FIRST[ROCK], FIRST[ROCK] + SLOTS[ROCK])
    base[part], delta[part] = rocks * (1 - 0.25 * wet), 0.09 * rocks
