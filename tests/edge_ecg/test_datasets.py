"""Fetching and verifying databases, against a real web server on this machine."""

from __future__ import annotations

import hashlib
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_ecg import datasets
from edge_ecg.cli.data import data
from edge_ecg.errors import DataError, UsageError
from edge_ecg.io.checksums import parse_sums, wanted_files

FILES = {
    "RECORDS": b"r1\n",
    "r1.hea": b"r1 1 360 2\nr1.dat 16\n",
    "r1.dat": bytes(range(256)) * 1000,
    "r1.atr": b"\x05\x04\x00\x00",
    "index.htm": b"a page",
    "extra/x1.hea": b"not one of the records",
}


def sums_of(files: dict[str, bytes]) -> bytes:
    return "".join(f"{hashlib.sha256(v).hexdigest()} {k}\n" for k, v in files.items()).encode()


class Mirror:
    """A web server that holds files, honours ranges, and breaks off or lies on request."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {**FILES, "SHA256SUMS.txt": sums_of(FILES)}
        self.asked: list[tuple[str, str | None, int]] = []  # file, range, bytes sent
        self.break_after: dict[str, list[int]] = {}
        self.ranges = True
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.removeprefix("/db/")
                if name not in mirror.files:
                    mirror.asked.append((name, None, 0))
                    self.send_error(404)
                    return
                content, wanted, start = mirror.files[name], self.headers.get("Range"), 0
                if wanted and mirror.ranges:
                    start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                    if start >= len(content):
                        mirror.asked.append((name, wanted, 0))
                        self.send_error(416)
                        return
                    self.send_response(206)
                    self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
                else:
                    self.send_response(200)
                rest = content[start:]
                self.send_header("Content-Length", str(len(rest)))
                self.end_headers()
                cuts = mirror.break_after.get(name)
                body = rest[: cuts.pop(0)] if cuts else rest
                mirror.asked.append((name, wanted, len(body)))
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/db"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def names(self) -> list[str]:
        return [name for name, _, _ in self.asked]


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setenv("no_proxy", "*")
    served = Mirror()
    yield served
    served.close()


def test_a_fetch_brings_the_records_whole_and_nothing_else(mirror, tmp_path):
    seen = []
    folder = datasets.fetch("svdb", tmp_path, lambda *now: seen.append(now), mirror.url)
    assert folder == tmp_path / "svdb"
    brought = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert brought == {
        k: mirror.files[k] for k in ("RECORDS", "r1.hea", "r1.dat", "r1.atr", "SHA256SUMS.txt")
    }
    assert set(datasets.verify("svdb", tmp_path)) == {(k, "ok") for k in brought if k != "SHA256SUMS.txt"}
    assert seen[-1] == ("", 4, 4, 0)
    assert ("r1.dat", 2, 4, 256000) in seen


def test_what_is_whole_is_not_fetched_again(mirror, tmp_path):
    datasets.fetch("svdb", tmp_path, base_url=mirror.url)
    (tmp_path / "svdb" / "r1.hea").write_bytes(b"damaged")
    (tmp_path / "svdb" / "r1.atr").unlink()
    assert dict(datasets.verify("svdb", tmp_path)) == {
        "RECORDS": "ok",
        "r1.atr": "missing",
        "r1.dat": "ok",
        "r1.hea": "wrong",
    }
    mirror.asked.clear()
    datasets.fetch("svdb", tmp_path, base_url=mirror.url)
    assert mirror.names() == ["SHA256SUMS.txt", "r1.atr", "r1.hea"]
    assert {state for _, state in datasets.verify("svdb", tmp_path)} == {"ok"}


def test_a_broken_download_goes_on_where_it_stopped(mirror, tmp_path):
    mirror.break_after["r1.dat"] = [100_000, 50_000]
    datasets.fetch("svdb", tmp_path, base_url=mirror.url)
    assert (tmp_path / "svdb" / "r1.dat").read_bytes() == FILES["r1.dat"]
    assert [(asked, n) for name, asked, n in mirror.asked if name == "r1.dat"] == [
        (None, 100_000),
        ("bytes=100000-", 50_000),
        ("bytes=150000-", 106_000),
    ]


def test_a_download_that_keeps_breaking_ends_with_a_word_and_the_next_run_goes_on(mirror, tmp_path):
    mirror.break_after["r1.dat"] = [10_000] * 5
    with pytest.raises(DataError, match="broke off 5 times") as error:
        datasets.fetch("svdb", tmp_path, base_url=mirror.url)
    assert "same command again" in error.value.hint
    assert not (tmp_path / "svdb" / "r1.dat").exists()
    assert (tmp_path / "svdb" / "r1.dat.part").stat().st_size == 50_000
    mirror.asked.clear()
    datasets.fetch("svdb", tmp_path, base_url=mirror.url)
    assert ("r1.dat", "bytes=50000-", 206_000) in mirror.asked


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("left", [b"from another version", FILES["r1.dat"] + b"too long"])
def test_a_part_that_does_not_fit_is_begun_again(mirror, tmp_path, left, ranges):
    mirror.ranges = ranges
    (tmp_path / "svdb").mkdir()
    (tmp_path / "svdb" / "r1.dat.part").write_bytes(left)
    datasets.fetch("svdb", tmp_path, base_url=mirror.url)
    assert (tmp_path / "svdb" / "r1.dat").read_bytes() == FILES["r1.dat"]
    assert not list((tmp_path / "svdb").glob("*.part"))


def test_a_corrupt_file_is_refused_and_leaves_nothing(mirror, tmp_path):
    mirror.files["r1.dat"] = FILES["r1.dat"][:-1] + b"!"
    with pytest.raises(DataError, match=r"r1\.dat is not the file its checksum promises"):
        datasets.fetch("svdb", tmp_path, base_url=mirror.url)
    assert not list((tmp_path / "svdb").glob("r1.dat*"))


def test_a_file_the_mirror_lacks_is_named(mirror, tmp_path):
    del mirror.files["r1.atr"]
    with pytest.raises(DataError, match=r"r1\.atr answers 404") as error:
        datasets.fetch("svdb", tmp_path, base_url=mirror.url)
    assert "https://physionet.org/files/svdb/1.0.0/" in error.value.hint


def test_offline_is_one_clear_line(monkeypatch, tmp_path):
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(DataError) as error:
        datasets.fetch("mitdb", tmp_path, base_url=f"http://127.0.0.1:{port}/")
    text = str(error.value)
    for word in (
        "cannot reach",
        "offline",
        "https://physionet.org/files/mitdb/1.0.0/",
        str(tmp_path / "mitdb"),
    ):
        assert word in text
    assert "\n" not in text
    with pytest.raises(DataError, match="no web address"):
        datasets.fetch("mitdb", tmp_path, base_url="somewhere")


def test_a_mirror_with_another_list_for_mitdb_is_noticed(mirror, tmp_path):
    with pytest.raises(DataError, match="not the list mitdb is known by"):
        datasets.fetch("mitdb", tmp_path, base_url=mirror.url)
    assert not (tmp_path / "mitdb").exists()
    (tmp_path / "mitdb").mkdir()
    (tmp_path / "mitdb" / "SHA256SUMS.txt").write_bytes(sums_of(FILES))
    assert datasets.verify("mitdb", tmp_path) == [("SHA256SUMS.txt", "wrong")]


@pytest.mark.parametrize(
    "name", ["../r1.dat", "a/../../b", "/etc/passwd", "a\\..\\b", "C:x", "..", "a\x00b", "a/./../..", "x?y"]
)
def test_a_list_that_leads_outside_is_refused(mirror, tmp_path, name):
    mirror.files["SHA256SUMS.txt"] = sums_of({"r1.hea": b"", name: b""})
    with pytest.raises(DataError, match=r"line 2: .* outside the folder"):
        datasets.fetch("svdb", tmp_path, base_url=mirror.url)
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize("listed", [b"<html>not found</html>", b"1234 r1.hea\n", b"\xff\xfe"])
def test_what_is_no_list_is_refused(mirror, tmp_path, listed):
    mirror.files["SHA256SUMS.txt"] = listed
    with pytest.raises(DataError, match=r"SHA256SUMS\.txt"):
        datasets.fetch("svdb", tmp_path, base_url=mirror.url)


def test_one_folder_a_patient_is_understood():
    sums = parse_sums(
        sums_of({"patient001/s1.hea": b"", "patient001/s1.xyz": b"", "CONTROLS": b""}).decode(), "x"
    )
    assert list(wanted_files(sums)) == ["patient001/s1.hea", "patient001/s1.xyz"]


def test_a_database_without_a_list_of_its_own_uses_the_packages(tmp_path, mirror):
    states = datasets.verify("ecgdb_lead1", tmp_path)
    assert len(states) == 445
    assert {state for _, state in states} == {"missing"}
    with pytest.raises(DataError, match=r"data_ECG/subject_319\.csv answers 404"):
        datasets.fetch("ecgdb_lead1", tmp_path, base_url=mirror.url)
    assert dict(datasets.verify("ecgdb_lead1", tmp_path))["subjects.csv"] == "ok"


def test_real_databases_are_whole(data_dir):
    for name in ("mitdb", "svdb", "cudb"):
        if (data_dir / name / "SHA256SUMS.txt").exists():
            assert {state for _, state in datasets.verify(name, data_dir)} == {"ok"}


def test_the_catalogue_is_complete_and_unknown_names_are_told():
    assert set(datasets.CATALOGUE) == {"mitdb", "svdb", "nstdb", "cudb", "nsrdb", "ptbdb", "ecgdb_lead1"}
    for entry in datasets.CATALOGUE.values():
        assert entry.home.startswith("https://")
        assert entry.home.endswith("/")
        assert entry.licence
        assert entry.citation
    with pytest.raises(UsageError, match="Did you mean mitdb"):
        datasets.dataset("mitbd")


def test_data_lie_where_the_variable_says_else_in_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("EDGE_ECG_DATA", str(tmp_path))
    assert datasets.data_root() == tmp_path
    monkeypatch.delenv("EDGE_ECG_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert datasets.data_root() == tmp_path / "cache" / "edge-ecg" / "data"


def test_the_commands_fetch_verify_and_list(mirror, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGE_ECG_DATA", str(tmp_path))
    run = CliRunner()
    fetched = run.invoke(data, ["fetch", "svdb", "--mirror", mirror.url])
    assert fetched.exit_code == 0, fetched.output
    assert "complete" in fetched.stdout
    assert "Cite: Greenwald" in fetched.stdout
    assert "ODC-By" in fetched.stderr
    assert "all 4 files" in run.invoke(data, ["verify", "svdb"]).stdout
    (tmp_path / "svdb" / "r1.dat").write_bytes(b"")
    (tmp_path / "svdb" / "r1.atr").unlink()
    told = run.invoke(data, ["verify", "svdb", "--json"])
    assert isinstance(told.exception, DataError)
    assert told.exception.exit_code == 5
    assert json.loads(told.stdout) == {
        "name": "svdb",
        "folder": str(tmp_path / "svdb"),
        "ok": 2,
        "missing": ["r1.atr"],
        "wrong": ["r1.dat"],
    }
    listed = run.invoke(data, ["list"]).stdout
    assert all(name in listed for name in datasets.CATALOGUE)
    assert [line.split()[1] for line in listed.splitlines() if line.startswith(("svdb", "cudb"))] == [
        "here",
        "-",
    ]


@pytest.mark.parametrize("command", [[], ["fetch"], ["verify"], ["list"]])
def test_each_command_has_help_with_an_example(command):
    result = CliRunner().invoke(data, [*command, "--help"])
    assert result.exit_code == 0
    assert "Example:" in result.output


def test_verify_without_a_list_says_what_to_do(tmp_path: Path):
    with pytest.raises(DataError, match="data fetch cudb"):
        datasets.verify("cudb", tmp_path)
