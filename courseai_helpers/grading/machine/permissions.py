"""Who else on this machine may read or replace a course, by its permissions."""

import grp
import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy
from nbgrader.apps import NbGrader
from nbgrader.exchange.default import Exchange

from courseai_helpers.machine.doctor import Finding

READ, WRITE, ENTER = stat.S_IROTH, stat.S_IWOTH, stat.S_IXOTH
EXCHANGE_MODE = 0o1777  # open to everybody; nobody can move another's files
INBOUND_MODE = 0o2733  # as nbgrader makes it: students can write, but not list
# What nbgrader and this package keep in a course directory, besides its own folders.
KEPT = (".git", "courseai_helpers/reference", "reports", ".grading", ".importing")


def check_privacy(application: NbGrader) -> Iterator[Finding]:
    """Checks that only the course's owner can read or replace what is in it."""
    course = Path(application.coursedir.root)
    shared = application.coursedir.groupshared
    private = list_private(application)
    opened = [path for path in private if is_open(path, shared)]
    if opened:
        inside = [path for path in opened if path.is_relative_to(course)]
        outside = [path for path in opened if path not in inside]
        names = [str(path.relative_to(course)) for path in inside]
        text = f"others can read {', '.join([*names, *map(str, outside)])}"
        targets = shlex.join([str(course)] * bool(inside) + [str(p) for p in outside])
        whom = "o" if shared else "go"
        fix = f"chmod {whom}-rwx {targets}"
        yield Finding("private files", "problem", text, fix)
    else:
        yield Finding("private files", "ok", "nobody else can read them")
    settings = list_settings(application)
    yield from check_parents([course, *private, *settings], shared)
    yield from check_settings(settings, shared)
    yield from check_password(application)


def list_private(application: NbGrader) -> list[Path]:
    """Returns what there is of solutions, students' work, grades and logs."""
    directory = application.coursedir
    course = Path(directory.root)
    names = [
        directory.source_directory,
        directory.solution_directory,
        directory.source_with_tests_directory,
        directory.submitted_directory,
        directory.autograded_directory,
        directory.feedback_directory,
        *KEPT,
    ]
    if application.logfile:
        names.append(application.logfile)
    paths = [course / name for name in names]
    url = sqlalchemy.engine.make_url(directory.db_url)
    if url.get_backend_name() == "sqlite" and url.database:
        book = course / url.database
        # SQLite keeps parts of it in -wal, -shm and -journal; backups lie there, too.
        paths += sorted(book.parent.glob(f"{book.name}*"))
    return [path for path in paths if path.exists()]


def check_parents(paths: list[Path], shared: bool) -> Iterator[Finding]:
    """Checks that nobody else can replace a folder."""
    trusted = {0, os.getuid(), *(path.stat().st_uid for path in paths)}
    parents = {parent for path in paths for parent in path.resolve().parents}
    for parent in sorted(parents):
        status = parent.stat()
        if find_rights(status, shared) & WRITE and not status.st_mode & stat.S_ISVTX:
            text = f"others can replace what is in {parent}"
            fix = f"sudo chmod go-w {shlex.quote(str(parent))}"
            yield Finding("parent folder", "problem", text, fix)
        elif status.st_uid not in trusted:
            text = f"{find_name(status.st_uid)} can replace what is in {parent}"
            fix = f"sudo chown root: {shlex.quote(str(parent))}"
            yield Finding("parent folder", "problem", text, fix)


def list_settings(application: NbGrader) -> list[Path]:
    """Returns the files that settings were read from."""
    return [Path(name) for name in dict.fromkeys(application.loaded_config_files)]


def check_settings(files: list[Path], shared: bool) -> Iterator[Finding]:
    """Checks that nobody else can change the settings: they are programs."""
    for path in files:
        if find_rights(path.stat(), shared) & WRITE:
            text = f"others can change {path}, a program that you run"
            fix = f"chmod go-w {shlex.quote(str(path))}"
            yield Finding("settings", "problem", text, fix)


def check_password(application: NbGrader) -> Iterator[Finding]:
    """Checks that no settings file shows a database's password to others."""
    url = sqlalchemy.engine.make_url(application.coursedir.db_url)
    if not url.password:
        return
    shared = application.coursedir.groupshared
    for path in list_settings(application):
        if is_open(path, shared) and str(url.password) in path.read_text():
            text = f"others can read the database's password in {path}"
            fix = f"chmod go-rwx {shlex.quote(str(path))}, and change the password"
            yield Finding("password", "problem", text, fix)


def check_shared_folder(exchange: Exchange, shared: bool) -> Iterator[Finding]:
    """Checks that students can use the exchange, and not replace what lies there.

    Args:
        exchange: The exchange, whose folder exists.
        shared: Whether the course belongs to a group, which may have the exchange.
    """
    root = Path(exchange.root)
    mode = stat.S_IMODE(root.stat().st_mode)
    fix = f"sudo install -d -m {EXCHANGE_MODE:o} {shlex.quote(str(root))}"
    closed = mode & stat.S_IRWXO != stat.S_IRWXO
    if closed and not shared:
        text = f"students can't write to {root} (mode {mode:o})"
        yield Finding("exchange", "problem", text, fix)
    elif mode & (stat.S_IWOTH | stat.S_IWGRP) and not mode & stat.S_ISVTX:
        text = f"students can replace each other's and your folders (mode {mode:o})"
        if closed:
            fix = f"sudo chmod +t {shlex.quote(str(root))}"
        yield Finding("exchange", "problem", text, fix)
    else:
        yield Finding("exchange", "ok", str(root))
    yield from check_parents([root], shared)
    yield from check_course_in_exchange(root / exchange.coursedir.course_id, shared)


def check_course_in_exchange(place: Path, shared: bool) -> Iterator[Finding]:
    """Checks the course's folder there, which anybody could have made first."""
    if not place.exists():
        return
    status = place.stat()
    quoted = shlex.quote(str(place))
    if status.st_uid != os.getuid():
        text = f"{place} belongs to {find_name(status.st_uid)}, not to you"
        fix = f"sudo mv {quoted} {quoted}.old, look into it, and release again"
        yield Finding("exchange, course", "problem", text, fix)
    elif find_rights(status, shared) & WRITE:
        text = f"others can replace what is in {place}"
        fix = f"chmod go-w {quoted}"
        yield Finding("exchange, course", "problem", text, fix)
    inbound = place / "inbound"
    if inbound.is_dir() and find_rights(inbound.stat(), shared) & READ:
        text = f"others can see who handed in what, in {inbound}"
        fix = f"chmod {INBOUND_MODE:o} {shlex.quote(str(inbound))}"
        yield Finding("exchange, course", "problem", text, fix)


def is_open(path: Path, shared: bool) -> bool:
    """Tells whether others can reach a file, or the content of a folder."""
    path = path.resolve()
    if not all(find_rights(p.stat(), shared) & ENTER for p in path.parents):
        return False
    return bool(find_rights(path.stat(), shared) & (READ | ENTER))


def find_rights(status: os.stat_result, shared: bool) -> int:
    """Returns what others may do, as bits; a group counts if it has other members."""
    rights = status.st_mode & stat.S_IRWXO
    if not shared and has_others(status.st_gid, status.st_uid):
        rights |= (status.st_mode & stat.S_IRWXG) >> 3
    return rights


def has_others(group: int, owner: int) -> bool:
    """Tells whether anybody but the owner, and root, is in a group."""
    users = {user.pw_name for user in pwd.getpwall() if user.pw_gid == group}
    try:
        users |= set(grp.getgrgid(group).gr_mem)
    except KeyError:  # a group without a name
        pass
    return bool(users - {find_name(owner), "root"})


def find_name(user: int) -> str:
    """Returns a user's name, or the number if there is no name."""
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
