"""Compiles and runs source in `__main__`, and says how it ended."""

import _ast
import builtins
import contextvars
import linecache
import os
import sys
import time

from . import failure, own_frames, stop
from .codec import clean
from .display import shown_figure
from .present import bounded_repr, bundle, exact, type_name

_compile, _exec, _eval, _id, _set = compile, exec, eval, id, set
_getpid, _exit, _now, _pread = os.getpid, os._exit, time.perf_counter, os.pread
_Expr, _Expression = _ast.Expr, _ast.Expression
ONLY_AST = _ast.PyCF_ONLY_AST
TOP_LEVEL_AWAIT = _ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
CO_COROUTINE = 0x80
_PAGE = os.sysconf("SC_PAGESIZE")
_WARNED = "__warningregistry__"
_DISPLAY = sys.displayhook
# A class may have put something of its own in its place.
_set_traceback = BaseException.__traceback__.__set__
# `from __future__` imports hold for later executions, as at a Python prompt.
_FUTURE = 0
for _name in __import__("__future__").all_feature_names:
    _FUTURE |= getattr(__import__("__future__"), _name).compiler_flag


_KEYWORDS = frozenset(__import__("keyword").kwlist) - {"None", "True", "False", "not", "lambda", "await"}


def _looks_like_an_expression(code):
    """Whether it is worth trying to compile it as one. Wrong guesses cost time, nothing else."""
    if len(code) > 200 or "\n" in code or "=" in code or not code or code[0] in " \t\f#":
        return False
    return code.split(None, 1)[0].rstrip(":") not in _KEYWORDS


def _tree(code, file, flags):
    """CPython 3.11 confuses the depths of two threads that make trees at the same time; then neither is wrong."""
    for _ in range(5):
        try:
            return _compile(code, file, "exec", flags | ONLY_AST, True)
        except SystemError as error:
            failed = error
    raise failed


class Program:
    """Source compiled: a body, and a last expression whose value is the result."""

    def __init__(self, code, file, flags):
        flags |= TOP_LEVEL_AWAIT
        self.body, self.last, self.flags = None, None, 0
        if type(code) is str and _looks_like_an_expression(code):
            # One compilation instead of two: the commonest questions are short.
            try:
                self.last = _compile(code, file, "eval", flags, True)
                return
            except SyntaxError:
                pass
        tree = _tree(code, file, flags)
        statements = tree.body
        last = statements.pop() if statements and type(statements[-1]) is _Expr else None
        if statements or last is None:
            self.body = _compile(tree, file, "exec", flags, True)
        if last is not None:
            if self.body is not None:
                flags |= self.body.co_flags & _FUTURE
            self.last = _compile(_Expression(last.value), file, "eval", flags, True)
        if self.body is not None:
            self.flags = self.body.co_flags & _FUTURE

    def awaits(self):
        """Whether it uses await, async for or async with at its top level."""
        return any(code is not None and code.co_flags & CO_COROUTINE for code in (self.body, self.last))

    def names(self):
        """Every name that the code mentions, nested functions included."""
        found, todo = _set(), [code for code in (self.body, self.last) if code is not None]
        while todo:
            code = todo.pop()
            found.update(code.co_names)
            todo += [const for const in code.co_consts if hasattr(const, "co_names")]
        return found


class Executor:
    def __init__(self, namespace, guard, channel, output, prompts, displays, sources):
        self.namespace, self.guard, self.channel = namespace, guard, channel
        self.output, self.prompts, self.displays, self.sources = output, prompts, displays, sources
        self.underscore = False
        self.context = contextvars.copy_context()
        self.loop = None
        self.excepthooks = ()  # Python's, and the worker's own
        self.initial = frozenset()  # names that are there from the beginning
        self.flags = 0
        self.pid, self.statm, self.resident = 0, -1, 0

    def attach(self):
        """In the worker, and again in a process that was woken."""
        self._close_statm()
        self.pid = _getpid()
        self.statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self.resident = self.memory()

    def _close_statm(self):
        # A woken process has a descriptor of another's figures.
        try:
            if self.statm >= 0 and os.readlink(f"/proc/self/fd/{self.statm}").endswith("/statm"):
                os.close(self.statm)
        except OSError:
            pass
        self.statm = -1

    def descriptors(self):
        """Descriptors that are the worker's own."""
        return (*self.channel.descriptors(), self.statm)

    def memory(self):
        """Resident memory in bytes."""
        try:
            return int(_pread(self.statm, 64, 0).split(b" ", 2)[1]) * _PAGE
        except (OSError, IndexError):
            return 0  # user code closed the descriptor

    def execute(self, request):
        """Runs one request to its end and returns the frame that says how it ended."""
        token, guard = request["id"], self.guard
        # A signal that came before the execution began counts if its frame names this execution.
        guard.mode = stop.DEFER
        if guard.pending and not self.channel.was_interrupted(token):
            guard.pending = False
        self.prompts.execution = token
        self.keys, self.ids = None, {}
        started = _now()
        guard.begin()
        try:
            try:
                guard.mode = stop.ON
                guard.raise_pending()
                frame = self._run(request)
            finally:
                guard.mode = stop.DEFER
        except BaseException as error:
            guard.mode = stop.DEFER
            frame = self._failed(error)
        if _getpid() != self.pid:
            self._leave_child(frame)
        guard.end()
        guard.mode = stop.DEFER
        if own_frames.debuggers:
            own_frames.stop_stepping()
        self.output.mend()
        frame["id"] = token
        frame["duration"] = _now() - started
        changes = self._changes()
        if changes is not None:
            frame["changes"] = changes
        if frame["t"] == "result":
            # Since the end of the execution before: one look at the kernel's figure instead of two.
            resident = self.memory()
            frame["memory_delta"] = resident - self.resident
            self.resident = resident
        self.prompts.execution = None
        self.output.flush()
        return frame

    def _run(self, request):
        code, file = request["code"], request["file"]
        if type(code) is dict:
            import base64

            code = base64.b64decode(code["base64"])
        program = self._compile(code, file)
        namespace = self.namespace
        if _WARNED in namespace:
            # Each execution is a place of its own for warnings that are shown once for each place.
            del namespace[_WARNED]
        self.keys = _set(namespace)
        self.ids = {name: _id(namespace[name]) for name in program.names() if name in namespace}
        if self.loop is not None:
            self.loop.offer()
        if program.awaits():
            value = self.session_loop().run(self._run_awaiting(program))
        else:
            value = None
            if program.body is not None:
                self.context.run(_exec, program.body, namespace)
            if program.last is not None:
                value = self.context.run(_eval, program.last, namespace)
        frame = {"t": "result"}
        if program.last is not None:
            self._display(value, frame)
        if value is not None:
            self._present(value, frame)
        self.displays.show_figures(shown_figure(value))
        stdout = sys.stdout
        if stdout is not self.output.stdout and stdout is not None:
            try:
                stdout.flush()
            except Exception:
                pass  # an object that user code put in place of stdout; it need not have a flush
        return frame

    def session_loop(self):
        """The event loop that the session keeps."""
        if self.loop is None or not self.loop.usable():
            # Not imported before it is needed: asyncio would make every session start later and weigh more.
            from .tasks import Loop

            self.loop = Loop(self.guard, self.channel, self.context)
        return self.loop

    def _display(self, value, frame):
        """As the prompt does it: a hook that user code has set shows a value, and Python's own remembers it."""
        hook = getattr(sys, "displayhook", None)
        if hook is None:
            raise RuntimeError("lost sys.displayhook")
        if hook is _DISPLAY:
            if self.underscore and value is not None:
                builtins._ = value
            return
        self.context.run(hook, value)
        if value is not None:
            frame["shown"] = True

    def _compile(self, code, file):
        if type(code) is bytes:
            text = code.decode("utf-8", "replace")
        else:
            text = code
            try:
                code.encode()
            except UnicodeEncodeError as error:
                line = code.count("\n", 0, error.start) + 1
                column = error.start - (code.rfind("\n", 0, error.start) + 1) + 1
                raise SyntaxError(
                    f"the source holds a lone surrogate, {code[error.start]!r}, which no encoding can carry",
                    (file, line, column, clean(code.split("\n")[line - 1])),
                ) from None
        self.sources.add(file, clean(text))
        try:
            program = Program(code, file, self.flags)
        except SyntaxError as error:
            if error.text is None and error.filename == file:
                # What is found after parsing comes without the line.
                error.text = linecache.getline(file, error.lineno or 0) or None
            raise
        self.flags |= program.flags
        return program

    async def _run_awaiting(self, program):
        """The whole program within the loop, so that what follows an await still finds it running."""
        value = None
        for code in (program.body, program.last):
            if code is not None:
                value = _eval(code, self.namespace)
                if code.co_flags & CO_COROUTINE:
                    value = await value
        return value if program.last is not None else None

    def _present(self, value, frame):
        text = bounded_repr(value)
        frame["repr"], frame["value_type"] = text, type_name(value)
        carried, exactly = exact(value)
        if carried:
            frame["value"] = exactly
        data = bundle(value, text)[0]
        if len(data) > 1:
            # The engine knows that a plain text is the repr.
            frame["data"] = data

    def _failed(self, error):
        if isinstance(error, SystemExit):
            exit_code = _exit_code(error)
        else:
            exit_code = None
        frame = failure.describe(error)
        frame["t"] = "error"
        frame["exit_code"] = exit_code
        if exit_code is None:
            _remember(error)
            if self._is_shown(error):
                frame["shown"] = True
        return frame

    def _is_shown(self, error):
        """Whether a hook that user code has set has shown an error. Its traceback begins with the user's frame by now."""
        hook = getattr(sys, "excepthook", None)
        if hook is None or any(hook is one for one in self.excepthooks):
            return False
        guard = self.guard
        try:
            try:
                guard.mode = stop.ON
                self.context.run(hook, type(error), error, failure.traceback_of(error))
            finally:
                guard.mode = stop.DEFER
        except BaseException as failed:
            guard.mode = stop.DEFER
            try:
                print(f"Error in sys.excepthook:\n{failure.describe(failed)['traceback']}", file=sys.stderr)
            except Exception:
                pass  # what user code put in the place of stderr
            return False
        return True

    def _changes(self):
        """Names added, rebound and removed; None where there are none."""
        namespace, before, ids = self.namespace, self.keys, self.ids
        self.keys, self.ids = None, {}
        if before is None:
            return None
        rebound = [n for n, old in ids.items() if n in namespace and _id(namespace[n]) != old]
        now = _set(namespace)
        if now == before and not rebound:
            return None
        return {
            "added": sorted(clean(n) for n in now - before if type(n) is str and n != "__builtins__"),
            "rebound": sorted(clean(n) for n in rebound),
            "removed": sorted(clean(n) for n in before - now if type(n) is str),
        }

    def _leave_child(self, frame):
        """User code forked and came back: this process is not the worker, and leaves as a Python program does."""
        code = 0
        if frame["t"] == "error":
            code = frame["exit_code"]
            if code is None:
                code = 1
                try:
                    os.write(2, frame["traceback"].encode())
                except OSError:
                    pass
        self.output.flush()
        _exit(code & 0xFF)


def _exit_code(error):
    """The exit status that a SystemExit asks for; a text is printed, as Python does."""
    code = error.code
    if code is None:
        return 0
    if isinstance(code, int):
        return int(code) & 0xFF
    try:
        print(code, file=sys.stderr)
    except Exception:
        pass
    return 1


def _remember(error):
    """For `pdb.pm()`."""
    trace = failure.without_ours(error)
    _set_traceback(error, trace)
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
    if sys.version_info >= (3, 12):
        sys.last_exc = error
