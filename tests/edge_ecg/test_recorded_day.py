"""What the daemon records is what its report counts: the same figures from the recording as from the JSON lines."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from edge_ecg.cli.main import run
from edge_ecg.infer import open_classifier
from edge_ecg.runner import Runner
from edge_ecg.settings import RecordingSettings
from edge_ecg.sinks.jsonl import JsonlFileSink
from edge_ecg.sinks.recording import open_recording
from edge_ecg.sources.replay import open_replay
from edge_ecg.sources.virtual import EXCERPT
from edge_ecg.types import StreamInfo

NOON_UTC_S = 1_795_435_200.0  # 2026-11-23


class _Clocked:
    """A recording that knows when it was."""

    def __init__(self) -> None:
        self._source = open_replay(EXCERPT)

    def items(self):
        for item in self._source.items():
            yield replace(item, start_utc_s=NOON_UTC_S, time_scale=1.0) if isinstance(item, StreamInfo) else item

    def stop(self) -> None:
        self._source.stop()

    def close(self) -> None:
        self._source.close()


def test_a_report_says_the_same_of_a_recording_and_of_the_lines_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = tmp_path / "beats.jsonl"
    recording = open_recording(RecordingSettings(folder=str(tmp_path / "recordings"), subject="bed-3", min_free_gb=0.0))
    Runner(_Clocked(), open_classifier("rhythm"), [recording, JsonlFileSink(lines)]).run()
    told = []
    for args in (["2026-11-23", "--folder", str(tmp_path / "recordings")], ["--jsonl", str(lines)]):
        assert run(["report", *args, "--utc", "--json"]) == 0
        told.append(json.loads(capsys.readouterr().out))
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    n_beats = Counter(row["reject"] for row in rows if row["type"] == "beat")
    for figures in (report["figures"] for report in told):
        assert (figures["n_beats"], figures["n_rejected"]) == (n_beats[False], n_beats[True])
        assert figures["v"]["n_beats"] > 0
    # Lines end with their last event, a recording with its last sample: hours and shares may differ by that.
    for name in ("n_beats", "n_rejected", "v", "s"):
        assert _counts(told[0]["figures"][name]) == _counts(told[1]["figures"][name])
    assert [e["kind"] for e in told[0]["episodes"]] == [e["kind"] for e in told[1]["episodes"]]
    folder = ["--folder", str(tmp_path / "recordings")]
    assert run(["report", "2026-11-23", *folder, "--utc", "--html", str(tmp_path)]) == 0
    page = (tmp_path / "edge-ecg-bed-3-2026-11-23.html").read_text()
    assert "not a medical device" in page
    assert "<svg" in page


def _counts(value):
    return {k: v for k, v in value.items() if isinstance(v, int)} if isinstance(value, dict) else value
