"""A web server on loopback that answers as a test tells it to."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]


class LocalServer:
    """What the server says, and what it was asked.

    Attributes:
        url: Its address, without a slash at the end.
        answers: For each path, the function that answers a request for it.
        requests: Path and User-Agent of each request, in order.
        released: Set at the end: an answer that keeps a client waiting waits for it.
    """

    def __init__(self, url: str):
        self.url = url
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, str]] = []
        self.released = threading.Event()

    def add(self, path: str, body: bytes, status: int = 200, **headers: str) -> str:
        """Serves a body under a path, and returns the address."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            fields = {"Content_Length": str(len(body))} | headers
            for name, value in fields.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            handler.wfile.write(body)

        return self.add_answer(path, answer)

    def add_answer(self, path: str, answer: Answer) -> str:
        """Lets a function answer the requests for a path, and returns the address."""
        self.answers[path] = answer
        return self.url + path


@contextlib.contextmanager
def serve() -> Iterator[LocalServer]:
    """Runs a server for the duration of a with block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802 - the name that http.server wants
            server.requests.append((self.path, self.headers.get("User-Agent", "")))
            # A client that gives up early is what some tests are about.
            with contextlib.suppress(ConnectionError):
                server.answers.get(self.path, lambda it: it.send_error(404))(self)

        def log_message(self, *arguments: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = LocalServer(f"http://127.0.0.1:{http.server_port}")
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        http.shutdown()
        http.server_close()
        thread.join()


def find_closed_port() -> int:
    """Returns a port of loopback on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
