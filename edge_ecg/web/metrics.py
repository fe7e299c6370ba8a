"""Figures for Prometheus, in its text format, and the answer to "is it well?"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from edge_ecg.health import Health
from edge_ecg.live import LiveView
from firmware_bridge.blocks import LinkStats

__all__ = ["STATES", "checkup", "metrics_text"]

STATES = ("starting", "waiting", "streaming", "lead_off", "noisy", "stopping")
_FED = frozenset({"streaming", "lead_off", "noisy"})
MOST_IDLE_S = 10.0

_Sample = tuple[Mapping[str, str], float | None]


def checkup(health: Health, now_utc_s: float) -> tuple[bool, dict[str, Any]]:
    """Whether the daemon does what it should, and why not: it is not fed while it streams, or it ends."""
    idle_s = max(0.0, now_utc_s - health.since_utc_s) if health.idle_s is None else health.idle_s
    problem = None
    if health.state not in STATES:
        problem = f"unknown state {health.state}"
    elif health.state == "stopping":
        problem = "the daemon is stopping"
    elif health.state in _FED and idle_s > MOST_IDLE_S:
        problem = f"no sample for {idle_s:.0f} s"
    told = {
        "ok": problem is None,
        "state": health.state,
        "problem": problem,
        "idle_s": None if health.idle_s is None else round(health.idle_s, 1),
        "version": health.version,
    }
    return problem is None, told


def metrics_text(health: Health, view: LiveView, n_viewers: int, now_utc_s: float) -> str:
    """All figures, each with its meaning and type."""
    outputs = health.outputs.items()
    delays = [
        ({"output": name, "quantile": quantile}, delay_s)
        for name, output in outputs
        for quantile, delay_s in (("0.5", output.delay_p50_s), ("0.99", output.delay_p99_s))
    ]
    about = {"version": health.version, "model": health.model_id or "", "lead": health.lead or ""}
    blocks = [
        _block("info", "gauge", "What runs; always 1.", [(about, 1.0)]),
        _block("state", "gauge", "1 for the state the daemon is in.", _one_hot(health.state)),
        _one("uptime_seconds", "gauge", "Since the daemon began.", now_utc_s - health.started_utc_s),
        _one("samples_total", "counter", "Samples received.", health.n_samples),
        _one("samples_lost_total", "counter", "Samples known to be missing.", health.n_samples_lost),
        _one("gaps_total", "counter", "Times that samples were missing.", health.n_gaps),
        _one("idle_seconds", "gauge", "Since the last sample.", health.idle_s),
        _block(
            "beats_total", "counter", "Beats by label.",
            [({"label": label}, float(n)) for label, n in sorted(health.labels.items())],
        ),
        _one("beats_rejected_total", "counter", "Beats whose label should not be used.", health.n_rejected),
        _block(
            "episodes_total", "counter", "Runs of ectopic beats and pauses by kind.",
            [({"kind": kind}, float(view.n_episodes[kind])) for kind in ("pause", "s_run", "v_run")],
        ),
        _one("heart_rate_bpm", "gauge", "By the median of the last R-R intervals.", view.hr_bpm(health)),
        _one("label_delay_seconds", "gauge", "From R to its label, median of the last beats.", view.delay_s),
        _one("lead_off", "gauge", "1 while an electrode is off.", view.lead_off),
        _one("noisy", "gauge", "1 while the signal is unusable.", view.noisy),
        _one("processing_seconds_total", "counter", "Time spent labelling.", health.processing_s),
        _of_outputs("waiting", "gauge", "Events and blocks in its queue.", {n: o.n_waiting for n, o in outputs}),
        _of_outputs("dropped_events_total", "counter", "Events lost to it.", {n: o.n_dropped for n, o in outputs}),
        _of_outputs(
            "dropped_blocks_total", "counter", "Blocks of samples lost to it.",
            {n: o.n_blocks_dropped for n, o in outputs},
        ),
        _of_outputs(
            "failing", "gauge", "1 while it loses what it gets.", {n: o.failure is not None for n, o in outputs}
        ),
        _block("output_delay_seconds", "gauge", "From R until the output had taken the beat.", delays),
        *([] if health.link is None else _link_blocks(health.link)),
        _one("viewers", "gauge", "Pages that are open.", n_viewers),
    ]  # fmt: skip
    return "".join(blocks)


def _link_blocks(link: LinkStats) -> Iterable[str]:
    for field in fields(link):
        value = getattr(link, field.name)
        words = field.name.replace("_", " ")
        if field.name in {"fs_estimate_hz", "drift_ppm"}:
            yield _one(f"link_{field.name}", "gauge", f"Of the link: {words}.", value)
        else:
            yield _one(f"link_{field.name}_total", "counter", f"Of the link: {words}.", value)


def _one_hot(state: str) -> list[_Sample]:
    return [({"state": name}, float(name == state)) for name in STATES]


def _of_outputs(name: str, kind: str, help_text: str, values: Mapping[str, float]) -> str:
    return _block(f"output_{name}", kind, help_text, [({"output": output}, value) for output, value in values.items()])


def _one(name: str, kind: str, help_text: str, value: float | None) -> str:
    return _block(name, kind, help_text, [({}, value)])


def _block(name: str, kind: str, help_text: str, samples: Iterable[_Sample]) -> str:
    """One metric; what is not known is left out."""
    lines = [f"# HELP edge_ecg_{name} {help_text}", f"# TYPE edge_ecg_{name} {kind}"]
    for labels, value in samples:
        if value is not None:
            shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
            braced = f"{{{shown}}}" if shown else ""
            lines.append(f"edge_ecg_{name}{braced} {int(value) if float(value).is_integer() else f'{value:.6f}'}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
