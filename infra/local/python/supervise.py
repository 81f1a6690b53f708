"""Runs a command and ends it together with every process it started.

It ends the command when standard input closes (the tool that holds the other end exited or was killed) or on SIGTERM.
A process group would not be enough, because some commands put their children into other groups. So on Linux this
process adopts every orphan below it, and exits when it has no descendants left.

    supervise.py GRACE_SECONDS COMMAND [ARGUMENT ...]
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def prctl(option, value):
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def descendants():
    """Returns every running descendant of this process, from one snapshot of the process table."""
    children = {}
    for pid, parent in process_table():
        children.setdefault(parent, []).append(pid)
    found, queue = [], [os.getpid()]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def process_table():
    if not os.path.isdir("/proc/self"):
        listing = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        yield from (tuple(map(int, line.split())) for line in listing.splitlines())
        return
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as stat:
                # The command name, in parentheses, may contain anything. The parent is the second field after it.
                yield int(name), int(stat.read().rpartition(b")")[2].split()[1])
        except OSError:
            continue


def start(command):
    pid = os.fork()
    if pid:
        return pid
    try:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
    os._exit(127)


def reap(main_pid):
    """Reaps every child that has exited. Returns the exit code of `main_pid` if it is one of them."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == main_pid:
            code = os.waitstatus_to_exitcode(status)


def end_all(main_pid, grace):
    deadline = time.monotonic() + grace
    kill(descendants(), signal.SIGTERM)
    code = None
    while True:
        exited = reap(main_pid)
        code = exited if exited is not None else code
        left = descendants()
        if not left:
            return code
        if time.monotonic() >= deadline:
            kill(left, signal.SIGKILL)
        time.sleep(0.02)


def kill(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def main():
    grace, command = float(sys.argv[1]), sys.argv[2:]
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    wake, signalled = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(signalled, False)
    signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)
    ended = []
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: ended.append(True))

    pid, code = start(command), None
    while code is None and not ended:
        ready, _, _ = select.select([0, wake], [], [])
        if 0 in ready and not os.read(0, 4096):
            break
        if wake in ready:
            os.read(wake, 4096)
            code = reap(pid)
    last = end_all(pid, grace)
    code = code if code is not None else last
    sys.exit(code if code is not None and code >= 0 else 128 - (code or -15))


main()
