"""How a session that lingers goes from one supervisor to the next: session init's part (docs/design/adoption.md).

Loaded only where a session is to linger. `keeper` is what is held of one session, this is what happens.
"""

import os
import resource
import select

from . import line as _line  # noqa: F401 (workers need it: loaded once for all of them)
from . import system
from .keeper import Keeper, Refused, close, make_line, now, read_line

# Milliseconds after which a grace is looked at again: a poll does not count the time that the machine sleeps.
LOOK = 30_000
# Messages on the line that are read at a time; the supervisor's requests come in between.
ROUND = 64
# What a process says of prompts that wait.
_PROMPTS = 1000
# Descriptors that session init may have, where the system lets it: it holds two for each frozen process that waits.
_OPEN = 8192


_NOFILE = resource.RLIMIT_NOFILE


class Adoption:
    def __init__(self):
        self.line, self.line_end = make_line()  # ours, and the end that every worker has
        self.init = self.poll = None
        self.limit = resource.getrlimit(_NOFILE)  # a worker's is as it was

    def keeper(self, listener, linger):
        return Keeper(listener, linger["grace"], linger.get("epoch", 0))

    def attach(self, init, poll):
        self.init, self.poll = init, poll
        poll.register(self.line, select.POLLIN)
        soft, hard = self.limit
        if 0 <= soft < _OPEN:
            resource.setrlimit(_NOFILE, (_OPEN if hard < 0 else min(hard, _OPEN), hard))

    def take_line(self):
        """In a forked worker: its end of the line, a descriptor. Ours is closed."""
        if self.init is not None:
            resource.setrlimit(_NOFILE, self.limit)
        self.line.close()
        return self.line_end.detach()

    # ---- the end of a supervisor ----

    def orphan(self, member):
        """The supervisor is gone: the grace begins."""
        self.poll.unregister(member.socket)
        member.socket.close()
        member.socket, member.staying = None, []
        member.keeper.deadline = now() + member.keeper.grace

    def patience(self):
        """Milliseconds until something is to be looked at, if nothing comes; None for ever."""
        ends = []
        for member in self.init.members:
            if member.keeper is not None:
                ends += [member.keeper.deadline, *(stranger.deadline for stranger in member.keeper.strangers)]
        ends = [end for end in ends if end is not None]
        return min(max(min(ends) - now(), 0) * 1000 + 1, LOOK) if ends else None

    def step(self, ready):
        """Looks at everything but the supervisors that there are."""
        if self.line.fileno() in ready:
            for _ in range(ROUND):
                if not self.hear_line():
                    break
        for member in list(self.init.members):
            keeper = member.keeper
            if keeper is None:
                continue
            if keeper.listener.fileno() in ready:
                self.accept(member)
            for stranger in list(keeper.strangers):
                if stranger.request is None and stranger.socket.fileno() in ready:
                    self.hear(keeper, stranger)
                if stranger.request is not None:
                    # What the supervisor before said before this one came counts.
                    if member.socket is None or stranger.deadline <= now() or not is_readable(member.socket):
                        self.adopt(member, stranger)
                elif stranger.deadline <= now():
                    self.drop(keeper, stranger)
            if keeper.deadline is not None and keeper.deadline <= now():
                self.init.end(member, False)

    # ---- fresh channels ----

    def hear_line(self):
        """A process of the session has fetched a channel. False where nothing is there."""
        said = read_line(self.line)
        if said is None:
            return False
        message, fds, pid = said
        try:
            member, branch = self.whose(pid, message.get("parent"))
            if member is None or member.keeper is None or len(fds) != 1:
                return True
            key, event = describe(message, member.worker if member.pid == pid else None, branch, pid)
            fds.append(system.pidfd(pid))
            member.keeper.fresh_channel(key, event, fds)
            fds = []
            if member.socket is not None:
                self.hand_out(member)
        except (OSError, LookupError, TypeError, ValueError):
            pass  # it is nobody's, or gone: its channel closes
        finally:
            close(fds)
        return True

    def whose(self, pid, parent):
        """The member that a process belongs to: whose worker it is, or by the mark that branches have. A branch that has
        not joined yet is its parent's, and its number is told. No member: it is none of this family's."""
        for member in self.init.members:
            if member.pid == pid:
                return member, None
        if not system.is_below(pid, os.getpid()):
            return None, None
        numbers = {member.number: member for member in self.init.members}
        number = system.branch_of(pid)
        if parent is not None and number not in numbers:
            return numbers.get(parent), number
        # User code may have changed the mark: then it is what is no branch's.
        return numbers.get(number) or numbers.get(0) or self.init.members[0], None

    def hand_out(self, member):
        """To the supervisor; when it is gone, they are fetched again."""
        waiting, member.keeper.waiting = member.keeper.waiting, {}
        for event, fds in waiting.values():
            member.send(event, fds)
            close(fds)

    # ---- another supervisor ----

    def accept(self, member):
        stranger, crowded_out = member.keeper.accept()
        if stranger is not None:
            self.poll.register(stranger.socket, select.POLLIN)
        if crowded_out is not None:
            self.drop(member.keeper, crowded_out)

    def drop(self, keeper, stranger):
        if stranger in keeper.strangers:
            keeper.strangers.remove(stranger)
            self.poll.unregister(stranger.socket)
            stranger.socket.close()

    def hear(self, keeper, stranger):
        try:
            stranger.request = stranger.word()
        except Refused as refused:
            stranger.refuse(str(refused))
            self.drop(keeper, stranger)
        except OSError:
            self.drop(keeper, stranger)

    def adopt(self, member, stranger):
        """The one who has connected is the supervisor from now on, unless another one came later."""
        keeper = member.keeper
        try:
            keeper.check(stranger.request)
        except Refused as refused:
            stranger.refuse(str(refused))
            self.drop(keeper, stranger)
            return
        keeper.strangers.remove(stranger)
        if member.socket is not None:
            # It has been replaced: whatever it still says is not heard any more.
            self.poll.unregister(member.socket)
            member.socket.close()
        member.socket = stranger.socket
        member.send(keeper.inventory(member.worker))
        if member.pid is not None:
            member.tell_spawned()
        keeper.hand_over(member.send)
        self.hand_out(member)


def is_readable(channel):
    waiter = select.poll()
    waiter.register(channel, select.POLLIN)
    return bool(waiter.poll(0))


def describe(message, worker, branch, pid):
    """What is told of a fresh channel, and under which key it waits. Raises where it is not understood."""
    if message["t"] == "frozen":
        mark = number(message["mark"])
        return ("frozen", mark), {"t": "frozen", "mark": mark, "fds": 2}
    if message["t"] != "channel":
        raise ValueError("it is not known")
    event = {"t": "channel", "worker": worker, "fds": 2}
    event["request"], event["seq"] = number(message["request"]), number(message["seq"])
    event["waiting"] = [number(one) for one in message["waiting"][:_PROMPTS]]
    for name in ("kept", "mark"):
        if message[name] is not None:
            event[name] = number(message[name])
    if branch is not None:
        event["branch"] = branch
    return ("channel", pid), event


def number(value):
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError("it is no number")
    return value
