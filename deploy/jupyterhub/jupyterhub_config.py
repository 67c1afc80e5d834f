"""JupyterHub for one course: everybody works as a user of this machine.

The course directory belongs to a user of its own, the grader. Instructors reach it
through a JupyterLab that runs as the grader, a service of the hub; students do not.
"""

import os
import sys
import tomllib
from pathlib import Path

c = get_config()  # noqa: F821 - JupyterHub puts it there

HERE = Path(__file__).resolve().parent
SETTINGS = HERE / "settings"
course = tomllib.loads(
    Path(os.environ.get("COURSEAI_COURSE", HERE / "course.toml")).read_text()
)
name = course["course"]
SINGLEUSER = str(Path(sys.executable).with_name("jupyterhub-singleuser"))


def join_settings(*kinds: str) -> str:
    """Returns JUPYTER_CONFIG_PATH, what comes first wins."""
    return os.pathsep.join(str(SETTINGS / kind) for kind in (*kinds, "everyone"))


# Read by settings/everyone/nbgrader_config.py.
ENVIRONMENT = {
    "COURSEAI_EXCHANGE": course["exchange"],
    "COURSEAI_COURSE_ID": name,
    # nbgrader starts `alembic` by name: it must be found.
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]),
}

# Passwords of this machine; any other authenticator has to give the same names.
c.JupyterHub.authenticator_class = "pam"
c.Authenticator.allowed_users = {*course["instructors"], *course["students"]}

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
        "url": f"http://127.0.0.1:{course['port']}",
        "command": [sys.executable, str(HERE / "formgrader.py")],
        "user": course["grader"],
        "cwd": course["directory"],
        "environment": ENVIRONMENT
        | {
            "HOME": str(Path(course["directory"]).parent),
            "JUPYTERHUB_DEFAULT_URL": "/lab",
            "JUPYTER_CONFIG_PATH": join_settings(),
        },
        "oauth_no_confirm": True,
    }
]


def choose_settings(spawner) -> None:
    """Shows students no tools of instructors; the permissions do not depend on it."""
    groups = {group.name for group in spawner.user.groups}
    kinds = [] if f"formgrade-{name}" in groups else ["student"]
    spawner.environment = ENVIRONMENT | {
        "JUPYTER_CONFIG_PATH": join_settings(*kinds, "member")
    }


c.JupyterHub.spawner_class = "jupyterhub.spawner.LocalProcessSpawner"
c.Spawner.cmd = [SINGLEUSER]
c.Spawner.pre_spawn_hook = choose_settings
c.Spawner.default_url = "/lab"
# Importing PyTorch for the first time takes a slow disk minutes.
c.Spawner.start_timeout = c.Spawner.http_timeout = 180
