"""Memory that is shared with other processes, or with a file: a fork does not copy it, so a rollback does not undo it.

What has no file behind it (shared memory, semaphores) is copied before the fork, within a limit, and put back.
"""

import ctypes
import mmap
import os
import struct

# Bytes copied at most for one snapshot.
LIMIT = 16 << 20

# PROCMAP_QUERY, Linux 6.11: finds mappings by their flags without printing every one.
_QUERY = struct.Struct("=9Q4I2Q")
_PROCMAP_QUERY = (3 << 30) | (_QUERY.size << 16) | (ord("f") << 8) | 17
_WRITABLE, _SHARED, _NEXT = 2, 8, 16
_NAME = ctypes.create_string_buffer(4096)
_ENOENT, _ESRCH = 2, 3
_asked = bytearray(_QUERY.size)
_asked_at = (ctypes.c_char * _QUERY.size).from_buffer(_asked)
_libc = ctypes.PyDLL(None, use_errno=True)
_libc.ioctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)

_open, _close, _O = os.open, os.close, os.O_RDONLY | os.O_CLOEXEC
_string_at, _memmove = ctypes.string_at, ctypes.memmove
_mmap = ctypes.CDLL(None).mmap
_mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_mmap.restype = ctypes.c_void_p
_READ_WRITE = mmap.PROT_READ | mmap.PROT_WRITE
_SHARED_ANONYMOUS_FIXED = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | 0x10


def shared_mappings():
    """Writable shared mappings of this process: a list of (start, end, name)."""
    try:
        fd = _open("/proc/self/maps", _O)
    except OSError:
        return []
    try:
        return _query(fd)
    except OSError:
        return _scan(fd)
    finally:
        _close(fd)


def _query(fd):
    found, address = [], 0
    while True:
        _QUERY.pack_into(
            _asked, 0, _QUERY.size, _WRITABLE | _SHARED | _NEXT, address, 0, 0, 0, 0, 0, 0,
            0, 0, ctypes.sizeof(_NAME), 0, ctypes.addressof(_NAME), 0,
        )  # fmt: skip
        if _libc.ioctl(fd, _PROCMAP_QUERY, _asked_at) != 0:
            # An exception for the usual end would cost more than the question.
            number = ctypes.get_errno()
            if number in (_ENOENT, _ESRCH):
                return found
            raise OSError(number, os.strerror(number))
        answer = _QUERY.unpack(_asked)
        start, end, size = answer[3], answer[4], answer[11]
        name = _NAME.raw[: max(0, size - 1)].decode(errors="replace")
        found.append((start, end, name))
        address = end


def _scan(fd):
    found = []
    with open(fd, "rb", closefd=False) as file:
        data = file.read()
    if b"w-s " not in data and b"wxs " not in data:
        return found
    for line in data.split(b"\n"):
        parts = line.split(None, 5)
        if len(parts) >= 5 and parts[1][1:2] == b"w" and parts[1][3:4] == b"s":
            start, end = (int(number, 16) for number in parts[0].split(b"-"))
            found.append((start, end, parts[5].decode(errors="replace") if len(parts) > 5 else ""))
    return found


def _has_no_file(name):
    return name == "" or name.startswith(("/dev/shm/", "/memfd:", "/dev/zero", "/SYSV", "[anon_shmem"))


class Shared:
    """The shared memory of the session at one moment."""

    def __init__(self):
        self.copies, self.named = [], []
        left = LIMIT
        for start, end, name in shared_mappings():
            size = end - start
            if _has_no_file(name) and size <= left:
                left -= size
                self.copies.append((start, end, name, _string_at(start, size)))
            else:
                self.named.append(name or "anonymous memory")

    def warnings(self):
        return [f"{name} is mapped and shared: changes to it are not undone" for name in sorted(set(self.named))]

    def restore(self, branched):
        """Puts the copies back, where the same mapping is still there. A branch gets memory of its own, where nobody
        could find the old one by a name. Returns what is shared, in words."""
        lost = [f"{name} is shared: it is not undone" for name in sorted(set(self.named))]
        if self.copies:
            now = {(start, end, name) for start, end, name in shared_mappings()}
            for start, end, name, data in self.copies:
                if (start, end, name) not in now:
                    continue
                if branched and not (_is_nameless(name) and _map_anew(start, end)):
                    what = name or "anonymous memory"
                    lost.append(f"{what} is shared with the session that this one was branched from")
                else:
                    _memmove(start, data, len(data))
        return lost


def _is_nameless(name):
    return name == "" or name.endswith(" (deleted)") or name.startswith(("/dev/zero", "[anon_shmem"))


def _map_anew(start, end):
    """Puts new shared memory in the place of a mapping: True if it is there."""
    return _mmap(start, end - start, _READ_WRITE, _SHARED_ANONYMOUS_FIXED, -1, 0) == start
