"""The pictures of docs/live-page.md: ``python docs/draw_live_page.py [FOLDER]`` writes them, by default into docs.

The shipped excerpt through the whole chain, its first minutes at once, and the page in a real Chromium.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from chromium import Chromium  # noqa: E402
from live_daemon import ExcerptSource, LiveDaemon  # noqa: E402

from edge_ecg.infer import open_classifier  # noqa: E402

BEGIN_S, AHEAD_S, SHOWN_S = 0.0, 130.0, 140.8
READY = f"Number(document.getElementById('strip').dataset.newest_s) > {SHOWN_S}"


def main(folder: Path) -> None:
    """Write live-page.png and live-page-phone.png."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        Chromium(Path(profile)) as browser,
        LiveDaemon(ExcerptSource(BEGIN_S, AHEAD_S), open_classifier("rhythm")) as daemon,
        browser.open(daemon.url, 1180, 900) as desk,
        browser.open(daemon.url, 390, 844, mobile=True) as phone,
    ):
        # The tab in front is the one that is drawn.
        for tab, name, whole in ((desk, "live-page.png", True), (phone, "live-page-phone.png", False)):
            tab.call("Page.bringToFront", {})
            tab.wait(READY, timeout_s=120.0)
            tab.screenshot(folder / name, whole=whole)
            Image.open(folder / name).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(
                folder / name, optimize=True
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
