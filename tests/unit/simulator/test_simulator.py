"""The simulator's own parts, without qemu: the initramfs, the comparison, what is said where a tool is absent."""

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

SIMULATOR = Path(__file__).parents[3] / "docker" / "simulator"


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    """The scripts import each other by name, as they do when they are called."""
    monkeypatch.syspath_prepend(str(SIMULATOR))


def test_modules_come_after_what_they_need(tmp_path):
    import initramfs

    folder = tmp_path / "lib/modules/6.1"
    folder.mkdir(parents=True)
    lines = [f"kernel/{name}.ko:" for name in ("crc32c_generic", "virtio_pci", "virtio_blk", "bcm2835", "bcm2835_wdt")]
    lines += ["kernel/ext4.ko: kernel/mbcache.ko kernel/jbd2.ko kernel/crc16.ko", "kernel/jbd2.ko:", "kernel/crc16.ko:"]
    lines += ["kernel/mbcache.ko:", "kernel/sdhci-iproc.ko: kernel/sdhci-pltfm.ko kernel/sdhci.ko"]
    lines += ["kernel/sdhci-pltfm.ko: kernel/sdhci.ko", "kernel/sdhci.ko:"]
    (folder / "modules.dep").write_text("\n".join(lines))
    order = [path.name for path in initramfs.in_order(folder)]
    assert order.index("ext4.ko") > max(order.index(name) for name in ("jbd2.ko", "crc16.ko", "mbcache.ko"))
    assert order.index("sdhci.ko") < order.index("sdhci-pltfm.ko") < order.index("sdhci-iproc.ko")
    assert len(order) == len(set(order)) == 12


def test_the_initramfs_is_a_newc_archive_and_the_same_every_time(tmp_path):
    import initramfs

    archive = initramfs.cpio([("init", 0o100755, b"#!/bin/sh\n", 0), ("bin", 0o040755, b"", 0)])
    assert archive[:6] == b"070701"
    assert len(archive) % 4 == 0
    assert b"TRAILER!!!" in archive
    assert archive == initramfs.cpio([("init", 0o100755, b"#!/bin/sh\n", 0), ("bin", 0o040755, b"", 0)])
    assert int(archive[54:62], 16) == len(b"#!/bin/sh\n")  # the field of the size
    gzip.compress(archive, mtime=0)


def test_one_differing_bit_is_a_difference():
    import quick

    here = {"latents": {"s2-10": "aa"}, "scores": {"1": "3f800000"}, "products": {"g1": "00"}}
    there = {"latents": {"s2-10": "aa"}, "scores": {"1": "3f800001"}, "products": {"g1": "00", "g2": "00"}}
    assert quick.differences(here, here) == []
    assert quick.differences(here, there) == ["scores 1", "products g2"]


def test_an_absent_tool_is_named_with_the_line_that_installs_it():
    done = subprocess.run(
        [sys.executable, SIMULATOR / "host.py", "qemu-aarch64", "mmdebstrap"], capture_output=True, text=True,
        env={"PATH": "/nonexistent"},
    )  # fmt: skip
    if done.returncode:  # mmdebstrap may lie where a user's PATH does not reach
        assert "qemu-aarch64" in done.stdout
        assert "sudo apt-get install --no-install-recommends" in done.stdout
        assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize("line", ["Kernel panic - not syncing: VFS", "SIM-FAIL no partition", "silence", "half"])
def test_a_panic_a_failure_a_hang_and_an_early_end_are_errors(tmp_path, monkeypatch, line):
    import boot
    from host import SimulatorError

    monkeypatch.setattr(boot, "SILENCE_S", 1)
    script = "sleep 30" if line == "silence" else f"echo '{line}'; " + ("" if line == "half" else "sleep 30")
    with pytest.raises(SimulatorError, match="hangs" if line == "silence" else "stopped" if line == "half" else line):
        boot.watch(["/bin/sh", "-c", script], tmp_path / "console.log", 10)


@pytest.mark.parametrize("code", [0, 3])
def test_the_exit_code_of_the_run_in_the_guest_counts(tmp_path, code):
    import boot
    from host import SimulatorError

    machine = ["/bin/sh", "-c", f"echo 'SIM-END {code}'"]
    if code:
        with pytest.raises(SimulatorError, match="ended with 3 in the guest"):
            boot.watch(machine, tmp_path / "console.log", 10)
    else:
        boot.watch(machine, tmp_path / "console.log", 10)


def test_the_limit_in_time_holds_even_while_the_machine_talks(tmp_path):
    import boot
    from host import SimulatorError

    with pytest.raises(SimulatorError, match="hangs"):
        boot.watch(["/bin/sh", "-c", "while :; do echo x; sleep 0.1; done"], tmp_path / "console.log", 1)


def test_the_stream_reads_as_three_passes_of_ten_bands(tmp_path):
    import stream

    from onboard.sense.stream import open_stream

    stream.write("sim:7?size=64&passes=2", tmp_path)
    found = open_stream(str(tmp_path))
    assert not found.refused
    assert [len(one.bands) >= 10 for one in found.acquisitions] == [True, True]
