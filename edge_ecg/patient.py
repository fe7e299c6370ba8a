"""What is known of one patient, kept in a file from run to run. Whose it is, the user says."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from edge_ecg.context.memory import PatientMemory
from edge_ecg.context.saved import About, pack_memory, unpack_memory
from edge_ecg.context.tracker import LEARNT
from edge_ecg.errors import DataError
from edge_ecg.settings import PatientSettings
from edge_ecg.types import Event, LinkEvent, OutputEvent, PatientEvent, StateEvent, StreamInfo

__all__ = ["KeptPatient", "PatientFile", "forget_patient", "patients_folder"]

SAVE_EVERY_S = 60.0
"""Of stream time."""
_LONGEST_LEAD = 100
"""Characters of a lead in the name of a file; the whole name stands in the file."""


def patients_folder(settings: PatientSettings) -> Path:
    """Where the files of patients are."""
    if settings.folder is not None:
        return Path(os.path.expanduser(settings.folder))
    import platformdirs

    return Path(platformdirs.user_state_dir("edge-ecg")) / "patients"


def forget_patient(name: str, settings: PatientSettings, tell: Callable[[str], None]) -> None:
    """Remove what was kept of a patient, and what a run that was killed has left of it.

    Raises
    ------
    DataError
        It cannot be removed: another person must not be labelled by this one's past.
    """
    folder = patients_folder(settings)
    try:
        for file in folder.glob(f"{name}@*"):
            file.unlink(missing_ok=True)
    except NotADirectoryError:
        pass
    except OSError as error:
        raise DataError(
            f"{name} is not forgotten, {file} cannot be removed: {error.strerror or error}",
            "Remove it yourself, name another patient, or another folder with patient.folder",
        ) from None
    tell(f"patient   {name}: forgotten")


def _file(name: str, lead: str) -> str:
    """Of a patient and a lead. No patient has an ``@`` in the name, so that nobody is forgotten with another."""
    return f"{name}@{quote(lead, safe='')[:_LONGEST_LEAD]}.npz"


def _told(lead: str) -> str:
    return f"{lead[1:]} upside down" if lead.startswith("-") else lead


class PatientFile:
    """Takes up what was kept of a patient, and keeps what is learnt; a sink, so that it is told how time goes by.

    It saves each minute of stream time and at the end, once it knows the patient; until then an older file stays.
    What cannot be read or written is told and never ends a run.

    Parameters
    ----------
    name
        What the patient is called; a `PatientSettings` has checked it.
    settings
        Where it is kept, and for how long it is good.
    lead
        Name of the lead, with a minus when it is turned upside down: in another lead a patient looks otherwise, and is
        kept in another file.
    tell
        Takes a line for the user.
    clock
        Wall clock, s since 1970 UTC.

    Attributes
    ----------
    memory
        What is known; a pipeline goes on writing into it.
    """

    lasting: ClassVar[bool] = False

    def __init__(
        self,
        name: str,
        settings: PatientSettings,
        lead: str,
        tell: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._name, self._lead, self._max_age_h = name, lead, settings.max_age_h
        self._file = patients_folder(settings) / _file(name, lead)
        self._clock = clock
        self._tell = tell
        self._stream, self._saved_at_s = "", 0.0
        self._failing = False
        self.memory = PatientMemory()
        self._take_up()
        self._make_folder()

    def emit(self, event: Event) -> None:
        """Save when a minute has gone by since the last time."""
        if isinstance(event, (LinkEvent, StateEvent, OutputEvent)):
            return
        if isinstance(event, PatientEvent) and not event.known:
            self._say("not the one who was kept, or other electrodes: learnt anew")
        t_s = event.at_index / event.stream.fs_hz
        if event.stream.stream != self._stream:
            self._stream, self._saved_at_s = event.stream.stream, t_s
        elif t_s >= self._saved_at_s + SAVE_EVERY_S:
            self._saved_at_s = t_s
            self._save()

    def close(self) -> None:
        """Save what is known now."""
        self._save()

    def _say(self, text: str) -> None:
        self._tell(f"patient   {self._name}: {text}")

    def _take_up(self) -> None:
        try:
            memory, about = unpack_memory(self._file.read_bytes())
        except FileNotFoundError:
            self._say("not known yet, learnt in about a minute")
            return
        except OSError as error:
            self._say(f"learnt anew: {self._file} cannot be read: {error.strerror or error}")
            return
        except DataError as error:
            self._say(f"learnt anew: {self._file}: {error.message}")
            return
        # A board's clock may have gone back since.
        age_h = abs(self._clock() - about.saved_utc_s) / 3600.0
        if about.patient != self._name:
            self._say(f"learnt anew: what was kept is of {about.patient}")
        elif about.lead != self._lead:
            self._say(f"learnt anew: what was kept is of lead {_told(about.lead)}, not of lead {_told(self._lead)}")
        elif age_h > self._max_age_h:
            self._say(f"learnt anew: what was kept is {age_h:.1f} h old, more than {self._max_age_h:g} h")
        else:
            self.memory = memory
            ago = f"{age_h:.1f} h" if age_h >= 0.1 else f"{3600.0 * age_h:.0f} s"
            self._say(f"taken up as known {ago} ago; --forget starts anew")

    def _make_folder(self) -> None:
        """What cannot be kept is told at the start, when somebody looks."""
        folder = self._file.parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            self._cannot(error)

    def _cannot(self, error: OSError) -> None:
        if not self._failing:
            why = error.strerror or str(error)
            self._say(f"cannot be kept in {self._file}: {why}. The labels go on; another place: patient.folder")
        self._failing = True

    def _save(self) -> None:
        if self.memory.intervals.n < LEARNT:
            return
        packed = pack_memory(self.memory, About(self._name, self._lead, self._clock()))
        part = self._file.with_name(f"{self._file.name}.{os.getpid()}.part")
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            part.write_bytes(packed)
            part.replace(self._file)
            self._failing = False
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            self._cannot(error)


class KeptPatient:
    """What is kept of the patient of a daemon, which knows the lead only once a board is there.

    A sink beside the pipeline, as `PatientFile`, of which it opens one for each lead that is labelled.
    """

    lasting: ClassVar[bool] = False

    def __init__(self, name: str, settings: PatientSettings, *, invert: bool, tell: Callable[[str], None]) -> None:
        self._name, self._settings, self._sign, self._tell = name, settings, "-" if invert else "", tell
        self._files: dict[str, PatientFile] = {}
        self._file: PatientFile | None = None

    def memory(self, stream: StreamInfo, lead: int) -> PatientMemory:
        """What is known of the patient in a lead of a stream."""
        name = self._sign + stream.leads[lead]
        if name not in self._files:
            self._files[name] = PatientFile(self._name, self._settings, name, self._tell)
        self._file = self._files[name]
        return self._file.memory

    def emit(self, event: Event) -> None:
        """Save when a minute has gone by since the last time."""
        if self._file is not None:
            self._file.emit(event)

    def close(self) -> None:
        """Save what is known now."""
        if self._file is not None:
            self._file.close()
