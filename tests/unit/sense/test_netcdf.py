import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.shutil import copy

from onboard.errors import InputError
from onboard.sense import netcdf, stream
from onboard.sense.grid import Window

SERIES = "sentinel2_cube_subset_romania"


@pytest.fixture
def write_cube(tmp_path, write_tif):
    """write_cube(name, variable, size, ...) -> values (time, h, w). GDAL writes one variable per file."""

    def write(
        name: str, variable: str, size: tuple[int, int] = (64, 96), days: str = "{0,5,10.5}",
        units: str = "days since 2017-05-01", pixel: float = 10.0, crs: str | None = "EPSG:32633",
    ) -> np.ndarray:  # fmt: skip
        dates = days.count(",") + 1
        tags = {
            "NETCDF_DIM_EXTRA": "{time}",
            "NETCDF_DIM_time_DEF": f"{{{dates},6}}",
            "NETCDF_DIM_time_VALUES": days,
            "time#units": units,
        }
        source = tmp_path / "source" / "source.tif"
        values = write_tif(source, ("",) * dates, size, tags=tags, pixel=pixel, crs=crs, nodata=0)
        with rasterio.open(source, "r+") as target:
            for index, day in enumerate(days.strip("{}").split(","), start=1):
                target.update_tags(index, NETCDF_VARNAME=variable, NETCDF_DIM_time=day)
        copy(source, tmp_path / name, driver="netCDF", FORMAT="NC4")
        return values

    return write


def test_one_acquisition_per_date(tmp_path, write_cube, read):
    values = write_cube("farm.nc", "B2")
    found, refused = netcdf.list_cube(tmp_path / "farm.nc")
    assert refused == []
    assert [item.product_id for item in found] == ["farm@2017-05-01", "farm@2017-05-06", "farm@2017-05-11T12:00:00"]
    assert found[2].sensing_time == datetime(2017, 5, 11, 12, tzinfo=UTC)
    assert (found[0].grid.width, found[0].grid.height, found[0].grid.transform[2]) == (96, 64, 4e5)
    for n, item in enumerate(found):
        dn, usable = read(item, ("B02",))
        assert (dn[0] == values[n]).all()
        assert usable is None


@pytest.mark.parametrize(
    ("units", "days", "last"),
    [
        ("hours since 2017-05-01 06:00:00", "{0,24,36}", "2017-05-02T18:00:00+00:00"),
        ("minutes since 2017-05-01T00:00:00", "{0,1,90}", "2017-05-01T01:30:00+00:00"),
        ("seconds since 1970-01-01 00:00:00 UTC", "{0,1,1493596800}", "2017-05-01T00:00:00+00:00"),
    ],
)
def test_units_of_time(tmp_path, write_cube, units, days, last):
    write_cube("farm.nc", "B2", units=units, days=days)
    found, _ = netcdf.list_cube(tmp_path / "farm.nc")
    assert found[-1].sensing_time.isoformat() == last


def test_20_m_file_beside_it_is_part_of_the_cube(tmp_path, write_cube, read):
    write_cube("farm_10m.nc", "B2")
    coarse = write_cube("farm_20m.nc", "B11", (32, 48), pixel=20)
    assert netcdf.find_cubes(tmp_path) == [tmp_path / "farm_10m.nc"]
    found, refused = netcdf.list_cube(tmp_path / "farm_10m.nc")
    assert refused == []
    dn, _ = read(found[1], ("B11",))
    assert (dn[0] == coarse[1].repeat(2, 0).repeat(2, 1)).all()


def test_20_m_file_of_other_dates_is_left_out(tmp_path, write_cube):
    write_cube("farm_10m.nc", "B2")
    write_cube("farm_20m.nc", "B11", (32, 48), pixel=20, days="{0,5,11}")
    found, (error,) = netcdf.list_cube(tmp_path / "farm_10m.nc")
    assert [band.name for band in found[0].bands] == ["B02"]
    assert "farm_20m.nc" in error.where


def test_no_georeference_is_noted(tmp_path, write_cube):
    write_cube("farm.nc", "B2", crs=None)
    found, _ = netcdf.list_cube(tmp_path / "farm.nc")
    assert any("no georeference" in note for note in found[0].notes)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda write: write("x.nc", "evi"), "missing-band"),
        (lambda write: write("x.nc", "B2", units="1"), "no-date"),
        (lambda write: write("x.nc", "B2", units="days since yesterday"), "no-date"),
        (lambda write: Path("x.nc").write_bytes(b"\x89HDF\r\n\x1a\n"), "unreadable"),
        (lambda write: Path("x.nc").write_bytes(b""), "truncated"),
    ],
    ids=["no band", "no time", "bad time", "cut", "empty"],
)
def test_bad_cubes_are_one_clear_line(tmp_path, write_cube, monkeypatch, make, kind, capfd):
    monkeypatch.chdir(tmp_path)
    make(write_cube)
    found, (error,) = netcdf.list_cube(tmp_path / "x.nc")
    assert (found, error.kind) == ([], kind)
    assert "x.nc" in error.where
    assert "\n" not in str(error)
    assert capfd.readouterr().err == ""


def test_a_cut_cube(tmp_path, write_cube):
    write_cube("x.nc", "B2")
    data = (tmp_path / "x.nc").read_bytes()
    (tmp_path / "x.nc").write_bytes(data[: len(data) // 2])
    found, refused = netcdf.list_cube(tmp_path / "x.nc")
    assert (found, len(refused)) == ([], 1)  # HDF5 keeps a file's length in its header and opens nothing shorter


# -- the real series ---------------------------------------------------------------------------------------------------


def test_romanian_forest(nrt_dir, read):
    path = nrt_dir / f"{SERIES}_10m.nc"
    found, refused = netcdf.list_cube(path)
    assert refused == []
    assert len(found) == 140
    first = found[0]
    assert first.sensing_time == datetime(2015, 8, 1, tzinfo=UTC)
    assert [band.name for band in first.bands] == ["B02", "B03", "B04", "B08", "B8A", "B11"]
    # The series' own tree cover raster has its upper left at (5271982.58, 2533004.21), EPSG:3035.
    assert first.grid.transform == pytest.approx((10, 0, 5271982.5766, 0, -10, 2533004.2149), abs=0.01)
    assert (first.grid.width, first.grid.height) == (100, 100)
    assert "LAEA" in first.grid.crs
    _, usable = read(first, ("B02",))
    assert usable is not None
    assert 0.3 < usable.mean() < 0.8


def test_north_is_up(nrt_dir, read):
    """Against the package's GeoTIFF of tree cover: GDAL alone would turn this series upside down."""
    found, _ = netcdf.list_cube(nrt_dir / f"{SERIES}_10m.nc")
    with rasterio.open(nrt_dir / "tree_cover_density_2018_romania.tif") as source:
        cover = source.read(1).astype(float)
    series = []
    for item in found[::4]:
        dn, usable = read(item, ("B04", "B08"))
        red, infrared = dn.astype(float)
        ndvi = np.where(usable, (infrared - red) / np.maximum(infrared + red, 1), np.nan)
        series.append(ndvi)
    ndvi = np.nanmedian(series, axis=0).reshape(50, 2, 50, 2).mean(axis=(1, 3))
    upright, flipped = (np.corrcoef(image.ravel(), cover.ravel())[0, 1] for image in (ndvi, ndvi[::-1]))
    assert upright > flipped + 0.2


def test_10_and_20_m_lie_on_each_other(nrt_dir, read):
    fine, _ = netcdf.list_cube(nrt_dir / f"{SERIES}_10m.nc")
    coarse, _ = netcdf.list_cube(nrt_dir / f"{SERIES}_20m.nc")
    assert fine[30].grid == coarse[30].grid
    red10, red20 = (read(item, ("B04",))[0][0].astype(float) for item in (fine[30], coarse[30]))
    mean = red10.reshape(50, 2, 50, 2).mean(axis=(1, 3))
    assert np.corrcoef(mean.ravel(), red20[::2, ::2].ravel())[0, 1] > 0.95


def test_opening_one_date_after_another_is_cheap(nrt_dir):
    found, _ = netcdf.list_cube(nrt_dir / f"{SERIES}_10m.nc")
    out = np.empty((2, 96, 96), np.uint16)
    began = time.perf_counter()
    for item in found[:20]:
        with item.open(("B02", "B11")) as reader:
            reader.read(Window(0, 0, 96, 96), out)
    assert time.perf_counter() - began < 4  # 40 ms for each variable of each date would be 2.4 s in opening alone


def test_a_folder_of_cubes_and_a_tiny_one(nrt_dir):
    tiny = stream.open_stream(str(nrt_dir / "sentinel2_subset.nc")).acquisitions
    assert len(tiny) == 146
    assert (tiny[0].grid.rows, tiny[0].grid.cols) == (0, 0)
    assert len(stream.open_stream(str(nrt_dir)).acquisitions) == 286


def test_missing_band_is_named(nrt_dir):
    found, _ = netcdf.list_cube(nrt_dir / f"{SERIES}_10m.nc")
    with pytest.raises(InputError, match="B12"):
        found[0].open(("B02", "B12"))
