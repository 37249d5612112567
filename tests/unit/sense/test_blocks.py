"""Tiles read past GDAL are the pixels that GDAL reads; everything that is not plain is left to it."""

import gc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.errors import RasterioIOError
from rasterio.windows import Window as RasterWindow

from onboard.errors import InputError
from onboard.sense.blocks import BlockSource
from onboard.sense.geotiff import list_folder
from onboard.sense.grid import Window

BANDS = ("B02", "B03", "B04")
TILED = {"tiled": True, "blockxsize": 64, "blockysize": 32, "interleave": "band"}
STRIPS = {"tiled": False, "blockysize": 32, "interleave": "band"}
LINES = {"tiled": False, "blockysize": 1, "interleave": "band"}
WINDOWS = (
    RasterWindow(0, 0, 200, 150),  # all of it, cut tiles at both edges
    RasterWindow(64, 32, 64, 64),  # whole tiles, straight into the caller's array
    RasterWindow(64, 40, 64, 20),  # lines of a tile
    RasterWindow(70, 33, 5, 3),
    RasterWindow(199, 149, 1, 1),
    RasterWindow(32, 16, 64, 32),  # as wide as a tile, and across four
)


@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("layout", [TILED, STRIPS, LINES], ids=["tiles", "strips", "lines"])
def test_any_window_of_any_bands(tmp_path, write_tif, window, layout, kernels, monkeypatch):
    if not kernels:
        monkeypatch.setattr("onboard.sense.blocks.kernels", lambda: None)
    write_tif(tmp_path / "a.tif", BANDS, (150, 200), **layout)
    with rasterio.open(tmp_path / "a.tif") as source:
        mine = BlockSource.of(source, [1, 2, 3])
        assert mine is not None
        for indexes in ([1, 2, 3], [3, 1], [2]):
            assert (mine.read(indexes, window) == source.read(indexes, window=window)).all()
        mine.close()
        mine.close()


@pytest.mark.parametrize("kernels", [True, False])
def test_strips_that_do_not_lie_one_behind_the_other(tmp_path, kernels, monkeypatch):
    if not kernels:
        monkeypatch.setattr("onboard.sense.blocks.kernels", lambda: None)
    values = np.random.default_rng(0).integers(1, 9_999, (2, 96, 80), np.uint16)
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", count=2, height=96, width=80, dtype="uint16", **STRIPS
    ) as target:
        for row in (64, 0, 32):  # as they are written, they lie
            for band in (2, 1):
                target.write(values[band - 1, row : row + 32], band, window=RasterWindow(0, row, 80, 32))
    with rasterio.open(tmp_path / "a.tif") as source:
        mine = BlockSource.of(source, [1, 2])
        assert mine._block == (32, 80)
        assert (mine.read([1, 2], RasterWindow(3, 10, 70, 80)) == values[:, 10:90, 3:73]).all()
        mine.close()


def test_several_threads_read_at_once(tmp_path, write_tif):
    values = write_tif(tmp_path / "a.tif", BANDS, (160, 192), **TILED)
    (acquisition,), _ = list_folder(tmp_path)
    with acquisition.open(BANDS) as reader, ThreadPoolExecutor(4) as pool:
        assert reader.concurrent

        def line(row):
            out = np.empty((3, 32, 192), np.uint16)
            reader.read(Window(row, 0, 32, 192), out)
            return (out == values[:, row : row + 32]).all()

        assert all(pool.map(line, list(range(0, 129, 8)) * 5))


@pytest.mark.parametrize(
    "options",
    [
        TILED | {"compress": "deflate"},
        TILED | {"interleave": "pixel"},
        {"tiled": False, "interleave": "pixel"},
        TILED | {"ENDIANNESS": "BIG"},
        TILED | {"nbits": 12},
        TILED | {"SPARSE_OK": "TRUE", "values": np.zeros((3, 150, 200), np.uint16)},
    ],
    ids=["compressed", "interleaved", "interleaved strips", "big-endian", "12 bits", "sparse"],
)
def test_what_is_not_plain_is_gdals(tmp_path, write_tif, read, options):
    write_tif(tmp_path / "a.tif", BANDS, (150, 200), **options)
    with rasterio.open(tmp_path / "a.tif") as source:
        assert BlockSource.of(source, [1, 2, 3]) is None
        values = source.read()
    (acquisition,), _ = list_folder(tmp_path)
    assert (read(acquisition, BANDS)[0] == values).all()
    with acquisition.open(BANDS) as reader:
        assert not reader.concurrent


def test_a_file_with_a_mask_is_read_by_one_thread(tmp_path, write_tif):
    write_tif(tmp_path / "a.tif", BANDS, (150, 200), mask=np.full((150, 200), 255, np.uint8), **TILED)
    (acquisition,), _ = list_folder(tmp_path)
    with acquisition.open(BANDS) as reader:
        assert not reader.concurrent


def test_a_block_that_lies_nowhere_is_gdals(tmp_path, write_tif):
    write_tif(tmp_path / "a.tif", BANDS, (150, 200), BIGTIFF="YES", **TILED)
    with rasterio.open(tmp_path / "a.tif") as source:
        where = int(source.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", bidx=2))
    raw = (tmp_path / "a.tif").read_bytes()
    assert raw.count(where.to_bytes(8, "little")) == 1
    (tmp_path / "a.tif").write_bytes(raw.replace(where.to_bytes(8, "little"), b"\xff" * 8))
    (acquisition,), _ = list_folder(tmp_path)
    with acquisition.open(BANDS) as reader, pytest.raises(InputError):
        reader.read(Window(0, 0, 150, 200), np.empty((3, 150, 200), np.uint16))


def test_files_are_closed_where_another_cannot_be_opened(tmp_path, write_tif):
    write_tif(tmp_path / "20230101_10m.tif", BANDS, (64, 64), **TILED)
    write_tif(tmp_path / "20230101_20m.tif", ("B11", "B12"), (32, 32), pixel=20.0)
    (acquisition,), _ = list_folder(tmp_path)
    (tmp_path / "20230101_20m.tif").unlink()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        with pytest.raises(InputError):
            acquisition.open((*BANDS, "B11"))
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


@pytest.mark.parametrize("kernels", [True, False])
def test_a_file_that_ends_early_is_one_fault_with_its_place(tmp_path, write_tif, kernels, monkeypatch):
    if not kernels:
        monkeypatch.setattr("onboard.sense.blocks.kernels", lambda: None)
    write_tif(tmp_path / "a.tif", BANDS, (128, 128), **TILED)
    (acquisition,), _ = list_folder(tmp_path)
    with acquisition.open(BANDS) as reader:
        with (tmp_path / "a.tif").open("r+b") as file:  # while it is open: listing would find a shorter one
            file.truncate((tmp_path / "a.tif").stat().st_size - 5_000)
        out = np.empty((3, 32, 64), np.uint16)
        reader.read(Window(0, 0, 32, 64), out)
        with pytest.raises(
            InputError, match=r"a\.tif.*rows 96-127, columns 64-127.*truncated.*end of the file"
        ) as caught:
            reader.read(Window(96, 64, 32, 64), out)
    assert caught.value.kind == "truncated"


@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("lines", [1, 63, 64, 65, 128, 150])
def test_lines_that_are_read_together_come_whole_or_not_at_all(tmp_path, write_tif, lines, kernels, monkeypatch):
    """Parts of the lines of large tiles, of which several are asked for in one call; then the file ends among them."""
    if not kernels:
        monkeypatch.setattr("onboard.sense.blocks.kernels", lambda: None)
    layout = {"tiled": True, "blockxsize": 256, "blockysize": 256, "interleave": "band"}
    write_tif(tmp_path / "a.tif", BANDS, (256, 256), **layout)
    window = RasterWindow(40, 256 - lines, 150, lines)
    with rasterio.open(tmp_path / "a.tif") as source:
        mine = BlockSource.of(source, [1, 2, 3])
        assert (mine.read([3, 1], window) == source.read([3, 1], window=window)).all()
        end = int(source.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=3)) + 256 * 256 * 2
        with (tmp_path / "a.tif").open("r+b") as file:
            file.truncate(end - 200)  # the last line's window ends 132 bytes before the tile does
        with pytest.raises(RasterioIOError, match="end of the file"):
            mine.read([3], window)
        assert (mine.read([1], window) == source.read([1], window=window)).all()
        mine.close()
