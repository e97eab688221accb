"""numpy: arrays and their views, masks, random generators, iterators, settings."""

from ..case import case

NUMPY = ("numpy",)

case(
    "array_in_place",
    needs=NUMPY,
    setup="""
        import numpy as np
        a = np.arange(12.0).reshape(3, 4)
        alias, a_id, address = a, id(a), a.ctypes.data
        digest = a.tobytes()
    """,
    mutate="a[1] = -1; a *= 2; a.sort(axis=0); a.fill(7); a = a.copy(); a.shape = (4, 3)",
    check="""
        assert a is alias and id(a) == a_id and a.ctypes.data == address and a.shape == (3, 4)
        assert a.dtype == np.float64 and a.tobytes() == digest and a.strides == (32, 8)
    """,
    diverge="a[0, 0] = 100 + {i}",
)
case(
    "views_and_bases",
    needs=NUMPY,
    setup="""
        import numpy as np
        base = np.zeros((4, 5), dtype=np.int32)
        row, col, rev, diag = base[1], base[:, 2], base[::-1, ::2], np.diagonal(base)
        flat, bits = base.ravel(), base.view(np.uint8)
        row[:] = 5
    """,
    mutate="rev[0, 0] = 9; col += 1; flat[-1] = 4; bits[0, 0] = 255; row = row.copy(); base = base.copy()",
    check="""
        assert all(v.base is base for v in (row, col, rev, flat, bits)) and np.shares_memory(diag, base)
        assert base.sum() == 25 and (base[1] == 5).all() and flat.ctypes.data == base.ctypes.data
        base[0, 0] = 1
        assert flat[0] == bits[0, 0] == diag[0] == 1
        base[0, 0] = 0
    """,
)
case(
    "structured_and_record_arrays",
    needs=NUMPY,
    setup="""
        import numpy as np
        s = np.array([(1, 2.5, b"ab"), (2, 3.5, b"cd")], dtype=[("n", "<i4"), ("x", ">f8"), ("t", "S4")])
        rec = s.view(np.recarray); one, field = s[1], s["x"]
    """,
    mutate="one['n'] = 99; field[:] = 0; rec.t[0] = b'zz'; s.dtype.names = ('a', 'b', 'c')",
    check="""
        assert s.tolist() == [(1, 2.5, b"ab"), (2, 3.5, b"cd")] and s.dtype.names == ("n", "x", "t")
        assert field.base is s and field.dtype.byteorder == ">" and rec.n.tolist() == [1, 2] and one["n"] == 2
    """,
)
case(
    "masked_arrays",
    needs=NUMPY,
    setup="""
        import numpy as np
        m = np.ma.masked_less(np.arange(6), 2); part = m[1:4]; m.fill_value = -9
        shared = m.sharedmask
    """,
    mutate="m[4] = np.ma.masked; part[0] = 100; m.fill_value = 0; m.harden_mask(); m.data[0] = 50; m.mask[1] = False",
    check="""
        assert m.mask.tolist() == [True, True, False, False, False, False] and m.data.tolist() == list(range(6))
        assert m.fill_value == -9 and not m.hardmask and np.shares_memory(part.data, m.data)
        assert part.mask.tolist() == [True, False, False]
    """,
)
case(
    "object_arrays",
    needs=NUMPY,
    setup="""
        import numpy as np
        shared = [1]
        o = np.array([shared, None, {"k": shared}, shared], dtype=object); o[1] = o
    """,
    mutate="shared.append(2); o[0] = [1]; o[2]['k'] = None; o[1] = o.copy(); o[3] += [4]",
    check="""
        assert o[0] is o[3] is shared == [1] and o[1] is o and o[2]["k"] is shared and o.dtype == object
    """,
)
case(
    "generator",
    needs=NUMPY,
    setup="""
        import numpy as np
        g = np.random.default_rng(5); g.random(3); g.integers(0, 10, 3, dtype=np.uint8); g.standard_normal()
        twin = np.random.Generator(np.random.PCG64()); twin.bit_generator.state = g.bit_generator.state
        def draw(g):
            return g.integers(0, 10, 5, dtype=np.uint8).tolist(), g.random(4).tobytes(), g.permutation(9).tolist()
        expected = draw(twin)
        bits, spawned = g.bit_generator, g.bit_generator.seed_seq.n_children_spawned
    """,
    mutate="g.random(7); g.integers(0, 10, dtype=np.uint8); g.shuffle([1, 2]); g.spawn(2); bits.advance(5)",
    check="""
        assert g.bit_generator is bits and bits.seed_seq.n_children_spawned == spawned
        assert draw(g) == expected
    """,
    consumes=True,
    diverge="g.random({i} + 1)",
)
case(
    "legacy_random_state",
    needs=NUMPY,
    setup="""
        import numpy as np
        np.random.seed(3); np.random.randn(); r = np.random.RandomState(4); r.standard_normal(3)
        def key(s): return s[0], s[1].tobytes(), *s[2:]
        states = key(np.random.get_state()), key(r.get_state())
    """,
    mutate="np.random.rand(5); r.seed(9); np.random.shuffle([1, 2, 3]); np.random.randn()",
    check="""
        assert states == (key(np.random.get_state()), key(r.get_state())) and states[0][3] == 1
        value = np.random.randn()
        twin = np.random.RandomState(3)
        twin.randn()
        assert value == twin.randn()
    """,
    consumes=True,
)
case(
    "bit_generators",
    needs=NUMPY,
    setup="""
        import numpy as np
        kinds = [np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64]
        bits = [k(7) for k in kinds]
        for b in bits:
            b.random_raw(3); np.random.Generator(b).integers(0, 5, dtype=np.uint16)
        states = [repr(b.state) for b in bits]; following = [k(7).random_raw(4)[-1] for k in kinds]
    """,
    mutate="[b.random_raw() for b in bits]; bits[2]._legacy_seeding(1); bits[3] = bits[3].jumped()",
    check="""
        assert [repr(b.state) for b in bits] == states and [type(b) for b in bits] == kinds
        bits[0].random_raw()
    """,
    consumes=True,
)
case(
    "memory_order_and_flags",
    needs=NUMPY,
    setup="""
        import numpy as np
        f = np.asfortranarray(np.arange(6).reshape(2, 3)); ro = np.arange(3); ro.flags.writeable = False
        frozen = ro[1:]; bc = np.broadcast_to(np.arange(2), (3, 2))
    """,
    mutate="""
        ro.flags.writeable = True; ro[0] = 9; f = np.ascontiguousarray(f); frozen = frozen.copy()
        f.flags.writeable = 0
    """,
    check="""
        assert f.flags.f_contiguous and not f.flags.c_contiguous and f.flags.writeable and f.strides == (8, 16)
        assert not ro.flags.writeable and not frozen.flags.writeable and frozen.base is ro and ro[0] == 0
        assert bc.strides == (0, 8) and not bc.flags.writeable
    """,
)
case(
    "error_state_and_print_options",
    needs=NUMPY,
    setup="""
        import numpy as np
        np.seterr(divide="raise", over="ignore"); np.set_printoptions(precision=3, suppress=True)
        handler = lambda *a: None
        np.seterrcall(handler); size = np.getbufsize()
        cm = np.errstate(invalid="raise"); cm.__enter__()
    """,
    mutate="np.seterr(all='ignore'); np.set_printoptions(precision=10); np.seterrcall(None); np.setbufsize(4096)",
    check="""
        err = np.geterr()
        assert (err["divide"], err["over"], err["invalid"]) == ("raise", "ignore", "raise")
        assert np.geterrcall() is handler
        assert np.get_printoptions()["precision"] == 3 and repr(np.array([1 / 3])) == "array([0.333])"
        assert np.getbufsize() == size
        try:
            np.array([1.0]) / 0
        except FloatingPointError:
            pass
        else:
            assert False, "no error for a division by zero"
    """,
)
case(
    "nditer_and_flat_iterators",
    needs=NUMPY,
    setup="""
        import numpy as np
        a = np.arange(6).reshape(2, 3)
        it = np.nditer(a, flags=["multi_index"], op_flags=["readwrite"]); it.iternext(); it.iternext()
        fl = a.flat; next(fl); next(fl); nd = np.ndenumerate(a); next(nd); ix = np.ndindex(2, 2); next(ix)
        b = np.broadcast(a, np.ones((2, 1))); next(b)
    """,
    mutate="it[0][...] = 50; it.iternext(); next(fl); next(nd); next(ix); b.reset(); a.flat[5] = 9",
    check="""
        assert a.tolist() == [[0, 1, 2], [3, 4, 5]] and it.multi_index == (0, 2) and it.iterindex == 2 and it[0] == 2
        assert fl.index == 2 and fl.base is a and next(nd) == ((0, 1), 1) and next(ix) == (0, 1) and b.index == 1
    """,
    consumes=True,
)
case(
    "memmap_copy_on_write",
    needs=NUMPY,
    setup="""
        import numpy as np, tempfile
        f = tempfile.TemporaryFile(); f.write(np.arange(3000).astype("<i4").tobytes()); f.flush()
        m = np.memmap(f, dtype="<i4", mode="c", offset=16); m[0] = -1
        read = np.memmap(f, dtype="<i4", mode="r"); part = m[100:200]
    """,
    mutate="m[5] = 77; part[:] = 0; m[-1] = 1",
    check="""
        assert m[0] == -1 and m[1:].tolist() == list(range(5, 3000)) and part.base is m and read[4] == 4
        assert m.mode == "c" and not read.flags.writeable
    """,
)
case(
    "ufunc_out_and_reductions",
    needs=NUMPY,
    setup="""
        import numpy as np
        out = np.zeros(4); a = np.array([1.0, 4.0, 9.0, 16.0]); got = np.sqrt(a, out=out)
        acc = np.zeros(3, int); np.add.at(acc, [0, 0, 2], 1)
        calls = []
        mine = np.frompyfunc(lambda x: calls.append(x) or x, 1, 1); mine(a)
    """,
    mutate="""
        np.square(a, out=out); np.multiply(a, 2, out=a, where=[1, 0, 1, 0]); np.add.at(acc, [1], 5); mine(a)
        got = out + 0
    """,
    check="""
        assert got is out and out.tolist() == [1, 2, 3, 4] and a.tolist() == [1, 4, 9, 16] and acc.tolist() == [2, 0, 1]
        assert calls == [1, 4, 9, 16] and isinstance(mine, np.ufunc)
    """,
)
case(
    "dtypes_dates_strings",
    needs=NUMPY,
    setup="""
        import numpy as np
        d = np.array(["2020-02-29", "NaT"], "datetime64[D]"); t = np.array([1, 2], "timedelta64[h]")
        u = np.array(["ä", "bc"]); c = np.array([1 + 2j, -0.0], np.complex64); h = np.array([1, np.nan], np.float16)
        z = np.array(["long string of variable size", ""], dtype=np.dtypes.StringDType()); b = np.array([True, False])
        raw = [x.tobytes() for x in (d, t, u, c, h, b)]
    """,
    mutate="""
        d += 1; t[0] = 0; u[0] = 'zz'; c.imag = 0; h[1] = 0; z[1] = 'other text that is quite long'
        np.logical_not(b, out=b)
    """,
    check="""
        assert [x.tobytes() for x in (d, t, u, c, h, b)] == raw and np.isnat(d[1]) and d.dtype.str == "<M8[D]"
        assert z.tolist() == ["long string of variable size", ""] and h.dtype == np.float16
    """,
)
case(
    "subclasses_and_attributes",
    needs=NUMPY,
    setup="""
        import numpy as np
        class Tagged(np.ndarray):
            def __array_finalize__(self, obj): self.tag = getattr(obj, "tag", None)
        t = np.arange(3).view(Tagged); t.tag = ["set"]; v = t[1:]; m = np.matrix([[1, 2]])
        poly = np.polynomial.Polynomial([1, 2, 3]); p1 = np.poly1d([1, 2])
    """,
    mutate="t.tag.append(1); v.tag = None; t[0] = 5; m[0, 0] = 9; poly.coef[0] = 7; p1.coeffs[0] = 8; Tagged.x = 1",
    check="""
        assert type(v) is Tagged and v.tag is t.tag == ["set"] and t.tolist() == [0, 1, 2] and m.tolist() == [[1, 2]]
        assert poly(1) == 6 and p1(1) == 3 and not hasattr(Tagged, "x") and v.base is t
    """,
)
case(
    "linear_algebra_results",
    needs=NUMPY,
    setup="""
        import numpy as np
        rng = np.random.default_rng(0); a = rng.random((200, 200)); product = a @ a
        q, r = np.linalg.qr(a); w = np.fft.rfft(a[0]); digest = [x.tobytes() for x in (a, product, q, r, w)]
        ids = [id(x) for x in (a, product, q, r, w)]
    """,
    mutate="np.matmul(a, product, out=q); r[:] = 0; w *= 2; a @ a; np.linalg.solve(a, a); a[0] = 1",
    check="""
        assert [x.tobytes() for x in (a, product, q, r, w)] == digest and [id(x) for x in (a, product, q, r, w)] == ids
        assert np.allclose(a @ a, product) and np.allclose(q @ r, a)
    """,
    note="the library of linear algebra keeps threads, which a fork does not have",
)
case(
    "buffers_shared_with_python",
    needs=NUMPY,
    setup="""
        import numpy as np, array
        raw = bytearray(16); a = np.frombuffer(raw, dtype=np.int64); a[1] = 5
        arr = array.array("i", [1, 2, 3]); b = np.asarray(arr); view = memoryview(a)
    """,
    mutate="raw[0] = 1; b[0] = 100; view[1] = 6; a = np.zeros(2, np.int64)",
    check="""
        assert a.tolist() == [0, 5] and raw[8] == 5 and arr.tolist() == [1, 2, 3]
        raw[0] = 3
        arr[2] = 9
        assert a[0] == 3 and b[2] == 9 and view[0] == 3 and view.obj is a
        raw[0] = 0
        arr[2] = 3
    """,
)
