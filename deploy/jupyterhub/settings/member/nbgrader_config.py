"""For the servers of students and instructors: the hub says who is in the course."""

c = get_config()  # noqa: F821 - nbgrader puts it there

c.Authenticator.plugin_class = "nbgrader.auth.JupyterHubAuthPlugin"
