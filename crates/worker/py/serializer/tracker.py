"""Which pages of large memory were written since the checkpoint before: told by the kernel, without reading them.

Large anonymous mappings are registered with a userfaultfd in the mode in which the kernel resolves write-protection
faults by itself (`UFFD_FEATURE_WP_ASYNC`, Linux 6.7): the page tables remember what was written, whoever forks
meanwhile. `PAGEMAP_SCAN` asks for that and protects again in one step (Documentation/admin-guide/mm/pagemap.rst). A
mapping that is not the one that was registered, moved memory say, is not known here and counts as written.

    register   before the freeze: what is large and was not watched
    asks       the native helper, while all threads are parked, just before the fork (`native/src/helper/writes.rs`)
    take       in the live process, and in the saver, which the fork has given the same answer

Where the kernel or its policy refuses, nothing is known, and everything is sent: the store finds by hashes what it has.
"""

import array
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
_API, _REGISTER, _UNREGISTER, _WRITEPROTECT = 0xC018AA3F, 0xC020AA00, 0x8010AA01, 0xC018AA06
_WP_ASYNC, _WP_UNPOPULATED = 1 << 15, 1 << 13
_MODE_WP, _PROTECT = 2, 1
# Pieces that are told at most, each three numbers: where they are more, the last of them go to the end of their mapping.
_PIECES = 1 << 16
_HIGH = 900
_LEFT_ALONE = 8
_libc = ctypes.PyDLL(None, use_errno=True)
_getpid, _close, _urandom, _array = os.getpid, os.close, os.urandom, array.array


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
        self.fd, self.pid, self.count, self.life = -1, 0, 0, None
        self.known = set()  # (start, end) of the mappings that are registered
        self.busy = {}  # those that are written over and over, and how many marks they are left alone for
        self.generation = self.before = None  # names of the moments between which `written` was collected
        # Mappings that were watched from the one to the other, and what was written in them: (start, end), in rising
        # order. Memory that is in none was not watched: the first page of a large array, say, is often in a mapping of
        # its own.
        self.watched, self.written = [], []
        self.asked = self.room = None  # between `register` and `take`: what is asked for; and room for the answers
        self.refused = False

    def register(self):
        """In the live process, before it is frozen for a checkpoint. Others may run: what they write to what is registered here counts as
        written, the next time."""
        self.asked = None
        if self.refused or _NUMBER is None:
            return
        try:
            if self.pid != _getpid():
                self._begin()
            large = large_mappings()
        except OSError:
            self.stop()
            return
        known, busy = self.known, self.busy
        self.known, self.busy, asked = set(), {}, []
        for one in large:
            if one in known:
                asked.append(one)
            elif busy.get(one, 0) > 1:
                self.busy[one] = busy[one] - 1
            elif self._register(*one):
                self.known.add(one)
        self.asked = _array("Q", [number for start, end in asked for number in (start, end, 0)])
        if self.room is None and asked:
            self.room = (ctypes.c_uint64 * (3 * _PIECES))()

    def ask(self, request):
        """What the native helper is to ask for."""
        if self.asked:
            address, count = self.asked.buffer_info()
            request.watched = address, count // 3
            request.written = ctypes.addressof(self.room), _PIECES

    def take(self, request, is_live):
        """What it was told. `is_live`: this process goes on, and is asked again."""
        asked, self.asked = self.asked, None
        self.before, self.generation, self.watched, self.written = None, None, [], []
        if asked is None:
            return
        numbers = self.room[: 3 * request.written_count] if asked else []
        written = iter([*zip(numbers[::3], numbers[1::3])])
        following = next(written, None)
        for at in range(0, len(asked), 3):
            start, end, is_told = asked[at : at + 3]
            found = []
            # Each has those that follow, in rising order; what was not told of has none.
            while is_told and following is not None and start <= following[0] < end:
                found.append(following)
                following = next(written, None)
            if not is_told:
                continue
            self.watched.append((start, end))
            self.written += found
            if 2 * sum(after - first for first, after in found) <= end - start:
                self.known.add((start, end))
            elif is_live:
                # To be told so again is not worth a fault for each of its pages.
                self._leave(start, end)
        self.before = f"{self.life}.{self.count}" if self.count else None
        self.count += 1
        self.generation = f"{self.life}.{self.count}"

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
        # What was known before, in this process or in another of the same pid, is to have no name that comes again.
        self.fd, self.pid, self.count, self.life = fd, _getpid(), 0, _urandom(8).hex()
        _ioctl(fd, _API, bytearray(struct.pack("=3Q", 0xAA, _WP_ASYNC | _WP_UNPOPULATED, 0)))

    def _register(self, start, end):
        """False where it is not there any more, or cannot be."""
        try:
            _ioctl(self.fd, _REGISTER, bytearray(struct.pack("=4Q", start, end - start, _MODE_WP, 0)))
            _ioctl(self.fd, _WRITEPROTECT, bytearray(struct.pack("=3Q", start, end - start, _PROTECT)))
        except OSError:
            return False
        return True

    def _leave(self, start, end):
        try:
            _ioctl(self.fd, _UNREGISTER, bytearray(struct.pack("=2Q", start, end - start)))
        except OSError:
            pass  # it is not there any more
        self.busy[start, end] = _LEFT_ALONE

    def forget(self):
        """Gives up what is known; in a process that was woken, or where it fails."""
        if self.fd >= 0:
            try:
                _close(self.fd)
            except OSError:
                pass  # user code closed it
        self.fd, self.pid, self.known, self.busy, self.asked = -1, 0, set(), {}, None

    def stop(self):
        self.forget()
        self.refused = True

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
