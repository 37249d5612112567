"""The arithmetic of the benchmarks, and that what they run in one thread is what the loop does."""

import os

import pytest

from benchmarks import alone, budget, command, latency, memory, throughput
from benchmarks.command import Measured
from onboard.config import DetectConfig
from onboard.errors import UsageError


def measured(scored_s: float = 2.0, rss: float = 100.0) -> Measured:
    return Measured(3.0, 2.0, scored_s, 2.5, 3.0, rss, 10_000, {})


def test_share_of_work():
    stages = {"tiles": 10_000, "read": 0.6, "encode": 2.2, "rest": 9.0}
    assert throughput.work_share(stages, measured(1.75)) == 0.8


def test_rate_of_processes_that_share_nothing():
    at_once = [{"tiles": 10_000, "read": 0.5, "rest": 0.5}, {"tiles": 10_000, "read": 1.0, "encode": 1.0}]
    assert throughput.tiles_per_s(at_once) == 15_000


def test_processes_on_cores_of_their_own(tmp_path):
    found = alone.stages("sim:5?size=64&passes=1", [tmp_path / "a", tmp_path / "b"])
    assert [one["tiles"] for one in found] == [4, 4]


def test_a_fixed_computation_as_often_as_there_are_strips():
    assert len(latency.fixed_times(3)) == 3 * latency.LOOKERS


def test_niceness_is_for_what_is_started_inside():
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with latency.niceness(None):
        assert os.getpriority(os.PRIO_PROCESS, 0) == before
    if os.geteuid() == 0:
        with latency.niceness(before + 1):
            assert os.getpriority(os.PRIO_PROCESS, 0) == before + 1
    else:
        with pytest.raises(UsageError, match="--nice -20"), latency.niceness(-20):
            pass
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


def test_growth_counts_from_a_full_history_on():
    peaks = [90.0, *[150.0] * (memory.SETTLED - 1), 101.0, 100.0, 100.0, 102.5, 100.0, 100.0]
    assert memory.growth(peaks) == (101.0, 102.5)


def test_a_profile_becomes_assertions():
    assert budget.over(None, [measured()], 100) == {}
    over = budget.over("pi5", [measured(rss=257.5), measured(4.8)], 100)
    assert over == {"over_memory_mb": 1.5, "over_deadline_ms_per_row": 0.0}
    assert budget.over("pi5", [measured(9.56)], 100)["over_deadline_ms_per_row"] == 47.8
    assert budget.failures(over) == ["over_memory_mb = 1.5, at most 0 wanted"]
    assert budget.options("pi5") == ["--profile", "pi5", "--deadline", "off"]
    assert budget.options("pi5", deadline="") == ["--profile", "pi5"]
    assert budget.options(None) == []


def test_what_stays_in_the_page_cache_is_told(tmp_path):
    (tmp_path / "below").mkdir()
    file = tmp_path / "below" / "pass.tif"
    file.write_bytes(os.urandom(1 << 20))
    descriptor = os.open(file, os.O_RDONLY)
    try:
        assert command._resident_pages(descriptor, 1 << 20) == (1 << 20) // os.sysconf("SC_PAGE_SIZE")
    finally:
        os.close(descriptor)
    assert 0.0 <= command.cool(tmp_path) <= 1.0


def test_seconds_count_once():
    timed = alone.OwnTime()
    timed.now = iter(range(20)).__next__
    with timed.time("rest"):  # 0 .. 7
        with timed.time("prescan"), timed.time("encode"):  # 1 .. 2
            pass
        with timed.time("encode"), timed.time("read"):  # 3 .. 6, 4 .. 5
            pass
    assert timed.seconds == {"prescan": 1, "read": 1, "encode": 2, "rest": 3}


def test_one_thread_does_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(alone.loop, "look_ahead", alone.loop.look_ahead)  # put back afterwards
    found = alone.measure("sim:5?size=128&passes=2", tmp_path, DetectConfig())
    assert found["tiles"] == 2 * 16
    assert set(alone.PER_TILE) <= set(found)
