"""Who is let in to the page, by which name, token and address."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from web_viewer import (
    HEALTH,
    TOKEN,
    ask,
    port_of,
    raw,
    served,
)

from edge_ecg.errors import ConfigError, UsageError
from edge_ecg.settings import WebSettings
from edge_ecg.web.server import WebSink, open_web


def test_what_can_be_seen_and_what_its_headers_say(page: WebSink) -> None:
    for path in [
        "/",
        "/page.js",
        "/strip.js",
        "/charts.js",
        "/page.css",
        "/icon.svg",
        "/uPlot.iife.min.js",
        "/uPlot.LICENSE",
    ]:
        status, headers, body = ask(page, path)
        assert (status, len(body) > 100) == (200, True), path
    for path in ["/", "/nothing", "/metrics", "/uPlot.min.css"]:
        _, headers, _ = ask(page, path)
        assert headers["content-security-policy"].startswith("default-src 'self';")
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")
        assert headers["server"] is None
        assert headers["content-encoding"] is None


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
def test_names_of_this_machine(page: WebSink, name: str) -> None:
    assert ask(page, "/state", Host=f"{name}:{port_of(page)}")[0] == 200


@pytest.mark.parametrize(
    "name", ["evil.example:{}", "127.0.0.1", "localhost:1", "127.0.0.1.evil.example:{}", "", "x" * 5000]
)
def test_other_names_are_refused(page: WebSink, name: str) -> None:
    status, _, body = ask(page, "/state", Host=name.format(port_of(page)))
    assert status in {421, 400}
    assert b"version" not in body


def test_no_name_or_two_are_refused(page: WebSink) -> None:
    own = f"Host: 127.0.0.1:{port_of(page)}\r\n".encode()
    assert raw(page, b"GET /state HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 421")
    assert raw(page, b"GET /state HTTP/1.0\r\n" + own + b"\r\n").startswith(b"HTTP/1.1 200")
    assert b" 400 " in raw(page, b"GET /state HTTP/1.1\r\n" + own + b"Host: evil\r\n\r\n").splitlines()[0]


def test_with_a_token_nothing_is_seen_without_it(token_file: Path) -> None:
    with served(token_file=str(token_file)) as sink:
        for path in ["/state", "/stream", "/metrics", "/healthz", "/page.js", "/nothing"]:
            status, headers, _ = ask(sink, path, Host="ecg.example")
            assert (status, headers["www-authenticate"]) == (401, "Bearer"), path
            assert headers["x-content-type-options"] == "nosniff"
        status, headers, _ = ask(sink, "/")
        assert (status, headers["location"]) == (303, "/login")
        assert ask(sink, "/login")[0] == 200
        assert ask(sink, "/state", Authorization=f"Bearer {TOKEN}", Host="ecg.example")[0] == 200
        assert ask(sink, "/state", Authorization=f"bearer  {TOKEN} ")[0] == 200
        for wrong in [
            "Bearer",
            "Bearer ",
            f"Bearer {TOKEN}x",
            f"Bearer {TOKEN[:-1]}",
            f"Basic {TOKEN}",
            TOKEN,
            "Bearer \xff",
        ]:
            assert ask(sink, "/state", Authorization=wrong)[0] == 401
        assert ask(sink, f"/state?token={TOKEN}")[0] == 401, "what is in an address ends up in logs"


def test_the_form_gives_a_cookie_that_does_not_tell_the_token(token_file: Path) -> None:
    with served(token_file=str(token_file)) as sink:
        status, headers, body = ask(sink, "/login", "POST", b"token=wrong")
        assert (status, headers["set-cookie"]) == (403, None)
        assert b"That was not the token" in body
        status, headers, _ = ask(sink, "/login", "POST", f"token={TOKEN}".encode())
        assert (status, headers["location"]) == (303, "/")
        cookie = headers["set-cookie"]
        assert TOKEN not in cookie
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "Secure" not in cookie
        pair = cookie.partition(";")[0]
        assert ask(sink, "/state", Cookie=f"other=1; {pair}")[0] == 200
        for wrong in [pair[:-1], pair + "0", "edge-ecg=", f"edge-ecg={TOKEN}", ";;=;", "\xff"]:
            assert ask(sink, "/state", Cookie=wrong)[0] == 401
        _, headers, _ = ask(sink, "/login", "POST", f"token={TOKEN}".encode(), X_Forwarded_Proto="https")
        assert "Secure" in headers["set-cookie"]


def test_without_a_token_the_form_lets_nobody_in(page: WebSink) -> None:
    assert ask(page, "/login", "POST", b"token=")[0] == 403


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_the_network_needs_a_token(host: str) -> None:
    with pytest.raises(ConfigError, match="would show the heart to the whole network") as caught:
        open_web(WebSettings(enabled=True, host=host, port=0), lambda: HEALTH)
    assert "web.token_file" in caught.value.hint


def test_the_whole_network_with_a_token(token_file: Path) -> None:
    with served(host="0.0.0.0", token_file=str(token_file)) as sink:
        assert ask(sink, "/state", Host="ecg.example", Authorization=f"Bearer {TOKEN}")[0] == 200


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o777])
def test_a_token_that_others_may_read_is_refused(token_file: Path, mode: int) -> None:
    token_file.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        open_web(WebSettings(enabled=True, port=0, token_file=str(token_file)), lambda: HEALTH)
    assert f"chmod 600 {token_file}" in caught.value.hint


@pytest.mark.parametrize(
    "content", [b"", b"short\n", b"two words of a token\n", b"\xff" * 20, b"x" * 300, b"sixteen\x00characters"]
)
def test_a_file_that_holds_no_token(token_file: Path, content: bytes) -> None:
    token_file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"holds no token|is not one line of text") as caught:
        open_web(WebSettings(enabled=True, port=0, token_file=str(token_file)), lambda: HEALTH)
    assert "token_urlsafe" in caught.value.hint or "nothing else" in caught.value.hint


def test_a_token_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path, Path("/dev/null")):
        with pytest.raises(ConfigError, match=r"web\.token_file: "):
            open_web(WebSettings(enabled=True, port=0, token_file=str(path)), lambda: HEALTH)


def test_a_port_that_is_taken(page: WebSink) -> None:
    with pytest.raises(UsageError, match=f"port {port_of(page)} of 127.0.0.1 is taken") as caught:
        open_web(WebSettings(enabled=True, port=port_of(page)), lambda: HEALTH)
    assert "web.port" in caught.value.hint


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a b", "\u2603" * 80])
def test_a_host_that_is_none(host: str) -> None:
    with pytest.raises(ConfigError, match="is no address of this machine"):
        open_web(WebSettings(enabled=True, host=host, port=0), lambda: HEALTH)


def test_an_address_of_another_machine(token_file: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on 192\.0\.2\.7"):
        open_web(WebSettings(enabled=True, host="192.0.2.7", port=0, token_file=str(token_file)), lambda: HEALTH)


@pytest.mark.parametrize("library", ["uvicorn", "starlette"])
def test_without_the_extra(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    for name in [name for name in sys.modules if name.startswith(f"{library}.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(UsageError, match=f"needs {library}") as caught:
        open_web(WebSettings(enabled=True, port=0), lambda: HEALTH)
    assert caught.value.hint == 'pip install "edge-ecg[web]"'


def test_a_name_for_what_is_on_ipv6() -> None:
    with served(host="::1") as sink:
        assert sink.url.startswith("http://[::1]:")
