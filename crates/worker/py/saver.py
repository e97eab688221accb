"""The process that writes a session's state down: a fork of a frozen process, thrown away when it is done.

It runs user code (`__reduce__`, `__getstate__`, and `__setstate__` where it verifies), so it has nothing of the session's
to reach the world with: no output, no sockets, no pipes, and files that can only be read.
"""

import _signal as _native
import os
import resource
import socket

from . import system
from .failure import message as _message

_exit, _dup2, _open, _close = os._exit, os.dup2, os.open, os.close
_O = os.O_CLOEXEC
_mask, _UNBLOCK = _native.pthread_sigmask, _native.SIG_UNBLOCK
_socket = socket.socket
# What the socket may hold on its way: fewer changes between the two processes.
_IN_FLIGHT = 1 << 20


class Keeping:
    """What a worker knows that its checkpoints need."""

    def __init__(self, namespace, sources):
        self.namespace, self.sources = namespace, sources
        self.initial = frozenset()
        self.baseline = None

    def prepare(self):
        """In the zygote, when all that is no session's doing has been done."""
        from .keep import baseline

        # What warm-up code of a pool defines belongs to the session: a fresh one does not have it.
        self.initial = frozenset(self.namespace) | {"__builtins__", "__file__"}
        self.baseline = baseline.take()

    def started(self):
        """The session begins: what differs from here on is its doing."""
        self.baseline.session_started()


def run(keeping, inventory, fd, frozen_channel):
    """Writes the state down. Never returns."""
    sink = None
    try:
        _close(frozen_channel)
        sock = _socket(fileno=fd)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _IN_FLIGHT)
        system.set_name(b"pyrepl3-saver")
        _die_first()
        from .keep import transport

        sink = transport.Sink(sock.sendall)
        sock.sendall(transport.frame({"t": "hello"}))
        request = transport.Receiver(sock).frame()[0]
        detach(inventory, fd)
        _mask(_UNBLOCK, (_native.SIGALRM,))
        from .keep import context, save

        def state(keeper):
            return context.capture(keeping.baseline, keeper, {"descriptors": modes(inventory)})

        body = save.save(
            keeping.namespace,
            sink,
            skip=keeping.initial,
            only=request.get("only"),
            sources=keeping.sources,
            context=state if request.get("only") is None else None,
        )
        sink.body(body)
        _exit(0)
    except BaseException as error:
        try:
            if sink is not None:
                sink.failed(f"{type(error).__name__}: {_message(error)}")
        except BaseException:
            pass  # the supervisor is gone, or has seen enough: there is nobody to tell
        _exit(1)


def modes(inventory):
    """Descriptors of the session's open files, with their flags: here they can only be read."""
    return {fd: flags for fd, (_identity, _offset, flags) in inventory.files.open.items()}


def detach(inventory, mine):
    """Nothing that user code does here has an effect outside."""
    null = _open(os.devnull, os.O_RDWR | _O)
    for fd in (0, 1, 2, *inventory.sockets):
        _dup2(null, fd, inheritable=fd < 3)
    for fd, (_identity, offset, _flags) in inventory.files.open.items():
        if fd == mine:
            continue
        try:
            # Its position would be shared with the session.
            again = _open(f"/proc/self/fd/{fd}", os.O_RDONLY | _O)
            os.lseek(again, offset, os.SEEK_SET)
        except OSError:
            again = os.dup(null)
        _dup2(again, fd, inheritable=False)
        _close(again)
    _close(null)


def _die_first():
    """When memory runs out, a checkpoint is what can be done without."""
    try:
        fd = _open("/proc/self/oom_score_adj", os.O_WRONLY | _O)
        os.write(fd, b"900")
        _close(fd)
    except OSError:
        pass  # not allowed here: then the kernel chooses by size alone
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError):
        pass  # a core file is a nuisance, no harm
