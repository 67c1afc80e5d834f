"""The log of a class run: whole, private, and harmless to read."""

import io
import logging
import stat
from pathlib import Path

import kernels
import pytest

from courseai_helpers._common.printing import MAX_LINES, log_lines
from courseai_helpers.grading.classrun.logfile import keep_log
from courseai_helpers.grading.sandbox import forkserver_client

log = logging.getLogger("courseai_helpers.grading.some_module")
other = logging.getLogger("some_library")


def test_the_file_has_it_all_and_the_terminal_what_matters(tmp_path, capsys):
    with keep_log(tmp_path, "lesson", verbose=False) as path:
        log.info("ada was graded")
        log.warning("the pace is not measured")
        other.warning("lost a connection")
        other.info("a detail")
    log.warning("said afterwards")
    lines = path.read_text().splitlines()
    assert [line.split(": ", 1)[1] for line in lines] == [
        "ada was graded",
        "the pace is not measured",
        "lost a connection",
    ]
    assert "INFO courseai_helpers.grading.some_module" in lines[0]
    assert capsys.readouterr().err == "the pace is not measured\n"


def test_with_verbose_the_terminal_has_it_too(tmp_path, capsys):
    with keep_log(tmp_path, "lesson", verbose=True):
        log.info("ada was graded")
        other.warning("lost a connection")
    assert capsys.readouterr().err == "ada was graded\n"


def test_only_its_owner_reads_the_file_and_nothing_makes_none(tmp_path):
    with keep_log(tmp_path, "lesson", verbose=False) as path:
        assert not path.parent.exists()
        log.info("something")
    assert path.parent == tmp_path / "logs" and path.name.startswith("lesson-")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_students_are_called_commands_no_terminal(tmp_path, capsys):
    with keep_log(tmp_path, "lesson", verbose=True) as path:
        log.info("%s can't be graded", "eve\x1b]0;title\x07\ud800")
        try:
            raise ValueError("\x1b[2J")
        except ValueError:
            log.exception("a bug")
    for text in (path.read_text(), capsys.readouterr().err):
        assert r"eve\x1b]0;title\x07\ud800 can't be graded" in text
        assert r"ValueError: \x1b[2J" in text
        assert all(character.isprintable() for character in text.replace("\n", ""))


def test_a_full_disk_does_not_stop_a_run(tmp_path, capsys):
    (tmp_path / "logs").write_text("not a folder, so nothing can be written there")
    with keep_log(tmp_path, "lesson", verbose=True):
        log.info("goes on")
    assert capsys.readouterr().err == "goes on\n"


def test_a_program_that_goes_on_and_on_is_cut_off(caplog):
    stream = io.BytesIO(b"a\x1b[2J\n" + b"b" * 5000 + b"\n" + b"c\n" * 2000)
    with caplog.at_level(logging.INFO):
        log_lines(stream, log.info)
    assert not stream.read()
    assert len(caplog.messages) == MAX_LINES + 1
    assert caplog.messages[0] == r"a\x1b[2J" and "not kept" in caplog.messages[-1]
    assert max(map(len, caplog.messages)) <= 2000


@kernels.needs_sandbox
def test_what_the_forkserver_says_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    settings = tmp_path / ".config" / "matplotlib" / "matplotlibrc"
    settings.parent.mkdir(parents=True)
    settings.write_text("no.such.setting: 1\n")  # matplotlib warns of it on stderr
    monkeypatch.setenv("HOME", str(tmp_path))
    forkserver_client.stop_server()
    answer = kernels.run_inside(tmp_path, "print('alive')")
    forkserver_client.stop_server()
    assert answer.text == "alive\n"
    assert kernels.wait_until(lambda: "no.such.setting" in caplog.text)
    assert {record.levelname for record in caplog.records} >= {"WARNING"}
