"""Starts the course's JupyterLab, with the Formgrader, as a service of JupyterHub.

JupyterHub gives a service some ten seconds to answer, or does not start at all; to
import nbgrader takes a busy machine longer. So something answers meanwhile, on the
socket that JupyterLab then goes on with.
"""

import importlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from server import main, take_socket

asked = threading.Event()


class Answer(BaseHTTPRequestHandler):
    """Answers whoever comes too early."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"The Formgrader is starting. Try again in a minute.")
        asked.set()


def answer_meanwhile(listening: socket.socket) -> None:
    """Answers until everything is imported and the hub has seen an answer."""
    door = HTTPServer(listening.getsockname(), Answer, bind_and_activate=False)
    door.socket.close()
    door.socket = listening
    threading.Thread(target=door.serve_forever).start()
    for name in ("formgrader", "assignment_list", "course_list", "validate_assignment"):
        importlib.import_module(f"nbgrader.server_extensions.{name}")
    asked.wait(timeout=15)  # nobody asks when the hub starts it again
    door.shutdown()


listening = take_socket()
answer_meanwhile(listening)
main(listening)
