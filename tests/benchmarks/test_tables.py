"""The tables in the documents come from the manifests and from what was measured."""

from __future__ import annotations

import pytest

from benchmarks.tables import replaced, tables


@pytest.mark.parametrize("file", tables(), ids=lambda file: file.name)
def test_no_table_is_stale(file) -> None:  # type: ignore[no-untyped-def]
    text = file.read_text(encoding="utf-8")
    assert replaced(text, tables()[file]) == text, "run `python -m benchmarks.tables`"
