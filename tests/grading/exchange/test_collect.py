"""This course's `nbgrader collect`: what it chooses and what it copies."""

import logging
import os
import pwd
import resource
import shutil
import signal
import stat
import tempfile
import time
import unicodedata
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

import pytest
from conftest import needs_root
from hypothesis import given, settings
from hypothesis import strategies as st
from lms_course import ASSIGNMENT, NOTEBOOK, make_course
from nbgrader.coursedir import CourseDirectory
from nbgrader.exchange import ExchangeError
from users import start_as

from courseai_helpers.grading import exchange
from courseai_helpers.grading.submissions import safe_files
from courseai_helpers.grading.submissions.safe_files import (
    Copied,
    copy_folder,
    open_folder,
)

pytestmark = needs_root

# Two system users stand in for students; a due date: see make_course.
ADA, BEN = "daemon", "bin"
IN_TIME, LATE = "2026-10-01 10:00:00.000000 UTC", "2026-11-09 10:00:00.000000 UTC"
SECRET = "a secret of the instructor's"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return make_course(tmp_path_factory.mktemp("made") / "course", students=False)


@pytest.fixture
def course(made, tmp_path) -> Path:
    """A course with an exchange beside it."""
    (tmp_path / "exchange/courseai/inbound").mkdir(parents=True)
    return shutil.copytree(made, tmp_path / "course")


def hand_in(course: Path, student: str, when: str, text: str, owner: str = "") -> Path:
    """Puts a submission into the exchange."""
    inbound = course.parent / "exchange/courseai/inbound"
    folder = inbound / f"{student}+{ASSIGNMENT}+{when}+Ab-_9"
    folder.mkdir()
    (folder / NOTEBOOK).write_text(text)
    (folder / "submission_secret.txt").write_text("abc123")
    own(folder, owner or student)
    return folder


def own(folder: Path, owner: str) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, pwd.getpwnam(owner).pw_uid, -1, follow_symlinks=False)


def make_step(kind: type, course: Path, **options):
    """Makes one of nbgrader's steps for a course."""
    directory = CourseDirectory(
        root=str(course),
        course_id="courseai",
        assignment_id=ASSIGNMENT,
        db_url=f"sqlite:///{course / 'gradebook.db'}",
    )
    place = str(course.parent / "exchange")
    return kind(coursedir=directory, authenticator=None, root=place, **options)


@pytest.fixture
def collect(course, caplog):
    """Collects; returns what was said."""

    def run(**options) -> str:
        caplog.clear()
        step = make_step(exchange.ExchangeCollect, course, **options)
        step.log = logging.getLogger("collect")
        with caplog.at_level(logging.INFO, "collect"):
            step.start()
        return caplog.text

    return run


def read(course: Path, student: str, name: str = NOTEBOOK) -> str:
    return (course / "submitted" / student / ASSIGNMENT / name).read_text()


def test_the_last_submission_counts_and_is_replaced_only_when_asked(course, collect):
    hand_in(course, ADA, LATE, "second")
    hand_in(course, ADA, IN_TIME, "first")
    collect()
    assert read(course, ADA) == "second"
    assert read(course, ADA, "timestamp.txt") == "2026-11-09 10:00:00 UTC"
    assert read(course, ADA, "submission_secret.txt") == "abc123"
    hand_in(course, ADA, "2026-11-10 10:00:00.5 UTC", "third")
    assert "use --update to update" in collect() and read(course, ADA) == "second"
    assert "Updating submission" in collect(update=True)
    assert read(course, ADA) == "third"
    assert "No newer submission" in collect(update=True)
    assert [path.name for path in (course / "submitted" / ADA).iterdir()] == [
        ASSIGNMENT
    ]
    assert not (course / ".collecting").exists()


def test_the_last_submission_in_time_counts_if_that_is_asked(course, collect):
    hand_in(course, ADA, LATE, "late")
    hand_in(course, ADA, IN_TIME, "in time")
    hand_in(course, BEN, LATE, "late")
    collect(before_duedate=True)
    assert read(course, ADA) == "in time" and read(course, BEN) == "late"


def test_work_that_was_changed_after_the_due_date_is_noted(course, collect):
    hand_in(course, ADA, IN_TIME, "dated back")
    said = collect()
    due = datetime(2026, 11, 1, 12)
    if datetime.now(UTC).replace(tzinfo=None) > due:
        assert "after the due date and the time in its name" in said
    assert read(course, ADA) == "dated back"


@pytest.mark.parametrize("ahead", [timedelta(minutes=5), timedelta(hours=5)])
def test_what_comes_from_the_future_is_left_until_then(course, collect, ahead):
    hand_in(course, ADA, IN_TIME, "now")
    when = datetime.now(UTC) + ahead
    hand_in(course, ADA, f"{when:%Y-%m-%d %H:%M:%S} UTC", "future")
    said = collect()
    clocks_differ = ahead < timedelta(minutes=10)
    assert read(course, ADA) == ("future" if clocks_differ else "now")
    assert clocks_differ or "in the future, says its name" in said


def test_where_students_share_a_user_the_check_of_owners_can_be_left_out(
    course, collect
):
    hand_in(course, "shared-account", IN_TIME, "work", owner=ADA)
    said = collect()
    assert f"It belongs to {ADA}, not to the student whom it names." in said
    assert "ExchangeCollect.check_owner=False" in said
    assert not (course / "submitted").exists()
    assert "1 collected" in collect(check_owner=False)
    assert read(course, "shared-account") == "work"


def test_one_student_can_be_collected_alone(course, collect):
    hand_in(course, ADA, IN_TIME, "a")
    hand_in(course, BEN, IN_TIME, "b")
    step = make_step(exchange.ExchangeCollect, course)
    step.coursedir.student_id = BEN
    step.start()
    assert [path.name for path in (course / "submitted").iterdir()] == [BEN]


def test_a_time_that_was_collected_and_can_not_be_read_stops_nobody(course, collect):
    hand_in(course, ADA, IN_TIME, "a")
    collect()
    (course / "submitted" / ADA / ASSIGNMENT / "timestamp.txt").write_text("never")
    hand_in(course, BEN, IN_TIME, "b")
    assert "2 collected" in collect(update=True)


def test_what_exceeds_a_limit_is_left_out_and_the_notebook_is_not(
    course, collect, monkeypatch
):
    monkeypatch.setattr(safe_files, "MAX_FILES", 20)
    folder = hand_in(course, ADA, IN_TIME, "work")
    for number in range(12):
        (folder / f"{number}.txt").write_text("x" * 40_000)
    (folder / "more").mkdir()
    for number in range(30):
        (folder / "more" / f"{number}").touch()
    own(folder, ADA)
    hand_in(course, BEN, IN_TIME, "b")
    step = make_step(exchange.ExchangeCollect, course)
    step.coursedir.max_dir_size, step.coursedir.max_file_size = 200, 100
    step.start()
    assert read(course, ADA) == "work" and read(course, BEN) == "b"
    there = (course / "submitted" / ADA / ASSIGNMENT).rglob("*.txt")
    assert sum(path.stat().st_size for path in there) < 200_000


def test_on_a_full_disk_what_was_there_stays_whole(course, collect):
    hand_in(course, ADA, IN_TIME, "first")
    collect()
    hand_in(course, ADA, LATE, "second" * 100)
    hand_in(course, BEN, LATE, "b")
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, most))
    try:
        said = collect(update=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        signal.signal(signal.SIGXFSZ, handler)
    assert "It can't be written to submitted/" in said
    assert read(course, ADA) == "first" and read(course, BEN) == "b"
    assert not (course / ".collecting").exists()


@pytest.mark.parametrize("place", ["exchange/courseai", "exchange/courseai/inbound"])
def test_a_link_in_the_place_of_the_courses_folder_is_not_followed(
    course, collect, place
):
    hand_in(course, ADA, IN_TIME, "work")
    path = course.parent / place
    path.rename(course.parent / "elsewhere")
    path.symlink_to(course.parent / "elsewhere")
    with pytest.raises(ExchangeError, match="is a link, or no folder"):
        collect()
    if place.endswith("courseai"):
        for kind in (
            exchange.ExchangeReleaseAssignment,
            exchange.ExchangeReleaseFeedback,
        ):
            with pytest.raises(ExchangeError, match="is a link"):
                make_step(kind, course).init_dest()


def test_an_exchange_is_made_so_that_nobody_renames_what_is_others(course):
    place = course.parent / "exchange"
    for mode in (0o777, 0o755):
        place.chmod(mode)
        make_step(exchange.ExchangeReleaseAssignment, course).ensure_root()
        assert stat.S_IMODE(place.stat().st_mode) == 0o1777


# Copying while the owner is at work.


@pytest.fixture
def shared():
    """A folder that others may enter; pytest's own are root's alone."""
    path = Path(tempfile.mkdtemp(dir="/var/tmp"))
    path.chmod(0o755)
    (path / "theirs").mkdir()
    (path / "secret").write_text(SECRET)
    (path / "secrets").mkdir()
    (path / "secrets" / "inner").write_text(SECRET)
    own(path / "theirs", ADA)
    yield path
    shutil.rmtree(path)


def copy(source: Path, destination: Path, limit: int = 10**8) -> Copied:
    copied = Copied(limit, limit)
    with open_folder(source) as folder:
        copy_folder(folder, destination, copied, PurePosixPath())
    return copied


def swap(folder: Path, secret: Path, secrets: Path) -> None:
    """Swaps files for links, links for folders and so on, until it is ended."""
    os.chdir(folder)
    while True:
        for name, target in (("file", secret), ("inner", secrets)):
            os.symlink(target, ".link")
            os.rename(".link", name)
            os.unlink(name)
            if name == "file":
                Path(".file").write_text("own")
                os.rename(".file", name)
            else:
                os.mkdir(name)
                Path(name, "inner").write_text("own")
                os.rename(name, ".folder")
                os.rename(".folder", name)
                shutil.rmtree(name)


def test_a_swap_between_look_and_open_gains_nothing(shared, tmp_path):
    # Theirs as well, so that nothing but the refusal to follow links keeps it out.
    own(shared / "secret", ADA)
    own(shared / "secrets", ADA)
    process = start_as(
        ADA, swap, shared / "theirs", shared / "secret", shared / "secrets"
    )
    seen, end = set(), time.monotonic() + 4
    try:
        for number in range(100_000):
            copy(shared / "theirs", tmp_path / str(number))
            for path in (tmp_path / str(number)).rglob("*"):
                assert not path.is_symlink()
                seen.add(path.read_text() if path.is_file() else "")
            shutil.rmtree(tmp_path / str(number))
            if time.monotonic() > end:
                break
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    assert "own" in seen and seen <= {"own", ""}


def test_a_file_that_grows_while_it_is_read_ends_at_the_limit(
    shared, tmp_path, monkeypatch
):
    path = shared / "theirs" / "log"
    path.write_bytes(b"x" * 1000)
    own(shared / "theirs", ADA)
    read_blocks = safe_files.read_blocks

    def grow(file):
        for block in read_blocks(file):
            with path.open("ab") as more:
                more.write(block * 2)
            yield block

    monkeypatch.setattr(safe_files, "read_blocks", grow)
    copied = copy(shared / "theirs", tmp_path / "copy", limit=10**7)
    assert copied.bytes == 0 and not list((tmp_path / "copy").iterdir())
    assert any("It grew over a limit" in reason for reason in copied.left_out)


NAMES = st.one_of(
    st.sampled_from(["a", "b.ipynb", "c.txt", "ü", "a b", "\x1b[2J", "x\ny"]),
    st.binary(min_size=1, max_size=12)
    .filter(lambda name: not set(name) & {0, 47} and name not in (b".", b".."))
    .map(os.fsdecode),
)
KINDS = st.sampled_from(["file", "link", "dangling", "pipe", "foreign", "hard"])
TREES = st.recursive(
    KINDS, lambda inner: st.dictionaries(NAMES, inner, max_size=5), max_leaves=25
)


def plant(tree: dict | str, path: Path, shared: Path) -> None:
    """Makes a tree of files, links and pipes."""
    if isinstance(tree, dict):
        path.mkdir()
        for name, inner in tree.items():
            plant(inner, path / name, shared)
    elif tree == "link":
        path.symlink_to(shared / "secret")
    elif tree == "dangling":
        path.symlink_to("nowhere")
    elif tree == "pipe":
        os.mkfifo(path)
    elif tree == "hard":
        os.link(shared / "secret", path)
    else:
        path.write_text("own" if tree == "file" else SECRET)
    if tree not in ("foreign", "hard"):
        os.chown(path, pwd.getpwnam(ADA).pw_uid, -1, follow_symlinks=False)


def count_files(tree: dict | str, name: str = "") -> int:
    """Returns how many files of a tree have to be copied."""
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
        return 0
    if isinstance(tree, dict):
        return sum(count_files(inner, name) for name, inner in tree.items())
    return int(tree == "file")


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(NAMES, TREES, max_size=5))
def test_of_any_tree_the_owners_regular_files_are_copied_and_no_others(tree):
    with tempfile.TemporaryDirectory() as top:
        shared = Path(top)
        (shared / "secret").write_text(SECRET)
        plant(tree, shared / "theirs", shared)
        copy(shared / "theirs", shared / "copy")
        files = [path for path in (shared / "copy").rglob("*") if not path.is_dir()]
        assert all(path.read_text() == "own" for path in files)
        assert not any(path.is_symlink() for path in files)
        assert len(files) == count_files(tree)
