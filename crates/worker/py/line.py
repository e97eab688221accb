"""The line: a socket to session init that a worker and every fork of it have from the start, where the session is to
outlive its supervisor.

Over it a process whose channel has ended asks for another: it makes a pair of sockets and sends one end. Session init
hands that on to the supervisor, or keeps it for the next one. Nothing is ever answered here.
"""

import _socket
import array
import errno
import fcntl
import os
import resource
import time

from .codec import encode

_pair, _monotonic, _sleep = _socket.socketpair, time.monotonic, time.sleep
_array, _dup, _close = array.array, os.dup, os.close
_fcntl, _ABOVE = fcntl.fcntl, fcntl.F_DUPFD_CLOEXEC
_RIGHTS = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS)
_FULL = (errno.EMFILE, errno.ENFILE)
# Seconds between two channels: one that ends at once must not make this process spin.
_PAUSE = 0.05


class Line:
    def __init__(self, fd):
        self.socket = _socket.socket(fileno=fd)
        # Room for a pair of sockets, whatever user code has open; their numbers are out of the way of its own.
        self.spare, self.floor = [], fd
        self._refill()
        self.next = 0.0

    def fit(self):
        """After a limit on descriptors was set: a number above it makes no room below."""
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if 0 <= limit <= max(self.spare, default=0):
            while self.spare:
                _close(self.spare.pop())
            self.floor = max(limit - 2, 3)
            self._refill()

    def descriptors(self):
        return (self.socket.fileno(), *self.spare)

    def fetch(self, message, give_up):
        """A fresh channel, a descriptor. None where session init is gone, so that there is nobody to live for. `give_up`
        closes the channel that has ended, where there is no other room."""
        wait = self.next - _monotonic()
        if wait > 0:
            _sleep(wait)
        self.next = _monotonic() + _PAUSE
        try:
            mine, other = self._pair(give_up)
            try:
                body = encode(message).encode("ascii")
                self.socket.sendmsg([body], [(*_RIGHTS, _array("i", [other.fileno()]))])
            finally:
                other.close()
        except OSError:
            return None
        self._refill()
        return mine.detach()

    def refill_anew(self):
        """After the native helper has used what there was."""
        self.spare = []
        self._refill()

    def _refill(self):
        fd = self.socket.fileno()
        try:
            while len(self.spare) < 2:
                try:
                    self.spare.append(_fcntl(fd, _ABOVE, self.floor))
                except OSError:
                    self.spare.append(_dup(fd))
        except OSError:
            pass  # there is no room now

    def _pair(self, give_up):
        for make_room in (self._use_spare, give_up):
            try:
                return _pair(_socket.AF_UNIX, _socket.SOCK_STREAM)
            except OSError as error:
                if error.errno not in _FULL:
                    raise
            make_room()
        return _pair(_socket.AF_UNIX, _socket.SOCK_STREAM)

    def _use_spare(self):
        while self.spare:
            _close(self.spare.pop())

    def close(self):
        """In a process that is not of the session's own."""
        for fd in (self.socket.detach(), *self.spare):
            _close(fd)
        self.spare = []
