"""Boards for the tests of the serial link; no test may leave a file descriptor open."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_descriptor_left_behind() -> Iterator[None]:
    """Fail a test that leaves a file, port or terminal open."""
    before = _open_descriptors()
    yield
    left = {fd: name for fd, name in _open_descriptors().items() if before.get(fd) != name}
    assert not left, f"left open: {left}"


def _open_descriptors() -> dict[str, str]:
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            name = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:  # the descriptor of the listing itself
            continue
        if not name.startswith("/proc/") and ".hypothesis" not in name:
            found[fd] = name
    return found
