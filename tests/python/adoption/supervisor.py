"""A supervisor in a few lines: it speaks the private protocol to a real zygote, and can die without a word."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import signal
import socket
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
WORKER = ROOT / "crates" / "worker" / "py"
LIMIT = 60.0
"""Seconds after which an event that did not come is a failure."""
CREDENTIALS = struct.Struct("iII")
MODE = {"argv": [""], "path0": "", "file": None, "real_stdin": False, "figures": False, "underscore": False}

Message = dict[str, Any]


def handoff() -> bytes:
    """What `pyrepl3_worker::handoff` sends: the loader, then the modules."""
    sources = {}
    for file in sorted(WORKER.rglob("*.py")):
        parts = file.relative_to(WORKER).with_suffix("").parts
        if parts not in (("bootstrap",), ("loader",)):
            name = ".".join(["_pyrepl3", *(part for part in parts if part != "__init__")])
            sources[name] = file.read_text()
    parts = ((WORKER / "loader.py").read_bytes(), json.dumps(sources).encode())
    return b"".join(b"%010d" % len(part) + part for part in parts)


def helper() -> Path:
    """The native helper: what `cargo xtask test` says, or what was built last."""
    if "PYREPL3_HELPER" in os.environ:
        return Path(os.environ["PYREPL3_HELPER"])
    built = (ROOT / "target").glob("*/build/pyrepl3-native-*/out/helper.so")
    return max(built, key=lambda path: path.stat().st_mtime)


WAKE = struct.Struct("<IHHIII12x")
"""Frames of frozen processes: magic, version, kind, flags, index, member. See `crates/native/src/wake.rs`."""
MAGIC, VERSION = int.from_bytes(b"PYR3", "little"), 1
FROZEN, WAKE_UP, BRANCH, LEAVE, KEEP = 1, 1, 2, 5, 1


class Channel:
    """Frames with descriptors. Those that a frame announces in `fds` are in its `descriptors`."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        self.socket.settimeout(LIMIT)
        self.buffer = b""
        self.fds: list[int] = []
        self.pid = 0

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        body = json.dumps(message).encode()
        frame = len(body).to_bytes(4, "big") + body
        sent = socket.send_fds(self.socket, [frame], fds) if fds else 0
        if sent < len(frame):
            self.socket.sendall(frame[sent:])

    def read(self, most: int = 65536) -> bool:
        """Reads once. False at the end."""
        space = socket.CMSG_SPACE(64 * 4) + socket.CMSG_SPACE(CREDENTIALS.size)
        try:
            data, ancillary, _flags, _address = self.socket.recvmsg(most, space, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            return False
        for _level, kind, given in ancillary:
            if kind == socket.SCM_RIGHTS:
                self.fds += [fd for (fd,) in struct.iter_unpack("i", given)]
            elif kind == socket.SCM_CREDENTIALS:
                self.pid = CREDENTIALS.unpack(given)[0]
        self.buffer += data
        return bool(data)

    def whole(self) -> Message | None:
        """A frame that has come."""
        size = int.from_bytes(self.buffer[:4], "big")
        if len(self.buffer) < 4 or len(self.buffer) < 4 + size:
            return None
        message: Message = json.loads(self.buffer[4 : 4 + size])
        self.buffer = self.buffer[4 + size :]
        count = message.get("fds", 0)
        message["descriptors"], self.fds = self.fds[:count], self.fds[count:]
        return message

    def receive(self) -> Message | None:
        """The next frame; None at the end of the channel."""
        while (message := self.whole()) is None:
            if not self.read():
                return None
        return message

    def peek(self) -> int:
        """Waits for a frame, and leaves it there: its size with its head. 0 at the end."""
        head = b""
        while len(head) < 4:
            head = self.socket.recv(4, socket.MSG_PEEK)
            if not head:
                return 0
        return 4 + int.from_bytes(head, "big")

    def expect(self, kind: str) -> Message:
        """The next frame of this kind; others before it are passed over."""
        while (message := self.receive()) is not None:
            if message["t"] == kind:
                return message
        raise AssertionError(f"the channel ended before {kind!r}")

    def ask_frozen(self, kind: int, fds: Sequence[int] = (), *, flags: int = 0, index: int = 0, member: int = 0) -> None:
        """Asks a frozen process for something."""
        socket.send_fds(self.socket, [WAKE.pack(MAGIC, VERSION, kind, flags, index, member)], fds)

    def expect_frozen(self) -> None:
        """The only word of a frozen process."""
        while len(self.buffer) < WAKE.size:
            assert self.read(WAKE.size - len(self.buffer)), "the channel ended before a process was frozen"
        assert WAKE.unpack(self.buffer[: WAKE.size]) == (MAGIC, VERSION, FROZEN, 0, 0, 0)
        self.buffer = self.buffer[WAKE.size :]

    def close(self) -> None:
        self.socket.close()
        for fd in self.fds:
            os.close(fd)
        self.fds = []


def pair() -> tuple[Channel, socket.socket]:
    """A channel, and the end to hand over."""
    mine, theirs = socket.socketpair()
    mine.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    return Channel(mine), theirs


class Zygote:
    """A real one, of the sources in this tree."""

    def __init__(self, python: str, place: Path) -> None:
        self.place = place
        self.numbers = itertools.count(1)
        self.channel, theirs = pair()
        bootstrap = (WORKER / "bootstrap.py").read_bytes().ljust(4096, b"\n")
        self.channel.socket.sendall(bootstrap)
        program = "import os; exec(os.read(0, 4096))"
        self.process = subprocess.Popen([python, "-c", program], stdin=theirs.fileno(), start_new_session=True)
        theirs.close()
        self.channel.socket.sendall(handoff())
        image = os.open(helper(), os.O_RDONLY)
        self.channel.send({"op": "environment", "preload": [], "cwd": str(place), "no_helper": None}, (image,))
        os.close(image)
        self.channel.expect("ready")
        self.supervisors: list[Supervisor] = []

    def session(self, grace: float | None = 60.0, keep: bool = True, setup: bool = True) -> Supervisor:
        """Starts a session, and waits for nothing."""
        one = Supervisor(self, self.place / f"session-{next(self.numbers)}.sock")
        one.start(grace, keep, setup)
        return one

    def close(self) -> None:
        for one in self.supervisors:
            one.end()
        self.channel.close()
        self.process.wait()


class Supervisor:
    """Of one session. What it knows when it dies is in `done`, `asked` and `note`, as a journal would have it."""

    def __init__(self, zygote: Zygote, path: Path) -> None:
        self.zygote, self.path = zygote, path
        self.init: Channel | None = None
        self.control: Channel | None = None
        self.pipes: dict[str, int] = {}
        self.frozen: dict[int, tuple[Channel, int]] = {}
        self.worker, self.process = 1, -1
        self.done, self.asked, self.epoch = 0, 0, 0
        self.adopted: Message = {}
        self.claims: list[Message] = []
        self.before: tuple[Channel, int | None] | None = None
        zygote.supervisors.append(self)

    # ---- a session begins ----

    def listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        listener.listen(16)
        return listener

    def worker_fds(self) -> list[int]:
        """Makes a channel and pipes; the far ends."""
        self.control, theirs = pair()
        ends = [theirs.detach()]
        for name in ("stdout", "stderr"):
            self.pipes[name], far = os.pipe()
            ends.append(far)
        return [*ends, os.open(os.devnull, os.O_RDONLY)]

    def start(self, grace: float | None, keep: bool, setup: bool) -> None:
        self.init, theirs = pair()
        fds = [theirs.detach(), *self.worker_fds()]
        request: Message = {"op": "session", "cell": {"kind": "none"}, "worker": self.worker}
        if grace is not None:
            request["linger"] = {"grace": grace, "epoch": self.epoch}
            fds.append(self.listen().detach())
        if keep and grace is not None:
            self.keep()
        if setup:
            self.ask("setup", env={}, rlimits={}, mode=MODE)
        self.zygote.channel.send(request, tuple(fds))
        for fd in fds:
            os.close(fd)

    def keep(self) -> None:
        """Has session init hold the ends that would be lost with this process."""
        assert self.init is not None and self.control is not None
        for name, fd in (("control", self.control.fileno()), *self.pipes.items()):
            self.init.send({"op": "keep", "name": name}, (fd,))

    def ready(self) -> Supervisor:
        """Until the worker is."""
        assert self.init is not None
        (self.process,) = self.init.expect("spawned")["descriptors"]
        self.heard("hello")
        return self

    # ---- the worker ----

    def ask(self, op: str, fds: tuple[int, ...] = (), **fields: Any) -> int:
        """A request; its number."""
        assert self.control is not None
        self.asked += 1
        if fds:
            fields["fds"] = len(fds)
        self.control.send({"op": op, "n": self.asked, **fields}, fds)
        return self.asked

    def execute(self, code: str, fds: tuple[int, ...] = (), **fields: Any) -> int:
        count = self.asked + 1
        return self.ask("execute", fds, id=count, count=count, file=f"<{count}>", code=code, **fields)

    def heard(self, kind: str) -> Message:
        """The worker's next frame, which is of this kind, and in its order."""
        assert self.control is not None
        while True:
            message = self.control.receive()
            assert message is not None, "the control channel ended"
            if message["seq"] <= self.done:
                continue
            assert message["seq"] == self.done + 1, message
            self.done += 1
            assert message["t"] == kind, message
            return message

    def value(self, code: str) -> Any:
        """What an expression is."""
        self.execute(code)
        return self.heard("result").get("value")

    def read(self, count: int, name: str = "stdout") -> bytes:
        data = b""
        while len(data) < count:
            piece = os.read(self.pipes[name], count - len(data))
            assert piece, "the pipe ended"
            data += piece
        return data

    # ---- snapshots ----

    def freeze(self, mark: int) -> None:
        channel, theirs = pair()
        self.ask("freeze", (theirs.fileno(),), id=1000 + mark, mark=mark)
        theirs.close()
        self.heard("reply")
        channel.expect_frozen()
        self.frozen[mark] = channel, os.pidfd_open(channel.pid)

    def wake(self, mark: int, keep: bool = False) -> None:
        """The first half of a rollback: the worker is killed, the frozen process woken."""
        self.kill()
        channel, pidfd = self.frozen.pop(mark)
        self.control, theirs = pair()
        assert self.init is not None
        self.init.send({"op": "keep", "name": "control"}, (self.control.fileno(),))
        fds = [theirs.detach()]
        if keep:
            spare, end = pair()
            fds.append(end.detach())
            self.frozen[mark] = spare, -1
        channel.ask_frozen(WAKE_UP, fds, flags=KEEP if keep else 0)
        for fd in fds:
            os.close(fd)
        channel.close()
        self.process, self.done, self.asked = pidfd, 0, 0
        if keep:
            spare.expect_frozen()
            self.frozen[mark] = spare, os.pidfd_open(spare.pid)

    def rolled(self) -> None:
        """The second half."""
        assert self.init is not None
        self.worker += 1
        stays = [pidfd for _channel, pidfd in self.frozen.values()]
        self.init.send({"op": "rolled", "worker": self.worker, "keep": len(stays)}, (self.process, *stays))

    def kill(self) -> None:
        if self.process < 0:
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.process, signal.SIGKILL)
        os.close(self.process)

    # ---- the end of a supervisor, and the next one ----

    def die(self) -> None:
        """Without a word: whatever it has is closed."""
        before = self.before[0] if self.before else None
        for one in (self.init, self.control, before, *(channel for channel, _pidfd in self.frozen.values())):
            if one is not None:
                one.close()
        for fd in (*self.pipes.values(), self.process, *(pidfd for _channel, pidfd in self.frozen.values())):
            if fd >= 0:
                os.close(fd)
        self.init = self.control = None
        self.pipes, self.frozen, self.process = {}, {}, -1

    def connect(self) -> Channel:
        channel = Channel(socket.socket(socket.AF_UNIX))
        channel.socket.connect(str(self.path))
        return channel

    def take_over(self, epoch: int | None = None) -> Supervisor:
        """Another supervisor, which knows what this one knew."""
        other = Supervisor(self.zygote, self.path)
        other.worker, other.done, other.asked = self.worker, self.done, self.asked
        other.epoch = self.epoch + 1 if epoch is None else epoch
        other.init = self.connect()
        other.init.send({"op": "adopt", "epoch": other.epoch})
        other.adopted = other.init.expect("adopted")
        other.worker = other.adopted["worker"]
        left = len(other.adopted["held"]) + len(other.adopted["frozen"]) + other.adopted["channels"]
        while left:
            message = other.init.receive()
            assert message is not None
            left -= message["t"] != "spawned"
            other.note(message)
        return other

    def note(self, message: Message) -> None:
        """What session init says on its own account."""
        kind, fds = message["t"], message["descriptors"]
        if kind == "spawned":
            self.process = fds[0] if fds else -1
        elif kind == "held":
            name = message["name"]
            if name == "control":
                self.control = Channel(socket.socket(fileno=fds[0]))
            elif name in ("stdout", "stderr"):
                self.pipes[name] = fds[0]
            elif name == "control_before":
                self.before = Channel(socket.socket(fileno=fds[0])), message.get("kept")
            else:
                os.close(fds[0])
        elif kind == "frozen":
            channel = Channel(socket.socket(fileno=fds[0]))
            channel.expect_frozen()
            self.frozen[message["mark"]] = channel, fds[1]
        elif kind == "channel":
            self.claims.append(message)

    def marks(self, marks: set[int]) -> None:
        """Until the frozen processes of these marks have asked for this supervisor."""
        assert self.init is not None
        while set(self.frozen) != marks:
            message = self.init.receive()
            assert message is not None
            self.note(message)

    def claim(self) -> Message:
        """The next worker, or process that may be one, that has fetched a channel."""
        assert self.init is not None
        while not self.claims:
            message = self.init.receive()
            assert message is not None
            self.note(message)
        return self.claims.pop(0)

    def take(self, claim: Message) -> Supervisor:
        """From now on this is the worker's channel."""
        channel, pidfd = claim["descriptors"]
        self.control = Channel(socket.socket(fileno=channel))
        if self.process >= 0:
            os.close(self.process)
        self.process = pidfd
        return self

    def renew(self) -> list[Message]:
        """Half-closes the old channel, takes the worker's last words from it, and its next channel. The frames that were
        not known; those that come again come on the new channel."""
        assert self.control is not None and self.init is not None
        words: list[Message] = []
        if self.before is not None:
            # The supervisor before had got as far as this, and may not have read it.
            old, kept = self.before
            while old.read(1 << 20):
                pass
            words += self.last_words(old, kept)
            self.init.send({"op": "release", "names": ["control_before"]})
            old.close()
            self.before = None
        old, ended = self.control, False
        with contextlib.suppress(OSError):
            old.socket.shutdown(socket.SHUT_WR)
        while not ended or not self.claims:
            # What has been read with the frame before does not make a descriptor readable.
            message = self.init.whole()
            if message is not None:
                self.note(message)
                continue
            waited = [self.init] if ended else [self.init, old]
            ready = select.select(waited, [], [], LIMIT)[0]
            assert ready, "the worker did not fetch another channel"
            if old in ready:
                ended = not old.read(1 << 20)
            if self.init in ready:
                assert self.init.read(), "session init is gone"
        claim = self.claims.pop(0)
        words += self.last_words(old, claim.get("kept"))
        old.close()
        self.take(claim)
        self.asked = claim["request"]
        self.said = claim
        self.init.send({"op": "release", "names": ["control_before"]})
        return words

    def last_words(self, old: Channel, kept: int | None) -> list[Message]:
        """The frames on an old channel that are not known, and do not come again."""
        words: list[Message] = []
        if kept is None or self.done < kept - 1:
            # It begins with a whole frame: all large ones before were read and acknowledged.
            while (message := old.whole()) is not None:
                if self.done < message["seq"] and (kept is None or message["seq"] < kept):
                    words.append(message)
        self.done += len(words)
        return words

    def end(self) -> None:
        """Ends the session, if it has not ended."""
        if self.init is not None:
            with contextlib.suppress(OSError):
                self.init.send({"op": "end"})
                while self.init.read():
                    pass
        self.die()
