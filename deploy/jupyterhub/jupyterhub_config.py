"""JupyterHub for one course: everybody works as a user of this machine.

The course directory belongs to a user of its own, the grader. Instructors reach it
through a JupyterLab that runs as the grader, a service of the hub; students do not.
Everybody's own server runs from an environment that has no solutions.
"""

import os
import socket
import sys
import tomllib
from pathlib import Path

c = get_config()  # noqa: F821 - JupyterHub puts it there

HERE = Path(__file__).resolve().parent
course = tomllib.loads(
    Path(os.environ.get("COURSEAI_COURSE", HERE / "course.toml")).read_text()
)
name = course["course"]
members = Path(course["members"])
PYTHON = members / "bin" / "python"
port = course["port"]

# Only root can open ports below this. The hub's parts have no others, so that nobody
# can take the place of one of them while it is down.
FREE_FOR_ALL = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
if port + 3 >= FREE_FOR_ALL:
    raise ValueError(
        f"Any user of this machine could take a port from {FREE_FOR_ALL} on, and the "
        f"hub would have those from {port} to {port + 3}. Lower `port` in course.toml, "
        "or raise the limit: sysctl net.ipv4.ip_unprivileged_port_start=1024"
    )
c.JupyterHub.bind_url = f"http://127.0.0.1:{port}"
c.JupyterHub.hub_port = port + 1
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{port + 2}"


def make_environment(python: Path, settings: Path, *kinds: str) -> dict[str, str]:
    """Returns what a JupyterLab needs to know; of settings, what comes first wins."""
    paths = [str(settings / kind) for kind in (*kinds, "everyone")]
    return {
        "JUPYTER_CONFIG_PATH": os.pathsep.join(paths),
        # Read by settings/everyone/nbgrader_config.py.
        "COURSEAI_EXCHANGE": course["exchange"],
        "COURSEAI_COURSE_ID": name,
        # nbgrader starts `alembic` by name: it must be found.
        "PATH": os.pathsep.join([str(python.parent), os.defpath]),
    }


# Passwords of this machine; any other authenticator has to give the same names.
c.JupyterHub.authenticator_class = "pam"
c.Authenticator.allowed_users = {*course["instructors"], *course["students"]}
# Who was in the course once is known to the hub, and gets in no more.
c.Authenticator.allow_existing_users = False

# nbgrader tells roles by these two names of groups. Whoever is taken off the lists
# above loses the role at the next start.
c.JupyterHub.load_groups = {
    f"formgrade-{name}": {"users": course["instructors"]},
    f"nbgrader-{name}": {"users": course["students"]},
}
c.JupyterHub.load_roles = [
    {
        "name": "instructor",
        "groups": [f"formgrade-{name}"],
        "scopes": [
            f"access:services!service={name}",
            # For the Course List, which shows the way to the Formgrader.
            f"list:services!service={name}",
            f"read:services!service={name}",
        ],
    },
    {
        # What a user's own JupyterLab may ask the hub: nbgrader wants the groups. A
        # scope that the user lacks, such as the last two for students, stays out.
        "name": "server",
        "scopes": [
            "users:activity!user",
            "access:servers!server",
            "read:users!user",
            f"list:services!service={name}",
            f"read:services!service={name}",
        ],
    },
]

c.JupyterHub.services = [
    {
        "name": name,
        "url": f"http://127.0.0.1:{port + 3}",
        # Root opens the port; the program itself runs as the grader.
        "command": [
            *(sys.executable, "-I", str(HERE / "listen.py")),
            *("127.0.0.1", str(port + 3), course["grader"]),
            *(sys.executable, str(HERE / "formgrader.py")),
        ],
        "cwd": course["directory"],
        "environment": {
            "JUPYTERHUB_DEFAULT_URL": "/lab",
            **make_environment(Path(sys.executable), HERE / "settings", "grader"),
        },
        "oauth_no_confirm": True,
    }
]


listening: dict[str, socket.socket] = {}  # for users' servers, by the users' names


def prepare(spawner) -> None:
    """Opens the port of a user's server, and shows students no tools of instructors.

    The server gets the socket, and the hub keeps it until the user starts another one:
    nobody else can take the port before, meanwhile or after a crash. What students may
    do does not depend on what they are shown.
    """
    if before := listening.pop(spawner.user.name, None):
        before.close()
    opened = socket.create_server(("127.0.0.1", 0))
    listening[spawner.user.name] = opened
    spawner.port = opened.getsockname()[1]
    spawner.popen_kwargs = {"pass_fds": [opened.fileno()]}
    groups = {group.name for group in spawner.user.groups}
    kinds = ["member"] if f"formgrade-{name}" in groups else ["student", "member"]
    spawner.environment = {
        "COURSEAI_SOCKET": str(opened.fileno()),
        **make_environment(PYTHON, members / "hub" / "settings", *kinds),
    }


c.JupyterHub.spawner_class = "jupyterhub.spawner.LocalProcessSpawner"
c.Spawner.cmd = [str(PYTHON), str(members / "hub" / "server.py")]
c.Spawner.pre_spawn_hook = prepare
c.Spawner.default_url = "/lab"
# Importing PyTorch for the first time takes a slow disk minutes.
c.Spawner.start_timeout = c.Spawner.http_timeout = 180
