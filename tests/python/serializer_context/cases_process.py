"""What belongs to the process."""

from .table import case

case("directory", shared="import os, tempfile; begin = os.getcwd()", change="os.chdir('/usr')",
     check="assert os.getcwd() == '/usr'", undone="assert os.getcwd() == begin")
case("directory_gone", shared="import os",
     change="os.makedirs('/tmp/serializer_context_gone', exist_ok=True); os.chdir('/tmp/serializer_context_gone'); os.rmdir('.' * 0 or '/tmp/serializer_context_gone')",
     check="", lost={"working directory": "deleted"})
case("environment", shared="import os; count = dict(os.environ)",
     change="os.environ['CASE'] = 'ä'; os.environ.pop('PATH'); os.environ['ODD'] = '\\udc80'",
     check="assert os.environ['CASE'] == 'ä' and 'PATH' not in os.environ and os.environb[b'ODD'] == b'\\x80'",
     undone="assert dict(os.environ) == count")
case("timezone", shared="import os, time; zone = time.tzname", change="os.environ['TZ'] = 'Asia/Tokyo'; time.tzset()",
     check="assert time.tzname[0] == 'JST'", undone="assert time.tzname == zone and 'TZ' not in os.environ")
case("sys_path", shared="import sys; path, before = sys.path, list(sys.path)",
     change="sys.path.insert(0, '/first'); sys.path.append('/last'); gone = sys.path.pop(2)",
     check="assert sys.path is path and path[0] == '/first' and path[-1] == '/last' and before[1] not in path",
     undone="assert sys.path == before")
case("sys_argv", shared="import sys", change="sys.argv = ['x', '--flag']", check="assert sys.argv == ['x', '--flag']",
     undone="assert sys.argv != ['x', '--flag']")
case("umask", shared="import os", change="os.umask(0o027)", check="assert os.umask(0) == 0o027",
     undone="assert os.umask(0) != 0o027")
case("recursion_limit", shared="import sys; usual = sys.getrecursionlimit()", change="sys.setrecursionlimit(5000)",
     check="assert sys.getrecursionlimit() == 5000", undone="assert sys.getrecursionlimit() == usual")
case("collector", shared="import gc; usual = gc.get_threshold()",
     change="gc.disable(); gc.set_threshold(111, 7, usual[2])",
     check="assert not gc.isenabled() and gc.get_threshold()[:2] == (111, 7)",
     undone="assert gc.isenabled() and gc.get_threshold() == usual")
case("collector_hooks", shared="import gc; told = []\ndef hook(phase, info): told.append(phase)",
     change="gc.callbacks.append(hook)", check="gc.collect(); assert 'start' in told and 'stop' in told",
     undone="told.clear(); gc.collect(); assert told == []")
case("switch_interval", shared="import sys", change="sys.setswitchinterval(0.25)",
     check="assert sys.getswitchinterval() == 0.25", undone="assert sys.getswitchinterval() < 0.1")
case("int_digits", shared="import sys",
     change="if hasattr(sys, 'set_int_max_str_digits'): sys.set_int_max_str_digits(5000)",
     check="assert not hasattr(sys, 'get_int_max_str_digits') or sys.get_int_max_str_digits() == 5000",
     undone="assert not hasattr(sys, 'get_int_max_str_digits') or sys.get_int_max_str_digits() == 4300")
case("signal_mask", shared="import signal", change="signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])",
     check="assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == {signal.SIGUSR2}",
     undone="assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()")
case("signal_handlers",
     shared="import signal, os; got = []; usual = [signal.getsignal(n) for n in (signal.SIGUSR1, signal.SIGHUP, signal.SIGINT)]",
     change="""
     def handler(number, frame): got.append(number)
     signal.signal(signal.SIGUSR1, handler); signal.signal(signal.SIGHUP, signal.SIG_IGN)
     signal.signal(signal.SIGUSR2, lambda n, f: got.append('lambda'))
     """,
     check="""
     os.kill(os.getpid(), signal.SIGHUP); os.kill(os.getpid(), signal.SIGUSR1); os.kill(os.getpid(), signal.SIGUSR2)
     for _ in range(1000): pass
     assert sorted(map(str, got)) == ['10', 'lambda'], got
     """,
     undone="""
     assert [signal.getsignal(n) for n in (signal.SIGUSR1, signal.SIGHUP, signal.SIGINT)] == usual
     """)
case("signal_handler_that_is_lost", shared="import signal, threading; lock = threading.Lock()",
     change="signal.signal(signal.SIGUSR1, (lambda lock: lambda n, f: lock)(lock))",
     check="assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL", lost={"SIGUSR1": "closure"})
case("timer", shared="import signal", change="signal.setitimer(signal.ITIMER_REAL, 1000)",
     check="assert signal.getitimer(signal.ITIMER_REAL)[0] == 0", lost={"timer ITIMER_REAL": "set it again"})
case("resource_limit", shared="import resource; usual = resource.getrlimit(resource.RLIMIT_NOFILE)",
     change="resource.setrlimit(resource.RLIMIT_NOFILE, (200, usual[1]))",
     check="assert resource.getrlimit(resource.RLIMIT_NOFILE) == (200, usual[1])",
     undone="assert resource.getrlimit(resource.RLIMIT_NOFILE) == usual")
case("locale", shared="import locale; usual = locale.setlocale(locale.LC_NUMERIC)",
     change="locale.setlocale(locale.LC_NUMERIC, 'C.UTF-8')",
     check="assert locale.setlocale(locale.LC_NUMERIC) == 'C.UTF-8'",
     undone="assert locale.setlocale(locale.LC_NUMERIC) == usual")
case("thread", shared="import threading",
     change="stop = threading.Event(); threading.Thread(target=stop.wait, name='worker-1', daemon=True).start()",
     check="", lost={"thread worker-1": "start it again"})
case("child_process", shared="import subprocess", change="p = subprocess.Popen(['sleep', '1000'])", check="",
     lost={"process": "start it again"})
case("pipes_and_sockets", shared="import os, socket",
     change="r, w = os.pipe(); s = socket.socket(); t = os.open('/', os.O_RDONLY)", check="",
     lost={f"fd {n} ({what}": "" for n, what in ((3, "pipe)"), (4, "pipe)"), (5, "socket)"), (6, "/)"))})
