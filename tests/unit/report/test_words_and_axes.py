from __future__ import annotations

import math

import pytest

from onboard.report import words
from onboard.report.axes import Axis, decades, ticks


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (41_300, "41.3 kB"), (999_400, "999 kB"), (999_900, "1.00 MB")],
)
def test_size(count: float, said: str) -> None:
    assert words.size(count) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0, "0.00"), (0.4123, "0.412"), (1.234, "1.23"), (4567.0, "4,567"), (1e-7, "1.00e-07"), (math.nan, "\u2013")],
)
def test_score(value: float, said: str) -> None:
    assert words.score(value) == said


def test_share_plural_seconds_position() -> None:
    assert words.share(1, 3) == "33 %"
    assert words.share(1, 30) == "3.3 %"
    assert words.share(1, 1e6) == "< 0.01 %"
    assert words.share(0, 0) == "\u2013"
    assert words.plural(1, "pass", "passes") == "1 pass"
    assert words.plural(1200, "cell") == "1,200 cells"
    assert [words.seconds(s) for s in (0.84, 3.2, 725)] == ["840 ms", "3.2 s", "12 min 05 s"]
    assert words.position(-26.5, -44.25) == "44.2500\u00b0 S 26.5000\u00b0 W"


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0.0, 1.0) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(0.031, 0.287, 5) == [0.05, 0.1, 0.15, 0.2, 0.25]
    assert ticks(1.0, 1.0) == [1.0]
    assert decades(950.0) == [1.0, 10.0, 100.0]


def test_axis_clamps_and_takes_logarithms() -> None:
    linear = Axis(0.0, 10.0, 100.0, 200.0)
    assert [linear(v) for v in (-5, 5, 50)] == [100.0, 150.0, 200.0]
    assert Axis(1.0, 100.0, 0.0, 10.0, log=True)(10.0) == 5.0
