import threading
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio

from onboard.errors import InputError
from onboard.sense import geotiff
from onboard.sense.grid import Window
from onboard.sense.reader import RasterAcquisition

RGBN = ("B02", "B03", "B04", "B08")
TEN = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")


def one(folder: Path) -> RasterAcquisition:
    (acquisition,), refused = geotiff.list_folder(folder)
    assert refused == []
    assert isinstance(acquisition, RasterAcquisition)
    return acquisition


def refusal(folder: Path) -> InputError:
    found, (error,) = geotiff.list_folder(folder)
    assert found == []
    assert "\n" not in str(error)
    return error


# -- what is an acquisition --------------------------------------------------------------------------------------------


def test_multiband_file_in_any_band_order(tmp_path, write_tif, read):
    values = write_tif(tmp_path / "20210624.tif", ("B8", "B2", "scl?", "Band 4", "B3"))
    acquisition = one(tmp_path)
    assert [band.name for band in acquisition.bands] == ["B02", "B03", "B04", "B08"]
    assert acquisition.product_id == "20210624"
    assert acquisition.sensing_time == datetime(2021, 6, 24, tzinfo=UTC)
    dn, usable = read(acquisition, ("B04", "B08"))
    assert usable is None
    assert (dn == values[[3, 0]]).all()


def test_resolution_grouping_with_dates_file_and_labels(tmp_path, write_tif, read):
    fine = write_tif(tmp_path / "t1_10m.tif", RGBN, (97, 131))
    coarse = write_tif(tmp_path / "t1_20m.tif", ("B05", "B06", "B07", "B8A", "B11", "B12"), (48, 65), pixel=20)
    write_tif(tmp_path / "t1_60m.tif", ("B01",), (16, 21), pixel=60)
    write_tif(tmp_path / "t2_10m.tif", RGBN, (96, 128))
    write_tif(tmp_path / "change.tif", ("",), (97, 131), dtype="uint8")
    (tmp_path / "dates.txt").write_text("date_1: 20160120\ndate_2: 2018-03-28\n")
    (first, second), refused = geotiff.list_folder(tmp_path)
    assert refused == []
    assert (first.sensing_time.date().isoformat(), second.sensing_time.date().isoformat()) == (
        "2016-01-20",
        "2018-03-28",
    )
    assert (first.grid.height, first.grid.width, len(first.bands)) == (97, 131, 11)
    dn, _ = read(first, (*TEN, "B01"))
    assert (dn[[0, 1, 2, 6]] == fine).all()
    rows, cols = np.minimum(np.arange(97) // 2, 47), np.minimum(np.arange(131) // 2, 64)
    assert (dn[[3, 4, 5, 7, 8, 9]] == coarse[:, rows][:, :, cols]).all()  # the short last row and column repeat
    with pytest.raises(InputError, match="B12") as caught:
        second.open(("B02", "B12"))
    assert caught.value.kind == "missing-band"


def test_dates_file_counts_passes_even_when_one_is_damaged(tmp_path, write_tif):
    (tmp_path / "t1_10m.tif").write_bytes(b"II*\0")
    write_tif(tmp_path / "t2_10m.tif", RGBN)
    (tmp_path / "dates.txt").write_text("date_1: 20160120\ndate_2: 20180328\n")
    (found,), (error,) = geotiff.list_folder(tmp_path)
    assert found.sensing_time.year == 2018
    assert "t1_10m.tif" in error.where


def test_one_file_per_band(tmp_path, write_tif, read):
    values = {band: write_tif(tmp_path / f"20210624_{band}.tif", ("",)) for band in ("B02", "B8A")}
    dn, _ = read(one(tmp_path), ("B8A", "B02"))
    assert (dn == np.concatenate([values["B8A"], values["B02"]])).all()


def test_all_at_20_m_is_brought_to_10_m(tmp_path, write_tif, read):
    values = write_tif(tmp_path / "20210624.tif", RGBN, (50, 70), pixel=20)
    acquisition = one(tmp_path)
    assert (acquisition.grid.height, acquisition.grid.width, acquisition.grid.pixel_size_m) == (100, 140, 10)
    assert acquisition.notes == ()
    assert (read(acquisition, RGBN)[0] == values.repeat(2, 1).repeat(2, 2)).all()


def test_other_pixel_sizes_and_no_crs_are_noted(tmp_path, write_tif):
    write_tif(tmp_path / "a" / "20210624.tif", RGBN, pixel=30)
    write_tif(tmp_path / "b" / "20210624.tif", RGBN, crs=None)
    assert one(tmp_path / "a").notes == ("pixel size 30 m: cells are 32 px = 0.96 km, not 320 m",)
    assert "no CRS" in one(tmp_path / "b").notes[0]
    assert one(tmp_path / "b").grid.crs == ""


def test_labels_are_passed_over_but_not_when_named(tmp_path, write_tif):
    write_tif(tmp_path / "mask.tif", ("burned",), dtype="uint8")
    assert geotiff.list_folder(tmp_path) == ([], [])
    found, (error,) = geotiff.list_files([tmp_path / "mask.tif"])
    assert (found, error.kind) == ([], "missing-band")
    assert "burned" in error.reason


def test_no_descriptions_are_refused_with_the_cure(tmp_path, write_tif):
    write_tif(tmp_path / "20210624.tif", ("", "", ""))
    error = refusal(tmp_path)
    assert error.kind == "missing-band"
    assert "d.descriptions" in error.reason


# -- time --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "tags", "expected"),
    [
        ("x", {"TIFFTAG_DATETIME": "2021:06:24 10:20:30"}, "2021-06-24T10:20:30+00:00"),
        ("x", {"sensing_time": "2021-06-24T10:20:30.5Z"}, "2021-06-24T10:20:30.500000+00:00"),
        ("x", {"datetime": "2021-06-24T12:20:30+02:00"}, "2021-06-24T10:20:30+00:00"),
        ("20210624", {"ACQUISITION_DATETIME": "2020-01-01"}, "2020-01-01T00:00:00+00:00"),
        ("S2A_MSIL1C_20180629T000241_N0206_20180629T012042", {}, "2018-06-29T00:02:41+00:00"),
        ("farm-2021-06-24-x", {}, "2021-06-24T00:00:00+00:00"),
    ],
)
def test_sensing_time(tmp_path, write_tif, name, tags, expected):
    write_tif(tmp_path / f"{name}.tif", RGBN, tags=tags)
    assert one(tmp_path).sensing_time.isoformat() == expected


def test_undated_passes_are_ordered_by_name(tmp_path, write_tif):
    folder = tmp_path / "4-3_PUMA_20210624"
    for name in ("post", "pre"):
        write_tif(folder / f"{name}.tif", RGBN)
    found, _ = geotiff.list_folder(folder)
    times = {item.product_id: item.sensing_time for item in found}
    assert times["pre"] < times["post"]
    assert times["pre"] == datetime(2021, 6, 24, tzinfo=UTC)
    assert "no sensing date" in found[0].notes[0]


def test_one_undated_pass_among_dated_ones_is_refused(tmp_path, write_tif):
    write_tif(tmp_path / "20210624.tif", RGBN)
    write_tif(tmp_path / "other.tif", RGBN)
    (found,), (error,) = geotiff.list_folder(tmp_path)
    assert (found.product_id, error.kind) == ("20210624", "no-date")


# -- radiometry --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "offset", "quantification"),
    [
        ({}, 0, 10_000),
        ({"scales": (0.0001, -0.1)}, -1000, 10_000),
        ({"scales": (1.0, -1000.0)}, -1000, 10_000),
        ({"tags": {"BOA_ADD_OFFSET": "-1000", "QUANTIFICATION_VALUE": "5000"}}, -1000, 5000),
        ({"tags": {"RADIO_ADD_OFFSET": "-1000"}}, -1000, 10_000),
    ],
)
def test_offset_and_quantification(tmp_path, write_tif, options, offset, quantification):
    write_tif(tmp_path / "20220624.tif", RGBN, **options)
    info = one(tmp_path).band("B03")
    assert (info.offset, info.quantification) == (offset, quantification)


def test_broken_radiometry_is_refused(tmp_path, write_tif):
    write_tif(tmp_path / "20220624.tif", RGBN, tags={"BOA_ADD_OFFSET": "none"})
    assert refusal(tmp_path).kind == "metadata"


@pytest.mark.parametrize("factor", [1, 10_000])
def test_float_reflectance_and_float_dn(tmp_path, write_tif, read, factor):
    reflectance = np.array([[[-0.02, 0.0, 0.1, 0.25], [np.nan, np.inf, 0.3, 9.0], [0.2, 0.3, 0.4, 0.5]]])
    values = np.repeat(reflectance, 2, 0).astype(np.float32) * factor
    write_tif(tmp_path / "20220624.tif", ("B02", "B03"), values=values)
    acquisition = one(tmp_path)
    info = acquisition.band("B02")
    assert (info.offset, info.quantification) == (-1000, 10_000)
    dn, _ = read(acquisition, ("B02", "B03"))
    # the pixel where every band is exactly 0 is no-data, as NaN and infinity are
    assert dn[0].tolist() == [[800, 0, 2000, 3500], [0, 0, 4000, 65534], [3000, 4000, 5000, 6000]]


def test_signed_values_keep_negative_reflectance(tmp_path, write_tif, read):
    values = np.array([[[-500, 0, 100, -9999], [-2000, 32767, 5, 6]]], np.int16)
    write_tif(tmp_path / "20220624.tif", ("B02",), values=values, nodata=-9999)
    acquisition = one(tmp_path)
    assert acquisition.band("B02").offset == -1000
    assert read(acquisition, ("B02",))[0].tolist() == [[[500, 1000, 1100, 0], [1, 33767, 1005, 1006]]]


def test_other_nodata_value_and_saturation(tmp_path, write_tif, read):
    values = np.array([[[0, 7, 65535, 1000]]], np.uint16)
    write_tif(tmp_path / "20220624.tif", ("B02",), values=values, nodata=7)
    assert read(one(tmp_path), ("B02",))[0].tolist() == [[[0, 0, 65535, 1000]]]


def test_internal_mask_is_honoured(tmp_path, write_tif, read):
    mask = np.full((96, 128), 255, np.uint8)
    mask[10:20, 30:40] = 0
    values = write_tif(tmp_path / "20220624.tif", RGBN, mask=mask)
    dn, _ = read(one(tmp_path), RGBN)
    assert (dn == np.where(mask, values, 0)).all()


# -- reading -----------------------------------------------------------------------------------------------------------

LAYOUTS = {
    "tiles": {"tiled": True, "blockxsize": 64, "blockysize": 64, "interleave": "pixel"},
    "band tiles": {"tiled": True, "blockxsize": 64, "blockysize": 64, "interleave": "band"},
    "strips": {"interleave": "pixel"},
    "zstd": {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "zstd", "interleave": "pixel"},
    "big-endian": {"tiled": True, "blockxsize": 64, "blockysize": 64, "ENDIANNESS": "BIG"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("names", [TEN, ("B12", "B03", "B04", "B02")], ids=["all", "some"])
def test_every_window_of_every_layout(tmp_path, write_tif, layout, names):
    values = write_tif(tmp_path / "20220624.tif", TEN, (200, 150), **LAYOUTS[layout])
    picked = values[[TEN.index(name) for name in names]]
    acquisition = one(tmp_path)
    with acquisition.open(names) as reader:
        for window in (Window(0, 0, 200, 150), Window(64, 64, 64, 64), Window(3, 149, 50, 1), Window(199, 0, 1, 150)):
            out = np.empty((len(names), window.height, window.width), np.uint16)
            reader.read(window, out)
            row, col, height, width = window
            assert (out == picked[:, row : row + height, col : col + width]).all()


def test_odd_windows_of_replicated_bands(tmp_path, write_tif, read):
    write_tif(tmp_path / "20220624_10m.tif", ("B02",), (95, 121))
    write_tif(tmp_path / "20220624_20m.tif", ("B11",), (47, 60), pixel=20)
    write_tif(tmp_path / "20220624_60m.tif", ("B09",), (16, 20), pixel=60)
    acquisition = one(tmp_path)
    names = ("B09", "B02", "B11")
    whole, _ = read(acquisition, names)
    with acquisition.open(names) as reader:
        for window in (Window(1, 1, 5, 7), Window(94, 120, 1, 1), Window(89, 3, 6, 118), Window(0, 119, 95, 2)):
            out = np.empty((3, window.height, window.width), np.uint16)
            reader.read(window, out)
            row, col, height, width = window
            assert (out == whole[:, row : row + height, col : col + width]).all()


def test_block_shape_cuts_no_block_of_either_file(tmp_path, write_tif):
    tiles = {"tiled": True, "blockxsize": 64, "blockysize": 64}
    write_tif(tmp_path / "20220624_10m.tif", ("B02",), (256, 256), **tiles)
    write_tif(tmp_path / "20220624_20m.tif", ("B11",), (128, 128), pixel=20, **tiles)
    assert one(tmp_path).block_shape == (128, 128)
    write_tif(tmp_path / "strips" / "20220624.tif", ("B02",), (256, 256), blockysize=8)
    assert one(tmp_path / "strips").block_shape == (8, 256)


def test_a_window_outside_the_grid_is_a_bug(tmp_path, write_tif):
    write_tif(tmp_path / "20220624.tif", RGBN)
    with one(tmp_path).open(RGBN) as reader, pytest.raises(ValueError, match="not within"):
        reader.read(Window(90, 0, 32, 32), np.empty((4, 32, 32), np.uint16))


def test_reads_in_another_thread(tmp_path, write_tif):
    values = write_tif(tmp_path / "20220624.tif", RGBN)
    out = np.empty((4, 96, 128), np.uint16)

    def work() -> None:
        with one(tmp_path).open(RGBN) as reader:
            reader.read(Window(0, 0, 96, 128), out)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert (out == values).all()


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"II*\0", b"not a tiff at all" * 50], ids=["empty", "cut", "text"])
def test_a_file_without_header_is_refused_and_the_others_stay(tmp_path, write_tif, content, capfd):
    write_tif(tmp_path / "20220624.tif", RGBN)
    (tmp_path / "20220625.tif").write_bytes(content)
    (found,), (error,) = geotiff.list_folder(tmp_path)
    assert found.product_id == "20220624"
    assert "20220625.tif" in error.where
    assert error.kind in ("truncated", "unreadable")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("layout", ["tiles", "strips", "zstd", "band tiles"])
@pytest.mark.parametrize("kept", [0.5, 0.95])
def test_cut_data_costs_only_its_windows(tmp_path, write_tif, layout, kept, capfd):
    file = tmp_path / "20220624.tif"
    values = write_tif(file, RGBN, (256, 256), **LAYOUTS[layout])
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * kept)])
    good, errors = 0, []
    with one(tmp_path).open(("B02",)) as reader:
        for row in range(0, 256, 64):
            for col in range(0, 256, 64):
                out = np.empty((1, 64, 64), np.uint16)
                try:
                    reader.read(Window(row, col, 64, 64), out)
                except InputError as error:
                    errors.append(error)
                else:
                    assert (out == values[:1, row : row + 64, col : col + 64]).all()
                    good += 1
    if layout != "band tiles":  # there B02 comes first, and is whole
        assert errors
        assert {error.kind for error in errors} == {"truncated"}
        assert "rows 192-255" in errors[-1].reason
        assert str(file) in str(errors[-1])
    assert good
    assert capfd.readouterr().err == ""


def test_garbage_in_compressed_data_is_corrupt(tmp_path, write_tif):
    file = tmp_path / "20220624.tif"
    write_tif(file, ("B02",), (256, 256), **LAYOUTS["zstd"])
    data = bytearray(file.read_bytes())
    data[-3000:] = bytes(3000)
    file.write_bytes(data)
    with one(tmp_path).open(("B02",)) as reader, pytest.raises(InputError) as caught:
        reader.read(Window(192, 192, 64, 64), np.empty((1, 64, 64), np.uint16))
    assert caught.value.kind == "corrupt"


@pytest.mark.parametrize(
    ("options", "kind"),
    [({"crs": "EPSG:32634"}, "crs"), ({"crs": None}, "crs"), ({"origin": (4.01e5, 5e6)}, "grid")],
)
def test_files_of_one_pass_that_do_not_lie_on_each_other(tmp_path, write_tif, options, kind):
    write_tif(tmp_path / "20220624_10m.tif", RGBN)
    write_tif(tmp_path / "20220624_20m.tif", ("B11",), (48, 64), pixel=20, **options)
    assert refusal(tmp_path).kind == kind


def test_files_of_one_pass_that_differ_in_size(tmp_path, write_tif):
    write_tif(tmp_path / "20220624_10m.tif", RGBN)
    write_tif(tmp_path / "20220624_20m.tif", ("B11",), (40, 64), pixel=20)
    assert refusal(tmp_path).kind == "size"


def test_a_file_that_shrank_after_listing(tmp_path, write_tif):
    write_tif(tmp_path / "20220624.tif", RGBN)
    acquisition = one(tmp_path)
    write_tif(tmp_path / "20220624.tif", RGBN, (64, 64))
    with pytest.raises(InputError, match="changed since"):
        acquisition.open(RGBN)
    (tmp_path / "20220624.tif").unlink()
    with pytest.raises(InputError) as caught:
        acquisition.open(RGBN)
    assert caught.value.kind == "missing"


def test_listing_decodes_nothing(tmp_path, write_tif, monkeypatch):
    write_tif(tmp_path / "20220624.tif", RGBN)
    monkeypatch.setattr(rasterio.io.DatasetReader, "read", None, raising=False)
    assert one(tmp_path).bands


# -- real data ---------------------------------------------------------------------------------------------------------


def test_every_city_of_oscd(data_dir):
    folders = sorted(path for path in (data_dir / "oscd").glob("*/*") if path.is_dir())
    for folder in folders:
        found, refused = geotiff.list_folder(folder)
        assert refused == []
        first, second = sorted(found, key=lambda item: item.sensing_time)
        assert (first.product_id, len(first.bands), first.notes) == ("t1", 13, ())
        assert first.grid.mismatch(second.grid) is None
        for item in found:
            with item.open(TEN) as reader:
                reader.read(
                    Window(item.grid.height - 32, item.grid.width - 32, 32, 32), np.empty((10, 32, 32), np.uint16)
                )


def test_fires_are_float_dn_at_20_m(data_dir, read):
    for folder in sorted((data_dir / "fires").iterdir()):
        found, refused = geotiff.list_folder(folder)
        assert refused == []
        assert [item.product_id for item in sorted(found, key=lambda item: item.sensing_time)] == ["pre", "post"]
        names = ("B02", "B03", "B04", "B08", "B12")
        with rasterio.open(folder / "post.tif") as source:
            values = source.read()
        acquisition = next(item for item in found if item.product_id == "post")
        dn, _ = read(acquisition, names)
        assert (dn[:, ::2, ::2] == np.rint(values) + 1000).all()


def test_raw_l1b_has_no_band_names(data_dir):
    found, refused = geotiff.list_folder(data_dir / "l1b")
    assert found == []
    assert {error.kind for error in refused} == {"missing-band"}
