"""edge-ecg config: show, check, example."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edge_ecg import config as settings_of
from edge_ecg.errors import ConfigError
from edge_ecg.schema import encode
from edge_ecg.settings import Settings

__all__ = ["config"]


@click.group()
def config() -> None:
    """Show and check the settings, print an example.

    A flag wins over the environment (EDGE_ECG__LINK__PORT), that over the file (--config, else
    ./edge-ecg.toml, else /etc/edge-ecg/config.toml), that over the defaults.

    \b
    Example:
      edge-ecg config example > edge-ecg.toml
    """


@config.command()
@click.option("--origin", is_flag=True, help="Say behind every value where it comes from.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with settings and origins.")
@click.option("--config", "path", type=click.Path(path_type=Path), help="Settings file to use.")
def show(origin: bool, as_json: bool, path: Path | None) -> None:
    """Print the settings in force, as TOML.

    \b
    Example:
      edge-ecg config show --origin
    """
    loaded = settings_of.load(config_path=path)
    if as_json:
        file = str(loaded.file) if loaded.file else None
        document = {"settings": encode(loaded.settings), "origins": loaded.origins, "file": file}
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(settings_of.render(loaded.settings, loaded.origins if origin else None), nl=False)


@config.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
def check(file: Path | None) -> None:
    """Check FILE; without it, the file and the environment that would be used.

    \b
    Example:
      edge-ecg config check edge-ecg.toml
    """
    if file is not None:
        _check(settings_of.load(config_path=file, env={}).settings)
        click.echo(f"{file}: ok")
        return
    loaded = settings_of.load()
    _check(loaded.settings)
    sources = sorted({origin for origin in loaded.origins.values() if origin != "default"})
    if loaded.file and f"file {loaded.file}" not in sources:
        sources.insert(0, f"file {loaded.file}")
    click.echo(f"{', '.join(sources) or 'defaults only'}: ok")


def _check(settings: Settings) -> None:
    """Whether the model knows its operating point, and the daemon could open what the settings ask for."""
    from edge_ecg.readiness import examine_outputs

    for check in examine_outputs(settings):
        if check.status == "fail":
            raise ConfigError(f"{check.name}: {check.detail}", check.next_step)
    if settings.model.operating_point is not None:
        from edge_ecg.infer import open_classifier

        open_classifier(settings.model.id, operating_point=settings.model.operating_point)


@config.command()
def example() -> None:
    """Print a settings file that explains every setting.

    \b
    Example:
      edge-ecg config example > edge-ecg.toml
    """
    click.echo(settings_of.example(), nl=False)
