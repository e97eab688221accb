"""What belongs to the process: environment, directory, modules, interpreter settings, signals, limits."""

from ..case import case

case(
    "os_environ",
    setup="""
        import os
        os.environ["CASE_KEPT"] = "kept"
        os.environ.pop("CASE_NEW", None)
        environ = os.environ
        count = len(os.environ)
    """,
    mutate="os.environ['CASE_NEW'] = '1'; os.environ['CASE_KEPT'] = 'changed'; os.environ.pop('PATH', None)",
    check="""
        import ctypes
        getenv = ctypes.CDLL(None).getenv
        getenv.restype = ctypes.c_char_p
        assert os.environ is environ and len(environ) == count and environ["CASE_KEPT"] == "kept"
        assert getenv(b"CASE_KEPT") == b"kept" and getenv(b"CASE_NEW") is None
    """,
)
case(
    "os_putenv",
    setup="""
        import ctypes, os
        os.putenv("CASE_C", "set up")
        getenv = ctypes.CDLL(None).getenv
        getenv.restype = ctypes.c_char_p
    """,
    mutate="os.putenv('CASE_C', 'changed'); os.putenv('CASE_D', 'new')",
    check="""
        assert getenv(b"CASE_C") == b"set up" and getenv(b"CASE_D") is None and "CASE_C" not in os.environ
    """,
    note="the C library's environment, of which os.environ does not know",
)
case(
    "working_directory",
    setup="""
        import os, tempfile
        where = tempfile.mkdtemp()
        os.chdir(where)
    """,
    mutate="os.chdir('/')",
    check="assert os.getcwd() == os.path.realpath(where) and os.path.samefile('.', where)",
)
case(
    "umask",
    setup="import os; os.umask(0o027)",
    mutate="os.umask(0o077)",
    check="""
        mask = os.umask(0)
        os.umask(mask)
        assert mask == 0o027
    """,
    diverge="os.umask(0o07{i})",
)
case(
    "sys_path",
    setup="""
        import sys
        sys.path.append("/nowhere/one")
        path, copy = sys.path, list(sys.path)
    """,
    mutate="""
        sys.path.insert(0, '/nowhere/two'); sys.path = sys.path[:]; sys.path_hooks.append(None); sys.argv.append('x')
    """,
    check="assert sys.path is path and path == copy and None not in sys.path_hooks and 'x' not in sys.argv",
)
case(
    "sys_modules_and_imports",
    setup="""
        import sys, types, colorsys
        made = types.ModuleType("made_up")
        made.value = [1]
        sys.modules["made_up"] = made
        sys.modules.pop("sndhdr", None); sys.modules.pop("this_is_not", None)
        for name in ("chunk", "nturl2path"):
            sys.modules.pop(name, None)
    """,
    mutate="""
        import nturl2path
        made.value.append(2); del sys.modules["colorsys"]; sys.modules["this_is_not"] = None
        import colorsys
        sys.modules["made_up"] = types.ModuleType("made_up")
    """,
    check="""
        import made_up
        assert made_up is made and made.value == [1] and sys.modules["colorsys"] is colorsys
        assert "nturl2path" not in sys.modules and "this_is_not" not in sys.modules and "nturl2path" not in globals()
    """,
)
case(
    "modules_reloaded_and_patched",
    setup="""
        import json, string, importlib
        dumps, letters, encoder = json.dumps, string.ascii_letters, json.JSONEncoder
        string.added = [1]
    """,
    mutate="""
        json.dumps = lambda x: "patched"
        json.JSONEncoder.default = lambda self, o: "patched"
        string.ascii_letters = "abc"; string.added.append(2)
        importlib.reload(json)
    """,
    check="""
        assert json.dumps is dumps and json.JSONEncoder is encoder and string.ascii_letters is letters
        assert string.added == [1] and json.dumps([1]) == "[1]"
        try:
            json.dumps(object())
        except TypeError:
            pass
        else:
            assert False, "the encoder is still patched"
    """,
)
case(
    "standard_library_internals",
    setup="""
        import time, os, random
        clock, listdir, shuffle = time.time, os.listdir, random.shuffle
    """,
    mutate="time.time = lambda: 0.0; os.listdir = None; random.shuffle = sorted; os.path.join = max; del os.sep",
    check="""
        assert time.time is clock and os.listdir is listdir and random.shuffle is shuffle and os.sep == "/"
        assert os.path.join("a", "b") == "a/b"
    """,
)
case(
    "builtins_patched",
    setup="""
        import builtins
        original = builtins.sum, builtins.abs
        builtins.answer = [42]
    """,
    mutate="builtins.sum = lambda *a: -1; builtins.answer.append(1); builtins.more = 1; builtins.abs = len",
    check="""
        assert (builtins.sum, builtins.abs) == original and answer == [42] and not hasattr(builtins, "more")
        assert sum([1, 2]) == 3 and abs(-2) == 2
    """,
)
case(
    "warnings_filters",
    setup="""
        import warnings
        warnings.simplefilter("error", UserWarning)
        filters, count = warnings.filters, len(warnings.filters)
        shown = []
        warnings.showwarning = lambda *a, **k: shown.append(a[0])
        show = warnings.showwarning
    """,
    mutate="warnings.simplefilter('ignore'); warnings.showwarning = print; warnings.resetwarnings()",
    check="""
        assert warnings.filters is filters and len(filters) == count and filters[0][0] == "error"
        assert warnings.showwarning is show and shown == []
        try:
            warnings.warn("w")
        except UserWarning:
            pass
        else:
            assert False, "the filter is gone"
    """,
)
case(
    "warning_registry_and_catching",
    setup="""
        import warnings
        warnings.simplefilter("default")
        catcher = warnings.catch_warnings(record=True)
        caught = catcher.__enter__()
        warnings.simplefilter("always")
        warnings.warn("first")
    """,
    mutate="warnings.warn('second'); catcher.__exit__(None, None, None)",
    check="""
        assert [str(w.message) for w in caught] == ["first"]
        warnings.warn("again")
        assert len(caught) == 2
        catcher.__exit__(None, None, None)
        assert warnings.filters[0][0] == "default"
    """,
    consumes=True,
)
case(
    "decimal_contexts",
    setup="""
        import decimal
        context = decimal.getcontext()
        context.prec = 11
        context.traps[decimal.Inexact] = False
        decimal.Decimal(1) / 3
        flags = dict(context.flags)
        own = decimal.Context(prec=3, rounding=decimal.ROUND_UP)
    """,
    mutate="""
        context.prec = 50; context.clear_flags(); context.traps[decimal.DivisionByZero] = False
        context.rounding = decimal.ROUND_DOWN; own.prec = 4; decimal.setcontext(decimal.Context(prec=2))
    """,
    check="""
        assert decimal.getcontext() is context and context.prec == 11 and dict(context.flags) == flags
        assert context.traps[decimal.DivisionByZero] and context.rounding == decimal.ROUND_HALF_EVEN
        assert str(decimal.Decimal(2) / 3) == "0.66666666667" and str(own.divide(2, 3)) == "0.667"
    """,
)
case(
    "locale",
    setup="""
        import locale
        locale.setlocale(locale.LC_NUMERIC, "C")
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    """,
    mutate="locale.setlocale(locale.LC_NUMERIC, 'C.UTF-8'); locale.setlocale(locale.LC_CTYPE, 'C')",
    check="""
        assert locale.setlocale(locale.LC_NUMERIC) == "C"
        assert locale.setlocale(locale.LC_CTYPE).lower().replace("-", "") == "c.utf8"
    """,
)
case(
    "interpreter_settings",
    setup="""
        import sys
        sys.setrecursionlimit(1777); sys.setswitchinterval(0.25)
        if hasattr(sys, "set_int_max_str_digits"):
            sys.set_int_max_str_digits(5000)
        sys.ps1 = "in: "
        sys.dont_write_bytecode, wrote = True, sys.dont_write_bytecode
    """,
    mutate="""
        sys.setrecursionlimit(3000); sys.setswitchinterval(0.001); sys.ps1 = ">>> "; sys.dont_write_bytecode = False
        if hasattr(sys, "set_int_max_str_digits"):
            sys.set_int_max_str_digits(0)
    """,
    check="""
        assert sys.getrecursionlimit() == 1777 and abs(sys.getswitchinterval() - 0.25) < 1e-6
        assert sys.ps1 == "in: " and sys.dont_write_bytecode
        assert not hasattr(sys, "get_int_max_str_digits") or sys.get_int_max_str_digits() == 5000
    """,
)
case(
    "gc_settings",
    setup="""
        import gc
        told = []
        gc.set_threshold(111, 7, 5)
        gc.disable()
        callback = lambda phase, info: None
        gc.callbacks.append(callback)
    """,
    mutate="gc.enable(); gc.set_threshold(1000); gc.callbacks.clear(); gc.set_debug(gc.DEBUG_SAVEALL)",
    check="""
        assert not gc.isenabled() and gc.get_threshold()[:2] == (111, 7) and callback in gc.callbacks
        assert gc.get_debug() == 0
    """,
)
case(
    "garbage_not_yet_collected",
    setup="""
        import gc, weakref
        gc.disable()
        class Node: pass
        node = Node(); node.me = node
        ref = weakref.ref(node)
        del node
    """,
    mutate="gc.collect()",
    check="assert ref() is not None and ref().me is ref()",
    note="a cycle that nobody refers to is still part of the state",
)
case(
    "signal_handlers",
    setup="""
        import signal, os
        got = []
        def handler(number, frame): got.append(number)
        signal.signal(signal.SIGUSR2, handler)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        old = signal.getsignal(signal.SIGALRM)
    """,
    mutate="""
        signal.signal(signal.SIGUSR2, lambda *a: got.append("other")); signal.signal(signal.SIGHUP, handler)
        signal.signal(signal.SIGALRM, handler); os.kill(os.getpid(), signal.SIGUSR2)
    """,
    check="""
        assert signal.getsignal(signal.SIGUSR2) is handler and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGALRM) == old and got == []
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGUSR2)
        for _ in range(1000): pass
        assert got == [signal.SIGUSR2]
        got.clear()
    """,
)
case(
    "signal_mask",
    setup="import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})",
    mutate="signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2}); "
    "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})",
    check="""
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        assert signal.SIGUSR2 in mask and signal.SIGHUP not in mask
    """,
)
case(
    "trace_and_profile_hooks",
    setup="""
        import sys
        calls = []
        def profiler(frame, event, arg):
            if frame.f_code.co_name == "watched": calls.append(event)
        def watched(): return 1
        sys.setprofile(profiler)
        watched()
        sys.setprofile(None)
        hooks = sys.gettrace(), sys.getprofile(), sys.excepthook, sys.unraisablehook
    """,
    mutate="""
        sys.unraisablehook = lambda *a: None
        sys.excepthook = print
        sys.setprofile(profiler); sys.settrace(lambda *a: None); watched()
    """,
    check="""
        assert (sys.gettrace(), sys.getprofile(), sys.excepthook, sys.unraisablehook) == hooks
        assert calls == ["call", "return"]
    """,
)
case(
    "a_tracer_in_force",
    setup="""
        import sys
        lines = []
        def local(frame, event, arg):
            lines.append(event)
            return local
        def tracer(frame, event, arg):
            return local if frame.f_code.co_name == "traced" else None
        def traced():
            x = 1
            return x
        sys.settrace(tracer)
        traced()
        lines.clear()
    """,
    mutate="sys.settrace(None); tracer = None",
    check="""
        assert sys.gettrace() is tracer
        traced()
        assert lines == ["line", "line", "return"]
        lines.clear()
    """,
)
case(
    "standard_output_replaced",
    setup="""
        import io, sys
        real = sys.stdout
        sys.stdout = capture = io.StringIO()
        print("captured")
    """,
    mutate="print('more'); sys.stdout = real; sys.stderr = capture",
    check="""
        assert sys.stdout is capture and sys.stderr is not capture
        assert capture.getvalue() == "captured\\n" and capture.tell() == 9
    """,
)
case(
    "soft_limits",
    setup="""
        import resource
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        want = 200 if hard == resource.RLIM_INFINITY else min(200, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (want, hard))
        others = [resource.getrlimit(kind) for kind in (resource.RLIMIT_CORE, resource.RLIMIT_STACK)]
    """,
    mutate="""
        resource.setrlimit(resource.RLIMIT_NOFILE, (want - 10, hard))
        resource.setrlimit(resource.RLIMIT_STACK, (1 << 22, resource.getrlimit(resource.RLIMIT_STACK)[1]))
    """,
    check="""
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (want, hard)
        assert others == [resource.getrlimit(kind) for kind in (resource.RLIMIT_CORE, resource.RLIMIT_STACK)]
    """,
)
case(
    "exit_functions_and_hooks",
    setup="""
        import atexit, sys
        log = []
        atexit.register(log.append, 1)
        count = atexit._ncallbacks()
        hook = sys.displayhook
    """,
    mutate="atexit.register(log.append, 2); atexit.register(print); sys.displayhook = print; sys.breakpointhook = len",
    check="""
        assert atexit._ncallbacks() == count and sys.displayhook is hook and sys.breakpointhook is not len
    """,
)
case(
    "codecs_registered",
    setup="""
        import codecs
        codecs.register_error("case", lambda e: ("?", e.end))
        handler = codecs.lookup_error("case")
    """,
    mutate="codecs.register_error('case', lambda e: ('!', e.end)); codecs.register_error('case2', handler)",
    check="""
        assert codecs.lookup_error("case") is handler and "aä".encode("ascii", "case") == b"a?"
        try:
            codecs.lookup_error("case2")
        except LookupError:
            pass
        else:
            assert False, "the other handler is still there"
    """,
)
case(
    "memory_of_c",
    setup="""
        import ctypes
        libc = ctypes.CDLL(None)
        libc.malloc.restype = ctypes.c_void_p
        address = libc.malloc(ctypes.c_size_t(4096))
        ctypes.memset(address, 0x41, 4096)
        class Pair(ctypes.Structure):
            _fields_ = [("a", ctypes.c_int), ("b", ctypes.c_double)]
        pair = Pair(1, 2.5)
        pointer = ctypes.pointer(pair)
        libc.srand(7); libc.rand()
        first = libc.rand()
    """,
    mutate="ctypes.memset(address + 100, 0x42, 10); pointer.contents.a = 9; pair.b = 0; pointer = None",
    check="""
        assert ctypes.string_at(address, 4096) == b"A" * 4096
        assert (pair.a, pair.b) == (1, 2.5) and ctypes.addressof(pointer.contents) == ctypes.addressof(pair)
    """,
)
case(
    "random_numbers_of_c",
    setup="""
        import ctypes
        libc = ctypes.CDLL(None)
        libc.srand(7)
        expected = [libc.rand() for _ in range(4)]
        libc.srand(7); libc.rand(); libc.rand()
    """,
    mutate="libc.rand(); libc.srand(8)",
    check="assert [libc.rand(), libc.rand()] == expected[2:]",
    consumes=True,
    note="state of the C library that Python cannot see",
)
