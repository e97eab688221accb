"""How the parts of a checkpoint travel: frames as on every channel, with raw bytes behind those that announce some.

    saver  --> engine   hello; stream, data…, end; buffer; progress; body
    worker <-- engine   body; then, for each blob that the worker asks for, its bytes, or where to map them from

Blobs are numbered in the order in which they were begun. A `Sink` may write to a file as well, and a `FileSource` reads
it back: that is how named values leave a failed execution.
"""

import array
import ctypes
import errno
import mmap
import os
import socket
import struct

from ..codec import decode, encode
from .situation import clean
from .tracker import LARGE, address
from .words import Lost

_CMSG, _SPACE = socket.MSG_CMSG_CLOEXEC, socket.CMSG_SPACE
_write, _close, _fstat = os.write, os.close, os.fstat
_READ_WRITE = mmap.PROT_READ | mmap.PROT_WRITE
_PRIVATE, _FIXED = mmap.MAP_PRIVATE, 0x10
_PRIVATE_ANONYMOUS = _PRIVATE | mmap.MAP_ANONYMOUS
_libc = ctypes.CDLL(None, use_errno=True)
_map = _libc.mmap
_map.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_longlong]
_map.restype = ctypes.c_void_p
_vmsplice = _libc.vmsplice
_vmsplice.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint]
_vmsplice.restype = ctypes.c_ssize_t
# Buffers below this are read: a mapping costs more.
_WORTH_MAPPING = 1 << 20
# Whether the kernel has huge pages to ask for.
_HUGE = os.path.exists("/sys/kernel/mm/transparent_hugepage")
# Descriptors of packs that come with one answer.
_PACKS = 64
# Raw bytes of one frame of a stream. Pickle hands over pieces of 64 KiB, and large ones whole.
_PIECE = 16 << 20
# Pieces of a buffer that are written anew; beyond that it is written whole.
_PATCHES = 2000
# Names in one frame, in characters.
_ROOM = 30_000
# Below this, to wait for the other side costs more than a copy.
_WORTH_SPLICING = 1 << 20
# Pieces of a stream are gathered up to this.
_GATHERED = 256 << 10


def frame(message, more=b""):
    body = encode(message).encode()
    return b"".join((len(body).to_bytes(4, "big"), body, more))


class Sink:
    """Where `save` writes."""

    def __init__(self, write, tracker=None, base=None, splice=None):
        """`write` takes bytes-like objects and writes all of them. `base`: the buffers of the checkpoint before, as
        (address, size, number of the blob), if the tracker tells what was written since. `splice`: a `Splicer`."""
        self._write, self._splice = write, splice
        self._tracker = tracker
        self._base = {(address, size): blob for address, size, blob in base or ()}
        self._blobs = 0
        self._stream = None

    def _begin(self):
        if self._stream is not None:
            raise RuntimeError("blobs are written one after the other")
        self._blobs += 1
        return self._blobs - 1

    def stream(self):
        """Begins a stream of pickled bytes: has `write`, and `close`, which returns its number."""
        self._stream = _Stream(self, self._begin())
        self._write(frame({"t": "stream"}))
        return self._stream

    def buffer(self, view):
        """Writes memory as it is. Returns its number."""
        view = memoryview(view).cast("B")
        number, size, at = self._begin(), view.nbytes, 0
        if self._tracker is not None and size >= LARGE:
            at = address(view)
            blob = self._base.get((at, size))
            if blob is not None:
                patches = self._tracker.changed(at, size)
                if len(patches) <= _PATCHES and 2 * sum(length for _offset, length in patches) <= size:
                    self._write(frame({"t": "reuse", "n": size, "at": at, "blob": blob, "patches": patches}))
                    for offset, length in patches:
                        self._write(view[offset : offset + length])
                    return number
        if self._splice is not None and size >= _WORTH_SPLICING and address(view):
            self._write(frame({"t": "buffer", "n": size, "at": at, "spliced": True}))
            self._splice(view)
        else:
            self._write(frame({"t": "buffer", "n": size, "at": at}))
            self._write(view)
        return number

    def progress(self, done, total, name):
        self._write(frame({"t": "progress", "done": done, "total": total, "name": name}))

    def busy(self, parts):
        """Before what may end this process: `parts`, pairs of kind and name, are then left out by the next one."""
        said, room = [], _ROOM
        for kind, name in parts:
            name = clean(name)
            room -= len(encode(name))
            if room < 0:
                break
            said.append([kind, name])
        self._write(frame({"t": "busy", "parts": said}))

    def body(self, body):
        text = encode(body).encode()
        generation = None if self._tracker is None else self._tracker.generation
        self._write(frame({"t": "body", "n": len(text), "generation": generation}, text))

    def failed(self, why):
        self._write(frame({"t": "failed", "why": why}))


class _Part(ctypes.Structure):
    """struct iovec."""

    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]


class Splicer:
    """Puts memory itself into a pipe, so that it is copied once, when the other side takes it out."""

    def __init__(self, fd, sock):
        self.fd, self.socket = fd, sock

    @staticmethod
    def of(fd, sock):
        """None where the system refuses it."""
        return None if fd is None or _vmsplice(fd, None, 0, 0) < 0 else Splicer(fd, sock)

    def __call__(self, view):
        part = _Part(address(view), view.nbytes)
        while part.size:
            done = _vmsplice(self.fd, ctypes.byref(part), 1, 0)
            if done < 0:
                if ctypes.get_errno() != errno.EINTR:
                    raise OSError(ctypes.get_errno(), "memory cannot be put into the pipe")
                continue
            part.base, part.size = part.base + done, part.size - done
        # Until it was taken out, it must stay as it is.
        if not self.socket.recv(1):
            raise Closed("the connection to the supervisor ended")


class _Stream:
    def __init__(self, sink, number):
        self._sink, self._number = sink, number
        self._gathered, self._size = [], 0

    def write(self, data):
        size = len(data) if type(data) is bytes else memoryview(data).nbytes
        if size >= _GATHERED:
            self._flush()
            view = memoryview(data).cast("B")
            for start in range(0, size, _PIECE):
                piece = view[start : start + _PIECE]
                self._sink._write(frame({"t": "data", "n": piece.nbytes}))
                self._sink._write(piece)
        else:
            self._gathered.append(bytes(data))
            self._size += size
            if self._size >= _GATHERED:
                self._flush()
        return size

    def _flush(self):
        if self._gathered:
            self._sink._write(frame({"t": "data", "n": self._size}, b"".join(self._gathered)))
            self._gathered, self._size = [], 0

    def close(self):
        if self._sink is not None:
            self._flush()
            self._sink._write(frame({"t": "end"}))
            self._sink._stream = None
            self._sink = None
        return self._number


def write_to_file(fd):
    def write(data):
        view = memoryview(data).cast("B")
        while view.nbytes:
            view = view[_write(fd, view) :]

    return write


class Closed(Exception):
    """The other side is gone, or said something that is no answer."""


class Receiver:
    """Reads frames, raw bytes and descriptors from a socket."""

    def __init__(self, sock):
        self.socket = sock

    def exactly(self, size):
        data = bytearray(size)
        view = memoryview(data)
        while view.nbytes:
            got = self.socket.recv_into(view)
            if not got:
                raise Closed("the connection to the supervisor ended")
            view = view[got:]
        return data

    def frame(self):
        """A frame, and the descriptors that came with its first byte."""
        head, ancillary, flags, _address = self.socket.recvmsg(4, _SPACE(_PACKS * 4), _CMSG)
        fds = array.array("i")
        for _level, _kind, data in ancillary:
            fds.frombytes(data[: len(data) - len(data) % 4])
        if not head or flags & socket.MSG_CTRUNC:
            for fd in fds:
                _close(fd)
            raise Closed("the connection to the supervisor ended" if not head else "too many files are open")
        if len(head) < 4:
            head += self.exactly(4 - len(head))
        return decode(self.exactly(int.from_bytes(head, "big")).decode(), 0)[0], list(fds)


class SocketSource(Receiver):
    """Blobs from the engine, asked for one by one."""

    def stream(self, number):
        self.socket.sendall(frame({"get": number}))
        answer, _fds = self.frame()
        self._check(answer)
        return self.exactly(answer["n"])

    def buffer(self, number):
        """Memory that can be written to: a private mapping of the stored file where it is stored as it was."""
        self.socket.sendall(frame({"map": number}))
        answer, fds = self.frame()
        try:
            self._check(answer)
            size = answer["n"]
            if size < _WORTH_MAPPING and not answer["parts"]:
                return self.exactly(size)
            memory = mmap.mmap(-1, size, _PRIVATE_ANONYMOUS, _READ_WRITE)
            if answer["rest"] and _HUGE:
                # It is written whole at once: in huge pages that takes a 500th of the faults. numpy asks for them, too.
                memory.madvise(mmap.MADV_HUGEPAGE)
            start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
            for offset, length, pack, at in answer["parts"]:
                where = _map(start + offset, length, _READ_WRITE, _PRIVATE | _FIXED, fds[pack], at)
                if where != start + offset:
                    raise OSError(ctypes.get_errno(), "the stored file cannot be mapped")
            view = memoryview(memory)
            for offset, length in answer["rest"]:
                part = view[offset : offset + length]
                while part.nbytes:
                    got = self.socket.recv_into(part)
                    if not got:
                        raise Closed("the connection to the supervisor ended")
                    part = part[got:]
            return memory
        finally:
            for fd in fds:
                _close(fd)

    @staticmethod
    def _check(answer):
        if "error" in answer:
            raise Lost(f"the store cannot give it: {answer['error']}")


class FileSource:
    """Blobs from a file that a `Sink` has written."""

    def __init__(self, fd):
        size = _fstat(fd).st_size
        self._memory = memoryview(mmap.mmap(fd, size, mmap.MAP_PRIVATE, mmap.PROT_READ)) if size else memoryview(b"")
        self._blobs = []
        self.body = None
        at = 0
        while at + 4 <= size:
            (length,) = struct.unpack(">I", self._memory[at : at + 4])
            message = decode(bytes(self._memory[at + 4 : at + 4 + length]).decode(), 0)[0]
            at += 4 + length
            kind, count = message["t"], message.get("n", 0)
            raw = self._memory[at : at + count]
            at += count
            if kind == "stream":
                self._blobs.append([])
            elif kind == "data":
                self._blobs[-1].append(raw)
            elif kind == "buffer":
                self._blobs.append([raw])
            elif kind == "body":
                self.body = decode(bytes(raw).decode(), 0)[0]

    def stream(self, number):
        return b"".join(self._blobs[number])

    def buffer(self, number):
        return bytearray(b"".join(self._blobs[number]))
