"""What the benchmark of the governor says of strips, and how it slows a run."""

import subprocess
import sys
import time

import pytest

from benchmarks.governor import slowed, tell
from onboard.governor import Governor


def test_late_strips_are_told_from_those_that_nothing_could_keep():
    governor, decisions = Governor(1.0), []
    for strip in range(40):
        decision = governor.next(strip, strip, 1)
        taken = 1.5 if strip < 20 else 2.5  # from then on no step helps
        decisions.append(governor.observe(decision, taken) if decision.looked else decision)
    told = tell(decisions)
    assert told == {
        "strips": 40,
        "kept": 9,
        "late": 12,
        "late_with_all_dropped": 10,
        "skipped": 19,
        "most_dropped": "every other strip",
    }


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_a_slowed_process_gets_its_share(share):
    code = "import time; n = time.perf_counter() + 1\nwhile time.perf_counter() < n: pass\nprint(time.process_time())"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with slowed(process.pid, share):
        begun = time.monotonic()
        told = float(process.communicate(timeout=60)[0])
        assert time.monotonic() - begun < 50
    assert told < 0.6 if share < 1 else told > 0  # a busy machine gives less, never more
