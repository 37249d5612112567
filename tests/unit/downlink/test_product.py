from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard.downlink.draft import as_product, draft, finished, read
from onboard.downlink.product import Product, ProductError, decode, encode, write_geotiff
from onboard.sense.acquisition import BandInfo
from onboard.sense.grid import Grid

GRID = Grid(rasterio.CRS.from_epsg(32633).to_wkt(), (10.0, 0.0, 5e5, 0.0, -10.0, 5e6), 640, 320)


def product(dn: np.ndarray) -> Product:
    bands = tuple(BandInfo(f"B{i:02d}", -1000.0 if i % 2 else 0.0) for i in range(len(dn)))
    time = datetime(2023, 1, 21, 10, 30, tzinfo=UTC)
    return Product(GRID, 3, 7, "S2A_MSIL1C_20230121", time, bands, dn, "ab" * 32, 0.75)


def same(a: Product, b: Product) -> bool:
    return (a.dn == b.dn).all() and a.dn.shape == b.dn.shape and replace(a, dn=b.dn) == b


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 10), st.booleans(), st.sampled_from([64, 4096, 65536]))
def test_decode_of_encode_is_the_product(seed, bands, replicated, top):
    dn = np.random.default_rng(seed).integers(0, top, (bands, 32, 32)).astype(np.uint16)
    if replicated:
        dn[bands // 2 :] = np.repeat(np.repeat(dn[bands // 2 :, ::2, ::2], 2, axis=1), 2, axis=2)
    for codec in ("j2k", "raw"):
        assert same(decode(encode(product(dn), codec)), product(dn))
    assert same(read(draft(product(dn))), product(dn)) and finished(draft(product(dn))) == encode(product(dn))
    assert finished(encode(product(dn), "raw")) == encode(product(dn))  # of an older queue
    assert decode(as_product(draft(product(dn)))).dn.tobytes() == dn.tobytes()


def test_twenty_metre_bands_cost_a_quarter_of_their_pixels():
    rng = np.random.default_rng(0)
    dn = rng.integers(0, 4096, (10, 32, 32)).astype(np.uint16)
    whole = len(encode(product(dn)))
    dn[4:] = np.repeat(np.repeat(dn[4:, ::2, ::2], 2, axis=1), 2, axis=2)
    assert len(encode(product(dn))) < 0.65 * whole


def test_coding_is_deterministic():
    dn = np.random.default_rng(1).integers(0, 9000, (4, 32, 32)).astype(np.uint16)
    assert encode(product(dn)) == encode(product(dn))


def test_every_flipped_bit_and_every_truncation_is_refused():
    data = encode(product(np.random.default_rng(2).integers(0, 300, (2, 32, 32)).astype(np.uint16)))
    for bit in range(0, len(data) * 8, 5):
        raw = bytearray(data)
        raw[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(ProductError):
            decode(bytes(raw))
    for length in range(0, len(data), 37):
        with pytest.raises(ProductError):
            decode(data[:length])


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_garbage_is_refused(data):
    with pytest.raises(ProductError):
        decode(data)
    with pytest.raises(ProductError):
        decode(b"OBDP" + data)


def test_the_geotiff_lies_where_the_cell_lies(tmp_path):
    dn = np.random.default_rng(3).integers(1, 5000, (3, 32, 32)).astype(np.uint16)
    write_geotiff(product(dn), str(tmp_path / "p.tif"))
    with rasterio.open(tmp_path / "p.tif") as dataset:
        assert (dataset.read() == dn).all()
        assert dataset.bounds.left == 5e5 + 7 * 320
        assert dataset.bounds.top == 5e6 - 3 * 320
        assert dataset.descriptions == ("B00", "B01", "B02")
        assert dataset.offsets[1] == pytest.approx(-0.1)
