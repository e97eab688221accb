"""More of the standard library: parsers of options, logging, mocks, shelves, templates, pickles, tests."""

from ..case import case

case(
    "argparse_parser",
    setup="""
        import argparse
        p = argparse.ArgumentParser(prog="case", exit_on_error=False)
        group = p.add_mutually_exclusive_group(); group.add_argument("--on", action="store_true")
        p.add_argument("-n", type=int, default=3); ns = p.parse_args(["-n", "5"])
        text = p.format_help()
    """,
    mutate="p.add_argument('extra'); p.set_defaults(n=9); ns.n = 0; ns.more = 1; p.prog = 'x'; group.required = True",
    check="""
        assert p.format_help() == text and vars(ns) == {"on": False, "n": 5} and vars(p.parse_args([]))["n"] == 3
        assert not group.required
    """,
)
case(
    "logging_configuration",
    setup="""
        import io, logging
        stream = io.StringIO()
        log = logging.getLogger("case.log"); log.setLevel(logging.INFO); log.propagate = False
        handler = logging.StreamHandler(stream); handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        log.addHandler(handler); log.info("one"); disabled = logging.root.manager.disable
        handlers = list(logging.root.handlers)
    """,
    mutate="""
        log.debug("no"); log.info("two"); log.setLevel(logging.ERROR); log.handlers.clear(); handler.setLevel(50)
        log.addFilter(lambda r: False); logging.disable(logging.CRITICAL); logging.addLevelName(20, "NOTE")
        logging.getLogger("case.new"); handler.formatter = None; logging.basicConfig()
    """,
    check="""
        assert logging.root.handlers == handlers and logging.getLogger("case.log") is log
        assert log.handlers == [handler] and not log.filters
        assert "case.new" not in logging.root.manager.loggerDict and logging.root.manager.disable == disabled
        assert stream.getvalue() == "INFO one\\n" and logging.getLevelName(20) == "INFO" and log.level == 20
        log.info("again")
        assert stream.getvalue() == "INFO one\\nINFO again\\n"
        stream.seek(9); stream.truncate()
    """,
)
case(
    "logging_memory_handler",
    setup="""
        import logging, logging.handlers
        flushed = []
        class Target(logging.Handler):
            def emit(self, record): flushed.append(record.getMessage())
        memory = logging.handlers.MemoryHandler(3, flushLevel=logging.ERROR, target=Target())
        log = logging.Logger("alone"); log.addHandler(memory); log.warning("one"); log.warning("two")
    """,
    mutate="log.error('flush it')",
    check="""
        assert flushed == [] and [r.msg for r in memory.buffer] == ["one", "two"]
        log.warning("three")
        assert flushed == ["one", "two", "three"]
    """,
    consumes=True,
)
case(
    "mock_patches",
    setup="""
        import os, unittest.mock as mock
        real = os.getcwd
        patcher = mock.patch("os.getcwd", return_value="/patched"); fake = patcher.start(); os.getcwd()
        m = mock.MagicMock(side_effect=[1, 2, 3]); m("a"); m.attr.deep.return_value = 5
    """,
    mutate="m('b'); m.attr.deep(); m.new; patcher.stop(); fake.return_value = None; m.reset_mock()",
    check="""
        assert os.getcwd is fake and fake.call_count == 1 and os.getcwd is not real
        assert m.mock_calls == [mock.call("a")] and m.attr.deep.call_count == 0 and "new" not in m._mock_children
        assert fake.return_value == "/patched" and m("b") == 2
    """,
    consumes=True,
)
case(
    "shelf_with_write_back",
    setup="""
        import dbm.dumb, os, shelve, tempfile
        where = tempfile.mkdtemp()
        shelf = shelve.Shelf(dbm.dumb.open(os.path.join(where, "s"), "c"), writeback=True)
        shelf["a"] = [1]; shelf.sync(); shelf["a"].append(2)
        cached = shelf["a"]
    """,
    mutate="shelf['a'].append(3); shelf['b'] = 1; del shelf['b']; shelf.cache.clear()",
    check="""
        assert cached == [1, 2] and shelf.cache == {"a": [1, 2]} and shelf["a"] is cached and list(shelf) == ["a"]
    """,
)
case(
    "templates_and_formatters",
    setup="""
        import string, textwrap
        t = string.Template("$who likes ${what}"); f = string.Formatter()
        class Mine(string.Template): delimiter = "%"
        wrapper = textwrap.TextWrapper(width=10)
        parts = f.parse("a{b}c{d!r:>3}"); first = next(parts)
    """,
    mutate="t.template = 'x'; Mine.delimiter = '#'; wrapper.width = 20; next(parts); string.Template.idpattern = 'z'",
    check="""
        assert t.substitute(who="tim", what="pie") == "tim likes pie" and Mine("%a").safe_substitute(a=1) == "1"
        assert wrapper.width == 10 and Mine.delimiter == "%" and string.Template.idpattern != "z"
        assert first[:2] == ("a", "b") and [p[1] for p in parts] == ["d"]
    """,
    consumes=True,
)
case(
    "simple_namespaces_and_modules",
    setup="""
        import types
        ns = types.SimpleNamespace(a=[1], b=2); ns.me = ns
        m = types.ModuleType("m", "doc"); exec("x = [1]\\ndef f(): x.append(2); return x", m.__dict__)
        proxy = types.MappingProxyType(table := {"k": 1})
    """,
    mutate="ns.a.append(2); del ns.b; ns.me = None; m.f(); m.y = 1; table['z'] = 2; m.x = ()",
    check="""
        assert ns.a == [1] and ns.b == 2 and ns.me is ns and list(vars(ns)) == ["a", "b", "me"]
        assert m.x == [1] and not hasattr(m, "y") and dict(proxy) == {"k": 1} and m.f.__globals__ is m.__dict__
    """,
)
case(
    "picklers_with_memos",
    setup="""
        import copyreg, io, pickle
        class C: pass
        shared = [1]
        out = io.BytesIO(); p = pickle.Pickler(out, 4); p.dump(shared); size = out.tell()
        source = io.BytesIO(pickle.dumps("one") + pickle.dumps("two") + pickle.dumps("three"))
        u = pickle.Unpickler(source); first = u.load()
        copyreg.pickle(C, lambda c: (C, ()))
    """,
    mutate="p.dump(shared); p.clear_memo(); u.load(); copyreg.dispatch_table.pop(C); out.truncate(1)",
    check="""
        assert out.tell() == size and C in copyreg.dispatch_table and first == "one"
        assert len(p.memo.copy()) == 1
        assert pickle.loads(out.getvalue()) == [1] and u.load() == "two" and u.load() == "three"
    """,
    consumes=True,
)
case(
    "config_parsers",
    setup="""
        import configparser
        c = configparser.ConfigParser(); c.read_string("[a]\\nx = 1\\ny = %(x)s2\\n[b]\\n")
        section = c["a"]
    """,
    mutate="""
        section['x'] = '9'; c.add_section('z'); c.remove_section('b'); c['DEFAULT']['q'] = '1'; c.optionxform = str
    """,
    check="""
        assert c.sections() == ["a", "b"] and dict(section) == {"x": "1", "y": "12"} and c["a"] is section
        assert not c.defaults() and c.optionxform("A") == "a"
    """,
)
case(
    "schedulers_and_topological_sorters",
    setup="""
        import graphlib, sched
        clock = [0.0]
        s = sched.scheduler(lambda: clock[0], lambda d: clock.__setitem__(0, clock[0] + d)); ran = []
        s.enter(5, 1, ran.append, ("a",)); late = s.enter(9, 1, ran.append, ("b",))
        g = graphlib.TopologicalSorter({"d": {"b"}, "b": {"a"}}); g.prepare(); ready = g.get_ready()
    """,
    mutate="s.cancel(late); s.run(); g.done(*ready); g.get_ready()",
    check="""
        assert clock == [0.0] and ran == [] and len(s.queue) == 2 and ready == ("a",) and g.get_ready() == ()
        g.done("a")
        assert g.get_ready() == ("b",)
    """,
    consumes=True,
)
case(
    "regular_expressions_and_their_cache",
    setup="""
        import re
        re.purge()
        p = re.compile("a+(?P<x>b)?", re.I); p_id = id(p)
        s = p.scanner("aab AB a"); found = [s.search().group()]
        cached = dict(re._cache)
    """,
    mutate="re.compile('other'); s.search(); re.purge(); p = re.compile('a+')",
    check="""
        assert id(p) == p_id and re.compile("a+(?P<x>b)?", re.I) is p and re._cache == cached
        assert found == ["aab"] and s.search().group() == "AB" and s.search()["x"] is None
    """,
    consumes=True,
)
case(
    "tokenizers_and_syntax_trees",
    setup="""
        import ast, io, shlex, tokenize
        tree = ast.parse("x = 1 + y"); value = tree.body[0].value
        lex = shlex.shlex("a 'b c' d", posix=True); first = lex.get_token(); lex.push_token("pushed")
        tokens = tokenize.generate_tokens(io.StringIO("a = 1\\n").readline); name = next(tokens).string
        code = compile("1 + 2", "c", "eval")
    """,
    mutate="value.op = ast.Sub(); tree.body.clear(); lex.get_token(); lex.get_token(); next(tokens); lex.quotes = ''",
    check="""
        assert ast.unparse(tree) == "x = 1 + y" and tree.body[0].value is value and eval(code) == 3
        assert lex.quotes and list(lex) == ["pushed", "b c", "d"] and next(tokens).string == "="
    """,
    consumes=True,
)
case(
    "mail_and_headers",
    setup="""
        import email.message, http.cookies, mimetypes, urllib.request
        m = email.message.EmailMessage(); m["Subject"] = "one"; m.set_content("body")
        m.add_attachment(b"x", maintype="a", subtype="b", filename="f")
        jar = http.cookies.SimpleCookie("a=1; b=2"); mimetypes.init(); known = len(mimetypes.types_map)
        opener = urllib.request.build_opener(); text = m.as_string().replace(m.get_boundary() or "-", "B")
        urllib.request.install_opener(opener)
    """,
    mutate="""
        m.replace_header("Subject", "two"); m.clear_content(); jar["a"]["path"] = "/"; del jar["b"]
        mimetypes.add_type("x/case", ".case"); opener.addheaders = []; urllib.request.install_opener(None)
    """,
    check="""
        assert m["Subject"] == "one" and [p.get_filename() for p in m.iter_attachments()] == ["f"]
        assert jar["a"]["path"] == "" and sorted(jar) == ["a", "b"] and len(mimetypes.types_map) == known
        assert opener.addheaders and urllib.request._opener is opener
        assert m.as_string().replace(m.get_boundary() or "-", "B") == text
    """,
)
case(
    "calendars_and_statistics",
    setup="""
        import calendar, statistics
        calendar.setfirstweekday(6)
        dist = statistics.NormalDist(1, 2)
        sampled = dist.samples(3, seed=4)
        weeks = calendar.Calendar(2).itermonthdays(2020, 2); next(weeks)
    """,
    mutate="calendar.setfirstweekday(0); dist._mu = 9.0; sampled.sort(); sampled.append(1); next(weeks)",
    check="""
        assert calendar.firstweekday() == 6 and dist.mean == 1 and dist.samples(3, seed=4) == sampled
        assert next(weeks) == 0 and len(list(weeks)) == 33
    """,
    consumes=True,
)
case(
    "test_suites",
    setup="""
        import unittest
        class T(unittest.TestCase):
            ran = []
            def test_a(self): self.ran.append("a")
            def test_b(self): self.fail("no")
        suite = unittest.TestSuite([T("test_a"), T("test_b")]); result = unittest.TestResult()
        tests = list(suite)
    """,
    mutate="suite.run(result); T.test_a = None; suite.addTest(T('test_b'))",
    check="""
        assert list(suite) == tests and list(suite)[0] is tests[0] and result.testsRun == 0 and T.ran == []
        assert result.failures == [] and callable(T.test_a)
    """,
)
case(
    "differences_half_listed",
    setup="""
        import difflib, pathlib
        matcher = difflib.SequenceMatcher(None, "abcd", "bcde"); ratio = matcher.ratio()
        lines = difflib.ndiff(["a\\n", "b\\n"], ["a\\n", "c\\n"]); first = next(lines)
        p = pathlib.PurePosixPath("/a/b"); p.parts
    """,
    mutate="matcher.set_seq1('zzzz'); next(lines); p = p.parent",
    check="""
        assert matcher.a == "abcd" and matcher.ratio() == ratio and str(p) == "/a/b" and first == "  a\\n"
        assert list(lines) == ["- b\\n", "+ c\\n"]
    """,
    consumes=True,
)
