"""CFDP class 1 over UDP into the receiver of an independent implementation (cfdp-py)."""

import json
import socket
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from cfdppy.handler.dest import DestHandler
from cfdppy.mib import (
    CheckTimerProvider,
    DefaultFaultHandlerBase,
    IndicationConfig,
    LocalEntityConfig,
    RemoteEntityConfig,
    RemoteEntityConfigTable,
)
from cfdppy.user import CfdpUserBase
from spacepackets.cfdp import ChecksumType, ConditionCode, TransmissionMode
from spacepackets.cfdp.pdu import PduFactory
from spacepackets.countdown import Countdown
from spacepackets.util import ByteFieldU16

from onboard.cli.downlink import main
from onboard.store import Store
from tests.e2e.test_downlink import PAYLOADS, SHAS, folder  # noqa: F401 - a fixture


class User(CfdpUserBase):
    """Remembers how each file ended."""

    def __init__(self):
        super().__init__()
        self.ended = []

    def transaction_finished_indication(self, params):
        self.ended.append(params.finished_params.condition_code)

    def transaction_indication(self, params): ...
    def eof_sent_indication(self, transaction_id): ...
    def metadata_recv_indication(self, params): ...
    def file_segment_recv_indication(self, params): ...
    def report_indication(self, transaction_id, status_report): ...
    def suspended_indication(self, transaction_id, cond_code): ...
    def resumed_indication(self, transaction_id, progress): ...
    def fault_indication(self, transaction_id, cond_code, progress): ...
    def abandoned_indication(self, transaction_id, cond_code, progress): ...
    def eof_recv_indication(self, transaction_id): ...


class Faults(DefaultFaultHandlerBase):
    def notice_of_suspension_cb(self, transaction_id, cond, progress): ...
    def notice_of_cancellation_cb(self, transaction_id, cond, progress): ...
    def abandoned_cb(self, transaction_id, cond, progress): ...
    def ignore_cb(self, transaction_id, cond, progress): ...


class Timers(CheckTimerProvider):
    def provide_check_timer(self, local_entity_id, remote_entity_id, entity_type):
        return Countdown(timedelta(seconds=1))


class CfdpStation:
    """cfdp-py's receiver behind a UDP socket; the working folder is where files go."""

    def __enter__(self):
        self.user, self._over = User(), threading.Event()
        remote = RemoteEntityConfig(
            entity_id=ByteFieldU16(1), max_file_segment_len=1024, max_packet_len=2048, closure_requested=False,
            crc_on_transmission=True, default_transmission_mode=TransmissionMode.UNACKNOWLEDGED,
            crc_type=ChecksumType.CRC_32,
        )  # fmt: skip
        local = LocalEntityConfig(ByteFieldU16(2), IndicationConfig(), Faults())
        self._handler = DestHandler(local, self.user, RemoteEntityConfigTable([remote]), Timers())
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.2)
        self.at = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._over.set()
        self._thread.join()
        self._socket.close()

    def _serve(self):
        while True:
            try:
                datagram = self._socket.recv(2048)
            except TimeoutError:
                if self._over.is_set():
                    return
                continue
            self._handler.state_machine(PduFactory.from_raw(datagram))


@pytest.fixture
def in_it(tmp_path, monkeypatch):
    (tmp_path / "files").mkdir()
    monkeypatch.chdir(tmp_path / "files")
    return tmp_path / "files"


def send(folder, at, capsys, *args):  # noqa: F811
    code = main(["--to", at, "--store", str(folder / "store"), "--rate", "4000000", "--cfdp", "1:2", "--json", *args])
    return code, json.loads(capsys.readouterr().out)


def test_the_queue_arrives_as_files(folder, in_it, capsys):  # noqa: F811
    with CfdpStation() as station:
        code, told = send(folder, station.at, capsys, "--pass-bytes", "20000")
        assert code == 3 and 0 < told["sent"] < told["due"] == len(PAYLOADS) and told["bytes"] <= 20_000
        code, rest = send(folder, station.at, capsys, "--pass-bytes", "1000000")
        assert code == 0 and told["sent"] + rest["sent"] == len(PAYLOADS)  # nothing is sent twice
        assert send(folder, station.at, capsys, "--pass-bytes", "1000000")[0] == 4
    assert station.user.ended == [ConditionCode.NO_ERROR] * len(PAYLOADS)
    assert {path.stem: path.read_bytes() for path in Path().glob("*.obp")} == SHAS
    with Store(folder / "store") as store:
        assert len(store.queue.items()) == len(PAYLOADS)  # and nothing is called delivered


def test_options_that_contradict_are_one_clear_line(folder, capsys):  # noqa: F811
    args = ["--to", "127.0.0.1:1", "--store", str(folder / "store"), "--pass-bytes", "9", "--cfdp"]
    assert main([*args, "1:2", "--key", str(folder / "key")]) == 2
    assert "no way back" in capsys.readouterr().err
    for wrong in ("1", "1:70000", "x:y"):
        with pytest.raises(SystemExit):
            main([*args, wrong])
