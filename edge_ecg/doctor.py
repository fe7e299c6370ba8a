"""Checks of the machine: what is there, what is missing, and the next step for each."""

from __future__ import annotations

import grp
import importlib
import os
import platform
import shutil
import sys
from collections.abc import Collection, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_ecg import config
from edge_ecg.check import Check
from edge_ecg.datasets import data_root
from edge_ecg.errors import ConfigError, EdgeEcgError
from edge_ecg.raspberry import examine_pi
from edge_ecg.readiness import examine_outputs, examine_service, nearest_folder
from edge_ecg.settings import ModelSettings

if TYPE_CHECKING:
    from edge_ecg.infer.edgetpu import Device, Probe

__all__ = [
    "Check",
    "examine",
    "judge_coral",
    "judge_disk",
    "judge_group",
    "judge_interpreter",
    "judge_models",
    "judge_python",
]

MIN_PYTHON = (3, 11)
LOW_DISK_BYTES = 500_000_000
FULL_DISK_BYTES = 10_000_000
BOARD_FILE = Path("/proc/device-tree/model")
SERIAL_GROUP = "dialout"


def examine(config_path: Path | None = None) -> list[Check]:
    """Look at this machine and return every finding, worst or not, in a fixed order.

    Parameters
    ----------
    config_path
        Settings file, as of `edge_ecg.config.load`.
    """
    data = data_root()
    settings, loaded = _settings(config_path)
    return [
        judge_python(sys.version_info[:3]),
        _machine(),
        judge_interpreter(_installed("ai_edge_litert"), _installed("tflite_runtime"), version("numpy")),
        Check("numpy", "ok", version("numpy")),
        _ports(),
        judge_group(*_serial_rights()),
        _models(),
        _detector(),
        *_coral(),
        settings,
        *([] if loaded is None else [_model(loaded.settings.model), *examine_outputs(loaded.settings)]),
        examine_service(),
        *examine_pi(None if loaded is None else loaded.settings.link.port),
        _data(data),
        judge_disk(data, shutil.disk_usage(nearest_folder(data)).free),
    ]


def judge_python(found: tuple[int, ...]) -> Check:
    """Judge a Python version tuple."""
    text = ".".join(map(str, found))
    if found < MIN_PYTHON:
        return Check("python", "fail", text, "Install Python 3.11 or newer (Raspberry Pi OS Bookworm has it)")
    return Check("python", "ok", text)


def judge_interpreter(litert: str | None, tflite: str | None, numpy: str) -> Check:
    """Judge which TensorFlow Lite interpreter there is, by the versions installed (None: absent)."""
    name = "interpreter"
    if litert:
        return Check(name, "ok", f"ai-edge-litert {litert}")
    if not tflite:
        return Check(name, "fail", "neither ai-edge-litert nor tflite-runtime", "pip install ai-edge-litert")
    # It imports with numpy 2, and dies when the first model is loaded (_ARRAY_API not found).
    if int(numpy.partition(".")[0]) >= 2:
        return Check(
            name, "fail", f"tflite-runtime {tflite} breaks with numpy {numpy}", 'pip install "numpy<2"'
        )
    return Check(name, "ok", f"tflite-runtime {tflite}")


def judge_group(user: str, groups: Collection[str], members: Collection[str], is_root: bool) -> Check:
    """Judge the right to open serial ports: groups of this session, and members of the serial group."""
    name = "serial rights"
    if is_root:
        return Check(name, "ok", "root may open every port")
    if SERIAL_GROUP in groups:
        return Check(name, "ok", f"{user} is in group {SERIAL_GROUP}")
    if user in members:
        return Check(
            name, "warn", f"{user} joined group {SERIAL_GROUP} after this login", "Log out and in again"
        )
    step = f"sudo usermod -aG {SERIAL_GROUP} {user}, then log in again"
    return Check(name, "warn", f"{user} is not in group {SERIAL_GROUP}", step)


def judge_models(results: Sequence[tuple[str, str | None]]) -> Check:
    """Judge the shipped models from pairs of id and problem (None: intact)."""
    bad = [f"{model}: {problem}" for model, problem in results if problem]
    if bad:
        return Check("models", "fail", "; ".join(bad), "Reinstall edge-ecg")
    if not results:
        return Check("models", "fail", "no model is shipped with this installation", "Reinstall edge-ecg")
    return Check("models", "ok", ", ".join(model for model, _ in results))


def judge_coral(library: str | None, devices: Sequence[Device], probe: Probe | None) -> Check:
    """Judge a Coral by its library, its devices, and what a child process found that tried the library (None: not)."""
    name = "coral"
    if not devices or probe is None:
        return Check(name, "warn", f"{library}, but no Edge TPU", "Plug it in; docs/coral.md says how it is seen")
    detail = f"Edge TPU at {', '.join(str(device.node) for device in devices)}"
    for device in devices:
        if not device.may_use:
            step = f"sudo usermod -aG {device.group} $USER, then log in again"
            return Check(name, "warn", f"{detail}, which this user may not open", step)
    if not probe.ok:
        return Check(name, "warn", f"{detail}; {probe.what}", "See docs/coral.md; models run on the CPU meanwhile")
    return Check(name, "ok", f"{detail}; {probe.what}")


def judge_disk(place: Path, free_bytes: int) -> Check:
    """Judge the free space where data are kept; a day of one lead takes about 90 MB."""
    detail = f"{free_bytes / 1e9:.1f} GB free at {nearest_folder(place)}"
    if free_bytes < FULL_DISK_BYTES:
        return Check("disk", "fail", detail, "Free some space: nothing can be recorded")
    if free_bytes < LOW_DISK_BYTES:
        return Check("disk", "warn", detail, "Free some space before a long recording")
    return Check("disk", "ok", detail)


def _machine() -> Check:
    try:
        board = BOARD_FILE.read_text(encoding="utf-8", errors="replace").rstrip("\0\n")
    except OSError:
        board = "no board name (not a Raspberry Pi or the like)"
    return Check("machine", "ok", f"{platform.system()} {platform.machine()}, {board}")


def _installed(module: str) -> str | None:
    """Return the version of a package that can be found, without importing it."""
    if find_spec(module) is None:
        return None
    try:
        return version(module.replace("_", "-"))
    except PackageNotFoundError:
        return "(version unknown)"


def _ports() -> Check:
    from serial.tools.list_ports import comports

    ports = sorted(port.device for port in comports())
    if not ports:
        return Check("serial ports", "warn", "none", "Plug the board in; `edge-ecg simulate` needs none")
    return Check("serial ports", "ok", ", ".join(ports))


def _serial_rights() -> tuple[str, set[str], set[str], bool]:
    names = {entry.gr_name: entry for entry in grp.getgrall()}
    held = {*os.getgroups(), os.getgid()}
    groups = {name for name, entry in names.items() if entry.gr_gid in held}
    members = set(names[SERIAL_GROUP].gr_mem) if SERIAL_GROUP in names else set()
    user = os.environ.get("USER") or os.environ.get("LOGNAME") or f"user {os.getuid()}"
    return user, groups, members, os.geteuid() == 0


def _models() -> Check:
    try:
        # Any: the module is loaded here only, so that a broken bundle or interpreter cannot end the doctor.
        manifest: Any = importlib.import_module("edge_ecg.manifest")
        return judge_models(manifest.verify_shipped())
    except (EdgeEcgError, OSError, ImportError, AttributeError) as error:
        return Check("models", "fail", f"cannot be verified: {error}", "Reinstall edge-ecg")


def _detector() -> Check:
    try:
        detector: Any = importlib.import_module("edge_ecg.detector")
        manifest = detector.load_detector(detector.SHIPPED)[1]
    except EdgeEcgError as error:
        return Check("beat detector", "fail", error.message, "Reinstall edge-ecg")
    except (OSError, ImportError, AttributeError) as error:
        return Check("beat detector", "fail", f"cannot be loaded: {error}", "Reinstall edge-ecg")
    return Check("beat detector", "ok", f"weights {manifest.sha256[:12]}")


def _coral() -> list[Check]:
    """Judge a Coral; nothing where there is none, as on most machines."""
    try:
        edgetpu: Any = importlib.import_module("edge_ecg.infer.edgetpu")
        library, devices = edgetpu.find_library(), edgetpu.devices()
        if library is None and not devices:
            return []
        manifest: Any = importlib.import_module("edge_ecg.manifest")
        network = next(iter(manifest.shipped_ids("network")), "")
        probe = edgetpu.probe(manifest.load_bundle(network).model, library, found=devices) if devices else None
    except (EdgeEcgError, OSError, ImportError) as error:
        return [Check("coral", "warn", f"cannot be examined: {error}", "See docs/coral.md")]
    return [judge_coral(library, devices, probe)]


def _settings(config_path: Path | None) -> tuple[Check, config.Loaded | None]:
    """Judge the settings in force; None instead of them when they cannot be read."""
    try:
        loaded = config.load(config_path=config_path)
    except ConfigError as error:
        return Check("settings", "fail", error.message, error.hint), None
    names = sorted({o.removeprefix("environment ") for o in loaded.origins.values() if o.startswith("environment ")})
    if loaded.file:
        names.insert(0, str(loaded.file))
    return Check("settings", "ok", ", ".join(names) or "no file, defaults"), loaded


def _model(settings: ModelSettings) -> Check:
    """Load the model that the settings name, as `run` would."""
    name = settings.id
    try:
        infer: Any = importlib.import_module("edge_ecg.infer")
        classifier = infer.open_classifier(name, operating_point=settings.operating_point)
    except EdgeEcgError as error:
        return Check("model in use", "fail", error.message, error.hint)
    except (OSError, ImportError, ValueError, AttributeError) as error:
        return Check("model in use", "fail", f"{name} cannot be loaded: {error}", "Reinstall edge-ecg")
    if classifier.remark:
        return Check("model in use", "warn", f"{name}: {classifier.remark}", "See docs/coral.md")
    return Check("model in use", "ok", name)


def _data(place: Path) -> Check:
    if place.is_dir():
        return Check("data", "ok", str(place))
    if os.environ.get("EDGE_ECG_DATA"):
        return Check("data", "warn", f"EDGE_ECG_DATA is no directory: {place}", "Correct it or unset it")
    return Check("data", "ok", f"no databases at {place} (only training needs them)")
