import pytest

from onboard.sense.bands import BAND_SETS, NATIVE_RESOLUTION_M, S2_BANDS, canonical_band, missing_bands


@pytest.mark.parametrize(
    ("written", "name"),
    [("B2", "B02"), ("b02", "B02"), ("B02", "B02"), ("Band 2", "B02"), ("band_12", "B12"), ("B8a", "B8A"),
     ("B08", "B08"), (" B4 ", "B04"), ("B08A", "B8A")],
)  # fmt: skip
def test_usual_ways_to_write_a_band(written: str, name: str) -> None:
    assert canonical_band(written) == name


@pytest.mark.parametrize("written", ["", "B13", "B0", "B00", "SCL", "blue", "B2 extra", "xB2", "B022", "2"])
def test_anything_else_is_no_band(written: str) -> None:
    assert canonical_band(written) is None


def test_every_band_has_a_resolution_and_every_set_known_bands() -> None:
    assert set(NATIVE_RESOLUTION_M) == set(S2_BANDS)
    assert all(set(bands) <= set(S2_BANDS) for bands in BAND_SETS.values())


def test_missing_bands_keep_the_order_wanted() -> None:
    assert missing_bands(("B12", "B02", "B08"), ["B02"]) == ["B12", "B08"]
    assert missing_bands((), ["B02"]) == []
