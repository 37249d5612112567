"""The displacement that is found is the one that was put in, and nothing is moved without reason."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard.change.record import FINE_PX, FLAG_CLEAR, record_dtype
from onboard.change.registration import SEARCH_PX, Displacement, Sample, estimate
from onboard.sense.chunks import plan_chunks
from onboard.sense.grid import CELL
from onboard.sense.tiles import sub_cell_means

MARGIN = 24
BANDS = ("B04", "B08")


def place(rows, cols, seed=0):
    """Smooth texture with a margin around the cells: uint8 (2, H + 48, W + 48)."""
    height, width = rows * CELL + 2 * MARGIN, cols * CELL + 2 * MARGIN
    white = np.fft.rfft2(np.random.default_rng(seed).normal(size=(len(BANDS), height, width)))
    along = np.fft.fftfreq(height)[:, None] ** 2 + np.fft.rfftfreq(width)[None] ** 2
    smooth = np.fft.irfft2(white * np.exp(-2 * np.pi**2 * 9 * along), s=(height, width))
    return np.clip(np.rint(128 + 30 * smooth / smooth.std()), 0, 255).astype(np.uint8)


def remembered(pixels):
    """Clear records (rows, cols) of a picture."""
    fine = sub_cell_means(np.ascontiguousarray(pixels), FINE_PX)
    records = np.zeros(len(fine), dtype=record_dtype(1, BANDS))
    records["fine"], records["flags"] = fine, FLAG_CLEAR
    return records.reshape(pixels.shape[1] // CELL, pixels.shape[2] // CELL)


def seen(picture, rows, cols, dy=0.0, dx=0.0, scale=0.0):
    """What a new pass sees that lies (dy, dx) px + `scale` x position off: to the nearest pixel of the old one."""
    ys, xs = np.arange(rows * CELL), np.arange(cols * CELL)
    ys = np.rint(ys - dy - scale * ys).astype(int) + MARGIN
    xs = np.rint(xs - dx - scale * xs).astype(int) + MARGIN
    return picture[:, ys[:, None], xs]


def two_passes(dy=0.0, dx=0.0, scale=0.0, rows=6, cols=8, seed=0):
    """(new pixels, past records) of one place."""
    picture = place(rows, cols, seed)
    return seen(picture, rows, cols, dy, dx, scale), remembered(seen(picture, rows, cols))


def all_cells(rows=6, cols=8):
    return np.divmod(np.arange(rows * cols), cols)


def moved(new, past):
    return estimate([Sample(0, 0, new, past)]).of_cells(*all_cells(*past.shape))


def test_a_pass_over_itself_is_not_moved_at_all():
    found = estimate([Sample(0, 0, *two_passes())])
    assert (found.plane == 0).all()
    assert not found.moves(6, 8)


@pytest.mark.parametrize("shift", [(3, -2), (1, 0), (0, -1), (4, 4), (-7, 7)])
def test_a_shift_is_found_to_the_pixel_in_every_cell(shift):
    new, past = two_passes(*shift)
    found = estimate([Sample(0, 0, new, past)])
    assert (found.of_cells(*all_cells()) == shift).all()
    assert (found.plane[1:] == 0).all()  # a shift has no slope
    assert found.plane[0] == pytest.approx(shift, abs=0.2)


def test_a_shift_of_half_a_pixel_is_found_between_pixels():
    picture = place(6, 8).astype(float)
    between = ((picture + np.roll(picture, 1, axis=2)) / 2).round().astype(np.uint8)
    new, past = seen(between, 6, 8, 2, 3), remembered(seen(picture.astype(np.uint8), 6, 8))
    assert estimate([Sample(0, 0, new, past)]).plane[0] == pytest.approx([2, 3.5], abs=0.2)


def test_the_shift_does_not_depend_on_how_the_file_is_cut():
    new, past = two_passes(3, -4, rows=6, cols=16)
    strips = [Sample(row, 0, new[:, row * CELL : (row + 1) * CELL], past[row : row + 1]) for row in range(6)]
    halves = [Sample(0, col, new[:, :, col * CELL : (col + 8) * CELL], past[:, col : col + 8]) for col in (0, 8)]
    for samples in (strips, halves):
        assert (estimate(samples).of_cells(*all_cells(6, 16)) == (3, -4)).all()


def test_a_difference_of_scale_is_found_as_a_plane():
    rows, cols = all_cells(12, 12)
    new, past = two_passes(-1.0, 2.0, 0.012, 12, 12)
    found = moved(new, past)
    truth = np.stack([-1 + 0.012 * (rows + 0.5) * CELL, 2 + 0.012 * (cols + 0.5) * CELL], axis=1)
    assert np.abs(found - truth).max() <= 1  # the true one is no whole number


@pytest.mark.parametrize("shift", [(0, 0), (3, -2)])
def test_noise_twice_the_texture_hides_no_shift_and_makes_none(shift):
    new, past = two_passes(*shift)
    grain = np.random.default_rng(1).normal(0, 60, new.shape)
    assert (moved(np.clip(new + grain, 0, 255).astype(np.uint8), past) == shift).all()


@pytest.mark.parametrize("shift", [(0, 0), (3, -2)])
def test_a_third_of_the_pass_under_cloud_does_not_decide(shift):
    new, past = two_passes(*shift)
    new[:, :, : new.shape[2] // 3] = place(6, 8, seed=9)[:, : 6 * CELL, : new.shape[2] // 3]
    assert (moved(new, past) == shift).all()


def test_a_pass_under_cloud_is_not_moved_by_chance():
    _, past = two_passes(rows=12, cols=12)
    for seed in (500, 501, 502):
        assert not moved(seen(place(12, 12, seed), 12, 12), past).any()


def test_unclear_past_cells_take_no_part():
    new, past = two_passes(3, -2)
    elsewhere, _ = two_passes(-5, 5, seed=4)
    new[:, :, : 4 * CELL] = elsewhere[:, :, : 4 * CELL]
    past["fine"][:, :4] = remembered(seen(place(6, 8, seed=4), 6, 8))["fine"][:, :4]
    past["flags"][:, :4] = 0
    assert (moved(new, past) == (3, -2)).all()


def test_too_few_clear_cells_move_nothing():
    new, past = two_passes(3, -2)
    past["flags"][:, 3:] = 0
    assert not moved(new, past).any()
    assert not moved(*two_passes(3, -2, rows=2, cols=2)).any()
    assert not estimate([]).plane.any()


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_featureless_pass_moves_nothing(level):
    new, past = two_passes(3, -2)
    assert not moved(np.full_like(new, level), past).any()


def test_a_part_without_data_does_not_lose_the_shift_of_the_rest():
    new, past = two_passes(3, -2)
    for row, col in ((124, 124), (66, 130), (64, 130), (123, 68)):
        masked = new.copy()
        masked[:, row:, col:] = 128  # what masked pixels hold
        assert (moved(masked, past) == (3, -2)).all()


planes = st.lists(st.floats(-3, 3), min_size=6, max_size=6).map(lambda v: np.array(v).reshape(3, 2))


@settings(max_examples=40)
@given(planes, st.integers(1, 6), st.integers(1, 6))
def test_cells_move_by_whole_pixels_of_the_plane_within_the_search(plane, rows, cols):
    r, c = all_cells(rows, cols)
    found = Displacement(plane).of_cells(r, c)
    for row, col, pixels in zip(r, c, found, strict=True):
        exact = plane[0] + plane[1] * (row + 0.5) + plane[2] * (col + 0.5)
        assert np.abs(pixels - np.clip(exact, -SEARCH_PX, SEARCH_PX)).max() <= 0.5 + 1e-9
    assert Displacement(plane).moves(rows, cols) == found.any()


@pytest.mark.parametrize("offset", [0.0, 0.3, 0.498, 0.4995, 0.5, 3.2])
def test_cells_of_a_chunk_are_moved_as_they_are_one_by_one(offset):
    found = Displacement(np.array([[offset, -offset], [0.0001, 0.0], [0.0, -0.0002]]))
    for chunk in plan_chunks(40, 60, (512, 512)):
        rows, cols = np.mgrid[chunk.row : chunk.row + chunk.rows, chunk.col : chunk.col + chunk.cols]
        assert (found.of_chunk(chunk) == found.of_cells(rows.ravel(), cols.ravel())).all()
