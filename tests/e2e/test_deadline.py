"""`--deadline`: what was skipped is said everywhere and claimed nowhere; `off` is a run without the option."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
import rasterio

from onboard.cli.detect import main
from onboard.report.outcome import CellStatus
from tests.scenes import changed, landscape, noisy, write_pass


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    """Two passes of 72 rows of 24 cells: strips of ten rows, as a chunk holds 256 cells."""
    folder = tmp_path_factory.mktemp("in")
    place, layout = landscape((72, 24)), {"tiled": False, "blockxsize": 768, "blockysize": 32, "interleave": "band"}
    write_pass(folder, "20230101", place, **layout)
    write_pass(folder, "20230111", changed(noisy(place), (9, 3)), **layout)
    return folder


def read(out, name):
    with rasterio.open(out / name) as dataset:
        return dataset.read()


def test_a_deadline_that_nothing_can_keep_skips_every_other_strip_and_says_so(stream, tmp_path):
    (tmp_path / "small.toml").write_text(
        "[small]\nmemory_mb = 140\nthreads = 1\nstorage_mb = 500\ndeadline_ms_per_row = 0.001\n"
        "watts = {board = 2, look = 1}\n"
    )
    out = tmp_path / "out"
    assert main([str(stream), "--out", str(out), "--profile", str(tmp_path / "small.toml")]) == 0
    told = json.loads((out / "summary.json").read_text())
    governor = told["strips"]["governor"]
    assert governor["skipped"] >= 3
    assert governor["skipped"] + governor["kept"] + len(governor["missed"]) == governor["strips"]
    assert governor["kept"] == 0
    status, score = read(out, "status.tif"), read(out, "score.tif")
    untouched = status == CellStatus.NOT_LOOKED_AT
    assert told["counters"]["cells_skipped"] == untouched.sum() == told["cells"]["not_looked_at"]
    assert np.isnan(score[untouched]).all()
    detections = json.loads((out / "detections.geojson").read_text())
    assert detections["features"]  # what was seen is told, though no cell was coded without loss
    claims = detections["not_looked_at"]
    for band, said in enumerate(sorted(claims, key=lambda one: one["product_id"], reverse=True)):  # newest first
        rows = {row for first, end in said["rows"] for row in range(first, end)}
        assert rows == set(np.flatnonzero(untouched[band].all(axis=1)).tolist())
    page = (out / "report.html").read_text()
    assert "Deadlines" in page
    assert "every other strip" in page
    assert "Energy" in page
    assert "A row of cells took" in page
    assert told["budgets"]["energy_j"] > 2 * 0.01
    assert told["budgets"]["profile"] == "small"


def test_off_is_a_run_without_the_option_even_under_a_profile(stream, tmp_path):
    (tmp_path / "small.toml").write_text("[small]\ndeadline_ms_per_row = 0.001\n")
    profile = ["--profile", str(tmp_path / "small.toml"), "--deadline", "off"]
    for name, options in (("plain", []), ("off", ["--deadline", "off"]), ("profile", profile)):
        assert main([str(stream), "--out", str(tmp_path / name), "--budget-mb", "0.1", *options]) == 0
    for file in ("score.tif", "status.tif", "detections.geojson"):
        assert len({(tmp_path / name / file).read_bytes() for name in ("plain", "off", "profile")}) == 1
    assert json.loads((tmp_path / "off/summary.json").read_text())["strips"]["governor"] is None


@pytest.mark.parametrize("value", ["0", "-3", "soon", "inf"])
def test_a_deadline_that_is_none_is_refused(stream, tmp_path, value, capsys):
    with pytest.raises(SystemExit):
        main([str(stream), "--out", str(tmp_path), "--deadline", value])
    assert "--deadline" in capsys.readouterr().err


def test_what_was_skipped_before_a_kill_stays_skipped(stream, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "onboard.cli.detect", str(stream), "--out", str(out), "--group-cells", "6"]
    command += ["--deadline", "0.001", "--threads", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    assert process.stderr is not None
    process.stderr.readline()  # the first acquisition is through
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {(a, i): s for a, i, s in _chunks(out)}
    subprocess.run(command, check=True, capture_output=True)
    after = {(a, i): s for a, i, s in _chunks(out)}
    assert before.items() <= after.items()
    assert len(after) == 2 * 8
    assert any(set(status) == {CellStatus.NOT_LOOKED_AT} for status in after.values())


def _chunks(out):
    import sqlite3

    with sqlite3.connect(out / "store/state.sqlite") as db:
        return db.execute("SELECT acquisition, idx, status FROM chunk").fetchall()
