"""The systemd service: its unit, its user, the name of its port, and the steps that install it. Pure: no I/O here.

The walls of the unit follow from the settings: what no output needs is closed.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_ecg.config import example
from edge_ecg.errors import ConfigError
from edge_ecg.settings import Settings
from firmware_bridge.ports import PortInfo

__all__ = [
    "CONFIG",
    "NAME",
    "PORT",
    "RULE",
    "STATE",
    "UNIT",
    "USERS",
    "Program",
    "Remove",
    "Run",
    "Step",
    "Write",
    "first_settings",
    "install_steps",
    "is_homely",
    "is_loopback",
    "is_stale",
    "kept_elsewhere",
    "port_rule",
    "uninstall_steps",
    "unit",
]

NAME = "edge-ecg"
CONFIG = Path("/etc/edge-ecg/config.toml")
STATE = Path("/var/lib/edge-ecg")
UNIT = Path("/etc/systemd/system/edge-ecg.service")
RULE = Path("/etc/udev/rules.d/70-edge-ecg.rules")  # behind 60-serial.rules, which finds out what is on USB
USERS = Path("/etc/sysusers.d/edge-ecg.conf")
PORT = "/dev/edge-ecg"

USERS_TEXT = f"""\
# The user of edge-ecg's daemon: no login, may open serial ports.
u {NAME} - "edge-ecg daemon" {STATE}
m {NAME} dialout
"""

ADAPTERS = "0403|0483|10c4|16c0|1a86|1b4f|2341|239a|2a03|2e8a|303a"
"""USB vendors of boards and serial adapters: FTDI, STM, Silicon Labs, Teensy, WCH, SparkFun, Arduino (two), Adafruit,
Raspberry Pi, Espressif. Not modems, which have serial ports as well."""

WRITABLE = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))
HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
FROM_SETTINGS = (
    "BindPaths",
    "Environment",
    "IPAddressAllow",
    "IPAddressDeny",
    "LoadCredential",
    "NoExecPaths",
    "PrivateNetwork",
    "ReadWritePaths",
    "RequiresMountsFor",
    "RestrictAddressFamilies",
)
"""Keys of the unit whose lines follow from the settings alone."""

UNIT_TEXT = """\
# Made by `edge-ecg service install` for the settings in {config}: after a change
# there run it again, since what no output needs is closed. Yours to add: `systemctl edit {name}`.
[Unit]
Description=edge-ecg: labels the heartbeats of an ECG board (research software, not a medical device)
Documentation=man:systemd.service(5)
# A Raspberry Pi may have no clock of its own; this waits only where systemd-time-wait-sync is enabled.
After=time-sync.target
{mounts}StartLimitIntervalSec=300
StartLimitBurst=20

[Service]
Type=notify
NotifyAccess=main
ExecStart={executable} daemon --config {config}
ExecReload=kill -HUP $MAINPID
WatchdogSec=60
TimeoutStartSec=60
TimeoutStopSec=5
KillMode=mixed
Restart=on-failure
RestartSec=10
# Wrong settings or a wrong model do not mend themselves.
RestartPreventExitStatus=2 3

User={name}
Group={name}
SupplementaryGroups={groups}
UMask=0077
StateDirectory={name}
StateDirectoryMode=0700
WorkingDirectory={state}
{environment}
# Files: its own folder may be written, and nothing that can be written may be executed.
ProtectSystem=strict
{files}PrivateTmp=yes
ProtectProc=invisible

# Devices: serial ports{coral_devices}.
DevicePolicy=closed
{devices}

# Network.
{network}

# Rights and system calls. No ProcSubset=pid: the interpreter chooses its kernels by /proc/cpuinfo.
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
LockPersonality=yes
{no_jit}RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
KeyringMode=private
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""

SERIAL_DEVICES = ("ttyUSB", "ttyACM", "ttyAMA", "ttyS", "rfcomm")
CORAL_DEVICES = ("usb_device", "apex")


@dataclass(frozen=True, slots=True)
class Program:
    """This edge-ecg: the command, and the folders that it is made of (the environment, its Python, a checkout)."""

    executable: Path
    folders: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Write:
    """Write a file; with ``keeps`` only where there is none."""

    path: Path
    text: str
    keeps: bool = False


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a file, or a folder with all that is in it."""

    path: Path


@dataclass(frozen=True, slots=True)
class Run:
    """Run a command; ``is_live``: it needs a running systemd, and has no meaning for a folder.

    With ``may_fail`` the rest goes on without it: there may be nothing to stop, or no udev in a container.
    """

    words: tuple[str, ...]
    is_live: bool = True
    may_fail: bool = False


Step = Write | Remove | Run


def unit(program: Program, settings: Settings | None = None, *, config: Path = CONFIG, has_coral: bool = False) -> str:
    """Write the unit file.

    Parameters
    ----------
    settings
        Those that the daemon will read; without them everything is closed that any of them could open.
    has_coral
        Open the Edge TPU, whose library needs USB, and may make code as it runs.

    Raises
    ------
    ConfigError
        A path that a unit file cannot hold.
    """
    settings = settings or Settings()
    devices = SERIAL_DEVICES + (CORAL_DEVICES if has_coral else ())
    hooks = [Path(words[0]) for words in _hooks(settings)]
    seen = [*program.folders, program.executable, *hooks, *_read(settings)]
    homely = sorted({path for path in seen if is_homely(path)} - {p for p in seen if _is_inside(p, program.folders)})
    # An empty tmpfs with the program in it: the rest of the homes is out of sight, whatever its rights.
    files = [f"ProtectHome={'tmpfs' if homely or any(map(is_homely, _written(settings))) else 'yes'}"]
    files += [f"BindReadOnlyPaths={_words(homely, '-')}"] if homely else []
    files += _write_lines(settings)
    return UNIT_TEXT.format(
        name=NAME,
        config=_words([config]),
        state=STATE,
        executable=_words([program.executable]),
        mounts="".join(f"{line}\n" for line in _mount_lines(settings)),
        groups="dialout plugdev" if has_coral else "dialout",
        environment="".join(f"{line}\n" for line in _environment_lines(settings)),
        files="".join(f"{line}\n" for line in files),
        coral_devices=" and the Edge TPU" if has_coral else "",
        devices="\n".join(f"DeviceAllow=char-{device} rw" for device in devices),
        network="\n".join(_network_lines(settings, has_coral=has_coral)),
        no_jit="" if has_coral else "MemoryDenyWriteExecute=yes\n",
    )


def is_stale(text: str, settings: Settings) -> bool:
    """Whether a unit file was made for other settings: it closes what they need, or opens what they do not."""
    has_coral = "DeviceAllow=char-usb_device" in text
    wanted = {
        *_mount_lines(settings),
        *_environment_lines(settings),
        *_write_lines(settings),
        *_network_lines(settings, has_coral=has_coral),
    }
    return {line for line in text.splitlines() if line.partition("=")[0] in FROM_SETTINGS} != wanted


def port_rule(port: PortInfo | None = None) -> str:
    """Write the udev rule that calls a board `PORT`: this one, or any that is on a usual adapter."""
    if port is None:
        match = f'ENV{{ID_BUS}}=="usb", ENV{{ID_VENDOR_ID}}=="{ADAPTERS}"'
        what = "any board on a usual USB adapter. With more than one: `edge-ecg service install --port /dev/...`"
    elif port.vid is None or port.pid is None:
        match, what = f'KERNEL=="{Path(port.device).name}"', f"the board on {port.device}"
    else:
        match, what = f'ATTRS{{idVendor}}=="{port.vid:04x}", ATTRS{{idProduct}}=="{port.pid:04x}"', port.description
        # udev reads * ? [ ] | in it as a pattern.
        if port.serial_number and re.fullmatch(r"[\w.:-]+", port.serial_number, re.ASCII):
            match += f', ATTRS{{serial}}=="{port.serial_number}"'
    what = re.sub(r"[^\x20-\x7e]", "?", what)
    return (
        f"# {PORT}: {what}\n"
        f'SUBSYSTEM=="tty", {match}, SYMLINK+="{PORT.removeprefix("/dev/")}", GROUP="dialout", MODE="0660", '
        'ENV{ID_MM_DEVICE_IGNORE}="1"\n'
    )


def first_settings() -> str:
    """The settings file of a new service: the example, with the port that the rule names."""
    text = example()
    told = re.sub(r'^#port = "/dev/.*"$', f'port = "{PORT}"', text, count=1, flags=re.MULTILINE)
    assert told != text
    return told


def install_steps(
    unit_text: str, port: PortInfo | None, *, root: Path | None = None, starts: bool = True
) -> Iterator[Step]:
    """What installs the service, in order; paths are those below ``root``, when one is given."""
    at = [] if root is None else [f"--root={root}"]
    yield Write(USERS, USERS_TEXT)
    yield Run(("systemd-sysusers", *at, USERS.name), is_live=False)
    yield Write(CONFIG, first_settings(), keeps=True)
    yield Write(RULE, port_rule(port), keeps=port is None)  # a rule for one board stays one
    yield Run(("udevadm", "control", "--reload"), may_fail=True)
    yield Run(("udevadm", "trigger", "--subsystem-match=tty", "--action=change"), may_fail=True)
    yield Write(UNIT, unit_text)
    yield Run(("systemctl", "daemon-reload"))
    yield Run(("systemctl", *at, "enable", f"{NAME}.service"), is_live=False)
    if starts:
        yield Run(("systemctl", "restart", f"{NAME}.service"))


def uninstall_steps(*, purge: bool, root: Path | None = None) -> Iterator[Step]:
    """What takes the service away again, in order; with ``purge`` also settings, user and all that it kept."""
    at = [] if root is None else [f"--root={root}"]
    yield Run(("systemctl", "stop", f"{NAME}.service"), may_fail=True)
    yield Run(("systemctl", *at, "disable", f"{NAME}.service"), is_live=False, may_fail=True)
    yield from (Remove(UNIT), Remove(RULE), Remove(USERS))
    yield Run(("systemctl", "daemon-reload"))
    yield Run(("udevadm", "control", "--reload"), may_fail=True)
    if purge:
        yield from (Remove(CONFIG.parent), Remove(STATE))
        yield Run(("userdel", *([] if root is None else ["--prefix", str(root)]), NAME), is_live=False, may_fail=True)


def kept_elsewhere(settings: Settings) -> list[Path]:
    """Folders of recordings and patients outside the service's own, which no uninstall touches."""
    return _written(settings)


def is_homely(path: Path) -> bool:
    """Whether a path lies in somebody's home, which the unit hides."""
    return any(path.is_relative_to(home) for home in HOMES)


def is_loopback(host: str) -> bool:
    """Whether only this machine is behind a name or an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _network_lines(settings: Settings, *, has_coral: bool) -> list[str]:
    """The network as far as the outputs need it. A name may stand for any address, and so may who views the page."""
    hosts = [settings.web.host] if settings.web.enabled else []
    allowed = ["localhost" if is_loopback(host) else "any" for host in hosts]
    if settings.mqtt.host is not None:
        allowed.append(_broker(settings.mqtt.host))
    families = "AF_UNIX" + (" AF_NETLINK" if has_coral else "")  # with which libusb finds devices
    if not allowed:
        return ["PrivateNetwork=yes", "IPAddressDeny=any", f"RestrictAddressFamilies={families}"]
    lines = [f"RestrictAddressFamilies={families} AF_INET AF_INET6"]
    if "any" in allowed:
        return lines
    return ["IPAddressDeny=any", f"IPAddressAllow={' '.join(sorted(set(allowed)))}", *lines]


def _broker(host: str) -> str:
    if is_loopback(host):
        return "localhost"
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return "any"


def _environment_lines(settings: Settings) -> list[str]:
    """Where state goes; secrets as credentials, so that root alone can read their files."""
    lines = [f"Environment=XDG_STATE_HOME={STATE.parent}"]
    secrets = []
    if settings.mqtt.host is not None and settings.mqtt.password_file:
        secrets.append(("mqtt-password", "EDGE_ECG__MQTT__PASSWORD_FILE", settings.mqtt.password_file))
    if settings.web.enabled and settings.web.token_file:
        secrets.append(("web-token", "EDGE_ECG__WEB__TOKEN_FILE", settings.web.token_file))
    for credential, variable, file in secrets:
        lines.append(f"LoadCredential={credential}:{_checked(Path(file))}")
        lines.append(f"Environment={variable}=%d/{credential}")
    return lines


def _mount_lines(settings: Settings) -> list[str]:
    written = _written(settings)
    return [f"RequiresMountsFor={_words(written)}"] if written else []


def _write_lines(settings: Settings) -> list[str]:
    written = _written(settings)
    lines = [f"{'BindPaths' if is_homely(path) else 'ReadWritePaths'}={_words([path], '-')}" for path in written]
    # Each by its name: "/" does not reach what is mounted over it, and ExecPaths would make its paths writable.
    return [*lines, f"NoExecPaths={_words([STATE, *WRITABLE, *written], '-')}"]


def _written(settings: Settings) -> list[Path]:
    """Folders outside its own that the daemon writes to; what is relative lies in its own."""
    jsonl = settings.output.jsonl
    given = [settings.recording.folder, settings.patient.folder]
    given.append(str(Path(jsonl).parent) if jsonl and jsonl != "-" else None)
    paths = {Path(text) for text in given if text is not None and text.startswith("/")}
    return sorted(path for path in paths if not path.is_relative_to(STATE))


def _read(settings: Settings) -> list[Path]:
    """Files and folders of the user's own that the daemon reads."""
    given = [settings.model.id, settings.mqtt.ca_file if settings.mqtt.host is not None else None]
    return [Path(text) for text in given if text is not None and text.startswith("/")]


def _hooks(settings: Settings) -> list[tuple[str, ...]]:
    hooks = settings.hooks
    return [words for words in (hooks.v_run, hooks.pause, hooks.lead_off, hooks.device_lost) if words]


def _is_inside(path: Path, folders: Iterable[Path]) -> bool:
    return any(path != folder and path.is_relative_to(folder) for folder in folders)


def _words(paths: Iterable[Path], mark: str = "") -> str:
    """Paths as words of a unit file; the mark "-" before each lets one be missing."""
    words = [mark + _checked(path) for path in paths]
    return " ".join(f'"{word}"' if " " in word else word for word in words)


def _checked(path: Path) -> str:
    if not re.fullmatch(r"[\w/.,@+=~ -]+", str(path)):
        raise ConfigError(f"a service cannot use the path {str(path)!r}", "Letters, digits and / . , @ + = ~ - only")
    return str(path)
