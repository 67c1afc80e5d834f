"""The commands `courseai import` and `courseai export`, for instructors."""

import argparse
from pathlib import Path

from courseai_helpers._common.printing import say


def add_lms_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    """Adds the commands to those of `courseai`."""
    importing = commands.add_parser("import", help="take over what an LMS exports")
    kinds = importing.add_subparsers(required=True, metavar="what")
    add_roster_command(kinds)
    add_submissions_command(kinds)
    add_export_command(commands)


def add_roster_command(
    kinds: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    """Adds `courseai import roster`."""
    roster = kinds.add_parser(
        "roster", help="add and update students in the gradebook; remove none"
    )
    roster.add_argument("file", type=Path, help="CSV from Canvas, Moodle, or your own")
    roster.add_argument(
        "--id-column",
        default="",
        metavar="NAME",
        help="the column that holds the students' ids in nbgrader",
    )
    add_dry_run(roster)
    roster.set_defaults(run=run_import_roster)


def add_submissions_command(
    kinds: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    """Adds `courseai import submissions`."""
    submissions = kinds.add_parser(
        "submissions", help="put downloaded submissions into submitted/"
    )
    submissions.add_argument("download", type=Path, help="the zip file, or a folder")
    submissions.add_argument("assignment", help="such as visualizing_features")
    submissions.add_argument(
        "--roster",
        type=Path,
        metavar="FILE",
        help="tells whose is what; for Moodle, the assignment's grading worksheet",
    )
    submissions.add_argument(
        "--force",
        action="store_true",
        help="replace also what is newer than the download, or of unknown age",
    )
    add_dry_run(submissions)
    submissions.set_defaults(run=run_import_submissions)


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    """Adds the option that every import has."""
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would change; change nothing"
    )


def add_export_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    """Adds `courseai export`."""
    export = commands.add_parser("export", help="write grades as an LMS imports them")
    export.add_argument("form", choices=["canvas", "moodle"], help="which LMS")
    export.add_argument("assignment", nargs="*", help="which assignments (all)")
    export.add_argument(
        "-o", "--to", default="", metavar="FILE", help="where to write (grades.csv)"
    )
    export.add_argument(
        "--roster", default="", metavar="FILE", help="the LMS's own export, for its ids"
    )
    export.add_argument(
        "--title", default="", help='the assignment\'s title in the LMS: "Title (id)"'
    )
    export.add_argument(
        "--missing-as-zero",
        action="store_true",
        help="give 0 points to those who have not submitted",
    )
    export.add_argument(
        "--unfinished",
        action="store_true",
        help="export also where answers still wait for an instructor",
    )
    export.add_argument(
        "--feedback", action="store_true", help="add the graders' comments (Moodle)"
    )
    export.set_defaults(run=run_export)


def run_import_roster(options: argparse.Namespace) -> int:
    """Imports a roster, or says what that would change."""
    from courseai_helpers.grading.lms.enroll import import_roster

    plan = import_roster(
        Path.cwd(), options.file, id_column=options.id_column, dry_run=options.dry_run
    )
    say(plan.describe())
    print_end(options.dry_run)
    return 0


def run_import_submissions(options: argparse.Namespace) -> int:
    """Imports submissions; fails if there is one that could not be imported."""
    from courseai_helpers.grading.uploads.submissions import import_submissions

    result = import_submissions(
        Path.cwd(),
        options.download,
        options.assignment,
        roster=options.roster,
        force=options.force,
        dry_run=options.dry_run,
    )
    say(result.describe())
    print_end(options.dry_run)
    return 1 if result.problems else 0


def print_end(dry_run: bool) -> None:
    """Says so if nothing was changed."""
    if dry_run:
        say("This was a dry run: nothing was changed.")


def run_export(options: argparse.Namespace) -> int:
    """Exports grades."""
    from courseai_helpers._common.errors import CourseError
    from courseai_helpers.grading.lms.exporters import export_grades

    names = ("to", "roster", "title", "missing_as_zero", "unfinished", "assignment")
    settings = {name: getattr(options, name) for name in names}
    if options.feedback:
        if options.form != "moodle":
            raise CourseError(
                "Canvas's gradebook takes no feedback in a CSV file. Leave out "
                "--feedback; students get nbgrader's feedback pages."
            )
        settings["feedback"] = True
    for notice in export_grades(Path.cwd(), options.form, **settings):
        say(notice)
    return 0
