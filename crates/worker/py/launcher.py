"""The launcher stands between a process that serves forks and a session's init: it says who is forked, in which order.

    none     zygote --fork--> session init --fork--> worker

A cell will put a process in between, because the child of the process that unshares a pid namespace is pid 1 there, not
that process itself:

    cell     zygote --fork--> keeper of the cell, unshares --fork--> session init, pid 1 --fork--> worker

The keeper stays: it is the child that the zygote knows and does not sweep, it waits for session init and ends with it, and
who kills it kills session init, by a death signal or a pipe. Session init needs nothing else for it: it names workers by
numbers, gets processes as pidfds and reads their pids in its own /proc, which the cell has to mount.
"""

import os

from . import session


class Refused(Exception):
    """The session cannot be launched as it was asked for: why."""


def launch(request, fds, leave):
    """Forks a session. In the process that serves forks: the pid of the child that stands for it, and None. In the
    session's worker: 0, and the worker's descriptors. `leave` is called in each child: it is none that serves forks."""
    kind = request["cell"]["kind"]
    if kind != "none":
        # Never without what was asked for.
        raise Refused(f"isolation {kind!r} is not known to this process")
    lingers = request.get("linger") is not None
    if lingers:
        # Here, and not before: it is loaded once for all sessions, and not at all where none lingers.
        from .adoption import Adoption
    pid = os.fork()
    if pid:
        return pid, None
    leave()
    return 0, session.main(request, fds, Adoption() if lingers else None)
