"""Reads the sender of a submitted file from the name that the LMS gave it.

Source: Canvas's lib/content_zipper.rb and Moodle's mod/assign/classes/downloader.php.
"""

import re
from collections.abc import Container
from dataclasses import dataclass
from pathlib import PurePosixPath

# muellerada_LATE_12345_67890_visualizing_features-1.ipynb: name, whether it was late,
# the user's id, the file's id. Only word characters are left of the name.
CANVAS = re.compile(
    r"(?P<name>\w*?)(?P<late>_LATE)?_(?P<user>\d+)_(?P<file>\d+)_(?P<rest>.+)"
)
ANONYMOUS = re.compile(r"anon_\w+?_\d+_.+")
# Ada Müller_1234567_assignsubmission_file_/name.ipynb, in newer versions without the
# last underscore; or, if Moodle was told to make no folders, everything in one name.
MOODLE = re.compile(
    r"(?P<name>[^_]+)_(?P<participant>\d+)_assignsubmission_file(_(?P<rest>.*))?"
)
OTHER_MOODLE = re.compile(r".+_assignsubmission_\w+")
# What Canvas adds to the name of a file that a student sends again.
NUMBER = re.compile(r"-\d+$")


@dataclass(frozen=True)
class Sender:
    """Who sent a file, as far as its name tells.

    Attributes:
        rest: The name that the student gave to the file, with the student's folders.
        name: The student's name, as the LMS writes it.
        lms_user_id: The student's id in Canvas.
        participant: The student's number in a Moodle assignment.
        student: The student's id in nbgrader.
        depth: How many parts of the path say this; the parts below are the student's.
        late: Whether the file was late; None if its name does not say.
        number: The id that Canvas gave to the file: larger means later.
    """

    rest: PurePosixPath
    name: str = ""
    lms_user_id: str = ""
    participant: str = ""
    student: str = ""
    depth: int = 1
    late: bool | None = None
    number: int = 0


def read_sender(path: PurePosixPath, students: Container[str]) -> Sender | str:
    """Returns who sent a file, or why its name does not tell.

    Args:
        path: The path within the download. The part that tells may come late in it:
            archives are often unpacked into a folder.
        students: The ids that nbgrader knows.
    """
    for place, part in enumerate(path.parts):
        below = path.parts[place + 1 :]
        if ANONYMOUS.fullmatch(part):
            return (
                "It is anonymous. Turn anonymous grading off in Canvas, and download "
                "again."
            )
        if found := CANVAS.fullmatch(part):
            return Sender(
                PurePosixPath(found["rest"], *below),
                depth=place + 1,
                name=found["name"],
                lms_user_id=found["user"],
                late=bool(found["late"]),
                number=int(found["file"]),
            )
        if found := MOODLE.fullmatch(part):
            names = [found["rest"], *below] if found["rest"] else below
            if names:
                return Sender(
                    PurePosixPath(*names),
                    depth=place + 1,
                    name=found["name"],
                    participant=found["participant"],
                )
        if OTHER_MOODLE.fullmatch(part):
            return "It is text that was typed into Moodle, not a file."
    return read_plain(path, students)


def read_plain(path: PurePosixPath, students: Container[str]) -> Sender | str:
    """Returns who sent a file, for folders or file names that begin with their ids."""
    for place, part in enumerate(path.parts[:-1]):
        if (student := part.removesuffix(".zip")) in students:
            rest = PurePosixPath(*path.parts[place + 1 :])
            return Sender(rest, student=student, depth=place + 1)
    parts = path.name.split("_")
    for end in range(len(parts) - 1, 0, -1):
        if (student := "_".join(parts[:end])) in students:
            rest = PurePosixPath("_".join(parts[end:]))
            return Sender(rest, student=student, depth=len(path.parts))
    return "Its name does not tell whose it is."


def strip_number(stem: str) -> str:
    """Returns a file's name without the number that Canvas adds to it."""
    return NUMBER.sub("", stem) or stem
