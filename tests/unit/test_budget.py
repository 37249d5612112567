"""Budgets: read, refused with the arithmetic where they cannot hold, and the same scores in any of them."""

import json

import numpy as np
import pytest
import rasterio

from onboard.budget import CHUNK_CELLS, Budget, load_budget, plan_memory
from onboard.cli.detect import main
from onboard.errors import UsageError
from onboard.sense.grid import CELL
from tests.scenes import changed, landscape, noisy, write_pass

GRANULE = {"bands": 10, "threads": 2, "cells": 117_649, "sample_cells": 2_048, "cache_mb": 0.0}


@pytest.mark.parametrize("name", ["pi4", "pi5", "jetson-orin-nano", "smallsat-512mb"])
def test_a_profile_that_ships_holds_a_granule_of_compressed_blocks(name):
    budget = load_budget(name)
    granule = GRANULE | {"threads": budget.threads, "cache_mb": 22.0}  # JPEG 2000 in blocks of 1,024
    assert plan_memory(budget, budget.runtime, **granule).peak_mb <= budget.memory_mb


def test_less_memory_gives_smaller_chunks_until_it_is_refused_with_the_arithmetic():
    sizes = []
    for memory in range(400, 60, -5):
        try:
            plan = plan_memory(
                Budget("x", memory_mb=memory), "onnx", **GRANULE | {"threads": 4, "sample_cells": 0, "cells": 0}
            )
        except UsageError as error:
            told = str(error)
            break
        assert plan.peak_mb <= memory
        sizes.append(plan.chunk_px)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == CHUNK_CELLS[0] * CELL * CELL
    assert len(set(sizes)) > 2
    assert "cannot hold 88.0 onnx and libraries + " in told
    parts = [float(word.split()[0]) for word in told.split("cannot hold ")[1].split(" = ")[0].split(" + ")]
    assert sum(parts) == pytest.approx(float(told.split(" = ")[2].split()[0]), abs=0.3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a]\nmemory = 3", "memory is none of"),
        ("[a]\nmemory_mb = -3", "memory_mb = -3 cannot be"),
        ("[a]\nmemory_mb = true", "cannot be"),
        ("[a]\nthreads = 1.5", "threads = 1.5 cannot be"),
        ("[a]\nruntime = 'torch'", "runtime = 'torch' cannot be"),
        ("[a]\nwatts = {heart = 1}", "cannot be"),
        ("[a]\n[b]\n", "one table wanted"),
        ("[a", "cannot be read as TOML"),
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path, text, said):
    (tmp_path / "b.toml").write_text(text)
    with pytest.raises(UsageError, match=r"b\.toml|budget a") as caught:
        load_budget(str(tmp_path / "b.toml"))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_lists_those_that_ship():
    with pytest.raises(UsageError, match="pi4, pi5, jetson-orin-nano, smallsat-512mb"):
        load_budget("pi3")


def test_energy_is_the_boards_and_that_of_busy_stages():
    budget = Budget(watts={"board": 2.0, "look": 1.5})
    assert budget.energy_j(10.0, {"prepare": 2.0, "encode": 4.0, "read": 7.0}) == 20.0 + 1.5 * 6.0


def test_a_budget_changes_no_score(tmp_path):
    place = landscape((20, 24))
    for day, dn in ((1, place), (11, changed(noisy(place), (9, 9)))):
        write_pass(tmp_path / "in", f"202301{day:02d}", dn, blockxsize=512, blockysize=512)
    (tmp_path / "tiny.toml").write_text("[tiny]\nmemory_mb = 109\nthreads = 1\npass_mb = 0.05\n")
    found = []
    for options in (["--budget-mb", "0.05"], ["--profile", str(tmp_path / "tiny.toml")]):
        out = tmp_path / f"out{len(found)}"
        assert main([str(tmp_path / "in"), "--out", str(out), *options]) == 0
        with rasterio.open(out / "score.tif") as dataset:
            found.append((dataset.read().tobytes(), (out / "detections.geojson").read_bytes()))
        settings = json.loads((out / "summary.json").read_text())["settings"]
        found[-1] += (settings["chunk_px"],)
    assert found[0][:2] == found[1][:2]
    assert found[0][2] > found[1][2]
    assert np.frombuffer(found[0][0], "<f4").size


def test_a_budget_that_cannot_hold_ends_the_command_before_it_begins(tmp_path, capsys):
    write_pass(tmp_path / "in", "20230101", landscape())
    (tmp_path / "tiny.toml").write_text("[tiny]\nmemory_mb = 64\n")
    assert main([str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--profile", str(tmp_path / "tiny.toml")]) == 2
    assert "memory_mb = 64 cannot hold" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
