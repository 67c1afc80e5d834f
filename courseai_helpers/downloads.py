"""Downloads: fetch politely, give up soon, keep whole files only."""

import os
import queue
import sys
import threading
import time
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import requests
from tqdm.auto import tqdm

USER_AGENT = (
    "courseai-helpers/0.1 (course material; python-requests "
    f"{requests.__version__}; one download for each photo, kept in a cache)"
)
CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0
ANSWER_SECONDS = 12.0
CHUNK_BYTES = 1 << 16


class DownloadError(OSError):
    """Something could not be fetched; the message says what, why and what to do."""


def is_offline() -> bool:
    """Says whether COURSEAI_OFFLINE asks for no network at all (any value but 0)."""
    return os.environ.get("COURSEAI_OFFLINE", "0").strip() not in ("", "0")


def fetch(
    url: str, max_bytes: int, seconds: float | None = None, progress: str = ""
) -> bytes:
    """Downloads a file into memory.

    Args:
        url: An http or https address.
        max_bytes: Largest size to accept.
        seconds: Give up when the whole download takes longer; None for no limit.
        progress: Title of a progress bar on stdout or on the notebook's page; none
            without a title.

    Returns:
        The body.

    Raises:
        DownloadError: If the address is not http(s), the host cannot be reached or is
            silent for seconds, the status is an error, or the body is too large or
            ends early.
    """
    host = _host(url)
    try:
        with _request(url, host) as response:
            _check_status(response, url)
            return _read(response, max_bytes, seconds, progress)
    except requests.Timeout as error:
        raise DownloadError(f"{host} did not answer in time.") from error
    except requests.ConnectionError as error:
        raise DownloadError(
            f"The connection to {host} failed or broke off. Check that this computer "
            "is online, then try again."
        ) from error
    except requests.RequestException as error:
        raise DownloadError(f"{url} could not be fetched: {error}") from error


def store(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all, making its directory where that is missing.

    Raises:
        OSError: If it cannot be written. No half-written file stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with open(partial, "xb") as file:
            file.write(data)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise DownloadError(f"{url!r} is not a web address: {error}.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DownloadError(
            f"{url!r} is not a web address: it must begin with http:// or https:// and "
            "name a host. Copy the address of the picture itself."
        )
    return parts.hostname


def _request(url: str, host: str) -> requests.Response:
    """Gets the head of the answer within ANSWER_SECONDS, whatever the network does.

    A time-out of requests covers one attempt on one address. Looking the name up has
    none, and a host can have eight addresses, so that a network that swallows packets
    would hold a reader up for most of a minute. Hence the thread.
    """
    answers: queue.SimpleQueue[requests.Response | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answer: requests.Response | Exception = requests.get(
                url,
                headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                stream=True,
            )
        except (requests.RequestException, ValueError) as error:
            answer = error
        answers.put(answer)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=ANSWER_SECONDS)
    except queue.Empty:
        raise DownloadError(f"{host} did not answer in time.") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _check_status(response: requests.Response, url: str) -> None:
    status = response.status_code
    if status < 400:
        return
    advice = {
        403: "The host refuses this request. Save the picture by hand and load the file.",
        404: "Nothing is there. Check the address for typing errors.",
        429: "The host asks for fewer requests. Wait some minutes, then try again.",
    }.get(status, "Try again later, or take another address.")
    raise DownloadError(f"{url} answered with status {status}. {advice}")


def _read(
    response: requests.Response, max_bytes: int, seconds: float | None, progress: str
) -> bytes:
    total = int(response.headers.get("Content-Length") or 0)
    deadline = time.monotonic() + (float("inf") if seconds is None else seconds)
    body = bytearray()
    with tqdm(
        desc=progress,
        total=total or None,
        unit="B",
        unit_scale=True,
        file=sys.stdout,  # never stderr, see notices.py
        disable=not progress,
    ) as bar:
        for chunk in response.iter_content(CHUNK_BYTES):
            body += chunk
            bar.update(len(chunk))
            if max(total, len(body)) > max_bytes:
                raise DownloadError(
                    f"{response.url} is larger than {max_bytes / 1e6:.0f} MB. Take a "
                    "smaller version of the file."
                )
            if time.monotonic() > deadline:
                raise DownloadError(
                    f"{response.url} came too slowly: not whole after {seconds:.0f} "
                    "seconds. Try again later, or take a smaller version of the file."
                )
    return bytes(body)
