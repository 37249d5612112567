"""Blocks decoded ahead: the same pixels as without, each block once where memory allows, in bounded memory."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from onboard.errors import InputError
from onboard.sense import decoded, geotiff, kept, raster
from onboard.sense.chunks import plan_chunks
from onboard.sense.grid import Window
from onboard.sense.mosaic import compose
from onboard.sense.plane import plane_of
from onboard.sense.reader import RasterAcquisition

NAMES = ("B02", "B11", "B12")
SIDE = 1280
TILES = {"B02": 512, "B11": 320, "B12": 320}
"""Sides of tiles, in a ratio like ESA's: those of the bands at 20 m do not lie on those at 10 m."""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A JPEG 2000 file for each band, and what is in it on the 10 m grid."""
    folder, values = tmp_path_factory.mktemp("jp2"), []
    rng = np.random.default_rng(0)
    for name in NAMES:
        factor = 1 if name == "B02" else 2
        side = SIDE // factor
        rows, cols = np.mgrid[:side, :side]
        own = (rows // 8 * 7 + cols // 8 + rng.integers(1, 50)).astype(np.uint16)
        with rasterio.open(
            folder / f"{name}.jp2", "w", driver="JP2OpenJPEG", count=1, height=side, width=side, dtype="uint16",
            crs="EPSG:32756", transform=Affine(10 * factor, 0, 4e5, 0, -10 * factor, 6.7e6), QUALITY="100",
            REVERSIBLE="YES", blockxsize=TILES[name], blockysize=TILES[name],
        ) as target:  # fmt: skip
            target.write(own, 1)
        values.append(own.repeat(factor, 0).repeat(factor, 1))
    return folder, np.stack(values)


@pytest.fixture(autouse=True)
def usual_memory(monkeypatch):
    """Whatever a budgeted run before this test left."""
    monkeypatch.setattr(raster, "_decoded_bytes", raster.DECODED_BYTES)


def acquisition(folder: Path) -> RasterAcquisition:
    planes = []
    for name in NAMES:
        with raster.gdal_env(), raster.open_raster(str(folder / f"{name}.jp2")) as source:
            planes.append(plane_of(source, 1, name))
    mosaic = compose(planes)
    return RasterAcquisition(
        product_id="p", sensing_time=None, grid=mosaic.grid, bands=tuple(p.info for p in mosaic.planes),
        block_shape=mosaic.block_shape, where=str(folder), planes=mosaic.planes,
    )  # fmt: skip


def windows_of(one) -> list[Window]:
    return [c.window for c in plan_chunks(one.grid.rows, one.grid.cols, one.block_shape, 256 * 256)]


@pytest.fixture
def decodes(monkeypatch):
    """Keys of the blocks that were decoded."""
    found, usual = [], decoded.Decoder._decode
    monkeypatch.setattr(decoded.Decoder, "_decode", lambda self, key, out: found.append(key) or usual(self, key, out))
    return found


def read_all(reader, windows, values, tell=True):
    if tell:
        reader.expect(windows)
    for window in windows:
        out = np.empty((len(values), window.height, window.width), np.uint16)
        assert reader.read(window, out) is None
        y, x = window.row, window.col
        assert (out == values[:, y : y + window.height, x : x + window.width]).all()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("tell", [True, False], ids=["in order", "as asked"])
def test_the_same_pixels(files, threads, tell, capfd):
    folder, values = files
    one = acquisition(folder)
    with one.open(NAMES, threads) as reader:
        read_all(reader, windows_of(one), values, tell)
    assert capfd.readouterr().err == ""


def test_every_block_is_decoded_once(files, decodes):
    folder, values = files
    one = acquisition(folder)
    with one.open(NAMES, 2) as reader:
        read_all(reader, windows_of(one), values)
        assert not reader._decoder._held
        assert reader._decoder._most <= one.block_cache_bytes
    assert len(decodes) == len(set(decodes)) == 3 * 3 + 2 * 2 * 2


def test_less_memory_decodes_some_again(files, decodes, monkeypatch):
    folder, values = files
    one = acquisition(folder)
    least = 2 * (512 * 512 + 2 * 4 * 320 * 320)  # what one window may need
    monkeypatch.setattr(raster, "_decoded_bytes", least // 2)
    with one.open(NAMES, 2) as reader:
        read_all(reader, windows_of(one), values)
        assert reader._decoder._most <= least
    assert len(set(decodes)) < len(decodes) < 2 * len(set(decodes))


def test_windows_may_be_left_out(files, decodes):
    folder, values = files
    one = acquisition(folder)
    windows = windows_of(one)
    with one.open(NAMES, 2) as reader:
        reader.expect(windows)
        read_all(reader, windows[::3], values, tell=False)
        assert len(reader._decoder._held) < 12


@pytest.mark.parametrize("interleave", ["band", "pixel"])
def test_deflate_tiles(tmp_path, write_tif, interleave, decodes):
    options = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate", "interleave": interleave}
    values = write_tif(tmp_path / "20220624.tif", ("B02", "B03", "B04"), (640, 700), **options)
    (one,), _ = geotiff.list_folder(tmp_path)
    windows = windows_of(one)
    with one.open(("B04", "B02"), 2) as reader:
        read_all(reader, windows, values[[2, 0]])
    assert len(decodes) == 3 * 3


def test_a_damaged_block_costs_only_its_windows(tmp_path, write_tif, capfd):
    file = tmp_path / "20220624.tif"
    options = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "zstd"}
    values = write_tif(file, ("B02",), (512, 512), **options)
    data = bytearray(file.read_bytes())
    data[-3000:] = bytes(3000)
    file.write_bytes(data)
    (one,), _ = geotiff.list_folder(tmp_path)
    windows = windows_of(one)
    with one.open(("B02",), 2) as reader:
        read_all(reader, windows[:3], values)
        for window in windows[3:]:
            with pytest.raises(InputError) as caught:
                reader.read(window, np.empty((1, window.height, window.width), np.uint16))
            assert caught.value.kind == "corrupt"
            assert str(file) in str(caught.value)
    assert capfd.readouterr().err == ""


@pytest.fixture
def read_from_files(monkeypatch):
    """How often a file was read by the threads that decode."""
    found, usual = [], decoded.Decoder._open
    monkeypatch.setattr(decoded.Decoder, "_open", lambda self, path: found.append(path) or usual(self, path))
    return found


def test_what_is_kept_is_decoded_once(files, tmp_path, read_from_files):
    folder, values = files
    one = acquisition(folder)
    windows = windows_of(one)[:4]
    with one.open(NAMES, 2) as reader:
        with reader.keeping(tmp_path):
            for _ in range(3):
                read_all(reader, windows, values)
        blocks = {key for window in windows for key in reader._keys(window)}
        assert len(read_from_files) == len(blocks)
        read_all(reader, windows, values)
        moved = [Window(w.row + 3, w.col, w.height - 3, w.width) for w in windows]  # not the window counts: its blocks
        read_all(reader, moved, values)
        assert len(read_from_files) == len(blocks)
        reader._decoder._kept._file.truncate(7)
        read_all(reader, windows, values)  # lost, and decoded again
        assert len(read_from_files) == 2 * len(blocks)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("why", ["no folder", "no room"])
def test_what_cannot_be_kept_is_decoded_again(files, tmp_path, read_from_files, monkeypatch, why):
    folder, values = files
    monkeypatch.setattr(kept, "MOST_BYTES", 600_000)  # not for the blocks of all bands
    one = acquisition(folder)
    windows = windows_of(one)[:4]
    with one.open(NAMES, 2) as reader, reader.keeping(tmp_path / "none" if why == "no folder" else tmp_path):
        for _ in range(2):
            read_all(reader, windows, values)
        blocks = {key for window in windows for key in reader._keys(window)}
        if why == "no folder":
            assert len(read_from_files) == 2 * len(blocks)
        else:
            assert len(blocks) < len(read_from_files) < 2 * len(blocks)


def test_what_decodes_quickly_is_not_kept(tmp_path, write_tif):
    options = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"}
    write_tif(tmp_path / "20220624.tif", ("B02",), (512, 512), **options)
    (one,), _ = geotiff.list_folder(tmp_path)
    with one.open(("B02",), 2) as reader, reader.keeping(tmp_path):
        assert reader._decoder._kept._file is None
