"""The console script: Ctrl-C is quiet from its first moment on, while the rest is still being imported."""

from __future__ import annotations

__all__ = ["run"]

STOPPED = 130


def run() -> int:
    """Run the command line and return its exit code; that of Ctrl-C where it is not there yet to tell."""
    try:
        from edge_ecg.cli import main

        return main.run()
    except KeyboardInterrupt:
        return STOPPED
