import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from onboard.change.classify import Classifier, load_head
from onboard.change.examples import read_cells
from onboard.change.heads import FEATURES, Head, HeadError, extract, nearest_past, train
from onboard.change.record import FLAG_CLEAR, pack_valid, record_dtype, seal
from onboard.errors import EXIT_BUNDLE, InputError
from onboard.sense.chunks import Chunk
from onboard.sense.grid import Grid
from onboard.store import Store
from onboard.store.recall import KnownGrid

BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")
DTYPE = record_dtype(16, BANDS)
ARTEFACT, OTHER = "ab" * 32, "cd" * 32
T0 = datetime(2023, 1, 1, tzinfo=UTC)
UTM = Grid(CRS.from_epsg(32633).to_wkt(), (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0), 320, 256)


def looks(count: int, seed: int = 0) -> np.ndarray:
    """Clear records of a quiet place."""
    rng = np.random.default_rng(seed)
    records = np.zeros(count, dtype=DTYPE)
    records["latent"] = np.clip(125 + 10 * rng.normal(size=records["latent"].shape), 0, 255)
    for field in ("fine", "coarse"):
        level = rng.normal(size=(*records[field].shape[:2], 1)) * 8
        records[field] = np.clip(127 + level + 3 * rng.normal(size=records[field].shape), 0, 255)
    records["valid"] = pack_valid(np.ones((count, 64), dtype=bool))
    records["flags"] = FLAG_CLEAR
    seal(records)
    return records


def burnt(records: np.ndarray) -> np.ndarray:
    """The same looks with the near infrared down, the short-wave up, and a latent that shows it."""
    out = records.copy()
    out["fine"][:, 3] = np.clip(out["fine"][:, 3].astype(int) - 60, 0, 255)
    out["coarse"][:, 1] = np.clip(out["coarse"][:, 1].astype(int) + 60, 0, 255)
    out["latent"][:, :4] = np.clip(out["latent"][:, :4].astype(int) + 60, 0, 255)
    seal(out)
    return out


def fire_head(kind: str = "evidence") -> Head:
    past = looks(400)
    usual = extract(kind, looks(400, 1), [past])[0]
    positive = extract(kind, burnt(past[:5]), [past[:5]])[0]
    return train("fire", ARTEFACT, kind, positive, usual[:5], usual)


@pytest.mark.parametrize("kind", FEATURES)
def test_five_examples_find_the_others(kind):
    past = looks(200, 5)
    now = past.copy()
    now[:20] = burnt(past[:20])
    scores = fire_head(kind).apply(now, [past], ARTEFACT)
    assert scores.dtype == np.float32
    assert scores[:20].min() > scores[20:].max()
    assert scores[:20].min() > 0.5 > np.median(scores[20:])


@pytest.mark.parametrize("kind", FEATURES)
def test_a_head_survives_its_file_to_the_last_bit(kind):
    head = fire_head(kind)
    data = head.to_bytes()
    assert len(data) < 400
    again = Head.from_bytes(data)
    assert again.to_bytes() == data
    now, past = looks(50, 8), looks(50, 9)
    assert again.apply(now, [past], ARTEFACT).tobytes() == head.apply(now, [past], ARTEFACT).tobytes()
    assert fire_head(kind).to_bytes() == data


@settings(max_examples=50)
@given(
    st.text(min_size=1, max_size=16), st.sampled_from(FEATURES), st.lists(st.integers(-127, 127), max_size=300),
    st.floats(width=32, allow_nan=False), st.floats(width=32, allow_nan=False),
)  # fmt: skip
def test_any_head_round_trips(name, kind, weights, scale, bias):
    head = Head(name, ARTEFACT, kind, np.array(weights, np.int8), scale, bias)
    again = Head.from_bytes(head.to_bytes())
    assert replace(again, weights=0) == replace(head, weights=0)
    assert again.weights.tolist() == weights


def test_every_flipped_bit_and_truncation_is_refused():
    data = fire_head().to_bytes()
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(HeadError):
            Head.from_bytes(bytes(flipped))
    for size in range(len(data)):
        with pytest.raises(HeadError):
            Head.from_bytes(data[:size])


def test_a_head_of_another_artefact_or_other_bands_is_refused():
    head = fire_head()
    with pytest.raises(HeadError, match="made for artefact abab") as refused:
        head.apply(looks(1), [], OTHER)
    assert refused.value.exit_code == EXIT_BUNDLE
    with pytest.raises(HeadError, match="weights"):
        head.apply(np.zeros(1, dtype=record_dtype(16, BANDS[:4])), [], ARTEFACT)


def test_looks_that_are_not_clear_or_have_no_past_have_no_score():
    now, past = looks(3), looks(3, 1)
    now["flags"][0] = past["flags"][1] = 0
    assert np.isnan(fire_head().apply(now, [past], ARTEFACT)).tolist() == [True, True, False]
    assert np.isnan(fire_head("latent").apply(now, [], ARTEFACT)).tolist() == [True, False, False]
    assert fire_head().apply(now[:0], [], ARTEFACT).shape == (0,)


def test_the_most_similar_clear_past_counts():
    now, cloudy = looks(4), looks(4)
    cloudy["fine"], cloudy["coarse"] = 250, 250
    before, seen = nearest_past(now, [cloudy, now])
    assert seen.all()
    assert (before["fine"] == now["fine"]).all()


def test_sub_cells_that_are_not_valid_take_no_part():
    now, past = looks(2), looks(2, 1)
    half = np.arange(64).reshape(8, 8) < 32
    now["valid"] = pack_valid(np.tile(half.reshape(1, 64), (2, 1)))
    spoilt = now.copy()
    spoilt["fine"][:, :, 32:], spoilt["coarse"][:, :, 8:] = 0, 0
    assert (extract("evidence", now, [past])[0] == extract("evidence", spoilt, [past])[0]).all()


@pytest.mark.parametrize(
    ("name", "positive", "usual"), [("", 3, 100), ("n" * 65, 3, 100), ("fire", 0, 100), ("fire", 3, 31)]
)
def test_a_head_needs_a_name_positives_and_something_usual(name, positive, usual):
    x = np.random.default_rng(0).normal(size=(200, 18))
    with pytest.raises(HeadError):
        train(name, ARTEFACT, "evidence", x[:positive], x[:0], x[:usual])


def test_examples_that_are_like_everything_else_are_refused():
    x = np.ones((100, 6))
    with pytest.raises((HeadError, np.linalg.LinAlgError)):
        train("fire", ARTEFACT, "evidence", x[:3], x[:3], x)


def write_cells(path, *features):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def feature(geometry=None, **properties):
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def test_cells_are_named_by_row_and_column_or_by_what_covers_them(tmp_path):
    grids = [KnownGrid(4, UTM, "k")]
    inner = UTM.cell_ring(1, 1, rows=2, cols=3)
    centre = [(a + b) / 2 for a, b in zip(inner[0], inner[2], strict=True)]
    path = write_cells(
        tmp_path / "cells.geojson",
        feature(row=7, col=9, product_id="p"),
        feature(row=0, col=0, product="g4_x_r0000c0000.obp"),
        feature({"type": "Point", "coordinates": centre}),
        feature({"type": "Polygon", "coordinates": [inner]}),
    )
    found = [(c.row, c.col, c.product_id) for c in read_cells(path, grids)]
    polygon = [(r, c, None) for r in (1, 2) for c in (1, 2, 3)]
    assert found[:2] == [(7, 9, "p"), (0, 0, None)]
    assert sorted(found[2:]) == polygon  # the point lies in one of them, which counts once


@pytest.mark.parametrize(
    "bad",
    [
        "no json", "[]", "{}", '{"type": "FeatureCollection", "features": [{}]}',
        json.dumps({"type": "FeatureCollection", "features": [feature(row=99, col=0)]}),
        json.dumps({"type": "FeatureCollection", "features": [feature(row=0, col=0, grid=5)]}),
        json.dumps({"type": "FeatureCollection", "features": [feature({"type": "Point", "coordinates": [0, 0]})]}),
        json.dumps({"type": "FeatureCollection", "features": [feature({"type": "LineString", "coordinates": []})]}),
    ],
)  # fmt: skip
def test_files_that_name_no_cells_are_refused_by_name(tmp_path, bad):
    path = tmp_path / "cells.geojson"
    path.write_text(bad)
    with pytest.raises(InputError, match=r"cells\.geojson"):
        read_cells(path, [KnownGrid(4, UTM, "k")])
    with pytest.raises(InputError, match="cannot be read"):
        read_cells(tmp_path / "missing.geojson", [])


def test_the_classifier_names_what_the_memory_holds(tmp_path):
    past = looks(80, 5)
    now = past.copy()
    now[:3] = burnt(past[:3])
    with Store(tmp_path) as store:
        memory = store.memory
        for day, records in ((0, past), (5, past), (10, now)):
            identity = memory.enter(UTM, T0 + timedelta(days=day), f"p{day}", ARTEFACT, DTYPE, [])
            memory.write(identity, [(Chunk(0, 0, 0, 8, 10), records)])
        other = replace(fire_head(), name="quiet", weights=-fire_head().weights, bias=-fire_head().bias)
        classifier = Classifier([fire_head(), other], memory, ARTEFACT, DTYPE, 3, 6)
        late = T0 + timedelta(days=10)
        assert classifier.label(UTM, late, "p10", 0, 1).name == "fire"
        assert classifier.label(UTM, late, "p10", 5, 5).name == "quiet"
        assert classifier.label(UTM, late, "other product", 0, 1) is None
        assert classifier.label(UTM, T0, "p0", 0, 1) is None
        with pytest.raises(HeadError, match="artefact"):
            Classifier([fire_head()], memory, OTHER, DTYPE, 3, 6)


def test_a_head_that_cannot_be_read_is_said_by_name(tmp_path):
    with pytest.raises(HeadError, match="missing"):
        load_head(tmp_path / "missing.head")
    (tmp_path / "bad.head").write_bytes(b"x" * 200)
    with pytest.raises(HeadError, match=r"bad\.head: not a head"):
        load_head(tmp_path / "bad.head")
