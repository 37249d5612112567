from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ground.evaluation import family_table, latents
from ground.evaluation.page import write_between
from ground.models.ravaen import Ravaen, RavaenConfig
from ground.scenes.events import simulated_events
from ground.training.encoder import EncoderRecipe
from ground.training.objectives import OBJECTIVES
from onboard.infer.bundle import load_bundle
from onboard.sense.normalise import NormaliseRule

torch.set_num_threads(1)


def encoder(cells: np.ndarray) -> latents.TorchEncoder:
    torch.manual_seed(0)
    model = load_bundle("rgbn")
    recipe = EncoderRecipe("rgbn", model.bands, RavaenConfig(4), model.normalise)
    return latents.TorchEncoder(Ravaen(recipe.model), OBJECTIVES["vae"](recipe), model.artefact("onnx", "fp32"), cells)


def test_stored_latents_are_within_half_a_step():
    cells = np.random.default_rng(0).standard_normal((9, 4, 32, 32), dtype=np.float32)
    one = encoder(cells)
    stored = np.empty((9, 128), np.uint8)
    one.encode(cells, stored)
    to = one.artefact.output
    assert np.abs((stored.astype(np.float32) - to.zero_point) * to.scale - one.codes(cells)).max() <= 0.51 * to.scale


def test_changed_cells_rank_first_and_unknown_ones_last():
    rng = np.random.default_rng(0)
    before = rng.standard_normal((40, 4, 32, 32), dtype=np.float32)
    after = before + 0.01 * rng.standard_normal(before.shape, dtype=np.float32)
    positive = np.arange(40) < 12
    after[positive] = rng.standard_normal((12, 4, 32, 32), dtype=np.float32)
    pair = latents.LabelledCells(before, after, np.ones(40, dtype=bool), positive)
    one = encoder(before)
    assert set(latents.score_latents([pair], one).values()) == {1.0}
    blind = replace(pair, known=~positive)
    assert max(latents.score_latents([blind], one).values()) < 0.4


def test_what_flies_is_counted():
    found = latents.describe_network(Ravaen(RavaenConfig(10)), repeats=1)
    assert found["parameters"] == 155_904  # as in the shipped bundle's manifest
    assert found["macs"] == 10 * 16 * 9 * 256 + 16 * 32 * 9 * 64 + 32 * 64 * 9 * 16 + 1024 * 128


RUN = {"cosine_tile_ap": 0.3, "euclidean_tile_ap": 0.4, "parameters_of_heads": 1234.0, "training_cpu_seconds": 20.0}
RESULT = {
    "network": {"cities": {"parameters": 155904, "macs": 1089536, "us_per_tile": 99.6}},
    "metrics": {
        "vae/0": {"cities": RUN},
        "vae/1": {"cities": RUN | {"cosine_tile_ap": 0.32}},
        "random/0": {"cities": RUN, "fires": RUN},
    },
}


def test_the_table_has_a_row_for_each_that_ran():
    text = family_table.table(RESULT, {"vae": "the VAE", "triplet": "triplets"})
    assert "| the VAE | 2 | 31.0 ± 1.4 | 40.0 ± 0.0 |" in text
    assert "1,234" in text
    assert "triplets" not in text
    assert "155,904 parameters, 1,089,536 multiply-accumulates, 100 us" in text


def test_the_table_goes_between_its_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"above\n{family_table.BEGIN}\nold\n{family_table.END}\nbelow\n")
    for _ in range(2):
        write_between(page, family_table.BEGIN, family_table.END, "new")
    assert page.read_text() == f"above\n{family_table.BEGIN}\nnew\n{family_table.END}\nbelow\n"
    page.write_text("nothing")
    with pytest.raises(ValueError, match="no lines"):
        write_between(page, family_table.BEGIN, family_table.END, "new")


def test_simulated_events_are_nothing_outside_their_mask(monkeypatch, tmp_path):
    monkeypatch.setenv("ONBOARD_SIM_CACHE", str(tmp_path))
    events = simulated_events(("B04", "B08"), NormaliseRule(), seeds=(20,), size=128)
    covered = (events.difference != 0).any(1).mean((1, 2))
    assert events.difference.shape[1:] == (2, 32, 32)
    assert covered.min() >= 0.04
    assert np.abs(events.difference).max() <= 2 * NormaliseRule().limit
    assert any((one == 0).all(0).any() for one in events.difference)
