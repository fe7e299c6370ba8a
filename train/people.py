"""Test people: they choose nothing. Whoever scores them appends to the list of looks (`train.looks`)."""

from __future__ import annotations

from collections.abc import Iterable

from train.splits import DS2

__all__ = ["MITDB_TEST", "PTB_SETS", "SVDB_TEST", "is_test_person", "only_test_people"]

MITDB_TEST = frozenset({*DS2, 102, 104})
SVDB_TEST = frozenset({807, 821, 829, 846, 854, 861, 869, 876, 884, 891})
"""Every fifth line of the database's list."""
LEAD1_MODULUS = 4
"""Of `ecgdb_lead1` the patients (column ``ptbdb_patient``) whose number it divides."""
PTB_SETS = frozenset({"ecgdb_lead1", "ptb", "ptbdb"})
"""Recordings of the PTB Diagnostic patients, whom they share: asked for by the patient's number, not the record's."""


def is_test_person(dataset: str, record: str | int) -> bool:
    """Whether a record (of `PTB_SETS`: a PTB patient's number) of a database belongs to a test person."""
    text = str(record)
    if not (text.isascii() and text.isdecimal()):
        return False
    number = int(text)
    if dataset in PTB_SETS:
        # From 1: a record of nobody known is 0.
        return number > 0 and number % LEAD1_MODULUS == 0
    return number in {"mitdb": MITDB_TEST, "svdb": SVDB_TEST}.get(dataset, frozenset())


def only_test_people(dataset: str, records: Iterable[str | int]) -> list[str]:
    """Those of the records that belong to test people, in order."""
    return [str(r) for r in records if is_test_person(dataset, r)]
