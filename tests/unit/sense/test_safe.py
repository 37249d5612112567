import shutil
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from onboard.errors import InputError
from onboard.sense import safe
from onboard.sense.acquisition import Acquisition
from onboard.sense.bands import NATIVE_RESOLUTION_M, S2_BANDS
from onboard.sense.grid import Window
from onboard.sense.safe_metadata import MAX_XML_BYTES, parse_product

NAME = "S2A_MSI{level}_20220629T000241_N0400_R030_T56JMM_20220629T012042"
GRANULE = "{level}_T56JMM_A015757_20220629T000241"
SIZE = {10: 192, 20: 96, 60: 32}
TEN = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")


def product_xml(level: str, *, offset: int | None = -1000, quantification: str = "10000", extra: str = "") -> str:
    tag, quantity = {
        "L1C": ("RADIO_ADD_OFFSET", "QUANTIFICATION_VALUE"),
        "L2A": ("BOA_ADD_OFFSET", "BOA_QUANTIFICATION_VALUE"),
    }[level]
    offsets = "" if offset is None else "".join(f'<{tag} band_id="{n}">{offset - n}</{tag}>' for n in range(13))
    number = f'<{quantity} unit="none">{quantification}</{quantity}>' if quantification else ""
    return f"""<?xml version="1.0" encoding="UTF-8"?>{extra}
<n1:Level_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/x.xsd"><n1:General_Info><Product_Info>
<PRODUCT_START_TIME>2022-06-29T00:02:41.024Z</PRODUCT_START_TIME><PRODUCT_URI>{NAME.format(level=level)}.SAFE</PRODUCT_URI>
<IMAGE_FILE>GRANULE/x/IMG_DATA/T56JMM_20220629T000241_B02</IMAGE_FILE></Product_Info>
<Special_Values><SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX></Special_Values>
<Special_Values><SPECIAL_VALUE_TEXT>SATURATED</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>65535</SPECIAL_VALUE_INDEX>
</Special_Values>{number}{offsets}</n1:General_Info></n1:Level_User_Product>"""


GRANULE_XML = "<T><General_Info><SENSING_TIME>2022-06-29T00:05:11.461Z</SENSING_TIME></General_Info></T>"


def write_jp2(path: Path, values: np.ndarray, metres: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = values.shape
    with rasterio.open(
        path, "w", driver="JP2OpenJPEG", count=count, height=height, width=width, dtype=values.dtype, crs="EPSG:32756",
        transform=Affine(metres, 0, 4e5, 0, -metres, 6.7e6),
        QUALITY="100", REVERSIBLE="YES", blockxsize=64, blockysize=64,
    ) as target:  # fmt: skip
        target.write(values)


def make_product(folder: Path, level: str, bands: tuple[str, ...] = S2_BANDS) -> dict[str, np.ndarray]:
    """A whole small product; returns the values of each band, (h, w)."""
    root = folder / f"{NAME.format(level=level)}.SAFE"
    granule = root / "GRANULE" / GRANULE.format(level=level)
    root.mkdir(parents=True)
    (root / f"MTD_MSI{level}.xml").write_text(product_xml(level))
    granule.mkdir(parents=True)
    (granule / "MTD_TL.xml").write_text(GRANULE_XML)
    values = {}
    for n, band in enumerate(bands):
        metres = NATIVE_RESOLUTION_M[band]
        values[band] = np.random.default_rng(n).integers(1, 4000, (SIZE[metres],) * 2).astype(np.uint16)
        within = (
            f"R{metres}m/T56JMM_20220629T000241_{band}_{metres}m"
            if level == "L2A"
            else f"T56JMM_20220629T000241_{band}"
        )
        write_jp2(granule / "IMG_DATA" / f"{within}.jp2", values[band][None], metres)
    return values


def zipped(product: Path) -> Path:
    target = product.parent / f"{product.stem}.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(product.rglob("*")):
            archive.write(file, file.relative_to(product.parent))
    shutil.rmtree(product)
    return target


def one(path: Path) -> Acquisition:
    (acquisition,), refused = safe.list_products([path])
    assert refused == []
    return acquisition


@pytest.mark.parametrize("level", ["L1C", "L2A"])
@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_a_whole_product(tmp_path, read, level, packed):
    values = make_product(tmp_path, level)
    if packed:
        zipped(tmp_path / f"{NAME.format(level=level)}.SAFE")
    (path,) = safe.find_products(tmp_path)
    acquisition = one(path)
    assert acquisition.product_id == NAME.format(level=level)
    assert acquisition.sensing_time == datetime(2022, 6, 29, 0, 5, 11, 461000, tzinfo=UTC)
    assert [band.name for band in acquisition.bands] == list(S2_BANDS)
    assert [band.offset for band in acquisition.bands] == [-1000 - n for n in range(13)]
    assert acquisition.block_shape == (128, 128)
    assert acquisition.notes == ()
    dn, usable = read(acquisition, ("B12", "B02", "B01"))
    assert usable is None
    assert (dn[0] == values["B12"].repeat(2, 0).repeat(2, 1)).all()
    assert (dn[1] == values["B02"]).all()
    assert (dn[2] == values["B01"].repeat(6, 0).repeat(6, 1)).all()


@pytest.mark.parametrize("metres", [20, 60])
def test_scene_classification_of_l2a(tmp_path, read, metres):
    make_product(tmp_path, "L2A", ("B02", "B11"))
    (product,) = safe.find_products(tmp_path)
    classes = (np.arange(SIZE[metres] ** 2) % 12).reshape(1, SIZE[metres], SIZE[metres]).astype(np.uint8)
    image = f"GRANULE/{GRANULE.format(level='L2A')}/IMG_DATA/R{metres}m/T56JMM_20220629T000241_SCL_{metres}m.jp2"
    write_jp2(product / image, classes, metres)
    _, usable = read(one(product), ("B02",))
    expected = ~np.isin(classes[0], (0, 1, 3, 8, 9, 10)).repeat(metres // 10, 0).repeat(metres // 10, 1)
    assert (usable == expected).all()


def test_cloud_classes_of_l1c(tmp_path, read):
    make_product(tmp_path, "L1C", ("B02",))
    (product,) = safe.find_products(tmp_path)
    classes = np.zeros((3, 32, 32), np.uint8)
    classes[0, :4], classes[1, 10], classes[2, 20] = 1, 1, 1  # opaque cloud, cirrus, snow
    write_jp2(product / "GRANULE" / GRANULE.format(level="L1C") / "QI_DATA" / "MSK_CLASSI_B00.jp2", classes, 60)
    _, usable = read(one(product), ("B02",))
    rows = np.repeat(~np.isin(np.arange(32), (0, 1, 2, 3, 10)), 6)
    assert (usable == rows[:, None]).all()


def test_l2a_without_its_10_m_images(tmp_path):
    make_product(tmp_path, "L2A", ("B01", "B05", "B11"))
    (product,) = safe.find_products(tmp_path)
    acquisition = one(product)
    assert (acquisition.grid.width, acquisition.grid.pixel_size_m) == (192, 10)
    assert acquisition.notes == ("announced in its metadata but not there: B02",)
    with pytest.raises(InputError, match="B02"):
        acquisition.open(("B02",))


def test_one_granule_each(tmp_path):
    make_product(tmp_path, "L1C", ("B02",))
    (product,) = safe.find_products(tmp_path)
    shutil.copytree(product / "GRANULE" / GRANULE.format(level="L1C"), product / "GRANULE" / "OTHER")
    found, refused = safe.list_products([product])
    assert (len(found), refused) == (2, [])
    assert len({item.product_id for item in found}) == 2


# -- bad input ---------------------------------------------------------------------------------------------------------


def refusals(path: Path) -> list[InputError]:
    found, refused = safe.list_products([path])
    assert found == []
    assert all("\n" not in str(error) for error in refused)
    return refused


@pytest.mark.parametrize(
    "document",
    [
        product_xml("L1C", quantification=""),
        product_xml("L1C", quantification="many"),
        product_xml("L1C", quantification="0"),
        product_xml("L1C", extra='<!DOCTYPE x [<!ENTITY a "b">]>'),
        product_xml("L1C")[:300],
        "",
    ],
    ids=["no quantification", "not a number", "zero", "doctype", "cut", "empty"],
)
def test_metadata_that_cannot_be_trusted(tmp_path, document):
    make_product(tmp_path, "L1C", ("B02",))
    (product,) = safe.find_products(tmp_path)
    (product / "MTD_MSIL1C.xml").write_text(document)
    (error,) = refusals(product)
    assert error.kind == "metadata"
    assert "MTD_MSIL1C.xml" in error.where


def test_doctype_is_found_in_any_encoding_and_size_is_capped():
    document = product_xml("L1C", extra="<!DOCTYPE x>").replace("UTF-8", "UTF-16").encode("utf-16")
    with pytest.raises(InputError, match="DOCTYPE"):
        parse_product(document, "x", "L1C", "x")
    with pytest.raises(InputError, match="more than any"):
        parse_product(b" " * (MAX_XML_BYTES + 1), "x", "L1C", "x")


def test_products_before_baseline_4_have_no_offset():
    metadata = parse_product(product_xml("L2A", offset=None).encode(), "x", "L2A", "x")
    assert metadata.radiometry("B02").offset == 0


def test_a_damaged_image_costs_its_band(tmp_path):
    make_product(tmp_path, "L1C", ("B02", "B03"))
    (product,) = safe.find_products(tmp_path)
    image = next(product.rglob("*_B03.jp2"))
    image.write_bytes(image.read_bytes()[:40])
    (acquisition,), (error,) = safe.list_products([product])
    assert [band.name for band in acquisition.bands] == ["B02"]
    assert "_B03.jp2" in error.where


def test_a_cut_image_costs_its_windows(tmp_path, capfd):
    values = make_product(tmp_path, "L1C", ("B02",))["B02"]
    (product,) = safe.find_products(tmp_path)
    image = next(product.rglob("*_B02.jp2"))
    data = image.read_bytes()
    image.write_bytes(data[: len(data) * 6 // 10])
    out = np.empty((1, 64, 64), np.uint16)
    with one(product).open(("B02",)) as reader:
        reader.read(Window(0, 0, 64, 64), out)
        assert (out[0] == values[:64, :64]).all()
        with pytest.raises(InputError, match="rows 128-191") as caught:
            reader.read(Window(128, 128, 64, 64), out)
    assert caught.value.kind in ("truncated", "corrupt")
    assert capfd.readouterr().err == ""


def broken_zip(tmp_path: Path) -> Path:
    make_product(tmp_path, "L1C", ("B02",))
    path = zipped(next(iter(safe.find_products(tmp_path))))
    path.write_bytes(path.read_bytes()[:-100])
    return path


def empty_safe(tmp_path: Path) -> Path:
    path = tmp_path / "x.SAFE"
    path.mkdir()
    return path


def no_granule(tmp_path: Path) -> Path:
    path = empty_safe(tmp_path)
    (path / "MTD_MSIL2A.xml").write_text(product_xml("L2A"))
    return path


@pytest.mark.parametrize(
    ("make", "kind"),
    [(broken_zip, "truncated"), (empty_safe, "missing"), (no_granule, "missing")],
)
def test_incomplete_products(tmp_path, make: Callable[[Path], Path], kind):
    path = make(tmp_path)
    assert safe.is_product(path)
    (error,) = refusals(path)
    assert error.kind == kind


def test_other_zips_and_folders_are_no_products(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    (tmp_path / "folder").mkdir()
    assert safe.find_products(tmp_path) == []


# -- real data ---------------------------------------------------------------------------------------------------------


def test_decimated_l1c_in_its_zip(data_dir, read):
    (path,) = (data_dir / "safe").glob("*L1C*.zip")
    acquisition = one(path)
    assert (acquisition.grid.width, acquisition.grid.height) == (439, 439)
    assert acquisition.notes == ("pixel size 250 m: cells are 32 px = 8 km, not 320 m",)
    assert acquisition.sensing_time == datetime(2018, 6, 29, 0, 2, 41, 461000, tzinfo=UTC)
    assert {(band.offset, band.quantification) for band in acquisition.bands} == {(0, 10_000)}
    dn, _ = read(acquisition, TEN)
    assert (dn[3, 438] == dn[3, 437]).all()  # 219 rows of B05 stand for 439
    assert 100 < dn[0][dn[0] > 0].mean() < 3000


def test_partial_l2a_is_one_clear_refusal(data_dir):
    (path,) = (data_dir / "safe").glob("*L2A*.SAFE")
    (error,) = refusals(path)
    assert error.kind == "missing-band"
    assert "no 10 m or 20 m image" in error.reason
    assert "B04_60m" in error.reason
