"""The three services of docker/compose.yaml as processes on loopback: the scripts are the ones that the images run."""

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenes import three_passes

DOCKER = Path(__file__).parents[2] / "docker"
COMMANDS = {
    "onboard-detect": "from onboard.cli.detect import main; import sys; sys.exit(main())",
    "onboard-downlink": "from onboard.cli.downlink import main; import sys; sys.exit(main())",
    "ground": "from ground.cli import app; app()",
}


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture
def environment(tmp_path):
    """The commands as an image has them, and the folders that it mounts."""
    (tmp_path / "bin").mkdir()
    for name, code in COMMANDS.items():
        script = tmp_path / "bin" / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}" "$@"\n')
        script.chmod(0o755)
    repository = str(DOCKER.parent)
    return {
        **os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": repository,
        "KEY": str(tmp_path / "link.key"), "DATA": str(tmp_path / "data"), "ARCHIVE": str(tmp_path / "archive"),
    }  # fmt: skip


def test_a_pass_over_a_bad_link_ends_with_every_product_in_the_archive(tmp_path, environment):
    ground, link = free_port(), free_port()
    station = subprocess.Popen(
        ["sh", DOCKER / "ground.sh"], env=environment | {"LISTEN": f"127.0.0.1:{ground}", "IDLE": "120"}
    )
    relay = subprocess.Popen(
        [
            sys.executable,
            DOCKER / "link.py",
            "--listen",
            f"127.0.0.1:{link}",
            "--to",
            f"127.0.0.1:{ground}",
            "--seed",
            "3",
        ]
    )
    try:
        scene = three_passes(tmp_path / "in", cell=(2, 5))
        settings = {"TO": f"127.0.0.1:{link}", "STREAM": str(scene), "BUDGET_MB": "0.05"}
        done = subprocess.run(
            ["sh", DOCKER / "satellite.sh"], env=environment | settings, capture_output=True, text=True, timeout=120
        )
    finally:
        for process in (relay, station):
            process.terminate()
            process.wait(30)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "everything is confirmed" in done.stderr
    queued = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / "data/products").glob("*.obp")}
    archived = {path.stem for path in (tmp_path / "archive/products").glob("*/*.obp")}
    assert queued and queued == archived
    assert (tmp_path / "link.key").stat().st_mode & 0o077 == 0


def test_the_relay_loses_about_what_it_is_told_to(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCKER))
    import random

    from link import Relay

    relay = Relay(random.Random(1), 0.2, 0.0, 0.0, 0.01)
    for number in range(2000):
        relay.launch(0.0, True, number.to_bytes(2, "big"))
    landed = relay.land(1.0)
    assert 0.15 < relay.lost / 2000 < 0.25
    assert len(landed) == 2000 - relay.lost
    assert [data for _, data in landed] != sorted(data for _, data in landed)  # some overtake others
    relay = Relay(random.Random(2), 0.0, 1.0, 1.0, 0.0)
    relay.launch(0.0, False, bytes(8))
    assert len(relay.land(1.0)) == 2 and all(data != bytes(8) for _, data in relay.land(2.0))


def test_what_the_images_copy_is_there_and_let_through():
    ignore = (DOCKER.parent / ".dockerignore").read_text().splitlines()
    for path in DOCKER.glob("*.Dockerfile"):
        text = path.read_text()
        assert "HEALTHCHECK" in text and re.search(r"^USER 10001", text, re.M), path.name
        for names in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M):
            for name in names.split():
                assert (DOCKER.parent / name).exists(), (path.name, name)
                assert f"!{name}" in ignore, (path.name, name)


def test_the_health_of_a_flight_image_is_a_model_that_loads():
    (words,) = re.findall(r"^    CMD (\[\"python\".*\])$", (DOCKER / "flight.Dockerfile").read_text(), re.M)
    command = json.loads(words)
    subprocess.run([sys.executable, *command[1:]], check=True, cwd=DOCKER.parent)
