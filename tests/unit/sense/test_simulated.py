"""`sim:`: same options, same bytes; truth, clouds and offsets are what they say; the cache never hurts."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from rasterio.crs import CRS

from onboard.errors import InputError, UsageError
from onboard.sense.acquisition import Acquisition
from onboard.sense.bands import BAND_SETS, NATIVE_RESOLUTION_M
from onboard.sense.grid import Window
from onboard.sense.simulated import SimulatedReader, list_stream
from onboard.sense.simulator import cache, scene
from onboard.sense.simulator.spec import DISASTERS, parse_spec, style_of

BANDS = BAND_SETS["s2-10"]
SIZE = 192
WHOLE = Window(0, 0, SIZE, SIZE)

GOLDEN = "a854c11b6a4c952b"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "sim"
    monkeypatch.setenv("ONBOARD_SIM_CACHE", str(folder))
    cache.in_memory.cache_clear()
    return folder


def spec(seed: int = 3, **options: object) -> str:
    given = {"size": SIZE, "passes": 3, "disaster": "flood"} | options
    return f"sim:{seed}?" + "&".join(f"{key}={value}" for key, value in given.items())


def reader_of(acquisition: Acquisition, names: tuple[str, ...] = BANDS) -> SimulatedReader:
    reader = acquisition.open(names)
    assert isinstance(reader, SimulatedReader)
    return reader


def pixels(acquisition: Acquisition, window: Window = WHOLE, names: tuple[str, ...] = BANDS) -> np.ndarray:
    out = np.zeros((len(names), window.height, window.width), np.uint16)
    with acquisition.open(names) as reader:
        assert reader.read(window, out) is None, "a simulated pass gives no clouds away"
    return out


def test_listing_renders_nothing(own_cache: Path) -> None:
    stream = list_stream("sim:5")
    assert len(stream.acquisitions) == 5
    assert not stream.refused
    assert not own_cache.exists()
    times = [item.sensing_time for item in stream.acquisitions]
    assert times == sorted(set(times))
    assert all(time.tzinfo is not None for time in times)
    assert len({item.product_id for item in stream.acquisitions}) == 5
    grid = stream.acquisitions[0].grid
    assert (grid.width, grid.height, grid.pixel_size_m) == (768, 768, 10.0)
    assert 32629 <= (CRS.from_wkt(grid.crs).to_epsg() or 0) <= 32637
    assert all(grid.mismatch(item.grid) is None for item in stream.acquisitions)
    assert tuple(band.name for band in stream.acquisitions[0].bands) == BANDS


@pytest.mark.parametrize(
    "text",
    ["sim:", "sim:x", "sim:-1", "sim:1.5", "sim:1?depth=3", "sim:1?disaster=quake", "sim:1?passes=0",
     "sim:1?passes=2.5", "sim:1?size=10981", "sim:1?cloud=nan", "sim:1?cloud=", "sim:1?offset=5", "sim:1?flood"],
)  # fmt: skip
def test_wrong_usage_is_told(text: str) -> None:
    with pytest.raises(UsageError, match="sim:"):
        list_stream(text)


def test_seeds_choose_among_all_disasters() -> None:
    assert {parse_spec(f"sim:{seed}").disaster for seed in range(40)} == set(DISASTERS)


def test_same_options_same_bytes(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = [pixels(item) for item in list_stream(spec()).acquisitions]
    monkeypatch.setenv("ONBOARD_SIM_CACHE", str(own_cache.with_name("other")))
    second = [pixels(item) for item in list_stream(spec()).acquisitions]
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[-1], pixels(list_stream(spec(seed=4)).acquisitions[-1]))


def test_the_world_is_frozen() -> None:
    """The difficulty anchor was measured on these bytes: to change them takes a new VERSION and a new anchor."""
    digest = hashlib.sha256()
    for disaster in DISASTERS:
        for item in list_stream(spec(disaster=disaster, passes=2)).acquisitions:
            digest.update(pixels(item).tobytes())
    assert digest.hexdigest()[:16] == GOLDEN


def test_more_passes_reach_back_and_keep_the_last(own_cache: Path) -> None:
    few, many = list_stream(spec(offset=0)).acquisitions, list_stream(spec(offset=0, passes=4)).acquisitions
    assert [item.sensing_time for item in few] == [item.sensing_time for item in many[1:]]
    assert np.array_equal(pixels(few[-1]), pixels(many[-1]))


def test_any_window_is_the_same_as_the_whole() -> None:
    item = list_stream(spec()).acquisitions[-1]
    whole = pixels(item)
    part = Window(37, 64, 32, 101)
    assert np.array_equal(pixels(item, part, ("B12", "B02")), whole[[9, 0], 37:69, 64:165])
    strip = Window(160, 0, 32, SIZE)
    assert np.array_equal(pixels(item, strip), whole[:, 160:])


@pytest.mark.parametrize("size", [64, 95, 130])
def test_blocks_leave_no_seam(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ground, clouds and masks do not know about blocks; only the grain differs, so compare without it."""
    monkeypatch.setattr("onboard.sense.simulator.sensor._grain", lambda key, shape: np.zeros(shape, np.float32))
    made = scene.make_scene(parse_spec(spec(size=size, disaster="landslide", passes=1)))
    images = []
    for block in (384, 32):
        monkeypatch.setattr(scene, "BLOCK", block)
        image = np.zeros((11, size, size), np.int64)
        for part in scene.render(made, [0]):
            where = (slice(part.row, part.row + part.bits.shape[0]), slice(part.col, part.col + part.bits.shape[1]))
            image[(slice(0, 10), *where)] = part.pixels
            image[(10, *where)] = part.bits
        images.append(image)
    assert np.array_equal(images[0], images[1])


def test_20m_bands_look_like_20m_bands() -> None:
    image = pixels(list_stream(spec()).acquisitions[0])
    for plane, name in zip(image, BANDS, strict=True):
        squares = plane.reshape(SIZE // 2, 2, SIZE // 2, 2)
        replicated = bool((squares == squares[:, :1, :, :1]).all())
        assert replicated == (NATIVE_RESOLUTION_M[name] == 20), name


def test_offset_changes_the_dn_and_not_the_reflectance() -> None:
    plain, shifted, mixed = (list_stream(spec(offset=o)).acquisitions for o in ("0", "-1000", "mixed"))
    assert [item.bands[0].offset for item in mixed] == [-1000.0, 0.0, -1000.0]
    for a, b, c in zip(plain, shifted, mixed, strict=True):
        reflectance = [pixels(item).astype(np.float64) + item.bands[0].offset for item in (a, b, c)]
        lit = reflectance[0] > 1  # without an offset, darkness is cut at DN 1
        assert lit.mean() > 0.99
        # Rounding happens after the offset: float32 may tip a half the other way.
        assert np.abs(reflectance[0] - reflectance[1])[lit].max() <= 1
        assert np.abs(reflectance[0] - reflectance[2])[lit].max() <= 1


@pytest.mark.parametrize("disaster", DISASTERS)
def test_only_the_event_pass_has_changed(disaster: str) -> None:
    found = list_stream(spec(disaster=disaster, size=384, cloud=0.2)).acquisitions
    window = Window(0, 0, 384, 384)
    for item in found[:-1]:
        with reader_of(item) as reader:
            assert not reader.truth(window).any()
    with reader_of(found[-1]) as reader:
        truth, hidden = reader.truth(window), reader.cloud_truth(window)
        assert 0.002 < truth.mean() < 0.6
        assert not (truth & hidden).any()


def test_the_mask_is_where_the_disaster_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event pass rendered with and without its disaster differs inside the mask, and hardly outside."""
    made = scene.make_scene(parse_spec(spec(disaster="fire", passes=1, cloud=0)))
    struck = next(scene.render(made, [0]))
    monkeypatch.setattr(scene, "plan_disaster", lambda spec, style: None)
    calm = next(scene.render(made, [0]))
    difference = np.abs(struck.pixels.astype(int) - calm.pixels).max(axis=0)
    truth = struck.bits == scene.CHANGED
    assert truth.any()
    assert np.median(difference[truth]) > 300
    assert np.median(difference[~truth]) == 0


def test_no_disaster() -> None:
    last = list_stream(spec(disaster="none")).acquisitions[-1]
    with reader_of(last) as reader:
        assert not reader.truth(WHOLE).any()


def test_cloud_option() -> None:
    def hidden(cloud: float) -> float:
        total = 0.0
        for item in list_stream(spec(cloud=cloud, passes=6)).acquisitions:
            with reader_of(item) as reader:
                total += float(reader.cloud_truth(WHOLE).mean()) / 6
        return total

    assert hidden(0) == 0
    assert hidden(0.4) > 0.1


def test_clouds_are_bright_and_shadows_dark() -> None:
    cloudy = next(item for item in list_stream(spec(cloud=0.3, passes=6)).acquisitions if _hidden_share(item) > 0.2)
    with reader_of(cloudy) as reader:
        hidden = reader.cloud_truth(WHOLE)
    blue = pixels(cloudy, WHOLE, ("B02",))[0] + cloudy.bands[0].offset
    assert (blue > 3000)[~hidden].mean() < 0.01
    assert blue[hidden].std() > 3 * blue[~hidden].std()


def _hidden_share(item: Acquisition) -> float:
    with reader_of(item) as reader:
        return float(reader.cloud_truth(WHOLE).mean())


def test_reflectance_is_plausible() -> None:
    item = list_stream(spec(cloud=0, size=384)).acquisitions[-1]
    image = (pixels(item, Window(0, 0, 384, 384)) + item.bands[0].offset) / 10_000
    median = dict(zip(BANDS, np.median(image, axis=(1, 2)), strict=True))
    assert 0.02 < median["B02"] < median["B03"] + 0.02 < 0.15
    assert median["B08"] > 0.12
    assert image.min() > -0.02
    assert image.max() < 0.8


def test_second_run_reads_the_cache(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = pixels(list_stream(spec()).acquisitions[-1])
    monkeypatch.setattr(cache, "render", lambda *_: pytest.fail("rendered again"))
    assert np.array_equal(pixels(list_stream(spec()).acquisitions[-1]), before)
    folder = cache.folder_of(parse_spec(spec()))
    assert [item.name for item in own_cache.iterdir()] == [folder.name], "no drafts left behind"
    assert np.array_equal(np.load(folder / "pass-02.npy"), before)


def test_a_damaged_cache_is_made_anew() -> None:
    before = pixels(list_stream(spec()).acquisitions[-1])
    path = cache.folder_of(parse_spec(spec())) / "pass-02.npy"
    path.write_bytes(path.read_bytes()[:1000])
    assert np.array_equal(pixels(list_stream(spec()).acquisitions[-1]), before)


def test_a_cache_cut_while_reading_is_one_clear_error() -> None:
    item = list_stream(spec()).acquisitions[-1]
    with item.open(BANDS) as reader:
        path = cache.folder_of(parse_spec(spec())) / "pass-02.npy"
        path.write_bytes(path.read_bytes()[:1000])
        with pytest.raises(InputError, match=r"pass-02\.npy: .*shorter"):
            reader.read(WHOLE, np.zeros((10, SIZE, SIZE), np.uint16))


def test_an_unwritable_cache_falls_back_to_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = pixels(list_stream(spec()).acquisitions[-1])
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("ONBOARD_SIM_CACHE", str(blocked / "sim"))
    item = list_stream(spec()).acquisitions[-1]
    assert np.array_equal(pixels(item), expected)
    assert "not cached" in caplog.text
    with reader_of(item) as reader:
        assert reader.truth(WHOLE).shape == (SIZE, SIZE)
    with pytest.raises(InputError, match="ONBOARD_SIM_CACHE"):
        list_stream("sim:1?size=10980").acquisitions[0].open(BANDS)


def test_a_full_disk_leaves_no_draft(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "_write_block", full)
    pixels(list_stream(spec()).acquisitions[-1])
    assert not list(own_cache.iterdir())


def test_what_cannot_be_read_is_told() -> None:
    item = list_stream(spec()).acquisitions[0]
    with pytest.raises(InputError, match="no band B09"):
        item.open(("B02", "B09"))
    with item.open(("B02",)) as reader, pytest.raises(InputError, match="outside"):
        reader.read(Window(SIZE - 8, 0, 32, 32), np.zeros((1, 32, 32), np.uint16))


def test_slides_have_slopes_and_floods_have_rivers() -> None:
    slide, flood = (style_of(parse_spec(f"sim:1?disaster={kind}")) for kind in ("landslide", "flood"))
    assert slide.relief_m > 3 * flood.relief_m
    assert flood.river_px >= 4
