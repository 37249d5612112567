"""Every bad input ends as one clear line that names the file and the reason, a counter, and its exit code."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from onboard.cli.detect import main
from onboard.infer.bundle import SHIPPED
from tests.scenes import BANDS, landscape, noisy, three_passes, write_pass


def run(capsys, *args: object) -> tuple[int, str]:
    code = main([str(a) for a in args])
    return code, capsys.readouterr().err


def counters(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())["counters"]


def scored(out: Path) -> int:
    with rasterio.open(out / "score.tif") as dataset:
        return int(np.isfinite(dataset.read()).sum())


def good_pair(folder: Path) -> Path:
    write_pass(folder, "20230101", landscape())
    write_pass(folder, "20230111", noisy(landscape()))
    return folder


def check(code: int, expected: int, err: str, *words: str) -> None:
    assert code == expected, err
    lines = [line for line in err.splitlines() if all(word in line for word in words)]
    assert lines, f"{words} not in one line of:\n{err}"


def test_missing_band(tmp_path, capsys):
    folder = good_pair(tmp_path / "in")
    write_pass(folder, "20230121", landscape(bands=9), BANDS[:9])
    code, err = run(capsys, folder, "--out", tmp_path / "out", "--bundle", "s2-10")
    check(code, 3, err, "S2_20230121", "B12", "s2-10")
    assert counters(tmp_path / "out")["missing-band"] == 1
    assert scored(tmp_path / "out") == 48


@pytest.mark.parametrize("keep", [0, 20, 300])
def test_a_file_cut_in_its_header(tmp_path, capsys, keep):
    folder = good_pair(tmp_path / "in")
    path = write_pass(folder, "20230121", landscape())
    path.write_bytes(path.read_bytes()[:keep])
    code, err = run(capsys, folder, "--out", tmp_path / "out")
    check(code, 3, err, "S2_20230121")
    assert scored(tmp_path / "out") == 48


def test_a_file_cut_in_its_data_is_looked_at_where_it_can(tmp_path, capsys):
    folder = good_pair(tmp_path / "in")
    place = landscape((24, 24))
    for old in folder.iterdir():
        old.unlink()
    write_pass(folder, "20230101", place)
    # a COG has its directory in front, so that a cut takes pixels and not the header
    plain = write_pass(tmp_path / "plain", "20230111", noisy(place))
    path = folder / plain.name
    rasterio.shutil.copy(plain, path, driver="COG", blocksize=128, overviews="NONE")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    code, err = run(capsys, folder, "--out", tmp_path / "out")
    check(code, 3, err, "S2_20230111")
    assert counters(tmp_path / "out")["cells_not_read"] > 0
    assert 0 < scored(tmp_path / "out") < 24 * 24


def test_wrong_crs_and_shifted_origin(tmp_path, capsys):
    folder = good_pair(tmp_path / "in")
    write_pass(folder, "20230121", landscape(), epsg=32634)
    write_pass(folder, "20230122", landscape(), origin=(500_006.0, 5_000_000.0))
    write_pass(folder, "20230123", landscape(), pixel=10.3)
    write_pass(folder, "20230124", noisy(landscape()), origin=(500_004.0, 5_000_000.0))
    code, err = run(capsys, folder, "--out", tmp_path / "out")
    check(code, 3, err, "S2_20230121", "EPSG:32634")
    check(code, 3, err, "S2_20230122", "0.6")
    check(code, 3, err, "S2_20230123", "pixel size")
    assert counters(tmp_path / "out")["grid"] == 3
    assert scored(tmp_path / "out") == 96


def test_all_no_data(tmp_path, capsys):
    folder = good_pair(tmp_path / "in")
    write_pass(folder, "20230121", np.zeros_like(landscape()))
    code, err = run(capsys, folder, "--out", tmp_path / "out")
    check(code, 3, err, "S2_20230121", "no valid pixel")
    assert counters(tmp_path / "out")["no-data"] == 1


def test_nan_in_a_float_file_is_no_data(tmp_path, capsys):
    place = landscape().astype(np.float32) / 10_000
    later = noisy(landscape()).astype(np.float32) / 10_000
    later[2, 32:64, 32:64] = np.nan
    write_pass(tmp_path / "in", "20230101", place)
    write_pass(tmp_path / "in", "20230111", later)
    code, err = run(capsys, tmp_path / "in", "--out", tmp_path / "out")
    assert code == 0, err
    with rasterio.open(tmp_path / "out/score.tif") as dataset:
        last = dataset.read()[0]
    assert np.isnan(last[1, 1])
    assert np.isfinite(last).sum() == 47


def test_an_empty_folder_and_a_missing_one(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    code, err = run(capsys, tmp_path / "empty", "--out", tmp_path / "out")
    check(code, 4, err, "empty")
    code, err = run(capsys, tmp_path / "absent", "--out", tmp_path / "out")
    check(code, 4, err, "absent", "no such file")


def test_one_bad_stream_among_good_ones(tmp_path, capsys):
    folder = good_pair(tmp_path / "in")
    code, err = run(capsys, tmp_path / "absent", folder, "--out", tmp_path / "out")
    check(code, 3, err, "absent")
    assert scored(tmp_path / "out") == 48


def test_a_bundle_that_was_altered(tmp_path, capsys):
    folder = good_pair(tmp_path / "in")
    for name in ("encoder-int8.onnx", "manifest.json"):
        copy = tmp_path / f"bundle-{name}"
        shutil.copytree(SHIPPED / "s2-10", copy)
        raw = bytearray((copy / name).read_bytes())
        raw[len(raw) // 2] ^= 1
        (copy / name).write_bytes(bytes(raw))
        code, err = run(capsys, folder, "--out", tmp_path / "out", "--bundle", copy)
        check(code, 5, err, name, "checksum")


def test_a_bundle_that_does_not_fit_the_stream(tmp_path, capsys):
    write_pass(tmp_path / "in", "20230101", landscape(bands=4), ("B02", "B03", "B04", "B08"))
    code, err = run(capsys, tmp_path / "in", "--out", tmp_path / "out", "--bundle", "s2-10")
    check(code, 4, err, "lacks", "B05", "s2-10")


def test_a_store_of_another_version(tmp_path, capsys):
    import sqlite3

    folder = three_passes(tmp_path / "in")
    run(capsys, folder, "--out", tmp_path / "out")
    db = sqlite3.connect(tmp_path / "out/store/state.sqlite")
    db.execute("PRAGMA user_version=7")
    db.close()
    code, err = run(capsys, folder, "--out", tmp_path / "out")
    check(code, 6, err, "version 7")


def test_a_damaged_memory_is_a_first_look_and_loses_nothing_stored(tmp_path, capsys):
    folder = good_pair(tmp_path / "in")
    run(capsys, folder, "--out", tmp_path / "out")
    (tmp_path / "out/store/memory.sqlite").write_bytes(b"\0" * 5000)
    write_pass(folder, "20230121", noisy(landscape(), 1.0, 9))
    code, err = run(capsys, folder, "--out", tmp_path / "out")
    check(code, 0, err, "first look")
    assert counters(tmp_path / "out")["memory_reset"] == 1
    with rasterio.open(tmp_path / "out/score.tif") as dataset:
        assert sorted(int(np.isfinite(band).sum()) for band in dataset.read()) == [0, 0, 48]


def test_a_memory_that_proves_damaged_later_stops_one_run_and_not_those_after_it(tmp_path, capsys):
    folder = good_pair(tmp_path / "in")
    run(capsys, folder, "--out", tmp_path / "out")
    file = tmp_path / "out/store/memory.sqlite"
    raw = bytearray(file.read_bytes())
    for page in range(32_768, len(raw), 32_768):  # the header is whole: it opens
        raw[page : page + 100] = bytes(100)
    file.write_bytes(raw)
    write_pass(folder, "20230121", noisy(landscape(), 1.0, 9))
    code, err = run(capsys, folder, "--out", tmp_path / "out")
    check(code, 6, err, "the next run begins a new memory")
    code, err = run(capsys, folder, "--out", tmp_path / "out")
    check(code, 0, err, "first look")
    assert counters(tmp_path / "out")["memory_reset"] == 1


def test_a_full_disk_keeps_what_was_committed(tmp_path, capsys):
    """A file system of its own would need root: SQLite's own page limit fails the same way, as SQLITE_FULL."""
    from onboard.errors import DiskFullError
    from onboard.store import Store
    from onboard.store.rows import NewProduct

    folder = three_passes(tmp_path / "in")
    run(capsys, folder, "--out", tmp_path / "out")
    with Store(tmp_path / "out/store") as store:
        before = [item.sha256 for item in store.queue.items()]
        pages = store.state._db.execute("PRAGMA page_count").fetchone()[0]
        store.state._db.execute(f"PRAGMA max_page_count={pages}")
        new = NewProduct(99, 0, 1e9, 1e9, bytes(3_000_000), 3_000_000, coded=True)
        with pytest.raises(DiskFullError, match="no space left"):
            store.state.commit(1, [], [new], {}, 10**9)
        assert [item.sha256 for item in store.queue.items()] == before


def test_wrong_usage_is_exit_code_2(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main([str(tmp_path), "--out", str(tmp_path / "out"), "--history", "0"])
    assert stop.value.code == 2
    assert main(["sim:7?disaster=meteorite", "--out", str(tmp_path / "out")]) == 2
