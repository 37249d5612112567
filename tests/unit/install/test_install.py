"""A package is installed, confirmed, taken back; the power goes at every writing call and a model still runs."""

import json
import os
from datetime import timedelta
from pathlib import Path

import pytest

from export import known, sign
from onboard.cli.detect import main as detect
from onboard.cli.install import main
from onboard.errors import BundleError, UsageError
from onboard.infer.bundle import SHIPPED
from onboard.infer.known import answer, run
from onboard.install.files import Files
from onboard.install.install import install
from onboard.install.slots import Slots, installed_bundle, locked
from tests.scenes import three_passes
from tests.unit.install.conftest import NOW


def test_the_same_inputs_give_the_same_bytes(make, key):
    again = sign.build(SHIPPED / "rgbn", key, 1, keep=("onnx-int8",))
    assert again == make(1).read_bytes()


def test_install_confirm_and_roll_back(slots, make):
    assert installed_bundle(slots.folder) == (None, [])
    done = install(make(1), slots, NOW)
    assert (done.slot, done.version, done.checked) == ("a", 1, ["onnx-int8"])
    with pytest.raises(UsageError, match="not confirmed"):
        install(make(2), slots, NOW)
    slots.rollback()
    assert installed_bundle(slots.folder) == (None, [])
    install(make(1), slots, NOW)
    slots.confirm()
    assert install(make(3), slots, NOW).slot == "b"
    assert Slots(slots.folder).state.active == "b"
    slots.rollback()
    assert Slots(slots.folder).state.active == "a"
    assert slots.state.version("b") == 0  # a damaged slot a leads to what ships, not to what was taken back
    with pytest.raises(UsageError, match="nothing unconfirmed"):
        slots.rollback()
    install(make(3), slots, NOW)
    slots.confirm()
    with pytest.raises(BundleError, match="version 2 is older than 3"):
        install(make(2), slots, NOW)


def test_a_damaged_slot_falls_back_to_the_other_and_then_to_what_ships(slots, make):
    install(make(1), slots, NOW)
    slots.confirm()
    install(make(2), slots, NOW)
    for slot, left in (("b", "/a/"), ("a", None)):
        path = slots.path(slot) / "encoder-int8.onnx"
        data = bytearray(path.read_bytes())
        data[1000] ^= 4
        path.write_bytes(data)
        bundle, faults = installed_bundle(slots.folder)
        assert "checksum" in faults[0]
        assert bundle is None if left is None else left in str(bundle.artefact("onnx", "int8").path)
    (slots.folder / "state.json").write_text('{"state": {}, "crc32": 1}')
    bundle, faults = installed_bundle(slots.folder)
    assert bundle is None
    assert "damaged" in faults[0]


def test_expiry_is_judged_by_the_greatest_time_ever_seen(slots, make):
    package = make(1, expires=NOW + timedelta(days=10))
    slots.see(NOW + timedelta(days=11))
    with pytest.raises(BundleError, match="expired"):
        install(package, Slots(slots.folder), NOW)  # the clock was set back


class PowerCut(BaseException):
    pass


class Cut(Files):
    """The power goes at the n-th writing call: half of a write may be there, and what was not synced is lost."""

    block = 1024

    def __init__(self, at, lose):
        self.at, self.calls, self.lose, self.unsynced = at, 0, lose, {}

    def _step(self):
        self.calls += 1
        if self.calls == self.at:
            for path in self.unsynced.values() if self.lose else ():
                if path.exists():
                    path.write_bytes(b"")
            raise PowerCut

    def write(self, path, data):
        self.path = path
        super().write(path, data)

    def write_some(self, handle, data):
        self.unsynced[handle] = self.path
        if self.calls + 1 == self.at:
            super().write_some(handle, data[: len(data) // 2])
        self._step()
        return super().write_some(handle, data)

    def sync(self, handle):
        self._step()
        super().sync(handle)
        self.unsynced.pop(handle, None)

    def rename(self, old, new):
        self._step()
        super().rename(old, new)

    def unlink(self, path):
        self._step()
        super().unlink(path)


@pytest.mark.parametrize("lose", [False, True] if os.environ.get("ONBOARD_FULL") else [None])
def test_the_power_goes_at_every_writing_call_and_a_model_still_runs(slots, make, lose, monkeypatch):
    """Old or new, whole, never neither; and the next attempt succeeds.

    What was not synced is lost at every other point; ONBOARD_FULL=1 makes each point with and without the loss.
    """
    install(make(1), slots, NOW)
    slots.confirm()
    install(make(2), slots, NOW)  # both slots are full: the third overwrites one
    slots.confirm()
    before = slots.state
    counted = Cut(0, lose)
    monkeypatch.setattr("onboard.install.answers.check", lambda *_: [])  # it writes nothing, and takes its time
    install(make(3), Slots(slots.folder, counted), NOW)
    assert counted.calls >= 200
    ran = set()
    for at in range(1, counted.calls + 1):
        slots.save(before)
        slots.save(slots.state.with_version("a", 1))
        with pytest.raises(PowerCut):
            install(make(3), Slots(slots.folder, Cut(at, at % 2 == 0 if lose is None else lose)), NOW)
        state = Slots(slots.folder).state
        bundle, faults = installed_bundle(slots.folder)
        assert bundle is not None
        assert faults == []
        assert state.version(state.active) in (2, 3)
        ran.add(state.version(state.active))
        if at % 60 == 0 or at > counted.calls - 4:
            assert run(bundle, "onnx-int8", known.known_tiles(4)).any()
    assert ran == {2, 3}
    slots.save(before)
    assert install(make(3), Slots(slots.folder), NOW).version == 3


def test_a_full_disk_leaves_the_active_slot(slots, make):
    class Full(Files):
        def write_some(self, handle, data):
            raise OSError(28, "No space left on device")

    install(make(1), slots, NOW)
    slots.confirm()
    with pytest.raises(Exception, match="no space left") as error:
        install(make(2), Slots(slots.folder, Full()), NOW)
    assert error.value.exit_code == 7
    assert installed_bundle(slots.folder)[0] is not None


def test_by_command_line_and_detect_runs_what_is_installed(slots, make, tmp_path, capsys, monkeypatch):
    folder = ["--slots", str(slots.folder)]
    assert main([str(make(1, target="sat-1")), *folder]) == 0
    assert main(["--confirm", *folder]) == 0
    assert main(["--status", *folder]) == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["active"], status["confirmed"], status["runs"], status["minimum"]) == ("a", True, "rgbn", 1)
    assert main([str(make(1, target="sat-2")), *folder]) == 5
    assert "for sat-2, this is sat-1" in capsys.readouterr().err
    assert main(["--rollback", *folder]) == 2
    assert main(["--status"]) == 2
    out = tmp_path / "out"
    assert detect([str(three_passes(tmp_path / "in")), "--out", str(out), *folder]) == 0
    assert json.loads((out / "summary.json").read_text())["bundle"]["name"] == "rgbn"
    (slots.folder / "a" / "encoder-int8.onnx").write_bytes(b"gone")
    assert detect([str(tmp_path / "in"), "--out", str(tmp_path / "again"), *folder]) == 3
    summary = json.loads((tmp_path / "again/summary.json").read_text())
    assert summary["bundle"]["name"] == "s2-10"  # what ships, and the fault is counted
    assert summary["counters"]["bundle-slot"] == 1


def test_one_installation_at_a_time_and_clear_words_without_slots(slots, make, tmp_path, capsys):
    with locked(slots.folder):
        assert main([str(make(1)), "--slots", str(slots.folder)]) == 2
    assert "another onboard-install" in capsys.readouterr().err
    assert main([str(make(1)), "--slots", str(tmp_path / "absent")]) == 2
    assert main([str(tmp_path / "absent.obm"), "--slots", str(slots.folder)]) == 5
    assert "absent.obm: cannot be read" in capsys.readouterr().err


def test_known_answers_are_run_where_the_package_will_fly(slots, make, monkeypatch):
    install(make(1), slots, NOW)
    slots.confirm()

    def other(*arguments):
        return answer(*arguments) ^ 1  # a processor that rounds in its own way

    monkeypatch.setattr("onboard.install.answers.answer", other)
    with pytest.raises(BundleError, match="known answer"):
        install(make(2), slots, NOW)
    assert Slots(slots.folder).state.active == "a"


def test_no_private_key_is_in_the_repository():
    root = Path(__file__).resolve().parents[3]
    assert not [p for p in root.rglob("*.pub") if ".git" not in p.parts]
    assert not [p for p in root.rglob("*.key") if ".git" not in p.parts]
