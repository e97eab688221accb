"""The zygote: imports what the environment preloads, and forks sessions.

The process that serves forks has exactly one thread. Some imports leave threads behind; then a fork of this process
serves, and this process only waits for it. A template is a fork of the zygote that ran a pool's warm-up code and
serves in the same way.
"""

import _signal as _native
import gc
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
import warnings

from . import inventory, launcher, native, system, worker
from .codec import decode
from .later import IDLE, Later
from .libraries import Libraries

FDS = 8
# Rounds of looking for orphans: one that the kernel cannot end must not stop sessions from being started.
_SWEEPS = 500


class Link:
    """The supervisor's channel to a process that serves forks: frames that carry descriptors."""

    def __init__(self, fd):
        self.socket = socket.socket(fileno=fd)

    def receive(self):
        """The next request and its descriptors; (None, []) at end-of-file."""
        # Descriptors come with the first byte of the frame that they belong to.
        data, fds, _flags, _address = socket.recv_fds(self.socket, 4, FDS, socket.MSG_CMSG_CLOEXEC)
        head = data + self._exactly(4 - len(data)) if data else b""
        if len(head) < 4:
            return None, []
        size = int.from_bytes(head, "big")
        body = self._exactly(size)
        if len(body) < size:
            return None, []
        # After each fork, every page that is written to is copied: this decoder, made already, writes to the fewest.
        return decode(body.decode(), 0)[0], list(fds)

    def _exactly(self, size):
        data = bytearray()
        while len(data) < size:
            piece = self.socket.recv(min(size - len(data), 1 << 20))
            if not piece:
                break
            data += piece
        return bytes(data)

    def send(self, message):
        body = json.dumps(message).encode()
        self.socket.sendall(len(body).to_bytes(4, "big") + body)

    def has_request(self, seconds):
        return bool(select.select([self.socket], [], [], seconds)[0])

    def leave(self):
        """In a forked child that serves no forks: the channel is not its own, and it looks after its children."""
        self.socket.close()
        _native.signal(_native.SIGCHLD, _native.SIG_DFL)


def python_info():
    return {
        "version": ".".join(map(str, sys.version_info[:3])),
        "executable": sys.executable or "",
        "prefix": sys.prefix,
        "implementation": sys.implementation.name,
    }


def main():
    """Everything: returns never. Runs at the bottom of the stack so that a worker's stack is all the user's."""
    link = Link(os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Who starts the supervisor may have blocked signals: an interrupt would never come.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    request, fds = link.receive()
    if request is None:
        os._exit(0)
    native.helper.why = request["no_helper"]
    for fd in fds:
        native.helper.load(fd)
    worker.install_early()
    inventory.note_inherited()
    failed = preload(request["preload"], request["cwd"])
    if failed:
        link.send(failed)
        os._exit(1)
    worker.prepare()
    serve(link)


def preload(modules, cwd):
    path = list(sys.path)
    sys.path.insert(0, cwd)
    try:
        for name in modules:
            try:
                __import__(name)
            except BaseException as error:
                detail = "".join(traceback.format_exception(type(error), error, error.__traceback__))
                return {"t": "failed", "stage": "preload", "what": f"{name}: {error}", "detail": detail}
    finally:
        sys.path[:] = path
    return None


def serve(link):
    """Forks on request until the supervisor goes. Each child carries on in a function of its own."""
    settle()
    system.become_subreaper()
    link.send({"t": "ready", "python": python_info()})
    inits = set()
    later = Later()
    while True:
        if later and not link.has_request(IDLE / 1000):
            later.load_next()
            if not later:
                # Sessions share it.
                gc.collect()
                gc.freeze()
            continue
        request, fds = link.receive()
        if request is None:
            os._exit(0)
        op = request["op"]
        if op == "sweep":
            sweep(inits)
            continue
        try:
            if op == "session":
                pid, given = launcher.launch(request, fds, link.leave)
            elif op == "template":
                pid, given = os.fork(), None
            else:
                raise launcher.Refused(f"{op!r} is not known to this process")
        except launcher.Refused as refused:
            refuse(fds, str(refused))
            continue
        except OSError as error:
            refuse(fds, f"fork: {error.strerror}")
            continue
        if given is not None:
            worker.main(*given)
        if pid == 0:
            link.leave()
            template(request["code"], fds)
        inits.add(pid)
        for fd in fds:
            os.close(fd)


def settle():
    """Makes this process one that can be forked from for long: one thread, and memory that children share."""
    libraries = Libraries()
    libraries.look()
    libraries.pause_openmp()
    if system.thread_count() > 1:
        with warnings.catch_warnings():
            # Python warns of forks while threads run. The threads stay behind, which is the purpose.
            warnings.simplefilter("ignore")
            child = os.fork()
        if child:
            wait_for(child)
    # Children that end are reaped by the kernel; their supervisor watches them by other means.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.freeze()


def wait_for(child):
    # Only the child holds the channel from here on: its end must be seen by the supervisor.
    os.closerange(3, os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") < 65536 else 65536)
    while True:
        try:
            _pid, status = os.waitpid(child, 0)
        except InterruptedError:
            continue
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def refuse(fds, why):
    """Says on the worker's own channel why there will be no worker."""
    body = json.dumps({"seq": 1, "t": "refused", "why": why}).encode()
    if len(fds) > 1:
        os.write(fds[1], len(body).to_bytes(4, "big") + body)
    for fd in fds:
        os.close(fd)


def sweep(inits):
    """Kills the children that are neither session inits nor templates: orphans of a session whose init was killed.

    Who loses its parent while this looks is below nobody for a moment; a list of children is only whole when none of
    them ends meanwhile; and an init that was killed has its children until it is gone: so there must be none of all
    these twice in a row."""
    quiet, rounds = 0, 0
    while quiet < 2 and rounds < _SWEEPS:
        mine = system.children(os.getpid())
        inits.difference_update([pid for pid in inits.difference(mine) if system.born(pid) is None])
        orphans = [pid for pid in mine if pid not in inits]
        system.kill(system.descendants(orphans))
        is_quiet = not orphans and not any(system.is_ending(pid) for pid in inits)
        quiet, rounds = quiet + 1 if is_quiet else 0, rounds + 1
        # A killed process needs a moment to go.
        time.sleep(0.002)


def template(code, fds):
    """A template's life: warm up in `__main__`, then serve."""
    channel, stderr = fds
    os.dup2(stderr, 2)
    os.close(stderr)
    link = Link(channel)
    namespace = vars(sys.modules["__main__"])
    sys.path.insert(0, "")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        worker.warm_up(code, namespace)
    except BaseException as error:
        detail = worker.warm_up_traceback(error)
        link.send({"t": "failed", "stage": "warmup", "what": f"{type(error).__name__}: {error}", "detail": detail})
        os._exit(1)
    finally:
        if sys.path[:1] == [""]:
            sys.path.pop(0)
    sys.stdout.flush()
    sys.stderr.flush()
    serve(link)
