"""What is to be found: flood, fire, landslides, storm damage, each with the exact mask of the ground it changed.

A disaster is planned once on an overview of the scene (where, how high, how far) and then laid over any window as
**layers**: a spectrum and how much of each pixel it takes. The truth is where the layers take more than `VISIBLE`.
All of their spectra also occur where nothing happened: water and paddies, dark ploughed soil and shadow, bare soil,
stubble, gravel and leafless trees.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard.sense.simulator.landscape import (
    BUILT,
    FIELD,
    FOREST,
    GRASS,
    ROAD,
    ROCK,
    SHRUB,
    Land,
    make_land,
    make_terrain,
)
from onboard.sense.simulator.noise import F32, F64, fractal, generator, hash32, key_of, noise, smoothstep, uniform
from onboard.sense.simulator.spec import SimSpec, Style
from onboard.sense.simulator.spectra import SPECTRA

VISIBLE = 0.25
"""Share of a pixel that must have become something else for it to count as changed."""


@dataclass(frozen=True)
class Effect:
    """Layers (spectrum float64 (10,), share float32 (H, W)) to be laid on in order, and the mask bool (H, W)."""

    layers: tuple[tuple[F64, F32], ...]
    mask: NDArray[np.bool_]


_OPEN_TO_WATER = {FIELD: 0.92, FOREST: 0.3, SHRUB: 0.5, GRASS: 0.85, BUILT: 0.28, ROAD: 0.6, ROCK: 0.9}
_TALL_CROPS = 0.55  # share of parcels whose crop stands out of the flood

Disaster = Callable[[Land], Effect]


def plan_disaster(spec: SimSpec, style: Style) -> Disaster | None:
    """The scene's disaster as a function of any window, or None for `disaster=none`."""
    if spec.disaster == "none":
        return None
    step = max(8, math.ceil(spec.size / 256))
    steps = np.arange(step // 2, spec.size, step).astype(np.float64)
    plan = {"flood": _flood, "fire": _fire, "landslide": _landslide, "storm": _storm}[spec.disaster]
    return plan(spec, style, make_land(spec.world, style, steps, steps))


def _offsets(land: Land, row: float, col: float) -> tuple[F32, F32]:
    """Rows (H, 1) and columns (1, W) of a window counted from a point, float32."""
    return (land.rows - row)[:, None].astype(np.float32), (land.cols - col)[None, :].astype(np.float32)


def _share(cover: NDArray[np.uint8], shares: dict[int, float]) -> F32:
    """A number per cover, looked up per pixel."""
    table = np.zeros(8, np.float32)
    table[list(shares)] = list(shares.values())
    return table[cover]


def _effect(layers: list[tuple[F64, F32]]) -> Effect:
    left = np.ones_like(layers[0][1])
    for _, share in layers:
        left *= np.float32(1) - share
    return Effect(tuple(layers), np.asarray(left < np.float32(1 - VISIBLE)))


def _quantile(field: F32, where: NDArray[np.bool_], share: float) -> float:
    """The value below which `share` of the whole overview lies, counting only `where`."""
    values = np.sort(field[where])
    return float(values[min(values.size - 1, int(share * field.size))]) if values.size else 0.0


def _flood(spec: SimSpec, style: Style, overview: Land) -> Disaster:
    """Rivers out of their banks: everything below a level that falls off away from where it rained."""
    rng = generator(spec.world, "flood")
    share = 0.08 + 0.10 * float(rng.random())
    key = key_of(spec.world, "flood")

    def height(land: Land) -> F32:
        local = land.terrain.height + np.float32(0.9) * fractal(key, land.rows, land.cols, 40, 4)
        return np.asarray(local + np.float32(2.2) * smoothstep(-0.3, 1.3, noise(key + 1, land.rows, land.cols, 230)))

    level = _quantile(height(overview), overview.terrain.shore >= 1, share)

    def lay(land: Land) -> Effect:
        depth = np.float32(level) - height(land)
        # Hummocks break the margin; crowns, roofs and (by parcel) tall crops stand out of the water.
        under = smoothstep(0.0, 1.1, depth + np.float32(0.35) * land.mix) * (land.terrain.shore >= 1)
        tall = uniform(hash32(key, land.unit)) < np.float32(_TALL_CROPS)
        under *= _share(land.cover, _OPEN_TO_WATER)
        under *= np.where(tall & (land.cover == FIELD), np.float32(0.33), np.float32(1))
        mud = smoothstep(-1.2, 1.2, noise(key + 2, land.rows, land.cols, 60))
        muddy = under * mud
        clear = (under - muddy) / (np.float32(1.000001) - muddy)  # of what the layer below it leaves
        return _effect([(SPECTRA["muddy_water"], muddy), (SPECTRA["river"], clear)])

    return lay


def _fire(spec: SimSpec, style: Style, overview: Land) -> Disaster:
    """One burn scar: an oval torn by terrain and fuel, islands left green, severity in patches."""
    rng = generator(spec.world, "fire")
    share = 0.07 + 0.13 * float(rng.random())
    key = key_of(spec.world, "fire")
    wind = math.pi * float(rng.random())
    fuels = {FOREST: 1.0, SHRUB: 1.0, GRASS: 0.7, FIELD: 0.12}
    fuel = _share(overview.cover, fuels)
    middle = _richest(fuel, overview)

    def reach(land: Land) -> F32:
        dy, dx = _offsets(land, *middle)
        cos, sin = np.float32(math.cos(wind)), np.float32(math.sin(wind))
        far = np.sqrt(np.square(dy * cos + dx * sin) + np.float32(2.2) * np.square(dx * cos - dy * sin))
        return np.asarray(far * (np.float32(1) + np.float32(0.24) * fractal(key, land.rows, land.cols, 55, 6, 0.6)))

    radius = _quantile(reach(overview), fuel >= 0.7, share)

    def lay(land: Land) -> Effect:
        inside = smoothstep(0, 3, np.float32(radius) - reach(land))
        patchy = fractal(key + 1, land.rows, land.cols, 14, 4, 0.6)
        severity = smoothstep(-1.7, 0.6, patchy + np.float32(1.1) * (_share(land.cover, fuels) - np.float32(0.5)))
        burnt = inside * severity * np.float32(0.93) * (_share(land.cover, fuels) > 0.5)
        burnt *= land.terrain.shore >= 1
        ash = burnt * smoothstep(0.6, 1.8, noise(key + 2, land.rows, land.cols, 5)) * np.float32(0.6)
        return _effect([(SPECTRA["burnt"], burnt), (SPECTRA["ash"], ash)])

    return lay


def _richest(field: F32, overview: Land) -> tuple[float, float]:
    """World position of the fifth of the overview where `field` is highest on average, kept off the borders."""
    side = max(2, field.shape[0] // 4)
    total = np.zeros((field.shape[0] + 1, field.shape[1] + 1))
    total[1:, 1:] = field.astype(np.float64).cumsum(0).cumsum(1)
    boxes = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    row, col = divmod(int(np.argmax(boxes)), boxes.shape[1])
    return float(overview.rows[row + side // 2]), float(overview.cols[col + side // 2])


def _landslide(spec: SimSpec, style: Style, overview: Land) -> Disaster:
    """Many scars at once, as after an earthquake or cloudburst: each runs down the slope from a steep start."""
    rng = generator(spec.world, "landslide")
    key = key_of(spec.world, "landslide")
    steep = overview.terrain.steepness * _share(overview.cover, {FOREST: 1, SHRUB: 1, GRASS: 1, FIELD: 0.6, ROCK: 0.4})
    steep *= smoothstep(-1.0, 1.2, noise(key, overview.rows, overview.cols, 170)) + np.float32(0.05)
    wanted = max(4, int(spec.size**2 / 768**2 * (60 + 50 * float(rng.random()))))
    order = np.argsort(steep, axis=None, kind="stable")[::-1][: 6 * wanted]
    starts = order[(rng.random(wanted) * order.size).astype(np.int64)]
    slides = []
    for start in starts:
        row, col = divmod(int(start), steep.shape[1])
        step = overview.rows[1] - overview.rows[0]
        at = (overview.rows[row] + step * (rng.random() - 0.5), overview.cols[col] + step * (rng.random() - 0.5))
        length, width = 14 + 56 * float(rng.random()) ** 1.6, 1.8 + 3.2 * float(rng.random())
        slides.append(_run_out(spec, style, (float(at[0]), float(at[1])), length, width))
    table = np.concatenate(slides)

    def lay(land: Land) -> Effect:
        scar = np.full(land.cover.shape, -9, np.float32)  # pixels inside the nearest disc, negative outside
        top, left = land.rows[0], land.cols[0]
        for row, col, radius in table:
            r0, r1 = int(row - top - radius - 4), int(row - top + radius + 5)
            c0, c1 = int(col - left - radius - 4), int(col - left + radius + 5)
            part = (slice(max(r0, 0), max(r1, 0)), slice(max(c0, 0), max(c1, 0)))
            if scar[part].size == 0:
                continue
            dy, dx = _offsets(land, row, col)
            near = np.float32(radius) - np.sqrt(np.square(dy[part[0]]) + np.square(dx[:, part[1]]))
            np.maximum(scar[part], near, out=scar[part])
        ragged = scar + np.float32(0.55) * noise(key + 1, land.rows, land.cols, 3)
        share = smoothstep(0.0, 0.9, ragged) * np.float32(0.88) * (land.terrain.shore >= 1)
        soil = smoothstep(-1, 1, noise(key + 2, land.rows, land.cols, 25) + np.float32(0.5) * land.mix)
        return _effect([(SPECTRA["loam"], share), (SPECTRA["rock"], share * soil * np.float32(0.7))])

    return lay


def _run_out(spec: SimSpec, style: Style, start: tuple[float, float], length: float, width: float) -> F64:
    """Discs (row, col, radius) along the path a slide takes downhill: narrow head, wider foot. (n, 3)."""
    spacing, half = 2.0, 40
    around: F64 = np.arange(-half, half + 1, dtype=np.float64) * spacing
    local = make_terrain(spec.world, style, start[0] + around, start[1] + around)
    row, col, heading = 0.0, 0.0, np.zeros(2)
    discs = []
    steps = int(length)
    for step in range(steps):
        i, j = round(row / spacing) + half, round(col / spacing) + half
        down = -np.array([float(local.slope_y[i, j]), float(local.slope_x[i, j])])
        heading = 0.6 * heading + down
        norm = math.hypot(*heading)
        if norm < 0.12 or local.shore[i, j] < 1:
            break
        discs.append((start[0] + row, start[1] + col, width * (0.65 + 0.7 * step / steps)))
        row, col = row + heading[0] / norm, col + heading[1] / norm
        heading = heading / norm
    return np.array(discs).reshape(-1, 3)


def _storm(spec: SimSpec, style: Style, overview: Land) -> Disaster:
    """A swath of wind damage: thinned and fallen trees, torn roofs, debris, lodged crops, water in the hollows."""
    rng = generator(spec.world, "storm")
    key = key_of(spec.world, "storm")
    track = math.pi * float(rng.random())
    towards = (spec.size * (0.3 + 0.4 * float(rng.random())), spec.size * (0.3 + 0.4 * float(rng.random())))
    width = (0.13 + 0.10 * float(rng.random())) * min(spec.size, 2500)
    wet_level = _quantile(overview.terrain.height, overview.terrain.shore >= 1, 0.06 + 0.07 * float(rng.random()))

    def lay(land: Land) -> Effect:
        dy, dx = _offsets(land, *towards)
        away = dy * np.float32(math.cos(track)) + dx * np.float32(math.sin(track))
        away += np.float32(26) * noise(key, land.rows, land.cols, 120)
        force = np.float32(1) - np.abs(away) * np.float32(1 / width)
        force += np.float32(0.28) * fractal(key + 1, land.rows, land.cols, 30, 4, 0.6)
        broken = smoothstep(0.2, 0.6, force)
        pair_y, pair_x = np.floor(land.rows / 2).astype(np.int64), np.floor(land.cols / 2).astype(np.int64)
        house = uniform(hash32(key, pair_y[:, None], pair_x[None, :]))
        patch = smoothstep(-1.4, 0.6, noise(key + 2, land.rows, land.cols, 4))
        dry_land = land.terrain.shore >= 1
        torn = broken * (house < np.float32(0.65)) * _share(land.cover, {BUILT: 0.85, ROAD: 0.5})
        bare = broken * patch * _share(land.cover, {FOREST: 0.88, SHRUB: 0.6})
        strewn = broken * patch * _share(land.cover, {FOREST: 0.5, GRASS: 0.65, FIELD: 0.2, SHRUB: 0.45})
        strewn *= house < np.float32(0.75)
        tarps = torn * (house < np.float32(0.08))
        wet = smoothstep(0.0, 0.8, np.float32(wet_level) - land.terrain.height) * smoothstep(0.1, 0.6, force)
        wet *= _share(land.cover, {FIELD: 0.8, GRASS: 0.8, FOREST: 0.35, SHRUB: 0.6, ROAD: 0.6, BUILT: 0.3})
        layers = [("leaf_off", bare), ("debris", np.maximum(torn, strewn)), ("tarp", tarps), ("muddy_water", wet)]
        return _effect([(SPECTRA[name], share * dry_land) for name, share in layers])

    return lay
