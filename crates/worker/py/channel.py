"""Frames on the control channel, with a single reader.

There is no reader thread. Whoever needs a frame reads: the main thread when it waits for its next request, any thread
when it waits in `input()`. The one that reads hands a frame that is not its own to its owner, and wakes it.

When the channel ends, so does the process; but where its session is to outlive the supervisor it has a line to session
init, fetches another channel there, and goes on. What it was told it knows by number, and does not do twice; what may not
have arrived it says again.
"""

import array
import os
import select
import socket
from _thread import allocate_lock as _allocate_lock
from _thread import get_ident as _get_ident

from . import stop
from .codec import decode, encode

_poll = select.poll
_getpid, _exit, _write, _dup2, _close = os.getpid, os._exit, os.write, os.dup2, os.close
_array, _NOW, _Blocking = array.array, socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT, BlockingIOError
# Room for the descriptors that come with a request: the channel of a snapshot.
_FDS = socket.CMSG_SPACE(4 * array.array("i").itemsize)
_len = len
# Bytes that are read at once.
_ROOM = 64 << 10
# A frame above this is read by the supervisor in pieces, which it could die between: it is kept until acknowledged.
LARGE = 64 << 10
# How many prompts that wait are told to a supervisor that takes over.
_WAITING = 1000


class Channel:
    def __init__(self, guard):
        self.fd = -1
        self.pid = 0
        self.open = False  # until a worker attaches it, and in processes that user code forks
        self.guard = guard
        self._readable = _poll()
        self._buffer = bytearray()
        # What is read comes here first: memory that is made for each read would be copied again after each fork.
        self._room = memoryview(bytearray(_ROOM))
        self._lock = _allocate_lock()  # of all below
        self._reading = False
        self._waiters = []
        self._requests = []
        self._fds = []  # descriptors that came with requests which have not been taken
        self._answers = {}
        self._asked = {}  # prompts whose thread still waits, by number
        self._interrupts = set()
        self.on_request = None  # called when another thread read a request for the main thread
        self._send_lock = _allocate_lock()  # taken after the other one, where both are
        self._seq = 0
        # In a process that was woken, until it has said what it is: a lock that its other threads wait for before they speak,
        # and the prompts that are to be asked again then.
        self._greeting, self._unanswered = None, []
        # Where the session is to outlive its supervisor:
        self.line = None
        self.mark = None  # of the frozen process that this one was
        self.member, self.parent = 0, None  # numbers of this branch, and of what it was branched from
        self._last = 0  # the number of the last request
        self._kept = []  # (number, frame) that may not have arrived: from the first large one on
        self._round = 0  # how many channels there were

    def attach(self, fd):
        """In the worker: this is its descriptor."""
        self.fd, self.pid, self.open = fd, _getpid(), True
        self._socket = socket.socket(fileno=fd)
        self._readable.register(fd, select.POLLIN)

    def attach_again(self, fd):
        """In a process that was woken, with all locks held: this is the channel of a new incarnation. Threads that read, or
        wait for an answer, still do. What it says first is to be said by `introduce`."""
        if fd != self.fd:
            # User code has lowered the limit on descriptors below where the channel was.
            self._readable.unregister(self.fd)
            self._socket.detach()
            self.fd, self._socket = fd, socket.socket(fileno=fd)
            self._readable.register(fd, select.POLLIN)
        self.pid, self._seq = _getpid(), 0
        del self._buffer[:]
        for one in (*self._fds, *(one for request in self._requests for one in request.get("fds", ()))):
            _close(one)
        self._requests, self._fds, self._last, self._kept = [], [], 0, []
        self._interrupts.clear()
        # Those that were not sent yet are by their own threads.
        self._unanswered = [
            {**frame, "id": None} for number, frame in self._asked.items() if "seq" in frame and number not in self._answers
        ]
        self._greeting = _allocate_lock()
        self._greeting.acquire()

    def introduce(self, message, frame, count):
        """In a process that was woken: the first that it says; or its `first_frame`, of which the helper has sent so many bytes.
        Then its other threads may speak, and what those that wait have asked is asked again: the supervisor of this incarnation has
        not seen it."""
        if not self.sent(frame, count):
            self.send(message)
        greeting, self._greeting = self._greeting, None
        greeting.release()
        for frame in self._unanswered:
            if frame["input"] in self._asked:
                self.send(frame)
        self._unanswered = []

    def descriptors(self):
        """Descriptors that are the worker's own."""
        return (self.fd,) if self.line is None else (self.fd, *self.line.descriptors())

    # ---- sending ----

    def send(self, message):
        """Sends one frame. On the main thread the caller has seen to it that no KeyboardInterrupt can come."""
        while (greeting := self._say(message)) is not None:
            with greeting:
                pass  # the supervisor knows this process now

    def _say(self, message):
        """None, or what is to be waited for first."""
        with self._send_lock:
            if not self.open:
                return None
            # Asked once: the main thread takes it away when it has introduced itself, at any moment.
            greeting = self._greeting
            if greeting is not None and _get_ident() != self.guard.main:
                return greeting
            self._seq += 1
            message["seq"] = self._seq
            try:
                body = encode(message).encode("ascii")
            except BaseException:
                self._seq -= 1
                raise
            frame = _len(body).to_bytes(4, "big") + body
            if self.line is not None and (self._kept or _len(body) > LARGE):
                self._kept.append((self._seq, frame))
            if self._put(frame):
                return None
            if self.line is not None and not (self._kept and self._kept[-1][0] == self._seq):
                self._kept.append((self._seq, frame))
            ended = self._round
        if self.line is None:
            self.abandon()
            return None
        with self._lock:
            if self._round == ended:
                self._renew()
        return None

    def _put(self, frame):
        """Writes a frame. False where the channel has ended."""
        try:
            sent = _write(self.fd, frame)
            while sent < _len(frame):
                sent += _write(self.fd, memoryview(frame)[sent:])
        except OSError:
            return False
        return True

    def first_frame(self, message):
        """A frame for the helper to send as the first of a new incarnation."""
        body = encode({**message, "seq": 1}).encode("ascii")
        return _len(body).to_bytes(4, "big") + body

    def next_frame(self, message):
        """A frame for the helper to send while this thread holds the locks; `sent` is told what came of it. None where it has to
        be kept until it has arrived."""
        if self._kept or not self.open:
            return None
        body = encode({**message, "seq": self._seq + 1}).encode("ascii")
        return None if _len(body) > LARGE else _len(body).to_bytes(4, "big") + body

    def sent(self, frame, count):
        """So many bytes of it. Whether it was said: at once as a rule, and otherwise the rest is, here."""
        if not count:
            return False
        self._seq += 1
        if count < _len(frame) and not self._put(memoryview(frame)[count:]) and self.line is not None:
            # The channel has ended: it is said again on the next one.
            self._kept.append((self._seq, frame))
        return True

    def abandon(self):
        """The supervisor is gone, or user code closed the channel: there is nobody to work for."""
        if _getpid() == self.pid:
            _exit(1)

    # ---- another channel, where the session outlives its supervisor ----

    def _renew(self):
        """Fetches another channel, and says again what may not have arrived. With the lock held."""
        with self._send_lock:
            if _getpid() != self.pid or not self.open:
                return
            fresh = self.line.fetch(
                {
                    "t": "channel",
                    "request": self._last,
                    "seq": self._seq,
                    "kept": self._kept[0][0] if self._kept else None,
                    "waiting": sorted(self._asked)[:_WAITING],
                    "mark": self.mark,
                    "parent": self.parent,
                },
                self._socket.close,
            )
            if fresh is None:
                _exit(1)
            self._replace(fresh)
            # The start of a request whose rest will not come.
            del self._buffer[:]
            for fd in self._fds:
                _close(fd)
            self._fds = []
            self._round += 1
            for _seq, frame in self._kept:
                if not self._put(frame):
                    return  # ended again: whoever reads or writes next sees it
            self._prune(0)
        if self.on_request is not None:
            self.on_request()  # the event loop still watches the one before

    def _replace(self, fd):
        try:
            if self._socket.fileno() < 0:
                raise OSError  # it has been given up, and another may have its number
            _dup2(fd, self.fd, inheritable=False)
            _close(fd)
        except OSError:
            # Or the limit on descriptors was lowered below where the channel was.
            self._readable.unregister(self.fd)
            self._socket.close()
            self.fd, self._socket = fd, socket.socket(fileno=fd)
            self._readable.register(fd, select.POLLIN)

    def _prune(self, acknowledged):
        """Forgets what has arrived: up to a number, and small frames that no large one comes before."""
        kept = self._kept
        while kept and (kept[0][0] <= acknowledged or _len(kept[0][1]) <= LARGE + 4):
            del kept[0]

    # ---- receiving ----

    def request(self):
        """Waits for the next request. For the main thread, outside user code."""
        return self._wait(self._take_request)

    def is_quiet(self, milliseconds):
        """Whether nothing comes for so long. False where another thread reads, or somebody has gone."""
        if self._requests or self._reading:
            return False
        # One of its own: another thread may begin to read meanwhile, and two cannot use one at the same time.
        waiter = _poll()
        waiter.register(self.fd, select.POLLIN)
        return not waiter.poll(milliseconds)

    def request_now(self):
        """The next request if one is there, without waiting."""
        with self._lock:
            if not self._reading:
                while self._read_available():
                    pass
            return self._take_request()

    def expect(self, number, frame):
        """An answer to this prompt will be waited for. Before the prompt is sent."""
        self._asked[number] = frame

    def answer(self, number):
        """Waits for the answer to a prompt: {"value": …}. Raises KeyboardInterrupt where user code would see it."""

        def take():
            return self._answers.pop(number, None)

        try:
            return self._wait(take)
        except BaseException:
            self._answers.pop(number, None)
            self.send({"t": "input_closed", "input": number})
            raise
        finally:
            self._asked.pop(number, None)

    def was_interrupted(self, token):
        """Whether a frame came that interrupts this execution. A signal that is pending came after its frame."""
        with self._lock:
            if not self._reading:
                while self._read_available():
                    pass
            return token in self._interrupts

    def _take_request(self):
        return self._requests.pop(0) if self._requests else None

    def _wait(self, take):
        main = _get_ident() == self.guard.main
        while True:
            waiter = None
            with self._lock:
                item = take()
                if item is not None:
                    return item
                if not self.open:
                    return {"value": None}
                if self._reading:
                    waiter = _allocate_lock()
                    waiter.acquire()
                    self._waiters.append(waiter)
                else:
                    self._reading = True
            if waiter is not None:
                self._interruptible(main, waiter.acquire)
                continue
            try:
                self._interruptible(main, self._readable.poll)
            finally:
                with self._lock:
                    self._reading = False
                    self._read_available()
                    self._wake()

    def _interruptible(self, main, wait):
        guard = self.guard
        if main and guard.mode == stop.OFF:
            # Nothing of the worker's own is in the way of a handler.
            guard.waits = True
            try:
                if guard.noted:
                    guard.call_noted()
                wait()
            finally:
                guard.waits = False
            return
        if not main or guard.mode != stop.DEFER:
            wait()
            return
        guard.mode = stop.ON
        try:
            guard.raise_pending()
            wait()
        finally:
            guard.mode = stop.DEFER

    def _wake(self):
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.release()

    def _read_available(self):
        """Reads once without waiting and files the whole frames. With the lock held. False when nothing was there."""
        try:
            count, ancillary, _flags, _address = self._socket.recvmsg_into((self._room,), _FDS, _NOW)
            for _level, _kind, given in ancillary:
                self._fds += _array("i", given)
        except _Blocking:
            return False
        except OSError:
            count = 0
        if not count:
            if self.line is None:
                self.abandon()
            else:
                self._renew()
            return False
        buffer = self._buffer
        buffer += self._room[:count]
        start, end = 0, _len(buffer)
        while end - start >= 4:
            size = int.from_bytes(buffer[start : start + 4], "big")
            if end - start - 4 < size:
                break
            self._file(decode(buffer[start + 4 : start + 4 + size].decode(), 0)[0])
            start += 4 + size
        del buffer[:start]
        return True

    def _file(self, frame):
        op = frame["op"]
        if self.line is not None and "n" in frame:
            if frame["n"] <= self._last:
                # A supervisor that took over cannot know whether it was read.
                for fd in self._fds[: frame.get("fds", 0)]:
                    _close(fd)
                del self._fds[: frame.get("fds", 0)]
                return
            self._last = frame["n"]
        if op == "answer":
            if frame["input"] in self._asked:
                self._answers[frame["input"]] = {"value": frame["value"]}
        elif op == "interrupt":
            self._interrupts.add(frame["id"])
        elif op == "ack":
            with self._send_lock:
                self._prune(frame["seq"])
        else:
            self._interrupts.clear()
            if "fds" in frame:
                count = frame["fds"]
                frame["fds"], self._fds = self._fds[:count], self._fds[count:]
            self._requests.append(frame)
            if self.on_request is not None:
                self.on_request()

    def close_in_child(self):
        """In a process that user code forked: the channel is the parent's alone."""
        if self.open:
            self.open = False
            self._lock = _allocate_lock()
            self._send_lock = _allocate_lock()
            self._reading, self._greeting = False, None
            self._socket.close()
            if self.line is not None:
                self.line.close()
                self.line = None
