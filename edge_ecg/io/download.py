"""One file over HTTP: checked by its SHA-256, continued where it broke off, never half there."""

from __future__ import annotations

import contextlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from edge_ecg.errors import DataError
from edge_ecg.io.checksums import sha256_of

__all__ = ["download", "download_text"]

TIMEOUT_S = 30.0
CHUNK_BYTES = 1 << 16
MAX_TEXT_BYTES = 1 << 23
MAX_ATTEMPTS = 5


class _BrokenOffError(Exception):
    """The connection ended before the file did; what came is in the ``.part`` file."""


def download(url: str, file: Path, sha256: str, progress: Callable[[int], None] | None = None) -> None:
    """Bring ``url`` to ``file``; bytes gather in ``file.part``, which a later call continues.

    Parameters
    ----------
    sha256
        Hash the file must have; only then is it renamed into place.
    progress
        Called with the number of bytes there are so far.

    Raises
    ------
    DataError
        Not reachable, not there, broken off again and again, or not the bytes the hash promises.
    """
    part = file.with_name(f"{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(MAX_ATTEMPTS):
            try:
                continued = _receive(url, part, progress)
            except _BrokenOffError:
                continue
            if sha256_of(part) == sha256:
                os.replace(part, file)
                return
            part.unlink()
            if not continued:  # a continued file may have begun as something else: once more from the start
                raise DataError(
                    f"{url} is not the file its checksum promises",
                    "The copy at that address is damaged or of another version; try later or a mirror",
                )
    except OSError as error:
        raise DataError(
            f"cannot write {file}: {error}", "Check the disk and the directory's permissions"
        ) from None
    raise DataError(
        f"{url} broke off {MAX_ATTEMPTS} times", "Run the same command again: it goes on from there"
    )


def download_text(url: str) -> str:
    """A short text file such as SHA256SUMS.txt.

    Raises
    ------
    DataError
        Not reachable, not there, or no text.
    """
    with _open(url, 0) as response:
        try:
            data = response.read(MAX_TEXT_BYTES)
            missing = response.length  # what the announced length still lacks
        except (OSError, http.client.HTTPException) as error:
            raise DataError(f"{url} broke off: {error}", "Run the same command again") from None
    if missing:
        raise DataError(f"{url} broke off with {missing} bytes to come", "Run the same command again")
    try:
        return bytes(data).decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{url} is no text file", "Check the address") from None


def _receive(url: str, part: Path, progress: Callable[[int], None] | None) -> bool:
    """Append to ``part`` what it still lacks; True if it had begun in an earlier attempt."""
    start = part.stat().st_size if part.exists() else 0
    with _open(url, start) as response:
        continued = start > 0 and response.status == 206
        n_bytes = start if continued else 0
        with part.open("ab" if continued else "wb") as stream:
            while True:
                try:
                    chunk = response.read(CHUNK_BYTES)
                except (OSError, http.client.HTTPException):
                    raise _BrokenOffError from None
                if not chunk:
                    break
                stream.write(chunk)
                n_bytes += len(chunk)
                if progress:
                    progress(n_bytes)
        if response.length:  # bytes announced that never came
            raise _BrokenOffError
    return continued


def _open(url: str, start: int) -> http.client.HTTPResponse:
    headers = {"User-Agent": "edge-ecg", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S
        )
    except urllib.error.HTTPError as error:
        with contextlib.closing(error):
            if error.code == 416 and start:  # the part is as long as the file, or longer
                return _open(url, 0)
            raise DataError(
                f"{url} answers {error.code} {error.reason}", "Check the address in a browser"
            ) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise DataError(f"cannot reach {url}: {reason}", "Is this machine offline?") from None
    except ValueError as error:
        raise DataError(f"{url!r} is no web address: {error}", "It starts with https://") from None
    if response.status == 206 and not _continues(response, start):
        response.close()
        return _open(url, 0)
    return response


def _continues(response: http.client.HTTPResponse, start: int) -> bool:
    return (response.headers.get("Content-Range") or "").startswith(f"bytes {start}-")
