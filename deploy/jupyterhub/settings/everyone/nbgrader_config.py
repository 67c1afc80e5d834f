"""What nbgrader needs to know on this server, whoever runs it."""

import os

c = get_config()  # noqa: F821 - nbgrader puts it there

c.CourseDirectory.course_id = os.environ["COURSEAI_COURSE_ID"]
c.Exchange.root = os.environ["COURSEAI_EXCHANGE"]

# Seconds for one cell when a student presses Validate; 30, the default, are too few
# for the live demonstration where many work at the same time.
c.ExecutePreprocessor.timeout = 180

# Kernels listen on ports of this machine; nobody else on it is to hear what they say.
# jupyter_server_config.json has the same line for those of JupyterLab.
c.KernelManager.transport_encryption = "auto"
