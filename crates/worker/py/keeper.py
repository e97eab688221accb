"""What session init keeps of a session that is to outlive its supervisor, and how it hands that to the next one.

    while there is a supervisor   it says `keep`, `release`, `note`: descriptors and a text, held for whoever comes next
    when it is gone               the grace runs; what comes over the line (a worker's or a frozen process's fresh
                                  channel) is held, and how the worker ended is remembered
    when another one comes        it connects to the listening socket and says `adopt` with an epoch above the known one

What comes over the line may come from user code, and who connects may be anybody of this user: all of it is bounded.
"""

import array
import json
import os
import socket
import struct
import time

from .session import Refused

# The text of a note, in bytes; descriptors that are held by name; what came over the line and waits; a name's length.
NOTE, HELD, WAITING, NAME = 1 << 20, 256, 1024, 64
# Who has connected and said nothing yet: how many, for how long (seconds), and how much they may say.
STRANGERS, PATIENCE, WORD = 8, 5.0, 4096
# The largest frame of a supervisor: a note, all of it escaped.
FRAME = 8 << 20
# The worker's own channel is held under the first name; the one before it, which may hold its last words, under the other.
CONTROL, BEFORE = "control", "control_before"
_CREDENTIALS = struct.Struct("iII")
_MESSAGE = 64 << 10


def now():
    """Seconds that go on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def make_line():
    """The line to session init: its own end, and the one that workers have."""
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    mine.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    mine.setblocking(False)
    return mine, theirs


def read_line(line):
    """What a process says on the line: (message, descriptors, pid), or None."""
    space = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(4 * array.array("i").itemsize)
    try:
        data, ancillary, _flags, _address = line.recvmsg(_MESSAGE, space, socket.MSG_CMSG_CLOEXEC)
    except OSError:
        return None
    fds, pid = array.array("i"), 0
    for _level, kind, given in ancillary:
        if kind == socket.SCM_RIGHTS:
            fds.frombytes(given[: len(given) - len(given) % fds.itemsize])
        elif kind == socket.SCM_CREDENTIALS:
            pid = _CREDENTIALS.unpack(given[: _CREDENTIALS.size])[0]
    try:
        message = json.loads(data)
        if not isinstance(message, dict):
            message = {}
    except (ValueError, RecursionError):
        message = {}
    return message, list(fds), pid


def close(fds):
    for fd in fds:
        os.close(fd)


class Stranger:
    """Somebody who has connected and has not said yet what for."""

    def __init__(self, connection):
        self.socket, self.deadline, self.said = connection, now() + PATIENCE, bytearray()
        self.request = None  # once it is whole

    def word(self):
        """What it asks for, once that is whole; None until then. Raises `Refused` or OSError where it is of no use."""
        try:
            data = self.socket.recv(4 + WORD - len(self.said))
        except BlockingIOError:
            return None
        if not data:
            raise OSError("it has gone")
        self.said += data
        size = int.from_bytes(self.said[:4], "big") if len(self.said) >= 4 else 0
        if size > WORD:
            raise Refused("the first frame is too large")
        if len(self.said) < 4 + size or len(self.said) < 4:
            return None
        if len(self.said) > 4 + size:
            raise Refused("something comes before it is asked for")
        try:
            request = json.loads(self.said[4:])
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict) or request.get("op") != "adopt":
            raise Refused("only `adopt` is understood here")
        return request

    def refuse(self, why):
        body = json.dumps({"t": "refused", "op": "adopt", "why": why}).encode()
        try:
            self.socket.send(len(body).to_bytes(4, "big") + body)
        except OSError:
            pass  # it does not want to know


class Keeper:
    """For one session of the family."""

    frame = FRAME

    def __init__(self, listener, grace, epoch=0):
        self.listener = socket.socket(fileno=listener)
        self.listener.setblocking(False)
        self.grace, self.epoch = float(grace), int(epoch)
        self.deadline = None  # the end of the grace, while there is no supervisor
        self.note = ""
        self.held = {}  # name -> descriptor
        self.kept = None  # the first frame that came again after what is held as `control_before`
        self.waiting = {}  # what came over the line and has been handed to nobody: key -> (event, descriptors)
        self.exit = None  # how the worker ended, as the event says it
        self.strangers = []

    # ---- for the supervisor that there is ----

    def keep(self, name, fds):
        if type(name) is not str or len(name) > NAME or len(fds) != 1:
            raise Refused("it takes a name and a descriptor")
        if name not in self.held and len(self.held) >= HELD:
            raise Refused(f"{HELD} descriptors are held already")
        self.release([name])
        self.held[name] = fds.pop()

    def release(self, names):
        close(self.held.pop(name) for name in names if name in self.held)

    def write_down(self, text):
        if type(text) is not str or len(text.encode("utf-8", "surrogatepass")) > NOTE:
            raise Refused(f"a note is a text of {NOTE} bytes at most")
        self.note = text

    # ---- what comes over the line ----

    def fresh_channel(self, key, event, fds):
        """A process of the session has fetched a channel: its other end, and a descriptor of the process."""
        if event["t"] == "channel" and event["worker"] is not None:
            # The next supervisor reads the last words on the one before.
            if CONTROL in self.held:
                self.release([BEFORE])
                self.held[BEFORE] = self.held.pop(CONTROL)
                self.kept = event.get("kept")
            self.held[CONTROL] = os.dup(fds[0])
        close(self.waiting.pop(key, (None, ()))[1])
        if len(self.waiting) >= WAITING:
            close(fds)
        else:
            self.waiting[key] = (event, fds)

    # ---- who connects ----

    def accept(self):
        """Takes in who has connected, if it is of this user. Returns it, and who has to go for it."""
        try:
            connection, _address = self.listener.accept()
        except BlockingIOError:
            return None, None
        except OSError:
            # There is no room for it: it waits, and this must not spin.
            time.sleep(0.01)
            return None, None
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        connection.setblocking(False)
        stranger = Stranger(connection)
        if _CREDENTIALS.unpack(credentials)[1] != os.geteuid():
            stranger.refuse("it is of another user")
            connection.close()
            return None, None
        self.strangers.append(stranger)
        # Those that say nothing must not keep out the one that does.
        if len(self.strangers) <= STRANGERS:
            return stranger, None
        return stranger, next((one for one in self.strangers if one.request is None), None)

    def check(self, request):
        epoch = request.get("epoch")
        if type(epoch) is not int or not self.epoch < epoch < 1 << 64:
            raise Refused(f"the epoch is {epoch!r}, and {self.epoch} is known here: another supervisor came later")
        self.epoch, self.deadline = epoch, None

    def hand_over(self, send):
        """What is held, one by one, by a function that sends a message with descriptors."""
        for name, fd in list(self.held.items()):
            said = {"t": "held", "name": name, "fds": 1}
            if name == BEFORE and self.kept is not None:
                said["kept"] = self.kept
            send(said, [fd])

    def inventory(self, worker):
        """The first words to a supervisor that takes over; the descriptors follow in this order."""
        said = {"t": "adopted", "worker": worker, "epoch": self.epoch, "note": self.note, "held": list(self.held)}
        said["frozen"] = [event["mark"] for event, _fds in self.waiting.values() if event["t"] == "frozen"]
        said["channels"] = len(self.waiting) - len(said["frozen"])
        if self.exit is not None:
            said["exit"] = self.exit
        return said

    # ---- the end ----

    def close(self):
        """Also in a forked worker, which is to have nothing of this."""
        self.listener.close()
        for stranger in self.strangers:
            stranger.socket.close()
        self.release(list(self.held))
        for _event, fds in self.waiting.values():
            close(fds)
        self.waiting = {}
