"""The page in a real browser, fed by the whole chain: what a viewer sees of what happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chromium import Chromium, Tab, find_chromium
from live_daemon import ExcerptSource, LiveDaemon

from edge_ecg.infer import Classifier, open_classifier
from edge_ecg.settings import WebSettings

BEATS = "document.querySelectorAll('#recent li').length > 8"
V_S = 125.7
"""Of the first V beat of the excerpt."""
SECRET = "a-token-of-24-characters"


@pytest.fixture(scope="module")
def browser(missing: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    if find_chromium() is None:
        missing("no Chromium here: make ci-deps")
    with Chromium(tmp_path_factory.mktemp("profile")) as chromium:
        yield chromium


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return open_classifier("rhythm")


def picture(tab: Tab) -> str:
    """The strip as it is drawn now."""
    found = tab.value("document.getElementById('strip').toDataURL()")
    assert isinstance(found, str)
    return found


def text(tab: Tab, place: str) -> str:
    return str(tab.value(f"document.getElementById('{place}').textContent"))


def is_tidy(tab: Tab) -> bool:
    """Nothing reaches beyond the side of the screen."""
    return bool(tab.value("document.documentElement.scrollWidth <= window.innerWidth"))


def test_what_happens_is_seen(browser: Chromium, classifier: Classifier, tmp_path: Path) -> None:
    with (
        LiveDaemon(ExcerptSource(ahead_s=V_S - 3.0, lead_off_s=V_S + 8.0), classifier) as daemon,
        browser.open(daemon.url) as tab,
    ):
        tab.wait(BEATS)
        # When the first V is put there: how far the signal on the page was beyond its R.
        tab.value(
            """new MutationObserver(() => {
              const found = document.querySelector("#recent .V");
              if (found && window.late_s === undefined)
                window.late_s = document.getElementById("strip").dataset.newest_s - found.dataset.t_s;
            }).observe(document.getElementById("recent"), { childList: true })"""
        )
        before = picture(tab)
        tab.wait("Number(document.getElementById('strip').dataset.newest_s) > 124.5")
        assert picture(tab) != before, "the trace moves"
        assert text(tab, "state") == "streaming"
        assert text(tab, "scale") == "25 mm/s, 10 mm/mV"
        # In one look: on a busy machine it may be gone a moment later, when beats came late.
        tab.wait("((bpm) => 60 < bpm && bpm < 120)(Number(document.getElementById('hr').textContent))")
        assert text(tab, "rhythm") == "sinus"
        assert text(tab, "model") == "by rhythm, balanced"
        assert "not a medical device" in tab.value("document.body.innerText")
        asked = tab.value("performance.getEntriesByType('resource').map((entry) => new URL(entry.name).origin)")
        assert set(asked) == {daemon.url}
        assert len(asked) > 5

        # 1.4 s of signal from R to the label and 0.15 s of batch, several times that where the machine is busy.
        assert tab.wait("window.late_s") < 10.0, "the label is there while the beat still is"
        tab.wait("document.querySelector('#beats').innerText.includes('V')")

        tab.wait("document.getElementById('signal').textContent === 'electrode off'")
        assert text(tab, "banner") == "Electrode off."
        assert text(tab, "hr") == "--"

        with browser.open(daemon.url, 390, 844, mobile=True) as phone:
            phone.wait(BEATS)
            assert is_tidy(phone)
            assert phone.value("document.getElementById('strip').getBoundingClientRect().height") < 844 / 2
            assert len(phone.screenshot(tmp_path / "phone.png")) > 20_000
        assert is_tidy(tab)
        assert len(tab.screenshot(tmp_path / "desk.png", whole=True)) > 20_000

        daemon.tell("stopping")
        tab.wait("document.getElementById('banner').textContent === 'edge-ecg is stopping.'")
        assert text(tab, "state") == "stopping"
        daemon.close()
        tab.wait("document.getElementById('banner').textContent.startsWith('edge-ecg was stopped: nothing since')")
        assert text(tab, "state") == "no connection"


def test_a_page_that_loses_its_daemon_says_so_and_comes_back(browser: Chromium, classifier: Classifier) -> None:
    with LiveDaemon(ExcerptSource(ahead_s=20.0), classifier) as daemon:
        port = int(daemon.url.rpartition(":")[2])
        tab = browser.open(daemon.url)
        tab.wait(BEATS)
    with tab:
        tab.wait("document.getElementById('banner').textContent.startsWith('No connection to edge-ecg')")
        settings = WebSettings(enabled=True, port=port)
        with LiveDaemon(ExcerptSource(100.0, ahead_s=20.0, calibrated=False), classifier, settings):
            tab.wait("document.body.dataset.state === 'streaming' && document.getElementById('banner').hidden")
            assert "a.u." in text(tab, "scale")


def test_the_form_lets_in_who_has_the_token(browser: Chromium, classifier: Classifier, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(SECRET)
    file.chmod(0o600)
    settings = WebSettings(enabled=True, port=0, token_file=str(file))

    def show(token: str) -> None:
        tab.wait("document.readyState === 'complete' && document.getElementById('token') !== null")
        tab.value(f"document.getElementById('token').value = '{token}'; document.forms[0].requestSubmit()")

    with (
        LiveDaemon(ExcerptSource(ahead_s=20.0), classifier, settings) as daemon,
        browser.open(daemon.url, 390, 844, mobile=True) as tab,
    ):
        show("wrong")
        tab.wait("(document.querySelector('.refused:not([hidden])') || {}).textContent")
        assert tab.screenshot(tmp_path / "login.png")
        assert is_tidy(tab)
        show(SECRET)
        tab.wait(BEATS)
        assert tab.value("location.href") == daemon.url + "/"
        assert tab.value("document.cookie") == "", "no script can read it"
