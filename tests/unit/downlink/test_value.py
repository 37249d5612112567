"""What a cell is worth: its neighbours, its region, the operator's areas; and the cheap rungs made of it."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard.cli.detect import main
from onboard.downlink.areas import load_areas
from onboard.downlink.context import in_context
from onboard.downlink.draft import read
from onboard.downlink.ladder import Rung
from onboard.downlink.overview import EVENT_CELLS, Thumbnail, overview
from onboard.downlink.regions import SIDE, merge
from onboard.errors import UsageError
from onboard.sense.acquisition import BandInfo
from tests.unit.downlink.test_product import GRID, product


def test_a_probability_in_context():
    flat = np.full((6, 7), 0.4, np.float32)
    assert in_context(flat) == pytest.approx(flat)
    hole = flat.copy()
    hole[3, 3] = np.nan
    assert in_context(hole)[3, 3] == pytest.approx(0.4 / 3)
    assert in_context(np.full((3, 3), np.nan, np.float32)) == pytest.approx(np.zeros((3, 3)))
    lone = np.zeros((5, 5), np.float32)
    lone[2, 2] = 0.9
    found = in_context(lone)
    assert found[2, 2] == found.max() and found[2, 1] > found[0, 0] >= 0


CELLS = st.dictionaries(st.tuples(st.integers(0, 9), st.integers(0, 9)), st.floats(0, 1), max_size=60)


@settings(max_examples=100, deadline=None)
@given(CELLS)
def test_regions_hold_every_cell_once_connected_and_within_their_block(values):
    regions = merge(values)
    assert sorted(cell for region in regions for cell in region) == sorted(values)
    for region in regions:
        rows, cols = zip(*region, strict=True)
        assert max(rows) - min(rows) < SIDE and max(cols) - min(cols) < SIDE
        reached, edge = {region[0]}, [region[0]]
        while edge:
            r, c = edge.pop()
            near = {(r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)} & set(region) - reached
            reached |= near
            edge += near
        assert reached == set(region)


def test_a_worthless_neighbour_stays_out():
    assert merge({(0, 0): 1.0, (0, 1): 0.9, (1, 0): 0.01}) == [[(0, 0), (0, 1)], [(1, 0)]]


def features(*items):
    return json.dumps({"type": "FeatureCollection", "features": list(items)})


def square(lon, lat, size, weight=3.0, hole=None):
    ring = [[lon, lat], [lon + size, lat], [lon + size, lat + size], [lon, lat + size], [lon, lat]]
    rings = [ring] + ([hole] if hole else [])
    return {"type": "Feature", "properties": {"weight": weight}, "geometry": {"type": "Polygon", "coordinates": rings}}


def test_cells_in_an_area_have_its_weight(tmp_path):
    (west, south), (east, north) = GRID.cell_ring(4, 10)[0], GRID.cell_ring(4, 10)[2]
    path = tmp_path / "areas.geojson"
    middle = (west + east) / 2, (south + north) / 2
    path.write_text(features(square(middle[0] - 1e-4, middle[1] - 1e-4, 2e-4), square(middle[0], 80.0, 1.0, 9.0)))
    expected = np.ones((10, 20))
    expected[4, 10] = 3.0
    assert (load_areas(path).weights(GRID) == expected).all()
    hole = [[middle[0] + x, middle[1] + y] for x, y in ((-1e-4, -1e-4), (1e-4, -1e-4), (0, 1e-4), (-1e-4, -1e-4))]
    path.write_text(features(square(middle[0] - 1, middle[1] - 1, 2.0, 0.0, hole)))
    assert np.argwhere(load_areas(path).weights(GRID)).tolist() == [[4, 10]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not a GeoJSON"),
        ("[]", "not a GeoJSON"),
        ('{"type": "Feature"}', "a FeatureCollection is wanted"),
        (features(), "no polygon"),
        (features({"type": "Feature", "geometry": None}), "weight is None"),
        (features(square(0, 0, 1, "much")), "weight is 'much'"),
        (features(square(0, 0, 1, -1)), "weight is -1"),
        (features(square(0, 100, 1)), "outside"),
        (features(square(0, 0, 1) | {"geometry": {"type": "Point", "coordinates": [0, 0]}}), "geometry Point"),
        (features(square(0, 0, 1, hole=[[0, 0], [1, 1]])), "not closed"),
    ],
)
def test_a_bad_file_of_areas_is_one_clear_line(tmp_path, capsys, text, said):
    path = tmp_path / "areas.geojson"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        load_areas(path)
    assert main(["sim:1", "--out", str(tmp_path / "out"), "--priority", str(path)]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_the_cheap_rungs_of_a_pass():
    rng = np.random.default_rng(0)
    probability = rng.random((60, 50)).astype(np.float32) ** 3
    known = rng.random((60, 50)) < 0.9
    thumbnail = Thumbnail(rng.integers(1, 3000, (3, 60, 50)).astype(np.uint16), [BandInfo(n) for n in "RGB"])
    made = overview(probability, known, thumbnail, product(np.zeros((1, 1, 1), np.uint16)))
    event, scores, small = (read(new.payload) for new in made)
    assert [one.rung for one in (event, scores, small)] == [Rung.EVENT, Rung.SCORES, Rung.THUMBNAIL]
    assert (small.dn == thumbnail.dn).all()
    assert ((scores.dn[0] == 0) == ~known).all()
    assert ((scores.dn[0] - 1.0)[known] / 254) == pytest.approx(probability[known], abs=0.002)
    inside = event.inside()
    assert 0 < inside.sum() <= EVENT_CELLS
    assert (
        event.dn[0][inside] == scores.dn[0][event.row :, event.col :][: inside.shape[0], : inside.shape[1]][inside]
    ).all()
    assert len(made[0].payload) < len(made[1].payload) < 5000
    assert overview(probability, np.zeros_like(known), thumbnail, product(np.zeros((1, 1, 1), np.uint16))) == []
