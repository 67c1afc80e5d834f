"""`courseai import submissions`: downloads from Canvas and Moodle, good and bad."""

import contextlib
import io
import os
import shutil
import stat
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from broken_trees import NEED_RIGHTS, NOTED, REFUSED
from lms_course import (
    ASSIGNMENT,
    NOTEBOOK,
    list_files,
    make_course,
    make_notebook,
    open_gradebook,
)
from small_course import run

from courseai_helpers.cli.main import main
from courseai_helpers.grading.submissions.reading import NotebookError, read_notebook

EARLY = datetime(2026, 10, 31, 10, 0, 0)  # before the assignment is due, in UTC
LATE = datetime(2026, 11, 2, 10, 0, 0)
DUE = "2026-11-01 12:00:00"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return make_course(tmp_path_factory.mktemp("made") / "course")


@pytest.fixture
def course(made, tmp_path, monkeypatch) -> Path:
    """The working directory, with three students: ada (101), ben (102), cem (103)."""
    course = shutil.copytree(made, tmp_path / "course")
    monkeypatch.chdir(course)
    return course


def pack(files: dict[str, str | bytes], time: datetime = EARLY) -> bytes:
    """Packs files that were last changed at a time in UTC, as this machine has it."""
    local = time.replace(tzinfo=UTC).astimezone().timetuple()[:6]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, local), content)
    return buffer.getvalue()


def import_files(files: dict[str, str | bytes], *options: str, time=EARLY) -> int:
    """Imports a download that is packed from these files."""
    Path("download.zip").write_bytes(pack(files, time))
    return main(["import", "submissions", "download.zip", ASSIGNMENT, *options])


def read(student: str, name: str = NOTEBOOK) -> str:
    return Path("submitted", student, ASSIGNMENT, name).read_text()


def list_students() -> set[str]:
    return {path.name for path in Path("submitted").glob("*")}


def test_canvas_names_are_read_and_late_is_late(course, capsys):
    files = {
        "mllerada_101_9001_visualizing_features.ipynb": make_notebook("a"),
        "oneiljrben_LATE_102_9002_visualizing_features-1.ipynb": make_notebook("b"),
    }
    assert import_files(files, time=LATE) == 0
    assert read("ada") == make_notebook("a") and read("ben") == make_notebook("b")
    # Canvas packs on download, so a file's time is no sign of being late.
    assert read("ada", "timestamp.txt") == DUE
    assert read("ben", "timestamp.txt") == str(LATE)
    assert "LATE, says Canvas" in capsys.readouterr().out


def test_moodle_folders_are_read_with_the_grading_worksheet(course):
    Path("worksheet.csv").write_text(
        "Identifier,Full name,Email address,Last modified (submission)\n"
        "Participant 77,Ada Müller,ada@example.org,2026-11-01T13:30:00+00:00\n"
        "Participant 78,Somebody Else,ben@example.org,-\n"
    )
    folder = "assignsubmission_file_"
    files = {
        f"Ada Müller_77_{folder}/visualizing_features.ipynb": make_notebook("a"),
        f"Ada Müller_77_{folder}/pictures/dog.txt": "woof",
        "Any Name_78_assignsubmission_file/Visualizing features (2).ipynb": (
            make_notebook("b")
        ),
    }
    assert import_files(files, "--roster=worksheet.csv") == 0
    assert read("ada", "pictures/dog.txt") == "woof"
    assert read("ada", "timestamp.txt") == "2026-11-01 13:30:00"
    assert read("ben") == make_notebook("b")
    assert read("ben", "timestamp.txt") == str(EARLY)


def test_without_a_worksheet_a_name_that_is_only_one_students_will_do(course, capsys):
    names = ("Ada Mu\u0308ller", "Nobody Here")
    files = {
        f"{name}_{number}_assignsubmission_file_/{NOTEBOOK}": make_notebook(name)
        for number, name in enumerate(names, 1)
    }
    assert import_files(files) == 1
    assert list_students() == {"ada"}
    assert "no student by the name of Nobody Here" in capsys.readouterr().out


def test_two_students_of_one_name_are_not_guessed(course, capsys):
    with open_gradebook(course) as gradebook:
        for name in ("mia", "mia2"):
            gradebook.add_student(name, first_name="Mia", last_name="Doe")
    files = {f"Mia Doe_5_assignsubmission_file_/{NOTEBOOK}": make_notebook("m")}
    assert import_files(files) == 1 and not list_students()
    assert "mia and mia2 have the same name" in capsys.readouterr().out


def test_archives_within_archives_and_folders_of_our_own_are_read(course):
    inner = pack({f"work/{NOTEBOOK}": make_notebook("i"), "work/data.csv": "1,2"})
    files = {
        "mllerada_101_1_homework.zip": inner,
        f"ben/{NOTEBOOK}": make_notebook("b"),
        f"all/cem_{NOTEBOOK}": make_notebook("c"),
        "__MACOSX/ben/._x": "rubbish",
        "ben/.DS_Store": "rubbish",
    }
    assert import_files(files) == 0
    assert read("ada") == make_notebook("i") and read("ada", "data.csv") == "1,2"
    assert list_students() == {"ada", "ben", "cem"}
    assert set(list_files(Path("submitted/ben"))) == {
        f"{ASSIGNMENT}/{NOTEBOOK}",
        f"{ASSIGNMENT}/timestamp.txt",
    }


def test_an_unpacked_folder_is_as_good_and_keeps_its_times(course):
    path = Path("unpacked", f"mllerada_101_1_{NOTEBOOK}")
    path.parent.mkdir()
    path.write_text(make_notebook("a"))
    seconds = EARLY.replace(tzinfo=UTC).timestamp()
    os.utime(path, (seconds, seconds))
    assert main(["import", "submissions", "unpacked", ASSIGNMENT]) == 0
    assert read("ada", "timestamp.txt") == str(EARLY)


def test_of_several_attempts_the_newest_counts(course, capsys):
    files = {
        f"mllerada_101_{number}_visualizing_features-{9 - number}.ipynb": (
            make_notebook(str(number))
        )
        for number in (3, 10, 9)  # the id of a file grows; text sorts it wrongly
    }
    assert import_files(files) == 0
    assert read("ada") == make_notebook("10")
    assert "is the newest of 3" in capsys.readouterr().out


def test_a_notebook_by_another_name_is_taken_if_it_is_the_only_one(course, capsys):
    files = {"mllerada_101_1_Untitled.ipynb": make_notebook("u")}
    files |= {f"oneil_102_{n}_{n}x.ipynb": make_notebook("b") for n in (2, 3)}
    assert import_files(files) == 1
    assert read("ada") == make_notebook("u") and list_students() == {"ada"}
    out = capsys.readouterr().out
    assert "was named Untitled.ipynb" in out
    assert "ben: There is no visualizing_features.ipynb in what was sent: 2x" in out


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("mllerada_101_1_work.pdf", "%PDF", "ada: There is no visualizing_features"),
        (f"mllerada_101_1_{NOTEBOOK}", "{ torn", "it is no notebook"),
        (f"mllerada_101_1_{NOTEBOOK}", "[" * 100_000, "it is no notebook"),
        (f"nobody_555_1_{NOTEBOOK}", "{}", "has the Canvas id 555"),
        (f"anon_x7Yz_1_{NOTEBOOK}", "{}", "Turn anonymous grading off"),
        (NOTEBOOK, "{}", "does not tell whose it is"),
        ("A_1_assignsubmission_onlinetext_/onlinetext.html", "x", "typed into Moodle"),
        ("mllerada_101_1_work.zip", "PK\3\4 torn", "damaged archive"),
    ],
)
def test_what_is_not_a_submission_is_named(course, capsys, name, content, message):
    good = {f"oneil_102_7_{NOTEBOOK}": make_notebook("b")}
    assert import_files({name: content} | good) == 1
    out = capsys.readouterr().out
    assert message in out and "1 problems" in out
    assert list_students() == {"ben"}


def test_a_second_import_changes_nothing(course, capsys):
    files = {f"mllerada_101_1_{NOTEBOOK}": make_notebook("a")}
    assert import_files(files) == 0
    before = list_files(Path("submitted"))
    assert import_files(files, time=LATE) == 0
    assert list_files(Path("submitted")) == before
    assert "is there already" in capsys.readouterr().out


def test_newer_work_is_overwritten_only_when_asked(course, capsys):
    name = f"oneil_LATE_102_1_{NOTEBOOK}"
    import_files({name: make_notebook("new")}, time=LATE)
    import_files({f"ben/{NOTEBOOK}": make_notebook("old")}, time=EARLY)
    assert read("ben") == make_notebook("new")
    assert "left: what is there is not older" in capsys.readouterr().out
    import_files({f"ben/{NOTEBOOK}": make_notebook("old")}, "--force", time=EARLY)
    assert read("ben") == make_notebook("old")
    import_files({name: make_notebook("new")}, time=LATE)
    assert read("ben") == make_notebook("new")
    assert read("ben", "timestamp.txt") == str(LATE)


def test_work_of_unknown_age_is_left_unless_asked(course, capsys):
    Path("submitted", "ada", ASSIGNMENT).mkdir(parents=True)
    Path("submitted", "ada", ASSIGNMENT, NOTEBOOK).write_text(make_notebook("own"))
    files = {f"mllerada_101_1_{NOTEBOOK}": make_notebook("a")}
    import_files(files)
    assert read("ada") == make_notebook("own")
    assert "what is there has no time" in capsys.readouterr().out
    import_files(files, "--force")
    assert read("ada") == make_notebook("a")


def test_a_dry_run_shows_the_table_and_writes_nothing(course, capsys):
    files = {f"mllerada_101_1_{NOTEBOOK}": make_notebook("a")}
    assert import_files(files, "--dry-run") == 0
    out = capsys.readouterr().out
    assert "ada      2026-10-31 10:00:00  new      visualizing_features.ipynb" in out
    assert "nothing was changed" in out and not Path("submitted").exists()


def test_a_students_own_times_do_not_count(course, capsys):
    old = datetime(1999, 1, 1)
    inner = pack({NOTEBOOK: make_notebook("a"), "timestamp.txt": str(old)}, old)
    files = {"mllerada_LATE_101_1_w.zip": inner, "ben/w.zip": inner}
    assert import_files(files, time=LATE) == 0
    assert read("ada", "timestamp.txt") == read("ben", "timestamp.txt") == str(LATE)
    assert "timestamp.txt does not count" in capsys.readouterr().out


def test_what_canvas_calls_late_is_late_whatever_its_time(course):
    import_files({f"mllerada_LATE_101_1_{NOTEBOOK}": make_notebook("a")}, time=EARLY)
    assert read("ada", "timestamp.txt") == "2026-11-01 12:00:01"


def test_several_downloads_in_a_folder_are_one(course):
    for number, student in enumerate(("ada", "ben")):
        path = Path("downloads", f"part {number}.zip")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(pack({f"{student}/{NOTEBOOK}": make_notebook(student)}))
    assert main(["import", "submissions", "downloads", ASSIGNMENT]) == 0
    assert read("ada", "timestamp.txt") == read("ben", "timestamp.txt") == str(EARLY)


def make_link() -> zipfile.ZipInfo:
    link = zipfile.ZipInfo(f"ben/{NOTEBOOK}")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    return link


@pytest.mark.parametrize(
    ("entry", "content", "message"),
    [
        ("../../ada/x.ipynb", "{}", "leads out of the archive"),
        ("/etc/ada_x.ipynb", "{}", "leads out of the archive"),
        ("ben\\..\\..\\ada\\x.ipynb", "{}", "leads out of the archive"),
        ("C:/ada_x.ipynb", "{}", "leads out of the archive"),
        (make_link(), "/etc/passwd", "symbolic link"),
        ("ben/zeros.bin", b"\0" * 2**22, "times its size"),
        ("ben/" + "x" * 300, "x", "name is too long"),
    ],
)
def test_hostile_archives_cost_only_their_own_files(
    course, capsys, entry, content, message
):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
        archive.writestr(f"ada/{NOTEBOOK}", make_notebook("a"))
    Path("download.zip").write_bytes(buffer.getvalue())
    outside = set(course.parent.iterdir())
    assert main(["import", "submissions", "download.zip", ASSIGNMENT]) == 1
    assert message in capsys.readouterr().out
    assert list_students() == {"ada"} and read("ada") == make_notebook("a")
    assert set(course.parent.iterdir()) == outside


def test_an_archive_that_lies_about_a_size_is_cut_off(course, capsys):
    data = pack({f"ben/{NOTEBOOK}": make_notebook("b" * 3000)})
    size = len(make_notebook("b" * 3000))
    lying = data.replace(size.to_bytes(4, "little"), (9).to_bytes(4, "little"))
    assert lying != data
    Path("download.zip").write_bytes(lying)
    assert main(["import", "submissions", "download.zip", ASSIGNMENT]) == 1
    assert not Path("submitted").exists()


def test_archives_are_not_opened_without_end(course, capsys):
    data = make_notebook("deep").encode()
    name = NOTEBOOK
    for _ in range(4):
        data, name = pack({name: data}), "more.zip"
    assert import_files({"ada/more.zip": data}) == 1
    assert "an archive within 3 archives" in capsys.readouterr().out


def test_links_in_a_folder_and_files_that_hide_others_do_no_harm(course, capsys):
    folder = Path("unpacked", "ada")
    folder.mkdir(parents=True)
    (folder / NOTEBOOK).write_text(make_notebook("a"))
    (folder / "secret").symlink_to("/etc/passwd")
    assert main(["import", "submissions", "unpacked", ASSIGNMENT]) == 1
    assert "symbolic link" in capsys.readouterr().out
    inner = pack({NOTEBOOK: make_notebook("b"), f"{NOTEBOOK}/x.txt": "x", "a": "1"})
    assert import_files({"oneil_102_1_w.zip": inner}) == 0
    assert read("ben") == make_notebook("b") and read("ben", "a") == "1"


def test_names_from_students_do_not_reach_the_terminal_as_they_are(course, capsys):
    files = {"ben/\x1b[2J\x07.txt": "x", f"ben/{NOTEBOOK}": make_notebook("b")}
    assert import_files(files) == 1
    out = capsys.readouterr().out
    assert "\x1b" not in out and r"\x1b[2J\x07.txt: Its name has control" in out
    assert read("ben") == make_notebook("b")


def test_a_time_in_utc_within_the_archive_is_preferred(course):
    entry = zipfile.ZipInfo(f"ada/{NOTEBOOK}", (2020, 1, 1, 0, 0, 0))
    seconds = int(EARLY.replace(tzinfo=UTC).timestamp())
    entry.extra = b"UT\x05\x00\x01" + seconds.to_bytes(4, "little")
    with zipfile.ZipFile("download.zip", "w") as archive:
        archive.writestr(entry, make_notebook("a"))
    assert main(["import", "submissions", "download.zip", ASSIGNMENT]) == 0
    assert read("ada", "timestamp.txt") == str(EARLY)


def test_what_can_not_be_written_is_said_and_leaves_nothing_half(
    course, capsys, monkeypatch
):
    from courseai_helpers.grading.uploads import submissions

    def fail(found, destination):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(submissions, "copy", fail)
    assert import_files({f"ada/{NOTEBOOK}": make_notebook("a")}) == 1
    assert "ada can't be written (No space left" in capsys.readouterr().err
    assert not Path("submitted").exists() and not Path(".importing").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.zip", ASSIGNMENT], "neither a folder nor a zip file"),
        (["nbgrader_config.py", ASSIGNMENT], "neither a folder nor a zip file"),
        (["source", "unknown"], "no assignment 'unknown'"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(course, capsys, arguments, message):
    assert main(["import", "submissions", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_the_command_works_from_outside(course):
    Path("d.zip").write_bytes(pack({f"ada/{NOTEBOOK}": make_notebook("a")}))
    command = ["import", "submissions", "d.zip", ASSIGNMENT]
    result = run(course, "courseai_helpers.cli", *command)
    assert result.returncode == 0 and "1 to write" in result.stdout, result.stdout
    assert read("ada") == make_notebook("a")


UNTOUCHED = make_notebook("source")  # what lms_course hands out


def test_of_two_copies_in_an_archive_the_one_with_work_in_it_counts(course, capsys):
    for order in (("release", "work"), ("work", "release")):
        inner = pack(
            {
                f"{folder}/{NOTEBOOK}": UNTOUCHED
                if folder == "release"
                else make_notebook("done")
                for folder in order
            }
        )
        assert import_files({"mllerada_101_9003_course.zip": inner}, "--force") == 0
        assert read("ada") == make_notebook("done")
        out = capsys.readouterr().out
        assert (
            f"course.zip/work/{NOTEBOOK} was taken, not mllerada_101_9003_course.zip/"
            f"release/{NOTEBOOK} (it is as it was handed out)"
        ) in out


def test_work_counts_even_if_something_untouched_or_unreadable_is_newer(course, capsys):
    for number, content in ((1, make_notebook("work")), (2, UNTOUCHED), (3, "{ torn")):
        path = Path(
            "sent", f"mllerada_101_{number}_visualizing_features-{number}.ipynb"
        )
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    assert main(["import", "submissions", "sent", ASSIGNMENT]) == 0
    assert read("ada") == make_notebook("work")
    out = capsys.readouterr().out
    assert "features-2.ipynb (it is as it was handed out)" in out
    assert "features-3.ipynb (it can't be read)" in out


@pytest.mark.parametrize(
    "name",
    [
        "visualizing_features copy 2.ipynb",
        "visualizing_features copy.ipynb",
        "visualizing_features (1).ipynb",
        "visualizing_features(1).ipynb",
        "visualizing_features - Copy (2).ipynb",
        "visualizing_features - Kopie.ipynb",
        "visualizing_features (Kopie 2).ipynb",
        "visualizing_features-Copy1.ipynb",
        "Copy of visualizing_features.ipynb",
        "Kopie von visualizing_features (1).ipynb",
        "Copie de visualizing_features.ipynb",
        "visualizing_features のコピー.ipynb",
        "VisualizingFeatures.IPYNB",
        "visualizing_features.ipynb.txt",
        "visualizing_features.ipynb.json",
        "mueller_visualizing_features_final2.ipynb",
    ],
)
def test_a_notebook_is_known_by_its_name_whatever_was_added_to_it(course, capsys, name):
    other = make_notebook("something else")
    files = {f"ben/{name}": make_notebook("b"), "ben/scratch.ipynb": other}
    assert import_files(files) == 0
    assert read("ben") == make_notebook("b")


def test_what_macos_puts_beside_a_file_is_nothing_that_was_sent(course, capsys):
    files = {f"ben/{NOTEBOOK}": make_notebook("b"), f"ben/._{NOTEBOOK}": "rubbish"}
    assert import_files(files) == 0
    folder = Path("unpacked", "ada")
    folder.mkdir(parents=True)
    (folder / NOTEBOOK).write_text(make_notebook("a"))
    (folder / f"._{NOTEBOOK}").write_bytes(b"\0\5\x16\7" + b" " * 4096)
    assert main(["import", "submissions", "unpacked", ASSIGNMENT]) == 0
    assert read("ada") == make_notebook("a") and read("ben") == make_notebook("b")
    assert "._" not in capsys.readouterr().out


def test_canvas_s_numbers_do_not_keep_a_notebook_from_its_files(course):
    files = {
        f"mllerada_101_9003_{ASSIGNMENT}-1.ipynb": make_notebook("a"),
        "mllerada_101_9004_helpers-1.py": "x=1",
        "mllerada_101_9005_photo.png": "first",
        "mllerada_101_9006_photo-1.png": "second",
        f"ben/{NOTEBOOK}": make_notebook("b"),
        "ben/week-1.csv": "1",
    }
    assert import_files(files) == 0
    assert read("ada", "helpers.py") == read("ada", "helpers-1.py") == "x=1"
    # Both were sent at the same time, so neither is a second try of the other.
    assert read("ada", "photo.png") == "first"
    assert read("ada", "photo-1.png") == "second"
    assert "week.csv" not in str(list_files(Path("submitted/ben")))


def test_import_and_grading_read_the_same_notebooks(course, capsys):
    readable = {}
    with open_gradebook(course) as gradebook:
        for name, (break_it, _) in (REFUSED | NOTED).items():
            path = Path("sent", name, "small.ipynb")
            path.parent.mkdir(parents=True)
            path.write_text(make_notebook("work"))
            if "folder" in name or "student" in name or name in NEED_RIGHTS:
                continue  # these are about something else
            break_it(path.parent)
            if path.is_file() and not path.is_symlink() and len(list_names(path)) == 1:
                path = path.rename(path.with_name(NOTEBOOK))
                gradebook.add_student(name)
                with contextlib.suppress(NotebookError):
                    readable[name] = read_notebook(path)
    assert main(["import", "submissions", "sent", ASSIGNMENT]) == 1
    assert list_students() == readable.keys() and len(readable) > 40
    assert "Traceback" not in capsys.readouterr().out


def list_names(path: Path) -> list[str]:
    """Returns what lies in a file's folder."""
    return os.listdir(path.parent)
