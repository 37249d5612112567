"""A pass put together: ground of the day, disaster, sun, atmosphere, sensor. Block by block, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onboard.sense.simulator.atmosphere import Air, AirWindow, air_window, apply_air, make_air
from onboard.sense.simulator.disasters import Disaster, Effect, plan_disaster
from onboard.sense.simulator.landscape import FIRST, ROAD, SLOTS, Land, make_land
from onboard.sense.simulator.noise import F32, generator
from onboard.sense.simulator.season import Table, spectra_table
from onboard.sense.simulator.sensor import HALO, Sensor, expose, make_sensor
from onboard.sense.simulator.spec import Look, SimSpec, Style, looks_of, style_of
from onboard.sense.simulator.spectra import BANDS

BLOCK = 384
"""Side of a block in pixels; even, so that 20 m pixels never straddle two."""

CHANGED, HIDDEN = 1, 2
"""Bits of the mask layer: truly changed by the disaster and in sight; under cloud or in a cloud's shadow."""

_SKY_LIGHT = 0.22  # of the light on flat ground that relief does not touch


@dataclass(frozen=True)
class Pass:
    """Everything about one look that is drawn before its pixels."""

    look: Look
    sensor: Sensor
    air: Air
    low_water: float
    is_event: bool


class Block(NamedTuple):
    """One rendered part of one pass: pixels uint16 (10, H, W) and mask bits uint8 (H, W), at `row`, `col`."""

    number: int
    row: int
    col: int
    pixels: NDArray[np.uint16]
    bits: NDArray[np.uint8]


@dataclass(frozen=True)
class Scene:
    """A stream's world and its passes, in time order."""

    spec: SimSpec
    style: Style
    passes: tuple[Pass, ...]


def make_scene(spec: SimSpec) -> Scene:
    """Dates, weather and instrument of every pass; no pixel of the ground yet (a few ms per pass)."""
    style = style_of(spec)
    looks = looks_of(spec, style)
    passes = []
    for index, look in enumerate(looks):
        low = 0.45 * float(generator(spec.world, "river", look.time.isoformat()).random()) ** 2
        low *= min(1.0, max(0.0, (style.river_px - 2) / 3))
        is_event = index == len(looks) - 1 and spec.disaster != "none"
        sensor = make_sensor(spec, look, len(looks) - 1 - index)
        if is_event and spec.disaster == "flood":
            low = 0.0
        passes.append(Pass(look, sensor, make_air(spec, look), low, is_event))
    return Scene(spec, style, tuple(passes))


def render(scene: Scene, indices: Iterable[int]) -> Iterator[Block]:
    """Blocks of the passes `indices`, all passes of a block before the next block.

    The ground of a block is made once for all passes asked for, so asking for all of them at once is cheapest. Memory:
    about 40 MB whatever the scene's size.
    """
    spec = scene.spec
    wanted = list(indices)
    disaster = plan_disaster(spec, scene.style) if any(scene.passes[i].is_event for i in wanted) else None
    tables = {}
    for i in wanted:
        one = scene.passes[i]
        tables[i] = spectra_table(spec.world, scene.style, one.look, rain=one.is_event and spec.disaster == "flood")
    for row in range(0, spec.size, BLOCK):
        for col in range(0, spec.size, BLOCK):
            height, width = (min(BLOCK, spec.size - start + spec.size % 2) for start in (row, col))
            rows = np.arange(row - HALO, row + height + HALO, dtype=np.float64)
            cols = np.arange(col - HALO, col + width + HALO, dtype=np.float64)
            land = make_land(spec.world, scene.style, rows, cols)
            for i in wanted:
                pixels, bits = _render_block(scene.passes[i], land, tables[i], disaster, (row, col))
                keep = (min(height, spec.size - row), min(width, spec.size - col))
                yield Block(i, row, col, pixels[:, : keep[0], : keep[1]], bits[: keep[0], : keep[1]])


def _render_block(
    one: Pass, land: Land, table: Table, disaster: Disaster | None, block: tuple[int, int]
) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    effect = disaster(land) if disaster is not None and one.is_event else None
    air = air_window(one.air, land.rows, land.cols)
    light = _light(land, one.look)
    bank = _exposed_bank(land, one.low_water)
    gravel = table.base[FIRST[ROAD] + SLOTS[ROAD] - 1]
    bands = []
    for band in range(len(BANDS)):
        image = table.base[:, band][land.unit] + table.delta[:, band][land.unit] * land.mix
        image += bank * (gravel[band] - image)
        if effect is not None:
            for spectrum, share in effect.layers:
                image += share * (np.float32(spectrum[band]) - image)
        np.maximum(image, np.float32(0.001), out=image)
        image *= light
        apply_air(image, air, band)
        bands.append(expose(image, one.sensor, band, block))
    return np.stack(bands), _bits(one, effect, air)


def _light(land: Land, look: Look) -> F32:
    """Sunlight on the slope relative to flat ground (Lambert, cos i / cos z), with the sky's share; float32 (H, W)."""
    terrain = land.terrain
    still = terrain.shore < 1
    towards_y, towards_x = -math.cos(look.sun_azimuth), math.sin(look.sun_azimuth)
    tilt = math.tan(look.sun_zenith)
    rise = terrain.slope_y * np.float32(towards_y) + terrain.slope_x * np.float32(towards_x)
    facing = np.float32(1) - np.float32(tilt) * rise
    facing /= np.sqrt(np.float32(1) + np.square(terrain.slope_y) + np.square(terrain.slope_x))
    light = np.float32(_SKY_LIGHT) + np.float32(1 - _SKY_LIGHT) * np.clip(facing, 0, 2)
    return np.where(still, np.float32(1), light)


def _exposed_bank(land: Land, low_water: float) -> F32:
    """Share of each water pixel that low water leaves dry: gravel bars and lake shores come and go between passes."""
    shore = land.terrain.shore
    dry = np.clip((shore - np.float32(1 - low_water)) * np.float32(8), 0, 1)
    return np.where(shore < 1, dry, np.float32(0)).astype(np.float32)


def _bits(one: Pass, effect: Effect | None, air: AirWindow) -> NDArray[np.uint8]:
    """Mask bits on the pass's own pixels: the world's masks moved by the pass's registration, to the nearest pixel."""
    hidden = air.masked
    bits = np.where(hidden, np.uint8(HIDDEN), np.uint8(0))
    if effect is not None:
        bits |= np.where(effect.mask & ~hidden, np.uint8(CHANGED), np.uint8(0))
    moves = [HALO + round(shift) for shift in one.sensor.shift]
    height, width = bits.shape[0] - 2 * HALO, bits.shape[1] - 2 * HALO
    return np.ascontiguousarray(bits[moves[0] : moves[0] + height, moves[1] : moves[1] + width])
