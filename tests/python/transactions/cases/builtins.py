"""Built-in containers and values: content, order, aliasing, identity."""

from ..case import case

case(
    "list_in_place",
    setup="""
        x = [3, [1, 2], (4, [5]), "s"]
        inner = x[1]
        x_id, inner_id = id(x), id(inner)
    """,
    mutate="""
        x.reverse(); x.append(object()); x.insert(0, inner); inner.extend([7, 8]); x[3] = None; del x[1]
        inner = list(inner)
    """,
    check="""
        assert x == [3, [1, 2], (4, [5]), "s"] and type(x) is list
        assert id(x) == x_id and x[1] is inner and id(inner) == inner_id
    """,
    diverge="x.append('branch {i}')",
)
case(
    "dict_order_and_views",
    setup="""
        d = {"b": 1, "a": [2], ("t", 1): {3}, None: 4.5}
        keys, values, items = d.keys(), d.values(), d.items()
        d_id, a_id = id(d), id(d["a"])
    """,
    mutate="""
        d["b"] = d.pop("b"); d["a"].append(3); d.update(new=5); d[None] = 0; d.setdefault("x", d)
    """,
    check="""
        assert list(d) == ["b", "a", ("t", 1), None] == list(keys) and list(values) == [1, [2], {3}, 4.5]
        assert id(d) == d_id and id(d["a"]) == a_id and len(items) == 4
    """,
    diverge="d['branch'] = {i}",
)
case(
    "set_and_frozenset",
    setup="""
        s = {"one", 2, (3, 4), frozenset({5})}
        order = list(s)
        alias = s
        held = {s_id: s for s_id in [id(s)]}
    """,
    mutate="""
        s.add("six"); s.discard(2); s ^= {"one", "seven"}; s |= {8}; held.clear()
        alias = set(s)
    """,
    check="""
        assert s == {"one", 2, (3, 4), frozenset({5})} and list(s) == order
        assert alias is s and held == {id(s): s} and held[id(s)] is s
    """,
)
case(
    "cycles",
    setup="""
        a, b = [], {}
        a += [b, a]
        b["a"], b["b"] = a, b
        t = (a, [])
        t[1].append(t)
        ids = (id(a), id(b), id(t))
    """,
    mutate="""
        a[1] = list(a); b["b"] = dict(b); t[1].clear(); a.append(t); b["t"] = t
    """,
    check="""
        assert a[0] is b and a[1] is a and len(a) == 2
        assert b == {"a": a, "b": b} or (b["a"] is a and b["b"] is b)
        assert list(b) == ["a", "b"] and t[0] is a and t[1][0] is t and len(t[1]) == 1
        assert ids == (id(a), id(b), id(t))
    """,
)
case(
    "aliases_in_many_containers",
    setup="""
        shared = [1]
        holders = [shared, {"k": shared}, (shared,), [[shared]], {1: {2: shared}}]
        equal = [1]
    """,
    mutate="""
        shared.append(2)
        holders[0] = equal; holders[1]["k"] = list(shared); holders[3][0][0] = equal; holders[4][1] = {2: [1]}
        shared = holders[2][0].copy()
    """,
    check="""
        assert shared == [1] and equal == [1] and equal is not shared
        assert holders[0] is shared and holders[1]["k"] is shared and holders[2][0] is shared
        assert holders[3][0][0] is shared and holders[4][1][2] is shared
    """,
)
case(
    "equal_but_not_the_same",
    setup="""
        one, two = [1, 2], [1, 2]
        pair = [one, two]
    """,
    mutate="two = one; pair[1] = one",
    check="assert one == two == [1, 2] and one is not two and pair[0] is one and pair[1] is two",
    note="only identity tells the states apart",
)
case(
    "bytearray_and_memoryview",
    setup="""
        buffer = bytearray(b"hello world")
        view = memoryview(buffer)[6:]
        cast = memoryview(bytearray(16)).cast("I")
        cast[2] = 77
        buffer_id = id(buffer)
    """,
    mutate="""
        view[0:5] = b"WORLD"; cast[2] = 1; cast[0] = 9
        view.release()
        buffer += b" and more"; buffer[0:1] = b""
    """,
    check="""
        assert buffer == b"hello world" and id(buffer) == buffer_id
        assert bytes(view) == b"world" and view.obj is buffer and not view.readonly
        assert cast.tolist() == [0, 0, 77, 0]
        try:
            buffer.append(1)
        except BufferError:
            pass
        else:
            assert False, "the view holds the buffer no more"
    """,
)
case(
    "memoryview_released",
    setup="""
        base = bytearray(range(8))
        view = memoryview(base)
        part = view[2:6]
        strided = view[::2]
    """,
    mutate="part.release(); strided.release(); view.release(); base.clear()",
    check="""
        assert part.tolist() == [2, 3, 4, 5] and part.obj is base and strided.tolist() == [0, 2, 4, 6]
        assert view.nbytes == 8 and strided.strides == (2,)
    """,
)
case(
    "deep_nesting",
    setup="""
        root = bottom = ["bottom"]
        for depth in range(5000):
            root = [root, depth]
        bottom_id = id(bottom)
    """,
    mutate="""
        node = root
        for _ in range(2500):
            node = node[0]
        node[0] = ["cut"]
        bottom.append("more")
    """,
    check="""
        n, count = root, 0
        while type(n[0]) is list:
            n = n[0]
            count += 1
        assert count == 5000 and n is bottom and id(n) == bottom_id and n == ["bottom"]
    """,
    note="deeper than any recursive copy would reach",
)
case(
    "big_integers_and_floats",
    setup="""
        import math
        n = 3 ** 5000
        values = [n, -0.0, float("nan"), float("inf"), 1e-320, complex(1, -0.0), True]
        nan, ids = values[2], [id(v) for v in values]
    """,
    mutate="""
        values[:] = [n + 1, 0.0, float("nan"), -math.inf, 0.0, 1 + 0j, 1]
        n //= 3
    """,
    check="""
        assert n == 3 ** 5000 and values[0] is n and values[2] is nan and math.isnan(nan)
        assert math.copysign(1, values[1]) == -1 and math.copysign(1, values[5].imag) == -1
        assert values[3] == math.inf and 0 < values[4] < 1e-300 and values[6] is True
        assert ids == [id(v) for v in values]
    """,
)
case(
    "strings_interned_and_not",
    setup="""
        import sys
        words = ["".join(["ab", str(i)]) for i in range(4)]
        interned = sys.intern(words[0] + "!")
        table = {w: i for i, w in enumerate(words)}
        first = words[0]
    """,
    mutate="""
        words[0] = "".join(["a", "b0"]); table = {str(w): i + 1 for w, i in table.items()}; words.sort(reverse=True)
        interned = "".join(["ab0", "!"])
    """,
    check="""
        assert words == ["ab0", "ab1", "ab2", "ab3"] and words[0] is first
        assert next(iter(table)) is first and table == {"ab0": 0, "ab1": 1, "ab2": 2, "ab3": 3}
        assert sys.intern("".join(["ab0", "!"])) is interned
    """,
)
case(
    "slices_ranges_ellipsis",
    setup="""
        parts = {"s": slice(1, [2], None), "r": range(0, 10, 3), "e": ..., "n": NotImplemented}
        stop = parts["s"].stop
    """,
    mutate="""
        stop.append(3); parts["r"] = range(9, -1, -3); parts["e"] = None; del parts["n"]
    """,
    check="""
        assert parts["s"].stop is stop == [2] and list(parts["r"]) == [0, 3, 6, 9]
        assert parts["e"] is Ellipsis and parts["n"] is NotImplemented
    """,
)
case(
    "dict_with_odd_keys",
    setup="""
        class Key:
            def __init__(self, n): self.n = n
            def __hash__(self): return 1
            def __eq__(self, other): return self is other
        keys = [Key(n) for n in range(5)]
        table = {k: k.n for k in keys}
        table[1] = "one"
    """,
    mutate="""
        table[keys[2]] = -1; del table[keys[0]]; table[1.0] = "float"; keys[1].n = 99
        table[keys[0]] = 0
    """,
    check="""
        assert [k.n for k in keys] == [0, 1, 2, 3, 4] and [table[k] for k in keys] == [0, 1, 2, 3, 4]
        assert list(table) == [*keys, 1] and all(a is b for a, b in zip(table, keys))
        assert table[1] == "one" and type(list(table)[-1]) is int
    """,
)
case(
    "identity_hashed_sets",
    setup="""
        class Plain: pass
        things = [Plain() for _ in range(50)]
        members = set(things[::2])
        order = list(members)
        hashes = [hash(t) for t in things]
    """,
    mutate="""
        members.symmetric_difference_update(things[:10]); things.sort(key=id, reverse=True)
        things[3] = Plain()
    """,
    check="""
        assert members == set(things[::2]) and all(a is b for a, b in zip(members, order)) and len(order) == 25
        assert [hash(t) for t in things] == hashes and all(hash(t) == object.__hash__(t) for t in things)
    """,
    note="hashes are addresses: they must stay the same",
)
case(
    "module_globals",
    setup="""
        counter, names = 0, []
        def bump():
            global counter
            counter += 1
            names.append(counter)
            return counter
        bump(); bump()
        before = sorted(k for k in globals() if not k.startswith("_"))
    """,
    mutate="""
        bump(); bump()
        extra = 1
        del before
        names = tuple(names)
        def bump(): return None
        globals()["dynamic"] = 2
        __annotations__ = {"a": int}
    """,
    check="""
        assert counter == 2 and names == [1, 2] and type(names) is list
        assert before == [k for k in before if k in globals()] and "extra" not in globals()
        assert "dynamic" not in globals() and bump.__code__.co_names[0] == "counter"
        assert bump.__globals__ is globals() and "a" not in globals().get("__annotations__", {})
    """,
    diverge="counter = 10 + {i}; names.append('branch')",
)
case(
    "main_module_attributes",
    setup="""
        import __main__
        __main__.flag = [1]
        __doc__ = "as set up"
        main = __main__
    """,
    mutate="""
        del __main__.flag
        __doc__ = "changed"
        __main__.other = 2
        main = None
    """,
    check="""
        import __main__ as again
        assert main is again and main.__dict__ is globals() and flag == [1] and main.flag is flag
        assert __doc__ == "as set up" and not hasattr(main, "other")
    """,
)
case(
    "large_objects",
    setup="""
        import hashlib
        block = bytearray(bytes(range(256)) * 32768)
        text = "ä€😀" * 200_000
        numbers = list(range(300_000))
        digest = hashlib.sha256(block).digest()
        ids = id(block), id(text), id(numbers), id(numbers[250_000])
    """,
    mutate="""
        block[4096::8192] = b"\\xff" * len(block[4096::8192])
        numbers[1::2] = numbers[0::2]
        text = text[:-1] + "x"
    """,
    check="""
        assert hashlib.sha256(block).digest() == digest and numbers == list(range(300_000))
        assert len(text) == 600_000 and text[-3:] == "ä€😀"
        assert ids == (id(block), id(text), id(numbers), id(numbers[250_000]))
    """,
    note="more than 8 MiB: pages, not objects, are what comes back",
)
