"""What students gain by planting things in the exchange: nothing.

Users of this machine hand in with nbgrader, one of them plants everything that came to
our minds, and an instructor collects: once as an ordinary user, once as root.
"""

import json
import os
import shutil
import socket
import tempfile
from pathlib import Path

import pytest
from conftest import needs_root
from small_course import ASSIGNMENT, SOLUTIONS, make_course, run
from users import call_as, make_users, run_module_as

pytestmark = needs_root

TEACHER, ADA, BEN, EVE = "cai-prof", "cai-ada", "cai-ben", "cai-eve"
NOTEBOOK = f"{ASSIGNMENT}.ipynb"
SECRET = "SECRET-that-no-student-may-see"
NOW = "2026-03-01 10:00:00.000000 UTC"
LATER = "2026-03-02 10:00:00.000000 UTC"
COLLECT = ("nbgrader", "collect", ASSIGNMENT)


class Class:
    """A class on this machine: its folders and its output."""

    def __init__(self, top: Path):
        self.top = top
        self.exchange, self.inbound = (
            top / "exchange",
            top / "exchange/courseai/inbound",
        )
        self.course, self.roots = top / "course", top / "course-of-root"
        self.said = {}

    def collected(self, course: Path, student: str) -> Path:
        """Returns the folder of a student's collected work."""
        return course / "submitted" / student / ASSIGNMENT


def submit(exchange: Path, student: str, answer: str) -> None:
    """Hands in with nbgrader, as the student: a notebook, and a link to a file."""
    home = exchange.parent / "home" / student
    options = ("--course=courseai", f"--Exchange.root={exchange}")
    if not (home / ASSIGNMENT).exists():
        run_module_as(
            student, home, "nbgrader", "fetch_assignment", ASSIGNMENT, *options
        )
        (home / "plot.txt").write_text(answer)
        (home / ASSIGNMENT / "plot.txt").symlink_to(home / "plot.txt")
    path = home / ASSIGNMENT / NOTEBOOK
    notebook = json.loads(path.read_text())
    for cell in notebook["cells"]:
        if cell["id"] in SOLUTIONS:
            cell["source"] = answer
    path.write_text(json.dumps(notebook))
    run_module_as(student, home, "nbgrader", "submit", ASSIGNMENT, *options)


def make_folder(inbound: Path, name: str | bytes, text: str = "{}") -> Path:
    """Makes a submission by hand."""
    folder = Path(os.fsdecode(os.fsencode(inbound) + b"/" + os.fsencode(name)))
    folder.mkdir()
    (folder / NOTEBOOK).write_text(text)
    folder.chmod(0o777)
    return folder


def plant_own(inbound: Path, course: Path, other: Path) -> None:
    """Plants links that lead elsewhere, and endless files, in one's submission."""
    folder = make_folder(inbound, f"{EVE}+{ASSIGNMENT}+{NOW}+x", "eve's own")
    source = course / "source" / ASSIGNMENT
    for name, target in (
        ("source.ipynb", source / NOTEBOOK),
        ("gradebook.db", course / "gradebook.db"),
        ("folder", source),
        ("everything", "/"),
        ("others.ipynb", other / NOTEBOOK),
        ("dangling", "/nowhere/at/all"),
        ("itself", "itself"),
        ("submission_secret.txt", course / "gradebook.db"),
    ):
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "pipe.ipynb")
    with socket.socket(socket.AF_UNIX) as door:
        os.chdir(folder)
        door.bind("socket")
    with open(folder / "huge.bin", "wb") as file:
        file.truncate(2**40)
    (folder / "closed.txt").write_text("closed")
    (folder / "closed.txt").chmod(0)
    for name in (b"\x1b]0;owned\x07.txt", b"\xff\xfe.txt", b"two\nlines.txt"):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_text("x")
    os.chdir("/")
    deep = folder
    for _ in range(40):
        deep = deep / "deep"
        deep.mkdir()
    (folder / "timestamp.txt").write_text("no time at all")
    (folder / "picture.png").write_text("eve's own picture")


def plant_others(inbound: Path, course: Path) -> None:
    """Plants submissions in others' names, and with invalid names."""
    for student in (ADA, BEN):
        for when in (NOW, LATER, "2099-01-01 00:00:00 UTC"):
            make_folder(inbound, f"{student}+{ASSIGNMENT}+{when}+forged", "forged")
    for name in (
        f"root+{ASSIGNMENT}+{NOW}+x",
        f"<script>alert(1)</script>+{ASSIGNMENT}+{NOW}+x".replace("/", "_"),
        f"..+{ASSIGNMENT}+{NOW}+x",
        f"+{ASSIGNMENT}+{NOW}+x",
        f"*+{ASSIGNMENT}+{NOW}+x",
        f"\x1b]0;owned\x07+{ASSIGNMENT}+{NOW}+x",
        f"two\nlines+{ASSIGNMENT}+{NOW}+x",
        b"\xff\xfe+" + f"{ASSIGNMENT}+{NOW}+x".encode(),
        f"{EVE}+{ASSIGNMENT}+no time+x",
        f"{EVE}+{ASSIGNMENT}+",
        f"{EVE}+{ASSIGNMENT}+2099-01-01 00:00:00 UTC+future",
        f"{ADA}+{ASSIGNMENT}+x+{ASSIGNMENT}+{NOW}+x",
    ):
        make_folder(inbound, name, "forged")
    (inbound / f"{EVE}+{ASSIGNMENT}+{LATER}+link").symlink_to(course)
    (inbound / f"{ADA}+{ASSIGNMENT}+{LATER}+link").symlink_to(course / "source")
    (inbound / f"{BEN}+{ASSIGNMENT}+{LATER}+dangling").symlink_to("/nowhere")
    (inbound / f"{EVE}+{ASSIGNMENT}+{LATER}+file").write_text("no folder")
    os.mkfifo(inbound / f"{BEN}+{ASSIGNMENT}+{LATER}+pipe")
    for number in range(300):
        (inbound / f"{ADA}+{ASSIGNMENT}+{LATER}+{number}").mkdir()


def plant_as_root(inbound: Path, course: Path, other: Path) -> None:
    """Plants what a student could on a machine that is set up badly."""
    folder = inbound / f"{EVE}+{ASSIGNMENT}+{NOW}+x"
    os.link(course / "gradebook.db", folder / "hard.db")
    os.link(other / NOTEBOOK, folder / "hard.ipynb")
    os.mknod(folder / "device", 0o666 | 0o020000, os.makedev(1, 5))  # /dev/zero
    shutil.chown(folder / "device", EVE)


def find_submission(inbound: Path, student: str) -> Path:
    """Returns what a student has really handed in, by nbgrader."""
    (found,) = (
        path
        for path in inbound.glob(f"{student}+*")
        if path.owner() == student and not path.name.endswith("+x")
    )
    return found


@pytest.fixture(scope="module")
def folder():
    """A folder that every user may enter; pytest's own are root's alone."""
    path = Path(tempfile.mkdtemp(prefix="courseai-exchange-", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def room(folder):
    """The class when everybody has handed in and everything is collected."""
    with make_users(folder, TEACHER, ADA, BEN, EVE):
        room = Class(folder)
        make_course(room.course)
        settings = room.course / "nbgrader_config.py"
        settings.write_text(
            f"{settings.read_text()}\nc.Exchange.root = {str(room.exchange)!r}\n"
        )
        (room.course / "source" / "secret.txt").write_text(SECRET)
        shutil.copytree(room.course, room.roots)
        give(room.course, TEACHER)
        room.exchange.mkdir()
        room.exchange.chmod(0o777)
        shutil.chown(room.exchange, TEACHER)
        run_module_as(
            TEACHER, room.course, "nbgrader", "release_assignment", ASSIGNMENT
        )
        for student in (ADA, BEN):
            submit(room.exchange, student, f"# {student}")
        other = find_submission(room.inbound, ADA)
        call_as(EVE, plant_own, room.inbound, room.course, other)
        call_as(EVE, plant_others, room.inbound, room.course)
        plant_as_root(room.inbound, room.course, other)
        room.said["instructor"] = run_module_as(TEACHER, room.course, *COLLECT)
        room.said["root"] = run(room.roots, *COLLECT).stdout
        yield room


def give(folder: Path, user: str) -> None:
    """Gives a folder and its content to a user, closed to others."""
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, user)
    folder.chmod(0o700)


def list_courses(room: Class) -> dict[str, Path]:
    return {"instructor": room.course, "root": room.roots}


def test_honest_work_is_collected_whole_whoever_else_wrote_to_the_exchange(room):
    for name, course in list_courses(room).items():
        for student in (ADA, BEN):
            text = room.collected(course, student).joinpath(NOTEBOOK).read_text()
            assert f"# {student}" in text and "forged" not in text, name
            plot = room.collected(course, student) / "plot.txt"
            assert plot.read_text() == f"# {student}" and not plot.is_symlink()
        assert "3 collected" in room.said[name], room.said[name]


def test_nothing_comes_in_but_what_a_student_owns(room, show_table):
    rows = [f"{'planted in the exchange, collected by':40} {'got'}"]
    for name, course in list_courses(room).items():
        students = {path.name for path in (course / "submitted").iterdir()}
        assert students == {ADA, BEN, EVE}
        files = {
            str(path.relative_to(room.collected(course, EVE))): path
            for path in room.collected(course, EVE).rglob("*")
            if not path.is_dir() or path.is_symlink()
        }
        closed = {"closed.txt"} if name == "root" else set()
        own = {NOTEBOOK, "picture.png", "timestamp.txt", "submission_secret.txt"}
        assert files.keys() == own | closed
        assert files[NOTEBOOK].read_text() == "eve's own"
        assert files["timestamp.txt"].read_text() == "2026-03-01 10:00:00 UTC"
        assert files["submission_secret.txt"].read_text().isalnum()
        for path in files.values():
            assert not path.is_symlink() and SECRET not in path.read_text()
        rows.append(f"{name:40} {len(files.keys() - own - closed)} foreign files")
    show_table("\n".join(rows))


@pytest.mark.parametrize("name", ["instructor", "root"])
def test_what_is_left_out_is_said_in_a_few_lines_that_are_safe_to_print(room, name):
    said = room.said[name]
    assert (
        f"and 305 more: It belongs to {EVE}, not to the student whom it names." in said
    ), said
    assert "3 collected, 0 there already; notes on what 1 users handed in" in said
    assert "\x1b" not in said and "Traceback" not in said
    assert len(said.splitlines()) < 30


def test_the_inbound_list_opens_nothing_and_prints_nothing_odd(room):
    result = run(room.roots, "nbgrader", "list", "--inbound")
    assert result.returncode == 0, result.stdout
    assert f"courseai {ADA} {ASSIGNMENT}" in result.stdout
    assert "\x1b" not in result.stdout and "Traceback" not in result.stdout
