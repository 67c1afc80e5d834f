# Attacks on the run and on the machine; see tests/hostile_course.py. Each may cost its
# own points; the others get theirs, the run ends, and nothing of it is left behind.


# %% a loop without end, at the top: its cell is stopped
while True:
    pass


# %% a loop without end, in the function: the test cell is stopped
def heat_inside(cam, box):
    while True:
        pass


# %% a loop that nobody can interrupt: its kernel is killed
import signal

signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
while True:
    pass


# %% a function that nobody can interrupt: its kernel is killed
def heat_inside(cam, box):
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass


# %% sleep, at the top and in the function: time is limited
import time


def heat_inside(cam, box):
    time.sleep(1000)


# %% all the memory there is, at the top: it is limited
hoard = []
while True:
    hoard.append(b"x" * 2**26)


# %% all the memory there is, in the function: it is limited
def heat_inside(cam, box):
    return [torch.ones(2**26) for _ in range(1000)]


# %% memory that belongs to no process: it counts
import os

for number in range(100):
    handle = os.memfd_create("x")
    for _ in range(8):
        os.write(handle, b"x" * 2**22)


# %% a fork bomb: the number of processes is limited
import os
import time

while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.1)


# %% a thread bomb: the number of threads is limited
import threading
import time

while True:
    threading.Thread(target=time.sleep, args=[1000]).start()


# %% a flood of output, at the top: it is cut
while True:
    print("x" * 10_000)


# %% a flood of output, in the function: it is cut
def heat_inside(cam, box):
    while True:
        print("x" * 10_000)


# %% a flood of pictures: it is cut
from IPython.display import display

for _ in range(3000):
    display({"image/png": "iVBORw0KGgo" * 1000, "text/plain": "x"}, raw=True)


# %% the function ends its kernel: a new one goes on
import os


def heat_inside(cam, box):
    os._exit(0)


# %% the function kills its kernel: a new one goes on
import os
import signal


def heat_inside(cam, box):
    os.kill(os.getpid(), signal.SIGKILL)


# %% the function crashes its kernel: a new one goes on
import ctypes


def heat_inside(cam, box):
    ctypes.string_at(0)


# %% its kernel is stopped, not ended: it is killed
import os
import signal


def heat_inside(cam, box):
    os.kill(os.getpid(), signal.SIGSTOP)


# %% daemons and zombies: they end with their sandbox
import os
import subprocess

for _ in range(10):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", "98766"])
        os._exit(0)
subprocess.Popen(["nohup", "sleep", "98766"], start_new_session=True)


# %% a full disk: it is a small one in memory
import os

for place in ("/tmp", os.path.expanduser("~"), "/dev/shm", "/run/kernel"):
    try:
        for number in range(1000):
            with open(f"{place}/full{number}", "wb") as file:
                file.write(b"x" * 2**23)
    except OSError as error:
        print(error)


# %% millions of empty files: their number is limited, or they are memory
import os

try:
    for number in range(60_000):
        os.close(os.open(f"/tmp/{number}", os.O_CREAT))
except OSError as error:
    print(error)


# %% a huge result: it is not sent
def heat_inside(cam, box):
    return torch.ones(1).expand(2**34)


# %% a result of many parts, and one that holds itself: neither is sent
calls = []


def heat_inside(cam, box):
    calls.append(box)
    result = [[0.5] * 9000] * 9000
    if len(calls) % 2:
        result = []
        result.append(result)
    return result


# %% a result whose repr never ends: time is limited
class Endless:
    def __repr__(self):
        while True:
            pass


def heat_inside(cam, box):
    return Endless()


# %% recursion without end: it is an error
def heat_inside(cam, box):
    return heat_inside(cam, box)


# %% an exception with a message of 200 million characters: it is cut
def heat_inside(cam, box):
    raise ValueError("x" * 2 * 10**8)


# %% an exception whose text never ends: time is limited
class Endless(Exception):
    def __str__(self):
        while True:
            pass


def heat_inside(cam, box):
    raise Endless()


# %% a question to the grader: nobody answers, and it is an error
def heat_inside(cam, box):
    return float(input("What is the right number? "))


input("Go on? ")


# %% a debugger in the function: nobody is there to use it
def heat_inside(cam, box):
    breakpoint()
    return 0.5


# %% all open files are closed: the kernel is lost, a new one goes on
import os


def heat_inside(cam, box):
    os.closerange(0, 1024)
    return 0.5


# %% an alarm that ends the kernel a little later: a new one goes on
import signal

signal.signal(signal.SIGALRM, signal.SIG_DFL)
signal.setitimer(signal.ITIMER_REAL, 0.3)


def heat_inside(cam, box):
    import time

    time.sleep(2)
    return 0.5


# %% the function ends every kernel as soon as it starts: each is replaced once
import os

os.write(3, b"garbage that is no question" * 1000)
os._exit(7)
