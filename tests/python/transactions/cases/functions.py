"""Functions, closures, caches, context variables, exceptions, frames."""

from ..case import case

case(
    "closures_with_nonlocal",
    setup="""
        def make():
            count, log = 0, []
            def step(n=1):
                nonlocal count
                count += n
                log.append(count)
                return count
            def read(): return count, log
            return step, read
        step, read = make()
        step(); step(5)
        cell = step.__closure__[0]
    """,
    mutate="step(10); read()[1].clear(); cell.cell_contents = -1; step.__defaults__ = (7,)",
    check="""
        assert read() == (6, [1, 6]) and step.__closure__[0] is cell is read.__closure__[0]
        assert cell.cell_contents == 6 and step.__defaults__ == (1,)
    """,
    diverge="step({i} + 1)",
)
case(
    "function_attributes_and_defaults",
    setup="""
        def f(a, b=[], *, c={"k": 1}) -> int:
            "doc"
            b.append(a)
            return len(b)
        f.calls = 0
        f(1)
        code, b, c = f.__code__, f.__defaults__[0], f.__kwdefaults__["c"]
    """,
    mutate="""
        f(2); f.calls += 1; f.__doc__ = "new"; f.__code__ = (lambda a, b=0, *, c=0: 99).__code__
        f.__kwdefaults__ = {"c": 2}; f.__annotations__["return"] = str; c["k"] = 2; f.__name__ = "g"
    """,
    check="""
        assert f.__code__ is code and f.__defaults__[0] is b == [1] and f.__kwdefaults__ == {"c": {"k": 1}}
        assert f.__kwdefaults__["c"] is c and f.calls == 0 and f.__doc__ == "doc" and f.__name__ == "f"
        assert f.__annotations__ == {"return": int}
    """,
)
case(
    "lru_cache",
    setup="""
        import functools
        calls = []
        @functools.lru_cache(maxsize=3)
        def slow(n):
            calls.append(n)
            return [n]
        slow(1); slow(2); slow(3); slow(1)
        one, info = slow.__wrapped__, slow.cache_info()
    """,
    mutate="slow(4); slow(5); slow.cache_clear(); slow(9); slow(1).append('x')",
    check="""
        assert slow.cache_info() == info and calls == [1, 2, 3] and slow.__wrapped__ is one
        held = slow(1), slow(3), slow(2), slow(1)
        assert calls == [1, 2, 3] and held[0] is held[3] and held[:3] == ([1], [3], [2])
    """,
    consumes=True,
)
case(
    "cached_property",
    setup="""
        import functools
        class Lazy:
            computed = 0
            @functools.cached_property
            def value(self):
                type(self).computed += 1
                return [self.computed]
            @functools.cached_property
            def untouched(self): return 1
        lazy = Lazy(); first = lazy.value
    """,
    mutate="del lazy.value; lazy.value; lazy.untouched; first.append(2)",
    check="""
        assert lazy.__dict__ == {"value": [1]} and lazy.value is first and Lazy.computed == 1
    """,
)
case(
    "partials_and_wrappers",
    setup="""
        import functools, operator
        target = []
        add = functools.partial(target.append, 1)
        keyed = functools.partial(dict, a=target)
        getter = operator.attrgetter("real")
        add()
        add.note = "n"
    """,
    mutate="""
        add(); keyed.keywords["a"] = None; keyed.keywords["b"] = 2; del add.note
        add.__setstate__((print, ("x",), {}, None))
    """,
    check="""
        assert target == [1] and add.func.__self__ is target and add.args == (1,) and add.note == "n"
        assert keyed.keywords == {"a": target} and keyed()["a"] is target
    """,
)
case(
    "context_variables",
    setup="""
        import contextvars
        var = contextvars.ContextVar("var", default="default")
        other = contextvars.ContextVar("other")
        token = var.set(["first"])
        value = var.get()
        saved = contextvars.copy_context()
    """,
    mutate="var.set(['second']); other.set(1); value.append(2); saved.run(var.set, 'in the copy'); var.reset(token)",
    check="""
        assert var.get() is value == ["first"] and other.get("none") == "none" and saved[var] is value
        assert token.old_value is contextvars.Token.MISSING and len(saved) == len(contextvars.copy_context())
    """,
)
case(
    "context_variable_reset_with_its_token",
    setup="""
        import contextvars
        var = contextvars.ContextVar("var")
        var.set("outer")
        token = var.set("inner")
    """,
    mutate="var.reset(token)",
    check="""
        assert var.get() == "inner"
        var.reset(token)
        assert var.get() == "outer"
    """,
    consumes=True,
    note="a token may be used once: its use must be undone too",
)
case(
    "exceptions_with_tracebacks",
    setup="""
        def fail(n):
            local = [n]
            if n:
                fail(n - 1)
            raise ValueError("deep", local)
        try:
            try:
                fail(3)
            except ValueError as cause:
                raise KeyError("outer") from cause
        except KeyError as error:
            kept = error
        cause, trace = kept.__cause__, kept.__cause__.__traceback__
        def frames(tb):
            found = []
            while tb is not None:
                found.append(tb.tb_frame)
                tb = tb.tb_next
            return found
        local = frames(trace)[-1].f_locals["local"]
        depth = len(frames(trace))
    """,
    mutate="""
        local.append("x"); trace.tb_next = None; kept.args = ("other",); kept.__cause__ = None; cause.note = 1
        cause.__traceback__ = None
    """,
    check="""
        assert kept.args == ("outer",) and kept.__cause__ is cause and kept.__suppress_context__
        assert cause.__traceback__ is trace and len(frames(trace)) == depth == 5 and not hasattr(cause, "note")
        assert frames(trace)[-1].f_locals["local"] is local == [0] == cause.args[1]
    """,
)
case(
    "suspended_frames_and_their_locals",
    setup="""
        def gen():
            data, seen = [1], {}
            while True:
                got = yield data, seen
                data.append(got); seen[got] = len(data)
        g = gen(); next(g); g.send("a")
        frame = g.gi_frame
    """,
    mutate="g.send('b'); frame.f_locals['data'].append('z'); g.close()",
    check="""
        assert g.gi_frame is frame and not g.gi_running
        assert frame.f_locals["data"] == [1, "a"] and frame.f_locals["seen"] == {"a": 2}
        assert g.send("c") == ([1, "a", "c"], {"a": 2, "c": 3})
    """,
    consumes=True,
)
case(
    "context_managers_held_open",
    setup="""
        import contextlib
        log = []
        @contextlib.contextmanager
        def managed(name):
            log.append("+" + name)
            try:
                yield name
            finally:
                log.append("-" + name)
        stack = contextlib.ExitStack()
        stack.enter_context(managed("a")); stack.enter_context(managed("b")); stack.callback(log.append, "c")
    """,
    mutate="stack.close(); stack.enter_context(managed('d'))",
    check="""
        assert log == ["+a", "+b"]
        stack.close()
        assert log == ["+a", "+b", "c", "-b", "-a"]
    """,
    consumes=True,
)
case(
    "match_objects",
    setup="""
        import re
        pattern = re.compile(r"(?P<word>\\w+)-(\\d+)")
        match = pattern.search("see ab-12 and cd-34")
        scanner = pattern.finditer("a-1 b-2 c-3 d-4")
        first = next(scanner)
    """,
    mutate="next(scanner); next(scanner); match = pattern.search('zz-9'); pattern = re.compile('x')",
    check="""
        assert match.groupdict() == {"word": "ab"} and match.span(2) == (7, 9) and match.re is pattern
        assert first.group() == "a-1" and [m.group() for m in scanner] == ["b-2", "c-3", "d-4"]
    """,
    consumes=True,
)
case(
    "lambdas_in_structures",
    setup="""
        k = 1
        table = {n: (lambda x, n=n: x * n + k) for n in range(3)}
        alias = table[2]
    """,
    mutate="k = 100; table[2].__defaults__ = (9,); table[0] = table[1]; del table[1]",
    check="""
        assert [f(10) for f in table.values()] == [1, 11, 21] and list(table) == [0, 1, 2] and table[2] is alias
        assert table[0] is not table[1]
    """,
)
