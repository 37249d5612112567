"""Every kernel gives the bits of its NumPy twin, whatever the pixels, the shapes and what is hidden."""

import zlib
from dataclasses import replace

import numpy as np
import pytest

from onboard.change.cloud import CloudHead, CloudTest
from onboard.change.distance import latent_distance
from onboard.change.event import EventTest
from onboard.change.look import Looker
from onboard.change.pair import Comparison
from onboard.change.record import checksum_bytes, coarse_bands, damaged, fine_bands, record_dtype, seal
from onboard.change.registration import SEARCH_PX, estimate_peak
from onboard.change.rule import ScoreRule
from onboard.change.score import score_cells
from onboard.change.seen import Pair
from onboard.change.subcells import INPUT_STEP, INPUT_ZERO
from onboard.change.usual import fit_history
from onboard.clock import Stages
from onboard.infer.bundle import Tensor, load_bundle, shipped_bundles
from onboard.infer.runtime import load_encoder
from onboard.native.compare import unexplained
from onboard.native.records import checksums_of
from onboard.sense.acquisition import BandInfo
from onboard.sense.chunks import plan_chunks
from onboard.sense.normalise import BandStatistics
from onboard.sense.prescan import band_histograms

OUTPUT = Tensor("latent", "uint8", 0.1, 128)


def records(bundle, count, seed, hidden=0.0):
    """Sealed records of noise around a smooth scene; a share of the cells has hidden sub-cells."""
    rng = np.random.default_rng(seed)
    found = np.zeros(count, record_dtype(bundle.latent, bundle.bands))
    found["latent"] = rng.integers(0, 256, found["latent"].shape)
    for name in ("fine", "coarse"):
        scene = np.random.default_rng(7).integers(60, 200, found[name].shape[:2])[..., None]
        found[name] = np.clip(scene + rng.normal(0, 25, found[name].shape), 0, 255)
    found["valid"] = 2**64 - 1
    some = rng.random(count) < hidden
    found["valid"][some] = rng.integers(0, 2**63, int(some.sum()), dtype=np.uint64)
    found["valid"][some & (rng.random(count) < 0.1)] = 0
    found["flags"] = 1
    seal(found)
    return found


@pytest.fixture(params=shipped_bundles())
def bundle(request):
    return load_bundle(request.param)


def statistics(bundle, seed):
    rng = np.random.default_rng(seed)
    return [BandStatistics(float(rng.normal(-1.5, 0.2)), float(rng.uniform(0.2, 0.5)), 9) for _ in bundle.bands]


def test_checksums_are_zlibs(compiled):
    bundle = load_bundle("s2-10")
    some = records(bundle, 33, 0)
    assert some["crc"].tolist() == [zlib.crc32(one.tobytes()[:-4]) for one in some]


def test_damaged_records_are_the_same_ones(compiled, by_numpy):
    some = records(load_bundle("s2-10"), 60, 21)
    some[::7] = np.zeros(1, some.dtype)  # absent
    some["latent"][1::7, 3] ^= 1
    some["format"][2::7] = 1
    some["crc"][3::7] ^= 256
    some[["format", "crc"]][4::7] = 0
    mine = damaged(some)
    assert (mine == by_numpy(damaged, some)).all()
    assert 20 < mine.sum() < 40


def test_distances_of_latents(compiled, by_numpy):
    now, past = (records(load_bundle("s2-10"), 70, seed)["latent"] for seed in (22, 23))
    mine = latent_distance(now, past, OUTPUT, "euclidean")
    assert (mine == by_numpy(latent_distance, now, past, OUTPUT, "euclidean")).all()
    assert mine.dtype == np.float32 and len(np.unique(mine)) > 50


def test_checksums_of_any_length(compiled):
    rng = np.random.default_rng(1)
    for size in (5, 16, 20, 35, 64, 67, *range(68, 90), 132, 494, 512):
        raw = rng.integers(0, 256, (9, size), dtype=np.uint8)
        assert checksum_bytes(raw.view(f"V{size}").reshape(-1), size - 4).tolist() == [
            zlib.crc32(line[:-4].tobytes()) for line in raw
        ]


def test_checksums_of_many_blocks_at_once(compiled):
    rng = np.random.default_rng(2)
    blocks = [rng.bytes(size) for size in (0, 1, 15, 64, 20_655, 3 * 4096)]
    assert checksums_of(blocks) == [zlib.crc32(block) for block in blocks]
    assert checksums_of([]) == []


@pytest.mark.parametrize("damage", ["none", "nodata", "saturated", "quality", "all"])
def test_a_look(compiled, by_numpy, bundle, damage):
    rng = np.random.default_rng(2)
    encoder = load_encoder(bundle, "onnx", "int8")
    wide = rng.integers(1, 9_000, (len(bundle.bands), 5 * 32, 7 * 32 + 10), dtype=np.uint16)
    dn, quality = wide[:, :, 3 : 3 + 7 * 32], None  # lines that do not follow each other
    if damage == "nodata":
        dn[0, 40:90, 10:100] = 0
    elif damage == "saturated":
        dn[-1][rng.random(dn.shape[1:]) < 0.4] = 65_535
    elif damage == "quality":
        quality = rng.random(dn.shape[1:]) < 0.7
    elif damage == "all":
        dn[...] = 0
    infos = [BandInfo(name, -1000.0, 10_000.0) for name in bundle.bands]

    def look():
        looker = Looker(bundle, encoder, infos, statistics(bundle, 3), 35, 0.5, Stages())
        return looker.look(dn, quality)

    mine, twin = look(), by_numpy(look)
    assert (mine.records == twin.records).all()
    assert (mine.valid == twin.valid).all()
    assert (mine.visible() == twin.visible()).all()
    assert mine.whole == twin.whole == (damage == "none")


def test_clouds(compiled, by_numpy, bundle):
    if bundle.cloud is None:
        pytest.skip(f"{bundle.name} has no head for clouds")
    rng, order = np.random.default_rng(4), fine_bands(bundle.bands) + coarse_bands(bundle.bands)
    for bias in (0.0, 2.0, 5.0):  # from few to nearly all
        head = replace(bundle.cloud, bias=bundle.cloud.bias + bias * rng.random(bundle.cloud.bias.shape))
        assert isinstance(head, CloudHead)
        test = CloudTest(head, statistics(bundle, 5), order, INPUT_STEP, INPUT_ZERO)
        some = records(bundle, 200, 6)
        mine, twin = test.hidden(some), by_numpy(test.hidden, some)
        assert (mine is None) == (twin is None)
        assert mine is None or (mine == twin).all()


@pytest.mark.parametrize("hidden", [0.0, 0.5])
@pytest.mark.parametrize("top", [4, 8, 13])
@pytest.mark.parametrize("kind", ["all", "no head", "no latents"])
def test_a_history(compiled, by_numpy, bundle, hidden, top, kind):
    now, stats = records(bundle, 150, 8, hidden), statistics(bundle, 10)
    past = [(records(bundle, 150, seed, hidden), statistics(bundle, seed)) for seed in (9, 21, 22, 23)]
    head = bundle.event and replace(bundle.event, out=bundle.event.out / 50)  # noise alone is no event
    head = None if kind == "no head" else head
    rule = replace(ScoreRule.from_dict(bundle.score), top_fine=top, top_event=top, calibration=(-2.0, 0.05))
    rule = replace(rule, latent=0.0) if kind == "no latents" else rule
    models = fit_history(now, stats, past, rule, bundle.bands, OUTPUT, 3, head)
    weights = {"loss_weight": 0.4, "water_weight": 0.3, "event_weight": 0.6, "event_above": 0.0}
    models = [replace(model, **weights) for model in models]
    models[1] = replace(models[1], loss_weight=0.0, water_weight=0.0)  # each look asks for its own kinds
    past[2][0]["flags"] = np.random.default_rng(12).random(150) < 0.7
    now["flags"][:5] = 0  # not clear
    for of, _ in past:
        of["flags"][5:9] = 0  # a first look

    def comparison(i, rule):
        return Comparison(models[i], rule, bundle.bands, stats, past[i][1], head)

    pair, everywhere = Pair(now).against(past[0][0]), np.ones(150, bool)
    if head is not None:  # half of the cells are news to the first look, and asked of older ones
        least = replace(rule, event_floor=-20.0)
        middle = np.median(comparison(0, least).event(pair, everywhere)) / comparison(0, least).weights.event
        rule = replace(rule, event_floor=float(middle) - 20)
        assert (comparison(0, rule).event(pair, everywhere) > 0).mean() == pytest.approx(0.5, abs=0.1)

    def compare(history):
        return score_cells(now, [(past[i][0], comparison(i, rule)) for i in range(4)], rule, OUTPUT, history)

    for history in (1, 3):
        mine = compare(history)
        np.testing.assert_array_equal(mine, by_numpy(compare, history))
        assert np.isnan(mine).tolist() == [True] * 9 + [False] * 141
        assert len(np.unique(mine)) > 120
    first = comparison(0, rule)
    assert (first.residual(pair) == by_numpy(lambda: comparison(0, rule).residual(pair))).all()


def test_what_is_usual(compiled, by_numpy, bundle):
    now, stats, rule = records(bundle, 90, 13, 0.3), statistics(bundle, 14), ScoreRule.from_dict(bundle.score)
    past = [(records(bundle, 90, seed, 0.3), statistics(bundle, seed)) for seed in (15, 16, 17)]

    def fit(threads=1):
        models = fit_history(now, stats, past, rule, bundle.bands, OUTPUT, 3, bundle.event, threads)
        return [model.to_dict() for model in models]

    assert fit() == by_numpy(fit) == fit(2)


def test_where_a_pass_lies(compiled, by_numpy):
    rng = np.random.default_rng(18)
    for high, wide in ((2, 2), (1, 4)):
        for moved in ((0, 0), (3, -5), (-6, 6)):
            ground = rng.integers(0, 256, (4, high * 8 + 4, wide * 8 + 4), dtype=np.uint8)
            pixels = ground.repeat(4, 1).repeat(4, 2)[:, : high * 32 + 16, : wide * 32 + 16]
            past = ground[:, 2 : 2 + high * 8, 2 : 2 + wide * 8]
            around = np.pad(np.roll(pixels, moved, (1, 2)), ((0, 0), (3, 3), (3, 3)))
            pixels = around[:, 3:-3, 3:-3]  # a view, as a block of a chunk is
            mine = estimate_peak((1.0, 0.0, 0.0), pixels, past)
            assert mine == by_numpy(estimate_peak, (1.0, 0.0, 0.0), pixels, past)
            assert mine is not None
            assert np.abs(np.array(mine[1]) - moved).max() < 1.0 < SEARCH_PX


@pytest.mark.parametrize("share", [1.0, 0.4])
def test_histograms(compiled, by_numpy, share):
    rng = np.random.default_rng(20)
    dn = rng.choice(np.array([1, 2, 700, 65_534], np.uint16), (3, 64, 96))
    quality = None if share == 1.0 else rng.random((64, 96)) < share

    class Bands:
        def expect(self, windows):
            pass

        def read(self, window, out):
            out[...] = dn
            return quality

    chunks, buffer = plan_chunks(2, 3, (64, 96)), np.empty(dn.size, np.uint16)
    mine = band_histograms(Bands(), chunks, 3, [buffer])
    assert (mine == band_histograms(Bands(), chunks * 2, 3, [buffer, buffer.copy()]) / 2).all()
    assert (mine == by_numpy(band_histograms, Bands(), chunks, 3, [buffer])).all()
    assert mine.sum() == 3 * (dn[0].size if quality is None else quality.sum())


def test_what_does_not_fit_is_refused(compiled):
    from onboard.native.pixels import count_values
    from onboard.native.records import checksums

    bundle = load_bundle("s2-10")
    some = records(bundle, 8, 0)
    with pytest.raises(ValueError, match="contiguous"):
        checksums(some[::2], 100)
    with pytest.raises(ValueError, match="int32"):
        count_values(np.zeros((4, 4), np.int32), None, np.zeros(65_536, np.int64))
    rule = ScoreRule.from_dict(bundle.score)
    stats = statistics(bundle, 1)
    model = fit_history(records(bundle, 40, 1), stats, [(records(bundle, 40, 2), stats)], rule, bundle.bands, OUTPUT, 3)
    comparison = Comparison(model[0], rule, bundle.bands, stats, stats)
    with pytest.raises(ValueError, match="8 records against"):
        comparison.residual(Pair(some).against(some[:4]))
    usual = comparison.compiled[0]
    with pytest.raises(ValueError, match="counted for 2 looks"):
        unexplained(some, [some, some], [usual, usual], [None, None], np.ones((1, 8), bool), None)
    with pytest.raises(ValueError, match="none was asked for"):
        event = EventTest(bundle.event, bundle.bands, stats, stats, model[0].residual_map)._kernel
        unexplained(some, [some], [usual], [event], np.ones((1, 8), bool), None)


def test_a_library_of_another_processor_is_left_aside(tmp_path, monkeypatch, caplog):
    import onboard.native.library as library

    (tmp_path / library.FILE).write_bytes(b"\x7fELF of another world")
    monkeypatch.setattr(library, "__file__", str(tmp_path / "library.py"))
    kernels = library.kernels.__wrapped__
    assert kernels() is None
    assert "NumPy does their work" in caplog.text


def test_a_library_of_another_version_is_left_aside(compiled, monkeypatch, caplog):
    import onboard.native.library as library

    class Longer(library.Usual):
        _fields_ = (("more", library.c_int64),)

    monkeypatch.setattr(library, "_SIZES", library._SIZES | {"onboard_usual_size": Longer})
    assert library.kernels.__wrapped__() is None
    assert "install the package again" in caplog.text
