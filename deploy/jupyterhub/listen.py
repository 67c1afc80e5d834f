"""Opens a port as root, becomes another user, and runs a program with the port.

Usage: python -I listen.py HOST PORT USER PROGRAM [ARGUMENT ...]

Only root can open ports below 1024. So nobody can take such a port while the program is
not there: before its start, between two runs, or while the hub is down.
"""

import os
import pwd
import socket
import sys

host, port, name, *program = sys.argv[1:]
listening = socket.create_server((host, int(port)))
listening.set_inheritable(True)
user = pwd.getpwnam(name)
os.initgroups(name, user.pw_gid)
os.setgid(user.pw_gid)
os.setuid(user.pw_uid)
place = {"HOME": user.pw_dir, "USER": name, "COURSEAI_SOCKET": str(listening.fileno())}
os.execve(program[0], program, os.environ | place)
