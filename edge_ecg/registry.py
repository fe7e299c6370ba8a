"""Names for things that are loaded only when asked for: ``"module:attribute"``."""

from __future__ import annotations

from importlib import import_module

__all__ = ["load"]


def load(reference: str) -> object:
    """Import ``"package.module:attribute"`` and return the attribute."""
    module, _, attribute = reference.partition(":")
    return getattr(import_module(module), attribute)
