"""What a process that was killed keeps others from until it is gone: ports, names of sockets, locks of files.

The kernel takes its memory apart first, and that takes the longer the more it has; what is open goes after.
"""

import os

from . import system

_listdir, _readlink = os.listdir, os.readlink
_TABLES = ("tcp", "tcp6", "udp", "udp6", "unix")


def has_any(pid, channels):
    """Whether a process has what others may wait for. `channels`: how many sockets a worker has for itself. In doubt it has."""
    try:
        # Its threads share what is open, and the first of them may have let go of it before the others.
        return any(_has_any(f"/proc/{pid}/task/{thread}", channels) for thread in _listdir(f"/proc/{pid}/task"))
    except (FileNotFoundError, ProcessLookupError):
        return False  # it is gone
    except OSError:
        return True


def _has_any(thread, channels):
    links = []
    for fd in _listdir(f"{thread}/fd"):
        try:
            links.append((fd, _readlink(f"{thread}/fd/{fd}")))
        except FileNotFoundError:
            pass  # it is closed already
    sockets = {link[8:-1] for _fd, link in links if link.startswith("socket:[")}
    if len(sockets) > channels and any(_is_named(thread, table, sockets) for table in _TABLES):
        return True
    files = [fd for fd, link in links if link.startswith("/") and not link.startswith(("/dev/", "/proc/"))]
    return any(_is_locked(f"{thread}/fdinfo/{fd}") for fd in files)


def _is_locked(path):
    try:
        return b"lock:" in system.read(path)
    except FileNotFoundError:
        return False


def _is_named(thread, table, inodes):
    """Whether one of these sockets is in a table of those that have an address."""
    try:
        lines = system.read(f"{thread}/net/{table}").decode(errors="replace").splitlines()[1:]
    except FileNotFoundError:
        return False
    for line in lines:
        words = line.split()
        # unix: address, references, protocol, flags, type, state, inode, name. The others have the inode in the tenth place.
        found = words[6] if table == "unix" and len(words) > 7 else words[9] if table != "unix" and len(words) > 9 else None
        if found in inodes:
            return True
    return False
