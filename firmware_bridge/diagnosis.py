"""What is wrong with a port or with what answers on it: one clear LinkError each, with the next step."""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import stat
from pathlib import Path

from firmware_bridge import wire
from firmware_bridge.blocks import LinkError, PortRefusedError
from firmware_bridge.boards import Board
from firmware_bridge.ports import list_ports
from firmware_bridge.recognition import Seen, recognise, version_words

__all__ = [
    "also_open",
    "cannot_open",
    "check_hello",
    "foreign",
    "given_up",
    "holders",
    "no_hello",
    "rate_is_fixed",
    "refuse_locked",
    "silent",
    "went_away",
]

MAX_FS_MHZ = 100_000_000
PTMX = ("/dev/ptmx", "/dev/pts/ptmx")
OTHERS_HINT = "Close that program (a serial monitor, another edge-ecg, ModemManager, a login console) and try again"


def cannot_open(url: str, error: Exception) -> LinkError:
    """Return the LinkError for a port that could not be opened."""
    number = getattr(error, "errno", None)
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return missing(url)
    if number in (errno.EACCES, errno.EPERM):
        return denied(url)
    if number in (errno.EAGAIN, errno.EBUSY):
        return busy(url)
    if "://" not in url and not Path(url).is_char_device():
        return LinkError(f"{url} is not a serial port", "`edge-ecg ports` lists the ports there are")
    return LinkError(f"cannot open {url}: {error}", "`edge-ecg ports` lists the ports there are")


def given_up(url: str) -> LinkError:
    """Return the LinkError for an attempt that nobody waits for any more."""
    return LinkError(f"stopped before {url} was heard", "Start again")


def went_away(url: str) -> LinkError:
    """Return the LinkError for a port that was there."""
    return LinkError(f"the board went away: {url} is gone", "Check cable and supply")


def missing(url: str) -> LinkError:
    """Return the LinkError for a port that does not exist."""
    names = ", ".join(port.device for port in list_ports()) or "none"
    return LinkError(
        f"there is no port {url}", f"Ports of this machine: {names}. Plug the board in, try `edge-ecg ports`"
    )


def denied(url: str) -> PortRefusedError:
    """Return the LinkError for a port this user may not open; names the group that owns it."""
    try:
        gid = os.stat(url).st_gid
    except OSError:
        return PortRefusedError(f"this user may not open {url}", "Ask whoever runs this machine for access to it")
    try:
        group = grp.getgrgid(gid).gr_name
    except KeyError:
        group = str(gid)
    if gid == 0:  # nobody should be told to join root
        return PortRefusedError(
            f"this user may not open {url}, which belongs to the group {group}",
            "Give it to a group of your own with a udev rule",
        )
    return PortRefusedError(
        f"this user may not open {url}, which belongs to the group {group}",
        f"Run `sudo usermod -aG {group} $USER`, then log out and in again",
    )


def busy(url: str) -> PortRefusedError:
    """Return the LinkError for a port another program holds; names the program where /proc shows it."""
    names = ", ".join(holders(url))
    return PortRefusedError(
        f"{url} is in use" + (f" by {names}" if names else " by another program"),
        OTHERS_HINT,
    )


def refuse_locked(url: str) -> None:
    """Raise `PortRefusedError` for a port that another program has locked, without opening it.

    Opening would reset many a board.
    """
    try:
        status = os.stat(url)
    except OSError:
        return
    if _lock_owners(_inode(status)):
        raise busy(url)


def holders(device: str) -> list[str]:
    """Return the programs that have `device` open as "name (pid n)"; those that hold its lock if any does."""
    try:
        status = os.stat(device)
        real = os.path.realpath(device)
    except OSError:
        return []
    # A simulator has its terminal open too, so the lock says more than /proc/*/fd.
    pids = _lock_owners(_inode(status))
    return [f"{_program(pid)} (pid {pid})" for pid in pids or _openers(real)]


def _inode(status: os.stat_result) -> str:
    """As /proc/locks writes it."""
    return f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"


def _lock_owners(inode: str) -> list[int]:
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return []
    owners = set()
    for line in lines:  # "1: FLOCK  ADVISORY  WRITE 2083 00:19:5 0 EOF"; "->" marks one that waits
        words = line.split()
        if len(words) >= 6 and words[1] == "FLOCK" and words[5] == inode and int(words[4]) > 0:
            owners.add(int(words[4]))
    return sorted(pid for pid in owners if Path(f"/proc/{pid}").exists())


def _openers(real: str) -> list[int]:
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit() and _has_open(name, real))


def _has_open(pid: str, *files: str) -> bool:
    try:
        descriptors = os.listdir(f"/proc/{pid}/fd")
    except OSError:  # gone meanwhile, or another user's
        return False
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/fd/{descriptor}") in files:
                return True
    return False


def _program(pid: int) -> str:
    if pid == os.getpid():
        return "this program"
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "a program"


def no_hello(
    url: str, baud: int, timeout_s: float, received: bytes, n_received: int, spoke: bool, echoed: bool
) -> LinkError:
    """Return the LinkError for a handshake without HELLO.

    Parameters
    ----------
    received, n_received
        The first bytes that came, and how many came in all.
    spoke
        Whether good frames of this protocol were among them.
    echoed
        Whether commands of the host were among them.
    """
    if not n_received:
        return silent(url, f"nothing answers on {url} at {baud} baud within {timeout_s:g} s")
    if echoed:
        return LinkError(f"{url} sends back what is sent to it", "Is it a loopback plug, or are TX and RX connected?")
    if spoke:
        return LinkError(
            f"the board on {url} speaks the protocol but does not say hello within {timeout_s:g} s",
            "Is the line from the computer to the board (its RX) connected?",
        )
    return foreign(url, f"{n_received} bytes came from {url} that are not our protocol", recognise(received, baud))


def silent(url: str, message: str) -> LinkError:
    """Return the LinkError for a port on which nothing comes."""
    return foreign(url, message, recognise(b"", 0))


def foreign(url: str, message: str, seen: Seen) -> LinkError:
    """Return the LinkError for bytes that are none of the board: what they are, and who else may read them."""
    if seen.kind != "nothing":
        message = f"{message}: {seen.what}"
    others = "" if seen.is_sure else also_open(url)
    return LinkError(f"{message}; {others}", OTHERS_HINT) if others else LinkError(message, seen.hint)


def also_open(url: str) -> str:
    """Return in words which other programs have a port open without its lock, and so take bytes away; "" for none."""
    try:
        real = os.path.realpath(url)
        if "://" in url or not stat.S_ISCHR(os.stat(real).st_mode):
            return ""
    except OSError:
        return ""
    # Whoever made a pseudo terminal is what sits at its other end.
    pids = [pid for pid in _openers(real) if pid != os.getpid() and not _has_open(str(pid), *PTMX)]
    names = ", ".join(f"{_program(pid)} (pid {pid})" for pid in pids)
    return f"{names} has the port open too and may take the bytes" if names else ""


def check_hello(url: str, hello: wire.Hello) -> None:
    """Raise LinkError when a board says something of itself that cannot be."""
    if hello.protocol_version != wire.VERSION:
        raise other_version(url, hello.protocol_version)
    nonsense = ""
    if not 0 < hello.n_leads <= wire.MAX_LEADS:
        nonsense = f"{hello.n_leads} leads, expected 1 to {wire.MAX_LEADS}"
    elif not 0 < hello.fs_mhz <= MAX_FS_MHZ:
        nonsense = f"a rate of {hello.fs_mhz / 1000:g} Hz, expected above 0 and up to {MAX_FS_MHZ // 1000}"
    elif not 0 < hello.adc_bits <= 32:
        nonsense = f"an ADC of {hello.adc_bits} bits, expected 1 to 32"
    if nonsense:
        raise LinkError(f"the board on {url} says it has {nonsense}", "Its firmware is wrong: flash it again")


def rate_is_fixed(board: Board, fs_hz: float) -> LinkError:
    """Return the LinkError for a board of another maker that is asked for a rate."""
    if board.fs_hz is None:
        rate = "keeps no rate: what it sends is brought to one"
    else:
        rate = f"samples at {board.fs_hz:g} Hz" if board.is_isochronous else f"samples at some {board.fs_hz:g} Hz"
    return LinkError(
        f"a {board.title} cannot be asked for {fs_hz:g} Hz, it {rate}",
        "Leave --rate (link.fs_hz) away: it is for boards with our firmware",
    )


def other_version(url: str, version: int) -> LinkError:
    """Return the LinkError for a board of another protocol version."""
    what, hint = version_words(version)
    return LinkError(f"the board on {url} {what}", hint)
