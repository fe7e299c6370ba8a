"""Whether the daemon could start: its port, the folders and secrets of its outputs, and its service."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from edge_ecg import config, service, systemd
from edge_ecg.check import Check
from edge_ecg.errors import ConfigError
from edge_ecg.settings import Settings

__all__ = [
    "examine_outputs",
    "examine_service",
    "judge_board_port",
    "judge_page",
    "judge_recordings",
    "judge_secret",
    "judge_service",
    "nearest_folder",
]


def examine_outputs(settings: Settings) -> list[Check]:
    """Look at what the settings name: the board's port, and what the outputs that are on need."""
    checks = []
    if settings.link.port is not None:
        checks.append(judge_board_port(settings.link.port, os.path.exists(settings.link.port)))
    if settings.recording.folder is not None:
        checks.append(_recordings(Path(settings.recording.folder), settings.recording.min_free_gb))
    mqtt, web = settings.mqtt, settings.web
    if mqtt.host is not None and mqtt.password_file is not None:
        checks.append(judge_secret("mqtt password", mqtt.password_file, _mode(mqtt.password_file)))
    if web.enabled:
        if web.token_file is not None:
            checks.append(judge_secret("web token", web.token_file, _mode(web.token_file)))
        checks.append(judge_page(web.host, web.port, has_token=web.token_file is not None))
    return checks


def examine_service() -> Check:
    """Look at the service, and whether its unit fits its settings."""
    try:
        text = service.UNIT.read_text(encoding="utf-8")
    except OSError:
        return judge_service(is_installed=False, shown=None, is_stale=False)
    try:
        there = service.CONFIG if service.CONFIG.exists() else None
        settings = config.load(config_path=there, env={}).settings if there else Settings()
        is_stale = service.is_stale(text, settings)
    except ConfigError:
        is_stale = False  # the settings have a line of their own
    shown = systemd.service_properties() if systemd.is_running() else None
    return judge_service(is_installed=True, shown=shown, is_stale=is_stale)


def judge_board_port(port: str, is_there: bool) -> Check:
    """Judge whether the port of the settings is there."""
    if is_there:
        return Check("board port", "ok", port)
    return Check("board port", "warn", f"no {port}", "Plug the board in; `edge-ecg ports` lists what there is")


def judge_recordings(
    folder: Path, free_bytes: int, min_free_gb: float, *, may_write: bool, is_read_only: bool, writer: str
) -> Check:
    """Judge the folder of recordings, or where it would be made.

    Parameters
    ----------
    may_write
        Whether ``writer``, who runs the daemon, may make files there.
    is_read_only
        Whether the whole file system is, as that of an SD card that wore out.
    """
    name, detail = "recordings", f"{folder}, {free_bytes / 1e9:.1f} GB free"
    if is_read_only:
        step = "sudo dmesg | grep -i error; a worn SD card turns read-only: copy it and replace it"
        return Check(name, "fail", f"{folder} is on a read-only file system", step)
    if not may_write:
        return Check(
            name, "fail", f"{writer} may not write to {folder}", f"sudo install -d -o {writer} -m 700 {folder}"
        )
    if free_bytes < min_free_gb * 1e9:
        return Check(name, "fail", f"{detail}: less than recording.min_free_gb", "Free some space, or set max_gb")
    return Check(name, "ok", detail)


def judge_secret(name: str, path: str, mode: int | None) -> Check:
    """Judge the file of a password or token by its mode; None: there is none."""
    if mode is None:
        return Check(name, "fail", f"no file {path}", f"Write it, then sudo chmod 600 {path}")
    if not stat.S_ISREG(mode):
        return Check(name, "fail", f"{path} is no file", "Name a file in the settings")
    if mode & 0o077:
        return Check(name, "fail", f"others may read {path} (mode {stat.S_IMODE(mode):04o})", f"sudo chmod 600 {path}")
    return Check(name, "ok", path)


def judge_page(host: str, port: int, *, has_token: bool) -> Check:
    """Judge who can reach the page."""
    where = f"port {port} of {host}"
    if service.is_loopback(host):
        return Check("page", "ok", f"{where}: this machine only")
    if not has_token:
        return Check("page", "fail", f"{where} is open to others, without a token", "Set web.token_file")
    return Check("page", "ok", f"{where}: the network, with the token, unencrypted")


def judge_service(*, is_installed: bool, shown: Mapping[str, str] | None, is_stale: bool) -> Check:
    """Judge the service by what systemd says of it; None: no systemd runs."""
    name, again = "service", "sudo edge-ecg service install"
    if not is_installed:
        return Check(name, "ok", f"not installed ({again} would label from each boot on)")
    if is_stale:
        return Check(
            name, "warn", "its unit was made for other settings: something is closed, or open for nothing", again
        )
    if shown is None:
        return Check(name, "ok", "installed; systemd does not run here")
    state = shown.get("ActiveState", "")
    if state == "failed":
        step = f"journalctl -u {service.NAME} -n 20"
        return Check(name, "fail", f"failed ({shown.get('Result', '')})", step)
    if state not in ("active", "activating", "reloading"):
        return Check(name, "warn", "installed, not running", f"sudo systemctl start {service.NAME}")
    if shown.get("UnitFileState") != "enabled":
        return Check(name, "warn", "runs, but not from the next boot on", f"sudo systemctl enable {service.NAME}")
    return Check(name, "ok", shown.get("StatusText") or state)


def nearest_folder(place: Path) -> Path:
    """The nearest directory at or above a place that exists, as far as this user may see."""
    place = place.absolute()
    return next(p for p in (place, *place.parents) if os.path.isdir(p))


def _recordings(folder: Path, min_free_gb: float) -> Check:
    place = service.STATE / folder
    near = nearest_folder(place)
    if os.path.exists(place) and near != place:
        return Check("recordings", "fail", f"{place} is no directory", "Name another with recording.folder")
    writer = _writer()
    return judge_recordings(
        folder,
        shutil.disk_usage(near).free,
        min_free_gb,
        may_write=_may_write(near, writer),
        is_read_only=bool(os.statvfs(near).f_flag & os.ST_RDONLY),
        writer=writer.pw_name,
    )


def _writer() -> pwd.struct_passwd:
    """Who runs the daemon: the service's user, else whoever asks."""
    try:
        return pwd.getpwnam(service.NAME) if service.UNIT.exists() else pwd.getpwuid(os.getuid())
    except KeyError:
        return pwd.struct_passwd((f"user {os.getuid()}", "x", os.getuid(), os.getgid(), "", "/", ""))


def _may_write(folder: Path, writer: pwd.struct_passwd) -> bool:
    if writer.pw_uid == os.getuid():
        return os.access(folder, os.W_OK | os.X_OK)
    if folder == service.STATE.parent:
        return True  # the service makes its own folder
    there = folder.stat()
    if there.st_uid == writer.pw_uid:
        return there.st_mode & 0o300 == 0o300
    groups = os.getgrouplist(writer.pw_name, writer.pw_gid)
    return there.st_mode & (0o030 if there.st_gid in groups else 0o003) in (0o030, 0o003)


def _mode(path: str) -> int | None:
    try:
        return os.stat(os.path.expanduser(path)).st_mode
    except OSError:
        return None
