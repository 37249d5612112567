"""Searching and training on what a run has left: the burnt cells find each other."""

import json
import sqlite3

import pytest
from typer import Typer
from typer.testing import CliRunner

from ground.cli.head import head
from onboard.change.heads import Head
from onboard.cli.detect import main as detect
from onboard.cli.search import main as search
from onboard.store import MEMORY_FILE
from tests.scenes import changed, landscape, noisy, write_pass

BURNT = [(1, 1), (2, 5), (4, 6)]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Two quiet passes and a third with three burnt cells."""
    folder = tmp_path_factory.mktemp("search")
    place = landscape()
    write_pass(folder / "in", "20230101", place)
    write_pass(folder / "in", "20230111", noisy(place, 1.1, 3))
    later = noisy(place, 0.95, 4)
    for index, cell in enumerate(BURNT):
        later = changed(later, cell, index)
    write_pass(folder / "in", "20230121", later)
    assert detect([str(folder / "in"), "--out", str(folder / "out"), "--budget-mb", "1"]) == 0
    return folder / "out"


def ask(out, *args, code=0):
    assert search(["--store", str(out / "store"), *(str(a) for a in args)]) == code


def found(capsys):
    return [(c["row"], c["col"]) for c in json.loads(capsys.readouterr().out)["cells"]]


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_burnt_cells_find_each_other(out, capsys, metric):
    ask(out, "--cell", "2,5", "--top", 2, "--metric", metric, "--json")
    assert sorted(found(capsys)) == [(1, 1), (4, 6)]


def test_a_product_finds_its_own_cell_first(out, capsys):
    best = json.loads((out / "detections.geojson").read_text())["features"][0]["properties"]
    ask(out, "--like", out / "products" / best["product"], "--top", 3, "--json")
    cells = json.loads(capsys.readouterr().out)["cells"]
    assert sorted((c["row"], c["col"]) for c in cells) == BURNT
    assert (cells[0]["row"], cells[0]["col"], cells[0]["distance"]) == (best["row"], best["col"], 0.0)
    assert cells[0]["like"] == best["product"]


def test_several_images_ask_for_any_of_them(out, capsys):
    features = json.loads((out / "detections.geojson").read_text())["features"]
    products = [f["properties"] for f in features if (f["properties"]["row"], f["properties"]["col"]) in BURNT[:2]]
    paths = [out / "products" / p["product"] for p in products if p["product_id"].endswith("20230121")]
    ask(out, "--like", *paths, "--top", 2, "--json")
    assert sorted(found(capsys)) == BURNT[:2]


def test_the_answer_is_geojson(out, tmp_path):
    ask(out, "--cell", "2,5", "--out", tmp_path / "similar.geojson", "--top", 4)
    features = json.loads((tmp_path / "similar.geojson").read_text())["features"]
    assert [f["properties"]["rank"] for f in features] == [1, 2, 3, 4]
    distances = [f["properties"]["distance"] for f in features]
    assert distances == sorted(distances)
    assert features[0]["geometry"]["type"] == "Polygon"
    assert features[0]["properties"]["sensing_time"] == "2023-01-21T00:00:00Z"


def test_all_passes_hold_more_looks_and_an_older_pass_can_ask(out, capsys):
    ask(out, "--cell", "2,5", "--top", 500, "--json")
    newest = len(found(capsys))
    ask(out, "--cell", "2,5", "--top", 500, "--all-passes", "--json")
    assert (newest, len(found(capsys))) == (47, 3 * 47)
    ask(out, "--cell", "2,5", "--product", "S2_20230101", "--top", 2, "--json", code=0)
    assert sorted(found(capsys)) != [(1, 1), (4, 6)]


def test_a_damaged_archive_is_rebuilt_and_the_answer_stays(out, capsys):
    ask(out, "--cell", "2,5", "--json")
    before = found(capsys)
    (archive,) = (out / "store").glob("latents-*.u8")
    sound = archive.read_bytes()
    for at in (len(sound) - 40, 66_000):  # the footer; the heads
        archive.write_bytes(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
        ask(out, "--cell", "2,5", "--json")
        assert found(capsys) == before
        assert archive.read_bytes() == sound
    archive.unlink()
    ask(out, "--cell", "2,5", "--json")
    assert found(capsys) == before


def test_what_cannot_be_answered_is_one_line_and_an_exit_code(out, tmp_path, capsys):
    ask(out, "--cell", "99,0", code=2)
    ask(out, "--cell", "0,0", "--grid", "7", code=2)
    ask(out, "--cell", "0,0", "--product", "unknown", code=4)
    ask(out, "--like", tmp_path / "missing.obp", code=3)
    ask(out, "--cell", "0,0", "--bundle", "rgbn", code=5)
    ask(tmp_path, "--cell", "0,0", code=6)
    (tmp_path / "bad.obp").write_bytes(b"OBDP" + b"x" * 99)
    ask(out, "--like", tmp_path / "bad.obp", code=3)
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 7
    assert all(json.loads(line)["level"] == "error" for line in lines)
    with pytest.raises(SystemExit) as usage:
        ask(out, "--cell", "1")
    assert usage.value.code == 2


def test_an_empty_memory_is_said(out, tmp_path, capsys):
    write_pass(tmp_path / "in", "20230101", landscape((1, 1)))
    assert detect([str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 0
    db = sqlite3.connect(tmp_path / "out/store" / MEMORY_FILE)
    db.execute("DELETE FROM pass")
    db.commit()
    db.close()
    ask(tmp_path / "out", "--cell", "0,0", code=4)


def cells(path, names):
    features = [{"type": "Feature", "geometry": None, "properties": {"row": r, "col": c}} for r, c in names]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return str(path)


def test_a_head_is_trained_from_two_cells(out, tmp_path):
    app = Typer()
    app.command()(head)
    positive, negative = cells(tmp_path / "more.geojson", BURNT[:2]), cells(tmp_path / "not.geojson", [(0, 0), (5, 7)])
    args = ["--store", str(out / "store"), "--name", "fire", "--out", str(tmp_path / "fire.head"), "--json"]
    result = CliRunner().invoke(app, [*args, "--positive", positive, "--negative", negative])
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert (said["positive"], said["negative"]) == (2, 2)
    trained = Head.from_bytes((tmp_path / "fire.head").read_bytes())
    assert (trained.name, said["bytes"] < 300) == ("fire", True)
    wrong = CliRunner().invoke(app, [*args, "--positive", str(tmp_path / "missing.geojson")])
    assert wrong.exit_code == 3
