"""The commands `courseai fetch` and `courseai doctor`, for students as well."""

import argparse
from pathlib import Path

from courseai_helpers._common.printing import say


def add_machine_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    """Adds the commands to those of `courseai`."""
    fetch = commands.add_parser(
        "fetch", help="get the network's weights and the photos ahead of a class"
    )
    way = fetch.add_mutually_exclusive_group()
    way.add_argument(
        "--pack",
        type=Path,
        metavar="FILE.zip",
        help="get them, and pack them for machines without a network",
    )
    way.add_argument(
        "--from",
        type=Path,
        dest="source",
        metavar="FILE.zip",
        help="take them from such a file; needs no network",
    )
    fetch.set_defaults(run=run_fetch)

    doctor = commands.add_parser(
        "doctor", help="check, before a class, that everything is in place"
    )
    doctor.add_argument(
        "--student", action="store_true", help="check what a student needs, no more"
    )
    doctor.set_defaults(run=run_doctor)


def run_fetch(options: argparse.Namespace) -> int:
    """Gets weights and photos, from the web or from a file."""
    from courseai_helpers.machine.prefetch import fetch_all, install_pack, write_pack

    if options.source:
        lines = install_pack(options.source)
    elif options.pack:
        lines = write_pack(options.pack)
    else:
        lines = fetch_all()
    for line in lines:
        say(line)
    return 0


def run_doctor(options: argparse.Namespace) -> int:
    """Prints what was checked; fails if there is a problem."""
    from courseai_helpers.machine.doctor import (
        describe,
        list_student_checks,
        run_checks,
    )

    checks = list_student_checks()
    if not options.student:
        from courseai_helpers.grading.machine.doctor import list_instructor_checks

        checks = list_instructor_checks(Path.cwd())
    findings = run_checks(checks)
    say(describe(findings))
    return 1 if any(finding.state == "problem" for finding in findings) else 0
