"""`edge-ecg run`: label the beats of a board on a serial port."""

from __future__ import annotations

from pathlib import Path

import click

from edge_ecg import config
from edge_ecg.cli.accelerator import model_options, open_model
from edge_ecg.cli.interrupt import orderly_stop
from edge_ecg.cli.report import (
    DISCLAIMER,
    event_sinks,
    link_line,
    raise_what_went_wrong,
    stats_lines,
    tell,
    tell_failure,
    tell_safety_once,
)
from edge_ecg.context.tracker import ContextParams
from edge_ecg.detector import shipped_nets
from edge_ecg.errors import EdgeEcgError, SourceError, UsageError
from edge_ecg.infer import Accelerator, Classifier
from edge_ecg.labels import OperatingPoint
from edge_ecg.leads import pick_lead
from edge_ecg.patient import PatientFile, forget_patient
from edge_ecg.runner import Runner
from edge_ecg.settings import Settings
from edge_ecg.sources.serial_link import SerialLinkSource
from firmware_bridge.blocks import LinkError
from firmware_bridge.ports import list_ports


@click.command("run")
@click.option("--port", metavar="DEV", help="Serial port of the board; default: the only one there is.")
@click.option("--board", metavar="NAME", help="What is on it: edge (the default), auto, one of `edge-ecg boards list`.")
@click.option("--baud", type=int, help="Bits per second; default: the board's usual (USB boards do not care).")
@click.option("--rate", "fs_hz", type=float, metavar="HZ", help="Rate to ask a board with our firmware for.")
@model_options
@click.option("--lead", metavar="NAME|N", help="Lead to label; default MLII, else II, else the first.")
@click.option("--invert", is_flag=True, default=None, help="Turn the lead upside down.")
@click.option("--uv-per-lsb", type=float, help="Microvolts per ADC count, for a board that does not know.")
@click.option("--patient", metavar="NAME", help="Keep what a rhythm model learns of a patient, and take it up again.")
@click.option("--forget", is_flag=True, help="Begin anew with the patient, whatever was kept.")
@click.option("--jsonl", metavar="FILE|-", help="JSON lines: appends to FILE; - for stdout, and nothing else there.")
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="Settings file.")
def run_command(
    port: str | None,
    board: str | None,
    baud: int | None,
    fs_hz: float | None,
    model: str | None,
    accelerator: Accelerator,
    operating_point: OperatingPoint | None,
    min_confidence: float | None,
    lead: str | None,
    invert: bool | None,
    uv_per_lsb: float | None,
    patient: str | None,
    forget: bool,
    jsonl: str | None,
    config_path: Path | None,
) -> None:
    """Label beats from a board on a serial port, until Ctrl-C (exit code 0).

    Only battery power or an isolated supply and isolated USB while electrodes touch a person.

    \b
    Example:
      edge-ecg run --port /dev/ttyACM0 --jsonl beats.jsonl
      edge-ecg simulate --pty-link /tmp/board    (in another terminal: a board without hardware)
      edge-ecg run --port /tmp/board
      edge-ecg run --patient bed-3       (knows the patient after a restart)
    """
    flags = {
        "link.port": port,
        "link.board": board,
        "link.baud": baud,
        "link.fs_hz": fs_hz,
        "model.id": model,
        "model.operating_point": operating_point,
        "model.min_confidence": min_confidence,
        "patient.name": patient,
        "signal.lead": lead,
        "signal.invert": invert,
        "signal.uv_per_lsb": uv_per_lsb,
        "output.jsonl": jsonl,
    }
    settings = config.load(flags, config_path=config_path).settings
    if forget and settings.patient.name is None:
        raise UsageError("--forget needs to know whom", "Name the patient with --patient")
    classifier = open_model(settings.model.id, accelerator, settings.model.operating_point)
    shipped_nets()  # damaged weights are told before a board is asked for
    click.echo(DISCLAIMER, err=True)
    tell_safety_once()
    link = settings.link
    source = SerialLinkSource(
        link.port or only_port(), link.baud, link.handshake_timeout_s, settings.signal.uv_per_lsb,
        wait_s=link.wait_s, board=link.board, fs_hz=link.fs_hz,
    )  # fmt: skip
    try:
        # An unknown lead or a bad file is a mistake to be told before anything streams.
        lead_index = pick_lead(source.info.leads, settings.signal.lead, source.info.name)
        outputs = event_sinks(settings.output.jsonl)
        known = _patient(settings, classifier, source.info.leads[lead_index], forget=forget)
    except BaseException:
        source.close()
        raise
    runner = Runner(
        source,
        classifier,
        [*outputs, *([] if known is None else [known])],
        lead=settings.signal.lead,
        invert=settings.signal.invert,
        memory=None if known is None else known.memory,
        min_confidence=settings.model.min_confidence,
        on_failure=tell_failure,
    )
    broken: LinkError | EdgeEcgError | None = None
    with orderly_stop(runner.stop):
        try:
            runner.run()
        except (LinkError, EdgeEcgError) as error:
            broken = error
    counters = source.stats()
    for line in [*stats_lines(runner.stats, counters), link_line(counters)]:
        tell(line)
    raise_what_went_wrong(broken, runner.sinks[: len(outputs)])


def _patient(settings: Settings, classifier: Classifier, lead: str, *, forget: bool) -> PatientFile | None:
    """What is kept of the patient; None without a patient, or for a model that would not use it."""
    name = settings.patient.name
    if name is None:
        return None
    if forget:
        forget_patient(name, settings.patient, tell)
    if not isinstance(classifier.preprocessing, ContextParams):
        tell(f"note      {classifier.model_id} follows no patient: nothing more of {name} is kept")
        return None
    sign = "-" if settings.signal.invert else ""
    return PatientFile(name, settings.patient, sign + lead, tell)


def only_port() -> str:
    """The port of a machine that has one. Raises `UsageError` where there are none, or several."""
    ports = list_ports()
    if len(ports) == 1:
        return ports[0].device
    if not ports:
        raise SourceError(
            "there is no serial port on this machine",
            "Plug the board in, or try without one: `edge-ecg simulate` in another terminal",
        )
    raise SourceError(
        f"there are {len(ports)} serial ports: {', '.join(p.device for p in ports)}", "Choose one with --port"
    )
