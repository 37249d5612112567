"""Networks that restore, what they are trained on, and what they can be trained from."""

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image

from ground.evaluation.denoising import evaluate_denoise_scenes
from ground.evaluation.restoration import ergas, psnr, sam
from ground.evaluation.striping import evaluate_stripes
from ground.models.anchored import SPAN, Anchored, RepConv
from ground.models.resampler import Bicubic
from ground.models.restorers import DENOISE, SR, build
from ground.scenes.noise import Gaussian, Sensor, model_of
from ground.scenes.pictures import Picture, load_natural, stacked
from ground.scenes.resample import enlarge, shrink
from ground.training.adopted import adopt
from ground.training.crops import Crops, enlarged_pairs, noisy_pairs
from ground.training.denoisers import DENOISERS, denoiser
from ground.training.denoisers.base import run
from ground.training.losses import LOSSES, psnr_loss
from ground.training.restoration import RestoreModule, RestoreRecipe, fit, load_checkpoint


def smooth(seed, side=160):
    rng = np.random.default_rng(seed)
    coarse = rng.random((side // 8, side // 8), dtype=np.float32)
    return np.clip(enlarge(coarse, 8), 0, 1)


def pictures(count=2):
    return [Picture(f"{seed}.png", "0" * 64, smooth(seed), 255.0) for seed in range(count)]


@pytest.mark.parametrize("name", SR)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_every_enlarging_network_gives_its_scale(name, scale):
    net = build(name, 2, scale).eval()
    with torch.no_grad():
        assert net(torch.rand(1, 2, 17, 22)).shape == (1, 2, 17 * scale, 22 * scale)


@pytest.mark.parametrize("name", DENOISE)
def test_every_denoiser_keeps_the_size(name):
    x = torch.rand(2, 3, 18, 22)
    with torch.no_grad():
        assert run(build(name, 3, 1).eval(), x, torch.full_like(x, 0.1)).shape == x.shape


def test_an_unknown_network_is_refused():
    with pytest.raises(ValueError, match="must be one of"):
        build("dncnn-compact", 1, 2)


def test_folding_changes_nothing():
    torch.manual_seed(0)
    net = Anchored(1, 2).eval()
    folded = net.folded()
    assert not any(isinstance(layer, RepConv) for layer in folded.body)
    planes = torch.rand(1, 4, 12, 14) - 0.5
    with torch.no_grad():
        assert torch.allclose(folded.body(planes), 0.25 * net.body(planes), atol=1e-5)


def test_nothing_beyond_the_reach_changes_a_pixel():
    torch.manual_seed(0)
    net = Anchored(1, 2).eval()
    x = torch.rand(1, 1, 64, 64)
    other = x.clone()
    other[..., : 32 - net.reach, :] = 0
    with torch.no_grad():
        assert torch.equal(net(x)[..., 64:, :], net(other)[..., 64:, :])


def test_bicubic_as_convolution_is_matlabs_inside():
    image = np.random.default_rng(0).random((24, 20), dtype=np.float32)
    found = Bicubic(3)(torch.from_numpy(image)[None, None])[0, 0].numpy()
    assert np.allclose(found[9:-9, 9:-9], enlarge(image, 3)[9:-9, 9:-9], atol=1e-5)


def test_fsrcnn_begins_as_bicubic():
    torch.manual_seed(0)
    x = torch.from_numpy(smooth(0, 48))[None, None]
    with torch.no_grad():
        found, plain = build("fsrcnn", 1, 2)(x), Bicubic(2)(x)
    assert (found - plain)[..., 16:-16, 16:-16].abs().mean() < 0.01


def test_a_wider_network_begins_where_a_narrower_one_is():
    torch.manual_seed(0)
    narrow, wide, other = build("anchored", 1, 2), build("anchored-wide", 1, 2), build("anchored-wide", 1, 3)
    x = torch.rand(1, 1, 20, 20)
    fresh = other.body[-1].weight.detach().clone()
    adopt(wide, narrow)
    adopt(other, narrow)
    with torch.no_grad():
        assert torch.allclose(wide(x), narrow(x), atol=1e-6)
    assert torch.equal(other.body[-1].weight, fresh)  # its planes mean other places
    assert torch.equal(other.body[2].weight[:40, :40], narrow.body[2].weight)
    bands = build("anchored-wide", 4, 2)
    fresh = bands.body[0].weight.detach().clone()
    adopt(bands, narrow)
    assert torch.equal(bands.body[0].weight, fresh)
    four, three = (build("anchored-mixed", count, 1) for count in (4, 3))
    three.mix(torch.rand(3, 99), torch.full((3,), 0.1))
    adopt(four, three)
    assert torch.equal(four.into, torch.eye(4))
    assert torch.equal(four.body[2].weight, three.body[2].weight)


def test_the_loss_of_psnr_counts_decibels():
    wanted = torch.zeros(2, 1, 8, 8)
    found = torch.stack([torch.full((1, 8, 8), level) for level in (0.1, 0.2)])
    tenfold = psnr_loss(found, wanted) - psnr_loss(found / 10**0.5, wanted)
    assert tenfold == pytest.approx(np.log(10), abs=0.02)


def test_stripes_and_noise_count_beside_each_other():
    torch.manual_seed(0)
    wanted = torch.rand(2, 3, 64, 64)
    noise, stripes = 0.02 * torch.randn(2, 3, 64, 64), 0.02 * torch.randn(2, 3, 1, 64)
    loss = LOSSES["columns"]
    assert loss(wanted + noise + stripes, wanted) > loss(wanted + noise, wanted) + 0.3
    slow = torch.linspace(0, 0.02, 64)  # across the whole crop: no stripe
    added = loss(wanted + noise + slow, wanted) - loss(wanted + noise, wanted)
    assert added < 0.5 * (loss(wanted + noise + stripes, wanted) - loss(wanted + noise, wanted))


def test_reducing_is_antialiased_as_in_the_published_sets(data_dir):
    folder = data_dir / "natural" / "Set5" / "x2"
    fine, coarse = (np.asarray(Image.open(folder / f"img_001_SRF_2_{k}.png"), np.float32) for k in ("HR", "LR"))
    found = np.clip(np.rint(shrink(fine.transpose(2, 0, 1), 2)), 0, 255).transpose(1, 2, 0)
    assert np.abs(found - coarse).mean() < 0.5


def test_a_test_picture_is_never_trained_on(tmp_path):
    for folder in ("train", "test"):
        (tmp_path / folder).mkdir()
    for seed in (0, 1):
        grey = Image.fromarray((smooth(seed) * 255).astype(np.uint8))
        grey.save(tmp_path / "train" / f"{seed}.png")
    grey.resize((200, 200)).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "test" / "other.png")
    kept, left_out = load_natural([tmp_path / "train"], [tmp_path / "test"])
    assert [one.name for one in kept] == ["0.png"]
    assert left_out == ["1.png: is one of the pictures kept out"]


def test_crops_repeat_and_belong_together():
    pairs = enlarged_pairs(pictures(), 2, sensor=False)
    crops = Crops(pairs, 32, 2, 4, (0, 3))
    given, wanted, _ = crops[2]
    assert torch.equal(given, Crops(pairs, 32, 2, 4, (0, 3))[2][0])
    assert (Bicubic(2)(given[None])[0] - wanted).abs().mean() < 0.02


def test_noise_is_as_strong_as_its_map_says():
    clean = np.full((256, 256), 0.4, np.float32)
    for model in (Gaussian(), Sensor(gain=0, offset=0, step=0, dead=0)):
        noisy, sigma = model.add(clean, np.random.default_rng(0))
        assert (noisy - clean).std() == pytest.approx(sigma.mean(), rel=0.03)
    assert sigma.mean() == pytest.approx(0.4 / 20, rel=1e-3)


def test_each_size_of_a_picture_has_its_noise():
    whole, half = noisy_pairs(pictures(1), Gaussian(), 0, (1.0, 0.5))
    assert half.given.shape == (80, 80)
    assert half.sigma.mean() == pytest.approx(whole.sigma.mean())
    assert np.abs(half.wanted - shrink(whole.wanted, 2)).mean() < 0.01


def test_dead_columns_are_filled():
    sensor = Sensor(dead=0.1)
    noisy, _ = sensor.add(smooth(3), np.random.default_rng(0))
    assert (noisy == 0).all(0).any()
    assert not (sensor.repair(noisy) == 0).all(0).any()
    with pytest.raises(ValueError, match="gaussian or sensor"):
        model_of({"kind": "pink"})


@pytest.mark.parametrize("name", DENOISERS)
def test_every_objective_trains_a_denoiser(name):
    torch.manual_seed(0)
    noise = Gaussian()
    pairs = noisy_pairs(pictures(), noise, 0)
    crops = Crops(pairs, 32, 1, 32, (0, 0))
    noisy, clean, sigma = (torch.stack(part) for part in zip(*(crops[i] for i in range(32)), strict=True))
    net = Anchored(1, 1, width=16, depth=1, noise_map=True)
    optimiser = torch.optim.Adam(net.parameters(), 2e-3)
    shown = clean if DENOISERS[name].needs_clean else torch.zeros_like(clean)
    for _ in range(60):
        optimiser.zero_grad()
        DENOISERS[name].loss(net, noisy, shown, sigma).backward()
        optimiser.step()
    with torch.no_grad():
        left = (run(net, noisy, sigma) - clean).square().mean()
    assert left < 0.9 * (noisy - clean).square().mean()


def test_padding_at_the_border_of_a_crop_teaches_nothing_and_squares_can_be_counted():
    net = Anchored(1, 1, width=16, depth=1, noise_map=True)
    noisy, sigma = torch.rand(1, 1, 32, 32), torch.full((1, 1, 32, 32), 0.1)
    clean = run(net, noisy, sigma).detach()
    clean[..., 0, :] += 1
    clean[..., 16, 16] += 0.5
    found = denoiser("supervised", LOSSES["mse"]).loss(net, noisy, clean, sigma)
    assert found.item() == pytest.approx(0.25 / 20**2)


def test_more_draws_of_noise_are_of_the_same_pictures():
    first, second = noisy_pairs(pictures(1), Gaussian(), 0, draws=2)
    assert np.array_equal(first.wanted, second.wanted)
    assert np.corrcoef((first.given - first.wanted).ravel(), (second.given - second.wanted).ravel())[0, 1] < 0.05


def test_the_mean_over_weights_is_what_is_kept(tmp_path):
    recipe = RestoreRecipe("fsrcnn-s", 2, average=0.5)
    module = RestoreModule(recipe.to_dict(), {})
    module.begin(build("fsrcnn-s", 1, 2))
    weight = module.net.body[0].weight
    first = weight.detach().clone()
    for _ in range(2):
        with torch.no_grad():
            weight += 1
        module.on_train_batch_end(None, None, 0)
    module.settle()
    assert torch.allclose(weight, first + 1.25)


def test_a_run_that_averages_goes_on_where_it_was_broken_off(tmp_path):
    recipe = RestoreRecipe("fsrcnn-s", 2, steps=4, epoch_steps=1, batch=2, side=24, average=0.5)
    pairs = enlarged_pairs(pictures(), 2, False)
    whole, again = (
        fit(recipe, pairs, {}, tmp_path / name, resume=resume, progress=False, accelerator="cpu")
        for name, resume in (("whole", None), ("again", tmp_path / "whole/checkpoints/last.ckpt"))
    )
    kept = tmp_path / "whole/checkpoints/last.ckpt"
    assert any(key.startswith("averaged.") for key in torch.load(kept, weights_only=True)["state_dict"])
    first, second = (load_checkpoint(path).net.state_dict() for path in (whole, again))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_checkpoint_says_what_it_is(tmp_path):
    recipe = RestoreRecipe("fsrcnn-s", 2, steps=2, epoch_steps=1, batch=2, side=24)
    final = fit(recipe, enlarged_pairs(pictures(), 2, False), {"a": "b"}, tmp_path, progress=False, accelerator="cpu")
    trained = load_checkpoint(final)
    assert trained.recipe == recipe
    raw = torch.load(final, weights_only=True)
    raw["onboard"]["files"] = {}
    torch.save(raw, final)
    with pytest.raises(ValueError, match="training hash"):
        load_checkpoint(final)


def test_figures():
    wanted = np.stack([np.full((8, 8), value, np.float32) for value in (100, 200)])
    assert psnr(np.full(4, 25.5), 255) == pytest.approx(20)
    assert sam(2 * wanted, wanted) == pytest.approx(0, abs=0.05)
    assert ergas(1.1 * wanted, wanted, 2) == pytest.approx(5, rel=1e-4)


def test_a_scene_of_several_bands_is_cropped_as_one():
    cube = np.stack([smooth(0), smooth(1), smooth(0)])
    (pair,) = noisy_pairs([Picture("a", "0" * 64, cube, 1.0)], Sensor(gain=0, offset=0, step=0, dead=0), 0)
    noisy, clean, sigma = Crops([pair], 32, 1, 4, (0, 0), turn=False)[1]
    assert noisy.shape == clean.shape == sigma.shape == (3, 32, 32)
    assert torch.equal(clean[0], clean[2]) and not torch.equal(noisy[0], noisy[2])
    assert float((noisy - clean).std()) == pytest.approx(float(sigma.mean()), rel=0.2)


def test_pixels_twice_as_large_have_one_noise_and_crops_keep_them_whole():
    cube = stacked(smooth(0)[None], smooth(1)[None, ::2, ::2])
    assert cube.shape == (2, 160, 160)
    (pair,) = noisy_pairs([Picture("a", "0" * 64, cube, 1.0, coarse=1)], Sensor(), 0)
    crops = Crops([pair], 32, 1, 8, (0, 0), turn=False)
    for noisy, clean, sigma in (crops[i] for i in range(8)):
        for plane in (noisy, clean, sigma):
            assert torch.equal(plane[1, ::2, ::2], plane[1, 1::2, 1::2])
        assert not torch.equal(noisy[0, ::2, ::2], noisy[0, 1::2, 1::2])


def test_bright_ground_is_noisy_but_does_not_saturate():
    clean = np.full((64, 64), 0.3, np.float32)
    clean[20:24] = 5.0
    noisy, _ = Sensor(dead=0).add(clean, np.random.default_rng(0))
    assert noisy[20:24].mean() == pytest.approx(5.0, rel=0.02)


def test_a_range_of_ratios_is_settled_for_each_picture():
    sensor = Sensor(snr=20, least=10)
    drawn = [sensor.drawn(np.random.default_rng(seed)) for seed in range(4)]
    assert all(10 <= one.snr <= 20 and not one.least for one in drawn) and len({one.snr for one in drawn}) == 4
    assert Sensor(snr=20).drawn(np.random.default_rng(0)).snr == 20


def test_scenes_of_two_resolutions_are_measured_each_in_its_own_pixels(tmp_path):
    (tmp_path / "here").mkdir()
    for name, count, side in (("10m", 4, 128), ("20m", 6, 64)):
        cube = np.stack([1000 + 800 * smooth(band, side) for band in range(count)]).astype(np.uint16)
        path = tmp_path / "here" / f"t1_{name}.tif"
        profile = {"driver": "GTiff", "width": side, "height": side, "count": count, "dtype": "uint16"}
        with rasterio.open(path, "w", **profile) as out:
            out.write(cube)
    shapes = []

    def unchanged(dn, scales):
        shapes.append(dn.shape)
        assert len(scales) == len(dn)
        return dn.astype(np.float32)

    found = {
        mode: evaluate_denoise_scenes(tmp_path, 20.0, 0, unchanged, destripe=False, coarse=mode)["metrics"]
        for mode in ("", "apart", "stacked")
    }
    assert shapes == [(4, 128, 128), (4, 128, 128), (6, 64, 64), (10, 128, 128)]
    for key in ("psnr_10m", "psnr_20m", "noisy_psnr", "psnr"):
        assert found["apart"][key] == pytest.approx(found["stacked"][key])
    assert found["stacked"]["psnr"] == pytest.approx(found["stacked"]["noisy_psnr"])
    assert "psnr_20m" not in found[""]


def test_components_are_of_unit_variance_and_come_back_as_bands():
    torch.manual_seed(0)
    net = build("anchored-mixed", 3, 1).eval()
    pixels = torch.rand(1, 4096) * torch.tensor([[0.5], [0.6], [0.4]]) + 0.01 * torch.randn(3, 4096)
    net.mix(pixels, torch.full((3,), 0.02))
    image = torch.cat([pixels.reshape(1, 3, 64, 64), torch.full((1, 1, 64, 64), 0.3)], 1)
    fed = net.fed(image)[0]
    components = SPAN * fed[:3].flatten(1)
    assert components.std(1).max() < 1.1
    assert components.mean().abs() < 1e-3
    assert torch.allclose(fed[3], torch.full((64, 64), -0.4), atol=1e-6)
    scaled = fed[:3] * SPAN * (1 + torch.linalg.eigvalsh(torch.cov(pixels / 0.02))).sqrt()[:, None, None]
    assert torch.allclose(net.unmixed(scaled[None])[0].flatten(1) + net.mean[:, None], pixels, atol=1e-4)


def test_more_lines_leave_less_of_the_stripes(tmp_path):
    for place in range(3):
        (tmp_path / str(place)).mkdir()
        cube = np.stack([1000 + 800 * smooth(place, 400)] * 3).astype(np.uint16)
        profile = {"driver": "GTiff", "width": 400, "height": 400, "count": 3, "dtype": "uint16"}
        with rasterio.open(tmp_path / str(place) / "t1_10m.tif", "w", **profile) as out:
            out.write(cube)
    found = evaluate_stripes(tmp_path, (64, 1200), 20.0, 0)["metrics"]
    assert found["pass_lines"] == 1200
    assert found["stripes_left_db_1200_lines"] < found["stripes_left_db_64_lines"] - 3 < -3
