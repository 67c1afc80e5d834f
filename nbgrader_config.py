"""What nbgrader needs to know about this course; where the exchange is, sites say."""

from importlib.util import find_spec

grading = "courseai_helpers.grading"

c = get_config()  # noqa: F821 - nbgrader puts it there

# No file's name and no message of a student's commands the terminal that shows the log.
c.NbGrader.logging_config = {
    "formatters": {"console": {"class": f"{grading}.sanitize.logs.PrintableFormatter"}}
}

# Names the course in the exchange and in the gradebook.
c.CourseDirectory.course_id = "courseai"

# nbgrader's default is "solution"; ours reads like its neighbors source/ and release/.
c.CourseDirectory.solution_directory = "solutions"

# Whatever lies beside the notebook is copied to students, unless it is named here:
# nbgrader's own four, then what editors and desktops leave behind.
c.CourseDirectory.ignore = [
    ".ipynb_checkpoints",
    "*.pyc",
    "__pycache__",
    "feedback",
    ".DS_Store",
    "Thumbs.db",
    "*~",
    ".*.swp",
]

# Says what to do, and fails the tests of an exercise that is left as it is.
c.ClearSolutions.code_stub = {
    "python": (
        "# TODO: replace the next line with your code.\n"
        'raise NotImplementedError("This exercise is still to be written.")'
    )
}

# Double-clicking a Markdown cell opens it; students do not all know.
c.ClearSolutions.text_stub = (
    "*Double-click here and replace this line with your answer.*"
)

# Seconds for one cell. The default of 30 is too short for the live demonstration
# on a slow or busy machine; an endless loop still ends.
c.ExecutePreprocessor.timeout = 180

# Seconds for a kernel to start: many start at once when a class is graded.
c.ExecutePreprocessor.startup_timeout = 120

# Seconds for a cell's last output to arrive; 4 is too short for a busy machine.
c.ExecutePreprocessor.iopub_timeout = 30

# Kernels that are not in a sandbox, such as those that run the solutions, listen on
# ports of this machine. Others on it could read there what a notebook puts out.
c.KernelManager.transport_encryption = "auto"

# Time stamps would make every generated solution differ from the last.
c.ExecutePreprocessor.record_timing = False

# What a cell prints arrives in pieces, whose number depends on the machine's load: the
# last but one of these joins them. Those before are nbgrader's own, in its own order.
c.GenerateSolution.preprocessors = [
    "nbgrader.preprocessors.IncludeHeaderFooter",
    "nbgrader.preprocessors.LockCells",
    "nbgrader.preprocessors.ClearOutput",
    "nbgrader.preprocessors.ClearMarkScheme",
    "nbgrader.preprocessors.Execute",
    "nbconvert.preprocessors.CoalesceStreamsPreprocessor",
    f"{grading}.authoring.widgets.DropWidgets",
]
c.CoalesceStreamsPreprocessor.enabled = True

# Widgets do not run in a stored notebook, and their state would differ every time.
c.ExecutePreprocessor.store_widget_state = False

# Whatever saved or damaged a notebook, and whatever lies beside it: what can be read is
# graded, and the rest is that student's own trouble.
c.Autograde.exporter_class = f"{grading}.submissions.notebook.SubmissionExporter"
c.Autograde.pre_convert_hook = (
    f"{grading}.submissions.notebook.refuse_what_stops_nbgrader"
)

# A lost, copied or edited test cell must not cost points, nor a student's slip the run:
# submissions are repaired first. The others are nbgrader's own, in its own order. After
# the repair all marks are the gradebook's, so that nbgrader need not look at them.
c.Autograde.sanitize_preprocessors = [
    f"{grading}.steps.repair.RepairSubmission",
    "nbgrader.preprocessors.ClearOutput",
    "nbgrader.preprocessors.DeduplicateIds",
    "nbgrader.preprocessors.OverwriteKernelspec",
]

# Student code is not to be trusted: it runs in a sandbox, in a kernel that is forked
# from a warm process; scores are saved by nbgrader's own rules, all at a time. The
# others are nbgrader's own, in its own order.
c.Autograde.autograde_preprocessors = [
    f"{grading}.steps.execute.SandboxedExecute",
    f"{grading}.steps.outcome.KeepOutcome",
    "nbgrader.preprocessors.IgnorePattern",
    "nbconvert.preprocessors.ClearMetadataPreprocessor",
    "nbgrader.preprocessors.LimitOutput",
    f"{grading}.steps.outcome.SaveScores",
    "nbgrader.preprocessors.AssignLatePenalties",
    f"{grading}.sanitize.notebook.HarmlessNotebook",
]

# The Formgrader shows what students wrote on a page that may do all that an instructor
# may: nothing of it may run there.
c.HTMLExporter.preprocessors = [f"{grading}.sanitize.notebook.HarmlessNotebook"]
c.HTMLExporter.filters = {
    "markdown2html": f"{grading}.sanitize.html.render_markdown",
    "clean_html": f"{grading}.sanitize.html.clean_html",
}
c.HTMLExporter.sanitize_html = True

# A page with score and message per property, in which nothing of a submission can run.
c.GenerateFeedback.exporter_class = f"{grading}.steps.feedback.FeedbackExporter"

# Students write to the exchange: what they hand in is theirs, and no link is followed.
# On a cluster ngshare takes the exchange's place, and the site names its classes.
if not find_spec("ngshare_exchange"):
    place = f"{grading}.exchange"
    c.ExchangeFactory.collect = f"{place}.ExchangeCollect"
    c.ExchangeFactory.list = f"{place}.ExchangeList"
    c.ExchangeFactory.release_assignment = f"{place}.ExchangeReleaseAssignment"
    c.ExchangeFactory.release_feedback = f"{place}.ExchangeReleaseFeedback"
