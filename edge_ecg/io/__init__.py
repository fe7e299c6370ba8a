"""Files of the WFDB world: headers, signals and annotations. numpy only."""

from edge_ecg.io.annotations import BEAT_SYMBOLS, Annotations, read_annotations, write_annotations
from edge_ecg.io.header import RecordHeader, SignalSpec, parse_header, read_header, record_stem
from edge_ecg.io.signals import INVALID_COUNT, Record, read_part, read_record, write_record

__all__ = [
    "BEAT_SYMBOLS",
    "INVALID_COUNT",
    "Annotations",
    "Record",
    "RecordHeader",
    "SignalSpec",
    "parse_header",
    "read_annotations",
    "read_header",
    "read_part",
    "read_record",
    "record_stem",
    "write_annotations",
    "write_record",
]
