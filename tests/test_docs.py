"""The documents and the command line agree."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import click
import pytest

from edge_ecg.cli.main import COMMANDS, main, run
from edge_ecg.settings import Settings

ROOT = Path(__file__).resolve().parents[1]


def documents() -> str:
    """Return the text of README.md and of everything in docs/."""
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def walk(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield a command and all its subcommands."""
    yield path, command
    if isinstance(command, click.Group):
        ctx = click.Context(command, info_name=path[-1])
        for name in command.list_commands(ctx):
            child = command.get_command(ctx, name)
            assert child is not None
            yield from walk(child, (*path, name))


def load(name: str) -> click.Command:
    command = main.get_command(click.Context(main, info_name="edge-ecg"), name)
    assert command is not None
    return command


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_documents(name: str) -> None:
    assert f"edge-ecg {name}" in documents(), f"neither README.md nor docs/ shows `edge-ecg {name}`"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_an_example_and_short_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for path, command in walk(load(name), (name,)):
        assert "Example:" in (command.help or ""), f"`edge-ecg {' '.join(path)} -h` shows no example"
        assert run([*path, "-h"]) == 0
        assert f"edge-ecg {' '.join(path)}" in capsys.readouterr().out


def test_every_setting_is_in_the_documents_with_its_default() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    for section, cls in get_type_hints(Settings).items():
        for item in fields(cls):
            default = getattr(cls(), item.name)
            shown = "not set" if default is None else f"`{json.dumps(default)}`"
            assert f"| `{section}.{item.name}` | {shown} | {item.metadata['doc']} |" in text


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    requirements = [("", line) for line in project["dependencies"]] + [
        (extra, line) for extra, lines in project["optional-dependencies"].items() for line in lines
    ]
    for extra, requirement in requirements:
        name = requirement.split(";")[0].split("=")[0].rstrip("<>~ ").split("<")[0].split(">")[0]
        rows = [line for line in text.splitlines() if line.startswith(f"| {extra} |" if extra else "| ")]
        assert any(name in row.split("|")[2 if extra else 1] for row in rows), f"no reason for {name} {extra}"
