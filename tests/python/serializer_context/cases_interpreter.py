"""What the interpreter and the standard library hold for the whole process."""

from .table import case

case("random", shared="import random", change="random.seed(7); random.random(); random.gauss(0, 1)",
     check="""
     one = random.Random(7); one.random(); one.gauss(0, 1)
     assert [random.gauss(0, 1), random.random()] == [one.gauss(0, 1), one.random()]
     """)
case("warnings", shared="import warnings; filters = warnings.filters; count = len(filters)\nclass Mine(UserWarning): pass",
     change="warnings.simplefilter('error', Mine); warnings.filterwarnings('ignore', 'some.*', DeprecationWarning, 'mod')",
     check="""
     assert warnings.filters is filters and len(filters) == count + 2 and filters[0][0] == 'ignore'
     assert filters[0][1].match('SOMEthing')
     try: warnings.warn('x', Mine)
     except Mine: pass
     else: assert False
     """,
     undone="assert len(filters) == count; warnings.warn('x', Mine)")
case("hooks", shared="import sys; seen = []",
     change="sys.displayhook = lambda value: seen.append(value); sys.excepthook = lambda *a: seen.append(a); sys.ps1 = 'in: '",
     check="sys.displayhook(5); sys.excepthook(1, 2, 3); assert seen == [5, (1, 2, 3)] and sys.ps1 == 'in: '",
     undone="assert sys.displayhook is sys.__displayhook__ and sys.excepthook is sys.__excepthook__ and not hasattr(sys, 'ps1')")
case("tracers", shared="import sys", change="sys.setprofile(lambda *a: None)", check="assert sys.getprofile() is None",
     lost={"sys.setprofile": "set it again"})
case("decimal", shared="import decimal",
     change="""
     context = decimal.getcontext(); context.prec = 11; context.traps[decimal.Inexact] = True; context.rounding = 'ROUND_UP'
     decimal.ExtendedContext.prec = 5; decimal.DefaultContext.Emax = 77
     """,
     check="""
     context = decimal.getcontext()
     assert context.prec == 11 and context.traps[decimal.Inexact] and context.rounding == 'ROUND_UP'
     assert decimal.ExtendedContext.prec == 5 and decimal.DefaultContext.Emax == 77 and decimal.BasicContext.prec == 9
     """,
     undone="assert decimal.getcontext().prec == 28 and not decimal.getcontext().traps[decimal.Inexact]")
case("contextvars", shared="import contextvars",
     change="v = contextvars.ContextVar('v', default=3); v.set([1, 2]); w = contextvars.ContextVar('w'); w.set('x')",
     check="found = {var.name: value for var, value in contextvars.copy_context().items()}; assert found == {'v': [1, 2], 'w': 'x'}")
case("contextvar_that_is_lost", shared="import contextvars, threading",
     change="v = contextvars.ContextVar('v'); v.set(threading.Lock())", check="", lost={"contextvar v": "cannot pickle"})
case("standard_stream", shared="import io, sys",
     change="sys.stdout = io.StringIO(); print('captured')",
     check="assert sys.stdout.getvalue() == 'captured\\n' and sys.stdout.tell() == 9",
     undone="assert sys.stdout is sys.__stdout__")
case("csv", shared="import csv",
     change="csv.register_dialect('mine', delimiter=';', quoting=csv.QUOTE_ALL); csv.field_size_limit(99)",
     check="assert csv.get_dialect('mine').delimiter == ';' and csv.field_size_limit() == 99",
     undone="assert 'mine' not in csv.list_dialects() and csv.field_size_limit() == 131072")
case("copyreg", shared="import copyreg\nclass Point:\n    x = 1\ndef reduce(p): return Point, ()",
     change="copyreg.pickle(Point, reduce)", check="assert Point in copyreg.dispatch_table",
     undone="assert Point not in copyreg.dispatch_table")
case("codec_errors", shared="import codecs", change="codecs.register_error('case', lambda e: ('?', e.end))",
     check="assert 'aä'.encode('ascii', 'case') == b'a?'")
case("codec_search", shared="import codecs\ndef search(name): return codecs.lookup('utf-8') if name == 'mycase' else None",
     change="codecs.register(search)", check="assert 'ä'.encode('mycase') == b'\\xc3\\xa4'")
case("tempdir", shared="import tempfile", change="tempfile.tempdir = '/usr'", check="assert tempfile.gettempdir() == '/usr'",
     undone="assert tempfile.tempdir is None")
case("socket_timeout", shared="import socket", change="socket.setdefaulttimeout(7.5)",
     check="assert socket.getdefaulttimeout() == 7.5", undone="assert socket.getdefaulttimeout() is None")
case("start_method", shared="import multiprocessing", change="multiprocessing.set_start_method('spawn')",
     check="assert multiprocessing.get_start_method() == 'spawn'",
     undone="assert multiprocessing.get_start_method(allow_none=True) is None")
case("tracemalloc", shared="import tracemalloc", change="tracemalloc.start(3)",
     check="assert tracemalloc.get_traceback_limit() == 3", undone="assert not tracemalloc.is_tracing()")
case("faulthandler", shared="import faulthandler", change="faulthandler.enable()", check="assert faulthandler.is_enabled()",
     undone="assert not faulthandler.is_enabled()")
case("import_hook", shared="import sys",
     change="class Finder:\n    @staticmethod\n    def find_spec(*a): return None\nsys.meta_path.append(Finder)",
     check="", lost={"sys.meta_path Finder": "put it in again"})
case("event_loop", shared="import asyncio",
     change="loop = asyncio.new_event_loop(); task = loop.create_task(asyncio.sleep(1), name='waiting')",
     check="", lost={"asyncio task waiting": "start it again", "fd 3 (eventpoll)": "", "fd 4 (socket)": "", "fd 5 (socket)": ""})
case("finalizer", shared="import weakref\nclass Thing: pass\ndef end(): pass",
     change="thing = Thing(); weakref.finalize(thing, end)", check="", lost={"weakref.finalize end": "make it again"})
case("audit_hook", shared="import sys", change="sys.addaudithook(lambda *a: None)", check="",
     lost={"sys.addaudithook": "add them again"})
case("logging",
     shared="import logging, sys, os\nLOG = '/tmp/serializer_context_%s.log' % sys.version_info[1]",
     change="""
     open(LOG, 'w').close()
     logging.basicConfig(level=logging.INFO, format='%(levelname)s-%(message)s', stream=sys.stderr)
     app = logging.getLogger('app'); app.setLevel(5); app.propagate = False
     class Only(logging.Filter): pass
     app.addFilter(lambda record: 'secret' not in record.msg)
     handler = logging.FileHandler(LOG); handler.setFormatter(logging.Formatter('{message}!', style='{')); app.addHandler(handler)
     app.info('one'); logging.addLevelName(25, 'LOUD'); logging.disable(3)
     logging.getLogger('quiet').disabled = True
     """,
     check="""
     app = logging.getLogger('app'); app.info('two'); app.info('secret'); app.handlers[0].flush()
     assert open(LOG).read() == 'one!\\ntwo!\\n', open(LOG).read()
     assert logging.root.level == 20 and logging.root.handlers[0].formatter._fmt == '%(levelname)s-%(message)s'
     assert logging.root.handlers[0].stream is sys.stderr and not app.propagate and app.level == 5
     assert logging.getLevelName(25) == 'LOUD' and logging.root.manager.disable == 3 and logging.getLogger('quiet').disabled
     os.unlink(LOG)
     """,
     undone="""
     assert logging.root.level == 30 and not logging.root.handlers and logging.root.manager.disable == 0
     app = logging.getLogger('app')
     assert app.level == 0 and app.propagate and not app.handlers and not app.filters
     """)
case("rotating_log", shared="import logging.handlers, sys, tempfile",
     change="h = logging.handlers.RotatingFileHandler('/tmp/serializer_context_rotating.log', maxBytes=77, delay=True); logging.getLogger('r').addHandler(h)",
     check="h = logging.getLogger('r').handlers[0]; assert type(h).__name__ == 'RotatingFileHandler' and h.maxBytes == 77")
