"""Session init: ancestor, subreaper, reaper and undertaker of all in one session. It runs no user code.

It ends with its channel: when the supervisor dies, the channel closes, and nothing of the session stays behind.
"""

import gc
import json
import os
import select
import signal
import socket

from . import system


class Init:
    def __init__(self, channel, worker):
        self.socket = socket.socket(fileno=channel)
        self.worker = worker
        self.wake, self.wake_end = os.pipe()
        os.set_blocking(self.wake_end, False)
        os.set_blocking(self.wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self.wake_end, warn_on_full_buffer=False)
        self.poll = select.poll()
        self.poll.register(self.socket, select.POLLIN)
        self.poll.register(self.wake, select.POLLIN)

    def send(self, message):
        body = json.dumps(message).encode()
        try:
            self.socket.sendall(len(body).to_bytes(4, "big") + body)
        except OSError:
            # The supervisor is gone: the next read says so, and ends the session.
            pass

    def receive(self):
        data, fds, _flags, _address = socket.recv_fds(self.socket, 4, 8, socket.MSG_CMSG_CLOEXEC)
        while data and len(data) < 4:
            data += self.socket.recv(4 - len(data))
        if not data:
            return None, []
        body = self.socket.recv(int.from_bytes(data, "big"), socket.MSG_WAITALL)
        return json.loads(body), list(fds)

    def fork(self, fds):
        """Forks another worker; in the child, returns True."""
        self.worker = fork(fds)
        if self.worker == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self.socket.close()
            os.close(self.wake)
            os.close(self.wake_end)
            return True
        return False

    def reap(self):
        try:
            os.read(self.wake, 4096)
        except BlockingIOError:
            pass
        for pid, status in system.reap():
            if pid == self.worker:
                self.worker = None
                if os.WIFSIGNALED(status):
                    self.send({"t": "exit", "signal": os.WTERMSIG(status)})
                else:
                    self.send({"t": "exit", "code": os.WEXITSTATUS(status)})

    def bury(self):
        """Kills all below, daemons included, until nothing is left."""
        me = os.getpid()
        while True:
            self.reap()
            left = system.descendants(system.children(me))
            if not left:
                return
            system.kill(left)
            waiter = select.poll()
            waiter.register(self.wake, select.POLLIN)
            waiter.poll(20)

    def run(self):
        """Serves until the session ends. Returns the descriptors of a worker in a forked child only."""
        while True:
            # A worker may have ended before the handler of SIGCHLD was there.
            self.reap()
            events = self.poll.poll()
            self.reap()
            if not any(fd == self.socket.fileno() for fd, _ in events):
                continue
            try:
                request, fds = self.receive()
            except OSError:
                request, fds = None, []
            if request is None:
                self.bury()
                os._exit(0)
            if request["op"] == "end":
                self.bury()
                self.send({"t": "ended"})
                os._exit(0)
            if request["op"] == "spawn":
                self.bury()
                if self.fork(fds):
                    return fds


def fork(fds):
    """Forks a worker. In the parent its descriptors are closed; if the system refuses, its channel says so."""
    try:
        pid = os.fork()
    except OSError as error:
        body = json.dumps({"seq": 1, "t": "refused", "why": f"fork: {error.strerror}"}).encode()
        os.write(fds[0], len(body).to_bytes(4, "big") + body)
        pid = None
    if pid != 0:
        for fd in fds:
            os.close(fd)
    return pid


def main(fds):
    """Session init's life. Returns in a forked worker, with its four descriptors."""
    gc.disable()
    os.setsid()
    system.become_subreaper()
    # The worker first: whoever waits for the session waits for it.
    channel, *fds = fds
    worker = fork(fds)
    if worker == 0:
        os.close(channel)
        return fds
    init = Init(channel, worker)
    init.send({"t": "up"})
    return init.run()
