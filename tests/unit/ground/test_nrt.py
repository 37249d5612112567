import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from ground.cli.evaluate import app
from ground.evaluation import forest_metrics as metrics
from ground.evaluation import nrt
from ground.evaluation.nrt_figure import chip, draw, seasons_around
from ground.scenes.history import Judge, fly_history
from onboard.change.rule import ScoreRule
from onboard.config import DetectConfig
from onboard.errors import InputError
from onboard.infer.bundle import load_bundle
from onboard.infer.runtime import load_encoder
from onboard.sense.stream import open_stream


@pytest.fixture(scope="module")
def result(forest_dir):
    return nrt.evaluate_nrt(forest_dir)


def test_the_clearing_is_found_and_nothing_else(result):
    (find,) = result.finds("harmonic_16_confirmed")
    assert (find.cell, find.year, find.kind) == (4, 2018, metrics.LOST)
    assert result.history.times[find.first].date().isoformat() == "2018-05-20"
    figures = result.metrics["harmonic_16_confirmed"]
    assert (figures["losses_found"], figures["false_alarms"], figures["cell_year_ap"]) == (1, 0, 1.0)


def test_every_method_is_judged_at_once_and_confirmed(result):
    names = set(result.metrics)
    assert {"ours", "cosine", "ndvi_drop", "ndmi_drop", "least_of_recent", "harmonic_16"} <= names
    assert {f"{name}_confirmed" for name in names if not name.endswith("_confirmed")} <= names
    assert json.loads(json.dumps(result.to_json()))["losses"][0]["row"] == 1


def test_the_judge_repeats_the_flight_loop_exactly(result):
    assert np.array_equal(result.scores["ours"], result.history.score, equal_nan=True)


def test_records_are_spectra(result):
    x, valid = result.history.spectra()
    assert x.shape == (18, 9, 4, 64)
    assert valid.all()
    assert np.abs(np.median(x, axis=(1, 3))).max() < 0.2  # standardised by the scene's median


def test_cosine_is_that_of_the_flight_loop(forest_dir, result):
    model = load_bundle("rgbn")
    encoder = load_encoder(model, "onnx", "int8")
    stream = open_stream(str(forest_dir))
    flown = fly_history(
        replace(stream, acquisitions=stream.acquisitions[:5]), model, encoder, DetectConfig("rgbn", score="cosine")
    )
    assert np.array_equal(flown.score[1:], result.scores["cosine"][1:5], equal_nan=True)
    rule = replace(ScoreRule.from_dict(model.score), rule="cosine")
    judge = Judge(flown, model, encoder, rule, DetectConfig("rgbn"))
    assert judge.past_of(4) == [3, 2, 1, 0]


def test_alarms_outside_a_loss_are_false(result):
    score = np.full(result.kinds.shape, 0.1, dtype=np.float32)
    score[12, 4] = 9  # in the loss
    score[5, 0] = score[6, 0] = score[15, 8] = 8
    figures = metrics.judge("harmonic_16", score, result.losses, result.kinds, result.history.times)
    assert (figures["losses_found"], figures["false_alarms"]) == (1, 3)
    assert figures["false_alarms_per_date"] == pytest.approx(3 / 18)
    assert figures["false_alarms_at_90pct"] == 0
    finds = metrics.find_alarms(score, 3.0, result.history.times, result.kinds)
    assert [(find.cell, find.alarms, find.kind) for find in finds] == [
        (0, 2, metrics.SPARED),
        (4, 1, metrics.LOST),
        (8, 1, metrics.SPARED),
    ]


def test_the_figure_is_small_and_needs_no_display(result, tmp_path):
    draw(result, "harmonic_16_confirmed", tmp_path / "new" / "nrt.png")
    size = (tmp_path / "new" / "nrt.png").stat().st_size
    assert 10_000 < size < 300_000
    draw(result, "ours", tmp_path / "none.png")  # nothing was found
    pixels, top, left = chip(result.stream.acquisitions[0], 0, 2)
    assert pixels.shape == (48, 48, 3)
    assert (top, left) == (0, 16)


def test_pictures_are_of_the_growing_season(result):
    times = result.history.times
    valid = np.ones(len(times))
    valid[12] = 0.5
    assert seasons_around(times[12], times, valid) == (times[11], times[13])
    assert seasons_around(times[0], times, valid)[0] is None


def test_command_writes_json_and_figure(forest_dir, tmp_path):
    run = CliRunner().invoke(app, ["nrt", str(forest_dir), "--out", str(tmp_path), "--json"])
    assert run.exit_code == 0
    assert json.loads(run.stdout)["metrics"]["harmonic_16_confirmed"]["losses_found"] == 1
    assert (tmp_path / "nrt.png").is_file()
    assert json.loads((tmp_path / "nrt.json").read_text())["dates"] == 18


def test_bad_input_is_one_clear_line(tmp_path):
    run = CliRunner().invoke(app, ["nrt", str(tmp_path / "absent.nc")])
    assert run.exit_code not in (0, 1)
    assert run.stderr.strip().splitlines()[-1].startswith("error: ")
    with pytest.raises(InputError, match="two acquisitions"):
        model = load_bundle("rgbn")
        stream = open_stream("sim:1?size=64&passes=1")
        fly_history(stream, model, load_encoder(model, "onnx", "int8"), DetectConfig("rgbn"))


def test_bad_options_are_one_clear_line(tmp_path):
    (tmp_path / "bad.pt").write_bytes(b"no weights")
    for options in (["seasons", "--seeds", "5-x"], ["nrt", "--forecaster", str(tmp_path / "bad.pt")]):
        run = CliRunner().invoke(app, options)
        assert run.exit_code in (2, 3)
        assert run.stderr.startswith("error: ")
        assert len(run.stderr.strip().splitlines()) == 1
