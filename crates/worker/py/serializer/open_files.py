"""Open files, by path, mode and position, with what is not yet written; descriptors that can only be named.

A variable that is a file is described by `describe_file` and opened by `open_file`. Other descriptors of regular files
that the session has open are opened again under their numbers.
"""

import fcntl
import io
import os
import pickle
import stat
import sys

from .situation import text, untext

_KINDS = {io.FileIO: "raw", io.BufferedReader: "buffered", io.BufferedWriter: "buffered", io.BufferedRandom: "buffered",
          io.TextIOWrapper: "text"}  # fmt: skip
# What only makes sense when a file is opened for the first time.
_ONCE = os.O_CREAT | os.O_EXCL | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_TMPFILE", 0) & ~os.O_DIRECTORY
# More than this behind the position is not read to find where a reader stands.
_SEARCHED = 64 << 20
# As far around the position as what is not yet written may lie.
_WINDOW = 1 << 20
# Of this saver: descriptors that a variable answers for, and descriptions by the id of their files.
_described, _descriptions = set(), {}
# How the live process has its descriptors open: the saver's own are for reading only.
_flags = {}


def listed():
    """Descriptor -> (device, inode), of all that are open."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            about = os.fstat(int(name))
        except OSError:
            continue  # the listing's own
        found[int(name)] = (about.st_dev, about.st_ino)
    return found


def opened_as(flags):
    """Descriptor -> flags, as the live process has them, where this one has opened the files anew."""
    _flags.update(flags)


def claim(fd):
    """Another kind answers for this descriptor."""
    _described.add(fd)


# ---- descriptors ----


def capture(here):
    for fd, one in sorted(listed().items()):
        if fd <= 2 or here.baseline.descriptors.get(fd) == one or fd in here.options.own_fds or fd in _described:
            continue
        try:
            path = os.readlink(f"/proc/self/fd/{fd}")
            about = os.fstat(fd)
        except OSError:
            continue  # the listing's own
        if not stat.S_ISREG(about.st_mode):
            here.lose(f"fd {fd} ({_what(about.st_mode, path)})", _why_not(about.st_mode))
            continue
        try:
            yield {"fd": fd, "inheritable": os.get_inheritable(fd), **_about(fd)}
        except ValueError as error:
            here.lose(f"fd {fd} ({path})", str(error))
    _name_locks(here)


def _what(mode, path):
    if stat.S_ISSOCK(mode):
        return "socket"
    if stat.S_ISFIFO(mode):
        return "pipe" if path.startswith("pipe:") else path
    if stat.S_ISDIR(mode) or stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        return path
    return path.removeprefix("anon_inode:").strip("[]")


def _why_not(mode):
    if stat.S_ISSOCK(mode):
        return "a connection ends with the process: make it again"
    if stat.S_ISFIFO(mode):
        return "a pipe ends with the processes at its ends: make it again"
    return "only regular files are opened again: open it again"


def _about(fd):
    """A regular file by its path, and where the descriptor stands in it. ValueError where that is not enough."""
    path, about = os.readlink(f"/proc/self/fd/{fd}"), os.fstat(fd)
    try:
        there = os.stat(path)
    except OSError:
        there = None
    if there is None or (there.st_dev, there.st_ino) != (about.st_dev, about.st_ino):
        raise ValueError(f"the file has no name any more ({path})")
    return {
        "path": text(path),
        "identity": [about.st_dev, about.st_ino],
        "flags": _flags.get(fd, fcntl.fcntl(fd, fcntl.F_GETFL)) & ~_ONCE,
        "offset": os.lseek(fd, 0, os.SEEK_CUR),
    }


def _name_locks(here):
    """Locks on files end with the process that took them."""
    before = here.options.before
    pid = str(before["pid"] if before else os.getpid())
    mine = {}
    for fd, (device, inode) in listed().items():
        if here.baseline.descriptors.get(fd) != (device, inode) and fd not in here.options.own_fds:
            mine[f"{os.major(device):02x}:{os.minor(device):02x}:{inode}"] = fd
    if not mine:
        return
    try:
        with open("/proc/locks", "rb") as file:
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return
    for line in lines:
        words = line.split()
        if len(words) >= 8 and words[1] != "->" and words[4] == pid and words[5] in mine:
            path = os.readlink(f"/proc/self/fd/{mine[words[5]]}")
            here.lose(f"lock on {path}", "a lock ends with the process that took it: take it again")


def restore(items, here):
    wanted = {}
    for item in items:
        fd = item["fd"]
        if type(fd) is not int or not 2 < fd < 1 << 20:
            here.lose(f"fd {fd}", "it is no number of a descriptor")
            continue
        wanted[fd] = item
    for fd, item in wanted.items():
        here.attempt(f"fd {fd} ({_shown(item)})", _open_descriptor, fd, item)


def _shown(item):
    return str(item.get("path"))


def _open_descriptor(fd, item):
    try:
        about = os.fstat(fd)
    except OSError:
        about = None
    if about is not None and [about.st_dev, about.st_ino] != item["identity"]:
        raise OSError("this number is in use for another file")
    new = _reopened(item)
    if new != fd:
        os.dup2(new, fd, inheritable=bool(item["inheritable"]))
        os.close(new)
    else:
        os.set_inheritable(fd, bool(item["inheritable"]))


def _reopened(about):
    """A new descriptor for the file, at the same position."""
    path, flags, offset = untext(about["path"]), about["flags"], about["offset"]
    if type(flags) is not int or type(offset) is not int or offset < 0:
        raise ValueError("the description of the file is broken")
    if not os.path.isfile(path):
        raise FileNotFoundError(f"there is no file {path}")
    fd = os.open(path, flags & ~_ONCE | os.O_CLOEXEC)
    size = os.fstat(fd).st_size
    if offset > size:
        os.close(fd)
        raise OSError(f"{path} is shorter than it was: {size} bytes, and the position is {offset}")
    os.lseek(fd, offset, os.SEEK_SET)
    return fd


# ---- files that are variables ----


def reducers():
    return dict.fromkeys(_KINDS, _reduce)


def _reduce(file):
    return open_file, (describe_file(file),)


def describe_file(file):
    """An open file as plain JSON; raises `pickle.PicklingError` with the reason where it cannot be opened again.

    Only in the saver: it cuts the descriptor off from the live process, which shares its position."""
    known = _descriptions.get(id(file))
    if known is not None and known[0] is file:
        return known[1]
    try:
        found = _describe(file)
    except (OSError, ValueError) as error:
        raise pickle.PicklingError(f"the open file cannot be kept: {error}") from None
    _descriptions[id(file)] = file, found
    return found


def _describe(file):
    kind = _KINDS.get(type(file))
    if kind is None:
        raise ValueError(f"it is a {type(file).__name__}")
    inner = file.buffer if kind == "text" else file
    if _KINDS.get(type(inner)) == "buffered":
        inner = inner.raw
    if type(inner) is not io.FileIO:
        raise ValueError(f"it works on a {type(inner).__name__}")
    name = file.name
    found = {"kind": kind, "closed": file.closed, "name": text(name) if type(name) is str else None}
    found["mode"] = (getattr(file, "mode", None) or inner.mode.replace("b", "")) if kind == "text" else inner.mode
    if kind == "text":
        found["encoding"], found["errors"] = file.encoding, file.errors
    if file.closed:
        return found
    fd = file.fileno()
    if fd <= 2:
        raise ValueError("it is a standard stream of the session")
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise ValueError(f"{name} is no regular file")
    found["fd"], found["inheritable"], found["file"] = fd, os.get_inheritable(fd), _about(fd)
    if kind == "text":
        found["line_buffering"], found["write_through"] = file.line_buffering, file.write_through
    real = _CutOff(fd, found["file"])
    try:
        if file.writable():
            found["position"], found["pending"] = real.writer(file)
        else:
            found["position"], found["pending"] = real.reader(file, kind), None
        found["newline"] = real.newline(file) if kind == "text" else None
    finally:
        real.put_back()
    file.seek(found["position"])
    _described.add(fd)
    return found


class _CutOff:
    """For a time the descriptor stands for another file: reading and writing through it moves no position of the live
    process, and writes no byte of the real file."""

    def __init__(self, fd, about):
        self.fd, self.about = fd, about
        self.inheritable, self.size = os.get_inheritable(fd), os.fstat(fd).st_size
        self.real = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)

    def put_back(self):
        """The real file, opened anew and for reading: what follows in this process neither moves the live one's
        position nor writes."""
        self._stand(os.open(f"/proc/self/fd/{self.real}", os.O_RDONLY | os.O_CLOEXEC), self.about["offset"])
        os.close(self.real)

    def _stand(self, other, offset):
        os.lseek(other, offset, os.SEEK_SET)
        os.dup2(other, self.fd, inheritable=self.inheritable)
        os.close(other)

    def reader(self, file, kind):
        """Where the next read begins, as `tell` says it."""
        self._stand(os.open(f"/proc/self/fd/{self.real}", os.O_RDONLY | os.O_CLOEXEC), self.about["offset"])
        try:
            return file.tell()
        except OSError:
            if kind != "text":
                raise
        # Within a loop over its lines a text file does not tell. What is left tells: it is the end of the file.
        if self.size > _SEARCHED:
            raise ValueError("it is being read line by line, and too long to find out where")
        rest, data = file.read(), os.pread(self.real, self.size, 0)
        first = max(0, len(data) - len(rest.encode(file.encoding, file.errors)))
        # Where ends of lines of two characters were read as one, it is earlier by one for each.
        for at in range(first, max(-1, first - 1 - rest.count("\n")), -1):
            if io.TextIOWrapper(io.BytesIO(data[at:]), file.encoding, file.errors).read() == rest:
                return at
        raise ValueError("it is being read line by line, and where cannot be found out")

    def writer(self, file):
        """Where the next write begins, and what is buffered and not yet written: None or [offset, hexadecimal]."""
        offset = self.about["offset"]
        # A buffer that was read into has moved the position past where it writes.
        window = max(0, offset - _WINDOW)
        before = os.pread(self.real, offset + _WINDOW - window, window)
        scratch = os.memfd_create("pending", os.MFD_CLOEXEC)
        try:
            os.ftruncate(scratch, self.size)
            os.pwrite(scratch, before, window)
            self._stand(os.dup(scratch), self.size if self.about["flags"] & os.O_APPEND else offset)
            try:
                position = file.tell()
            except OSError:
                raise ValueError("it is being read line by line, and open for writing") from None
            file.flush()
            end = max(os.lseek(scratch, 0, os.SEEK_CUR), window + len(before))
            after = os.pread(scratch, end - window, window)
        finally:
            os.close(scratch)
        return position, _difference(before, after, window)

    def newline(self, file):
        """The `newline` that a text file was opened with, which it does not tell: by what it does with ends of lines."""
        scratch = os.memfd_create("newline", os.MFD_CLOEXEC)
        try:
            if file.readable():
                os.write(scratch, "a\r\nb\rc\n".encode(file.encoding))
            self._stand(os.dup(scratch), 0)
            file.seek(0)
            if not file.readable():
                file.write("\n")
                file.flush()
                written = os.pread(scratch, 100, 0).decode(file.encoding)
                return None if written == "\n" else written
            first = file.readline()
            if first == "a\r\n":
                # Then the second line tells whether a single \r ends one.
                return "" if file.readline() == "b\r" else "\r\n"
            return _NEWLINES[first]
        finally:
            os.close(scratch)


# What is read as the first line of the three, and the `newline` by which it is.
_NEWLINES = {"a\n": None, "a\r\nb\rc\n": "\n", "a\r": "\r"}


def _difference(before, after, window):
    first = next((at for at, (old, new) in enumerate(zip(before, after)) if old != new), len(before))
    last = len(after)
    while first < last <= len(before) and after[last - 1] == before[last - 1]:
        last -= 1
    return [window + first, after[first:last].hex()] if first < last else None


def open_file(description):
    """The file that `describe_file` described."""
    kind = description["kind"]
    if description["closed"]:
        file = _made(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC), description)
        file.close()
        return file
    file = _made(_numbered(_reopened(description["file"]), description), description)
    if kind == "text":
        file.reconfigure(line_buffering=description["line_buffering"], write_through=description["write_through"])
    _write_pending(file, description)
    return file


def _made(fd, description):
    name, mode, options = description["name"], description["mode"], {}
    if description["kind"] == "text":
        options = {each: description.get(each) for each in ("encoding", "errors", "newline")}
    elif description["kind"] == "raw":
        options = {"buffering": 0}
    try:
        if name is None:
            return open(fd, mode.replace("x", "w"), **options)
        # By an opener, so that the file has its name, and nothing is truncated or has to be new.
        return open(untext(name), mode, opener=lambda *_: fd, **options)
    except BaseException:
        os.close(fd)
        raise


def _numbered(fd, description):
    """Under the number that it had, where that is free."""
    wanted = description["fd"]
    if type(wanted) is int and 2 < wanted < 1 << 20 and wanted != fd:
        try:
            os.fstat(wanted)
        except OSError:
            os.dup2(fd, wanted, inheritable=False)
            os.close(fd)
            fd = wanted
    os.set_inheritable(fd, bool(description["inheritable"]))
    return fd


def _write_pending(file, description):
    pending = description["pending"]
    if pending is None:
        file.seek(description["position"])
        return
    offset, data = pending[0], bytes.fromhex(pending[1])
    raw = file.buffer if description["kind"] == "text" else file
    fd = file.fileno()
    on_disk = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        written = os.pread(on_disk, len(data), offset) == data
    finally:
        os.close(on_disk)
    if written:
        # The session that was saved has written it since.
        file.seek(offset + len(data))
        return
    raw.seek(offset)
    raw.write(data)
    # A text file that has not been told the position would take its start for the beginning of the file.
    if file is not raw and file.encoding.lower().replace("_", "-") in ("utf-8-sig", "utf-16", "utf-32") and offset:
        file.seek(raw.tell())


if sys.platform != "linux":
    raise ImportError("descriptors are looked up in /proc, which only Linux has")
