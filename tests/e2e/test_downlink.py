"""The two commands over real sockets on loopback, from a queue in a store to files in an archive."""

import hashlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time

import pystac
import pytest
import rasterio
from rasterio.windows import Window
from typer.main import get_command

from benchmarks.queued import coded, fill, products
from ground.cli.receive import app
from ground.receive.archive import Archive
from ground.receive.inbox import Inbox
from ground.receive.outbox import Outbox
from ground.receive.receiver import Receiver
from ground.receive.udp import listen, serve
from onboard.cli.detect import main as detect
from onboard.cli.downlink import main
from onboard.downlink.ladder import Rung
from onboard.downlink.product import decode, encode
from onboard.store import Store
from tests.scenes import three_passes

PAYLOADS = coded(6)
SHAS = {hashlib.sha256(payload).hexdigest(): payload for payload in PAYLOADS}
KEY = bytes.fromhex("ab" * 32)
QUICK = ["--rate", "20000000", "--pass-bytes", "10000000"]


@pytest.fixture
def folder(tmp_path):
    fill(tmp_path / "store", PAYLOADS)
    (tmp_path / "key").write_text("ab" * 32)
    (tmp_path / "key").chmod(0o600)
    return tmp_path


GROUND = "from ground.cli import app; app()"


class Station:
    """A receiving station in a thread, for as long as the block lasts."""

    def __init__(self, folder, key=KEY):
        self._folder, self._key, self._over = folder, key, threading.Event()

    def __enter__(self):
        self.archive = Archive(self._folder / "archive")
        self.inbox = Inbox(self._folder / "inbox.sqlite")
        self.outbox = Outbox(self._folder / "archive")
        self.receiver = Receiver(self.inbox, self.archive, self._key, self.outbox, lambda: int(time.time()))
        self.socket = listen("127.0.0.1:0")
        self.at = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self._thread = threading.Thread(target=serve, args=(self.socket, self.receiver, self._over.is_set, 60.0))
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._over.set()
        self._thread.join()
        self.outbox.__exit__()
        self.socket.close()
        self.inbox.close()
        self.archive.close()


def archived(folder):
    return {path.stem: path.read_bytes() for path in (folder / "archive").glob("products/*/*.obp")}


def downlink(folder, to, *args, key=True):
    with_key = ["--key", str(folder / "key")] if key else []
    return main(["--to", to, "--store", str(folder / "store"), *QUICK, *with_key, *args])


def test_the_queue_goes_down_once(folder, capsys):
    with Station(folder) as station:
        assert downlink(folder, station.at, "--json") == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["due"], told["delivered"], told["faults"]) == (6, 6, {})
        assert downlink(folder, station.at) == 4
    assert archived(folder) == SHAS
    with Store(folder / "store") as store:
        assert store.queue.items() == []


def test_from_imagery_to_a_catalogue_whose_pixels_are_the_source(tmp_path):
    scene = three_passes(tmp_path / "in", cell=(2, 5))
    assert detect([str(scene), "--out", str(tmp_path / "out"), "--budget-mb", "0.5"]) == 0
    (tmp_path / "key").write_text("ab" * 32)
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "out/store").rename(tmp_path / "store")
    with Station(tmp_path) as station:
        assert downlink(tmp_path, station.at) == 0
    items = list(pystac.Catalog.from_file(str(tmp_path / "archive/catalog.json")).get_items(recursive=True))
    assert {item.properties["onboard:rung"] for item in items} == {"event", "scores", "thumbnail", "lossy", "lossless"}
    cells = [item for item in items if item.properties["onboard:rung"] == "lossless"]
    best = max(cells, key=lambda item: item.properties["onboard:score"])
    assert best.properties["onboard:cell"] == [2, 5]
    for item in cells:
        row, col = item.properties["onboard:cell"]
        date = f"{item.datetime:%Y%m%d}"
        with (
            rasterio.open(item.assets["data"].get_absolute_href()) as cog,
            rasterio.open(scene / f"S2_{date}.tif") as source,
        ):
            block = source.read(window=Window(col * 32, row * 32, 32, 32))
            found = {name: cog.read(i + 1) for i, name in enumerate(cog.descriptions)}
            for name, plane in zip(source.descriptions, block, strict=True):
                assert (found[name] == plane).all()


def test_small_passes_add_up_and_keep_the_rate(folder):
    with Station(folder) as station:
        codes, start = [], time.monotonic()
        while (code := downlink(folder, station.at, "--pass-bytes", "20000", "--rate", "200000")) != 4:
            codes.append(code)
            assert len(codes) < 10
    assert codes == [3, 0] or codes == [3, 3, 0]
    assert time.monotonic() - start > 0.9 * sum(map(len, PAYLOADS)) * 8 / 200_000
    assert archived(folder) == SHAS


def test_a_pass_of_a_profile_has_its_bytes(folder):
    (folder / "small.toml").write_text("[small]\npass_mb = 0.02\n")
    options = ["--store", str(folder / "store"), "--key", str(folder / "key"), "--profile", str(folder / "small.toml")]
    with Station(folder) as station:
        codes = []
        while (code := main(["--to", station.at, *options])) != 4:
            codes.append(code)
            assert len(codes) < 10
    assert codes == [3, 0] or codes == [3, 3, 0]
    assert archived(folder) == SHAS


def test_candidates_that_were_never_coded_are_coded_first(tmp_path, capsys):
    fill(tmp_path / "store", [encode(p, "raw") for p in products(3)], settled=False)
    with Station(tmp_path) as station:
        assert downlink(tmp_path, station.at, "--pass-bytes", "500", "--json", key=False) == 3
        assert json.loads(capsys.readouterr().out)["due"] == 1  # the first is coded, though it does not fit
        assert downlink(tmp_path, station.at, key=False) == 0
    found = archived(tmp_path)
    cells = {encode(p) for p in products(3)}
    chips = [decode(payload) for payload in set(found.values()) - cells]
    assert cells <= set(found.values())
    assert {chip.rung for chip in chips} == {Rung.LOSSY} and sum(chip.inside().sum() for chip in chips) == 3


def test_another_key_confirms_nothing(folder, capsys):
    with Station(folder, key=bytes(32)) as station:
        assert downlink(folder, station.at, "--seconds", "6", "--json") == 3
    told = json.loads(capsys.readouterr().out)
    assert told["delivered"] == 0 and told["faults"]["forged"] > 0
    assert archived(folder) == SHAS
    with Station(folder) as station:
        assert downlink(folder, station.at) == 0  # with the right key the ground only says what it has
    assert station.receiver.counts["segments"] == 0


def test_without_a_key_all_is_sent_and_nothing_confirmed(folder):
    with Station(folder, key=None) as station:
        assert downlink(folder, station.at, key=False) == 0
        deadline = time.monotonic() + 10
        while len(archived(folder)) < 6 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert archived(folder) == SHAS
    with Store(folder / "store") as store:
        assert len(store.queue.items()) == 6


def test_nobody_listens(folder):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    assert downlink(folder, f"127.0.0.1:{port}", "--seconds", "1") == 3


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--to", "nowhere", "--pass-bytes", "9"], 2, "HOST:PORT wanted"),
        (["--to", "127.0.0.1:99999", "--pass-bytes", "9"], 2, "HOST:PORT wanted"),
        (["--to", "127.0.0.1:1", "--pass-bytes", "9", "--store", "absent"], 6, "no store here"),
        (["--to", "127.0.0.1:1", "--pass-bytes", "9", "--key", "absent"], 2, "cannot be read"),
    ],
)
def test_bad_input_is_one_clear_line(tmp_path, monkeypatch, capsys, args, code, said):
    monkeypatch.chdir(tmp_path)
    assert main(args) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and said in lines[0]
    assert list(tmp_path.iterdir()) == []


def receive(*args):
    return subprocess.run([sys.executable, "-c", GROUND, "receive", *args], capture_output=True, text=True, timeout=60)


def test_bad_options_of_the_station_are_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    for args, code, said in (
        (["--listen", "x", "--archive", str(tmp_path / "a")], 2, "HOST:PORT wanted"),
        (["--listen", "127.0.0.1:0", "--archive", str(tmp_path / "file")], 6, "cannot hold an archive"),
        (["--listen", "127.0.0.1:0", "--archive", str(tmp_path / "a"), "--key", "absent"], 2, "cannot be read"),
    ):
        found = receive(*args)
        assert found.returncode == code and said in found.stderr and "Traceback" not in found.stderr


def test_real_processes_killed_on_either_side(folder):
    """SIGKILL on both sides in the middle of passes; what is acknowledged is in the archive, and all of it arrives."""
    port = _free_port()
    station_args = [
        sys.executable, "-c", GROUND, "receive", "--listen", f"127.0.0.1:{port}",
        "--archive", str(folder / "archive"), "--key", str(folder / "key"), "--idle", "60", "--json",
    ]  # fmt: skip
    sender_args = [
        sys.executable, "-m", "onboard.cli.downlink", "--to", f"127.0.0.1:{port}", "--store", str(folder / "store"),
        "--key", str(folder / "key"), "--pass-bytes", "10000000", "--rate", "200000",
    ]  # fmt: skip
    for kill_sender in (True, False, True):
        station = _start_station(station_args)
        sender = subprocess.Popen(sender_args, stderr=subprocess.DEVNULL)
        time.sleep(1.5)
        (sender if kill_sender else station).kill()
        (sender if kill_sender else station).wait()
        (station if kill_sender else sender).send_signal(signal.SIGTERM)
        (station if kill_sender else sender).wait(timeout=30)
        with Store(folder / "store") as store:
            delivered = store.state.transfers.delivered()
        assert delivered <= set(archived(folder))
    station = _start_station(station_args)
    code = subprocess.run(sender_args, capture_output=True, timeout=60).returncode
    station.send_signal(signal.SIGTERM)
    assert "products" in json.loads(station.communicate(timeout=30)[0])
    assert station.returncode == 0 and code in (0, 4)
    assert archived(folder) == SHAS


def _start_station(args):
    station = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "listening" in station.stderr.readline()
    return station


def _free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_a_second_station_on_the_same_archive_is_refused(folder):
    with Station(folder):
        found = receive("--listen", "127.0.0.1:0", "--archive", str(folder / "archive"))
    assert found.returncode == 6 and "in use" in found.stderr


def test_help_names_the_exit_codes():
    assert "Exit codes" in get_command(app).epilog
