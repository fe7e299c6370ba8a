"""What tells Home Assistant which sensors there are: its MQTT discovery, one retained message an entity."""

from __future__ import annotations

import json
import re
from typing import Any

from edge_ecg import __version__
from edge_ecg.sinks.mqtt_outbox import Message

__all__ = ["discovery"]

PREFIX = "homeassistant"
EXPIRES_S = 60
"""A heart rate or label that is older is none."""

_COUNT = {"state_class": "total_increasing", "unit_of_measurement": "beats"}
_ENTITIES: tuple[tuple[str, str, str, str, dict[str, Any]], ...] = (
    # component, object, below our topics, value, and what else Home Assistant should know
    (
        "sensor",
        "heart_rate",
        "heart_rate",
        "{{ value_json.hr_bpm }}",
        {
            "name": "Heart rate",
            "unit_of_measurement": "bpm",
            "state_class": "measurement",
            "icon": "mdi:heart-pulse",
            "expire_after": EXPIRES_S,
        },
    ),
    ("sensor", "state", "state", "{{ value_json.state }}", {"name": "State", "icon": "mdi:information-outline"}),
    ("sensor", "rhythm", "rhythm", "{{ value_json.state }}", {"name": "Rhythm", "icon": "mdi:sine-wave"}),
    (
        "binary_sensor",
        "lead_off",
        "lead_off",
        "{{ 'ON' if value_json.off else 'OFF' }}",
        {"name": "Electrode off", "device_class": "problem"},
    ),
    (
        "sensor",
        "label",
        "beats",
        "{{ value_json.label }}",
        # A change a second is much for a database: who wants it switches it on.
        {"name": "Last beat", "icon": "mdi:tag-heart", "expire_after": EXPIRES_S, "enabled_by_default": False},
    ),
    ("sensor", "beats", "counts", "{{ value_json.beats }}", {"name": "Beats", **_COUNT}),
    ("sensor", "v_beats", "counts", "{{ value_json.labels.V | default(0) }}", {"name": "Ventricular beats", **_COUNT}),
    (
        "sensor",
        "s_beats",
        "counts",
        "{{ value_json.labels.S | default(0) }}",
        {"name": "Supraventricular beats", **_COUNT},
    ),
)


def discovery(base: str, device: str) -> list[Message]:
    """The messages for a device whose topics begin with ``base``."""
    node = "edge_ecg_" + re.sub(r"[^A-Za-z0-9_-]", "_", device)
    about = {
        "availability_topic": f"{base}/status",
        "payload_available": "online",
        "payload_not_available": "offline",
        "qos": 1,
        "device": {
            "identifiers": [node],
            "name": f"ECG {device}",
            "manufacturer": "edge-ecg",
            "model": "Research software, not a medical device",
            "sw_version": __version__,
        },
        "origin": {"name": "edge-ecg", "sw_version": __version__},
    }
    told = []
    for component, name, below, value, more in _ENTITIES:
        entity = {"unique_id": f"{node}_{name}", "state_topic": f"{base}/{below}", "value_template": value}
        payload = json.dumps({**more, **entity, **about}, separators=(",", ":")).encode()
        told.append(Message(f"{PREFIX}/{component}/{node}/{name}/config", payload, retain=True, shown=True))
    return told
