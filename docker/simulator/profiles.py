"""The boards that are simulated: which machine qemu plays, with which processor and memory. Numbers only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """One board.

    Attributes:
        board: what it stands for.
        machine, cpu: of qemu; raspi3b brings its own Cortex-A53.
        cores: that qemu plays, not always all of the board's.
        memory_mb: of the machine.
        limit_mb: that the run may take, everything it maps and caches included (cgroup memory.max).
        dtb: device tree on the boot partition; empty where the machine makes its own.
        console: where the kernel speaks.
    """

    board: str
    machine: str
    cpu: str
    cores: int
    memory_mb: int
    limit_mb: int
    dtb: str = ""
    console: str = "ttyAMA0"

    @property
    def virtual(self) -> bool:
        """A machine of no vendor: virtio instead of an SD card."""
        return self.machine == "virt"


PROFILES = {
    "raspi3b": Profile(
        "Raspberry Pi 3B, 1 GB", "raspi3b", "cortex-a53", 4, 1024, 384, "bcm2837-rpi-3-b.dtb", "ttyS1,115200"
    ),
    "virt-512": Profile("any board with 512 MB", "virt", "cortex-a53", 2, 512, 256),
    "pi4": Profile("Raspberry Pi 4 class, 2 GB", "virt", "cortex-a72", 2, 2048, 512),
    "pi5": Profile("Raspberry Pi 5 class, 4 GB", "virt", "cortex-a76", 2, 4096, 512),
    "orin": Profile("Jetson Orin Nano class, 4 GB, CPU alone", "virt", "cortex-a76", 2, 4096, 512),
}
"""qemu has no Cortex-A78AE: `orin` is played by the A76, which has all instructions that the wheels use."""
