"""The figures of a running daemon for a terminal: asked for over HTTP, told in lines."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from edge_ecg.errors import EdgeEcgError, SourceError, UsageError
from edge_ecg.live import SCHEMA
from edge_ecg.sinks.console import EPISODE_WORDS, RHYTHM_WORDS

__all__ = ["ask", "lines", "wrapped"]

ANSWER_S = 3.0
_MOST_BYTES = 1_000_000
_BARS = " ▁▂▃▄▅▆▇█"
_STATES = {"waiting": "waiting for the board", "lead_off": "electrode off"}


def ask(url: str, token: str | None) -> dict[str, Any]:
    """What the daemon behind a page says of itself: `edge_ecg.live.LiveView.as_dict`.

    Raises
    ------
    UsageError
        The address is none, or a token is needed.
    SourceError
        Nobody answers, or somebody else does.
    """
    from http.client import HTTPException
    from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

    class Stay(HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            """The token is for this address, and for no other that it may name."""

    if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).netloc:
        raise UsageError(f"{url} is no address of a page", "It looks like http://127.0.0.1:8137")
    request = Request(url.rstrip("/") + "/state", headers={} if token is None else {"Authorization": f"Bearer {token}"})
    try:
        with build_opener(ProxyHandler({}), Stay).open(request, timeout=ANSWER_S) as answer:
            told = json.loads(answer.read(_MOST_BYTES))
    except HTTPError as error:
        with error:
            raise _refused(url, error.code, has_token=token is not None) from None
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        why = getattr(reason, "strerror", None) or reason
        raise SourceError(
            f"no daemon answers at {url} ({why})",
            "Start `edge-ecg daemon` with web.enabled = true, or say where it is with --url",
        ) from None
    except ValueError:
        told = None
    if not isinstance(told, dict) or told.get("schema") != SCHEMA:
        raise SourceError(f"what answers at {url} is no edge-ecg of this version", "Check --url")
    return told


def _refused(url: str, code: int, *, has_token: bool) -> EdgeEcgError:
    if code == 401:
        what = "does not take this token" if has_token else "asks for a token"
        return UsageError(f"{url} {what}", "Name the file that web.token_file names, with --token-file")
    return SourceError(f"{url} answers with HTTP {code}", "Check --url")


def lines(told: dict[str, Any], width: int = 80) -> list[str]:
    """The figures as `wrapped` lines."""
    return wrapped(_lines(told), width)


def wrapped(found: Iterable[str], width: int) -> list[str]:
    """Lines of at most ``width`` characters; whatever the daemon says, none holds any but printable ones."""
    out: list[str] = []
    for line in found:
        printable = "".join(c if c.isprintable() else "?" for c in line)
        indent = " " * min(10, width // 2)
        out += textwrap.wrap(printable, width, subsequent_indent=indent, break_on_hyphens=False) or [""]
    return out


def _lines(told: dict[str, Any]) -> Iterator[str]:
    state, heart, stream = told["state"], told["heart"], told["stream"]
    name = _STATES.get(state["name"], state["name"])
    detail = f" ({state['detail']})" if state["detail"] else ""
    yield f"edge-ecg {told['version']}  {name}{detail}  {told['board']['port']}  {_clock(told['utc'])} UTC"
    yield "Research software, not a medical device."
    yield ""
    rr = "--" if heart["rr_s"] is None else f"{1e3 * heart['rr_s']:.0f} ms"
    rate = "--" if heart["hr_bpm"] is None else f"{heart['hr_bpm']:.0f}"
    delay = "--" if told["delay_s"] is None else f"{told['delay_s']:.1f} s"
    yield f"heart     {rate} /min, R-R {rr}, last beat {heart['label'] or '--'}"
    rhythm = told["rhythm"]
    since = f", since {_clock(rhythm['since_utc'])}" if rhythm["since_utc"] else ""
    yield f"rhythm    {RHYTHM_WORDS.get(rhythm['state'], rhythm['state'] or 'not known yet')}{since}"
    yield f"signal    {_signal(told['signal'], stream)}"
    burden = told["burden"]
    if burden["hours"]:
        hour = burden["hours"][-1]["ectopic_percent"]
        yield f"ectopic   {hour:.1f} % this hour, {burden['percent']:.1f} % in 24 hours  {_bars(burden['hours'])}"
    else:
        yield "ectopic   --"
    beats = told["beats"]
    labels = ", ".join(f"{label} {n:,}" for label, n in sorted(beats["labels"].items(), key=lambda item: -item[1]))
    yield f"beats     {beats['total']:,}{': ' if labels else ''}{labels}; {beats['rejected']:,} not to be used"
    for event in reversed(told["episodes"]):
        beats_of = f" of {event['beats']}" if event["beats"] else ""
        when = _clock(event["utc"]) or f"{event['t_s']:.1f} s"
        going_on = "" if event["over"] else " so far"
        kind = EPISODE_WORDS.get(event["kind"], event["kind"])
        yield f"          {when} {kind}{beats_of}, {event['length_s']:.1f} s{going_on}"
    if told["model"] is not None:
        point = f", {told['model']['operating_point']}" if told["model"]["operating_point"] else ""
        yield f"model     {told['model']['id']}{point}; label {delay} after R"
    samples = told["samples"]
    source = "" if stream is None else f" at {stream['fs_hz']:g} Hz, {_leads(stream)}"
    idle = f", none for {samples['idle_s']:.0f} s" if (samples["idle_s"] or 0.0) > 3.0 else ""
    yield f"samples   {samples['total']:,}{source}; {samples['lost']:,} lost in {samples['gaps']:,} gaps{idle}"
    link = told["link"]
    if link is not None:
        drift = "" if link["drift_ppm"] is None else f", clock {link['drift_ppm']:+.0f} ppm"
        bad = link["crc_errors"] + link["frame_errors"]
        yield (
            f"link      {link['frames_ok']:,} frames, {bad:,} bad, {link['overruns']:,} overruns, "
            f"{link['reconnects']:,} reconnects{drift}"
        )
    for output, health in told["outputs"].items():
        lost = health["n_dropped"] + health["n_blocks_dropped"]
        well = f"losing what it gets: {health['failure']}" if health["failure"] else "fine"
        yield f"output    {output}: {well}; {lost:,} lost, {health['n_waiting']:,} waiting"
    share = 100.0 * told["processing_s"] / max(1.0, told["uptime_s"])
    yield f"running   {_duration(told['uptime_s'])}, labelling takes {share:.1f} % of it; {told['viewers']} pages open"


def _signal(signal: dict[str, Any], stream: dict[str, Any] | None) -> str:
    if stream is None:
        return "--"
    quality = "" if signal["quality"] is None else f", beat quality {100.0 * signal['quality']:.0f} %"
    scale = "" if stream["calibrated"] else ", a.u. (not calibrated)"
    if signal["lead_off"]:
        return "electrode off" + scale
    causes = f" ({', '.join(signal['causes'])})" if signal["causes"] else ""
    return (f"noisy{causes}" if signal["noisy"] else "usable") + quality + scale


def _leads(stream: dict[str, Any]) -> str:
    return ", ".join(f"{lead} (labelled)" if lead == stream["lead"] else lead for lead in stream["leads"])


def _bars(hours: list[dict[str, Any]]) -> str:
    """One bar an hour, the newest last; the highest is the most of them, at least 10 %."""
    most = max(10.0, *(hour["ectopic_percent"] for hour in hours))
    known = {hour["hour"]: hour["ectopic_percent"] for hour in hours}
    newest = max(known)
    shares = [known.get(hour) for hour in range(min(known), newest + 1)]
    return "".join("·" if s is None else _BARS[max(s > 0, round(s / most * (len(_BARS) - 1)))] for s in shares).strip()


def _clock(utc: str | None) -> str:
    return "" if utc is None else utc[11:19]


def _duration(seconds: float) -> str:
    minutes = int(seconds // 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
