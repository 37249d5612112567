"""Restoring is held against a profile's budget, and what is over it fails the benchmark."""

import pytest

from benchmarks.budget import failures
from benchmarks.restoration import BANDS, ENHANCE_SHARE, held_against
from onboard.budget import Budget, load_budget
from onboard.config import DetectConfig


def test_what_fits_is_told_and_passes():
    found = held_against(load_budget("pi4"), {"sr-x2-s2_int8": 0.05, "denoise-s2_fp32": 0.06}, 110.0, 256)
    blocks = DetectConfig().enhanced_cells / 64
    assert found["profile_enhance_s_per_pass"] == pytest.approx(0.05 * BANDS * blocks)
    assert found["profile_enhance_s_allowed"] == pytest.approx(ENHANCE_SHARE * 343 * 0.17)
    assert found["profile_denoise-s2_fp32_ms_per_row"] == pytest.approx(60 * 343 / 64, abs=0.1)
    assert not failures(found)


def test_too_slow_too_large_and_too_hungry_each_fail():
    tight = Budget("tight", memory_mb=100, deadline_ms_per_row=10, energy_j_per_row=0.01, watts={"board": 2, "look": 1})
    missed = failures(held_against(tight, {"sr-x2-s2_int8": 0.05}, 110.0, 256))
    assert [line.split(" = ")[0] for line in missed] == ["over_memory_mb", "over_enhance_s", "over_enhance_j"]
