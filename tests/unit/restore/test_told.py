"""What columns tell of stripes: by length, by neighbours, and from manifests of before and of now."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from onboard.errors import BundleError
from onboard.infer.bundle import SUMS
from onboard.restore.enhance import BandScale
from onboard.restore.model import Network, load_model
from onboard.restore.residue import refined
from onboard.restore.told import NEAR, STRIPE_PX, Told, narrowed, neighbours, weighted


def told_of(matrices, lines=(256, 1024)):
    """Turns of one matrix (B, 2 B) for each length, of the column itself alone."""
    turns = np.zeros((1, len(lines), NEAR + 1, *np.shape(matrices[0])))
    turns[0, :, 0] = matrices
    return Told(lines, turns)


def test_what_changes_slowly_across_is_no_stripe():
    columns = np.linspace(0, 50, 300)[None] + np.random.default_rng(0).normal(0, 1, 300)
    left = narrowed(columns)
    assert np.abs(left[:, STRIPE_PX:-STRIPE_PX].mean()) < 0.2
    assert 0.9 < left[:, STRIPE_PX:-STRIPE_PX].std() < 1.1
    assert not narrowed(np.full((2, 5), 3.0)).any()


def test_neighbours_are_mirrored_weights_with_the_last_column_again():
    columns = np.array([[1.0, 2.0, 4.0]])
    assert (neighbours(columns, 0) == columns).all()
    assert (neighbours(columns, 1) == [[3.0, 5.0, 6.0]]).all()
    weights = np.zeros((NEAR + 1, 1, 1))
    weights[:2, 0, 0] = 1.0, -0.5
    assert np.allclose(weighted(weights, columns), [[-0.5, -0.5, 1.0]])


@pytest.mark.parametrize(("lines", "share"), [(64, -0.4), (256, -0.4), (512, -0.25), (1024, -0.1), (9000, -0.1)])
def test_medians_are_believed_by_the_lines_that_they_saw(lines, share):
    told = told_of([[[0.0, -0.4]], [[0.0, -0.1]]])
    offsets = narrowed(np.random.default_rng(0).normal(0, 1, (1, 200)))
    found = told.stripes(0, lines, np.zeros((1, 200)), offsets)
    assert np.allclose(found, share * narrowed(offsets))


def test_texture_that_medians_took_off_is_put_back():
    rng = np.random.default_rng(0)
    stripes, texture = rng.normal(0, 20, (2, 400)), rng.normal(0, 20, 400)
    first = np.rint(stripes + texture).astype(np.int32)  # medians cannot tell the two; the other band can
    shared = told_of([[[0, 0, -0.33, -0.33], [0, 0, -0.33, -0.33]]], (400,))
    found = refined(first, shared, (BandScale(1000.0), BandScale(1000.0)), lambda now: np.zeros((2, 400)), 400)
    was, left = (np.square(narrowed(one - stripes)).mean() for one in (first, found))
    assert left < 0.75 * was


def test_each_so_many_bands_tell_of_each_other():
    told = told_of([[[0.0, 0, 0, 0], [1.0, 0, 0, 0]]], (400,))
    columns = narrowed(np.random.default_rng(0).normal(0, 30, (4, 200)))
    scales = tuple(BandScale(full) for full in (1000.0, 2000.0, 1000.0, 500.0))
    found = refined(np.zeros((4, 200), np.int32), told, scales, lambda now: columns, 400)
    assert not found[::2].any()
    for even, odd, times in ((0, 1, 2.0), (2, 3, 0.5)):
        wanted = times * narrowed(columns[even : even + 1])[0]
        assert np.abs(found[odd] - (wanted - wanted.mean())).max() <= 0.5


def test_models_of_before_tell_by_what_is_taken_off_alone(cleaning_pairs, tmp_path):
    folder = changed(cleaning_pairs, tmp_path, lambda raw: raw | {"stripes": [[1.0, 0.0], [0.5, 2.0]]}, drop="columns")
    told = load_model(str(folder)).stripes
    taken = np.array([[1.0, -1.0, 0.0], [0.0, 0.0, 0.0]])
    assert np.allclose(told.stripes(1, 300, taken, 9 * taken), [[0.7, -0.7, 0.0], [0.35, -0.35, 0.0]])


def test_a_model_without_either_tells_nothing(cleaning_pairs, tmp_path):
    assert load_model(str(changed(cleaning_pairs, tmp_path, dict, drop="columns"))).stripes is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda told: told | {"lines": told["lines"][::-1]},
        lambda told: told | {"lines": []},
        lambda told: told | {"lines": told["lines"][1:]},
        lambda told: told | {"turns": told["turns"][0]},
        lambda told: told | {"turns": np.full(np.shape(told["turns"]), np.inf).tolist()},
        lambda told: {"lines": told["lines"]},
    ],
)
def test_columns_that_do_not_fit_are_refused(cleaning_pairs, tmp_path, spoil):
    folder = changed(cleaning_pairs, tmp_path, lambda raw: raw | {"columns": spoil(raw["columns"])})
    with pytest.raises(BundleError, match="not valid"):
        load_model(str(folder))


def changed(model, tmp_path, change, drop=None):
    """The folder of a model with another manifest, and sums that fit."""
    import hashlib

    folder = tmp_path / "changed"
    shutil.copytree(next(iter(model.artefacts.values())).path.parent, folder)
    manifest = folder / "manifest.json"
    raw = change(json.loads(manifest.read_text()))
    raw.pop(drop, None)
    manifest.write_text(json.dumps(raw))
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.iterdir())
        if path.name != SUMS
    ]
    (folder / SUMS).write_text("".join(lines))
    return folder


def test_what_is_fitted_leaves_less_than_medians(cleaning_pairs):
    from export.restorer_stripes import LENGTHS, columns_told
    from ground.scenes.noise import WHOLE, Sensor
    from ground.scenes.striped import striped

    def streets(seed):  # along the columns, alike in both bands
        rng = np.random.default_rng(seed)
        return (0.3 + np.repeat(rng.normal(0, 0.05, (16, 160)), 20, 0)[None] * [[[1.0]], [[0.9]]]).astype(np.float32)

    network, sensor = Network(cleaning_pairs), Sensor()
    raw = columns_told(network, [streets(seed) for seed in range(3)], 0, sensor, 0)
    assert raw["lines"] == list(LENGTHS)
    told = Told.of_plain(raw, 2)
    seen = striped(streets(9), 0, sensor, np.random.default_rng(0))
    knowing = Network(replace(cleaning_pairs, stripes=told))
    error = (seen.dn - WHOLE * streets(9).astype(np.float64)).mean(1)
    was, left = (np.square(narrowed(error - one)).mean() for one in (seen.offsets, seen.refined(knowing)))
    assert left < 0.8 * was


def test_a_model_that_ships_has_as_many_matrices_as_bands():
    told = load_model("denoise-s2-10").stripes
    assert told.bands == 10
    assert told.narrow
