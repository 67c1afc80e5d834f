"""Wherever an environment and a course lie, kernels start and see nothing else.

Every case has a mount namespace of its own, in which the repository and this
environment are shown at other places; on the machine itself nothing changes.
"""

import itertools
import re
import subprocess
import sys
from pathlib import Path

import kernels
import pytest
from conftest import needs_root

from courseai_helpers.grading.sandbox import mounts
from courseai_helpers.grading.sandbox.bubblewrap import SandboxError, require_hidden

pytestmark = [
    kernels.needs_sandbox,
    needs_root,
]

CLOSED = "closed to all but root"
PLACES = {
    "tmp": "/tmp/deep/er",
    "the sandbox's home": "/home/student",
    "the sandbox's work folder": "/home/student/submission",
    "run": "/run/user/4321/x",
    "shared memory": "/dev/shm/x",
    "spaces and letters": "/srv/ein Ort für 演習",
    "a link": "/srv/link/x",
    "read only": "/srv/read only",
    "somebody else's": "/home/bob/x",
    CLOSED: "/srv/closed",
}
PARTS = {
    "both": ("environment", "course"),
    "environment": ("environment",),
    "course": ("course",),
}
USERS = {"root": 0, "user": 4321}
SAMPLE = (
    ("tmp", "both", "root"),
    ("the sandbox's home", "both", "user"),
    ("somebody else's", "environment", "root"),
    ("a link", "course", "user"),
)

# $1, $2, $3: the repository, this environment, the Python that it was made with;
# $4, $5: where environment and course go; $6: the user; $7: what to run there.
STAGE = r"""
set -eu
mount -t tmpfs none /mnt
mkdir /mnt/clone /mnt/environment /mnt/base
mount --bind "$1" /mnt/clone
mount --bind "$2" /mnt/environment
mount --bind "$3" /mnt/base
for folder in /tmp /home /run /srv /dev/shm /root; do
    mount -t tmpfs -o mode=1777 none $folder
done
mkdir -p "$3" && mount --bind /mnt/base "$3"
mkdir /srv/real && ln -s real /srv/link
install -d -o 1234 -g 1234 /home/bob && echo secret > /home/bob/secret
mkdir -p "$4/environment" "$5/clone" "$5/course/source" /srv/home
mount --bind /mnt/environment "$4/environment"
mount --bind /mnt/clone "$5/clone"
echo "$5/clone" > /srv/editable
for link in "$4"/environment/lib/python3*/site-packages/__editable__*.pth; do
    mount --bind /srv/editable "$link"
done
echo secret | tee "$4/secret" "$5/secret" "$5/course/gradebook.db" \
    "$5/course/source/lesson" /tmp/secret /home/secret /run/secret /dev/shm/secret \
    > /dev/null
mkdir -p "$5/course/autograded/ada/small" && cd "$5/course/autograded/ada/small"
echo "1,2" > data.csv
chown -R "$6" "$5/course" /srv/home
[ "$6" != 0 ] || chmod 700 /home/bob
for folder in "$4/environment" "$5/clone" "$5/course"; do
    case "$folder" in *"read only"*)
        mountpoint -q "$folder" || mount --bind "$folder" "$folder"
        mount -o remount,bind,ro "$folder" ;;
    esac
done
case "$4" in *closed)  # as it is after `umask 077`
    file=$(echo "$4"/environment/lib/python3*/site-packages/torch/__init__.py)
    cp "$file" /srv/closed_file && chmod 600 /srv/closed_file
    mount --bind /srv/closed_file "$file" ;;
esac
cd "$5/course/autograded/ada/small"
exec setpriv --reuid "$6" --regid "$6" --clear-groups \
    env -i HOME=/srv/home PATH=/usr/bin:/bin LANG=C.UTF-8 \
    "$4/environment/bin/python" -c "$7" "$5/clone"
"""

RUN = """
import os, sys
from pathlib import Path
import courseai_helpers
clone = sys.argv[1]
sys.path += [f"{clone}/tests", f"{clone}/tests/grading/sandbox"]
import kernels
from test_places import LOOK
from courseai_helpers.grading.sandbox.mounts import PARTS
from courseai_helpers.grading.sandbox.trial import require_sandbox
assert courseai_helpers.__file__.startswith(clone), courseai_helpers.__file__
require_sandbox()
told = f"clone, parts = {clone!r}, {PARTS!r}"
answer = kernels.run_inside(Path("."), told, LOOK)
print(answer.text, answer.error)
"""

# What a student looks for: files that are neither Python's nor the package's.
LOOK = """
import os, subprocess, sys
import torch
from pathlib import Path
code = "import torch, courseai_helpers as c; print(c.__file__)"
anew = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
print("reads", Path("data.csv").read_text().strip())
print("imports", anew.stdout.strip(), anew.stderr.strip())
secret = ("reference", "grading/examiner/oracles")
hidden = [f"{clone}/courseai_helpers/{name}" for name in secret]
print("answers", [os.listdir(folder) for folder in hidden])
for root in ("/tmp", "/home", "/run", "/srv", "/dev/shm", "/root", "/mnt", "/opt"):
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in parts]  # Python's own
        for name in names:
            print("sees", os.path.join(folder, name))
"""

HARMLESS = re.compile(
    r"sees (.*/clone/courseai_helpers/(?!reference|grading/examiner/oracles).*"
    r"|.*/pyvenv\.cfg"
    r"|/run/first|/run/kernel/.*|/run/submission/data\.csv|/home/student/submission/data\.csv|/home/student/\.ipython/.*)"
)


def list_cases() -> list:
    """Returns all cases; those that are not in the sample take their time together."""
    cases = itertools.product(PLACES, PARTS, USERS)
    cases = [case for case in cases if case[0] != CLOSED]
    return [
        pytest.param(*case, marks=[] if case in SAMPLE else [pytest.mark.long])
        for case in cases
    ]


def stage(place: str, part: str, user: str) -> list[str]:
    """Runs LOOK in a kernel, with environment or course at a place."""
    names = ("environment", "course")
    where = [PLACES[place] if n in PARTS[part] else "/srv/usual" for n in names]
    root = Path(__file__).resolve().parents[3]
    sources = [str(root), sys.prefix, sys.base_prefix]
    arguments = [*sources, *where, str(USERS[user]), RUN]
    command = ["unshare", "--mount", "--propagation", "private", "bash", "-c", STAGE]
    result = subprocess.run(
        [*command, "stage", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    lines = result.stdout.splitlines()
    # On a busy machine it says so, wherever it lies.
    return [line for line in lines if not line.startswith("Matplotlib is building")]


@pytest.mark.parametrize(("place", "part", "user"), list_cases())
def test_a_kernel_starts_anywhere_and_sees_what_it_should(place, part, user):
    lines = stage(place, part, user)
    clone = f"{PLACES[place] if part != 'environment' else '/srv/usual'}/clone"
    assert lines[:3] == [
        "reads 1,2",
        f"imports {clone}/courseai_helpers/__init__.py ",
        "answers [[], []]",
    ], lines
    seen = {line for line in lines if line.startswith("sees")}
    assert {line for line in seen if not HARMLESS.fullmatch(line)} == set()
    assert any(line.endswith("courseai_helpers/testing/compare.py") for line in seen)


def test_an_environment_that_is_closed_to_kernels_is_no_sandbox():
    text = stage(CLOSED, "environment", "root")[-1]
    assert "SandboxError" in text and "Permission denied: '/srv/closed/env" in text
    assert "let everybody read the environment: chmod -R go+rX /srv/closed/env" in text


def test_root_in_a_container_may_lack_the_right_to_override_modes():
    lacking = "-dac_override,-dac_read_search"
    drop = ["setpriv", "--bounding-set", lacking, "--inh-caps", lacking]
    code = (
        "from courseai_helpers.grading.sandbox import trial\n"
        "try:\n    trial.require_sandbox()\n"
        "except trial.SandboxError as error:\n    print(error.reason)\n"
        "else:\n    print('hello')"
    )
    result = subprocess.run(
        [*drop, sys.executable, "-c", code], capture_output=True, text=True
    )
    assert result.stdout == "hello\n", result


def test_a_course_that_every_sandbox_would_show_is_refused():
    require_hidden(Path("/home/student/course"))
    with pytest.raises(SandboxError, match="could read /usr/share.*move the course"):
        require_hidden(Path("/usr/share"))


def test_an_environment_in_the_course_s_own_folder_does_not_show_the_course(
    tmp_path, monkeypatch
):
    for name in ("lib", "bin", "source", "submitted"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(mounts, "find_places", mounts.find_places.__wrapped__)
    assert {tmp_path / "lib", tmp_path / "bin"} <= set(mounts.find_places())
    assert not mounts.find_exposed(tmp_path / "source", tmp_path / "submitted")
