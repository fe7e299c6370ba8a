"""`edge-ecg config check` refuses what the daemon would."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_ecg.cli.main import run


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        ('[web]\nenabled = true\nhost = "0.0.0.0"\n', 0o600, "is open to others, without a token. Set web.token_file"),
        ('[web]\nenabled = true\ntoken_file = "TOKEN"\n', 0o644, "others may read"),
        ('[mqtt]\nhost = "b"\nusername = "a"\npassword_file = "TOKEN"\n', 0o640, "others may read"),
        ('[recording]\nfolder = "TOKEN"\n', 0o600, "TOKEN"),
    ],
)
def test_what_the_daemon_would_refuse_is_one_line(
    text: str, mode: int, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "TOKEN"
    token.write_text("a-token-of-24-characters\n")
    token.chmod(mode)
    file = tmp_path / "c.toml"
    file.write_text(text.replace('"TOKEN"', f'"{token}"'))
    assert run(["config", "check", str(file)]) == 2
    assert told in capsys.readouterr().err
    token.chmod(0o600)
    file.write_text("[web]\nenabled = true\n")
    assert run(["config", "check", str(file)]) == 0
