from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from ground.cli.train import OBJECTIVE_NAMES
from ground.models.ravaen import Ravaen, RavaenConfig, loss
from ground.scenes import groups
from ground.scenes.events import Events
from ground.scenes.pairs import Jitter, Scene
from ground.training.encoder import EncoderRecipe, fit, load_checkpoint
from ground.training.objectives import OBJECTIVES, sparse, triplet
from ground.training.objectives.base import mean_latent
from onboard.sense.normalise import NormaliseRule

BANDS = ("B02", "B08")
STILL = Jitter(0.0, 0.0)
TABLE = np.linspace(-2, 2, 1000, dtype=np.float32)


def scene(place: str, name: str, seed: int, side: int = 112) -> Scene:
    """Smooth, so that a tile resembles its neighbours; the passes of a place share `seed` and differ in noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(100, 900, (len(BANDS), side // 16, side // 16))
    noise = np.random.default_rng(sum(name.encode())).integers(-20, 20, (len(BANDS), side, side))
    dn = (coarse.repeat(16, 1).repeat(16, 2) + noise).astype(np.uint16)
    return Scene(place, name, dn, (TABLE,) * len(BANDS))


SCENES = [scene(place, f"{place}{date}", seed) for seed, place in enumerate("ab") for date in (1, 2)]


def recipe(objective: str, **changes) -> EncoderRecipe:
    given = {"steps": 8, "epoch_steps": 4, "batch": 16, "jitter": STILL} | changes
    return EncoderRecipe("two", BANDS, RavaenConfig(2, latent=16), NormaliseRule(), objective=objective, **given)


@pytest.fixture(autouse=True)
def no_simulator(monkeypatch):
    torch.set_num_threads(1)
    difference = np.zeros((3, 2, 32, 32), np.float32)
    difference[:, :, 8:24, 8:24] = 1.5
    monkeypatch.setattr(triplet, "simulated_events", lambda bands, rule: Events(difference, (-5.0, 5.0)))


def test_the_command_line_knows_every_objective():
    assert tuple(OBJECTIVES) == OBJECTIVE_NAMES
    assert all(one.text for one in OBJECTIVES.values())
    with pytest.raises(ValueError, match="objective must be one of"):
        recipe("magic")


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_loss_falls_and_repeats(name):
    def losses() -> list[float]:
        torch.manual_seed(0)
        net, objective = Ravaen(RavaenConfig(2, latent=16)), OBJECTIVES[name](recipe(name))
        samples = objective.samples(SCENES, 8, 0, 0)
        batch = default_collate([samples[i] for i in range(8)])
        optimiser = torch.optim.Adam([*net.parameters(), *objective.parameters()], 3e-3)
        found = []
        for _ in range(16):
            total, terms = objective(net, batch, 1.0)
            assert all(value.dim() == 0 for value in terms.values())
            optimiser.zero_grad()
            total.backward()
            optimiser.step()
            found.append(total.item())
        return found

    first = losses()
    assert np.mean(first[-4:]) < np.mean(first[:4])
    assert losses() == first


@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradients_reach_the_first_layer_and_mu(name):
    net, objective = Ravaen(RavaenConfig(2, latent=16)), OBJECTIVES[name](recipe(name))
    samples = objective.samples(SCENES, 6, 0, 0)
    objective(net, default_collate([samples[i] for i in range(6)]), 1.0)[0].backward()
    for weight in (net.encoder.down[0][0].weight, net.encoder.mu.weight):
        assert weight.grad is not None
        assert weight.grad.abs().sum() > 0


def test_the_stacked_autoencoder_trains_one_layer_at_a_time():
    net, objective = Ravaen(RavaenConfig(2, latent=16)), OBJECTIVES["stacked"](recipe("stacked"))
    tiles = torch.randn(4, 2, 32, 32)
    layers = [*net.encoder.down, net.encoder.mu]
    for phase, progress in enumerate((0.0, 0.2, 0.35, 0.5)):
        net.zero_grad()
        objective(net, tiles, progress)[0].backward()
        touched = [any(p.grad is not None for p in layer.parameters()) for layer in layers]
        assert touched == [index == phase for index in range(4)]


def test_the_vae_is_the_published_loss():
    net, objective = Ravaen(RavaenConfig(2, latent=16)).eval(), OBJECTIVES["vae"](recipe("vae"))
    tiles = torch.randn(4, 2, 32, 32)
    total, _ = objective(net, tiles, 0.0)
    rebuilt, mu, logvar = net(tiles)
    assert total.item() == pytest.approx(loss(rebuilt, tiles, mu, logvar, 1e-3)[0].item())


def test_the_default_recipe_keeps_its_training_hash():
    plain = recipe("vae").to_dict()
    assert "objective" not in plain
    assert EncoderRecipe.from_dict(plain).objective == "vae"
    assert EncoderRecipe.from_dict(recipe("jigsaw").to_dict()).objective == "jigsaw"


@pytest.mark.parametrize("name", ["vae", "contrastive", "relative-location"])
def test_fit_leaves_a_checkpoint_that_repeats(name, tmp_path):
    nets = []
    for run in ("first", "second"):
        path = fit(recipe(name), SCENES, SCENES[:2], {}, tmp_path / run, progress=False, accelerator="cpu")
        trained = load_checkpoint(path)
        assert trained.recipe.objective == name
        nets.append(trained.net.state_dict())
    assert all(torch.equal(nets[0][key], nets[1][key]) for key in nets[0])


def test_sparsity_is_zero_at_the_target_and_grows():
    assert sparse.sparsity(torch.full((5, 7), sparse.ACTIVE)).item() == pytest.approx(0.0, abs=1e-6)
    assert sparse.sparsity(torch.full((5, 7), 0.5)).item() == pytest.approx(7 * 0.4946, rel=1e-3)


def test_colourisation_needs_two_kinds_of_bands():
    wrong = EncoderRecipe("rgb", ("B02", "B03"), RavaenConfig(2), NormaliseRule(), objective="colourisation")
    with pytest.raises(ValueError, match="visible"):
        OBJECTIVES["colourisation"](wrong)


def test_mean_latent_of_groups_is_that_of_single_tiles():
    net = Ravaen(RavaenConfig(2, latent=16)).eval()
    tiles = torch.randn(3, 2, 2, 32, 32)
    alone = net.encoder(tiles.flatten(0, 1))[0].unflatten(0, (3, 2))
    assert torch.allclose(mean_latent(net, tiles), alone, atol=1e-6)


def test_pairs_show_one_place_on_two_dates():
    pairs = groups.PairTiles(SCENES, 40, 0, 0, STILL)
    assert pairs[5].equal(pairs[5])
    near = [
        float(np.corrcoef(pair[0].ravel(), pair[1].ravel())[0, 1]) for pair in (pairs[i].numpy() for i in range(40))
    ]
    assert np.mean(near) > 0.7
    assert any(not np.array_equal(*pairs[i].numpy()) for i in range(40))
    with pytest.raises(ValueError, match="two passes"):
        groups.PairTiles(SCENES[::2], 4, 0, 0, STILL)


def test_a_triplet_changes_the_second_date_by_an_event_alone():
    difference = np.full((1, 2, 32, 32), 0.5, np.float32)
    triplets = groups.TripletTiles(SCENES, 4, 0, 0, STILL, Events(difference, (-5.0, 5.0)))
    _, same, changed = triplets[0].numpy()
    assert np.allclose(changed - same, 0.5)


def test_neighbours_lie_where_they_say():
    rows, cols = np.mgrid[0:112, 0:112]
    dn = np.stack([rows, cols]).astype(np.uint16) + 1
    place = Scene("ramp", "ramp", dn, (np.arange(1000, dtype=np.float32),) * 2)
    neighbours = groups.NeighbourTiles([place], 30, 0, 0, STILL)
    for index in range(30):
        tiles, which = neighbours[index]
        moved = (tiles[1] - tiles[0]).mean((1, 2)).numpy()
        assert tuple(np.sign(np.rint(moved / 36))) == groups.NEIGHBOURS[which]
    squares = groups.SquareTiles([place], 4, 0, 0, STILL)[0].mean((2, 3))
    assert squares[1, 1] - squares[0, 1] >= 32
    assert squares[2, 0] - squares[0, 0] >= 32
    with pytest.raises(ValueError, match="no scene of at least"):
        groups.NeighbourTiles([scene("c", "c", 0, side=48)], 1, 0, 0, STILL)
