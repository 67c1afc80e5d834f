"""What an instructor does in the Formgrader: a program that ends when it is done.

It starts the server that JupyterLab runs in, in the course directory, and asks it for
what the browser would. Usage: instructor_at_work.py ASSIGNMENT STUDENT
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

PAGES = ("manage_assignments", "gradebook", "manage_students")
GUARD = "courseai_helpers.grading.sanitize.formgrader"
OPTIONS = (
    "--allow-root",
    "--no-browser",
    "--ServerApp.ip=127.0.0.1",
    "--ServerApp.port=0",
    f"--ServerApp.jpserver_extensions={GUARD}=True",
)
SERVER = [sys.executable, "-m", "jupyter_server", *OPTIONS]


def ask(address: str, method: str = "GET") -> bytes:
    """Asks the server, with the key that its owner has."""
    key = {"Authorization": f"token {os.environ['JUPYTER_TOKEN']}"}
    with urllib.request.urlopen(
        urllib.request.Request(address, method=method, headers=key)
    ) as answer:
        return answer.read()


def find_address(server: subprocess.Popen) -> str:
    """Returns the server's address, as soon as it answers there."""
    for line in server.stderr:
        if found := re.search(r"http://127\.0\.0\.1:\d+/", line):
            break
    # Somebody has to read on, or the server waits until there is room.
    threading.Thread(target=server.stderr.read, daemon=True).start()
    while True:
        try:
            ask(f"{found[0]}api/status")
        except urllib.error.URLError:  # it says where it will listen, and then does
            if server.poll() is not None:
                raise
            time.sleep(0.1)
        else:
            return found[0]


def work(server: subprocess.Popen, assignment: str, student: str) -> None:
    """Opens the Formgrader's pages, and presses the button that grades a submission."""
    formgrader = f"{find_address(server)}formgrader"
    for page in PAGES:
        ask(f"{formgrader}/{page}")
    button = f"{formgrader}/api/submission/{assignment}/{student}/autograde"
    answer = json.loads(ask(button, "POST"))
    print("graded" if answer["success"] else f"Error: {answer}")


if __name__ == "__main__":
    with subprocess.Popen(SERVER, stderr=subprocess.PIPE, text=True) as process:
        try:
            work(process, *sys.argv[1:])
        finally:
            process.terminate()
