"""Archives that students send to harm an import: each harms at most its own sender.

A whole class of them is imported at once, beside honest work, and a table says what
each got. Then archives are damaged at random.
"""

import io
import resource
import shutil
import signal
import stat
import struct
import tarfile
import tempfile
import tracemalloc
import zipfile
from datetime import datetime
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lms_course import ASSIGNMENT, NOTEBOOK, add_student, make_course, make_notebook
from lms_course import open_gradebook as open_course

from courseai_helpers.cli.main import main
from courseai_helpers.grading.uploads.archives import unpack

STORED, DEFLATE, BZIP2, LZMA = (
    zipfile.ZIP_STORED,
    zipfile.ZIP_DEFLATED,
    zipfile.ZIP_BZIP2,
    zipfile.ZIP_LZMA,
)
WORK = make_notebook("work")
HONEST = ("ada", "ben", "cem")
SECRET = "outside of every archive"
CENTRAL, END = b"PK\1\2", b"PK\5\6"


def pack(*files, method: int = STORED) -> bytes:
    """Packs a good notebook, and files after it: name or entry, and content."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr(NOTEBOOK, WORK, compress_type=STORED)
        for name, content in files:
            archive.writestr(name, content, compress_type=method)
    return buffer.getvalue()


def change(
    data: bytes, offset: int, form: str, value: int, name: bytes = b"x"
) -> bytes:
    """Writes a number into the entry of a file in an archive's list, from its start."""
    place = data.rindex(CENTRAL)
    assert data[place + 46 :].startswith(name)
    return patch(data, place + offset, struct.pack(form, value))


def patch(data: bytes, place: int, new: bytes) -> bytes:
    """Puts other bytes into the place of some."""
    return data[:place] + new + data[place + len(new) :]


def tear(method: int) -> bytes:
    """Packs a file whose stream is damaged in the middle."""
    content = "".join(f"{number * number:b}" for number in range(5000)).encode()
    data = pack(("x", content), method=method)
    start = data.rindex(b"x", 0, data.index(CENTRAL)) if method == STORED else None
    middle = start or (data.index(b"PK\3\4", 10) + data.index(CENTRAL)) // 2
    return patch(data, middle, b"\xff" * 40)


def multiply_list(times: int) -> bytes:
    """Packs one file and lists it many times."""
    data = pack(("x", b"\0" * 2**20), method=DEFLATE)
    start, end = data.rindex(CENTRAL), data.index(END)
    listed = data[data.index(CENTRAL) : start] + data[start:end] * times
    tail = struct.pack(
        "<4s4H2LH", END, 0, 0, 0xFFFF, 0xFFFF, len(listed), data.index(CENTRAL), 0
    )
    return data[: data.index(CENTRAL)] + listed + tail


def nest(depth: int) -> bytes:
    """Packs a notebook into archives within archives."""
    data = pack()
    for _ in range(depth):
        data = pack(("more.zip", data))
    return data


def make_entry(name: str, mode: int = 0, extra: bytes = b"") -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr, entry.extra = mode << 16, extra
    return entry


def make_tar() -> bytes:
    """Packs with tar what tar can hold and zip can't."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, kind in (
            ("../evil.ipynb", tarfile.REGTYPE),
            ("link", tarfile.SYMTYPE),
            ("hard", tarfile.LNKTYPE),
            ("device", tarfile.CHRTYPE),
            ("sparse", tarfile.GNUTYPE_SPARSE),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            archive.addfile(entry)
    return buffer.getvalue()


def name_file(name: str) -> bytes:
    return pack((name, "{}"))


EXCEEDED = "more than 5000 files or 512 MiB"


def make_attacks() -> dict[str, tuple[bytes, str, bool | None]]:
    """Makes the archives.

    Returns:
        For each its content, the expected message, and whether the good notebook in it
        is imported; None where that depends on zipfile.
    """
    return {
        "20,001 empty files": (
            pack(*((f"{number}", "") for number in range(20_001))),
            EXCEEDED,
            False,
        ),
        "a damaged stored file": (tear(STORED), "It is damaged", True),
        "a damaged deflate stream": (tear(DEFLATE), "It is damaged", True),
        "a damaged bzip2 stream": (tear(BZIP2), "work.zip/x: It is", True),
        "a damaged LZMA stream": (tear(LZMA), "It is damaged", True),
        "an LZMA dictionary of 4 GiB": (
            pack(("x", "x" * 999), method=LZMA).replace(
                b"\x5d\0\0\x80\0", b"\x5d\xff\xff\xff\xff"
            ),
            "",
            True,
        ),
        "a bomb": (pack(("x", b"\0" * 2**24), method=DEFLATE), "times its size", True),
        "a bomb of many small ones": (
            pack(
                *((f"{number}", b"\0" * 2**20) for number in range(513)), method=DEFLATE
            ),
            EXCEEDED,
            False,
        ),
        "one file listed 600 times": (multiply_list(600), "", None),
        "one file listed 100,000 times": (
            multiply_list(100_000),
            "list of files is too long",
            False,
        ),
        "archives in archives": (nest(4), "an archive within 3 archives", True),
        "a damaged archive in an archive": (
            pack(("inner.zip", b"PK\3\4 torn")),
            "a damaged archive",
            True,
        ),
        "an encrypted file": (
            change(pack(("x", "secret")), 8, "<H", 1),
            "It is encrypted",
            True,
        ),
        "a method that nobody knows": (
            change(pack(("x", "x")), 10, "<H", 99),
            "It is damaged",
            True,
        ),
        "deflate64, as Windows packs large files": (
            change(pack(("x", "x")), 10, "<H", 9),
            "It is damaged",
            True,
        ),
        "a checksum that is wrong": (
            change(pack(("x", "xyz")), 16, "<L", 1),
            "It is damaged",
            True,
        ),
        "a size of 4 GiB": (
            change(pack(("x", "xyz")), 24, "<L", 0xFFFFFFFE),
            "It would unpack to 4295 MB",
            True,
        ),
        "a size in zip64 of 2**60": (
            change(
                pack((make_entry("x", extra=struct.pack("<HHQ", 1, 8, 2**60)), "xyz")),
                24,
                "<L",
                0xFFFFFFFF,
            ),
            "MB",
            True,
        ),
        "a packed size of 4 GiB": (
            change(pack(("x", "xyz")), 20, "<L", 0xFFFFFFFE),
            "",
            True,
        ),
        "a place far behind the end": (
            change(pack(("x", "xyz")), 42, "<L", 0x7FFFFFFF),
            "It is damaged",
            True,
        ),
        "an extra field that is cut off": (
            change(pack((make_entry("x", extra=b"UT\5\0\1"), "x")), 30, "<H", 5),
            "a damaged archive",
            False,
        ),
        "a name that is not UTF-8": (
            change(pack(("x", "x")), 8, "<H", 0x800).replace(b"x", b"\xff"),
            "a damaged archive",
            False,
        ),
        "half an archive": (pack()[:300], "a damaged archive", False),
        "no archive at all": (b"\x7fELF" + b"\0" * 999, "a damaged archive", False),
        "nothing": (b"", "a damaged archive", False),
        "an absolute name": (name_file("/etc/evil.ipynb"), "leads out", True),
        "a name with ..": (name_file("../../../evil.ipynb"), "leads out", True),
        "a name with .. and backslashes": (
            name_file("..\\..\\ada\\evil.ipynb"),
            "leads out",
            True,
        ),
        "a drive": (name_file("C:\\evil.ipynb"), "leads out", True),
        "a device": (name_file("pictures/aux.txt"), "a device's on Windows", True),
        "control sequences": (
            name_file("\x1b]0;owned\x07.txt"),
            "control characters",
            True,
        ),
        "line breaks": (
            name_file("pictures/x\nProblem: none.txt"),
            "control characters",
            True,
        ),
        "a name of 300 letters": (name_file("x" * 300), "too long", True),
        "no name": (name_file("."), "It has no name", True),
        "a name that ends with NUL": (
            name_file("evil-txt").replace(b"evil-txt", b"evil\0txt"),
            "",
            True,
        ),
        "a symbolic link": (
            pack((make_entry("x", stat.S_IFLNK | 0o777), "/etc/passwd")),
            "a symbolic link",
            True,
        ),
        "a pipe, and a device, by their modes": (
            pack(
                (make_entry("x", stat.S_IFIFO | 0o666), ""),
                (make_entry("y", stat.S_IFCHR | 0o666), ""),
            ),
            "",
            True,
        ),
        "one name twice": (pack(("x", "one"), ("x", "two")), "", True),
        "names that differ by case": (pack(("a.txt", "1"), ("A.TXT", "2")), "", True),
        "a file that is a folder, too": (pack(("x", "1"), ("x/y", "2")), "", True),
        "30 refused files": (
            pack(*((f"../{number}", "") for number in range(30))),
            "20 more of its files",
            True,
        ),
    }


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """The folder of a course after the import, what was said, and who sent which."""
    top = tmp_path_factory.mktemp("attacks")
    course = make_course(top / "course")
    (top / "secret.txt").write_text(SECRET)
    attacks = make_attacks()
    senders = {f"attacker{place:02d}": name for place, name in enumerate(attacks)}
    with open_course(course) as gradebook:
        for place, student in enumerate(senders):
            add_student(gradebook, student, "Eve", str(place), str(500 + place))
    with zipfile.ZipFile(course / "download.zip", "w") as archive:
        for student, name in senders.items():
            archive.writestr(f"{student}/work.zip", attacks[name][0])
        archive.writestr("attacker98/work.tar.gz", make_tar())
        for student in HONEST:  # the last in the download, after all the others
            archive.writestr(f"{student}/{NOTEBOOK}", make_notebook(student))
            archive.writestr(f"{student}/more.zip", pack(("picture.png", b"png")))
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(course)
        patched.setattr("sys.stdout", out)
        code = main(["import", "submissions", "download.zip", ASSIGNMENT])
    assert code == 1
    return (
        course,
        out.getvalue(),
        {name: (student, *attacks[name][1:]) for student, name in senders.items()},
    )


def read_work(course: Path, student: str) -> Path:
    return course / "submitted" / student / ASSIGNMENT


def test_honest_work_comes_in_whole_beside_all_attacks(imported):
    course, _, _ = imported
    for student in HONEST:
        folder = read_work(course, student)
        assert folder.joinpath(NOTEBOOK).read_text() == make_notebook(student)
        assert folder.joinpath("picture.png").read_bytes() == b"png"


def test_an_attack_costs_its_sender_only_and_is_named(imported):
    course, said, attacks = imported
    lines = [line for line in said.splitlines() if line.startswith("Problem:")]
    wrong = []
    for name, (student, reason, comes_in) in attacks.items():
        told = [line for line in lines if student in line]
        notebook = read_work(course, student) / NOTEBOOK
        if reason and not any(reason in line for line in told):
            wrong.append(f"{name}: {told}")
        if len(told) > 12:
            wrong.append(f"{name}: {len(told)} lines")
        if comes_in is not None and notebook.exists() != comes_in:
            wrong.append(f"{name}: {notebook.exists()=}")
        if notebook.exists() and notebook.read_text() != WORK:
            wrong.append(f"{name}: the notebook is not what was sent")
    assert not wrong


def test_nothing_is_written_elsewhere_and_nothing_foreign_comes_in(
    imported, show_table
):
    course, said, attacks = imported
    senders = {name: student for name, (student, *_) in attacks.items()}
    assert {path.name for path in course.parent.iterdir()} == {"course", "secret.txt"}
    students = {path.name for path in (course / "submitted").iterdir()}
    assert students <= {*HONEST, *senders.values()}
    assert not list(course.rglob("*evil*")) or list(course.rglob("*evil*")) == [
        read_work(course, senders["a name that ends with NUL"]) / "evil"
    ]
    for path in (course / "submitted").rglob("*"):
        assert not path.is_symlink() and (path.is_dir() or path.is_file())
    assert "\x1b" not in said and "attacker98" in said
    rows = [f"{len(attacks)} archives: others harmed 0, files elsewhere 0"]
    for name, student in senders.items():
        got = "own notebook" if read_work(course, student).exists() else "nothing"
        rows.append(f"  {name:42} {got}")
    show_table("\n".join(rows))


def test_a_file_that_says_it_is_small_does_not_fill_the_memory(tmp_path):
    for method in (BZIP2, LZMA):
        data = pack(("x", b"\0" * 2**27), method=method)
        folder = tmp_path / f"{method}" / "eve"
        folder.mkdir(parents=True)
        folder.joinpath("work.zip").write_bytes(change(data, 24, "<L", 100))
        workspace = tmp_path / f"{method}" / "workspace"
        workspace.mkdir()
        tracemalloc.start()
        unpack(folder.parent, workspace, lambda name: name.parts[0])
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2**26 + 2**23, method
        assert sum(path.stat().st_size for path in workspace.iterdir()) < 2**20


def test_a_download_that_is_torn_is_named_and_imports_nothing(
    tmp_path, monkeypatch, capsys
):
    course = make_course(tmp_path / "course")
    monkeypatch.chdir(course)
    Path("download.zip").write_bytes(pack()[:-30])
    assert main(["import", "submissions", "download.zip", ASSIGNMENT]) == 1
    assert "Download it again" in capsys.readouterr().err
    assert not Path("submitted").exists()


def test_a_full_disk_is_named_and_imports_nothing(tmp_path, monkeypatch, capsys):
    course = make_course(tmp_path / "course")
    monkeypatch.chdir(course)
    with zipfile.ZipFile("download.zip", "w") as archive:
        archive.writestr(f"ada/{NOTEBOOK}", WORK)
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, most))
    try:
        assert main(["import", "submissions", "download.zip", ASSIGNMENT]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        signal.signal(signal.SIGXFSZ, handler)
    assert "Make room there" in capsys.readouterr().err
    assert not Path("submitted").exists()


FILES = {
    NOTEBOOK: WORK.encode(),
    "pictures/a.txt": b"a" * 500,
    "b.bin": bytes(range(256)) * 8,
}


@st.composite
def damaged_archives(draw) -> bytes:
    """Archives of every method, cut off, with bytes changed, or pieces moved."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in FILES.items():
            method = draw(st.sampled_from([STORED, DEFLATE, BZIP2, LZMA]))
            archive.writestr(name, content, compress_type=method)
    data = buffer.getvalue()
    for _ in range(draw(st.integers(0, 8))):
        place = draw(st.integers(0, len(data) - 1))
        # Half of the changes meet the list at the end, which is short.
        if draw(st.booleans()):
            place = len(data) - 1 - place % min(250, len(data))
        new = draw(st.binary(min_size=1, max_size=4))
        data = patch(data, place, new)
    start, end = draw(st.integers(0, 60)), draw(st.integers(0, 60))
    if draw(st.booleans()):
        data = data[start : len(data) - end]
    if draw(st.booleans()):
        data = data[: len(data) // 2] + draw(st.binary(max_size=30)) + data[-400:]
    return data


def check_damaged(data: bytes) -> None:
    """Unpacks a damaged archive beside a good one."""
    with tempfile.TemporaryDirectory() as top:
        download, workspace = Path(top, "download"), Path(top, "workspace")
        workspace.mkdir()
        for student, content in (("eve", data), ("ada", pack())):
            download.joinpath(student).mkdir(parents=True)
            download.joinpath(student, "work.zip").write_bytes(content)
        result = unpack(download, workspace, lambda name: name.parts[0])
        (ada,) = result.bundles["ada"].files
        assert ada.path.read_text() == WORK and not result.bundles["ada"].refused
        assert {path.name for path in Path(top).iterdir()} == {"download", "workspace"}
        assert all(isinstance(found.time, datetime) for found in result.files)
        for found in result.bundles["eve"].files:
            assert found.path.parent == workspace
            assert ".." not in found.name.parts
            assert PurePosixPath("eve/work.zip") in found.name.parents
        shutil.rmtree(workspace)


@settings(max_examples=300, deadline=None)
@given(damaged_archives())
def test_a_damaged_archive_never_stops_the_others(data):
    check_damaged(data)


@pytest.mark.long
@settings(max_examples=20_000, deadline=None)
@given(damaged_archives())
def test_many_damaged_archives_never_stop_the_others(data):
    check_damaged(data)
