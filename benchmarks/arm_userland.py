"""Debian's Arm userland on this machine: what a Raspberry Pi has installed, run by an emulator of the processor alone.

qemu-user runs Arm programs on this kernel: no root file system, no image, no root rights. It proves what a program
does, and says nothing about how fast.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_ecg.errors import DataError
from train.window_set import runs_root

__all__ = ["ARM64", "ARMHF", "MACHINES", "Machine", "Userland", "requirements", "userland"]

ROOT = Path(__file__).resolve().parents[1]
RELEASE = "bookworm"
SOURCES = ("sources.list", "sources.list.d/debian.sources")
LAYOUT = 1
"""Raised when what lies in the folder of a userland changes."""

BASE = (
    "libc6", "libgcc-s1", "libstdc++6", "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib",
    "zlib1g", "libexpat1", "libffi8", "libbz2-1.0", "liblzma5", "libuuid1", "libssl3",
)  # fmt: skip
NUMPY = ("python3-numpy", "libblas3", "liblapack3", "libgfortran5")

CORE = """\
processor\t: {core}
BogoMIPS\t: 108.00
Features\t: {features}
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

"""


@dataclass(frozen=True, slots=True)
class Machine:
    """A kind of Arm machine.

    Attributes
    ----------
    name
        Debian's name of it.
    uname
        What its kernel calls it, by which `pyproject.toml` chooses packages.
    triplet
        Names its library folders.
    qemu
        The emulator with its options.
    debs
        Debian's packages that the runtime stands on.
    from_debian
        Packages of the runtime that Debian supplies: the package index has no wheel of them.
    wheels
        Platforms whose wheels it takes.
    features
        As its /proc/cpuinfo lists them.
    most_other
        Share of a network's labels that may be others than here: its interpreter rounds otherwise.
    """

    name: str
    uname: str
    triplet: str
    qemu: tuple[str, ...]
    debs: tuple[str, ...]
    from_debian: tuple[str, ...]
    wheels: tuple[str, ...]
    features: str
    most_other: float = 0.0


ARM64 = Machine(
    "arm64", "aarch64", "aarch64-linux-gnu", ("qemu-aarch64-static", "-cpu", "cortex-a72"), BASE, (),
    ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64"), "fp asimd evtstrm crc32 cpuid",
)  # fmt: skip
"""A Pi 4 under 64-bit Raspberry Pi OS."""
ARMHF = Machine(
    "armhf", "armv7l", "arm-linux-gnueabihf", ("qemu-arm-static", "-cpu", "cortex-a7"), BASE + NUMPY, ("numpy",),
    ("manylinux_2_34_armv7l", "manylinux2014_armv7l"), "half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt",
    most_other=0.01,
)  # fmt: skip
"""A Pi under 32-bit Raspberry Pi OS; the index has no numpy for it."""
MACHINES = {machine.name: machine for machine in (ARM64, ARMHF)}


@dataclass(frozen=True, slots=True)
class Userland:
    """A machine's files on this one: ``root`` as Debian unpacks them, ``site`` the wheels."""

    machine: Machine
    folder: Path

    @property
    def versions(self) -> dict[str, str]:
        """Version of each Debian package and wheel."""
        told: dict[str, str] = json.loads((self.folder / "versions.json").read_text(encoding="utf-8"))
        return told

    def command(self, *arguments: str, log: Path | None = None) -> list[str]:
        """What runs Python with these arguments; with ``log`` its system calls are written there."""
        root, libraries = self.folder / "root", self.folder / "root" / "usr" / "lib"
        paths = ":".join(str(libraries / self.machine.triplet / name) for name in ("blas", "lapack"))
        traced = [] if log is None else ["-strace", "-D", str(log)]
        return [
            *self.machine.qemu, *traced, "-L", str(root), "-E", f"LD_LIBRARY_PATH={paths}",
            str(root / "usr" / "bin" / "python3.11"), *arguments,
        ]  # fmt: skip

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """Variables of such a program: ``given`` without what is for this machine's Python, this checkout first."""
        kept = {k: v for k, v in given.items() if not k.startswith(("EDGE_ECG", "PYTHON", "LD_"))}
        debian = self.folder / "root" / "usr" / "lib" / "python3" / "dist-packages"
        return kept | {"PYTHONPATH": f"{ROOT}:{self.folder / 'site'}:{debian}"}


def requirements(machine: Machine) -> list[str]:
    """What `pip install` of this checkout takes on a machine, but for what Debian supplies."""
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    of_machine = {"platform_machine": machine.uname, "python_version": "3.11", "python_full_version": "3.11.2"}
    found = [Requirement(line) for line in project["dependencies"]]
    wanted = [r for r in found if r.marker is None or r.marker.evaluate(of_machine)]
    return [f"{r.name}{r.specifier}" for r in wanted if r.name not in machine.from_debian]


def userland(machine: Machine, tell: Callable[[str], None] = lambda line: None) -> Userland:
    """A machine's files, fetched now or earlier; kept in `EDGE_ECG_RUNS`, else in the user's cache (150 MB each).

    Parameters
    ----------
    tell
        Takes lines about what goes on, when something must be fetched.

    Raises
    ------
    DataError
        There is no emulator, this is not the Debian whose packages are needed, or they cannot be fetched.
    """
    if shutil.which(machine.qemu[0]) is None:
        raise DataError(f"{machine.qemu[0]} is not here", "Install qemu-user-static, or let `make ci-deps` do it")
    wanted = requirements(machine)
    key = hashlib.sha256(repr((LAYOUT, machine, wanted)).encode()).hexdigest()[:12]
    folder = runs_root() / "arm" / f"{machine.name}-{key}"
    if folder.is_dir():
        return Userland(machine, folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{machine.name}-") as made:
        _build(machine, wanted, Path(made) / "new", tell)
        try:
            (Path(made) / "new").rename(folder)
        except OSError:  # another one was faster
            if not folder.is_dir():
                raise
    return Userland(machine, folder)


def _build(machine: Machine, wanted: Sequence[str], folder: Path, tell: Callable[[str], None]) -> None:
    root, site, debs, wheels = (folder / name for name in ("root", "site", "debs", "wheels"))
    for place in (root, site, debs, wheels):
        place.mkdir(parents=True)
    tell(f"{machine.name}: {len(machine.debs)} packages of Debian ...")
    _fetch_debs(machine, debs, folder / "apt")
    for deb in debs.glob("*.deb"):
        _run(["dpkg", "-x", str(deb), str(root)], "cannot unpack Debian's packages")
    tell(f"{machine.name}: wheels of {', '.join(wanted)} ...")
    platforms = [word for name in machine.wheels for word in ("--platform", name)]
    # The index has no numpy here, so pip must not ask for what depends on it.
    alone = ["--no-deps"] if machine.from_debian else []
    _run(
        [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "-d", str(wheels),
         "--python-version", "3.11", "--only-binary=:all:", *platforms, *alone, *wanted],
        f"cannot fetch wheels for {machine.name}",
    )  # fmt: skip
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(site)
    names = [file.name.split("_") for file in debs.glob("*.deb")]
    names += [file.name.split("-") for file in wheels.glob("*.whl")]
    versions = {words[0]: words[1].replace("%3a", ":") for words in sorted(names)}
    (folder / "versions.json").write_text(json.dumps(versions, indent=1) + "\n", encoding="utf-8")
    _pretend(machine, root)
    for place in (debs, wheels, folder / "apt"):
        shutil.rmtree(place)


def _fetch_debs(machine: Machine, debs: Path, apt: Path) -> None:
    """By this machine's sources, with lists and a cache of our own: nothing of its own apt is touched."""
    release = Path("/etc/os-release")
    if f"VERSION_CODENAME={RELEASE}\n" not in (release.read_text(encoding="utf-8") if release.exists() else ""):
        raise DataError("this is not Debian 12, from whose sources the Arm packages come", "Try it in a Debian 12")
    for name in ("sources.list.d", "lists/partial", "cache/archives/partial"):
        (apt / name).mkdir(parents=True)
    for name in SOURCES:
        file = Path("/etc/apt") / name
        (apt / name).write_text(file.read_text(encoding="utf-8") if file.exists() else "", encoding="utf-8")
    (apt / "status").touch()
    options = {
        "APT::Architecture": machine.name, "APT::Architectures": machine.name, "APT::Sandbox::User": "root",
        "Acquire::Languages": "none", "Dir::Cache": apt / "cache", "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": apt / "sources.list.d", "Dir::State::lists": apt / "lists",
        "Dir::State::status": apt / "status",
    }  # fmt: skip
    words = ["apt-get", "-qq", *(f"-o{key}={value}" for key, value in options.items())]
    # One list that cannot be had (security, on a mirror that is behind) leaves the others.
    subprocess.run([*words, "update"], capture_output=True, check=False)
    _run([*words, "download", *machine.debs], f"cannot fetch Debian's packages for {machine.name}", cwd=debs)


def _pretend(machine: Machine, root: Path) -> None:
    """What the kernel of a Pi 4 tells; the emulator looks here first, and ai-edge-litert wants a processor it knows."""
    cores = "".join(CORE.format(core=core, features=machine.features) for core in range(4))
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc" / "cpuinfo").write_text(cores, encoding="utf-8")
    cpus = root / "sys" / "devices" / "system" / "cpu"
    cpus.mkdir(parents=True)
    for name in ("possible", "present", "online"):
        (cpus / name).write_text("0-3\n", encoding="utf-8")


def _run(command: list[str], problem: str, cwd: Path | None = None) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=dict(os.environ))
    except FileNotFoundError:
        raise DataError(f"{problem}: no {command[0]} here", "Try it in a Debian 12") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if not line.startswith("W")]
        raise DataError(f"{problem}: {said[-1] if said else 'no reason told'}", "The first time needs a network")
