"""Remembers, in the gradebook's database, which version of a submission was graded.

The entry is written in the transaction that writes the scores: after a run that was
killed, both are there or neither is.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy
from sqlalchemy import Column, Float, MetaData, String, Table, Text, text
from sqlalchemy.schema import CreateColumn

from courseai_helpers._common.errors import CourseError

TABLE = Table(
    "courseai_submissions",
    MetaData(),
    Column("assignment", String(128), primary_key=True),
    Column("student", String(128), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("refused", Text, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("failures", Text, nullable=False),
    Column("notes", Text, nullable=False, server_default="[]"),
)
LOCK = 3_030_815  # any number: PostgreSQL's name for the lock on this database


@dataclass
class Entry:
    """What is known of a submission that was graded, or refused.

    Attributes:
        fingerprint: A hash of all that was submitted.
        refused: Why it could not be graded at all, or nothing.
        seconds: How long its execution took.
        failures: Cause and message for each cell that failed, by its name.
        notes: What was repaired or left out before it was graded.
    """

    fingerprint: str
    refused: str = ""
    seconds: float = 0.0
    failures: dict[str, dict[str, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def create_table(engine: sqlalchemy.Engine) -> None:
    """Creates the table, if it is not there, and the column that it did not have."""
    TABLE.metadata.create_all(engine)
    names = [
        column["name"] for column in sqlalchemy.inspect(engine).get_columns(TABLE.name)
    ]
    if TABLE.c.notes.name not in names:
        column = CreateColumn(TABLE.c.notes).compile(dialect=engine.dialect)
        with engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE {TABLE.name} ADD COLUMN {column}"))


def read_entries(engine: sqlalchemy.Engine, assignment: str) -> dict[str, Entry]:
    """Returns the entries of an assignment, by the students' ids."""
    if not sqlalchemy.inspect(engine).has_table(TABLE.name):
        return {}
    query = TABLE.select().where(TABLE.c.assignment == assignment)
    with engine.connect() as connection:
        return {
            row.student: Entry(
                row.fingerprint,
                row.refused,
                row.seconds,
                json.loads(row.failures),
                json.loads(row.notes),
            )
            for row in connection.execute(query)
        }


def write_entry(url: str, assignment: str, student: str, entry: Entry) -> None:
    """Writes an entry, in the transaction that the gradebook's URL is for."""
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        mine = (TABLE.c.assignment == assignment) & (TABLE.c.student == student)
        connection.execute(TABLE.delete().where(mine))
        lists = {"failures": entry.failures, "notes": entry.notes}
        values = vars(entry) | {name: json.dumps(v) for name, v in lists.items()}
        names = {"assignment": assignment, "student": student}
        connection.execute(TABLE.insert().values(**names, **values))
    engine.dispose()


@contextlib.contextmanager
def hold_course(course: Path, engine: sqlalchemy.Engine) -> Iterator[None]:
    """Makes sure that this is the only run that writes to the gradebook.

    Raises:
        CourseError: if there is another one.
    """
    with (course / ".grading.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise CourseError(
                f"Another run is grading this course already ({file.read().strip()}). "
                "Wait for it, or stop it, and run the same command again."
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()}")
        file.flush()
        with hold_database(engine):
            yield


@contextlib.contextmanager
def hold_database(engine: sqlalchemy.Engine) -> Iterator[None]:
    """Does the same among the machines that share a PostgreSQL server."""
    if engine.dialect.name != "postgresql":
        yield
        return
    with engine.connect() as connection:
        # It is released with the transaction, and that with the connection.
        held = connection.execute(text(f"SELECT pg_try_advisory_xact_lock({LOCK})"))
        if not held.scalar():
            raise CourseError(
                "Another run, perhaps on another machine, is writing to the gradebook "
                "already. Wait for it, or stop it, and run the same command again."
            )
        yield
