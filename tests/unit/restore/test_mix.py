"""Bands as components: the flight software mixes as training does, and no pixel depends on its block."""

import json
import shutil

import numpy as np
import pytest
import torch

from export.restorer import _sums
from ground.training.denoisers.base import run as run_network
from ground.training.shipped import of_model
from onboard.errors import BundleError
from onboard.restore.enhance import BandScale, Noise, restore_image
from onboard.restore.mix import ROWS, Mix
from onboard.restore.model import Network, load_model

FULL = (4000.0, 5000.0, 3000.0)


@pytest.fixture
def mix():
    rng = np.random.default_rng(0)
    return Mix(rng.random(3), rng.normal(size=(3, 3)), rng.normal(size=(3, 3)))


@pytest.fixture
def dn():
    return np.random.default_rng(1).integers(500, 3500, (3, 2 * ROWS + 6, 40)).astype(np.uint16)


def test_levels_and_corrections_are_what_the_matrices_say(mix, dn):
    share = dn / np.array(FULL)[:, None, None]
    wanted = np.einsum("kb,bhw->khw", mix.into, share - mix.mean[:, None, None])
    found = mix.levels(dn, FULL)
    assert np.abs((found.astype(float) - 128) / 127 - np.clip(wanted, -1, 1)).max() < 0.501 / 127
    given = share.astype(np.float32)
    assert np.allclose(mix.bands(given), np.einsum("bk,khw->bhw", mix.back, share), atol=1e-5)


def test_no_bit_depends_on_the_block(mix, dn):
    whole = mix.levels(dn, FULL)
    assert np.array_equal(mix.levels(dn[:, 5:50, 3:], FULL), whole[:, 5:50, 3:])
    given = (dn / np.float32(4000)).astype(np.float32)
    assert np.array_equal(mix.bands(given[:, 7:41]), mix.bands(given)[:, 7:41])


def test_bands_are_mixed_as_in_training(mixing):
    net = of_model(str(next(iter(mixing.artefacts.values())).path.parent)).net
    rng = np.random.default_rng(0)
    dn = (2000 + 1000 * rng.random((1, 48, 48)) + 200 * rng.random((3, 48, 48))).astype(np.uint16)
    scales = tuple(BandScale(full, Noise(60.0, 1.5)) for full in FULL)
    units = np.array(FULL, np.float32)[:, None, None]
    x, sigma = (torch.from_numpy(np.float32(part / units))[None] for part in (dn, np.sqrt(3600 + 1.5 * dn)))
    with torch.no_grad():
        wanted = run_network(net, x, sigma)[0].numpy() * units
    found = restore_image(Network(mixing, "fp32"), dn, scales).astype(np.float32)
    inside = (slice(None), slice(20, -20), slice(20, -20))  # mirrored on board, padded with zeros there
    assert np.abs(found - wanted)[inside].mean() < 0.05 * np.abs(wanted - dn)[inside].mean()


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw["mix"].update(mean=[0.0, 0.0]),
        lambda raw: raw["mix"]["into"][1].append(1.0),
        lambda raw: raw["mix"]["back"][0].__setitem__(0, float("inf")),
        lambda raw: raw["mix"].pop("back"),
        lambda raw: raw.update(format=1),
        lambda raw: raw.pop("mix"),
    ],
)
def test_a_manifest_that_mixes_wrongly_is_refused(mixing, tmp_path, damage):
    folder = tmp_path / "model"
    shutil.copytree(next(iter(mixing.artefacts.values())).path.parent, folder)
    raw = json.loads((folder / "manifest.json").read_text())
    damage(raw)
    (folder / "manifest.json").write_text(json.dumps(raw))
    _sums(folder)
    with pytest.raises(BundleError):
        load_model(str(folder))
