"""Starts a JupyterLab for JupyterHub, on a port that is open already.

Whoever starts it listens on the port first, and hands the socket over. So there is no
moment in which another user of this machine can take the port, and serve pages of
their own where the hub sends its users.
"""

import os
import socket

from jupyter_server.serverapp import ServerApp
from jupyterhub.singleuser.extension import JupyterHubSingleUser

SOCKET = "COURSEAI_SOCKET"  # the number of the socket's file


def take_socket() -> socket.socket:
    """Returns the socket that was handed over, which no kernel is to have as well."""
    listening = socket.socket(fileno=int(os.environ.pop(SOCKET)))
    listening.set_inheritable(False)
    return listening


class OpenServer(ServerApp):
    """A Jupyter server that looks for no port, and opens none."""

    listening: socket.socket

    def _find_http_port(self):
        pass

    def _bind_http_server(self):
        self.listening.setblocking(False)
        self.http_server.add_socket(self.listening)


def main(listening: socket.socket) -> None:
    """Serves until the hub ends it."""
    OpenServer.listening = listening
    # A subclass would be another extension, which Jupyter does not find by its name.
    JupyterHubSingleUser.serverapp_class = OpenServer
    JupyterHubSingleUser.launch_instance()


if __name__ == "__main__":
    main(take_socket())
