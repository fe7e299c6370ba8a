"""The runtime on Arm, under an emulator of the processor: its labels are this machine's. `make arm`: the long form."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import arm_labels
from benchmarks.arm_labels import DEMO, NETWORK, Job, differences, kernel_files, odd_excerpt, replay, run, verify
from benchmarks.arm_userland import ARM64, ARMHF, requirements, userland
from edge_ecg.errors import DataError
from edge_ecg.service import Program, unit
from edge_ecg.sources.virtual import EXCERPT

VERIFY = verify("rhythm", NETWORK)
REPLAY = replay(EXCERPT, "replay")


class Runs:
    """What each job printed here and on an emulated machine, by its name: all begin at once, each a process."""

    def __init__(self, pool: ThreadPoolExecutor, folder: Path) -> None:
        self.log = folder / "calls.log"
        odd, legacy = replay(odd_excerpt(folder), "odd rate"), Job("legacy", VERIFY.arguments, VERIFY.lines)
        arm64, armhf = userland(ARM64, print), userland(ARMHF, print)
        self._there = {job.name: pool.submit(run, job, arm64, self._log_of(job)) for job in (DEMO, REPLAY, VERIFY)}
        self._there |= {job.name: pool.submit(run, job, armhf) for job in (odd, legacy)}
        self._here = {job.name: pool.submit(run, job) for job in (DEMO, REPLAY, VERIFY, odd, legacy)}

    def _log_of(self, job: Job) -> Path | None:
        return self.log if job is VERIFY else None

    def both(self, name: str) -> tuple[list[str], list[str]]:
        """Lines of the emulated machine, and of this one."""
        found: Future[list[str]] = self._there[name]
        return found.result(), self._here[name].result()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, missing: Callable[[str], None]) -> Iterator[Runs]:
    """Start everything; the packages are fetched once and kept beside the training's runs."""
    with ThreadPoolExecutor(8) as pool:
        try:
            started = Runs(pool, tmp_path_factory.mktemp("arm"))
        except DataError as error:
            missing(str(error))
            return
        yield started


@pytest.mark.parametrize("name", [VERIFY.name, REPLAY.name, DEMO.name])
def test_64_bit_arm_says_what_this_machine_says(runs: Runs, name: str) -> None:
    found, expected = runs.both(name)
    assert len(expected) > 5
    assert found == expected


def test_32_bit_arm_labels_a_board_of_an_odd_rate_as_this_machine_does(runs: Runs) -> None:
    found, expected = runs.both("odd rate")
    assert len(expected) > 400
    assert found == expected


def test_32_bit_arm_takes_the_models_with_its_other_interpreter(runs: Runs) -> None:
    found, expected = runs.both("legacy")
    assert found == expected


def test_all_that_arm_reads_of_the_kernel_is_open_to_the_service(runs: Runs) -> None:
    runs.both(VERIFY.name)
    opened = kernel_files(runs.log)
    assert "/proc/cpuinfo" in opened  # else the lines below show nothing
    assert all(path.startswith(("/proc/cpuinfo", "/proc/self/", "/sys/devices/system/cpu/")) for path in opened)
    assert all("O_RDONLY" in how for how in opened.values())
    walls = unit(Program(Path("/opt/edge-ecg/bin/edge-ecg"))).splitlines()
    assert "ProtectProc=invisible" in walls  # hides other processes
    assert not any(line.startswith(("ProcSubset=", "InaccessiblePaths=")) for line in walls)


def test_each_machine_takes_its_own_interpreter() -> None:
    arm64, armhf = requirements(ARM64), requirements(ARMHF)
    assert any(line.startswith("ai-edge-litert==") for line in arm64)
    assert any(line.startswith("tflite-runtime==") for line in armhf)
    assert not any(line.startswith(("numpy", "ai-edge")) for line in armhf)


def test_no_emulator_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match=r"qemu-aarch64-static is not here\. Install qemu-user-static"):
        userland(ARM64)


def test_no_network_is_said_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, text in (("qemu-arm-static", ""), ("apt-get", "echo 'E: Temporary failure resolving' >&2; exit 100")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("EDGE_ECG_RUNS", str(tmp_path / "runs"))
    with pytest.raises(DataError, match=r"E: Temporary failure resolving\. The first time needs|this is not Debian 12"):
        userland(ARMHF)
    assert not list((tmp_path / "runs" / "arm").iterdir())


def test_files_of_the_kernel_are_read_from_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        '12 openat(AT_FDCWD,"/proc/cpuinfo",O_RDONLY) = 5\n12 openat(AT_FDCWD,"/usr/sys/x",O_RDONLY) = 5\n'
        '12 openat(AT_FDCWD,"/sys/devices/system/cpu/cpu3/x",O_RDWR|O_CLOEXEC) = -1 errno=2\n',
        encoding="utf-8",
    )
    assert kernel_files(log) == {"/proc/cpuinfo": "O_RDONLY", "/sys/devices/system/cpu/cpuN/x": "O_RDWR|O_CLOEXEC"}


def test_missing_and_other_lines_count() -> None:
    assert differences(["a", "b"], ["a", "b"]) == 0
    assert differences(["a", "c"], ["a", "b", "d"]) == 2


def test_the_page_tells_the_results_and_no_times() -> None:
    assert CliRunner().invoke(arm_labels.main, ["page", "--check"]).exit_code == 0
    for file in arm_labels.RESULTS.glob("emulated-*/labels.json"):
        told = json.loads(file.read_text(encoding="utf-8"))
        assert all(row["lines_compared"] > 5 for row in told["jobs"])
        assert all(row["lines_that_differ"] == 0 or "-int8" in row["job"] for row in told["jobs"])
        assert not [key for key in told if key.endswith(("_s", "_ms", "_us"))]
