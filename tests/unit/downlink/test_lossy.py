"""The promise of lossy chips, and what they cost."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard.downlink.ladder import Rung
from onboard.downlink.lossy import PSNR_DB, worst_psnr
from onboard.downlink.product import Product, ProductError, decode, encode
from tests.scenes import landscape
from tests.unit.downlink.test_product import product


def chip(dn: np.ndarray, cells: np.ndarray | None = None) -> Product:
    return replace(product(np.ascontiguousarray(dn)), rung=Rung.LOSSY, cells=cells)


def psnr(one: Product, found: Product) -> float:
    return worst_psnr(one.dn, found.dn, [band.offset for band in one.bands], one.inside())


def correlated(seed: int, bands: int, side: int, noise: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    base = landscape((side, side), bands=1)[0].astype(float)
    dn = 1200 + rng.uniform(0.1, 1.0, (bands, 1, 1)) * base + rng.normal(0, noise, (bands, *base.shape))
    dn = np.clip(dn, 1001, 60000).astype(np.uint16)
    dn[bands // 2 + 1 :] = dn[bands // 2 + 1 :, ::2, ::2].repeat(2, axis=1).repeat(2, axis=2)
    return dn


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 10), st.integers(1, 3), st.sampled_from([0.0, 3.0, 60.0, 900.0]))
def test_every_band_of_every_cell_has_forty_decibels(seed, bands, side, noise):
    one = chip(correlated(seed, bands, side, noise))
    found = decode(encode(one, "klt"))
    assert psnr(one, found) >= PSNR_DB
    assert replace(found, dn=one.dn) == one


def test_a_dark_cell_beside_a_bright_one_keeps_the_promise_for_itself():
    dn = correlated(0, 4, 2, 20.0)
    dn[:, :32, :32] = 1005 + dn[:, :32, :32] % 7
    one = chip(dn)
    assert psnr(one, decode(encode(one, "klt"))) >= PSNR_DB


def test_correlated_bands_cost_a_fraction_of_the_lossless_bytes():
    one = chip(correlated(1, 10, 4, 15.0))
    assert len(encode(one, "klt")) < 0.3 * len(encode(one))


def test_cells_outside_the_mask_cost_next_to_nothing_and_come_back_as_no_data():
    cells = np.zeros((3, 3), bool)
    cells[0, :2] = cells[1, 1] = True
    outside = ~cells.repeat(32, axis=0).repeat(32, axis=1)
    dn = correlated(2, 4, 3, 30.0)
    for codec in ("klt", "j2k", "raw"):
        one = chip(dn, cells)
        found = decode(encode(one, codec))
        assert (found.cells == cells).all() and not found.dn[:, outside].any()
        assert psnr(one, found) >= PSNR_DB
        if codec != "klt":
            assert (found.dn[:, ~outside] == dn[:, ~outside]).all()
        if codec != "raw":
            assert len(encode(one, codec)) < 0.5 * len(encode(chip(dn), codec))


@pytest.mark.parametrize("spoil", [0, 65535])
def test_no_data_and_saturation_are_never_approximated(spoil):
    dn = correlated(3, 4, 1, 30.0)
    dn[:2, 3, 4] = spoil
    one = chip(dn)
    assert (decode(encode(one, "klt")).dn == dn).all()


def test_where_nothing_is_brighter_than_the_zero_of_the_radiometry_nothing_is_lost():
    dn = np.random.default_rng(4).integers(1, 900, (2, 32, 32)).astype(np.uint16)  # band 1 has an offset of -1000
    assert (decode(encode(chip(dn), "klt")).dn == dn).all()


def test_one_sample_a_cell_comes_back():
    rng = np.random.default_rng(5)
    cells = rng.random((24, 40)) < 0.1
    scores = np.where(cells, rng.integers(1, 256, cells.shape), 0).astype(np.uint16)[None]
    one = replace(product(scores), rung=Rung.EVENT, cell_px=1, cells=cells)
    data = encode(one, "zip")
    found = decode(data)
    assert (found.dn == scores).all() and (found.cells == cells).all() and found.rung is Rung.EVENT
    assert len(data) < 500
    small = replace(product(rng.integers(1, 9000, (3, 5, 7)).astype(np.uint16)), rung=Rung.THUMBNAIL, cell_px=1)
    assert (decode(encode(small)).dn == small.dn).all()


def test_flipped_bits_of_a_lossy_chip_are_refused():
    data = encode(chip(correlated(6, 4, 1, 30.0)), "klt")
    for bit in range(0, len(data) * 8, 11):
        raw = bytearray(data)
        raw[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(ProductError):
            decode(bytes(raw))
