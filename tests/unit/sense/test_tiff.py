"""Where the blocks of a TIFF lie: what GDAL says, or nothing; whatever the directory says, it is no crash."""

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard.sense.tiff import block_places

LAYOUTS = {
    "tiles": {"tiled": True, "blockxsize": 64, "blockysize": 32, "interleave": "band"},
    "one tile": {"tiled": True, "blockxsize": 256, "blockysize": 256, "interleave": "pixel"},
    "strips": {"tiled": False, "blockysize": 32, "interleave": "band"},
    "lines": {"tiled": False, "blockysize": 1, "interleave": "band"},
    "deflate": {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate", "interleave": "band"},
}


def by_gdal(file, what):
    """(bands, rows, columns) of a tag of every block."""
    with rasterio.open(file) as source:
        height, width = source.block_shapes[0]
        rows, cols = -(-source.height // height), -(-source.width // width)
        bands = 1 if source.interleaving.name.lower() == "pixel" else source.count
        return [
            int(source.get_tag_item(f"BLOCK_{what}_{col}_{row}", "TIFF", bidx=band + 1))
            for band in range(bands)
            for row in range(rows)
            for col in range(cols)
        ]


@pytest.mark.parametrize("big", ["YES", "NO"])
@pytest.mark.parametrize("bands", [("B02",), ("B02", "B03", "B04")], ids=len)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_gdal_says(tmp_path, write_tif, layout, bands, big):
    write_tif(tmp_path / "a.tif", bands, (150, 200), BIGTIFF=big, **LAYOUTS[layout])
    found = block_places(tmp_path / "a.tif")
    assert found.offsets.tolist() == by_gdal(tmp_path / "a.tif", "OFFSET")
    assert found.sizes.tolist() == by_gdal(tmp_path / "a.tif", "SIZE")
    assert found.offsets.dtype == found.sizes.dtype == np.int64


NO_TIFF = [b"", b"II", b"II*\0", b"II*\0" + b"\xff" * 4, b"II+\0\x10" + b"\0" * 3 + b"\1" * 8, b"\x89PNG"]


@pytest.mark.parametrize("content", NO_TIFF)
def test_no_tiff(tmp_path, content):
    (tmp_path / "a.tif").write_bytes(content)
    assert block_places(tmp_path / "a.tif") is None
    assert block_places(tmp_path / "none.tif") is None


def test_the_other_byte_order(tmp_path, write_tif):
    write_tif(tmp_path / "a.tif", ("B02",), (64, 64), ENDIANNESS="BIG")
    assert block_places(tmp_path / "a.tif") is None


@pytest.fixture(scope="module")
def wholes(tmp_path_factory, write_tif):
    folder = tmp_path_factory.mktemp("whole")
    for big in ("YES", "NO"):
        write_tif(folder / f"{big}.tif", ("B02", "B03"), (96, 128), BIGTIFF=big, **LAYOUTS["tiles"])
    return [(folder / f"{big}.tif").read_bytes() for big in ("YES", "NO")], folder / "damaged.tif"


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_directory_is_none_or_numbers(wholes, data):
    raw = bytearray(data.draw(st.sampled_from(wholes[0])))
    first = int.from_bytes(raw[8:16] if raw[2] == 43 else raw[4:8], "little")
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.one_of(st.integers(0, 15), st.integers(first, min(first + 400, len(raw) - 1))))
        raw[at] = data.draw(st.integers(0, 255))
    wholes[1].write_bytes(raw[: data.draw(st.sampled_from([len(raw), first + 50, 100]))])
    found = block_places(wholes[1])
    assert found is None or found.offsets.shape == found.sizes.shape
