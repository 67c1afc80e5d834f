"""What a student on the class server tries, in a kernel of their own.

`tests/install/test_jupyterhub.py` sends this file there, as a student would type it. It
prints
what was found, as JSON: nothing, in every entry.
"""

import importlib
import json
import os
import pwd
import socket
import subprocess
import sys
from pathlib import Path

SECRETS: list[str] = []  # lines of solutions and hidden tests, set by the test
PLACES: dict = {}  # exchange, homes, clone, hub, ports, set by the test
ANSWERS = (
    "reference",
    "reference.visualizing_features",
    "grading",
    "grading.examiner.oracles",
)
SYSTEM = ("/dev", "/proc", "/sys", "/usr/lib", "/usr/share", "/usr/include")


def import_answers() -> list[str]:
    """Imports what holds the answers."""
    found = []
    for name in ANSWERS:
        try:
            found.append(importlib.import_module(f"courseai_helpers.{name}").__file__)
        except ImportError:
            pass
    return found


def run_search(*command: str, text: str = "") -> list[str]:
    environment = os.environ | {"LC_ALL": "C"}  # bytes are found sooner than letters
    result = subprocess.run(
        command, input=text, env=environment, capture_output=True, text=True
    )
    return result.stdout.splitlines()


def find_texts() -> list[str]:
    """Finds readable files with a line of a solution, wherever they are."""
    skip = [f"--exclude-dir={Path.home().name}"]
    places = [str(path) for path in Path("/").iterdir() if str(path) not in SYSTEM]
    places = [path for path in places if path != "/usr"] + ["/usr/local"]
    lines = "".join(f"{line}\n" for line in SECRETS)
    return run_search(
        "grep", "-rIlF", "-D", "skip", *skip, "-f", "-", *places, text=lines
    )


def find_files() -> list[str]:
    """Finds readable gradebooks, secrets of the hub, and histories of clones."""
    pruned = [word for path in SYSTEM for word in ("-path", path, "-prune", "-o")]
    names = (
        "gradebook.db*",
        "jupyterhub.sqlite*",
        "jupyterhub_cookie_secret",
        "*.pack",
    )
    kinds = [word for name in names for word in ("-o", "-name", name)]
    # nbgrader brings one to test itself with.
    end = ("-readable", "-type", "f", "-not", "-path", "*/nbgrader/tests/*", "-print")
    return run_search("find", "/", *pruned, "(", *kinds[1:], ")", *end)


def list_others() -> list[str]:
    """Lists what can be listed of others' homes and work, the clone and the hub."""
    exchange = Path(PLACES["exchange"])
    homes = [home for home in Path(PLACES["homes"]).iterdir() if home != Path.home()]
    handed_in = [*exchange.glob("*/inbound"), *exchange.glob("*/feedback")]
    found = []
    for folder in [*homes, *handed_in, Path(PLACES["clone"]), Path(PLACES["hub"])]:
        try:
            found += map(str, folder.iterdir())
        except PermissionError:
            pass
    return found


def read_processes() -> list[str]:
    """Reads what other users' processes were started with, and their environments."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid != os.getuid():
                found.append((process / "cmdline").read_text().replace("\0", " "))
                found.append((process / "environ").read_text())
        except OSError:
            pass
    return found


def take_ports() -> list[int]:
    """Tries to listen where the hub's parts do."""
    found = []
    for port in PLACES["ports"]:
        try:
            with socket.create_server(("127.0.0.1", port), reuse_port=True):
                found.append(port)
        except OSError:
            pass
    return found


def become_another() -> list[str]:
    """Looks whether the kernel runs as somebody it should not."""
    name = pwd.getpwuid(os.getuid()).pw_name
    return [] if name == Path.home().name else [name]


print(
    json.dumps(
        {
            "prefix": sys.prefix,
            "imports": import_answers(),
            "texts": find_texts(),
            "files": find_files(),
            "others": list_others(),
            "processes": read_processes(),
            "ports": take_ports(),
            "user": become_another(),
        }
    )
)
