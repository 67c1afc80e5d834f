"""Downloads files: identifies itself, gives up soon, says what went wrong."""

import contextlib
import os
import queue
import sys
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.exceptions import ChunkedEncodingError, ProxyError, SSLError
from tqdm.auto import tqdm

# Photo hosts refuse requests that do not say who asks.
LONGEST = 200  # characters of an address in a message
USER_AGENT = f"courseai-helpers (course notebook) {requests.utils.default_user_agent()}"
CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0  # longest silence within a download
ANSWER_SECONDS = 10.0  # longest wait for the answer to begin, redirects included
REST_SECONDS = 60.0  # how long a host that did not answer is not asked
CHUNK_BYTES = 1 << 16

_ADVICE = {
    403: "The host refuses this request: save the file by hand and load it from disk.",
    404: "There is nothing at this address: check it for typing errors.",
    429: "The host wants fewer requests: wait some minutes and try again.",
}
_silent_since: dict[str, float] = {}
_Pieces = queue.SimpleQueue[requests.Response | bytes | Exception]


class DownloadError(Exception):
    """A file could not be fetched; the message says why and what to do."""


def is_offline() -> bool:
    """Says whether COURSEAI_OFFLINE forbids the network: any value but 0 does."""
    return os.environ.get("COURSEAI_OFFLINE", "").strip() not in ("", "0")


def fetch(url: str, max_bytes: int, seconds: float, progress: str = "") -> bytes:
    """Downloads a file into memory.

    Args:
        url: An http or https address.
        max_bytes: Largest size to accept.
        seconds: Longest duration, from the question to the last byte.
        progress: Title of a progress bar on the notebook's page or on stdout; without
            a title there is no bar.

    Returns:
        The file.

    Raises:
        DownloadError: If the address is not http(s), the host cannot be reached or
            does not answer in time, the status is an error, or the file is too large,
            ends early or comes too slowly.
    """
    host = _read_host(url)
    deadline = time.monotonic() + seconds
    try:
        pieces, response = _ask(url, host, min(seconds, ANSWER_SECONDS))
        try:
            _check_status(response, url)
            return _read_body(response, pieces, max_bytes, deadline, progress)
        finally:
            _stop(response)
    except (OSError, ValueError) as error:  # requests' errors are OSErrors
        raise DownloadError(_explain(error, url, host)) from error


def _read_host(url: str) -> str:
    try:
        parts = urlsplit(str(url))
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise DownloadError(
            f"{shorten(repr(url))} is not a web address: it must begin with http:// "
            "or https:// and name a host."
        )
    return host


def _ask(url: str, host: str, seconds: float) -> tuple[_Pieces, requests.Response]:
    """Waits for an answer to begin, for so many seconds, whatever the network does.

    A time-out of requests limits one silence: each redirect and each byte of a header
    begins another, looking up the name has no limit, and a host can have eight
    addresses. So another thread reads, while this one watches the clock. A host that
    did not answer is not asked again for a while.

    Returns:
        What comes after the header, piece by piece, and the response.
    """
    if time.monotonic() < _silent_since.get(host, -REST_SECONDS) + REST_SECONDS:
        raise requests.Timeout
    pieces: _Pieces = queue.SimpleQueue()
    threading.Thread(target=_read, args=(url, pieces), daemon=True).start()
    try:
        return pieces, _wait(pieces, seconds)
    except requests.Timeout:
        _silent_since[host] = time.monotonic()
        raise


def _read(url: str, pieces: _Pieces) -> None:
    """Puts the response, then its body in pieces, then nothing; or an error."""
    try:
        with requests.get(
            url,
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
            timeout=(CONNECT_SECONDS, READ_SECONDS),
            stream=True,
        ) as response:
            pieces.put(response)
            for piece in response.iter_content(CHUNK_BYTES):
                pieces.put(piece)
        pieces.put(b"")
    except (OSError, ValueError) as error:
        pieces.put(error)


def _wait(pieces: _Pieces, seconds: float) -> Any:
    """Returns what the other thread has put next: the response, or a piece of it."""
    try:
        if seconds <= 0:
            raise queue.Empty
        piece = pieces.get(timeout=seconds)
    except queue.Empty:
        raise requests.Timeout from None
    if isinstance(piece, Exception):
        raise piece
    return piece


def _check_status(response: requests.Response, url: str) -> None:
    if response.status_code >= 400:
        advice = _ADVICE.get(response.status_code, "Try again later.")
        raise DownloadError(
            f"{shorten(url)} answers with status {response.status_code}. {advice}"
        )


def _stop(response: requests.Response) -> None:
    """Stops the other thread, if it still reads."""
    # It may end by itself at this moment and close the socket; and urllib3 before 2.3
    # has no `shutdown`.
    with contextlib.suppress(OSError, RuntimeError, ValueError, AttributeError):
        response.raw.shutdown()


def _read_body(
    response: requests.Response,
    pieces: _Pieces,
    max_bytes: int,
    deadline: float,
    progress: str,
) -> bytes:
    length = response.headers.get("Content-Length", "")
    announced = int(length) if length.isdecimal() else 0
    body = bytearray()
    with tqdm(
        desc=progress,
        total=announced or None,
        unit="B",
        unit_scale=True,
        file=sys.stdout,  # never stderr: see notices.py
        disable=not progress,
    ) as bar:
        while max(announced, len(body)) <= max_bytes:
            try:
                piece = _wait(pieces, deadline - time.monotonic())
            except requests.Timeout:
                raise DownloadError(
                    f"{shorten(response.url)} comes too slowly: only {len(body):,} "
                    "bytes of it were there in time. Try again later, or take a "
                    "smaller file."
                ) from None
            if not piece:
                return bytes(body)
            body += piece
            bar.update(len(piece))
    raise DownloadError(
        f"{shorten(response.url)} is larger than {max_bytes / 1e6:.0f} MB. Take a "
        "smaller version of it."
    )


def shorten(text: object) -> str:
    """Returns what can be read in a message: a `data:` address holds a picture."""
    text = str(text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 40]} … {text[-30:]}"


def _explain(error: Exception, url: str, host: str) -> str:
    host = shorten(host)
    if isinstance(error, requests.Timeout):
        return f"{host} does not answer. Try again in a minute, or when you are online."
    if isinstance(error, SSLError):
        return (
            f"{host} does not prove who it is (its certificate is not accepted). Check "
            "this computer's clock, and whether your network asks you to log in first."
        )
    if isinstance(error, ProxyError):
        return f"The proxy does not let {host} through. Check HTTPS_PROXY and NO_PROXY."
    if isinstance(error, (requests.ConnectionError, ChunkedEncodingError)):
        return (
            f"The connection to {host} failed or broke off. Check that this computer "
            "is online, and try again."
        )
    return f"{shorten(url)} could not be fetched: {shorten(error)}"
