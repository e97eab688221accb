"""Event loops in a process that was woken: what they share with the other process is made anew."""

import gc
import os
import sys

_objects, _dup2 = gc.get_objects, os.dup2


def mend(session, inventory):
    """`session`: the session's own loop, or None. Returns descriptors that belong to loops.

    The pair of sockets by which a loop wakes itself is shared with the other process, so each gets a new one; the
    threads of its executor are gone.
    """
    socket, events = sys.modules.get("socket"), sys.modules.get("asyncio.base_events")
    if socket is None or events is None:
        return ()
    loops = [session.loop] if session is not None else []
    if len(inventory.epolls) > len(loops):
        # There is no list of loops: they are looked for where there are more selectors than the session's.
        loops += [one for one in _objects() if issubclass(type(one), events.BaseEventLoop) and one not in loops]
    own = set()
    for loop in loops:
        ends = (getattr(loop, "_ssock", None), getattr(loop, "_csock", None))
        if None in ends or loop.is_closed():
            continue
        for new, place in zip(socket.socketpair(), ends):
            new.setblocking(False)
            _dup2(new.fileno(), place.fileno(), inheritable=False)
            new.close()
            own.add(place.fileno())
        loop._default_executor = None
    return own
