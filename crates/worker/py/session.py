"""Session init: ancestor, subreaper, reaper and undertaker of all in one session. It runs no user code.

A session that branches shares its init with its branches: they are a family, each with a channel of its own. A member
ends with its channel: when the supervisor dies, the channels close, and nothing of the family stays behind.
"""

import gc
import json
import os
import select
import signal
import socket

from . import system

# Exit statuses remembered of children that nobody has asked for yet.
STATUSES = 1000
# Seconds to wait for what a rollback ended, whose memory may be large.
GONE_LIMIT = 1.0


class Member:
    """One session of the family."""

    def __init__(self, channel, worker, number=0):
        self.socket = socket.socket(fileno=channel)
        self.worker = worker
        self.number = number  # of the branch; 0 for the session that there was first
        self.waits = []  # (number, pid): children whose end the session waits for

    def send(self, message):
        body = json.dumps(message).encode()
        try:
            self.socket.sendall(len(body).to_bytes(4, "big") + body)
        except OSError:
            # The supervisor is gone: the next read says so, and ends the session.
            pass

    def receive(self):
        data, fds, _flags, _address = socket.recv_fds(self.socket, 4, 8, socket.MSG_CMSG_CLOEXEC)
        while data and len(data) < 4:
            data += self.socket.recv(4 - len(data))
        if not data:
            return None, []
        body = self.socket.recv(int.from_bytes(data, "big"), socket.MSG_WAITALL)
        return json.loads(body), list(fds)

    def tell_exit(self, status):
        exit = {"t": "exit", "pid": self.worker}
        self.worker = None
        if os.WIFSIGNALED(status):
            self.send({**exit, "signal": os.WTERMSIG(status)})
        else:
            self.send({**exit, "code": os.WEXITSTATUS(status)})


class Init:
    def __init__(self, channel, worker):
        self.members = []
        self.statuses = {}  # how children ended that nobody has asked for yet
        self.wake, self.wake_end = os.pipe()
        os.set_blocking(self.wake_end, False)
        os.set_blocking(self.wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self.wake_end, warn_on_full_buffer=False)
        self.poll = select.poll()
        self.poll.register(self.wake, select.POLLIN)
        self.join(Member(channel, worker)).send({"t": "up"})

    def join(self, member):
        self.members.append(member)
        self.poll.register(member.socket, select.POLLIN)
        return member

    def fork(self, member, fds):
        """Forks another worker; in the child, returns True."""
        member.worker = fork(fds)
        if member.worker == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for one in self.members:
                one.socket.close()
            os.close(self.wake)
            os.close(self.wake_end)
            return True
        if member.worker and member.number:
            # Before it can lose a child, and before anything else is asked here.
            system.mark_branch(member.number, member.worker)
        return False

    # ---- the ends of processes ----

    def reap(self):
        try:
            os.read(self.wake, 4096)
        except BlockingIOError:
            pass
        for pid, status in system.reap():
            member = next((one for one in self.members if one.worker == pid), None)
            if member is not None:
                member.tell_exit(status)
                continue
            self.statuses[pid] = status
            if len(self.statuses) > STATUSES:
                del self.statuses[next(iter(self.statuses))]
            for one in self.members:
                for number, awaited in list(one.waits):
                    if awaited == pid:
                        one.waits.remove((number, awaited))
                        one.send({"t": "status", "number": number, "status": str(self.statuses.pop(pid, status))})

    def belongings(self, member):
        """Pids of the children of this process that are a member's, its worker included."""
        return self.only(member, system.children(os.getpid()))

    def only(self, member, pids):
        """Those of the pids that are a member's. A branch may still be below its parent for a moment."""
        if len(self.members) == 1:
            return pids
        if member.number:
            return [pid for pid in pids if system.branch_of(pid) == member.number]
        # Also those that say they belong to a branch that there is not.
        others = {one.number for one in self.members if one is not member}
        return [pid for pid in pids if system.branch_of(pid) not in others]

    def bury(self, member):
        """Kills all of a member, daemons included, until nothing is left."""
        while True:
            self.reap()
            left = self.only(member, system.descendants(self.belongings(member)))
            if not left:
                return
            system.kill(left)
            waiter = select.poll()
            waiter.register(self.wake, select.POLLIN)
            waiter.poll(20)

    def roll_back(self, member, request):
        """A frozen process is the worker now: what is younger than it ends, the worker before it included."""
        old, new = member.worker, request["worker"]
        keep = {new, *request["keep"]}
        member.worker = new
        born = system.born(new)
        names, seen, quiet = [], set(), 0
        while quiet < 2:
            # Who loses its parent meanwhile becomes a child of this process: so those below the old worker are listed
            # first, children of this process last. Where there is anybody but frozen processes, who only wait, nobody
            # new must be found twice in a row.
            found = []
            if old is not None:
                system.kill([old])
                found = system.descendants([old], keep)
            found += [pid for pid in system.descendants(self.belongings(member), keep) if pid not in found]
            if not seen and not set(found) - {old}:
                break
            young = []
            for pid in self.only(member, found):
                if pid in seen or pid in keep or pid == old:
                    continue
                if born is None or not system.is_older(pid, born):
                    young.append(pid)
            if not young:
                quiet += 1
                continue
            quiet = 0
            seen.update(young)
            named = [(pid, system.name(pid)) for pid in young]
            names += [f"{name} (process {pid})" for pid, name in named if name not in (system.FROZEN, "?")]
            system.kill(young)
        # Until they are gone they hold what they have open: a port, a lock, the place of a writer who waits for room.
        # What takes longest is to take their memory apart; the new worker is woken meanwhile.
        system.await_ends([pid for pid in (old, *seen) if pid is not None], GONE_LIMIT)
        member.send({"t": "swept", "ended": names[:20]})
        if new in self.statuses:
            member.tell_exit(self.statuses.pop(new))

    def status(self, member, request):
        """How a child ended that a worker had before it was rolled back."""
        number, pid = request["number"], request["pid"]
        if pid in self.statuses:
            answer = str(self.statuses.pop(pid))
        elif pid not in system.children(os.getpid()) and not system.is_below(pid, os.getpid()):
            answer = "unknown"
        elif request["nohang"]:
            answer = "running"
        else:
            member.waits.append((number, pid))
            return
        member.send({"t": "status", "number": number, "status": answer})

    # ---- requests ----

    def run(self):
        """Serves until the session ends. Returns the descriptors of a worker in a forked child only."""
        while True:
            # A worker may have ended before the handler of SIGCHLD was there.
            self.reap()
            ready = {fd for fd, _ in self.poll.poll()}
            self.reap()
            for member in list(self.members):
                if member.socket.fileno() in ready:
                    fds = self.serve(member)
                    if fds is not None:
                        return fds

    def serve(self, member):
        try:
            request, fds = member.receive()
        except OSError:
            request, fds = None, []
        op = "end" if request is None else request["op"]
        if op == "end":
            self.bury(member)
            if request is not None:
                member.send({"t": "ended"})
            if len(self.members) == 1:
                os._exit(0)
            self.members.remove(member)
            self.poll.unregister(member.socket)
            member.socket.close()
        elif op == "spawn":
            self.bury(member)
            if self.fork(member, fds):
                return fds
        elif op == "rolled":
            self.roll_back(member, request)
        elif op == "wait":
            self.status(member, request)
        elif op == "member":
            pid = request["worker"]
            one = self.join(Member(fds[0], pid, request["number"]))
            one.send({"t": "up"})
            if pid in self.statuses:
                one.tell_exit(self.statuses.pop(pid))
        return None


def fork(fds):
    """Forks a worker. In the parent its descriptors are closed; if the system refuses, its channel says so."""
    try:
        pid = os.fork()
    except OSError as error:
        body = json.dumps({"seq": 1, "t": "refused", "why": f"fork: {error.strerror}"}).encode()
        os.write(fds[0], len(body).to_bytes(4, "big") + body)
        pid = None
    if pid != 0:
        for fd in fds:
            os.close(fd)
    return pid


def main(fds):
    """Session init's life. Returns in a forked worker, with its four descriptors."""
    gc.disable()
    os.setsid()
    system.become_subreaper()
    # The worker first: whoever waits for the session waits for it.
    channel, *fds = fds
    worker = fork(fds)
    if worker == 0:
        os.close(channel)
        return fds
    return Init(channel, worker).run()
