"""The boards that are known: how each is opened, what its counts are worth, and what it does not tell.

Rates, scales and commands are those of the firmware named as `source`, read in its repository; none was measured on
hardware. "Not verified" in a note: from a data sheet, or a value that depends on how a board is built.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Literal

__all__ = ["BOARDS", "Board", "LeadOffTrust"]

LeadOffTrust = Literal["none", "hint", "sure"]
"""What lead-off on the wire is worth: not there; 1 means off, but 0 means nothing; both can be believed."""


@dataclass(frozen=True, slots=True)
class Board:
    """One kind of board with one firmware.

    Attributes
    ----------
    name, title
        What it is called on the command line, and by people.
    decoder
        Its protocol, a key of ``firmware_bridge.protocols.DECODERS``.
    fs_hz
        Nominal rate; None: the board says it, or it must be measured.
    leads
        Names of the columns of counts; where a board has a choice, of its usual set.
    lsb_nv
        Nanovolts at the electrode of one count; None: unknown.
    lead_off
        What lead-off on the wire is worth.
    bauds
        To be tried in this order; of USB ports without a real UART, any will do.
    source
        Where the layout comes from.
    group_delay_ms
        How late filters make a sample: the board's own, and that of `firmware_bridge.freerun` for a fast one.
    usb_ids
        Vendor and product of its USB port where known; other devices may have the same.
    settle_s
        How long it hears nothing after its port was opened, since that resets it.
    greeting, greeting_ends
        What to send first, if anything, and how the answer to it ends.
    start, stop
        The bytes that begin and end the stream; empty: it streams by itself.
    is_isochronous
        Whether its own timer takes the samples, at `fs_hz`. Otherwise their rate must be measured.
    frame_bytes
        Length of a frame; None: it varies.
    counter_modulo
        The size of the counter in its frames; None: losses cannot be counted.
    notes
        Traps.
    """

    name: str
    title: str
    decoder: str
    fs_hz: float | None
    leads: tuple[str, ...]
    lsb_nv: float | None
    lead_off: LeadOffTrust
    bauds: tuple[int, ...]
    source: str
    group_delay_ms: float = 0.0
    usb_ids: tuple[tuple[int, int], ...] = ()
    settle_s: float = 0.0
    greeting: bytes = b""
    greeting_ends: bytes = b""
    start: bytes = b""
    stop: bytes = b""
    is_isochronous: bool = True
    frame_bytes: int | None = None
    counter_modulo: int | None = None
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the fields ready for JSON: bytes as text, USB ids as ``vvvv:pppp``."""
        plain = asdict(self)
        for name in ("greeting", "greeting_ends", "start", "stop"):
            plain[name] = plain[name].decode("latin-1")
        plain["usb_ids"] = [f"{vid:04x}:{pid:04x}" for vid, pid in self.usb_ids]
        return plain


_ARDUINO_RESET_S = 2.0  # opening the port resets the board, and its boot loader waits
_ADS1292R_NV = 24_600.0  # gain 12, 2.42 V; 24 bits cut to 16, then divided by 4 behind the filter
_ADS1292R_DELAY_MS = 640.0  # 161 taps at 125 Hz, linear phase
_MAX30001_NV = 1e9 / (2**17 * 80)  # a code of 18 bits at 80 V/V

_LOFF_IS_DOWN = (
    "Lead-off sensing of the ADS1292R is powered down by the firmware (LOFF_SENS = 0): "
    "lead-off 0 on the wire proves nothing, 1 means off"
)
_GAIN_6 = "24.6 uV a count is for gain 12, which the firmware sets though its comments say 6: gain 6 would be 49.2 uV"
_NO_COUNTER = "No checksum and no counter: only time tells a loss"
_TWINS = "ads1293, max30001 and max30003 cannot be told apart by their bytes: the board must be named"

_ALL = (
    Board(
        name="edge",
        title="A board with the firmware of this project",
        decoder="edge",
        fs_hz=None,
        leads=(),
        lsb_nv=None,
        lead_off="sure",
        bauds=(115200,),
        counter_modulo=2**32,
        notes=("Rate, leads, scale and whether it can tell lead-off come from its HELLO",),
        source="firmware_bridge/PROTOCOL.md",
    ),
    Board(
        name="hpi3",
        title="ProtoCentral HealthyPi v3, streaming firmware",
        decoder="hpi3",
        fs_hz=125.0,
        leads=("ECG",),
        lsb_nv=_ADS1292R_NV,
        lead_off="hint",
        bauds=(115200, 57600),
        group_delay_ms=_ADS1292R_DELAY_MS,
        frame_bytes=27,
        notes=(
            _LOFF_IS_DOWN,
            _GAIN_6,
            "57600 baud on the UART of a Raspberry Pi's header, which needs enable_uart=1 and no console",
            "Lead-off is debounced for 2 s; the ECG is 0 meanwhile",
            _NO_COUNTER,
        ),
        source="protocentral-healthypi-v3 816a08d, firmware/healthypi3_streaming/healthypi3_streaming.ino",
    ),
    Board(
        name="hpi4",
        title='ProtoCentral HealthyPi v4 in its "V3 mode"',
        decoder="hpi4",
        fs_hz=125.0,
        leads=("ECG",),
        lsb_nv=_ADS1292R_NV,
        lead_off="hint",
        bauds=(115200,),
        group_delay_ms=_ADS1292R_DELAY_MS,
        frame_bytes=27,
        notes=(
            "A button chooses the V3 mode; in the Bluetooth and web modes nothing comes on the serial port",
            _LOFF_IS_DOWN + "; its comparators are off too (CONFIG2 = 0xA0)",
            _GAIN_6,
            _NO_COUNTER,
        ),
        source="protocentral_healthypi_v4 030856e, firmware/Healthypiv4_Arduino/Healthypiv4_Arduino.ino",
    ),
    Board(
        name="hpi5",
        title="ProtoCentral HealthyPi 5, firmware v2.1.0",
        decoder="hpi5",
        fs_hz=128.0,
        leads=("ECG",),
        lsb_nv=_MAX30001_NV / 64,
        lead_off="none",
        bauds=(115200,),
        frame_bytes=29,
        notes=(
            "The board detects electrodes that are off, but no packet tells: the heart rate only stops to change",
            "Counts are codes of 18 bits times 64. Firmware v2.0.0 says 125 Hz",
            _NO_COUNTER,
        ),
        source="protocentral_healthypi5_zephyr 2c8eb00, app/src/data_module.c",
    ),
    Board(
        name="hpi5b",
        title="ProtoCentral HealthyPi 5, packets of eight samples",
        decoder="hpi5b",
        fs_hz=128.0,
        leads=("ECG",),
        lsb_nv=_MAX30001_NV / 64,
        lead_off="none",
        bauds=(115200,),
        notes=(
            "Firmware v2.1.0 has these packets but does not send them; other builds do",
            "Eight samples come at once. The PPG packets between them are skipped",
            _NO_COUNTER,
        ),
        source="protocentral_healthypi5_zephyr 2c8eb00, app/src/data_module.c; protocentral_openview a89d352",
    ),
    Board(
        name="ads1292r",
        title="ProtoCentral ADS1292R breakout, ECG and respiration sketch",
        decoder="ads1292r",
        fs_hz=125.0,
        leads=("ECG",),
        lsb_nv=_ADS1292R_NV,
        lead_off="none",
        bauds=(57600,),
        group_delay_ms=_ADS1292R_DELAY_MS,
        settle_s=_ARDUINO_RESET_S,
        frame_bytes=16,
        notes=(
            "While the chip reports an electrode off the sketch sends 0; it powers the detection down, though",
            _GAIN_6,
            _NO_COUNTER,
        ),
        source="protocentral-ads1292r-arduino 68a1009, examples/Example-1-ECG-Respiration-Plot-Openview",
    ),
    Board(
        name="ads1293",
        title="ProtoCentral ADS1293 breakout, five-electrode sketch",
        decoder="ads1293",
        fs_hz=100.0,
        leads=("CH1", "CH2", "CH3"),
        lsb_nv=None,
        lead_off="none",
        bauds=(57600,),
        settle_s=_ARDUINO_RESET_S,
        is_isochronous=False,
        frame_bytes=19,
        notes=(
            "The loop ends with delay(10): at most 100 Hz, and unsteady",
            "The library writes its gain into other registers, so nobody knows what a count is worth",
            _TWINS,
            _NO_COUNTER,
        ),
        source="protocentral-ads1293-arduino 1a183bc, examples/Example-3-5leadECGstream-openview",
    ),
    Board(
        name="max30003",
        title="ProtoCentral MAX30003 breakout",
        decoder="max30003",
        fs_hz=128.0,
        leads=("ECG",),
        lsb_nv=1e9 / (2**17 * 20),
        lead_off="none",
        bauds=(57600,),
        settle_s=_ARDUINO_RESET_S,
        is_isochronous=False,
        frame_bytes=19,
        notes=(
            "The chip samples at 128 Hz, the sketch reads it some 110 to 120 times a second: samples are left out",
            _TWINS,
            _NO_COUNTER,
        ),
        source="protocentral_max30003 fa28987, examples/Example1-ECG-stream-Openview",
    ),
    Board(
        name="max30001",
        title="ProtoCentral MAX30001 breakout, ECG and bioimpedance sketch",
        decoder="max30001",
        fs_hz=128.0,
        leads=("ECG",),
        lsb_nv=_MAX30001_NV,
        lead_off="none",
        bauds=(57600,),
        settle_s=_ARDUINO_RESET_S,
        is_isochronous=False,
        frame_bytes=19,
        notes=(
            "The gain code means 80 V/V, the sketch's comment says 160",
            "The loop waits 8 ms: its rate is not that of the chip",
            _TWINS,
            _NO_COUNTER,
        ),
        source="protocentral_max30001_arduino_library e6af58d, examples/Example1-ECG-BioZ-stream-Openview",
    ),
    Board(
        name="cyton",
        title="OpenBCI Cyton with its USB dongle",
        decoder="cyton",
        fs_hz=250.0,
        leads=tuple(f"CH{n}" for n in range(1, 9)),
        lsb_nv=4.5 / (2**23 - 1) / 24 * 1e9,
        lead_off="none",
        bauds=(115200,),
        usb_ids=((0x0403, 0x6015),),
        greeting=b"v",
        greeting_ends=b"$$$",
        start=b"b",
        stop=b"s",
        frame_bytes=33,
        counter_modulo=256,
        notes=(
            "The scale is for gain 24, which a reset (v) sets; x1...X commands change it a channel",
            "The FTDI chip holds bytes for 16 ms: they arrive in bursts",
            "Electrodes are checked by a test signal of the board, not by a bit in the stream",
        ),
        source="OpenBCI_Cyton_Library 24e1c42; brainflow 9097190, openbci/cyton.cpp",
    ),
    Board(
        name="bitalino",
        title="BITalino (r)evolution",
        decoder="bitalino",
        fs_hz=1000.0,
        leads=("A1", "A2", "A3", "A4", "A5", "A6"),
        lsb_nv=3.3 / 1024 / 1100 * 1e9,
        lead_off="none",
        bauds=(115200,),
        start=bytes([3 << 6 | 0x03, 0b111111 << 2 | 0x01]),
        stop=b"\x00",
        counter_modulo=16,
        notes=(
            "Start asks for 1000 Hz and six channels; 3 to 8 bytes a frame by the number of channels",
            "The scale is that of the ECG sensor (gain 1100, 3.3 V; not verified), whichever channel it is on",
            "A5 and A6 have six bits: their counts are multiples of 16. Put the ECG on A1 to A4",
            "The counter of four bits turns every 16 frames, the checksum lets one damaged frame in 16 pass",
        ),
        source="firmware-bitalino-revolution 1097047; revolution-python-api 7128b3b",
    ),
    Board(
        name="chords",
        title="Upside Down Labs Chords firmware (Arduino UNO R3 unless told otherwise)",
        decoder="chords",
        fs_hz=250.0,
        leads=tuple(f"CH{n}" for n in range(1, 7)),
        lsb_nv=None,
        lead_off="none",
        bauds=(230400, 115200),
        usb_ids=((0x2341, 0x0043), (0x2341, 0x0069)),
        settle_s=_ARDUINO_RESET_S,
        greeting=b"WHORU\n",
        greeting_ends=b"\n",
        start=b"START\n",
        stop=b"STOP\n",
        counter_modulo=256,
        notes=(
            "WHORU tells the board: UNO-R3, NANO and MEGA give 250 Hz and 10 bits, UNO-R4 500 Hz and 14 bits, "
            "GIGA-R1 500 Hz and 16 bits, the others 500 Hz and 12 bits",
            "The UNO R3 stops at any byte it receives: send nothing while it streams",
            "It answers WHORU after its read has waited 1 s",
        ),
        source="Chords-Arduino-Firmware e9c772f; Chords-Python 5f36655",
    ),
    Board(
        name="ad8232",
        title="SparkFun AD8232 with the sketch Heart_Rate_Display_Arduino",
        decoder="ad8232",
        fs_hz=None,
        leads=("ECG",),
        lsb_nv=None,
        lead_off="sure",
        bauds=(9600, 115200),
        settle_s=_ARDUINO_RESET_S,
        is_isochronous=False,
        notes=(
            "At 9600 baud the line sets the rate: some 160 to 240 samples a second, by the number of digits",
            "Better: a sketch that samples by a timer, at 115200 baud",
            "A line of ! stands for a sample while an electrode is off",
            "No scale on the wire: with SparkFun's gain of 1100, 10 bits of 5 V are 4.44 uV a count, of 3.3 V 2.93 uV",
        ),
        source="sparkfun/AD8232_Heart_Rate_Monitor 2ad29d9",
    ),
    Board(
        name="eifwd",
        title="Lines for the Edge Impulse data forwarder",
        decoder="eifwd",
        fs_hz=None,
        leads=(),
        lsb_nv=None,
        lead_off="none",
        bauds=(115200,),
        settle_s=_ARDUINO_RESET_S,
        is_isochronous=False,
        notes=(
            "Units, rate and columns are whatever the sketch prints",
            "timestamp,measurement: choose the column (--columns 2)",
        ),
        source="edge-impulse-cli 64dbc03, README-data-forwarder.md, cli/data-forwarder.ts",
    ),
    Board(
        name="olimex",
        title="Olimex SHIELD-EKG-EMG",
        decoder="olimex",
        fs_hz=256.0,
        leads=tuple(f"CH{n}" for n in range(1, 7)),
        lsb_nv=5.0 / 1024 / 2848 * 1e9,
        lead_off="none",
        bauds=(57600, 115200),
        settle_s=_ARDUINO_RESET_S,
        frame_bytes=17,
        counter_modulo=256,
        notes=(
            "256 Hz and 57600 baud with the sketch of Olimex, 125 Hz and 115200 baud with that of logston",
            "The scale is for a gain of 2848 and 5 V; a trimmer changes it (not verified)",
        ),
        source="logston/olimex-ekg-emg d2dbfb3, sketches/ShieldEkgEmg.ino",
    ),
    Board(
        name="spiker",
        title="Backyard Brains Heart and Brain SpikerShield",
        decoder="spiker",
        fs_hz=10_000.0,
        leads=("CH1",),
        lsb_nv=None,
        lead_off="none",
        bauds=(230400, 222222),
        group_delay_ms=20.0,
        settle_s=_ARDUINO_RESET_S,
        is_isochronous=False,
        notes=(
            "10 kHz divided by the number of channels (not verified): the rate is measured",
            "The delay is that of the low-pass of 100 Hz which it passes on the way to 250 Hz",
            _NO_COUNTER,
        ),
        source="BackyardBrains/Spike-Recorder, src/engine/ArduinoSerial.cpp",
    ),
)

BOARDS = MappingProxyType({board.name: board for board in _ALL})
"""The boards by name."""
