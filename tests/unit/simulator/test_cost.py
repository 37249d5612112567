"""Counted instructions: from marks to figures, and the figure that may not grow."""

import json

import pytest

from tests.unit.simulator.test_simulator import SIMULATOR

STAGES = [["nothing", 4], ["encode", 4], ["score", 4]]
LOG = "MARK 0 1000\nMARK 1 1010\nMARK 2 2000\nMARK 3 2410\nMARK 4 3000\nMARK 5 3110\n"


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SIMULATOR))


def test_what_a_mark_costs_is_taken_off():
    import cost

    assert cost.per_tile(LOG, STAGES) == {"encode": 100, "score": 25}


def test_two_percent_more_is_refused_and_the_rest_is_not():
    import cost

    stored = {"cortex-a72 onnx": {"encode": 800, "score": 200}}
    assert cost.grown(stored, {"cortex-a72 onnx": {"encode": 815, "score": 205}}) == []
    assert cost.grown(stored, {"cortex-a72 onnx": {"encode": 700, "score": 100}}) == []
    (line,) = cost.grown(stored, {"cortex-a72 onnx": {"encode": 800, "score": 221}})
    assert "1,021" in line and "1,000" in line


def test_the_documents_show_the_stored_figures():
    import cost
    import projection

    figures = json.loads(cost.STORED.read_text())
    text = (SIMULATOR.parents[1] / "docs" / "hardware.md").read_text()
    assert cost.table(figures) in text
    for board in projection.BOARDS:
        runtime, total, rate, joules = projection.project(board, figures)
        assert f"{runtime} | {total:,} | {rate:,.0f} | {joules:,.0f} |" in text
