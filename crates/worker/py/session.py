"""Session init: ancestor, subreaper, reaper and undertaker of all in one session. It runs no user code.

A session that branches shares its init with its branches: they are a family, each with a channel of its own. A member
ends with its channel: when the supervisor dies, the channels close, and nothing of the family stays behind. Unless it is to
linger: then it waits for another supervisor, for a time (`adoption`).
"""

import _signal as _native
import gc
import json
import os
import select
import socket
import time

from . import holdings, system
from .codec import encode

# The C module's own. In `signal` stands what tells a handler of user code's of its own children only (`children`): here
# that would be work for nothing at every signal, and pages that every session had to copy.
_signal, _set_wakeup_fd, _SIGCHLD = _native.signal, _native.set_wakeup_fd, _native.SIGCHLD

# Exit statuses remembered of children.
STATUSES = 1000
# Seconds to wait for what a rollback ended, whose memory may be large.
GONE_LIMIT = 1.0
# Seconds to wait for the end of a branch's processes.
BURY_LIMIT = 8.0
# How long what cleans up after others may take for that, when they are gone.
CLEAN_LIMIT = 2.0
# Milliseconds for which a worker that was rolled back is left as it is, so that those who hear of the return find a processor.
REST = 2
# Seconds that a branch may take until it joins: another session of the family must not take it for its own.
JOINING = 60.0
# Descriptors that come with one frame at most.
FDS = 64
# Seconds that a supervisor may take over a frame, where another one may take its place.
FRAME_LIMIT = 5.0


def _wake_up(_signum, _frame):
    """What is to be done is done by whoever waits at the pipe that the signal writes to."""


class Refused(Exception):
    """What was asked for is not done: why."""


class Member:
    """One session of the family."""

    def __init__(self, channel, worker, pid, number=0, keeper=None):
        self.socket = socket.socket(fileno=channel)  # None while there is no supervisor
        self.worker, self.pid = worker, pid  # the worker's number, which the supervisor chose; its process, while it lives
        self.number = number  # of the branch; 0 for the session that there was first
        self.keeper = keeper  # where it lingers
        self.staying = []  # pids of what the next sweep spares
        self.replacements = set()  # pids that the sweep before has spared, as what a woken process left in its place
        self.waits = []  # (number, pid): children whose end the session waits for

    def send(self, message, fds=()):
        if self.socket is None:
            return
        body = encode(message).encode()
        frame = len(body).to_bytes(4, "big") + body
        try:
            if self.keeper is not None:
                self.socket.settimeout(FRAME_LIMIT)
            if fds:
                frame = frame[socket.send_fds(self.socket, [frame], fds) :]
            if frame:
                self.socket.sendall(frame)
        except OSError:
            # The supervisor is gone, which the next read says; or it is as good as that.
            if self.keeper is not None:
                self.hang_up()

    def receive(self):
        """The next request and its descriptors; (None, []) at the end of the channel, or of its sense."""
        end = None if self.keeper is None else time.monotonic() + FRAME_LIMIT
        data, fds, _flags, _address = socket.recv_fds(self.socket, 4, FDS, socket.MSG_CMSG_CLOEXEC)
        request = None
        try:
            data += self._exactly(4 - len(data), end) if data else b""
            size = int.from_bytes(data, "big")
            if len(data) == 4 and not self.is_beyond(size):
                body = self._exactly(size, end)
                request = json.loads(body) if len(body) == size else None
        except (OSError, ValueError, RecursionError):
            pass
        if isinstance(request, dict):
            return request, list(fds)
        for fd in fds:
            os.close(fd)
        return None, []

    def _exactly(self, size, end):
        data = bytearray()
        while len(data) < size:
            if end is not None:
                self.socket.settimeout(max(end - time.monotonic(), 0.001))
            piece = self.socket.recv(min(size - len(data), 1 << 20))
            if not piece:
                break
            data += piece
        return bytes(data)

    def is_beyond(self, size):
        return self.keeper is not None and size > self.keeper.frame

    def hang_up(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other side has

    def close(self):
        if self.socket is not None:
            self.socket.close()
        if self.keeper is not None:
            self.keeper.close()

    def tell_spawned(self):
        """Who the worker is. Where it could not be forked its channel says why."""
        try:
            fds = [] if self.pid is None else [system.pidfd(self.pid)]
        except OSError:
            fds = []
        self.send({"t": "spawned", "worker": self.worker, "fds": len(fds)}, fds)
        for fd in fds:
            os.close(fd)

    def tell_exit(self, status):
        """How the worker ended; without a status it is not known."""
        how = {}
        if status is not None:
            how = {"signal": os.WTERMSIG(status)} if os.WIFSIGNALED(status) else {"code": os.WEXITSTATUS(status)}
        self.pid = None
        if self.keeper is not None:
            self.keeper.exit = how
        self.send({"t": "exit", "worker": self.worker, **how})

    def begins(self, worker, pid):
        """Another process is the worker."""
        self.worker, self.pid = worker, pid
        if self.keeper is not None:
            self.keeper.exit = None


class Init:
    def __init__(self, member, adoption):
        self.members = []
        self.statuses = {}  # how children ended
        self.undone = set()  # workers that were killed when they were rolled back, and are not gone yet
        self.adoption = adoption  # where a session of the family may linger
        self.wake, self.wake_end = os.pipe()
        os.set_blocking(self.wake_end, False)
        os.set_blocking(self.wake, False)
        _signal(_SIGCHLD, _wake_up)
        system.hear_of_ends_only()
        _set_wakeup_fd(self.wake_end, warn_on_full_buffer=False)
        self.poll = select.poll()
        self.poll.register(self.wake, select.POLLIN)
        if adoption is not None:
            adoption.attach(self, self.poll)
        self.join(member)

    def join(self, member):
        self.members.append(member)
        self.poll.register(member.socket, select.POLLIN)
        if member.keeper is not None:
            self.poll.register(member.keeper.listener, select.POLLIN)
        return member

    def fork(self, member, fds):
        """Forks another worker; in the child, returns its descriptors."""
        pid = fork(fds)
        if pid == 0:
            _set_wakeup_fd(-1)
            _signal(_SIGCHLD, _native.SIG_DFL)
            for one in self.members:
                one.close()
            os.close(self.wake)
            os.close(self.wake_end)
            return fds if self.adoption is None else [*fds, self.adoption.take_line()]
        member.pid = pid
        if pid and member.number:
            # Before it can lose a child, and before anything else is asked here.
            system.mark_branch(member.number, pid)
        member.tell_spawned()
        return None

    # ---- the ends of processes ----

    def reap(self):
        try:
            os.read(self.wake, 4096)
        except BlockingIOError:
            pass
        ended = system.reap(system.is_frozen)
        for pid, status in ended:
            member = next((one for one in self.members if one.pid == pid), None)
            if member is not None:
                member.tell_exit(status)
                continue
            self.undone.discard(pid)
            self.statuses.pop(pid, None)  # of another that had its number: this one is the newest
            self.statuses[pid] = status
            if len(self.statuses) > STATUSES:
                del self.statuses[next(iter(self.statuses))]
            for one in self.members:
                for number, awaited in list(one.waits):
                    if awaited == pid:
                        one.waits.remove((number, awaited))
                        one.send({"t": "status", "number": number, "status": str(status)})
        if ended:
            self.answer_waits()

    def answer_waits(self):
        """The worker that was rolled back may have heard of a child's end, and taken it, while it was being ended: then nobody else
        ever does. It has written down how that ended."""
        for one in self.members:
            for number, pid in list(one.waits):
                if not self.is_awaited(one, pid):
                    one.waits.remove((number, pid))
                    self.tell_status(one, number, pid)

    def belongings(self, member):
        """Pids of the children of this process that are a member's, its worker included."""
        return self.only(member, system.children(os.getpid()))

    def only(self, member, pids):
        """Those of the pids that are a member's. A branch may still be below its parent for a moment."""
        if len(self.members) == 1:
            return pids
        if member.number:
            return [pid for pid in pids if system.branch_of(pid) == member.number]
        # Also those that say they belong to a branch that there is not, unless that may be about to join.
        others = {one.number for one in self.members if one is not member}
        numbers = {pid: system.branch_of(pid) for pid in pids}
        return [
            pid for pid, number in numbers.items() if number not in others and not (number and system.is_fresh(pid, JOINING))
        ]

    def bury(self, member):
        """Kills all of a member, daemons included, until nothing is left. What the kernel does not end, because it waits
        for a disk, say, must not hold up the rest of a family: then its first session has it."""
        end = time.monotonic() + BURY_LIMIT
        cleans = time.monotonic() + CLEAN_LIMIT
        while len(self.members) == 1 or time.monotonic() < end:
            self.reap()
            left = self.only(member, system.descendants(self.belongings(member)))
            if not left:
                return
            # What only follows the others gets the time to clean up after them.
            others = [pid for pid in left if not system.is_tracker(pid)]
            if others:
                cleans = time.monotonic() + CLEAN_LIMIT
            system.kill(others if others or time.monotonic() < cleans else left)
            waiter = select.poll()
            waiter.register(self.wake, select.POLLIN)
            waiter.poll(20)

    def roll_back(self, member, request, fds):
        """A frozen process is the worker now: what is younger than it ends, the worker before it included."""
        given, spared = system.take_pids(fds), member.staying
        member.staying = []
        if not given or len(spared) + len(given) != 1 + request["keep"]:
            # Without room for a descriptor the kernel drops it, and what is spared could not be told from the rest. The supervisor
            # has stopped the worker, if it is one of ours that asks.
            if member.pid is not None and member.pid not in given and system.is_stopped(member.pid):
                system.kill([member.pid])
            raise Refused("not all processes that stay were told")
        old, new = member.pid, given[0]
        if old == new:
            old = None  # a supervisor that took over says it again
        keep = {*spared, *given} - {None}
        member.begins(request["worker"], new)
        born = None if new is None else system.born(new)
        # What the woken process leaves in its place is not known by its pid yet. Its name may be anybody's: so it counts
        # once, and by the next sweep it is among those that are told.
        replacements, member.replacements = member.replacements, set()
        names, seen, waited, quiet, is_over, is_told = [], set(), [], 0, old is None, False
        while True:
            # Who loses its parent meanwhile becomes a child of this process: so those below the old worker are listed
            # first, children of this process last. Where there is anybody but frozen processes, who only wait, nobody
            # new must be found twice in a row.
            found = []
            if old is not None:
                system.stop(old)
                found = system.descendants([old], keep)
            found += [pid for pid in system.descendants(self.belongings(member), keep) if pid not in found]
            is_alone = not seen and not set(found) - {old} - member.replacements - self.undone
            young = [] if is_alone else self.younger(member, found, born, {*seen, *keep, old}, replacements)
            if young:
                quiet = 0
                seen.update(young)
                named = [(pid, system.name(pid)) for pid in young]
                names += [
                    f"{name} (process {pid})" for pid, name in named if name not in (system.FROZEN, system.ANSWERS, "?")
                ]
                system.kill(young)
                continue
            quiet += 1
            if quiet < 2 and not is_alone:
                continue
            if is_over:
                break
            is_waited = holdings.has_any(old, 1 if self.adoption is None else 2)
            if is_alone and not is_waited and system.is_stopped(old):
                # Nobody is there who would make it go on. So nobody has to wait until its memory is taken apart, which takes
                # longest and does not give way: those who hear of the return want that processor.
                member.send({"t": "swept", "ended": []})
                is_told = True
                self.rest(REST)
                # What is younger by now may be what the new worker has started.
                system.kill(system.descendants([old], keep))
                self.end_worker(old, is_waited)
                break
            # Last. User code may have made it go on, and so it may have started others: after this it cannot.
            self.end_worker(old, is_waited)
            waited += [old] if is_waited else []
            is_over, quiet = True, 1
        if not is_told:
            # Until they are gone they hold what only one can have: a port, a lock. The new worker is woken meanwhile.
            waited += [pid for pid in seen if holdings.has_any(pid, 0)]
            system.await_ends(waited, GONE_LIMIT)
            member.send({"t": "swept", "ended": names[:20]})
        if new is None or new in self.statuses:
            # It is gone already.
            member.tell_exit(self.statuses.pop(new, None))

    def rest(self, limit):
        """Until somebody asks for something, for so many milliseconds at most."""
        waiter = select.poll()
        for one in self.members:
            if one.socket is not None:
                waiter.register(one.socket, select.POLLIN)
        waiter.poll(limit)

    def younger(self, member, found, born, known, replacements):
        """Those of a member's processes that were made after the one that is the worker now."""
        young = []
        for pid in self.only(member, found):
            if pid in known or pid in member.replacements or pid in self.undone:
                continue
            if pid not in replacements and system.is_frozen(pid):
                member.replacements.add(pid)
            elif born is None or not (system.is_older(pid, born) or system.is_tracker(pid)):
                young.append(pid)
        return young

    def end_worker(self, pid, is_waited):
        """Ends a worker that was rolled back. `is_waited`: it has what others may wait for."""
        # The woken process may wait for it, too, and has killed it then.
        if not is_waited and not system.is_ending(pid):
            system.make_idle(pid)
        system.kill([pid])
        self.undone.add(pid)

    def status(self, member, request):
        """How a child ended that a worker had before it was rolled back."""
        number, pid = request["number"], request["pid"]
        if not self.is_awaited(member, pid):
            self.tell_status(member, number, pid)
        elif request["nohang"]:
            member.send({"t": "status", "number": number, "status": "running"})
        else:
            member.waits.append((number, pid))

    def is_awaited(self, member, pid):
        """Whether a child that a worker had before it was rolled back is there, and so will end."""
        is_there = pid in system.children(os.getpid()) or system.is_below(pid, os.getpid())
        born = None if member.pid is None else system.born(member.pid)
        # One that is younger than the worker has only got the number: whoever is asked about is from before.
        return is_there and (born is None or system.is_older(pid, born))

    def tell_status(self, member, number, pid):
        # It stays known: the line that asks may be undone before it has heard.
        member.send({"t": "status", "number": number, "status": str(self.statuses.get(pid, "unknown"))})

    # ---- requests ----

    def run(self):
        """Serves until the session ends. Returns the descriptors of a worker in a forked child only."""
        while True:
            # A worker may have ended before the handler of SIGCHLD was there.
            self.reap()
            ready = {fd for fd, _ in self.poll.poll(None if self.adoption is None else self.adoption.patience())}
            self.reap()
            for member in list(self.members):
                if member.socket is not None and member.socket.fileno() in ready:
                    fds = self.serve(member)
                    if fds is not None:
                        return fds
            if self.adoption is not None:
                self.adoption.step(ready)

    def serve(self, member):
        """Does one thing that the supervisor asks for. Returns the descriptors of a worker in a forked child only."""
        try:
            request, fds = member.receive()
        except OSError:
            request, fds = None, []
        op = None if request is None else request.get("op")
        try:
            if request is None and member.keeper is not None:
                self.adoption.orphan(member)
            elif request is None or op == "end":
                self.end(member, request is not None)
            elif op == "spawn":
                self.bury(member)
                member.begins(request["worker"], None)
                given, fds = fds, []
                return self.fork(member, given)
            elif op == "rolled":
                self.roll_back(member, request, fds)
            elif op == "resume":
                system.resume_frozen()
            elif op == "staying":
                member.staying += system.take_pids(fds)
            elif op == "wait":
                self.status(member, request)
            elif op == "member":
                self.take_in(request, fds)
            elif member.keeper is not None and op == "keep":
                member.keeper.keep(request["name"], fds)
            elif member.keeper is not None and op == "release":
                member.keeper.release(request["names"])
            elif member.keeper is not None and op == "note":
                member.keeper.write_down(request["text"])
            else:
                raise Refused("this session init does not know it")
        except (Refused, LookupError, TypeError, ValueError, AttributeError) as error:
            why = str(error) if isinstance(error, Refused) else f"the request is not understood: {error!r}"
            member.send({"t": "refused", "op": str(op)[:80], "why": why})
        finally:
            for fd in fds:
                os.close(fd)
        return None

    def end(self, member, is_asked):
        self.bury(member)
        is_last = len(self.members) == 1
        if is_asked:
            member.send({"t": "ended", "last": is_last})
        if is_last:
            os._exit(0)
        self.members.remove(member)
        if member.socket is not None:
            self.poll.unregister(member.socket)
        if member.keeper is not None:
            for one in (member.keeper.listener, *(stranger.socket for stranger in member.keeper.strangers)):
                self.poll.unregister(one)
        member.close()

    def take_in(self, request, fds):
        """A branch joins the family."""
        worker, number, linger = request["worker"], request["number"], request.get("linger")
        if linger is not None and self.adoption is None:
            raise Refused("this family does not outlive its supervisor")
        if len(fds) != (2 if linger is None else 3):
            raise Refused("it takes a channel and a process, and a listening socket where it is to linger")
        if any(one.number == number for one in self.members):
            raise Refused("another branch of the family has this number")
        keeper = None if linger is None else self.adoption.keeper(fds.pop(), linger)
        pidfd, channel = fds.pop(), fds.pop()
        (pid,) = system.take_pids([pidfd])
        one = self.join(Member(channel, worker, pid, number, keeper))
        one.send({"t": "up"})
        if pid is None or pid in self.statuses:
            one.tell_exit(self.statuses.pop(pid, None))


def fork(fds):
    """Forks a worker. In the parent its descriptors are closed; if the system refuses, its channel says so."""
    try:
        pid = os.fork()
    except OSError as error:
        body = encode({"seq": 1, "t": "refused", "why": f"fork: {error.strerror}"}).encode()
        os.write(fds[0], len(body).to_bytes(4, "big") + body)
        pid = None
    if pid != 0:
        for fd in fds:
            os.close(fd)
    return pid


def main(request, fds, adoption=None):
    """Session init's life, as the request asks for. `adoption`: where the session is to linger. Returns in a forked worker,
    with its four descriptors, and the line to session init where it is to linger."""
    gc.disable()
    os.setsid()
    system.become_subreaper()
    # The worker first: whoever waits for the session waits for it.
    channel, fds, listener = fds[0], fds[1:5], fds[5:]
    pid = fork(fds)
    if pid == 0:
        for fd in (channel, *listener):
            os.close(fd)
        return fds if adoption is None else [*fds, adoption.take_line()]
    keeper = None if adoption is None else adoption.keeper(*listener, request["linger"])
    member = Member(channel, request["worker"], pid, keeper=keeper)
    # Before all else: until it is told who the worker is, the session is not ready.
    member.tell_spawned()
    return Init(member, adoption).run()
