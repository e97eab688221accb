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
        # Room for a pair of sockets, whatever user code has open.
        self.spare = []
        self._refill()
        self.next = 0.0

    def descriptors(self):
        return (self.socket.fileno(), *self.spare)

    def fetch(self, message):
        """A fresh channel, a descriptor. None where session init is gone, so that there is nobody to live for."""
        wait = self.next - _monotonic()
        if wait > 0:
            _sleep(wait)
        self.next = _monotonic() + _PAUSE
        try:
            mine, other = self._pair()
            try:
                body = encode(message).encode("ascii")
                self.socket.sendmsg([body], [(*_RIGHTS, _array("i", [other.fileno()]))])
            finally:
                other.close()
        except OSError:
            return None
        self._refill()
        return mine.detach()

    def _refill(self):
        fd = self.socket.fileno()
        try:
            while len(self.spare) < 2:
                try:
                    # Out of the way of user code's.
                    self.spare.append(_fcntl(fd, _ABOVE, fd))
                except OSError:
                    self.spare.append(_dup(fd))  # user code has lowered the limit
        except OSError:
            pass  # there is no room now

    def _pair(self):
        try:
            return _pair(_socket.AF_UNIX, _socket.SOCK_STREAM)
        except OSError as error:
            if error.errno not in _FULL:
                raise
        while self.spare:
            _close(self.spare.pop())
        return _pair(_socket.AF_UNIX, _socket.SOCK_STREAM)

    def close(self):
        """In a process that is not of the session's own."""
        for fd in (self.socket.detach(), *self.spare):
            _close(fd)
        self.spare = []
