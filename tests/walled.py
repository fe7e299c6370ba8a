"""Run a command behind the system call filter of a unit file: `python walled.py UNIT COMMAND...`. No systemd runs here.

`SystemCallFilter` and `MemoryDenyWriteExecute`, as systemd.exec(5) describes them, by the library that systemd uses.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import subprocess
import sys
from pathlib import Path

ALLOW, REFUSE = 0x7FFF0000, 0x00050000
MASKED_EQ = 7
PROT = 2  # the argument of mmap and mprotect


class Compare(ctypes.Structure):
    """`struct scmp_arg_cmp`."""

    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


def members(group: str) -> set[str]:
    """The system calls of a group, `@file-system`, and of the groups in it; a name alone is itself."""
    if not group.startswith("@"):
        return {group}
    text = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager", group], capture_output=True, text=True, check=True
    ).stdout
    words = [line.split()[0] for line in text.splitlines()[1:] if line.strip()]
    return set().union(*(members(word) for word in words if not word.startswith("#")))


def allowed(unit: str) -> set[str]:
    """What the lines `SystemCallFilter=` of a unit leave."""
    calls = members("@default")
    for line in unit.splitlines():
        if line.startswith("SystemCallFilter=~"):
            calls -= set().union(*map(members, line.partition("~")[2].split()))
        elif line.startswith("SystemCallFilter="):
            calls |= set().union(*map(members, line.partition("=")[2].split()))
    return calls


def confine(unit: str) -> None:
    """Put this process behind the filter, for good."""
    lib = ctypes.CDLL("libseccomp.so.2")
    lib.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(lib.seccomp_init(REFUSE | errno.EPERM))
    denies_code = "MemoryDenyWriteExecute=yes" in unit

    def rule(number: int, *compared: Compare) -> None:
        table = (Compare * max(1, len(compared)))(*compared)
        assert lib.seccomp_rule_add_array(context, ALLOW, number, len(compared), table) == 0

    for name in sorted(allowed(unit)):
        number = lib.seccomp_syscall_resolve_name(name.encode())
        if number < 0:  # not on this kind of machine
            continue
        if denies_code and name in ("mprotect", "pkey_mprotect"):
            rule(number, Compare(PROT, MASKED_EQ, mmap.PROT_EXEC, 0))
        elif denies_code and name == "mmap":
            rule(number, Compare(PROT, MASKED_EQ, mmap.PROT_EXEC, 0))
            rule(number, Compare(PROT, MASKED_EQ, mmap.PROT_WRITE, 0))
        else:
            rule(number)
    assert lib.seccomp_load(context) == 0


if __name__ == "__main__":
    confine(Path(sys.argv[1]).read_text(encoding="utf-8"))
    os.execv(sys.argv[2], sys.argv[2:])
