"""What a process that is undone keeps others from until it is gone: ports, names of sockets, locks of files.

The kernel takes its memory apart first, and that takes the longer the more it has; what is open goes after.
"""

import os

from . import system

_listdir, _readlink = os.listdir, os.readlink
_NO_FILES = ("/dev/", "/proc/")


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
    if len(sockets) > channels and not sockets <= _nameless(thread):
        return True
    files = [fd for fd, link in links if link.startswith("/") and (link.startswith("/dev/shm/") or not link.startswith(_NO_FILES))]
    return any(_is_locked(f"{thread}/fdinfo/{fd}") for fd in files)


def _is_locked(path):
    try:
        return b"lock:" in system.read(path)
    except FileNotFoundError:
        return False


def _nameless(thread):
    """Inodes of Unix sockets without a name: all others may have an address, also where no table of the kernel's lists it (TCP that is
    bound and does not listen)."""
    found = set()
    for line in system.read(f"{thread}/net/unix").decode(errors="replace").splitlines()[1:]:
        # Address, references, protocol, flags, type, state, inode, name.
        words = line.split()
        if len(words) == 7:
            found.add(words[6])
    return found
