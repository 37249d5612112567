import numpy as np
import pytest
import torch
from test_expectation import make

from ground.evaluation.expectation import residual_scores
from ground.evaluation.seasons import Judged, figures
from ground.models.forecaster import LOOKS, Forecaster
from ground.training import forecaster as f
from onboard.errors import InputError


def test_it_is_small_and_begins_as_the_mean_of_the_past():
    network = Forecaster(4)
    assert sum(p.numel() for p in network.parameters()) < 4000
    values, when = torch.zeros(3, 4, LOOKS), torch.zeros(3, 4, LOOKS)
    values[:, :, -5:], when[:, -1, -5:] = 2.0, 1.0
    mean, spread = network(values, when)
    assert mean.shape == spread.shape == (3, 4)
    assert torch.allclose(mean, torch.tensor(2.0))


def test_history_ends_before_the_first_unknown_look_and_skips_clouds():
    series = make()
    series.valid[18, :] = False
    (values, when), known = f.history_of(series, 20, 22, np.arange(5))
    assert (values[:, :, -1].numpy() == series.x[19, :5]).all()
    assert (values[:, :, -2].numpy() == series.x[17, :5]).all()
    assert (values[:, :, : LOOKS - 19] == 0).all()
    assert when[0, -1].sum() == 19
    assert known.all()
    assert not f.history_of(series, 2, 2, np.arange(5))[1].any()


def test_it_learns_a_season_from_other_series():
    training = [make(cells=4, seed=seed) for seed in range(6)]
    network = f.train_forecaster(training, steps=150)
    series = make(seed=99)
    (forecast,) = f.expectation(network)(series, 35)(36)
    level = series.x[:35].mean(axis=0)
    assert np.abs(forecast.mean - series.x[36]).mean() < 0.95 * np.abs(level - series.x[36]).mean()


def test_nothing_later_is_trained_on():
    series, other = make(), make()
    other.x[20:] += 9
    networks = [f.train_forecaster([one], steps=5, until=[20]) for one in (series, other)]
    a, b = (network.state_dict() for network in networks)
    assert all(torch.equal(a[key], b[key]) for key in a)
    with pytest.raises(ValueError, match="no series"):
        f.train_forecaster([series], until=[2])


def test_it_goes_on_each_year():
    series = make()
    scores = residual_scores(series, f.Yearly(Forecaster(2), [make(seed=5)], steps=2), range(10, 14))
    assert np.isfinite(scores[0, 10:14]).all()
    assert np.isnan(scores[0, :10]).all()


def test_weights_are_kept(tmp_path):
    network = Forecaster(4)
    f.save(network, tmp_path / "new" / "f.pt")
    loaded = f.load(tmp_path / "new" / "f.pt")
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in loaded.state_dict().items())
    (tmp_path / "bad.pt").write_bytes(b"nothing of the kind")
    for name in ("bad.pt", "absent.pt"):
        with pytest.raises(InputError, match="is no forecaster"):
            f.load(tmp_path / name)


def test_figures_of_perfect_and_of_useless_scores():
    changed = np.array([True, False, False, False])
    quiet = [Judged(np.zeros(4, dtype=np.float32), np.zeros(4, dtype=bool))]
    kinds = ("flood", "fire", "landslide", "storm")
    good = figures({"none": quiet} | {kind: [Judged(changed.astype(np.float32), changed)] for kind in kinds})
    assert (good["cell_ap"], good["false_alarms_at_90pct_recall"]) == (1.0, 0.0)
    flat = figures({"none": quiet} | {kind: [Judged(np.zeros(4, dtype=np.float32), changed)] for kind in kinds})
    assert (flat["cell_ap"], flat["false_alarms_at_90pct_recall"]) == (0.25, 1.0)
