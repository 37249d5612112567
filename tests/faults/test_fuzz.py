"""A short slice of `python -m benchmarks fuzz`: everything hostile is refused in words, by a process that lives."""

import argparse

from benchmarks import fuzz


def test_a_few_seconds_of_fuzzing_find_nothing():
    result = fuzz.run(argparse.Namespace(minutes=0.05, seed=1))
    metrics, runs = result["metrics"], result["runs"]
    assert metrics["fuzz_killed"] == 0 and metrics["fuzz_unexpected"] == 0, runs["unexpected"]
    assert metrics["fuzz_memory_growth_mb"] < 400
    assert all(runs[name]["refused"] for name in ("packets", "uplinks", "receiver", "products", "archive"))
