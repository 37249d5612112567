"""The governor, and the loop under it, with a clock of their own: a slow machine keeps what deadlines can be kept."""

from itertools import pairwise

import numpy as np
import pytest

from onboard.clock import Stages
from onboard.config import DetectConfig
from onboard.governor import EASE, LADDER, MAX_PATIENCE, PATIENCE, Governor, Step
from onboard.infer.bundle import load_bundle
from onboard.infer.runtime import load_encoder
from onboard.loop import Detector
from onboard.report.outcome import CellStatus
from onboard.sense.reader import RasterReader
from onboard.sense.stream import open_stream
from onboard.store import Store
from tests.scenes import landscape, noisy, write_pass

COST = {Step.NOTHING: 1.0, Step.LOSSLESS: 1.0, Step.HISTORY: 0.8, Step.EVERY_OTHER_STRIP: 0.8}
"""Of a strip, in deadlines of a machine at full speed."""


def fly(slowness, count=60, deadline=1.0):
    """Decisions of strips of one row each on a machine so many times too slow; a number, or a function of the strip."""
    governor, found = Governor(deadline), []
    for strip in range(count):
        slow = slowness(strip) if callable(slowness) else slowness
        decision = governor.next(strip, strip, 1)
        seconds = slow * COST[decision.level] if decision.level in COST else slow
        found.append(governor.observe(decision, seconds) if decision.looked else decision)
    return found


def test_steps_are_dropped_in_the_declared_order_and_nothing_beyond_the_last():
    assert [step.words for step in LADDER[1:]] == [
        "super resolution", "denoising", "lossless", "history", "every other strip",
    ]  # fmt: skip
    levels = list(dict.fromkeys(one.level for one in fly(9.0)))
    assert levels == [Step.NOTHING, Step.HISTORY, Step.EVERY_OTHER_STRIP]


def test_a_step_that_acts_after_the_last_strip_costs_none():
    assert [one.level for one in fly(9.0)[:4]] == [Step.NOTHING, Step.HISTORY, *[Step.EVERY_OTHER_STRIP] * 2]


def test_a_machine_fast_enough_drops_nothing():
    assert all(one.level is Step.NOTHING and one.kept for one in fly(0.99))


def test_at_a_quarter_of_its_speed_every_deadline_that_can_be_kept_is_kept():
    """A strip takes 0.55 of its deadline at full speed, 2.2 at a quarter: every other, with less history, 1.76 of 2."""
    found = fly(lambda strip: 0.55 if strip < 10 else 2.2, count=100)
    late = [one.strip for one in found if one.looked and not one.kept]
    assert late == [10, 11]  # one for each step that had to be dropped first
    skipped = [one.strip for one in found if not one.looked]
    assert len(skipped) == pytest.approx((100 - 12) / 2, abs=1)
    assert not any(b - a == 1 for a, b in pairwise(skipped))


def test_what_cannot_be_kept_is_scored_all_the_same_and_said():
    found = fly(8.0)
    assert all(not one.kept for one in found)
    assert sum(one.looked for one in found) >= 30
    assert all(one.seconds > one.deadline_s for one in found if one.looked)


def test_it_climbs_back_step_by_step_once_there_is_ease():
    found = fly(lambda strip: 2.2 if strip < 20 else 0.3, count=60)
    levels = [one.level for one in found]
    assert levels[19] is Step.EVERY_OTHER_STRIP
    assert levels[-1] is Step.NOTHING
    climbed = list(dict.fromkeys(levels[19:]))
    assert climbed == [Step.EVERY_OTHER_STRIP, Step.HISTORY, Step.NOTHING]
    eased = [one.strip for one in found[20:] if one.level is Step.HISTORY]
    assert len(eased) >= PATIENCE


def test_a_machine_that_is_just_too_slow_does_not_swing():
    """With every other strip it is at ease, without it it misses: each try costs a deadline, and tries get rarer."""
    found = fly(1.4, count=600)
    late = [one.strip for one in found if one.looked and not one.kept]
    assert EASE * 2 > 1.4 * 0.8
    assert max(np.diff(late)) >= MAX_PATIENCE
    assert len(late) < 20


def test_without_a_deadline_time_changes_nothing():
    assert all(one.level is Step.NOTHING and one.looked for one in fly(1e9, deadline=None))


class Clock:
    """Seconds that pass when somebody says so."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def place(tmp_path):
    """Two passes of 40 rows of cells, striped: a strip is a row."""
    first = landscape((40, 4))
    for day, dn in ((1, first), (11, noisy(first))):
        layout = {"tiled": False, "blockxsize": 128, "blockysize": 32, "interleave": "band"}
        write_pass(tmp_path / "in", f"202301{day:02d}", dn, **layout)
    return tmp_path


def test_what_is_skipped_is_not_looked_at_in_the_store_and_what_is_looked_at_is_scored(place, monkeypatch):
    clock, real = Clock(), RasterReader.read

    def slow(self, window, out):
        clock.seconds += 1.7 * window.height / 32
        return real(self, window, out)

    monkeypatch.setattr(RasterReader, "read", slow)
    bundle = load_bundle("s2-10")
    with Store(place / "store") as store:
        config = DetectConfig(deadline_s_per_row=1.0, chunk_px=4 * 32 * 32, read_ahead=0, group_cells=8)
        Detector(config, bundle, load_encoder(bundle), store, Stages(clock)).detect([open_stream(str(place / "in"))])
        for row in store.state.acquisitions(load_bundle("s2-10").artefact("onnx", "int8").sha256):
            decisions = store.state.decisions(row.id)
            assert [one.strip for one in decisions] == list(range(40))
            skipped = {one.row for one in decisions if not one.looked}
            assert len(skipped) >= 15
            for part in store.state.chunks(row.id):
                assert (part.status == CellStatus.NOT_LOOKED_AT).all() == (part.chunk.row in skipped)
            assert store.state.counters([row.id])["cells_skipped"] == 4 * len(skipped)
