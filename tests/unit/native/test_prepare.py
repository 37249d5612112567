"""Tables by their steps, and tiles in either order, with wide registers and without: all give what NumPy gives."""

import numpy as np
import pytest

from onboard.change.record import record_dtype
from onboard.native.pixels import Preparer, steps_of
from onboard.sense.acquisition import BandInfo
from onboard.sense.normalise import BandStatistics, NormaliseRule, input_table, quantised_table
from onboard.sense.tiles import sub_cell_means

S2 = ("B02", "B03", "B04", "B08", "B05", "B06", "B07", "B8A", "B11", "B12", "B01", "B09", "B10")
ZERO = 128


def a_table(median, spread, offset=-1000.0):
    info, rule = BandInfo("B02", offset, 10_000.0), NormaliseRule()
    return quantised_table(input_table(info, BandStatistics(median, spread, 9), rule), rule.limit / 127, ZERO)


def rising(*at):
    """A table with a level more from each of these DN on."""
    return np.searchsorted(np.sort(at), np.arange(65_536), side="right").astype(np.uint8)


def level(steps, dn):
    """As steps.h has it."""
    x = np.minimum(np.maximum(dn, steps.first) - steps.first, steps.span)
    place, rest = x >> steps.shift, (x << (16 - steps.shift)) & 0xFFFF
    base, slope, bend = (np.array(field, np.int64)[place] for field in (steps.base, steps.slope, steps.bend))
    reached, between = np.array(steps.reached, np.int64), 4 * (rest * (0xFFFF - rest) >> 16)
    near = (base + (rest * slope >> 16) + (between * bend >> 16)) >> 8
    return near + (dn >= reached[near])


@pytest.mark.parametrize("spread", [0.02, 0.1, 0.3, 0.6])
@pytest.mark.parametrize("median", [-2.2, -1.5, -0.8, 0.0])
def test_steps_are_the_table(compiled, median, spread):
    table, dn = a_table(median, spread), np.arange(1, 65_535)
    (steps,) = steps_of(table[None])
    assert steps.made
    assert (level(steps, dn) == table[1:-1]).all()


@pytest.mark.parametrize(
    ("table", "made"),
    [
        (rising(700), True),
        (rising(2, 3), True),
        (rising(65_534), True),
        (rising(1), False),  # one level among what has data
        (rising(), False),
        (rising(*range(500, 755)), True),
        (rising(*range(2, 65_000, 255)), True),
        (rising(*[900] * 40, 1_000), False),  # forty levels at once are no line
        (rising(*np.geomspace(300, 64_000, 255).astype(int)), False),  # bends too much
        (rising(700)[::-1].copy(), False),
    ],
)
def test_odd_tables(compiled, table, made):
    (steps,) = steps_of(table[None])
    assert bool(steps.made) == made
    if made:
        assert (level(steps, np.arange(1, 65_535)) == table[1:-1]).all()


def numpy_tiles(dn, tables, valid, channels):
    """Tiles and their planes (B, H, W)."""
    planes = np.stack([np.where(valid, table[band], ZERO) for table, band in zip(tables, dn, strict=True)])
    bands, height, width = planes.shape
    cells = planes.reshape(bands, height // 32, 32, width // 32, 32).transpose(1, 3, 0, 2, 4).reshape(-1, bands, 32, 32)
    if not channels:
        return cells, planes
    filled = np.pad(cells, ((0, 0), (0, channels - bands), (0, 0), (0, 0)))
    return filled.transpose(0, 2, 3, 1), planes


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize(
    ("bands", "channels"), [(1, 0), (1, 4), (4, 4), (5, 8), (7, 8), (10, 0), (10, 12), (10, 16), (11, 12), (13, 16)]
)
@pytest.mark.parametrize("holes", ["none", "nodata", "saturated", "quality"])
def test_tiles_and_means(compiled, bands, channels, wide, holes):
    rng = np.random.default_rng(bands)
    names = S2[:bands]
    dtype = record_dtype(64, names)
    fine, coarse = list(range(min(bands, 4))), list(range(4, bands))
    tables = np.stack([a_table(rng.normal(-1.5, 0.3), rng.uniform(0.1, 0.5)) for _ in names])
    tables[-1] = rising(*np.geomspace(300, 64_000, 255).astype(int))  # by memory
    dn = rng.integers(1, 9_000, (bands, 96, 160), dtype=np.uint16)
    quality, valid = None, np.ones((64, 96), bool)
    part = dn[:, 32:, 40:136]  # lines that do not follow each other
    if holes == "nodata":
        part[bands // 2, 10:40, 3:50] = 0
    elif holes == "saturated":
        part[-1, 63, 95] = 65_535
    elif holes == "quality":
        quality = rng.random((64, 96)) < 0.8
        valid = quality
    valid = valid & (part.min(axis=0) > 0) & (part.max(axis=0) < 65_535)
    preparer = Preparer(tables, steps_of(tables), dtype, fine, coarse, ZERO, channels, wide)
    tiles = np.full((6, 32, 32, channels) if channels else (6, bands, 32, 32), 77, np.uint8)
    records, seen = np.zeros(6, dtype), np.empty((64, 96), bool)
    assert preparer.prepare(part, quality, tiles, records, seen) == valid.all()
    wanted, planes = numpy_tiles(part, tables, valid, channels)
    assert (seen == valid).all()
    assert (tiles == wanted).all()
    assert (records["fine"] == sub_cell_means(planes[fine], 4)).all()
    if coarse:
        assert (records["coarse"] == sub_cell_means(planes[coarse], 8)).all()


@pytest.mark.parametrize("shape", [(2, 1, 32, 32), (1, 32, 32, 4), (1, 2, 32, 32)])
def test_tiles_of_another_shape_are_refused(compiled, shape):
    tables, dtype = np.zeros((1, 65_536), np.uint8), record_dtype(64, S2[:1])
    preparer = Preparer(tables, steps_of(tables), dtype, [0], [], ZERO)
    with pytest.raises(ValueError, match="tiles"):
        preparer.prepare(
            np.zeros((1, 32, 32), np.uint16), None, np.zeros(shape, np.uint8), np.zeros(1, dtype),
            np.zeros((32, 32), bool),
        )  # fmt: skip


@pytest.mark.parametrize(("bands", "channels"), [(5, 4), (3, 6), (17, 20)])
def test_channels_that_do_not_fit_are_refused(compiled, bands, channels):
    tables = np.zeros((bands, 65_536), np.uint8)
    with pytest.raises(ValueError, match="channels"):
        Preparer(tables, steps_of(tables), record_dtype(64, S2[:4]), [0], [], ZERO, channels)
