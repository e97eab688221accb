"""Open files: positions, buffers, what is not flushed yet, maps, pipes, descriptors.

What a file on disk holds is not the process's state; where the process stands in it is.
"""

from ..case import case

case(
    "text_reader_half_read",
    setup="""
        import tempfile
        f = tempfile.TemporaryFile("w+", encoding="utf-8", newline="")
        f.writelines(f"line {n} ä\\n" for n in range(2000))
        f.flush(); f.seek(0)
        first = [f.readline() for _ in range(3)]
    """,
    mutate="f.read(5000); f.readline(); list(f)",
    check="""
        assert first[2] == "line 2 ä\\n" and [f.readline() for _ in range(3)] == [f"line {n} ä\\n" for n in (3, 4, 5)]
        assert sum(1 for _ in f) == 1994
    """,
    consumes=True,
    note="the offset in the kernel is shared with every fork",
)
case(
    "raw_descriptor_offset",
    setup="""
        import os, tempfile
        fd, name = tempfile.mkstemp()
        os.write(fd, bytes(range(200))); os.lseek(fd, 17, os.SEEK_SET)
        twin = os.dup(fd)
    """,
    mutate="os.read(fd, 50); os.lseek(twin, 3, os.SEEK_CUR); os.close(twin)",
    check="""
        assert os.lseek(fd, 0, os.SEEK_CUR) == 17 == os.lseek(twin, 0, os.SEEK_CUR)
        assert os.pread(fd, 2, 17) == bytes([17, 18]) and os.path.sameopenfile(fd, twin)
    """,
)
case(
    "binary_reader_with_its_buffer",
    setup="""
        import os, tempfile
        f = tempfile.TemporaryFile(buffering=4096)
        f.write(os.urandom(1) * 0 + bytes(i % 251 for i in range(20000))); f.flush(); f.seek(100)
        head, peeked = f.read(10), len(f.peek())
        offset = f.raw.tell()
    """,
    mutate="f.read(6000); f.seek(0, 2)",
    check="""
        assert f.tell() == 110 and f.raw.tell() == offset and len(f.peek()) == peeked
        assert f.read(5) == bytes(i % 251 for i in range(110, 115))
        f.seek(110)
        f.peek()
        f.raw.seek(offset)
    """,
    consumes=True,
)
case(
    "writer_with_an_unflushed_buffer",
    setup="""
        import os, tempfile
        fd, name = tempfile.mkstemp()
        os.close(fd)
        w = open(name, "wb", buffering=8192)
        w.write(b"flushed "); w.flush()
        w.write(b"buffered")
    """,
    mutate="w.write(b' more'); w.flush(); w.write(b'again')",
    check="""
        assert w.tell() == 16 and w.raw.tell() == 8 and not w.closed
        w.flush()
        assert w.raw.tell() == 16
        with open(name, "rb") as again:
            assert again.read()[:16] == b"flushed buffered"
    """,
    consumes=True,
)
case(
    "append_and_text_writer",
    setup="""
        import io, tempfile
        f = tempfile.TemporaryFile("w+", encoding="utf-16", errors="replace")
        f.write("abc"); position = f.tell()
        f.write("pending")
        wrapper = io.TextIOWrapper(io.BytesIO(), encoding="latin-1", newline="\\r\\n")
        wrapper.write("one\\ntwo")
    """,
    mutate="f.write('x' * 50); f.close(); wrapper.write('\\n'); wrapper.flush(); wrapper.detach()",
    check="""
        assert not f.closed and f.encoding == "utf-16" and f.errors == "replace"
        assert wrapper.buffer.getvalue() in (b"", b"one\\r\\ntwo")
        wrapper.flush()
        assert wrapper.buffer.getvalue() == b"one\\r\\ntwo"
        assert f.tell() == position + 14
    """,
)
case(
    "closed_and_open",
    setup="""
        import tempfile
        a, b = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        b.close()
        fd = a.fileno()
    """,
    mutate="a.close(); b = open('/dev/null', 'rb'); c = open('/dev/zero', 'rb')",
    check="""
        import os
        assert not a.closed and a.fileno() == fd and os.fstat(fd).st_size == 0 and b.closed and "c" not in globals()
    """,
)
case(
    "descriptor_table",
    setup="""
        import os
        fd = os.open("/dev/null", os.O_RDWR)
        os.set_inheritable(fd, True)
        table = {n: os.readlink(f"/proc/self/fd/{n}") for n in (fd,)}
    """,
    mutate="""
        os.dup2(os.open("/dev/zero", os.O_RDONLY), fd); os.set_inheritable(fd, False)
    """,
    check="""
        assert os.readlink(f"/proc/self/fd/{fd}") == "/dev/null" and os.get_inheritable(fd)
        os.write(fd, b"x")
    """,
)
case(
    "file_status_flags",
    setup="""
        import fcntl, os, tempfile
        f = tempfile.NamedTemporaryFile()
        flags = fcntl.fcntl(f, fcntl.F_GETFL)
    """,
    mutate="fcntl.fcntl(f, fcntl.F_SETFL, flags | os.O_APPEND | os.O_NONBLOCK)",
    check="""
        settable = os.O_ACCMODE | os.O_APPEND | os.O_NONBLOCK
        assert fcntl.fcntl(f, fcntl.F_GETFL) & settable == flags & settable
    """,
    note="flags of the open file are shared with every fork, as offsets are",
)
case(
    "mmap_private",
    setup="""
        import mmap, tempfile
        f = tempfile.TemporaryFile()
        f.write(b"on disk " * 1024); f.flush()
        m = mmap.mmap(f.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        m[0:2] = b"ON"; m.seek(100)
    """,
    mutate="m[4096:4104] = b'changed!'; m[0:2] = b'??'; m.seek(0)",
    check="""
        assert m[:8] == b"ON disk " and m[4096:4104] == b"on disk " and m.tell() == 100 and len(m) == 8192
    """,
)
case(
    "mmap_anonymous_private",
    setup="""
        import mmap
        m = mmap.mmap(-1, 3 * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        m.write(b"start")
        v = memoryview(m)
    """,
    mutate="m[mmap.PAGESIZE] = 7; m.write(b'!'); v[0] = 0; v.release()",
    check="assert m[:6] == b'start\\0' and m[mmap.PAGESIZE] == 0 and m.tell() == 5 and v.nbytes == len(m)",
)
case(
    "pipe_with_nothing_in_it",
    setup="""
        import os
        r, w = os.pipe()
        reader = os.fdopen(r, "rb", buffering=0)
        os.set_blocking(r, False)
    """,
    mutate="os.set_blocking(r, True); os.close(w); reader.close()",
    check="""
        assert not reader.closed and not os.get_blocking(r) and reader.read(1) is None
        os.write(w, b"x")
        assert reader.read(1) == b"x"
    """,
)
case(
    "directory_descriptor_and_scandir",
    setup="""
        import os, tempfile
        where = tempfile.mkdtemp()
        for n in range(5):
            open(os.path.join(where, f"f{n}"), "w").close()
        names = sorted(os.listdir(where))
        walk = os.walk(where)
        entries = sorted(os.scandir(where), key=lambda e: e.name)
        entries[0].stat(); fd = os.open(where, os.O_RDONLY)
    """,
    mutate="next(walk); entries.pop(); os.close(fd)",
    check="""
        assert [e.name for e in entries] == names and os.fstat(fd).st_ino == os.stat(where).st_ino
        assert [sorted(f) for _, _, f in walk] == [names]
    """,
    consumes=True,
)
case(
    "temporary_file_objects",
    setup="""
        import tempfile
        spooled = tempfile.SpooledTemporaryFile(max_size=20, mode="w+")
        spooled.write("small")
        tempfile.tempdir, old = tempfile.gettempdir(), tempfile.tempdir
        kept = tempfile.NamedTemporaryFile(delete=False)
        kept.write(b"kept"); kept.flush()
    """,
    mutate="spooled.write('x' * 100); tempfile.tempdir = '/nowhere'; kept.close()",
    check="""
        assert not spooled._rolled and spooled.tell() == 5 and tempfile.tempdir != "/nowhere"
        assert not kept.file.closed and kept.tell() == 4
    """,
)
case(
    "sockets_of_our_own",
    setup="""
        import socket
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(3.5)
        fd = s.fileno()
    """,
    mutate="s.settimeout(None); s.close()",
    check="assert s.gettimeout() == 3.5 and s.fileno() == fd and s.type == socket.SOCK_DGRAM and s.getsockname()",
)
case(
    "selectors_and_epoll",
    setup="""
        import os, selectors
        selector = selectors.PollSelector()
        r, w = os.pipe()
        key = selector.register(r, selectors.EVENT_READ, data=["tag"])
    """,
    mutate="key.data.append(1); selector.modify(r, selectors.EVENT_WRITE); selector.register(w, selectors.EVENT_WRITE)",
    check="""
        assert selector.get_key(r) is key and key.data == ["tag"] and len(selector.get_map()) == 1
        assert selector.select(0) == []
    """,
)
