"""The outputs of a daemon: which settings ask for which, and what opens it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, cast

from edge_ecg.health import Health
from edge_ecg.registry import load
from edge_ecg.settings import Settings
from edge_ecg.sinks import Sink
from edge_ecg.sinks.jsonl import JsonlFileSink, JsonlSink

__all__ = ["OUTPUTS", "open_output", "section_of", "wanted"]

OUTPUTS = {
    "jsonl": "output",
    "recording": "recording",
    "mqtt": "mqtt",
    "web": "web",
    "hooks": "hooks",
}
"""Names of outputs, and the section of the settings that each is asked for in."""

_OPENERS = {
    "recording": "edge_ecg.sinks.recording:open_recording",
    "mqtt": "edge_ecg.sinks.mqtt:open_mqtt",
    "web": "edge_ecg.web.server:open_web",
    "hooks": "edge_ecg.sinks.hooks:open_hooks",
}


def section_of(settings: Settings, name: str) -> object:
    """The settings of an output."""
    return getattr(settings, OUTPUTS[name])


def wanted(settings: Settings) -> tuple[str, ...]:
    """Names of the outputs that the settings ask for."""
    hooks = settings.hooks
    asked = {
        "jsonl": settings.output.jsonl is not None,
        "recording": settings.recording.folder is not None,
        "mqtt": settings.mqtt.host is not None,
        "web": settings.web.enabled,
        "hooks": any((hooks.v_run, hooks.pause, hooks.lead_off, hooks.device_lost)),
    }
    return tuple(name for name in OUTPUTS if asked[name])


def open_output(name: str, settings: Settings, health: Callable[[], Health]) -> Sink:
    """Open one output.

    Raises
    ------
    EdgeEcgError
        What the user has to mend before it can be.
    """
    if name == "jsonl":
        path = settings.output.jsonl
        assert path is not None
        return JsonlSink(sys.stdout) if path == "-" else JsonlFileSink(path)
    opener = cast(Callable[..., Any], load(_OPENERS[name]))
    arguments = (section_of(settings, name), health) if name == "web" else (section_of(settings, name),)
    return cast(Sink, opener(*arguments))
