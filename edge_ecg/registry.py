"""Names for things that are loaded only when asked for: ``name -> "module:attribute"``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points

from edge_ecg.errors import UsageError
from edge_ecg.schema import nearest

__all__ = ["Registry", "load"]


def load(reference: str) -> object:
    """Import ``"package.module:attribute"`` and return the attribute."""
    module, _, attribute = reference.partition(":")
    return getattr(import_module(module), attribute)


@dataclass(frozen=True, slots=True)
class Registry:
    """A table of plug-ins of one kind; what ships here wins over entry points of the same name.

    Attributes
    ----------
    kind
        What the table holds, in the singular: "source", "sink".
    shipped
        Name to ``"module:attribute"``.
    group
        Entry point group of other packages' plug-ins, such as ``edge_ecg.sinks``; empty for none.
    """

    kind: str
    shipped: Mapping[str, str]
    group: str = ""

    def references(self) -> dict[str, str]:
        """Return every name with its reference; imports none of them."""
        foreign = {point.name: point.value for point in entry_points(group=self.group)} if self.group else {}
        return {**foreign, **self.shipped}

    def load(self, name: str) -> object:
        """Import what a name stands for; an unknown name is a `UsageError` that gives the nearest."""
        known = self.references()
        if name not in known:
            raise UsageError(f'there is no {self.kind} called "{name}"', nearest(name, sorted(known)))
        return load(known[name])
