import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onboard.sense.chunks import in_parts, plan_chunks, plan_sample, sample_chunks
from onboard.sense.grid import CELL
from onboard.sense.tiles import apply_table, sub_cell_means, sub_cell_share, to_tiles, valid_pixels


@given(
    st.integers(1, 70), st.integers(1, 70), st.integers(1, 1200), st.integers(1, 2200), st.integers(1_000, 2_000_000)
)
def test_chunks_cover_every_cell_once_within_the_memory_bound(rows, cols, block_height, block_width, max_px):
    seen = np.zeros((rows, cols), dtype=int)
    for index, chunk in enumerate(plan_chunks(rows, cols, (block_height, block_width), max_px)):
        assert chunk.index == index
        seen[chunk.row : chunk.row + chunk.rows, chunk.col : chunk.col + chunk.cols] += 1
        assert chunk.cells * CELL * CELL <= max(max_px, CELL * CELL)
    assert (seen == 1).all()


@pytest.mark.parametrize(("block", "shape"), [((1, 10980), (1, 172)), ((512, 512), (16, 16)), ((1024, 1024), (8, 32))])
def test_chunks_follow_the_files_own_blocks(block, shape):
    first = plan_chunks(343, 343, block)[0]
    assert (first.rows, first.cols) == shape


def test_a_block_that_is_too_large_is_read_part_after_part_before_the_next():
    chunks = plan_chunks(40, 40, (512, 512), 64 * CELL * CELL)
    assert [(c.row, c.col, c.rows, c.cols) for c in chunks[:5]] == [(r, 0, 4, 16) for r in (0, 4, 8, 12)] + [
        (0, 16, 4, 16)
    ]
    assert [c.strip for c in chunks] == sorted(c.row // 16 for c in chunks)


def test_parts_cover_a_chunk_in_the_order_of_its_cells():
    (chunk,) = plan_sample(10, 7, (320, 224))
    parts = in_parts(chunk, 20 * CELL * CELL)
    assert [(p.row, p.rows) for p in parts] == [(0, 2), (2, 2), (4, 2), (6, 2), (8, 2)]
    assert {(p.col, p.cols) for p in parts} == {(0, 7)}
    assert in_parts(chunk, 1) == in_parts(chunk, 7 * CELL * CELL)  # a row of cells is the least


def test_a_large_grid_is_sampled_and_a_small_one_read_whole():
    chunks = plan_chunks(343, 343, (1, 10980))
    sample = sample_chunks(chunks, 1 / 64, 4096)
    assert 4 <= len(sample) <= len(chunks) / 50
    few = plan_chunks(10, 10, (64, 64))
    assert sample_chunks(few, 1 / 64, 4096) == few


def test_tiles_and_means_agree_with_plain_slicing():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (3, 64, 96), dtype=np.uint8)
    tiles = np.empty((6, 3, CELL, CELL), dtype=np.uint8)
    for band, plane in enumerate(x):
        to_tiles(plane, tiles[:, band])
    fine, coarse = sub_cell_means(x, 4), sub_cell_means(x, 8)
    for cell in range(6):
        row, col = divmod(cell, 3)
        expected = x[:, row * 32 : row * 32 + 32, col * 32 : col * 32 + 32]
        assert (tiles[cell] == expected).all()
        assert np.abs(fine[cell].reshape(3, 8, 8) - expected.reshape(3, 8, 4, 8, 4).mean(axis=(2, 4))).max() <= 0.5
        assert np.abs(coarse[cell].reshape(3, 4, 4) - expected.reshape(3, 4, 8, 4, 8).mean(axis=(2, 4))).max() <= 0.5


def test_no_data_and_saturation_in_any_band_make_a_pixel_invalid():
    dn = np.full((2, 32, 32), 100, dtype=np.uint16)
    dn[0, 0, 0], dn[1, 3, 4] = 0, 65535
    quality = np.ones((32, 32), dtype=bool)
    quality[31, 31] = False
    valid = valid_pixels(dn, quality)
    assert (~valid).sum() == 3
    assert not valid[0, 0]
    assert not valid[3, 4]
    assert sub_cell_share(valid, 8)[0, 0] == pytest.approx(62 / 64)


def test_a_table_gives_each_number_its_own():
    dn = np.array([[0, 1], [2, 65535]], dtype=np.uint16)
    out = np.empty(dn.shape, dtype=np.uint8)
    apply_table(dn, (np.arange(65536) % 251).astype(np.uint8), out)
    assert out.tolist() == [[0, 1], [2, 65535 % 251]]
