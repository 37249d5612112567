"""What ships can be begun from: its export undone."""

import json

import numpy as np
import pytest
import torch

from ground.models.restorers import build
from ground.training.restoration import RestoreRecipe, TrainedRestorer
from ground.training.shipped import load_start, of_model
from onboard.restore.model import Network, centred, load_model, shipped_models


@pytest.mark.parametrize("name", shipped_models())
def test_the_network_gives_what_its_artefact_gives(name):
    model = load_model(name)
    trained = load_start(name)
    assert trained.training_hash == model.about["training_hash"]
    assert sum(p.numel() for p in trained.net.parameters()) == model.about["parameters"]
    rng = np.random.default_rng(0)
    planes = np.rint(rng.normal(128, 10, (model.bands + (model.noise is not None), 24, 32))).astype(np.uint8)
    wanted = Network(model, "fp32").correct(planes)
    fed = torch.nn.functional.pixel_unshuffle(torch.from_numpy(centred(planes))[None], 2)
    with torch.no_grad():
        found = torch.nn.functional.pixel_shuffle(trained.net.folded().body(fed), 2 * model.scale)[0].numpy()
    assert np.abs(found - wanted).max() < 1e-5 * np.abs(wanted).max() + 1e-6
    if model.mix is not None:
        assert np.allclose(trained.net.into, model.mix.into)


def test_wide_kernels_do_not_come_back(tmp_path):
    from export.restorer import pack
    from ground.scenes.pictures import Picture
    from ground.training.crops import enlarged_pairs

    torch.manual_seed(0)
    recipe = RestoreRecipe("anchored-rep", 2)
    trained = TrainedRestorer(build("anchored-rep", 1, 2).eval(), recipe, {}, "0" * 64)
    shown = np.random.default_rng(0).random((160, 160), dtype=np.float32)
    pairs = enlarged_pairs([Picture("a", "0" * 64, shown, 255.0)], 2, False)
    folder = pack(trained, pairs, tmp_path, "rep", "# rep\n", most_lost_db=20)
    with pytest.raises(ValueError, match="cannot be begun"):
        of_model(str(folder))
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["format"] == 1


def test_what_is_no_model_is_said():
    with pytest.raises(ValueError, match="neither a folder"):
        load_start("nothing")
