"""The page of wirings: every board, leads that exist, the pins of our firmware, and drawings as they are drawn."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from firmware_bridge.boards import BOARDS

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = (DOCS / "wiring.md").read_text(encoding="utf-8")
ROWS = {line.split("`")[1]: line for line in PAGE.splitlines() if line.startswith("| `")}
DRAWINGS = sorted((DOCS / "wiring").iterdir())


def words(drawing: str) -> list[str]:
    """All texts of a drawing, in the order of the file."""
    root = ET.parse(DOCS / "wiring" / drawing).getroot()
    return [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]


def test_every_board_is_on_the_page() -> None:
    assert list(ROWS) == list(BOARDS)


@pytest.mark.parametrize("name", BOARDS)
def test_the_options_of_a_board_name_it_and_a_lead_that_it_has(name: str) -> None:
    options = ROWS[name].split("|")[-2]
    assert re.findall(r"--board (\w+)", options) == [name]
    leads = re.findall(r"--lead (\w+)", options)
    assert set(leads) <= set(BOARDS[name].leads)
    assert bool(leads) == (len(BOARDS[name].leads) > 1), "a board of several columns needs --lead, no other does"


def test_the_page_links_to_safety_first_and_each_section_begins_with_the_line() -> None:
    head, *sections = re.split(r"^## .*\n", PAGE, flags=re.MULTILINE)
    assert "(safety.md)" in head
    for section in sections:
        assert section.strip().startswith("**Only battery power, or an isolated supply and isolated USB, while")


def test_links_within_the_page_lead_to_its_sections() -> None:
    titles = re.findall(r"^## (.*)$", PAGE, flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= anchors


def test_the_committed_drawings_are_what_the_script_draws(tmp_path: Path) -> None:
    subprocess.run([sys.executable, DOCS / "draw_wiring.py", tmp_path], check=True)
    fresh = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert fresh == {path.name: path.read_bytes() for path in DRAWINGS}, "stale: python docs/draw_wiring.py"


@pytest.mark.parametrize("path", DRAWINGS, ids=lambda path: path.name)
def test_a_drawing_is_shown_small_and_on_white(path: Path) -> None:
    assert f"](wiring/{path.name})" in PAGE
    assert path.stat().st_size < 30_000
    root = ET.parse(path).getroot()
    ground = root.find("{http://www.w3.org/2000/svg}rect")
    assert ground is not None
    assert ground.attrib == {"width": root.attrib["width"], "height": root.attrib["height"], "fill": "#ffffff"}


@pytest.mark.parametrize(
    ("drawing", "main"),
    [("ad8232-arduino.svg", "arduino/examples/Board/Board.ino"), ("ad8232-stm32.svg", "boards/stm32f103/main.c")],
)
def test_the_pins_are_those_of_the_firmware(drawing: str, main: str) -> None:
    source = (DOCS.parent / "firmware" / main).read_text(encoding="utf-8")
    found = dict(re.findall(r"(OUTPUT|LO\+|LO-) to (\w+)", source))
    found |= {name: pin for pin, name in re.findall(r"(P[AB]\d+) = (OUTPUT|LO\+|LO-)", source)}
    assert set(found) == {"OUTPUT", "LO+", "LO-"}
    drawn = words(drawing)
    assert {name: drawn[drawn.index(name) + 1] for name in found} == found
