"""Guards nbgrader's Formgrader against its own addresses; an extension of the server.

nbgrader puts parts of an address into its pages as they are, and opens any folder that
an address names as a course, whose settings are a program. So a link could act as the
instructor who follows it.
"""

from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join
from nbgrader.server_extensions.formgrader.handlers import FormgraderHandler
from tornado.web import HTTPError


class OneCourse(FormgraderHandler):
    """Opens the course in which the server was started, and no other."""

    def get(self) -> None:
        """Opens the Formgrader.

        Raises:
            HTTPError: If the address names a folder.
        """
        if self.get_argument("path", ""):
            raise HTTPError(
                400,
                "The settings in a folder are a program, so that an address can't "
                "choose one. Start JupyterLab in the course directory that you mean.",
            )
        super().get()


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: ServerApp) -> None:
    """Registers before nbgrader's page: extensions are loaded by their names' order."""
    application = server.web_app
    address = url_path_join(application.settings["base_url"], "/formgrader/?")
    application.add_handlers(".*$", [(address, OneCourse)])


async def _start_jupyter_server_extension(server: ServerApp) -> None:
    """Makes all pages escape what they show, once all extensions are loaded."""
    settings = server.web_app.settings
    pages = settings["nbgrader_jinja2_env"]
    settings["nbgrader_jinja2_env"] = pages.overlay(autoescape=True)
