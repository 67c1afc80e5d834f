"""Starts the course's JupyterLab, with the Formgrader, as a service of JupyterHub.

JupyterHub gives a service some ten seconds to answer, or does not start at all; to
import nbgrader takes a busy machine longer. So something answers meanwhile.
"""

import importlib
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlsplit

asked = threading.Event()


class Answer(BaseHTTPRequestHandler):
    """Answers whoever comes too early."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"The Formgrader is starting. Try again in a minute.")
        asked.set()


address = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
with HTTPServer((address.hostname, address.port), Answer) as door:
    threading.Thread(target=door.serve_forever).start()
    for name in ("formgrader", "assignment_list", "course_list", "validate_assignment"):
        importlib.import_module(f"nbgrader.server_extensions.{name}")
    singleuser = importlib.import_module("jupyterhub.singleuser")
    asked.wait(timeout=15)  # nobody asks when the hub starts it again
    door.shutdown()
singleuser.main()
