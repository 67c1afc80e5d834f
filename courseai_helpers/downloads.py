"""Downloads: ask politely, give up soon, say what went wrong."""

import os
import queue
import sys
import threading
import time
from urllib.parse import urlsplit

import requests
from requests.exceptions import ChunkedEncodingError, ProxyError, SSLError
from tqdm.auto import tqdm

# Photo hosts refuse requests that do not say who asks.
USER_AGENT = f"courseai-helpers (course notebook) {requests.utils.default_user_agent()}"
CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0  # longest silence within a download
ANSWER_SECONDS = 10.0  # longest wait for the answer to begin
REST_SECONDS = 60.0  # how long a host that did not answer is left alone
CHUNK_BYTES = 1 << 16

_ADVICE = {
    403: "The host refuses this request: save the file by hand and load it from disk.",
    404: "There is nothing at this address: check it for typing errors.",
    429: "The host wants fewer requests: wait some minutes and try again.",
}
_silent_since: dict[str, float] = {}


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
        seconds: Longest duration of the download.
        progress: Title of a progress bar on the notebook's page or on stdout; without
            a title there is none.

    Returns:
        The file.

    Raises:
        DownloadError: If the address is not http(s), the host cannot be reached or
            does not answer in time, the status is an error, or the file is too large
            or ends early.
    """
    host = _read_host(url)
    try:
        with _request(url, host) as response:
            _check_status(response, url)
            return _read_body(response, max_bytes, seconds, progress)
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
            f"{url!r} is not a web address: it must begin with http:// or https:// and "
            "name a host."
        )
    return host


def _request(url: str, host: str) -> requests.Response:
    """Waits for an answer to begin, for ANSWER_SECONDS, whatever the network does.

    A time-out of requests holds for one attempt at one address. Looking up the name
    has none, and a host can have eight addresses, so that a network that swallows
    packets would hold the reader up for most of a minute. Hence the thread, and hence
    a host that was silent is left alone for a while.
    """
    if time.monotonic() < _silent_since.get(host, -REST_SECONDS) + REST_SECONDS:
        raise requests.Timeout
    answers: queue.SimpleQueue[requests.Response | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answer = requests.get(
                url,
                headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                stream=True,
            )
        except (OSError, ValueError) as error:
            answer = error
        answers.put(answer)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=ANSWER_SECONDS)
    except queue.Empty:
        answer = requests.Timeout()
    if isinstance(answer, requests.Timeout):
        _silent_since[host] = time.monotonic()
    if isinstance(answer, Exception):
        raise answer
    return answer


def _check_status(response: requests.Response, url: str) -> None:
    if response.status_code >= 400:
        advice = _ADVICE.get(response.status_code, "Try again later.")
        raise DownloadError(
            f"{url} answers with status {response.status_code}. {advice}"
        )


def _read_body(
    response: requests.Response, max_bytes: int, seconds: float, progress: str
) -> bytes:
    length = response.headers.get("Content-Length", "")
    announced = int(length) if length.isdecimal() else 0
    deadline = time.monotonic() + seconds
    body = bytearray()
    with tqdm(
        desc=progress,
        total=announced or None,
        unit="B",
        unit_scale=True,
        file=sys.stdout,  # never stderr: see notices.py
        disable=not progress,
    ) as bar:
        chunks = response.iter_content(CHUNK_BYTES)
        while max(announced, len(body)) <= max_bytes:
            chunk = next(chunks, b"")
            if not chunk:
                return bytes(body)
            body += chunk
            bar.update(len(chunk))
            if time.monotonic() > deadline:
                raise DownloadError(
                    f"{response.url} comes too slowly: it was not there after "
                    f"{seconds:.0f} seconds. Try again later, or take a smaller file."
                )
    raise DownloadError(
        f"{response.url} is larger than {max_bytes / 1e6:.0f} MB. Take a smaller "
        "version of it."
    )


def _explain(error: Exception, url: str, host: str) -> str:
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
    return f"{url} could not be fetched: {error}"
