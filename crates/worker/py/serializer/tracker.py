"""Which pages of large memory were written since the checkpoint before: told by the kernel, without reading them.

Large anonymous mappings are registered with a userfaultfd in the mode in which the kernel resolves write-protection
faults by itself (`UFFD_FEATURE_WP_ASYNC`, Linux 6.7): the page tables remember what was written, whoever forks
meanwhile. `PAGEMAP_SCAN` asks for that and protects again in one step (Documentation/admin-guide/mm/pagemap.rst). A
mapping that is not the one that was registered, moved memory say, is not known here and counts as written.

Where the kernel or its policy refuses, nothing is known, and everything is sent: the store finds by hashes what it has.
"""

import ctypes
import fcntl
import os
import struct

# Mappings and buffers below this are not worth the faults that the first write to each page costs.
LARGE = 4 << 20
# What is sent again around a page that was written: a chunk of the store.
GRAIN = 64 << 10

_NUMBER = {"x86_64": 323, "aarch64": 282, "riscv64": 282}.get(os.uname().machine)
_USER_MODE_ONLY = 1
_API, _REGISTER, _UNREGISTER, _WRITEPROTECT, _SCAN = 0xC018AA3F, 0xC020AA00, 0x8010AA01, 0xC018AA06, 0xC0606610
_WP_ASYNC, _WP_UNPOPULATED = 1 << 15, 1 << 13
_MODE_WP, _PROTECT = 2, 1
_WP_MATCHING, _CHECK_WPASYNC, _WRITTEN = 1, 2, 2
_ARGUMENT = struct.Struct("=12Q")
_REGIONS = 4096
_HIGH = 900
_LEFT_ALONE = 8
_libc = ctypes.PyDLL(None, use_errno=True)
_getpid, _open, _close, _read = os.getpid, os.open, os.close, os.read
_O = os.O_RDONLY | os.O_CLOEXEC


def _ioctl(fd, request, packed):
    """The result and the structure as the kernel left it; raises OSError."""
    buffer = (ctypes.c_char * len(packed)).from_buffer(packed)
    result = _libc.ioctl(ctypes.c_int(fd), ctypes.c_ulong(request), buffer)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


class Tracker:
    def __init__(self):
        self.fd, self.pid, self.count = -1, 0, 0
        self.known = set()  # (start, end) of the mappings that are registered
        self.busy = {}  # those that are written over and over, and how many marks they are left alone for
        self.generation = self.before = None  # names of the moments between which `written` was collected
        # Mappings that were watched from the one to the other, and what was written in them: (start, end), in rising
        # order. Memory that is in none was not watched: the first page of a large array, say, is often in a mapping of
        # its own.
        self.watched, self.written = [], []
        self.refused = False

    def mark(self):
        """In the live process, just before the fork for a checkpoint, with nobody else running: what was written since
        the mark before, and a new mark."""
        self.before, self.generation, self.watched, self.written = None, None, [], []
        if self.refused or _NUMBER is None:
            return
        try:
            if self.pid != _getpid():
                self._begin()
            before, known, busy = self._name(), self.known, self.busy
            self.known, self.busy, watched, written = set(), {}, [], []
            for one in large_mappings():
                start, end = one
                found = self._collect(start, end) if one in known else None
                if found is None:
                    if busy.get(one, 0) > 1:
                        self.busy[one] = busy[one] - 1
                        continue
                    self._register(start, end)
                else:
                    watched.append(one)
                    written += found
                    if 2 * sum(after - first for first, after in found) > end - start:
                        # To be told so again is not worth a fault for each of its pages.
                        _ioctl(self.fd, _UNREGISTER, bytearray(struct.pack("=2Q", start, end - start)))
                        self.busy[one] = _LEFT_ALONE
                        continue
                self.known.add(one)
            self.count += 1
            self.before, self.generation, self.watched, self.written = before, self._name(), watched, written
        except OSError:
            self.stop()

    def _name(self):
        return f"{self.pid}.{self.count}" if self.count else None

    def _begin(self):
        # What a woken process has is the userfaultfd of another process.
        self.forget()
        fd = _libc.syscall(_NUMBER, ctypes.c_int(os.O_CLOEXEC | os.O_NONBLOCK | _USER_MODE_ONLY))
        if fd < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        # Descriptors that user code opens begin at 3, as in any program.
        try:
            high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH)
        except OSError:
            pass  # the limit is lower: it stays where it is
        else:
            _close(fd)
            fd = high
        self.fd, self.pid, self.count = fd, _getpid(), 0
        _ioctl(fd, _API, bytearray(struct.pack("=3Q", 0xAA, _WP_ASYNC | _WP_UNPOPULATED, 0)))

    def _register(self, start, end):
        _ioctl(self.fd, _REGISTER, bytearray(struct.pack("=4Q", start, end - start, _MODE_WP, 0)))
        _ioctl(self.fd, _WRITEPROTECT, bytearray(struct.pack("=3Q", start, end - start, _PROTECT)))

    def _collect(self, start, end):
        """What was written in a mapping, which is protected again. None where it is not all registered."""
        pagemap = _open("/proc/self/pagemap", _O)
        found = []
        try:
            regions = bytearray(24 * _REGIONS)
            vector = (ctypes.c_char * len(regions)).from_buffer(regions)
            at = start
            while at < end:
                argument = bytearray(
                    _ARGUMENT.pack(
                        _ARGUMENT.size, _WP_MATCHING | _CHECK_WPASYNC, at, end, 0, ctypes.addressof(vector), _REGIONS,
                        0, 0, _WRITTEN, 0, _WRITTEN,
                    )
                )  # fmt: skip
                try:
                    count = _ioctl(pagemap, _SCAN, argument)
                except PermissionError:
                    return None
                for number in range(count):
                    first, last, _categories = struct.unpack_from("=3Q", regions, 24 * number)
                    found.append((first, last))
                at = _ARGUMENT.unpack(argument)[4]
                if count < _REGIONS:
                    break
        finally:
            _close(pagemap)
        return found

    def forget(self):
        """Gives up what is known; in a process that was woken, or where it fails."""
        if self.fd >= 0:
            try:
                _close(self.fd)
            except OSError:
                pass  # user code closed it
        self.fd, self.pid, self.known, self.busy = -1, 0, set(), {}

    def stop(self):
        self.forget()
        self.refused = True
        self.before = self.generation = None

    # ---- in the saver ----

    def changed(self, start, size):
        """What of a piece of memory has to be written again: (offset, length) of whole grains, in rising order."""
        found, last = [], -1
        end = start + size
        for first, after in sorted(self.written + self._unwatched(start, end)):
            if after <= start or first >= end:
                continue
            low = (max(first, start) - start) // GRAIN
            high = (min(after, end) - start - 1) // GRAIN
            low = max(low, last + 1)
            if low <= high:
                if found and found[-1][1] == low - 1:
                    found[-1][1] = high
                else:
                    found.append([low, high])
                last = high
        return [(low * GRAIN, min((high + 1) * GRAIN, size) - low * GRAIN) for low, high in found]

    def _unwatched(self, start, end):
        """What of a range is in no mapping that was watched."""
        gaps, at = [], start
        for first, after in self.watched:
            if first > at:
                gaps.append((at, min(first, end)))
            at = max(at, after)
            if at >= end:
                break
        if at < end:
            gaps.append((at, end))
        return [(low, high) for low, high in gaps if low < high and low < end]


def large_mappings():
    """(start, end) of this process's private anonymous writable mappings that are large."""
    found = []
    with open("/proc/self/maps", "rb") as file:
        for line in file:
            parts = line.split(None, 5)
            # Without a name; what has one is a stack, a heap of small things, or a file.
            if len(parts) == 5 and parts[1] == b"rw-p":
                start, _dash, end = parts[0].partition(b"-")
                start, end = int(start, 16), int(end, 16)
                if end - start >= LARGE:
                    found.append((start, end))
    return found


def address(view):
    """Where the memory of a contiguous buffer is."""
    size = view.nbytes
    if not size:
        return 0
    request = (ctypes.c_char * 128)()  # a Py_buffer, whose first member is the address
    python = ctypes.pythonapi
    if python.PyObject_GetBuffer(ctypes.py_object(view), request, 0) != 0:
        return 0
    try:
        return ctypes.c_void_p.from_buffer(request).value or 0
    finally:
        python.PyBuffer_Release(request)
