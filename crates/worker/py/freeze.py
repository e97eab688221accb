"""Snapshots: a fork of the live worker, with all of its threads, that waits, frozen, until it is woken or dropped.

The live process is the parent: it keeps its pid, its threads and its children. The other one waits in the native helper:
nothing of the interpreter runs in it until it is something else.

    live      park -- look -- fork -- threads go on ------> serves
                               |
    frozen                     +-- give up pipes -- wait --> wake: mend, threads go on, serve
                                                     |----> branch: forks a session of its own, waits on
                                                     |----> save, answer: forks a process that does, waits on
                                                     +----> end-of-file: leaves without a trace; where it has a mark and
                                                            a line to session init, fetches another channel, waits on
"""

import ctypes
import errno
import os
import sys
import threading
from _thread import _count as _count_threads
from _thread import get_ident as _get_ident

from . import answerer, inventory, native, pools, restorer, saver, system, writers
from .codec import encode
from .libraries import Libraries

_close, _getpid, _strerror, _byref, _listdir = os.close, os.getpid, os.strerror, ctypes.byref, os.listdir
_enumerate = threading.enumerate
_numbers, _helper = native.numbers, native.helper

TOO_MANY_OPEN = (
    "the session has as many files open as it may",
    "close files that are not needed, or raise the limit `open_files`",
)
NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)
_ALWAYS = "use the policy commit_always in this session"


class Refused(Exception):
    """This process cannot be frozen: (why, how)."""


class Woken:
    """What `take` returns in a process that was woken, with what it could not keep, in words."""

    def __init__(self, lost, pools, request):
        self.lost, self._pools, self._request = lost, pools, request
        self.greeted = request.answered  # so many bytes of its greeting are sent
        self.salvaged = None

    def finish(self):
        """Once the supervisor knows this process: what nobody waits for, before any code runs. The helper waits until its threads
        have gone on."""
        _helper.release(_byref(self._request))
        pools.finish(self._pools)


class Present:
    """What the worker knows of a moment, beside what the helper writes down."""

    def __init__(self, freezer):
        self.pid = _getpid()
        self.children = ()
        self.sentinels = pools.sentinels() if pools.may_be_there() else {}
        # For a saver: the threads that there are, and those that the interpreter knows, by their thread pointers. Not by
        # `sys._current_frames`: it makes frames of threads of other interpreters, who free them in a wrong place.
        self.elder, self.threads, self.names = (), (_get_ident(),), ()
        if _count_threads():
            self.elder = tuple(map(int, _listdir("/proc/self/task")))
            known = _enumerate()
            self.threads = tuple(one.ident for one in known if one.ident is not None)
            self.names = [str(one.name) for one in known if one.ident not in (None, _get_ident())]
        self.has_looked = self.answered = self.tracks = False
        self.request = self.mark = self.held = self.inventory = self.gauss = self.generators = None


class Freezer:
    """Takes snapshots of the worker."""

    def __init__(self, guard, channel, prompts, children, exits, executor, keeping, output):
        self.guard, self.channel, self.prompts, self.output = guard, channel, prompts, output
        self.children, self.exits, self.executor, self.keeping = children, exits, executor, keeping
        self.libraries = Libraries()
        self.numexpr = native.Numexpr()
        self.writers = writers.Writers()
        self.told = set()
        self.greeting = None
        self.prefers_to_die = 0
        self.inherited = None  # numbers of pipes that others share, and where they are
        self.own = (), None, None  # the worker's own descriptors, and the same in memory
        self.is_used = False  # since something was made ready for the next snapshot
        self.ready = None  # what is needed for it, and how many handlers of signals had run

    # ---- in the live process ----

    def take(self, wake, others=(), track=False, mark=None, splits=False, answer=None):
        """Freezes the present; `wake` is the frozen process's channel, `others` are descriptors of the supervisor's
        that it is not to have. In the live process: warnings that were not told before. In a process that was woken,
        which may be much later: a `Woken`. `track`: for a checkpoint. `mark`: by which a supervisor that takes over
        knows the frozen process; one without a mark is of use to this supervisor only. `answer`: what to say where there are
        no warnings, at once; None is returned then."""
        present, self.is_used = self._take_ready(track or splits or others), True
        try:
            if present is not None:
                present.request.wake = wake
                self.output.flush()
                outcome = self._freeze(present, answer)
            else:
                self._check(track)
                if track:
                    self.keeping.track()
                present = Present(self)
                present.tracks = track
                if present.elder:
                    self.children.keep_notes()
                if splits:
                    from . import random_state

                    present.generators = random_state.generators()
                outcome = self._attempt(present, wake, others, mark, answer)
            while outcome in (native.NEEDS_LOOK, native.NEEDS_FLUSH):
                if outcome == native.NEEDS_LOOK:
                    self._look(present)
                    outcome = self._attempt(present, wake, others, mark, answer)
                else:
                    self.writers.flush(inventory.Inventory(native.records(present.request), ()).appended())
                    _helper.release(_byref(present.request))
                    present.request.is_flushed = 1
                    outcome = self._freeze(present, answer)
            if outcome < 0:
                raise Refused(*_refusal(outcome, present.request.error))
        except BaseException:
            if present is not None and present.request is not None:
                _helper.release(_byref(present.request))
            if track and self.keeping.tracker is not None:
                # What it was told may be lost.
                self.keeping.tracker.forget()
            _close(wake)
            raise
        request = present.request
        if outcome == native.LIVE:
            if track:
                self.keeping.tracker.take(request, is_live=True)
            self.prefers_to_die = request.prefers_to_die
            warnings = None if present.answered else ()
            if request.warns:
                warnings = self._warnings(inventory.Inventory(native.records(request), present.sentinels))
            _helper.release(_byref(request))
            _close(wake)
            return warnings
        if outcome == native.SAVER:
            saver.run(self.keeping, present)
        if outcome == native.ANSWER:
            answerer.run(self.keeping, present)
        return self._live(present, outcome == native.BRANCH)

    def may_get_ready(self):
        libraries = _helper.loads is not None and self.libraries.cuda is None
        return self.is_used and libraries and not _count_threads() and self.channel.line is None

    def get_ready(self):
        """While nothing is asked for: what the next snapshot needs, if that is a plain one. Only where nothing can change meanwhile:
        no other thread runs, and no session init is to be told."""
        self.is_used = False
        present = Present(self)
        self._prepare(present, -1, (), None)
        _helper.prepare(_byref(present.request))
        self.ready = present, self.guard.called

    def drop_ready(self):
        """It may be otherwise by now."""
        if self.ready is not None:
            _helper.release(_byref(self.ready[0].request))
            self.ready = None

    def _take_ready(self, is_special):
        if self.ready is None:
            return None
        present, called = self.ready
        if is_special or called != self.guard.called or _count_threads():
            self.drop_ready()
            return None
        self.ready = None
        return present

    def branch(self, wake, splits, answer):
        """The same for a fork that is to make branches. `splits`: their random generators go ways of their own."""
        if not system.can_mark_branches():
            _close(wake)
            raise Refused(
                "the limit on bytes in POSIX message queues, by which the processes of branches are told apart, is low",
                "raise it with ulimit -q, or leave it as it was",
            )
        return self.take(wake, splits=splits, answer=answer)

    def _check(self, track):
        if _helper.why is not None:
            raise Refused(f"the native helper cannot be loaded: {_helper.why}", "see what `pyrepl3 doctor` says of it")
        if _helper.loads is None:
            self.libraries.look()
        self._refuse_gpu()
        if track and native.has_subinterpreters():
            raise Refused(
                "the session has subinterpreters, which a process that saves it would lose",
                "close them, and save the session then",
            )

    def _refuse_gpu(self):
        if self.libraries.cuda is not None:
            raise Refused(
                f"{self.libraries.cuda} is loaded, and what lives on a GPU cannot be used in a forked process", _ALWAYS
            )

    def _look(self, present):
        """What only the interpreter can look at: libraries that were loaded since, and children. The helper asks for it where there
        are any."""
        present.has_looked = True
        self.libraries.look()
        self._refuse_gpu()
        present.children = self.children.visible()
        if present.children:
            self.children.keep_notes()

    def _attempt(self, present, wake, others, mark, answer):
        self._prepare(present, wake, others, mark)
        self.output.flush()
        return self._freeze(present, answer)

    def _prepare(self, present, wake, others, mark):
        if present.request is not None:
            _helper.release(_byref(present.request))
        channel, line = self.channel, None if mark is None else self.channel.line
        request, present.mark = native.new_request(), mark
        present.request = request
        request.wake, request.control = wake, channel.fd
        request.line = -1 if line is None else line.socket.fileno()
        request.has_sqlite = "sqlite3" in sys.modules or "_sqlite3" in sys.modules
        request.prefers_to_die = self.prefers_to_die
        request.loads = self.libraries.generation or 0
        request.has_looked = present.has_looked
        elsewhere = ()
        if present.children or self.children.estranged or self.children.foreign:
            elsewhere = _pipes_of([*present.children, *self.children.estranged, *self.children.foreign])
        own = (*self.executor.descriptors(), *self.keeping.descriptors(), *(pools.trackers() if pools.may_be_there() else ()))
        if own != self.own[0]:
            self.own = own, *_numbers("i", own)
        request.own, request.walk = self.own[2], native.walk()
        said = b"" if line is None else encode({"t": "frozen", "mark": mark}).encode("ascii")
        random = sys.modules.get("random")
        kept = ()
        if random is not None and self.children.reseeds:
            kept, present.gauss = native.state_of(random._inst), random._inst.gauss_next
        if self.inherited is None:
            found = [*inventory.inherited, *(inventory.identity(fd) for fd in (0, 1, 2))]
            self.inherited = _numbers("Q", [number for one in found if one is not None for number in one])
        request.inherited = (self.inherited[1][0], self.inherited[1][1] // 2)
        if not pools.may_be_there():
            # Of pools only the interpreter can say that they are gone. Of anything else the helper knows.
            request.greeting = self._greeting()
        if present.tracks:
            self.keeping.tracker.ask(request)
        present.held = held = []
        spare = () if line is None else line.spare
        for name, kind, values in (
            ("close", "i", others),
            ("elsewhere", "Q", elsewhere),
            ("said", "B", said),
            ("spare", "i", spare),
            ("pids", "Q", (*native.loop_pids(), *self.numexpr.pids())),
            ("kept", "Q", kept),
            ("sentinels", "Q", [number for one in present.sentinels.items() if one[1] is not None for number in one]),
        ):
            if values:
                numbers, (address, count) = _numbers(kind, values)
                held.append(numbers)
                setattr(request, name, (address, count // 2 if name in ("kept", "sentinels") else count))

    def _greeting(self):
        if self.greeting is None:
            from .zygote import python_info

            frame = self.channel.first_frame({"t": "awake", "python": python_info(), "lost": []})
            self.greeting = frame, *_numbers("B", frame)
        return self.greeting[2]

    def _freeze(self, present, answer):
        """While this thread holds the locks of the channel, so that no other is in the middle of a frame. All that the
        interpreter has to do for a fork is done by the helper's calls: none of it runs between them."""
        channel, request = self.channel, present.request
        with self.prompts._lock, channel._lock, channel._send_lock:
            self.children.home, self.children.ours = _getpid(), _get_ident()
            frame = None if answer is None else channel.next_frame(answer)
            if frame is not None:
                numbers, request.answer = _numbers("B", frame)
            outcome = _helper.freeze(_byref(request))
            self.children.ours = None
            if outcome == native.LIVE and frame is not None:
                present.answered = channel.sent(frame, request.answered)
            if outcome > 0:
                present.inventory = inventory.Inventory(native.records(request), present.sentinels)
                present.children = [*dict.fromkeys([*present.children, *present.inventory.children()])]
            if outcome in (native.WOKEN, native.BRANCH):
                self.children.move(present.children, outcome == native.BRANCH)
                channel.attach_again(request.control)
        return outcome

    def _warnings(self, found):
        warnings = [text for text in found.warnings() if text not in self.told]
        self.told.update(warnings)
        return warnings

    # ---- in a process that was woken, or a branch ----

    def _live(self, present, branched):
        request, channel = present.request, self.channel
        self.prefers_to_die = 1
        channel.mark = present.mark
        if branched:
            self.inherited = None
            channel.member, channel.parent = request.member, channel.member
        if request.spare_used and channel.line is not None:
            channel.line.refill_anew()
        self.guard.attach_again()
        self.prompts.execution = None
        self.executor.attach()
        found = present.inventory
        if branched:
            self.exits.begin_branch(self.executor.namespace)
        lost = found.lost(branched)
        words, ended = pools.mend(branched)
        lost += words
        pools.mend_processes(present.pid, branched)
        if branched:
            tracking = pools.tracking()
            others = [pid for pid in present.children if pid not in tracking]
            lost += [f"process {pid} belongs to the session that this one was branched from" for pid in others]
            if request.split:
                from . import random_state

                lost += random_state.split(present.generators, request.index)
        if request.error:
            lost.append(f"the snapshot could not be kept for another time: {_strerror(request.error)}")
        woken = Woken(lost, ended, request)
        if request.salvage >= 0 and not branched:
            woken.salvaged = restorer.take_over(self.keeping, request.salvage)
        return woken


def _refusal(outcome, detail):
    """Why, and how it can be changed."""
    if outcome == native.LATE:
        name = system.thread_name(detail)
        return (
            f"the thread {detail} ({name}) could not be stopped within {native.LIMIT // 1_000_000} s: it is in a system "
            "call that nothing interrupts, or is being debugged",
            "wait until it has ended, and try again",
        )
    if outcome == native.TOO_MANY_THREADS:
        return "the session has more threads than a snapshot can keep", "end some of them"
    if outcome == native.RING:
        return f"io_uring is in use (descriptor {detail}), which belongs to this very process", _ALWAYS
    if outcome == native.GPU:
        return f"a GPU is in use (descriptor {detail}), and what lives on it cannot be used in a forked process", _ALWAYS
    if outcome == native.ZMQ:
        return "the threads of libzmq run, which stop working in another process", "close its contexts, or " + _ALWAYS
    if outcome == native.SHADOW_STACK:
        return "the process has shadow stacks, which new threads cannot be given", "start Python without them"
    if outcome == native.NO_ROOM:
        return TOO_MANY_OPEN
    if outcome == native.FORK:
        return f"fork: {_strerror(detail)}", "free memory, or raise the limit on processes"
    if outcome == native.DIED:
        return "the process of the snapshot ended before it was ready", "free memory, and try again"
    return f"a system call failed: {_strerror(detail)}", "free memory, or close files, and try again"


def _pipes_of(pids):
    """Inodes of the pipes that processes which user code started have open."""
    found = set()
    for pid in system.descendants(pids):
        try:
            names = os.listdir(f"/proc/{pid}/fd")
            links = [os.readlink(f"/proc/{pid}/fd/{name}") for name in names]
        except OSError:
            continue  # it has ended meanwhile, or is another user's
        found.update(int(link[6:-1]) for link in links if link.startswith("pipe:["))
    return sorted(found)
