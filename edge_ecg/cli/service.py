"""`edge-ecg service`: the daemon as a systemd service."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path

import click

import edge_ecg
from edge_ecg import config as settings_of
from edge_ecg import service as plan
from edge_ecg import systemd
from edge_ecg.errors import ConfigError, ModelError, UsageError
from edge_ecg.service import Program, Remove, Run, Step, Write
from edge_ecg.settings import Settings
from firmware_bridge.ports import PortInfo, list_ports

__all__ = ["service"]

TTYS = Path("/sys/class/tty")
LASTING_PLACE = "python3 -m venv /opt/edge-ecg && /opt/edge-ecg/bin/pip install ..."

_root = click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder to work in instead of this machine: an image of a system.",
)
_dry_run = click.option("--dry-run", is_flag=True, help="Only print every file and command.")
_executable = click.option(
    "--executable", type=click.Path(path_type=Path), help="The edge-ecg to run; not given: this one."
)


@click.group()
def service() -> None:
    """Install the daemon as a systemd service, look after it, take it away.

    \b
    Example:
      sudo /opt/edge-ecg/bin/edge-ecg service install
      edge-ecg service status
    """


@service.command()
@click.option("--config", "path", type=click.Path(path_type=Path), help=f"Settings file; not given: {plan.CONFIG}.")
@_executable
def unit(path: Path | None, executable: Path | None) -> None:
    """Print the unit file. What the settings do not need is closed; without a settings file, everything is.

    \b
    Example:
      edge-ecg service unit > edge-ecg.service
      systemd-analyze security --offline=true ./edge-ecg.service
    """
    settings = _settings(path or plan.CONFIG, must_exist=path is not None)
    config = plan.CONFIG if path is None else path.absolute()
    click.echo(plan.unit(_program(executable), settings, config=config, has_coral=_has_coral(settings)), nl=False)


@service.command()
@click.option("--port", help=f"The board's port, to be called {plan.PORT}; not given: any on a usual USB adapter.")
@click.option("--no-start", is_flag=True, help="Start it with the next boot only.")
@_executable
@_root
@_dry_run
def install(port: str | None, no_start: bool, executable: Path | None, root: Path | None, dry_run: bool) -> None:
    """Install the service, enable and start it; do it again after a change of the settings.

    Settings that are there are kept.

    \b
    Example:
      sudo /opt/edge-ecg/bin/edge-ecg service install
      edge-ecg service install --dry-run
      sudo /opt/edge-ecg/bin/edge-ecg service install --port /dev/ttyUSB0
    """
    program = _program(executable)
    _need_root(root, dry_run)
    settings = _settings(_below(root, plan.CONFIG))
    text = plan.unit(program, settings, has_coral=_has_coral(settings))
    if root is None and (path := hidden(program)) is not None:
        raise UsageError(
            f"the user {plan.NAME} could not run {program.executable}: {path} is for its owner only",
            f"chmod o+rx it, or put edge-ecg elsewhere: {LASTING_PLACE}",
        )
    _perform(plan.install_steps(text, _port(port, root), root=root, starts=not no_start), root, dry_run)
    if dry_run:
        return
    click.echo(f"installed: {plan.NAME}. Settings: {_below(root, plan.CONFIG)}; the board: {plan.PORT}")
    if root is None and not systemd.is_running():
        click.echo("systemd does not run here: it starts with the next boot of a system that has it")
    elif root is None:
        click.echo("Next: edge-ecg service status; journalctl -fu edge-ecg")


@service.command()
@click.option("--purge", is_flag=True, help="Remove settings, recordings and patients too, for good.")
@click.option("--yes", is_flag=True, help="Do not ask before a purge.")
@_root
@_dry_run
def uninstall(purge: bool, yes: bool, root: Path | None, dry_run: bool) -> None:
    """Stop the service and remove it. What it recorded stays, unless --purge is given.

    \b
    Example:
      sudo /opt/edge-ecg/bin/edge-ecg service uninstall
      sudo /opt/edge-ecg/bin/edge-ecg service uninstall --purge
    """
    _need_root(root, dry_run)
    elsewhere: list[Path] = []
    try:
        elsewhere = plan.kept_elsewhere(_settings(_below(root, plan.CONFIG)))
    except ConfigError as error:
        click.echo(f"the settings cannot be read, so what they name is not known: {error}", err=True)
    state, config = _below(root, plan.STATE), _below(root, plan.CONFIG)
    if purge and not yes and not dry_run:
        click.confirm(f"Remove {config.parent} and {state}, recordings and patients with them?", abort=True)
    _perform(plan.uninstall_steps(purge=purge, root=root), root, dry_run)
    kept = [*([] if purge else [config, state]), *(_below(root, path) for path in elsewhere)]
    left = [str(path) for path in kept if path.exists()]
    if left:
        click.echo(f"kept: {', '.join(left)}" + ("" if purge else f" and the user {plan.NAME}"))


@service.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(as_json: bool) -> None:
    """Say whether the service is installed, enabled and running, what it does, and where its things are.

    \b
    Example:
      edge-ecg service status
    """
    told = _status()
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    for key, value in told.items():
        click.echo(f"{key:<11} {value}")


def _status() -> dict[str, str]:
    """What there is to tell, by what it is about."""
    told = {"installed": str(plan.UNIT) if plan.UNIT.exists() else "no; sudo edge-ecg service install"}
    if not systemd.is_running():
        told["active"] = "systemd does not run here"
    elif plan.UNIT.exists():
        told |= _running(systemd.service_properties())
    told["settings"] = str(plan.CONFIG) if plan.CONFIG.exists() else f"no {plan.CONFIG}, defaults"
    try:
        settings = _settings(plan.CONFIG)
    except ConfigError as error:
        return told | {"settings": str(error)}
    told["port"] = settings.link.port or "the only one found"
    told["recordings"] = settings.recording.folder or "none (recording.folder is not set)"
    told["page"] = _page(settings) or "none (web.enabled is false)"
    if plan.UNIT.exists() and plan.is_stale(plan.UNIT.read_text(encoding="utf-8"), settings):
        told["unit"] = "was made for other settings; sudo edge-ecg service install"
    return told


def _running(shown: Mapping[str, str]) -> dict[str, str]:
    result = shown.get("Result", "")
    state = f"{shown.get('ActiveState', 'unknown')} ({shown.get('SubState', '')})"
    state += f", last ended by: {result}" if result not in ("", "success") else ""
    state += f", restarted {shown['NRestarts']} times" if shown.get("NRestarts", "0") != "0" else ""
    told = {"enabled": shown.get("UnitFileState") or "unknown", "active": state}
    if shown.get("StatusText"):
        told["state"] = shown["StatusText"]
    if shown.get("ActiveState") != "active":
        told["next"] = f"journalctl -u {plan.NAME} -n 20"
    return told


def _page(settings: Settings) -> str | None:
    if not settings.web.enabled:
        return None
    host = settings.web.host
    host = f"{socket.gethostname()}.local" if host in ("0.0.0.0", "::") else host
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.web.port}/"


def _settings(path: Path, *, must_exist: bool = False) -> Settings:
    """Those of a file, as the service will read them: this shell's environment is not its."""
    if not path.exists() and not must_exist:
        return Settings()
    return settings_of.load(config_path=path, env={}).settings


def _has_coral(settings: Settings) -> bool:
    from edge_ecg.bundles import find_bundle, read_manifest

    try:
        return read_manifest(find_bundle(settings.model.id)).get("edgetpu") is not None
    except ModelError:
        return False  # the daemon will say so


def _program(executable: Path | None) -> Program:
    """The edge-ecg that the service is to run, and what it is made of."""
    if executable is not None:
        if not executable.is_absolute():
            raise UsageError(f"--executable must be a full path, found {str(executable)!r}")
        return Program(executable, (executable.parent.parent,))
    candidates = [Path(sysconfig.get_path("scripts")) / plan.NAME, Path(sys.argv[0]).absolute()]
    found = next((path for path in candidates if path.name == plan.NAME and path.is_file()), None)
    if found is None:
        raise UsageError(f"no command {plan.NAME} beside {sys.executable}", "Name it with --executable")
    made_of = (Path(sys.prefix), Path(sys.base_prefix), Path(edge_ecg.__file__).parents[1])
    folders = dict.fromkeys(path for path in made_of if not path.is_relative_to("/usr"))
    return Program(found, tuple(path for path in folders if not any(p in path.parents for p in folders)))


def hidden(program: Program, above: Path = Path("/")) -> Path | None:
    """What of a program only its owner can read, so that the service could not; homes are stepped over by the unit."""
    outside = [parent for path in program.folders if not plan.is_homely(path) for parent in path.parents]
    steps = [program.executable, program.executable.parent, *program.folders, *outside]
    there = (path for path in steps if path.is_relative_to(above) and path != above and path.exists())
    return next((path for path in there if not path.stat().st_mode & 0o001), None)


def _port(name: str | None, root: Path | None) -> PortInfo | None:
    if name is None:
        return None
    device = os.path.realpath(name) if root is None else name
    port = next((port for port in list_ports() if port.device == device), None)
    if port is None and root is None and not (TTYS / Path(device).name).exists():
        raise UsageError(f"there is no port {name}", "`edge-ecg ports` lists what there is")
    return port or PortInfo(device, "", None, None, None)


def _need_root(root: Path | None, dry_run: bool) -> None:
    if shutil.which("systemctl") is None:
        raise UsageError("this machine has no systemd", "Start `edge-ecg daemon` by other means")
    if root is None and not dry_run and os.geteuid() != 0:
        program = shutil.which(sys.argv[0]) or sys.argv[0]
        raise UsageError(
            "this needs root", f"sudo {' '.join([program, *sys.argv[1:]])}; --dry-run shows what it would do"
        )


def _below(root: Path | None, path: Path) -> Path:
    return path if root is None else root / path.relative_to("/")


def _perform(steps: Iterable[Step], root: Path | None, dry_run: bool) -> None:
    """Do what the steps say, or only print it; commands that need a running systemd fall out where none runs."""
    is_live = root is None and systemd.is_running()
    for step in steps:
        try:
            match step:
                case Write():
                    _write(_below(root, step.path), step, dry_run)
                case Remove():
                    _remove(_below(root, step.path), dry_run)
                case Run() if not step.is_live or is_live or (dry_run and root is None):
                    _run(step, dry_run)
        except OSError as error:
            if error.filename is None:  # standard output, not a file of ours
                raise
            raise UsageError(f"{error.filename}: {error.strerror}", "Is the file system read-only?") from error


def _write(path: Path, step: Write, dry_run: bool) -> None:
    if step.keeps and path.exists():
        click.echo(f"keep    {path}")
        return
    click.echo(f"write   {path}")
    if dry_run:
        for line in step.text.splitlines():
            click.echo(f"          {line}".rstrip())
        return
    for folder in reversed([folder for folder in path.parents if not folder.exists()]):
        folder.mkdir()
        folder.chmod(0o755)  # whatever root's umask is: the service has to read it
    path.write_text(step.text, encoding="utf-8")
    path.chmod(0o644)


def _remove(path: Path, dry_run: bool) -> None:
    if not os.path.lexists(path):
        return
    click.echo(f"remove  {path}")
    if dry_run:
        return
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _run(step: Run, dry_run: bool) -> None:
    if shutil.which(step.words[0]) is None:
        click.echo(f"skip    {' '.join(step.words)} (there is no {step.words[0]} here)")
        return
    click.echo(f"run     {' '.join(step.words)}")
    if dry_run:
        return
    done = subprocess.run(step.words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    said = (done.stderr or done.stdout).strip().splitlines()
    reason = said[0].rstrip(".") if said else f"exit code {done.returncode}"
    if not step.may_fail:
        hint = f"journalctl -u {plan.NAME} -n 20 says why" if "restart" in step.words else ""
        raise UsageError(f"`{' '.join(step.words)}` failed: {reason}", hint)
    click.echo(f"          {reason}")
