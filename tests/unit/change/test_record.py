import numpy as np
import pytest

from onboard.change.record import (
    FLAG_CLEAR,
    MAX_RECORD_BYTES,
    damaged,
    pack_valid,
    present,
    record_dtype,
    seal,
    unpack_valid,
)
from onboard.sense.bands import BAND_SETS

BANDS = BAND_SETS["s2-10"]


def some_records(count: int = 5) -> np.ndarray:
    rng = np.random.default_rng(0)
    records = np.zeros(count, dtype=record_dtype(128, BANDS))
    records["latent"] = rng.integers(0, 256, records["latent"].shape)
    records["flags"] = FLAG_CLEAR
    seal(records)
    return records


def test_a_record_of_the_shipped_models_fits_512_bytes():
    assert record_dtype(128, BANDS).itemsize <= MAX_RECORD_BYTES


def test_a_layout_above_512_bytes_is_refused():
    with pytest.raises(ValueError, match="512"):
        record_dtype(512, BANDS)


def test_sealed_records_are_sound_and_absent_ones_are_not_damaged():
    records = some_records()
    assert not damaged(records).any()
    assert present(records).all()
    empty = np.zeros(3, dtype=records.dtype)
    assert not damaged(empty).any()
    assert not present(empty).any()


def test_every_flipped_bit_is_noticed():
    records = some_records(1)
    for bit in range(records.dtype.itemsize * 8):
        raw = bytearray(records.tobytes())
        raw[bit // 8] ^= 1 << (bit % 8)
        flipped = np.frombuffer(bytes(raw), dtype=records.dtype)
        assert damaged(flipped).all(), f"bit {bit}"


def test_valid_masks_round_trip():
    valid = np.random.default_rng(1).random((20, 64)) > 0.5
    assert (unpack_valid(pack_valid(valid)) == valid).all()
