"""Live objects of the standard library: parsers, archives, databases, numbers, collections."""

from ..case import case

case(
    "csv_reader_half_read",
    setup="""
        import csv, io
        source = io.StringIO("a,b\\n1,2\\n3,'4\\n5,6\\n7,8\\n")
        reader = csv.DictReader(source)
        rows = [next(reader)]
        csv.register_dialect("case", delimiter=";", quoting=csv.QUOTE_ALL)
        out = io.StringIO(); writer = csv.writer(out, "case"); writer.writerow([1, "x"])
        limit = csv.field_size_limit()
    """,
    mutate="""
        next(reader); reader.fieldnames.append("c"); writer.writerow([2]); csv.unregister_dialect("case")
        csv.field_size_limit(10)
    """,
    check="""
        assert reader.line_num == 2 and reader.fieldnames == ["a", "b"] and out.getvalue() == '"1";"x"\\r\\n'
        assert csv.field_size_limit() == limit and csv.get_dialect("case").delimiter == ";"
        assert [r["a"] for r in reader] == ["3", "5", "7"]
    """,
    consumes=True,
)
case(
    "zipfile_open",
    setup="""
        import io, zipfile
        raw = io.BytesIO()
        z = zipfile.ZipFile(raw, "a", zipfile.ZIP_DEFLATED)
        z.writestr("one.txt", "one " * 100); z.writestr("two.txt", "two")
        member = z.open("one.txt"); head = member.read(6)
    """,
    mutate="member.read(50); member.close(); z.writestr('three.txt', '3'); z.comment = b'c'; z.close()",
    check="""
        assert z.namelist() == ["one.txt", "two.txt"] and z.fp is raw and z.comment == b"" and not member.closed
        assert member.read(6) == b"e one " and head == b"one on"
        member.seek(6)
    """,
)
case(
    "tar_and_gzip_streams",
    setup="""
        import gzip, io, tarfile
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w:gz") as t:
            for n in range(4):
                info = tarfile.TarInfo(f"f{n}"); info.size = 5; t.addfile(info, io.BytesIO(b"data%d" % n))
        raw.seek(0)
        tar = tarfile.open(fileobj=raw, mode="r|gz")
        first = tar.next().name
        packed = gzip.GzipFile(fileobj=io.BytesIO(), mode="wb", mtime=0); packed.write(b"part")
    """,
    mutate="tar.next(); tar.next(); packed.write(b'more'); packed.close()",
    check="""
        assert first == "f0" and packed.size == 4 and not packed.closed
        assert [m.name for m in iter(tar.next, None)] == ["f1", "f2", "f3"]
    """,
    consumes=True,
)
case(
    "compressors_and_hashes",
    setup="""
        import bz2, hashlib, hmac, lzma, zlib
        h, m = hashlib.sha256(b"part one"), hmac.new(b"key", b"part", "sha1")
        c, d = zlib.compressobj(9), zlib.decompressobj()
        packed = zlib.compress(b"abc" * 1000)
        out = d.decompress(packed[:10])
        begun = c.compress(b"x" * 100); b = bz2.BZ2Compressor(); b.compress(b"y" * 10)
        x = lzma.LZMADecompressor(); x.decompress(lzma.compress(b"z" * 1000)[:24])
    """,
    mutate="h.update(b'two'); m.update(b'!'); d.decompress(packed[10:]); c.compress(b'w'); b.compress(b'z'); c.flush()",
    check="""
        assert h.hexdigest() == hashlib.sha256(b"part one").hexdigest()
        assert m.digest() == hmac.digest(b"key", b"part", "sha1")
        assert out + d.decompress(packed[10:]) == b"abc" * 1000 and d.eof and not x.eof
        assert zlib.decompress(begun + c.flush()) == b"x" * 100 and bz2.decompress(b.flush()) == b"y" * 10
    """,
    consumes=True,
)
case(
    "string_and_bytes_io",
    setup="""
        import io
        s, b = io.StringIO("one\\ntwo\\nthree"), io.BytesIO(b"0123456789")
        s.readline(); b.seek(4); view = b.getbuffer()
    """,
    mutate="s.write('XX'); s.truncate(); view[0] = 65; view.release(); b.write(b'zz'); b.truncate(3)",
    check="""
        assert s.tell() == 4 and s.getvalue() == "one\\ntwo\\nthree" and b.tell() == 4
        assert bytes(view) == b"0123456789" and not s.closed
    """,
)
case(
    "collections",
    setup="""
        import collections as c
        dq = c.deque([1, 2, 3], maxlen=4); dd = c.defaultdict(list, a=[1]); cn = c.Counter("abca")
        od = c.OrderedDict(a=1, b=2, d=3); od.move_to_end("a")
        base = {"x": 1}; cm = c.ChainMap({"y": 2}, base); ud = c.UserDict(a=base)
        it = iter(dq); next(it)
    """,
    mutate="""
        dd["new"]; dd["a"].append(2); dd.default_factory = None; cn.subtract("aab"); od.move_to_end("b")
        od.popitem(last=False); base["x"] = 9; cm["z"] = 3; cm.maps.append({}); ud["b"] = 2; next(it); dq.rotate(1)
    """,
    check="""
        assert list(dq) == [1, 2, 3] and dq.maxlen == 4 and dd == {"a": [1]} and dd.default_factory is list
        assert cn == {"a": 2, "b": 1, "c": 1} and list(cn) == ["a", "b", "c"] and list(od) == ["b", "d", "a"]
        assert cm.maps[1] is base and dict(cm) == {"x": 1, "y": 2} and len(cm.maps) == 2 and ud.data["a"] is base
        assert list(ud) == ["a"]
        assert list(it) == [2, 3]
    """,
    consumes=True,
)
case(
    "heap_array_bisect",
    setup="""
        import array, heapq
        heap = [5, 1, 4, 2, 3]; heapq.heapify(heap); layout = list(heap)
        a = array.array("d", [1.5, 2.5]); u = array.array("B", b"abc"); address = a.buffer_info()
        merged = heapq.merge([1, 4], [2, 3]); next(merged)
    """,
    mutate="heapq.heappop(heap); heapq.heappush(heap, 0); a[0] = 0; u.byteswap(); u.append(1); next(merged); a *= 2",
    check="""
        assert heap == layout and a == array.array("d", [1.5, 2.5]) and u.tobytes() == b"abc"
        assert a.buffer_info() == address and list(merged) == [2, 3, 4]
    """,
    consumes=True,
)
case(
    "struct_iterators",
    setup="""
        import struct
        data = struct.pack("<4Id", 1, 2, 3, 4, 0.5)
        it = struct.iter_unpack("<II", data[:16]); next(it)
        target = bytearray(8); packer = struct.Struct(">if")
        packer.pack_into(target, 0, 7, 1.0)
    """,
    mutate="next(it); packer.pack_into(target, 0, 8, 2.0)",
    check="assert packer.unpack(target) == (7, 1.0) and list(it) == [(3, 4)]",
    consumes=True,
)
case(
    "dates_and_numbers",
    setup="""
        import datetime as dt, fractions, decimal, uuid
        tz = dt.timezone(dt.timedelta(hours=2), "X")
        moments = {"now": dt.datetime(2020, 2, 29, 12, 0, tzinfo=tz, fold=1), "delta": dt.timedelta(1, 0, 7)}
        fraction, number = fractions.Fraction(22, 7), decimal.Decimal("1.10")
        values = [fraction, number, uuid.UUID(int=5)]
    """,
    mutate="""
        moments["now"] += moments["delta"]; values[0] += 1; values[1] = decimal.Decimal("1.1")
        values.append(dt.date.today())
        tz = dt.timezone.utc
    """,
    check="""
        assert moments["now"].tzinfo is tz and moments["now"].isoformat() == "2020-02-29T12:00:00+02:00"
        assert moments["now"].fold == 1 and values[0] is fraction and values[1] is number and len(values) == 3
        assert str(number) == "1.10"
    """,
)
case(
    "sqlite_with_an_open_transaction",
    setup="""
        import sqlite3
        db = sqlite3.connect(":memory:")
        db.execute("create table t (n integer, s text)"); db.commit()
        db.executemany("insert into t values (?, ?)", [(n, str(n) * 3) for n in range(10)])
        cursor = db.execute("select n from t order by n"); got = [cursor.fetchone()[0] for _ in range(3)]
        changes = db.total_changes
    """,
    mutate="cursor.fetchone(); db.execute('delete from t where n > 4'); db.commit()",
    check="""
        assert db.in_transaction and db.total_changes == changes == 10 and got == [0, 1, 2]
        assert [n for n, in cursor] == [3, 4, 5, 6, 7, 8, 9]
        assert db.execute("select count(*), sum(n) from t").fetchone() == (10, 45)
        db.rollback()
        assert db.execute("select count(*) from t").fetchone() == (0,)
    """,
    consumes=True,
)
case(
    "sqlite_functions_and_settings",
    setup="""
        import sqlite3
        db = sqlite3.connect(":memory:", isolation_level="IMMEDIATE")
        calls = []
        db.create_function("note", 1, lambda x: calls.append(x) or x * 2)
        db.row_factory = sqlite3.Row; db.execute("pragma user_version = 7")
        row = db.execute("select note(21) as v").fetchone()
    """,
    mutate="""
        db.create_function('note', 1, None); db.row_factory = None; db.execute('pragma user_version = 8'); db.close()
    """,
    check="""
        assert calls[:1] == [21] and row["v"] == 42 and db.row_factory is sqlite3.Row
        assert db.execute("pragma user_version").fetchone()[0] == 7
        assert db.execute("select note(1)").fetchone()[0] == 2 and calls[-1] == 1
        del calls[1:]
    """,
)
case(
    "sqlite_savepoints_and_blobs",
    setup="""
        import sqlite3
        db = sqlite3.connect(":memory:", isolation_level=None)
        db.execute("create table t (n)"); db.execute("begin"); db.execute("insert into t values (1)")
        db.execute("savepoint inner"); db.execute("insert into t values (2)")
    """,
    mutate="db.execute('rollback to inner'); db.execute('release inner'); db.execute('commit')",
    check="""
        assert db.in_transaction and [n for n, in db.execute("select n from t")] == [1, 2]
        db.execute("rollback to inner")
        assert [n for n, in db.execute("select n from t")] == [1]
    """,
    consumes=True,
)
case(
    "element_tree",
    setup="""
        import io, xml.etree.ElementTree as ET
        root = ET.fromstring("<a x='1'><b>t</b>tail<c/></a>")
        b = root[0]; ET.register_namespace("case", "urn:case")
        events = ET.iterparse(io.StringIO("<r><i/><i/><i/></r>"), events=("start", "end"))
        first = next(events)
    """,
    mutate="""
        b.text = "u"; b.tail = None; root.set("y", "2"); root.remove(root[1]); ET.SubElement(b, "n")
        next(events); ET.register_namespace("case", "urn:other")
    """,
    check="""
        assert ET.tostring(root) == b'<a x="1"><b>t</b>tail<c /></a>' and root[0] is b
        assert first[0] == "start" and [e.tag for k, e in events] == ["i"] * 6 + ["r"]
        assert ET._namespace_map["urn:case"] == "case"
    """,
    consumes=True,
)
case(
    "incremental_parsers",
    setup="""
        import codecs, html.parser, xml.sax.expatreader, xml.parsers.expat as expat
        seen = []
        class P(html.parser.HTMLParser):
            def handle_starttag(self, tag, attrs): seen.append(tag)
        p = P(); p.feed("<a><b")
        e = expat.ParserCreate(); e.StartElementHandler = lambda n, a: seen.append("x" + n); e.Parse("<r><s>", False)
        decoder = codecs.getincrementaldecoder("utf-8")(); decoder.decode("ä".encode()[:1])
    """,
    mutate="p.feed('></b>'); e.Parse('</s><t/></r>', True); decoder.reset()",
    check="""
        assert seen == ["a", "xr", "xs"] and p.rawdata == "<b" and decoder.getstate()[0] == b"\\xc3"
        p.feed(" c><d>")
        e.Parse("<u/></s></r>", True)
        assert seen == ["a", "xr", "xs", "b", "d", "xu"] and decoder.decode("ä".encode()[1:]) == "ä"
    """,
    consumes=True,
)
case(
    "json_codecs",
    setup="""
        import json
        class Special(json.JSONEncoder):
            known = {}
            def default(self, o): return self.known.setdefault(type(o).__name__, len(self.known))
        encoder = Special(sort_keys=True); encoded = encoder.encode({"b": {1}, "a": 1j})
        chunks = encoder.iterencode([1, [2, 3]]); head = next(chunks)
        decoder = json.JSONDecoder(object_pairs_hook=list)
    """,
    mutate="encoder.encode([object()]); Special.known.clear(); next(chunks); decoder.object_pairs_hook = dict; "
    "encoder.indent = 3",
    check="""
        assert encoded == '{"a": 0, "b": 1}' and Special.known == {"complex": 0, "set": 1}
        assert head + "".join(chunks) == "[1, [2, 3]]" and decoder.object_pairs_hook is list and encoder.indent is None
    """,
    consumes=True,
)
