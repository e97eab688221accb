"""The process that writes a session's state down: a fork of a frozen process, thrown away when it is done.

It runs user code (`__reduce__`, `__getstate__`, and `__setstate__` where it verifies), so it has nothing of the session's
to reach the world with: no output, no sockets, no pipes, and files that can only be read.
"""

import ctypes
import os
import resource
import socket
import sys

from . import system
from .codec import encode
from .failure import message as _message
from .native import helper
from .serializer import baseline

_exit, _dup2, _open, _close = os._exit, os.dup2, os.open, os.close
_O = os.O_CLOEXEC
_ASSIGNED = f"{__package__}.serializer.assigned"
_socket = socket.socket
# What the socket may hold on its way: fewer changes between the two processes.
_IN_FLIGHT = 1 << 20


class Keeping:
    """What a worker knows that its checkpoints need."""

    def __init__(self, executor, children, output, exits):
        self.executor, self.children, self.output, self.exits = executor, children, output, exits
        self.namespace, self.sources = executor.namespace, executor.sources
        self.tracker = None
        self.initial = frozenset()
        self.baseline = None
        self.was_tracked = False  # whether this session has been saved
        self.read_before = {}  # what sources say, for `serializer.assigned`

    def prepare(self):
        """In the zygote, when all that is no session's doing has been done."""
        # What warm-up code of a pool defines belongs to the session: a fresh one does not have it.
        self.initial = frozenset(self.namespace) | {"__builtins__", "__file__"}
        self.baseline = baseline.take()

    def started(self):
        """The session begins: what differs from here on is its doing."""
        self.baseline.session_started()

    def descriptors(self):
        own = () if self.tracker is None or self.tracker.fd < 0 else (self.tracker.fd,)
        return (*own, *self.children.descriptors())

    def track(self):
        """In the live process, before it is frozen for a checkpoint: what was written since the one before will be told."""
        self.was_tracked = True
        if self.tracker is None:
            from .serializer.tracker import Tracker

            self.tracker = Tracker()
        self.tracker.register()

    def options(self, before=None, own=()):
        """What the worker knows of the session's state that is no variable."""
        from .serializer import situation

        return situation.Options(
            namespace=self.namespace,
            sources=self.sources,
            own_fds=(*self.executor.descriptors(), *self.descriptors(), *own),
            streams={"stdout": self.output.stdout, "stderr": self.output.stderr},
            exits=[(function, args, kwargs) for _line, function, args, kwargs in self.exits.entries],
            context=self.executor.context,
            before=before,
            read_before=self.read_before,
            compiler=self.executor,
        )

    def has_to_read(self):
        """Whether the next saver would read sources that the one after it would have to read again."""
        texts = self.sources.texts
        # Not imported here: user code may watch imports, and `later` minds that.
        has_reader = self.was_tracked and _ASSIGNED in sys.modules
        return has_reader and bool(texts) and next(reversed(texts)) not in self.read_before

    def read_ahead(self):
        sys.modules[_ASSIGNED].read_ahead(self.sources.texts, self.read_before, self.namespace)


def run(keeping, present):
    """Writes the state down. Never returns."""
    sink, fd = None, present.request.channel
    try:
        forget_supervisor(keeping)
        restore_random(present)
        sock = _socket(fileno=fd)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _IN_FLIGHT)
        system.set_name(b"pyrepl3-saver")
        die_first()
        from .serializer import context, transport

        sock.sendall(transport.frame({"t": "hello"}))
        request, fds = transport.Receiver(sock).frame()
        tracker = keeping.tracker if request["tracked"] and present.tracks else None
        if tracker is not None:
            tracker.take(present.request, is_live=False)
        base = request.get("base")
        known = base["buffers"] if base and tracker is not None and tracker.before == base["generation"] else ()
        splice = transport.Splicer.of(fds[0] if fds else None, sock)
        sink = transport.Sink(sock.sendall, tracker, known, splice)
        options = keeping.options(_before(present), (0, 1, 2, fd, *fds, *of_loops(keeping)))
        detach(present.inventory)
        thaw_libraries(present)
        context.opened_as({fd: flags for fd, (_offset, flags) in present.inventory.files().items()})
        # What no variable holds, and a variable may share: saved with the variables, under names that none has.
        roots = context.shared_roots(keeping.baseline, options)
        keeping.namespace.update(roots)
        write(keeping, sink, request, options, roots)
        _exit(0)
    except BaseException as error:
        try:
            if sink is not None:
                sink.failed(f"{type(error).__name__}: {_message(error)}")
        except BaseException:
            pass  # the supervisor is gone, or has seen enough: there is nobody to tell
        _exit(1)


def write(keeping, sink, request, options, roots, **how):
    """The session's state, to a sink. `roots`: what is among its variables for the time being. `how`: for `save`."""
    from .serializer import context, save

    def state(keeper):
        options.shared = frozenset(roots).difference(keeper.saver.lost)
        return context.capture(keeping.baseline, keeper, options)

    body = save.save(
        keeping.namespace,
        sink,
        # A session may give itself a documentation, say; all else that is there from the beginning is the worker's.
        skip=keeping.initial - save.WHEN_SAID,
        sources=keeping.sources,
        files=context.describe_file,
        reducers=context.reducers(),
        context=state,
        local=keeping.baseline.local,
        originals=context.originals(keeping.baseline),
        leave_out=frozenset(map(tuple, request.get("leave_out", ()))),
        **how,
    )
    body["history"] = _history(keeping.sources, sink)
    _hide(body, roots)
    sink.body(body)


def _before(present):
    """What the fork of the frozen process did not keep, and what the saver changes."""
    from .serializer import context, signals

    running = present.inventory.timers()
    before = context.look_before_fork()
    before["settings"]["signal mask"] = [number for number in range(1, 65) if present.request.mask >> (number - 1) & 1]
    before["timers"] = [name for name, which in signals._TIMERS.items() if which in running]
    before["threads"] = list(present.names)
    before["processes"] = [(pid, system.name(pid)) for pid in present.children]
    before["pid"] = present.pid
    return before


def of_loops(keeping):
    """Descriptors of the session's event loop."""
    loop = keeping.executor.loop
    if loop is None or not loop.usable():
        return ()
    ends = (getattr(loop.loop, "_ssock", None), getattr(loop.loop, "_csock", None), getattr(loop.loop, "_selector", None))
    return tuple(end.fileno() for end in ends if end is not None)


def _hide(body, roots):
    """What the context shares with variables has names that no variable can have; they are nobody's business."""
    body["variables"] = [entry for entry in body["variables"] if entry["name"] not in roots]
    for entry in body["lost"]:
        for root in roots:
            if root in entry["name"] or root in entry["reason"]:
                entry["name"], entry["reason"] = (entry[each].replace(root, root[1:-1]) for each in ("name", "reason"))


def _history(sources, sink):
    """The sources of the executions, newest last, as far as they are known."""
    stream = sink.stream()
    stream.write(encode([[file, text] for file, text in sources.texts.items()]).encode())
    return stream.close()


def detach(inventory):
    """Nothing that user code does here has an effect outside."""
    null = _open(os.devnull, os.O_RDWR | _O)
    for fd in (0, 1, 2, *inventory.sockets()):
        _dup2(null, fd, inheritable=fd < 3)
    for fd, (offset, _flags) in inventory.files().items():
        try:
            # Its position would be shared with the session.
            again = _open(f"/proc/self/fd/{fd}", os.O_RDONLY | _O)
            os.lseek(again, offset, os.SEEK_SET)
        except OSError:
            again = os.dup(null)
        _dup2(again, fd, inheritable=False)
        _close(again)
    _close(null)


def forget_supervisor(keeping):
    """Nobody asks for this process when its supervisor is gone."""
    line = keeping.executor.channel.line
    if line is not None:
        line.close()
        keeping.executor.channel.line = None


def restore_random(present):
    """A fork, as CPython sees it, begins the generator of the module `random` anew; the helper has kept what it holds."""
    if present.gauss is not None:
        sys.modules["random"]._inst.gauss_next = present.gauss


def thaw_libraries(present):
    """Threads that Python does not know, those of a library's pool, go on: the library waits for them. User code's do not run
    twice. When nothing that they could reach is the session's any more."""
    lists = [argument for one in (present.threads, present.elder) for argument in ((ctypes.c_size_t * len(one))(*one), len(one))]
    back = helper.thaw_unknown(ctypes.byref(present.request), *lists)
    if back < 0:
        raise OSError(-back, os.strerror(-back))


def die_first():
    """When memory runs out, a checkpoint, or an answer, is what can be done without."""
    system.set_oom_score(b"900")
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError):
        pass  # a core file is a nuisance, no harm
