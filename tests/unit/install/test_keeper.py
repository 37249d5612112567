"""A model that fails in flight is loaded anew or replaced; a new one takes over without a blind pass."""

import json
import shutil

import numpy as np
import pytest
import rasterio

from export import bundle as pack
from export import sign
from onboard.cli.detect import main
from onboard.cli.install import main as install_main
from onboard.errors import BundleError, ModelError
from onboard.infer import onnx
from onboard.infer.bundle import SHIPPED, TILES, load_bundle
from onboard.infer.known import SelfCheck
from onboard.infer.runtime import load_encoder
from onboard.install.install import install
from onboard.install.slots import MAX_CRASHES, TRIAL_CELLS, Slots
from onboard.keeper import Keeper, Model
from tests.scenes import changed, landscape, noisy, write_pass
from tests.unit.install.conftest import NOW

UNKNOWN_FIELD = b"\xfa\x7f\x01x"
"""A field of a protocol buffer that nobody knows: another file and hash, the same network."""
REAL = onnx.OnnxEncoder.encode


@pytest.fixture(scope="session")
def other(tmp_path_factory):
    """rgbn with another artefact of the same numbers."""
    folder = tmp_path_factory.mktemp("other") / "rgbn"
    shutil.copytree(SHIPPED / "rgbn", folder)
    path = folder / "encoder-int8.onnx"
    old = load_bundle("rgbn").artefact("onnx", "int8").sha256
    path.write_bytes(path.read_bytes() + UNKNOWN_FIELD)
    manifest = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(manifest.replace(old, pack.hashlib.sha256(path.read_bytes()).hexdigest()))
    pack.seal(folder)
    return folder


@pytest.fixture
def switched(slots, make, other, key, tmp_path):
    """Slots with version 1 confirmed and version 2, another artefact, on trial."""
    install(make(1), slots, NOW)
    slots.confirm()
    package = tmp_path / "two.obm"
    package.write_bytes(sign.build(other, key, 2, keep=("onnx-int8",)))
    install(package, slots, NOW)
    return slots


def passes(folder, count):
    """The first of four passes over a place; one cell burns before the third, another before the fourth."""
    place = landscape()
    burnt = changed(place, (2, 5))
    again = changed(burnt, (4, 1), seed=5)
    for i, dn in enumerate([place, noisy(place, 1.1, 3), noisy(burnt, 0.95, 4), noisy(again, 1.02, 6)][:count]):
        write_pass(folder, f"202301{1 + 10 * i:02d}", dn)
    return folder


def detect(stream, out, slots=None, *options):
    words = [str(stream), "--out", str(out), "--budget-mb", "0.5", *options]
    code = main(words + (["--slots", str(slots.folder)] if slots else []))
    path = out / "summary.json"
    return code, json.loads(path.read_text()) if path.exists() else None


def scores(out):
    with rasterio.open(out / "score.tif") as dataset:
        return dataset.read()


def same(a, b):
    return np.array_equal(a, b, equal_nan=True)


class TestSelfCheck:
    def test_wrong_answers_a_changed_file_and_a_lost_file(self, tmp_path, monkeypatch):
        folder = tmp_path / "rgbn"
        shutil.copytree(SHIPPED / "rgbn", folder)
        bundle = load_bundle(str(folder))
        encoder = load_encoder(bundle)
        check = SelfCheck(bundle, encoder)
        assert check.us_per_tile() > 0
        check.run()
        path = folder / "encoder-int8.onnx"
        data = path.read_bytes()
        path.write_bytes(data[:-1])
        with pytest.raises(ModelError, match="hash"):
            check.run()
        path.unlink()
        with pytest.raises(ModelError, match="cannot be read"):
            check.run()
        path.write_bytes(data)

        def one_bit(self, tiles, out):
            REAL(self, tiles, out)
            out[0, 0] ^= 1

        monkeypatch.setattr(onnx.OnnxEncoder, "encode", one_bit)
        with pytest.raises(ModelError, match="1 steps off"):
            check.run()
        with pytest.raises(ModelError, match="known answers"):
            SelfCheck(bundle, encoder)

    def test_a_bundle_without_answers_is_held_to_what_it_gave_at_first(self, tmp_path, monkeypatch):
        folder = tmp_path / "rgbn"
        shutil.copytree(SHIPPED / "rgbn", folder)
        for path in folder.glob("known-*"):
            path.unlink()
        pack.seal(folder)
        bundle = load_bundle(str(folder))
        assert TILES not in bundle.known
        check = SelfCheck(bundle, load_encoder(bundle))
        check.run()
        monkeypatch.setattr(onnx.OnnxEncoder, "encode", lambda self, tiles, out: out.fill(3))
        with pytest.raises(ModelError):
            check.run()

    def test_latents_that_are_no_numbers_are_a_fault_and_not_a_zero(self):
        bundle = load_bundle("rgbn")
        encoder = load_encoder(bundle, precision="fp32")
        tiles = np.full((1, 4, 32, 32), np.nan, np.float32)
        with pytest.raises(ModelError, match="no numbers"):
            encoder.encode(tiles, np.empty((1, 128), np.uint8))


def broken_after(calls, monkeypatch, times=1, folder=""):
    """Models loaded from `folder` give wrong latents from their n-th call on, the first `times` that are loaded."""
    seen = {}

    def encode(self, tiles, out):
        REAL(self, tiles, out)
        if folder in str(self.artefact.path):
            seen.setdefault(id(self), [len(seen), 0, self])[1] += 1
            number, count, _ = seen[id(self)]
            if number < times and count > calls:
                out ^= 0x10

    monkeypatch.setattr(onnx.OnnxEncoder, "encode", encode)


def test_a_flipped_bit_in_memory_costs_a_reload_and_not_a_score(tmp_path, monkeypatch):
    stream = passes(tmp_path / "in", 3)
    assert detect(stream, tmp_path / "clean", None, "--group-cells", "8", "--bundle", "s2-10")[0] == 0
    broken_after(4, monkeypatch)
    code, summary = detect(stream, tmp_path / "hit", None, "--group-cells", "8", "--bundle", "s2-10")
    assert code == 3
    assert summary["counters"]["model-fault"] == 1
    assert same(scores(tmp_path / "hit"), scores(tmp_path / "clean"))


def test_without_slots_a_model_that_stays_broken_ends_the_run_in_one_line(tmp_path, monkeypatch, capsys):
    stream = passes(tmp_path / "in", 2)
    broken_after(4, monkeypatch, times=99)
    assert detect(stream, tmp_path / "out", None, "--bundle", "s2-10")[0] == 5
    assert "known answers" in capsys.readouterr().err


def test_a_confirmed_model_that_stays_broken_leaves_to_the_other_slot(switched, tmp_path, monkeypatch):
    switched.confirm()
    broken_after(3, monkeypatch, times=99, folder="slots/b")
    code, summary = detect(passes(tmp_path / "in", 2), tmp_path / "out", switched)
    state = Slots(switched.folder).state
    assert code == 3
    assert (state.active, state.fallbacks, state.version("b")) == ("b", 0, 2)  # for this run only
    assert summary["bundle"]["sha256"] == load_bundle("rgbn").artefact("onnx", "int8").sha256
    assert summary["counters"]["model-fault"] >= 1


@pytest.mark.parametrize("how", ["answers", "constant"])
def test_on_trial_a_model_that_fails_falls_back_for_good_and_says_so(
    switched, tmp_path, monkeypatch, how, capsys, slots
):
    stream = passes(tmp_path / "in", 3)
    alone = tmp_path / "alone"
    assert detect(stream, alone, None, "--bundle", str(switched.path("a").resolve()))[0] == 0
    if how == "answers":
        broken_after(3, monkeypatch, times=99, folder="slots/b")
    else:

        def constant(self, tiles, out):
            REAL(self, tiles, out)
            if "slots/b" in str(self.artefact.path) and len(tiles) != 8:  # right on the known tiles
                out[...] = 7

        monkeypatch.setattr(onnx.OnnxEncoder, "encode", constant)
    code, summary = detect(stream, tmp_path / "out", switched)
    assert code == 3
    assert summary["counters"]["model-fallback"] == 1
    state = Slots(switched.folder).state
    assert (state.active, state.confirmed, state.fallbacks, state.version("b")) == ("a", True, 1, 0)
    assert ("one latent" if how == "constant" else "known answers") in state.fault
    assert same(scores(tmp_path / "out"), scores(alone))
    capsys.readouterr()
    assert install_main(["--status", "--slots", str(switched.folder)]) == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["active"], status["fallbacks"], status["last_fault"]) == ("a", 1, state.fault)


def test_runs_that_do_not_end_send_a_model_on_trial_back(switched, tmp_path, monkeypatch):
    stream = passes(tmp_path / "in", 1)
    monkeypatch.setattr("onboard.loop.Detector.detect", lambda *_: (_ for _ in ()).throw(RuntimeError("dead")))
    for n in range(MAX_CRASHES):
        assert main([str(stream), "--out", str(tmp_path / "out"), "--slots", str(switched.folder)]) == 1
        assert Slots(switched.folder).state.starts == n + 1
    monkeypatch.undo()
    code, summary = detect(stream, tmp_path / "out", switched)
    assert (code, summary["counters"]["model-fallback"]) == (3, 1)
    assert "did not end" in Slots(switched.folder).state.fault


def test_a_run_that_ends_is_counted_until_the_trial_is_over(switched, tmp_path):
    stream = passes(tmp_path / "in", 1)
    assert detect(stream, tmp_path / "out", switched)[0] == 0
    state = Slots(switched.folder).state
    assert (state.starts, state.cells, state.on_trial) == (0, 48, True)
    switched.save(state)
    switched.ended(TRIAL_CELLS)
    assert not switched.state.on_trial


@pytest.mark.parametrize("limit", ["ratio", "budget"])
def test_a_model_on_trial_that_is_too_slow_falls_back(switched, monkeypatch, limit):
    def us_per_tile(self):
        slow = "slots/b" in str(self._encoder.artefact.path)
        return 1000.0 if slow else 10.0 if limit == "ratio" else 900.0

    monkeypatch.setattr(SelfCheck, "us_per_tile", us_per_tile)
    if limit == "budget":
        real = Slots.line
        budget = {"onnx-int8": {"limit_us_per_tile": 500}}
        monkeypatch.setattr(
            "onboard.keeper.load_bundle",
            lambda name: pack_with(load_bundle(name), budget) if name.endswith("/b") else load_bundle(name),
        )
        assert real(switched)[0] == "b"
    keeper = Keeper(load_encoder, lambda: load_bundle("rgbn"), switched.folder)
    assert "slots/a" in str(keeper.current.encoder.artefact.path)
    assert "us a tile" in Slots(switched.folder).state.fault
    assert {fault.kind for fault in keeper.faults} == {"model-fault", "model-fallback"}


def pack_with(bundle, budgets):
    from dataclasses import replace

    return replace(bundle, budgets=budgets)


def test_at_a_switch_both_look_and_no_pass_is_blind(switched, tmp_path):
    before = tmp_path / "before"
    old = str(switched.path("a").resolve())
    detect(passes(tmp_path / "in", 3), before, None, "--bundle", old)  # what the old one says alone
    out = tmp_path / "out"
    two = passes(tmp_path / "two", 2)
    assert detect(two, out, None, "--bundle", old)[0] == 0
    code, summary = detect(tmp_path / "in", out, switched)
    assert (code, summary["counters"]["looked_at_by_two_models"]) == (0, 1)
    assert summary["counters"]["already_done"] == 2
    assert same(scores(out), scores(before))  # scored by the old one against its own memory
    found = json.loads((out / "detections.geojson").read_text())["features"][0]["properties"]
    assert (found["row"], found["col"]) == (2, 5)
    again = detect(tmp_path / "in", out, switched)[1]
    assert again["counters"] == {"already_done": 3}
    assert same(scores(out), scores(before))
    code, summary = detect(passes(tmp_path / "in", 4), out, switched)  # the new one alone, with what it filled
    assert (code, summary["counters"]) == (0, {"already_done": 3})
    assert np.isfinite(scores(out)[0]).all()
    found = json.loads((out / "detections.geojson").read_text())["features"]
    newest = [f["properties"] for f in found if f["properties"]["product_id"].endswith("20230131")]
    assert (newest[0]["row"], newest[0]["col"]) == (4, 1)
    names = [(f["properties"]["product_id"], f["properties"]["row"], f["properties"]["col"]) for f in found]
    assert len(set(names)) == len(names)  # nothing is queued twice


def test_an_old_model_that_fails_at_the_switch_costs_its_scores_alone(switched, tmp_path, monkeypatch):
    out = tmp_path / "out"
    detect(passes(tmp_path / "two", 2), out, None, "--bundle", str(switched.path("a").resolve()))
    real = Model.vouch

    def vouch(self, looked):
        if "slots/b" not in str(self.encoder.artefact.path):
            raise ModelError("the old one fails")
        real(self, looked)

    monkeypatch.setattr(Model, "vouch", vouch)
    code, summary = detect(passes(tmp_path / "in", 3), out, switched)
    assert (code, summary["counters"]["model-fault"]) == (3, 1)
    assert np.isnan(scores(out)[0]).all()  # a first look of the new one


def test_no_model_at_all_is_one_line(switched):
    def none():
        raise BundleError("nothing ships")

    for name in ("a", "b"):
        (switched.path(name) / "SHA256SUMS").unlink()
    with pytest.raises(BundleError, match="nothing ships"):
        Keeper(load_encoder, none, switched.folder)
