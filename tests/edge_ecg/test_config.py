"""Settings: precedence, origins, and one clear line for everything that is wrong."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ecg.config import example, load, read_file, render
from edge_ecg.errors import ConfigError
from edge_ecg.schema import decode
from edge_ecg.settings import LinkSettings, OutputSettings, Settings


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_when_nothing_is_set(tmp_path: Path) -> None:
    loaded = load(config_path=write(tmp_path / "empty.toml", ""), env={})
    assert loaded.settings == Settings()
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.settings.link.baud is None


def test_flag_over_environment_over_file_over_default(tmp_path: Path) -> None:
    path = write(tmp_path / "a.toml", '[link]\nport = "file"\nbaud = 1\nhandshake_timeout_s = 2\n')
    env = {"EDGE_ECG__LINK__PORT": "environment", "EDGE_ECG__LINK__BAUD": "9600", "EDGE_ECG_DATA": "/data"}
    loaded = load({"link.port": "flag", "link.baud": None}, config_path=path, env=env)
    assert loaded.settings.link == LinkSettings(port="flag", baud=9600, handshake_timeout_s=2.0)
    assert loaded.origins["link.port"] == "flag"
    assert loaded.origins["link.baud"] == "environment EDGE_ECG__LINK__BAUD"
    assert loaded.origins["link.handshake_timeout_s"] == f"file {path}"
    assert loaded.origins["model.id"] == "default"
    assert loaded.file == path


def test_file_of_the_current_directory_is_found_and_config_flag_wins(tmp_path: Path) -> None:
    write(tmp_path / "edge-ecg.toml", "[signal]\ninvert = true\n")
    assert load(env={}).settings.signal.invert is True
    assert load(config_path=write(tmp_path / "b.toml", ""), env={}).settings.signal.invert is False


@pytest.mark.parametrize(("text", "value"), [("true", True), ("1", True), ("False", False), ("0", False), ("", False)])
def test_booleans_of_the_environment(text: str, value: bool) -> None:
    assert load(env={"EDGE_ECG__SIGNAL__INVERT": text}).settings.signal.invert is value


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[link]\nbauds = 9600\n", ['"link.bauds"', 'Did you mean "link.baud"?']),
        ("[lnk]\n", ['"lnk"', '"link"']),
        ("link = 3\n", ['"link" must be a table, found 3']),
        ("[link]\nbaud = 0\n", ['"link.baud" must be above 0, found 0']),
        ("[link]\nbaud = 12345678901\n", ['"link.baud" must be at most 20000000']),
        ("[link]\nhandshake_timeout_s = 31\n", ['"link.handshake_timeout_s" must be at most 30']),
        ("[link]\nport = ''\n", ['"link.port" must not be empty']),
        ("[model]\nid = ''\n", ['"model.id" must not be empty']),
        ("[signal]\nlead = ''\n", ['"signal.lead" must not be empty']),
        ("[link]\nbaud = true\n", ['"link.baud" must be a whole number, found true']),
        ("[link]\nport = 3\n", ['"link.port" must be text, found 3']),
        ("[signal]\nuv_per_lsb = -1.5\n", ['"signal.uv_per_lsb" must be above 0, found -1.5']),
        ("[signal]\nuv_per_lsb = nan\n", ['"signal.uv_per_lsb" must be a finite number']),
        ("[link]\nport = 2020-01-01\n", ['"link.port" must be text, found a date']),
        ("[link\n", ["not valid TOML", "line 1"]),
        ("[link]\nbaud = 1\nbaud = 2\n", ["not valid TOML"]),
    ],
)
def test_a_wrong_file_is_one_clear_line(tmp_path: Path, text: str, parts: list[str]) -> None:
    path = write(tmp_path / "wrong.toml", text)
    for attempt in (lambda: read_file(path), lambda: load(config_path=path, env={})):
        with pytest.raises(ConfigError) as caught:
            attempt()
        assert str(caught.value).startswith(f"{path}: ")
        for part in parts:
            assert part in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(config_path=tmp_path / "absent.toml", env={})
    with pytest.raises(ConfigError, match="directory"):
        load(config_path=tmp_path, env={})
    with pytest.raises(ConfigError, match=r"/dev/full.*not a regular file"):
        read_file(Path("/dev/full"))
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load(config_path=tmp_path / "binary.toml", env={})


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        ("EDGE_ECG__LINK__BAUDS", "1", ["EDGE_ECG__LINK__BAUDS", 'Did you mean "EDGE_ECG__LINK__BAUD"?']),
        ("EDGE_ECG__LINK__BAUD", "fast", ["EDGE_ECG__LINK__BAUD: ", 'a whole number, found "fast"']),
        ("EDGE_ECG__LINK__BAUD", "-1", ["EDGE_ECG__LINK__BAUD: ", "above 0"]),
        ("EDGE_ECG__SIGNAL__INVERT", "maybe", ["EDGE_ECG__SIGNAL__INVERT: ", 'true or false, found "maybe"']),
        ("EDGE_ECG__SIGNAL__UV_PER_LSB", "inf", ["EDGE_ECG__SIGNAL__UV_PER_LSB: ", "finite"]),
    ],
)
def test_a_wrong_variable_names_itself(name: str, text: str, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load(env={name: text})
    for part in parts:
        assert part in str(caught.value)


def test_a_wrong_flag_names_the_command_line() -> None:
    with pytest.raises(ConfigError, match=r'command line: "link.baud" must be above 0'):
        load({"link.baud": 0}, env={})


def test_the_example_is_valid_and_changes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "example.toml", example())
    assert load(config_path=path, env={}).settings == Settings()
    # ... and stays valid with every optional line switched on.
    lines = [line[1:] if line.startswith("#") and line[1] != " " else line for line in example().splitlines()]
    assert sum(line.startswith("#") for line in lines) < sum(line.startswith("#") for line in example().splitlines())
    tables = read_file(write(tmp_path / "all.toml", "\n".join(lines)))
    assert sum(len(table) for table in tables.values()) == len(load(env={}).origins)


text = st.text(st.characters(exclude_categories=["Cs"]))


@given(text.filter(str.strip), text.filter(str.strip), st.booleans(), st.floats(min_value=1e-300, max_value=1e300))
def test_rendered_settings_read_back(port: str, jsonl: str, invert: bool, uv_per_lsb: float) -> None:
    default = Settings()
    settings = Settings(
        link=LinkSettings(port=port),
        signal=replace(default.signal, invert=invert, uv_per_lsb=uv_per_lsb),
        output=OutputSettings(jsonl=jsonl),
    )
    tables = tomllib.loads(render(settings, {"link.port": "flag", "signal.lead": "default"}))
    assert decode(Settings, tables, where="x", error=ConfigError) == settings
