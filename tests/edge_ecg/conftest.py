"""A page and a broker for those who ask for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from mosquitto import Mosquitto, Subscriber
from mqtt_listener import needs_mosquitto
from web_viewer import TOKEN, served

from edge_ecg.web.server import WebSink


@pytest.fixture(scope="module")
def page() -> Iterator[WebSink]:
    """A page that nothing happens on, for those who only ask."""
    with served() as sink:
        yield sink


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    return file


@pytest.fixture(name="broker")
def broker_fixture(tmp_path: Path, missing: Callable[[str], None]) -> Iterator[Mosquitto]:
    needs_mosquitto(missing)
    with Mosquitto(tmp_path) as broker:
        yield broker


@pytest.fixture(name="listener")
def listener_fixture(broker: Mosquitto) -> Iterator[Subscriber]:
    with closing(Subscriber(broker.port)) as listener:
        yield listener
