"""The `courseai` command: builds, checks, grades and exchanges what a course needs."""

import argparse
import sys
from pathlib import Path

from courseai_helpers._common.errors import CourseError
from courseai_helpers._common.printing import say
from courseai_helpers.cli.lms import add_lms_commands
from courseai_helpers.cli.student import add_machine_commands

WIDE = 160  # characters of a table that goes to a file


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code, 0 for success."""
    options = make_parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except ModuleNotFoundError as error:
        return fail(explain_missing(error.name))
    except (CourseError, OSError) as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return fail("Stopped. Run the same command to start again.")


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    parser = argparse.ArgumentParser(prog="courseai", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    build = commands.add_parser("build", help="generate release/ and solutions/")
    build.add_argument(
        "--check",
        action="store_true",
        help="change nothing; say what is stale and exit with 1 if anything is",
    )
    build.set_defaults(run=run_build)

    demo = commands.add_parser("demo", help="grade three submissions, in demo/")
    demo.set_defaults(run=run_demo)

    grade = commands.add_parser(
        "grade", help="grade every submission that is new or has changed"
    )
    grade.add_argument("assignment", help="such as visualizing_features")
    grade.add_argument(
        "--jobs",
        type=count_jobs,
        default=1,
        metavar="N",
        help="how many submissions to execute at the same time (1)",
    )
    grade.add_argument(
        "--scheduler",
        metavar="tls://HOST:PORT",
        help="execute them on the workers of this Dask scheduler instead",
    )
    grade.add_argument(
        "--insecure-scheduler",
        action="store_true",
        help="take a scheduler, such as one at tcp://, that lets everybody in",
    )
    grade.add_argument(
        "--force", action="store_true", help="grade also what is graded already"
    )
    grade.add_argument(
        "--dry-run",
        action="store_true",
        help="keep nothing; say who would gain and who would lose (with --force)",
    )
    grade.add_argument(
        "--run-all",
        action="store_true",
        help="run also the cells for looking, on which no point depends",
    )
    grade.add_argument(
        "--no-sandbox",
        action="store_true",
        help="let student code run with your own rights, at your own risk",
    )
    grade.add_argument(
        "--verbose", action="store_true", help="print the log of the run as well"
    )
    grade.set_defaults(run=run_grade)

    report = commands.add_parser(
        "report", help="write a report on a graded class, in reports/"
    )
    report.add_argument("assignment", help="such as visualizing_features")
    report.set_defaults(run=run_report)

    add_lms_commands(commands)
    add_machine_commands(commands)
    return parser


def run_build(options: argparse.Namespace) -> int:
    """Generates release/ and solutions/, or checks them."""
    from courseai_helpers.grading.authoring.build import build, find_stale

    if not options.check:
        build(Path.cwd())
        return 0
    if stale := find_stale(Path.cwd()):
        files = "\n  ".join(stale)
        return fail(f"Stale, run `courseai build` and commit:\n  {files}")
    say("release/ and solutions/ are up to date.")
    return 0


def run_demo(options: argparse.Namespace) -> int:
    """Grades three submissions and prints the gradebook."""
    from courseai_helpers.grading.authoring.demo import run_demonstration

    run_demonstration(Path.cwd())
    return 0


def count_jobs(text: str) -> int:
    """Returns the number of jobs that was asked for."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 up")
    return int(text)


def run_grade(options: argparse.Namespace) -> int:
    """Grades a class; fails if a submission is left that should have a score."""
    from rich.console import Console

    from courseai_helpers.grading.sandbox import forkserver_client

    if not (options.no_sandbox or options.scheduler):
        forkserver_client.start_server()  # it loads PyTorch while this loads nbgrader
    from courseai_helpers.grading.classrun.run import grade_class
    from courseai_helpers.grading.report.changes import make_table, sum_up

    outcome = grade_class(
        Path.cwd(),
        options.assignment,
        jobs=options.jobs,
        scheduler=options.scheduler,
        force=options.force,
        run_all=options.run_all,
        sandbox=not options.no_sandbox,
        dry=options.dry_run,
        insecure=options.insecure_scheduler,
        verbose=options.verbose,
    )
    say(outcome.describe())
    if outcome.changes:
        width = None if sys.stdout.isatty() else WIDE
        Console(markup=False, width=width).print(make_table(outcome.changes))
        say(sum_up(outcome.changes))
    return 1 if outcome.failed else 0


def run_report(options: argparse.Namespace) -> int:
    """Writes the report on a class."""
    from courseai_helpers.grading.report.page import write_report

    for path in write_report(Path.cwd(), options.assignment):
        say(f"Wrote {path.relative_to(Path.cwd())}")
    return 0


def explain_missing(module: str | None) -> str:
    """Says why a module is missing and how to get it."""
    if module and module.startswith("courseai_helpers"):
        return (
            "This command belongs to instructors, and the package for students, which "
            "is installed here, comes without it. Students open the lesson with "
            "`jupyter lab`. Instructors install from a clone of the whole repository: "
            'pip install -e ".[instructor]"'
        )
    return (
        f"The Python module {module!r} is missing. Install what instructors need, at "
        'the top of the clone: pip install -e ".[instructor]"'
    )


def fail(message: str) -> int:
    """Prints a message on stderr and returns the exit code for failure."""
    say(message, sys.stderr)
    return 1
