"""The ground: relief, rivers, land cover and texture of any window, from world coordinates alone.

A pixel is stored as a **unit** (which row of the season's table of spectra it takes), a **mix** (how far it lies from
that unit's mean, about -2..2: the texture) and what shading and disasters need. Field parcels, forest stands and roofs
share 4096, 512 and 64 personalities: enough that no two neighbours are alike, few enough for one small table per pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard.sense.simulator.noise import F32, F64, U32, fractal, hash32, key_of, noise, smoothstep, uniform, voronoi
from onboard.sense.simulator.spec import Style

WATER, FIELD, FOREST, SHRUB, GRASS, BUILT, ROAD, ROCK = range(8)

SLOTS = {WATER: 8, FIELD: 4096, FOREST: 512, SHRUB: 256, GRASS: 256, BUILT: 64, ROAD: 8, ROCK: 64}
FIRST = {cover: sum(list(SLOTS.values())[:index]) for index, cover in enumerate(SLOTS)}
UNITS = sum(SLOTS.values())

PIXEL_M = 10.0
_TURNS = 64


@dataclass(frozen=True)
class Terrain:
    """Relief of a window; arrays float32 (H, W).

    Attributes:
        height: metres above the river level.
        slope_y, slope_x: rise towards the south and the east, metres per metre.
        river: distance to the middle of the main river, pixels.
        shore: 0 in the middle of open water, 1 on its bank, above 1 on land.
    """

    height: F32
    slope_y: F32
    slope_x: F32
    river: F32
    shore: F32

    @property
    def steepness(self) -> F32:
        """Tangent of the slope angle."""
        return np.asarray(np.sqrt(np.square(self.slope_y) + np.square(self.slope_x)))


@dataclass(frozen=True)
class Land:
    """A window of ground; arrays (H, W). `rows`, `cols` are its world coordinates, float64."""

    rows: F64
    cols: F64
    terrain: Terrain
    cover: NDArray[np.uint8]
    unit: NDArray[np.uint16]
    mix: F32


def make_terrain(world: int, style: Style, rows: F64, cols: F64) -> Terrain:
    """Relief with valleys along rivers. `rows`, `cols` evenly spaced; at least 2 of each.

    Rivers are lines a fixed spacing apart, bent by noise until they meander; the ground rises away from them, so that
    height is at once the height above the nearest water, which is what a flood asks for.
    """
    main = _line_distance(world, "river", style.bearing, style.river_spacing_px, rows, cols, bend=70)
    spacing = 0.55 * style.river_spacing_px
    side = _line_distance(world, "brook", style.bearing + 1.2, spacing, rows, cols, bend=45)
    hills = fractal(key_of(world, "hills"), rows, cols, 230, 7, 0.5)
    crests = np.float32(1.2) - np.abs(fractal(key_of(world, "crests"), rows, cols, 105, 6, 0.48)) * np.float32(1.25)
    rough = hills * np.float32(1 - 0.65 * style.ridges) + crests * np.float32(0.65 * style.ridges)
    valley = np.float32(0.45) + np.float32(0.55) * smoothstep(0, 0.7 * style.valley_px, side)
    valley *= smoothstep(0.0, style.valley_px, main)
    level = np.maximum(np.float32(0.55) + np.float32(0.45) * rough, np.float32(0.04))
    height = np.float32(style.relief_m) * level * valley
    height += main * np.float32(0.015) + np.float32(0.5) * noise(key_of(world, "micro"), rows, cols, 14)
    spacing_y, spacing_x = float(rows[1] - rows[0]) * PIXEL_M, float(cols[1] - cols[0]) * PIXEL_M
    slope_y, slope_x = np.gradient(height)
    slope_y *= np.float32(1 / spacing_y)
    slope_x *= np.float32(1 / spacing_x)
    width = np.float32(1) + np.float32(0.3) * noise(key_of(world, "width"), rows, cols, 60)
    width *= np.float32(style.river_px)
    brook = side / np.float32(0.22 * style.river_px)
    brook = np.where(brook < 1, brook * np.float32(0.4), brook)  # too narrow to show a bank at low water
    shore = np.minimum(main / np.maximum(width, np.float32(0.5)), brook)
    lake = fractal(key_of(world, "lake"), rows, cols, 75, 4, 0.45)
    deep = np.float32(2.9 - 0.6 * style.lakes)
    flat = np.square(slope_y) + np.square(slope_x) < np.float32(0.02)
    basin = np.where(flat, np.float32(1) + (deep - lake) * np.float32(1.5), np.float32(9))
    shore = np.minimum(shore, basin)
    return Terrain(height, slope_y, slope_x, main, np.maximum(shore, np.float32(0)))


def _line_distance(world: int, name: str, bearing: float, spacing: float, rows: F64, cols: F64, bend: float) -> F32:
    """Distance in pixels to the nearest of a family of meandering lines `spacing` apart, about true near the line."""
    key = key_of(world, name)
    phase = (key % 1000) / 1000
    t = (rows * float(np.cos(bearing)))[:, None] + (cols * float(np.sin(bearing)))[None, :]
    bent = t.astype(np.float32) + np.float32(bend) * fractal(key, rows, cols, 170, 3, 0.42)
    turns = bent * np.float32(1 / spacing) + np.float32(phase)
    return np.asarray(np.abs(turns - np.floor(turns) - np.float32(0.5)) * np.float32(spacing))


def make_land(world: int, style: Style, rows: F64, cols: F64) -> Land:
    """Terrain, cover, units and texture of a window (see the module)."""
    terrain = make_terrain(world, style, rows, cols)
    y = np.broadcast_to(rows[:, None].astype(np.float32), terrain.height.shape)
    x = np.broadcast_to(cols[None, :].astype(np.float32), terrain.height.shape)
    steep = terrain.steepness

    def grain(name: str, period: float) -> F32:
        return noise(key_of(world, name), rows, cols, period)

    fine, coarse = grain("fine", 1.3), grain("coarse", 7.0)
    wood = fractal(key_of(world, "wood"), rows, cols, 70, 6, 0.62)
    wood += np.minimum(steep * np.float32(2.2), np.float32(1.6))
    wood += np.float32(2.6 * (style.forest - 0.5))
    warp_y, warp_x = y + 9 * grain("warp-y", 22), x + 9 * grain("warp-x", 22)

    parcel, edge, stripe = _parcels(world, style, warp_y, warp_x, y, x)
    cover = np.full(y.shape, FIELD, np.uint8)
    slot = parcel & np.uint32(SLOTS[FIELD] - 1)
    pattern = grain("field", 16)
    mix = np.float32(0.55) * pattern + np.float32(0.3) * coarse + np.float32(0.35) * fine + np.float32(0.5) * stripe

    # Strips between parcels: grass, some with trees. Scrub and rough grass stand around woods and on poor ground.
    hedge = (edge < np.float32(0.55)) & (uniform(hash32(3, parcel)) < np.float32(0.6))
    poor = wood + np.float32(1.1) * pattern * np.float32(0.3)
    _paint(cover, slot, GRASS, hedge | (poor > np.float32(1.45 * style.farm - 1.6)), hash32(5, parcel))
    scrubby = poor + np.float32(0.5 * style.arid) + np.float32(0.25) * coarse
    _paint(cover, slot, SHRUB, scrubby > np.float32(0.85 * style.farm - 0.6), hash32(5, parcel))

    stand, _, _ = voronoi(key_of(world, "stand"), warp_y, warp_x, 30)
    trees = wood + np.float32(0.12) * coarse > np.float32(0.4)
    trees |= hedge & (uniform(hash32(7, parcel)) < np.float32(0.25)) & (fine > np.float32(-0.5))
    _paint(cover, slot, FOREST, trees, stand)
    rocky = steep + np.float32(0.28) * fractal(key_of(world, "rock"), rows, cols, 12, 4, 0.7) > np.float32(1.35)
    _paint(cover, slot, ROCK, rocky, stand)
    texture = np.float32(0.75) * fine + np.float32(0.5) * coarse + np.float32(0.3) * pattern
    mix = np.where(cover == FIELD, mix, texture)

    _roads(world, style, rows, cols, cover, slot)
    _towns(world, style, terrain, rows, cols, y, x, cover, slot, mix)
    wet = terrain.shore < np.float32(1)
    still = np.uint32(8) + (hash32(9, stand) & np.uint32(31))  # slot 0 is the river, 1-4 are lakes and brooks
    _paint(cover, slot, WATER, wet, np.where(terrain.river < np.float32(3 * style.river_px), np.uint32(0), still))
    return Land(rows, cols, terrain, cover, _FIRST_TABLE[cover] + slot.astype(np.uint16), mix)


_FIRST_TABLE = np.array([FIRST[cover] for cover in range(len(FIRST))], np.uint16)


def _paint(cover: NDArray[np.uint8], slot: U32, kind: int, where: NDArray[np.bool_], names: U32) -> None:
    """Set a cover and its slot in place."""
    cover[where] = kind
    slot[where] = (names[where] >> np.uint32(3)) % np.uint32(SLOTS[kind])


def _turn(index: U32, y: F32, x: F32) -> tuple[F32, F32]:
    """Coordinates turned by one of `_TURNS` angles over a half circle, chosen per pixel."""
    angles = np.arange(_TURNS) * (np.pi / _TURNS)
    cos = np.cos(angles).astype(np.float32)[index % np.uint32(_TURNS)]
    sin = np.sin(angles).astype(np.float32)[index % np.uint32(_TURNS)]
    return y * cos - x * sin, y * sin + x * cos


def _parcels(world: int, style: Style, warp_y: F32, warp_x: F32, y: F32, x: F32) -> tuple[U32, F32, F32]:
    """Fields: districts of one direction, each cut into rectangles. (name, pixels to the edge, furrows)."""
    district, _, _ = voronoi(key_of(world, "district"), warp_y, warp_x, 75)
    common = int(style.bearing / np.pi * _TURNS)
    lean = (district >> np.uint32(4)) % np.uint32(11)
    v, u = _turn(np.uint32(common + _TURNS - 5) + lean + np.uint32(32) * (district & np.uint32(1)), y, x)
    lengths = np.array([14, 18, 24, 30, 36, 45, 55, 70], np.float32)
    widths = np.array([5, 7, 9, 11, 14, 17, 21, 26], np.float32)
    length = lengths[(district >> np.uint32(8)) & np.uint32(7)]
    width = widths[(district >> np.uint32(11)) & np.uint32(7)]
    across = v / width
    strip = np.floor(across)
    name = hash32(key_of(world, "strip"), strip.astype(np.int32), district)
    along = u / length + uniform(name)
    part = np.floor(along)
    parcel = hash32(key_of(world, "parcel"), part.astype(np.int32), name)
    edge_v = np.float32(0.5) - np.abs(across - strip - np.float32(0.5))
    edge_u = np.float32(0.5) - np.abs(along - part - np.float32(0.5))
    edge = np.minimum(edge_v * width, edge_u * length)
    stripe = uniform(hash32(key_of(world, "furrow"), np.floor(v * np.float32(0.7)).astype(np.int32))) - np.float32(0.5)
    return parcel, edge, stripe


def _roads(world: int, style: Style, rows: F64, cols: F64, cover: NDArray[np.uint8], slot: U32) -> None:
    """Two families of winding roads and a straight one."""
    families = (("road-1", 0.3, 210.0, 22.0, 0.55), ("road-2", 1.8, 260.0, 18.0, 0.5), ("way", 0.9, 900.0, 4.0, 1.2))
    for name, turn, spacing, bend, half in families:
        distance = _line_distance(world, name, style.bearing + turn, spacing, rows, cols, bend)
        on = distance < np.float32(half)
        cover[on] = ROAD
        slot[on] = (key_of(world, name) & 3) + (4 if half < 1 else 0)


def _towns(
    world: int, style: Style, terrain: Terrain, rows: F64, cols: F64, y: F32, x: F32,
    cover: NDArray[np.uint8], slot: U32, mix: F32,
) -> None:  # fmt: skip
    """Towns and villages in place: streets, roofs of 2-3 px, halls at the rim, gardens thinning outwards."""
    town, dy, dx = voronoi(key_of(world, "town"), y, x, 130)
    there = uniform(hash32(11, town)) < np.float32(style.towns)
    radius = np.float32(10) + np.float32(55) * np.square(uniform(hash32(12, town)))
    dense = np.float32(1) - np.sqrt(np.square(dy) + np.square(dx)) / radius
    dense += np.float32(0.28) * fractal(key_of(world, "sprawl"), rows, cols, 18, 3)
    dense -= terrain.steepness * np.float32(2) + (terrain.height < np.float32(2.0)).astype(np.float32)
    built = there & (dense > 0)
    if not built.any():
        return
    v, u = _turn(town >> np.uint32(5), dy, dx)
    block_v, block_u = v * np.float32(1 / 8.5), u * np.float32(1 / 13.0)
    in_v, in_u = block_v - np.floor(block_v), block_u - np.floor(block_u)
    street = built & ((in_v < np.float32(0.13)) | (in_u < np.float32(0.09)))
    block = hash32(13, np.floor(block_v).astype(np.int32), np.floor(block_u).astype(np.int32), town)
    hall = (uniform(block) < np.float32(0.16)) & (dense < np.float32(0.45))
    size = np.where(hall, np.float32(1 / 6.0), np.float32(1 / 1.7))
    house = hash32(14, np.floor(v * size).astype(np.int32), np.floor(u * size).astype(np.int32), town)
    roof = built & ~street & (uniform(house) < np.float32(0.42) + np.float32(0.4) * dense)
    garden = built & ~street & ~roof
    leafy = uniform(hash32(15, house))
    _paint(cover, slot, GRASS, garden, hash32(16, house))
    _paint(cover, slot, FOREST, garden & (leafy < np.float32(0.45)), hash32(16, house))
    # Roof slots: 0-47 houses (tiles, grey, dark), 48-63 halls (grey and white).
    cover[roof] = BUILT
    slot[roof] = np.where(hall, np.uint32(48) + block % np.uint32(16), (house >> np.uint32(4)) % np.uint32(48))[roof]
    cover[street] = ROAD
    slot[street] = 0
    mix[built] *= np.float32(0.8)
