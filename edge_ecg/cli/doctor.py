"""edge-ecg doctor: check this machine."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edge_ecg.doctor import examine
from edge_ecg.schema import encode

__all__ = ["doctor"]

FAILED = 2


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of checks.")
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    help="Settings file; not given: ./edge-ecg.toml, or /etc/edge-ecg/config.toml, which the service has.",
)
@click.pass_context
def doctor(ctx: click.Context, as_json: bool, config_path: Path | None) -> None:
    """Check this machine and say what to mend. Exit code 2 when a check fails.

    \b
    Example:
      edge-ecg doctor
      edge-ecg doctor --config bed-3.toml    (of a daemon that was started with it)
    """
    checks = examine(config_path)
    if as_json:
        click.echo(json.dumps([encode(check) for check in checks], indent=2))
    else:
        for check in checks:
            click.echo(f"{check.status:<4}  {check.name:<13}  {check.detail}")
            if check.next_step:
                click.echo(f"{'':<21}-> {check.next_step}")
    ctx.exit(FAILED if any(check.status == "fail" for check in checks) else 0)
