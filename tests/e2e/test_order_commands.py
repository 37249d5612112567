"""An operator's query and the contact plan by the commands: up over UDP, into the next acquisition, down first."""

import json
import time

import numpy as np
import pytest
import rasterio
from typer.testing import CliRunner

from ground.cli import app
from ground.receive.outbox import Outbox
from onboard.cli.detect import main as detect
from onboard.cli.downlink import main as downlink
from onboard.downlink.link.orders import PassWindow, Plan
from onboard.store import Store
from tests.areas import GRID, query
from tests.e2e.test_downlink import Station
from tests.scenes import BANDS, landscape, noisy, write_pass


def ground(*args):
    done = CliRunner().invoke(app, list(map(str, args)))
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def flying(tmp_path):
    """A folder with a key, and a store that has seen two passes and has one product in its queue or none."""
    place = landscape()
    for n, date in enumerate(("20230101", "20230111")):
        write_pass(tmp_path / "in", date, noisy(place, 1 + n / 20, n))
    (tmp_path / "key").write_text("ab" * 32)
    (tmp_path / "key").chmod(0o600)
    assert (
        detect([str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--bundle", "rgbn", "--budget-mb", "0.06"]) == 0
    )
    (tmp_path / "out/store").rename(tmp_path / "store")
    return tmp_path


def a_pass(folder, at, *args):
    return downlink(["--to", at, "--store", str(folder / "store"), "--key", str(folder / "key"), "--json", *args])


def test_a_polygon_that_is_asked_for_comes_down_with_all_bands(flying, capsys):
    ring = [[x / 1e7, y / 1e7] for x, y in query(GRID, (4, 1, 1, 2)).ring]
    shape = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}}
    (flying / "area.geojson").write_text(json.dumps(shape))
    ground("ask", "--archive", flying / "archive", "--polygon", flying / "area.geojson")
    with Outbox(flying / "archive") as outbox:
        start = int(time.time()) - 100
        outbox.put(Plan(start, (PassWindow(start, 200, 400_000, 16_000_000),)), start)
    with Station(flying) as station:
        assert a_pass(flying, station.at) == 4  # no plan has come up yet
        assert "no contact plan" in capsys.readouterr().err
        a_pass(flying, station.at, "--pass-bytes", "2000")
        assert json.loads(capsys.readouterr().out)["orders"] >= 2
        assert all(one["received"] for one in json.loads(ground("orders", flying / "archive", "--json"))["orders"])

        place = noisy(landscape(), 1.02, 7)
        write_pass(flying / "in", "20230121", place)
        args = ["--store", str(flying / "store"), "--bundle", "rgbn", "--budget-mb", "0.06"]
        assert detect([str(flying / "in"), "--out", str(flying / "out"), *args]) == 0
        with Store(flying / "store") as store:
            items = store.queue.items()
            newest = max(i.acquisition for i in items)
            asked = [i for i in items if i.priority]
            assert items[: len(asked)] == asked and {(i.row, i.col) for i in asked} == {(4, 1), (4, 2)}
            assert {(i.row, i.col) for i in asked if i.acquisition == newest} == {(4, 1), (4, 2)}
        capsys.readouterr()
        a_pass(flying, station.at)  # by the plan: what is left of the window's bytes
        told = json.loads(capsys.readouterr().out)
        assert told["delivered"] >= 2 and told["bytes"] <= 200_000
    found = {}
    for path in (flying / "archive/stac").glob("*/[0-9a-f]*[0-9a-f].json"):
        item = json.loads(path.read_text())
        if item["properties"]["datetime"].startswith("2023-01-21"):
            found[tuple(item["properties"]["onboard:cell"])] = path.with_suffix(".tif")
    for row, col in ((4, 1), (4, 2)):
        with rasterio.open(found[row, col]) as cog:
            assert cog.descriptions == BANDS  # the bundle looks at four of them
            assert np.array_equal(cog.read(), place[:, row * 32 : row * 32 + 32, col * 32 : col * 32 + 32])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "one polygon"),
        ('{"type": "Point", "coordinates": [1, 2]}', "one polygon"),
        ('{"type": "Polygon", "coordinates": [[[1, 2], [3, 4]]]}', "2 vertices"),
        ('{"type": "Polygon", "coordinates": [[[1, 2], [3, 4], [1, 95]]]}', "beyond the Earth"),
        ('{"type": "Polygon", "coordinates": [[[1, 2], [3, 4], [5, 6]], [[1, 2], [3, 4], [5, 6]]]}', "without holes"),
    ],
)
def test_a_polygon_that_cannot_be_asked_for_is_one_clear_line(tmp_path, text, said):
    (tmp_path / "a.geojson").write_text(text)
    done = CliRunner().invoke(app, ["ask", "--archive", str(tmp_path / "x"), "--polygon", str(tmp_path / "a.geojson")])
    assert done.exit_code == 2 and said in done.output
    assert CliRunner().invoke(app, ["orders", str(tmp_path / "x")]).exit_code == 0
