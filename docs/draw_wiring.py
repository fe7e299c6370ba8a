"""The drawings of docs/wiring.md: ``python docs/draw_wiring.py [FOLDER]`` writes them, by default into docs/wiring.

Plain SVG on white, the same bytes each time; a test fails when the committed files differ. Positions are pixels of the
drawing; those on the body are relative to the middle of the neck, x to the left side of the body.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "wiring"

PAINT = {
    "red": "#d62728",
    "white": "#ffffff",
    "yellow": "#f4c800",
    "black": "#222222",
    "green": "#2a9d3a",
    "brown": "#8c5a2b",
    "grey": "#8a8f98",
}
INK, LEAD_INK, SKIN, BONE = "#222222", "#1d4ed8", "#f6efe9", "#cfc4ba"

# Where on the body, as seen from the front: the right arm is on the left of the drawing.
SPOTS = {"RA": (-66, 76), "LA": (66, 76), "RL": (-46, 258), "LL": (46, 258), "V1": (-10, 134)}
COLOURS = {  # IEC 60601-2-25, AHA
    "RA": ("red", "white"),
    "LA": ("yellow", "black"),
    "LL": ("green", "red"),
    "RL": ("black", "green"),
    "V1": ("white", "brown"),
}


@dataclass(frozen=True, slots=True)
class Placed:
    """An electrode: the wire with this name at that spot, and the pin of the board that it leads to."""

    wire: str
    spot: str
    pin: str = ""

    @property
    def label(self) -> tuple[str, ...]:
        """Its name, in lines."""
        return (self.wire,) if self.wire == self.spot else (f"{self.wire} wire", f"at {self.spot}")


@dataclass(frozen=True, slots=True)
class Lead:
    """An arrow from the negative electrode to the positive one."""

    name: str
    minus: tuple[int, int]
    plus: tuple[int, int]
    label_dx: int = 0
    label_dy: int = 0


LEAD_I = Lead("lead I", SPOTS["RA"], SPOTS["LA"], label_dy=-12)
LEAD_II = Lead("lead II", SPOTS["RA"], SPOTS["LL"], label_dx=-36, label_dy=20)

AS_PRINTED = (Placed("RA", "RA"), Placed("LA", "LA"), Placed("RL", "RL"))
FOR_LEAD_II = (Placed("RA", "RA"), Placed("LA", "LL"), Placed("RL", "RL"))


def text(x: int, y: int, words: str, size: int = 14, anchor: str = "start", fill: str = INK, bold: bool = False) -> str:
    """Words with a white rim, so that lines behind do not disturb them."""
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}" fill="{fill}"{weight} '
        f'stroke="#ffffff" stroke-width="4" stroke-linejoin="round" paint-order="stroke">{words}</text>'
    )


def disc(x: int, y: int, wire: str, radius: int = 11) -> str:
    """An electrode: its left half in the colour of IEC, its right half in that of AHA."""
    left, right = (PAINT[name] for name in COLOURS[wire])
    half = f"M{x} {y - radius}A{radius} {radius} 0 0"
    return (
        f'<path d="{half} 0 {x} {y + radius}Z" fill="{left}"/><path d="{half} 1 {x} {y + radius}Z" fill="{right}"/>'
        f'<circle cx="{x}" cy="{y}" r="{radius}" fill="none" stroke="{INK}" stroke-width="2"/>'
    )


def arrow(lead: Lead, x0: int, y0: int) -> list[str]:
    """The lead between the rims of its two electrodes, and its name."""
    (ax, ay), (bx, by) = lead.minus, lead.plus
    length = ((bx - ax) ** 2 + (by - ay) ** 2) ** 0.5
    ux, uy = (bx - ax) / length, (by - ay) / length
    tip = (x0 + bx - ux * 14, y0 + by - uy * 14)
    tail = (x0 + ax + ux * 16, y0 + ay + uy * 16)
    neck = (tip[0] - ux * 12, tip[1] - uy * 12)
    head = [tip, (neck[0] - uy * 6, neck[1] + ux * 6), (neck[0] + uy * 6, neck[1] - ux * 6)]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in head)
    middle_x = x0 + (ax + bx) // 2 + lead.label_dx
    return [
        f'<path d="M{tail[0]:.1f} {tail[1]:.1f}L{neck[0]:.1f} {neck[1]:.1f}" stroke="{LEAD_INK}" stroke-width="3"/>',
        f'<polygon points="{points}" fill="{LEAD_INK}"/>',
        text(middle_x, y0 + (ay + by) // 2 + lead.label_dy, lead.name, 15, "middle", LEAD_INK, bold=True),
    ]


def torso(x0: int, y0: int) -> list[str]:
    """The upper body from the front, with collarbones, breastbone, lower ribs and heart to find one's way."""
    outline = (
        "M-24 0C-24 30 -40 34 -78 42C-112 48 -126 70 -130 110L-138 220L-106 222L-98 130"
        "C-96 190 -88 210 -84 240C-82 270 -90 296 -94 320"
        "L94 320C90 296 82 270 84 240C88 210 96 190 98 130"
        "L106 222L138 220L130 110C126 70 112 48 78 42C40 34 24 30 24 0Z"
    )
    bones = (
        "M-10 48C-40 46 -66 46 -88 54M10 48C40 46 66 46 88 54M0 52L0 168"
        "M-62 232C-44 196 -20 184 0 168C20 184 44 196 62 232"
    )
    heart = "M10 196C40 190 48 160 36 146C28 138 14 142 8 150C-2 140 -20 146 -18 164C-16 180 -4 192 10 196Z"
    return [
        f'<g transform="translate({x0} {y0})" fill="none" stroke-width="2">',
        f'<path d="{outline}" fill="{SKIN}" stroke="{PAINT["grey"]}"/><path d="{bones}" stroke="{BONE}"/>',
        f'<path d="{heart}" fill="#f3cfcf" stroke="#dca9a9"/></g>',
        text(x0 - 122, y0 + 250, "right", 12, "middle", "#666666"),
        text(x0 + 122, y0 + 250, "left", 12, "middle", "#666666"),
    ]


def electrodes(x0: int, y0: int, placed: Sequence[Placed]) -> list[str]:
    """The electrodes and their names."""
    out = []
    for electrode in placed:
        dx, dy = SPOTS[electrode.spot]
        x, y = x0 + dx, y0 + dy
        out += [disc(x, y, electrode.wire)]
        # Beside the disc where a wire or another electrode is above or below it.
        nx, ny, anchor = {"RL": (-16, 5, "end"), "V1": (16, 5, "start"), "LL": (0, 28, "middle")}.get(
            electrode.spot, (0, -18, "middle")
        )
        for line, words in enumerate(electrode.label):
            out += [text(x + nx, y + ny + 16 * line, words, 14, anchor, bold=True)]
    return out


def key(x: int, y: int, wires: Sequence[str]) -> list[str]:
    """What the colours mean."""
    out = [text(x, y, "Colours: left half IEC, right half AHA", 13, fill="#444444")]
    for row, wire in enumerate(wires):
        iec, aha = COLOURS[wire]
        at = y + 28 + 28 * row
        out += [disc(x + 11, at, wire, 9), text(x + 32, at + 5, f"{wire}: IEC {iec}, AHA {aha}")]
    return out


def box(x: int, y: int, width: int, height: int, title: str) -> list[str]:
    """A board."""
    return [
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="#eef3f8" '
        f'stroke="{INK}" stroke-width="2"/>',
        text(x + width // 2, y - 10, title, 15, "middle", bold=True),
    ]


def pin(x: int, y: int, name: str, side: str) -> list[str]:
    """A pin on the left or right edge of a board, its name inside."""
    dx, anchor = (12, "start") if side == "left" else (-12, "end")
    return [
        f'<circle cx="{x}" cy="{y}" r="5" fill="#ffffff" stroke="{INK}" stroke-width="2"/>',
        f'<text x="{x + dx}" y="{y + 5}" font-size="14" text-anchor="{anchor}" fill="{INK}">{name}</text>',
    ]


def drawing(title: str, width: int, height: int, parts: Sequence[str]) -> str:
    """A whole SVG file."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="DejaVu Sans, Verdana, Arial, sans-serif" role="img">'
    )
    lines = [head, f"<title>{title}</title>", f'<rect width="{width}" height="{height}" fill="#ffffff"/>', *parts]
    return "\n".join([*lines, "</svg>", ""])


def placement(title: str, panels: Sequence[tuple[str, Sequence[Placed], Sequence[Lead]]], wires: Sequence[str]) -> str:
    """Torsos side by side, and the key to their colours."""
    parts: list[str] = []
    for column, (name, placed, leads) in enumerate(panels):
        x0 = 165 + 320 * column
        parts += [text(x0, 28, name, 16, "middle", bold=True), *torso(x0, 50)]
        for lead in leads:
            parts += arrow(lead, x0, 50)
        parts += electrodes(x0, 50, placed)
    right = 320 * len(panels) + 20
    return drawing(title, right + 290, 400, [*parts, *key(right, 130, wires)])


def bench(
    title: str,
    placed: Sequence[Placed],
    leads: Sequence[Lead],
    front_end: str,
    joined: Sequence[tuple[str, str]] = (),
    controller: str = "",
) -> str:
    """A torso, the front end that its wires lead to, and the pins of the controller that the front end is joined to."""
    x0, y0, left, width = 165, 50, 390, 190
    parts = torso(x0, y0)
    rows = max(len(placed), len(joined))
    height = 40 * rows + 30
    parts += box(left, 90, width, height, front_end)
    for row, electrode in enumerate(placed):
        dx, dy = SPOTS[electrode.spot]
        x, y, at = x0 + dx, y0 + dy, 125 + 40 * row
        # The wire of RL runs below the others, which would cross it.
        bend = f"C{x} {y + 130} {left - 60} {y + 100}" if electrode.spot == "RL" else f"C{x + 90} {y} {left - 90} {at}"
        wire = f'<path d="M{x} {y}{bend} {left} {at}" fill="none"'
        parts += [f'{wire} stroke="{INK}" stroke-width="4"/>']
        parts += [f'{wire} stroke="{PAINT[COLOURS[electrode.wire][0]]}" stroke-width="2"/>']
        parts += pin(left, at, electrode.pin, "left")
    for lead in leads:
        parts += arrow(lead, x0, y0)
    parts += electrodes(x0, y0, placed)
    if joined:
        far = left + width + 150
        parts += box(far, 90, 150, height, controller)
        for row, (here, there) in enumerate(joined):
            at = 125 + 40 * row
            near = left + width
            parts += [f'<path d="M{near} {at}H{far}" stroke="{INK}" stroke-width="2"/>']
            parts += [*pin(near, at, here, "right"), *pin(far, at, there, "left")]
    parts += key(left, 90 + height + 40, [electrode.wire for electrode in placed])
    return drawing(title, left + width + (330 if joined else 90), max(400, 90 + height + 70 + 28 * len(placed)), parts)


def drawings() -> dict[str, str]:
    """Every drawing by the name of its file."""
    ad8232 = tuple(Placed(e.wire, e.spot, e.wire) for e in FOR_LEAD_II)
    two_inputs = (Placed("RA", "RA", "IN-"), Placed("LL", "LL", "IN+"), Placed("RL", "RL", "REF"))
    cyton = (
        Placed("RA", "RA", "SRB, lower pin"),
        Placed("LL", "LL", "N1P, lower pin"),
        Placed("RL", "RL", "BIAS, lower pin"),
    )
    five = tuple(Placed(name, name) for name in ("RA", "LA", "RL", "LL", "V1"))
    arduino = (("OUTPUT", "A0"), ("LO+", "D10"), ("LO-", "D11"), ("GND", "GND"), ("3.3V", "3V3"))
    stm32 = (("OUTPUT", "PA0"), ("LO+", "PB10"), ("LO-", "PB11"), ("GND", "GND"), ("3.3V", "3V3"))
    return {
        "three-electrodes.svg": placement(
            "Three electrodes: lead I as printed, lead II with the LA wire at LL",
            [("As printed: lead I", AS_PRINTED, [LEAD_I]), ("For the models: lead II", FOR_LEAD_II, [LEAD_II])],
            ("RA", "LA", "RL"),
        ),
        "five-electrodes.svg": placement(
            "Five electrodes: leads I, II and V1",
            [("CH1: lead I, CH2: lead II, CH3: V1", five, [LEAD_I, LEAD_II])],
            ("RA", "LA", "LL", "RL", "V1"),
        ),
        "plus-minus.svg": bench("IN+, IN- and REF: lead II", two_inputs, [LEAD_II], "ECG sensor"),
        "exg-pill.svg": bench(
            "BioAmp EXG Pill on an Arduino: lead II",
            two_inputs,
            [LEAD_II],
            "BioAmp EXG Pill",
            (("OUT", "A0"), ("GND", "GND"), ("VCC", "5V")),
            "Arduino Uno R3",
        ),
        "cyton.svg": bench("OpenBCI Cyton: lead II on CH1", cyton, [LEAD_II], "OpenBCI Cyton"),
        "ad8232-arduino.svg": bench(
            "AD8232 on an Arduino: lead II", ad8232, [LEAD_II], "AD8232", arduino, "Uno or Nano"
        ),
        "ad8232-stm32.svg": bench("AD8232 on an STM32F103: lead II", ad8232, [LEAD_II], "AD8232", stm32, "STM32F103"),
    }


def main(arguments: Sequence[str]) -> None:
    """Write the drawings into a folder."""
    folder = Path(arguments[0]) if arguments else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, svg in drawings().items():
        (folder / name).write_text(svg, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
