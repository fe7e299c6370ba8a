"""What a bundle has for other hardware: a file for the Edge TPU, C sources for microcontrollers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from edge_ecg.errors import UsageError
from edge_ecg.infer.edgetpu import FILE_NAME
from edge_ecg.infer.golden import GoldenBeats
from edge_ecg.infer.operators import operators_of
from edge_ecg.manifest import EdgeTpuFile, ModelManifest
from quantize.bundle import Extras, ExtrasMaker
from quantize.edgetpu import COMPILER_MISSING, compile_for_edgetpu, edgetpu_report
from quantize.mcu import mcu_files
from quantize.micro import arena_bytes, micro_version

__all__ = ["check_hardware", "extras_for"]


def check_hardware(precision: str, *, edgetpu: bool, mcu: bool) -> None:
    """Before the work starts: whether files for that hardware can be made at all.

    Raises
    ------
    UsageError
        For another precision than int8; TensorFlow Lite Micro, which measures the arena, is not installed.
    """
    for option, asked in {"--edgetpu": edgetpu, "--mcu": mcu}.items():
        if asked and precision != "int8":
            raise UsageError(f"{option} means nothing with --{precision}", "Give --int8: that hardware takes no other")
    if mcu:
        micro_version()


def extras_for(*, edgetpu: bool, mcu: bool, tell: Callable[[str], None]) -> ExtrasMaker | None:
    """What makes the files; None when none are asked for. ``tell`` hears what a user should know, line by line."""
    if not (edgetpu or mcu):
        return None

    def make(manifest: ModelManifest, model: bytes, golden: GoldenBeats) -> Extras:
        files: dict[str, bytes] = {}
        compiled, arena = None, None
        if edgetpu:
            report = edgetpu_report(operators_of(model))
            tell(report.summary)
            files["edgetpu.md"] = report.markdown().encode()
            done = compile_for_edgetpu(model)
            if done is None:
                tell(COMPILER_MISSING)
            else:
                files[FILE_NAME], compiler = done
                compiled = EdgeTpuFile(len(done[0]), hashlib.sha256(done[0]).hexdigest(), compiler)
        if mcu:
            arena = arena_bytes(model)
            tell(f"TensorFlow Lite Micro: {manifest.bytes:,} bytes of flash, an arena of {arena:,} (on x86-64)")
            made = mcu_files(model, manifest, golden, arena=arena)
            files |= {f"mcu/{name}": content for name, content in made.items()}
        return Extras(files, compiled, arena)

    return make
