"""Passes against published ones and against an independent library; the plan that is made of them."""

import json
from datetime import UTC, datetime, timedelta
from math import degrees

import ephem
import pytest
from typer.testing import CliRunner

from ground.cli import app
from ground.passes.files import Station, read_stations, read_tle
from ground.passes.plan import contacts, plan_of
from ground.passes.predict import Pass, passes
from ground.receive.outbox import Outbox
from onboard.downlink.link.orders import MAX_WINDOWS, Plan
from onboard.errors import UsageError

TLE = """ISS (ZARYA)
1 25544U 98067A   14020.93268519  .00009878  00000-0  18200-3 0  5082
2 25544  51.6498 109.4756 0003572  55.9686 274.8005 15.49815350868473
"""
STATIONS = [
    Station("Bluffton", 40.8939, -83.8917),
    Station("Matera", 40.6486, 16.7046, 536.0),
    Station("Quito", -0.2, -78.5, 2850.0),
]
START = datetime(2014, 1, 23, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def tle(tmp_path):
    (tmp_path / "iss.tle").write_text(TLE)
    return read_tle(tmp_path / "iss.tle")


def test_the_passes_that_skyfield_publishes_for_this_station(tle):
    # rhodesmill.org/skyfield/earth-satellites.html: rise above 30 degrees, culminate, set
    published = [("06:25:37", "06:26:58", "06:28:19"), ("12:54:56", "12:56:27", "12:57:58")]
    found = passes(tle, STATIONS[0], START, START + DAY, 30.0)
    assert len(found) == 2
    for one, times in zip(found, published, strict=True):
        for time, text in zip((one.rise, one.culmination, one.set), times, strict=True):
            assert abs((time - datetime.fromisoformat(f"2014-01-23T{text}+00:00")).total_seconds()) < 1.5
        assert one.rise < one.culmination < one.set and one.elevation > 30


@pytest.mark.parametrize("station", STATIONS, ids=lambda s: s.name)
def test_an_independent_propagator_and_horizon_agree(tle, station):
    """PyEphem has its own SGP4, Earth and search: three days of passes over ten degrees within a second."""
    body, observer = ephem.readtle(tle.name, tle.line1, tle.line2), ephem.Observer()
    observer.lat, observer.lon, observer.elevation = str(station.latitude), str(station.longitude), station.altitude
    observer.pressure = 0  # no refraction

    def look(time):
        observer.date = ephem.Date(time.replace(tzinfo=None))
        body.compute(observer)
        return degrees(body.alt), degrees(body.az)

    found = passes(tle, station, START, START + 3 * DAY, 10.0)
    assert len(found) >= 8
    for one in found:
        for time, azimuth in ((one.rise, one.rise_azimuth), (one.set, one.set_azimuth)):
            before, after = look(time - timedelta(seconds=1))[0], look(time + timedelta(seconds=1))[0]
            assert min(before, after) < 10.0 < max(before, after)
            assert abs((look(time)[1] - azimuth + 180) % 360 - 180) < 0.02
        observer.date = ephem.Date((one.rise - timedelta(minutes=5)).replace(tzinfo=None))
        _, _, highest, elevation, _, _ = observer.next_pass(body)
        assert abs((one.culmination - highest.datetime().replace(tzinfo=UTC)).total_seconds()) < 1.0
        assert abs(one.elevation - degrees(elevation)) < 0.02
    minutes = [START + timedelta(minutes=n) for n in range(3 * 24 * 60)]
    up = [time for time in minutes if look(time)[0] > 10.05]
    assert all(any(one.rise <= time <= one.set for one in found) for time in up)  # and none is left out


def test_a_pass_at_either_end_of_the_span_is_cut(tle):
    one = passes(tle, STATIONS[1], START, START + DAY, 10.0)[0]
    middle = one.rise + (one.set - one.rise) / 3
    (late,) = passes(tle, STATIONS[1], middle, one.set + timedelta(minutes=1), 10.0)
    assert late.rise == middle and abs((late.set - one.set).total_seconds()) < 1
    (early,) = passes(tle, STATIONS[1], one.rise - timedelta(minutes=1), middle, 10.0)
    assert early.set == middle and early.elevation < one.elevation + 1e-6


def seen(name, start, seconds):
    rise = START + timedelta(seconds=start)
    return Pass(name, rise, rise, rise + timedelta(seconds=seconds), 50.0, 0.0, 0.0)


def test_windows_never_overlap_and_the_richer_station_keeps_its_pass():
    found = contacts(
        [seen("slow", 0, 600), seen("fast", 200, 300), seen("slow", 2000, 100)], {"slow": 1000, "fast": 9000}, 0.5
    )
    at = START.timestamp()
    assert [(c.station, c.window.start - at, c.window.seconds, c.window.size) for c in found] == [
        ("slow", 0, 200, 12_500), ("fast", 200, 300, 168_750), ("slow", 500, 100, 6_250), ("slow", 2000, 100, 6_250),
    ]  # fmt: skip
    cut = contacts([seen("slow", 0, 310), seen("fast", 20, 280)], {"slow": 1000, "fast": 9000}, 1.0)
    assert [c.station for c in cut] == ["fast"]  # twenty and ten seconds are not worth turning for
    many = contacts([seen("a", 1000 * n, 60) for n in range(MAX_WINDOWS + 5)], {"a": 1000}, 1.0)
    assert plan_of(many, 7) == Plan(7, tuple(c.window for c in many[:MAX_WINDOWS]))


def point(*coordinates):
    return {"type": "Point", "coordinates": coordinates}


def test_stations_from_geojson_and_toml_are_the_same(tmp_path):
    features = [
        {"properties": {"name": "A", "rate": 5, "min_elevation": 7}, "geometry": point(16.7, 40.6, 536)},
        {"properties": {"name": "B"}, "geometry": point(1, 2)},
    ]
    (tmp_path / "s.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    (tmp_path / "s.toml").write_text(
        '[[station]]\nname="A"\nlatitude=40.6\nlongitude=16.7\naltitude=536\nrate=5\nmin_elevation=7\n'
        '[[station]]\nname="B"\nlatitude=2\nlongitude=1\n'
    )
    assert read_stations(tmp_path / "s.geojson") == read_stations(tmp_path / "s.toml")
    assert read_stations(tmp_path / "s.toml")[0] == Station("A", 40.6, 16.7, 536.0, 7.0, 5)


@pytest.mark.parametrize(
    ("features", "said"),
    [
        (None, "not a list"),
        ([], "no station"),
        ([{"geometry": point(200, 0), "properties": {"name": "x"}}], "nowhere"),
        ([{"geometry": {"type": "Polygon"}}], "a Polygon is no station"),
        ([{"geometry": point(2, 0)}], "not a list"),
        ([{"geometry": point(2, 0), "properties": {"name": "x", "rate": 0}}], "rate"),
        ([{"geometry": point(2, 0), "properties": {"name": "x"}}] * 2, "two stations"),
    ],
)
def test_a_bad_list_of_stations_is_named(tmp_path, features, said):
    (tmp_path / "s.geojson").write_text(json.dumps({"features": features}))
    with pytest.raises(UsageError, match=said):
        read_stations(tmp_path / "s.geojson")


def test_damaged_elements_are_refused(tmp_path):
    for text, said in (
        (TLE.replace("51.6498", "51.6499"), "damaged"),
        ("hello\n", "no two-line"),
        (TLE[:60], "no two-line"),
    ):
        (tmp_path / "x.tle").write_text(text)
        with pytest.raises(UsageError, match=said):
            read_tle(tmp_path / "x.tle")


def test_the_command_plans_writes_and_lets_it_go_up(tmp_path, tle):
    (tmp_path / "s.toml").write_text('[[station]]\nname="Matera"\nlatitude=40.6\nlongitude=16.7\nrate=8000000\n')
    args = [
        "passes",
        "--tle",
        str(tmp_path / "iss.tle"),
        "--stations",
        str(tmp_path / "s.toml"),
        "--start",
        "2014-01-23",
    ]
    done = CliRunner().invoke(
        app, [*args, "--out", str(tmp_path / "plan.json"), "--archive", str(tmp_path / "archive")]
    )
    assert done.exit_code == 0 and "Matera" in done.output, done.output
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["satellite"] == "ISS (ZARYA)" and len(plan["windows"]) == len(plan["passes"]) >= 6
    for one in plan["windows"]:
        assert one["bytes"] == int(one["seconds"] * 900_000) and one["rate"] == 8_000_000
    with Outbox(tmp_path / "archive") as outbox:
        (waiting,) = outbox.waiting(0)
        assert [(w.size, w.seconds) for w in waiting.windows] == [(w["bytes"], w["seconds"]) for w in plan["windows"]]
    done = CliRunner().invoke(app, [*args, "--hours", "0.2"])
    assert done.exit_code in (0, 4)
    done = CliRunner().invoke(app, [*args, "--start", "soon"])
    assert done.exit_code == 2 and "ISO time" in done.output
