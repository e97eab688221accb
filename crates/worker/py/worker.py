"""The worker's life: set up, take requests one by one, leave."""

import builtins
import fcntl
import functools
import gc
import os
import resource
import sys
import threading

from . import display, effects, execute, failure, freeze, handlers, introspect, own_frames, restorer, saver, source, spawned, stop, streams
from .channel import Channel
from .children import Children
from .codec import encode
from .later import IDLE, Later

_main = sys.modules["__main__"]
# Milliseconds without a request after which there is time to get ready for the next snapshot.
QUIET = 1


class Worker:
    """What a worker consists of. Made in the zygote, where it costs nothing: each page that a fork writes to first has
    to be copied, so a session starts the sooner the less it makes."""

    def __init__(self, children):
        self.guard = stop.Guard()
        self.guard.report = _print_unasked
        handlers.install(self.guard)
        self.channel = Channel(self.guard)
        self.output = streams.Output()
        self.prompts = streams.Prompts(self.channel, self.guard, self.output)
        self.displays = display.Displays(self.channel, self.guard, self.output, self.prompts)
        self.executor = execute.Executor(
            vars(_main), self.guard, self.channel, self.output, self.prompts, self.displays, source.known
        )
        self.children = children
        children.ask = self._ask_status
        self.keeping = saver.Keeping(self.executor, children, self.output, exits)
        self.freezer = freeze.Freezer(
            self.guard, self.channel, self.prompts, children, exits, self.executor, self.keeping, self.output
        )
        self.install_input = streams.make_input(self.prompts)
        self.displays.install()
        source.install(source.known)
        os.system = self._system(os.system)
        threading.excepthook = _print_thread_failure
        sys.excepthook = _print_failure
        self.executor.excepthooks = (sys.__excepthook__, _print_failure)
        display.after_import("asyncio", self._adopt_asyncio)
        display.after_import("multiprocessing.spawn", functools.partial(spawned.adopt, executor=self.executor))
        own_frames.install()
        display.after_import("bdb", own_frames.adopt_bdb)
        os.register_at_fork(after_in_child=self.after_user_fork)
        self.keeping.prepare()

    def _system(self, original):
        @functools.wraps(original)
        def system(command):
            # The C library ignores SIGINT while it waits; only the child sees it. Who interrupts means this code too.
            status = original(command)
            token = self.prompts.execution
            if status and token is not None and self.guard.is_main() and self.channel.was_interrupted(token):
                raise KeyboardInterrupt
            return status

        return system

    def _adopt_asyncio(self, asyncio):
        """Tasks can be started without a loop that runs: they go on in the session's, as at the prompt of `python -m asyncio`."""
        original = asyncio.create_task

        @functools.wraps(original)
        def create_task(coro, **options):
            if self.prompts.execution is None or not self.guard.is_main() or asyncio._get_running_loop() is not None:
                return original(coro, **options)
            return self.executor.session_loop().loop.create_task(coro, **options)

        asyncio.create_task = asyncio.tasks.create_task = create_task

    def _ask_status(self, pid, nohang):
        return self.prompts.inquire({"t": "wait", "pid": pid, "nohang": nohang})

    def after_user_fork(self):
        if not self.channel.pid:
            return  # of the zygote, to make a session: nothing has happened that is to be forgotten
        self.children.forget_all()
        if self.channel.open:
            self.channel.close_in_child()
            self.guard.detach()


prepared = None
children = Children()
exits = effects.Exits()


def install_early():
    """Before anything is preloaded: modules that bind what this replaces get the replacement."""
    children.install()
    exits.install()


def prepare():
    global prepared
    prepared = Worker(children)


def main(channel_fd, stdout, stderr, stdin, line=None):
    """Serves one worker's control channel until it is told to leave. `line`: to session init, where the session is to
    outlive its supervisor. Never returns."""
    worker = prepared
    guard, channel, executor = worker.guard, worker.channel, worker.executor
    # Descriptors that user code opens begin at 3, as in any program.
    fd = _high(channel_fd)
    for old, new in ((stdin, 0), (stdout, 1), (stderr, 2)):
        os.dup2(old, new)
        os.close(old)
    os.setpgid(0, 0)
    guard.attach()
    channel.attach(fd)
    if line is not None:
        from .line import Line

        channel.line = Line(_high(line))
    setup = channel.request()
    mode = setup["mode"]
    try:
        worker.output.install()
        apply(setup)
        if channel.line is not None:
            channel.line.fit()
        if mode["real_stdin"]:
            streams.install_real_input()
        else:
            worker.install_input()
        if mode["figures"]:
            worker.displays.show_as_displays()
        forget_the_parent()
    except BaseException as error:
        channel.send({"t": "refused", "why": f"{type(error).__name__}: {error}"})
        os._exit(1)
    worker.keeping.started()
    executor.underscore = mode["underscore"]
    executor.attach()
    executor.initial = frozenset(executor.namespace) | {"__builtins__"}
    gc.enable()
    channel.send({"t": "hello", "python": _python_info()})
    serve(channel, guard, executor, worker.freezer)


def serve(channel, guard, executor, freezer):
    later = Later()
    while True:
        loop = executor.loop
        guard.mode = stop.OFF
        if later and loop is None and freezer.keeping.was_tracked and channel.is_quiet(IDLE):
            later.load_next()
            continue
        if loop is None and freezer.keeping.has_to_read() and channel.is_quiet(IDLE):
            freezer.keeping.read_ahead()
            continue
        freezer.drop_ready()
        if loop is None and freezer.may_get_ready() and channel.is_quiet(QUIET):
            freezer.get_ready()
        request = loop.request() if loop is not None and loop.usable() else channel.request()
        op = request["op"]
        if op in ("execute", "freeze", "branch", "save", "restore"):
            # Before a snapshot: what is noted after it is noted again whenever somebody has returned to it.
            freezer.keeping.baseline.note_modules()
        if "fds" in request and op != "save" and not froze(request, channel, freezer):
            # It was refused; or this is another process by now, and the request was the other's.
            continue
        if op == "execute":
            frame = executor.execute(request)
            if "salvage" in request:
                salvage(request, frame, freezer.keeping)
            channel.send(frame)
        elif op in ("freeze", "branch"):
            pass
        elif op == "restore":
            channel.send(restore(request, guard, executor, freezer.keeping))
        elif op == "save":
            channel.send(save(request, channel, guard, executor, freezer.keeping))
        elif op == "exit":
            leave(executor, request)
        else:
            channel.send(query(request, guard, executor))


def froze(request, channel, freezer):
    """Takes the snapshot that a request asks for. False in a process that does not go on with the request."""
    token, op = request["id"], request["op"]
    try:
        if not request["fds"]:
            # The kernel leaves descriptors out for which there is no room.
            raise freeze.Refused(*freeze.TOO_MANY_OPEN)
        wake, *others = request["fds"]
        answer = None if op in ("execute", "restore") else {"t": "reply", "id": token, "data": {"warnings": ()}}
        if op == "branch":
            outcome = freezer.branch(wake, request.get("splits"), answer)
        else:
            outcome = freezer.take(wake, others, request.get("track"), request.get("mark"), answer=answer)
    except Exception as error:
        why, how = f"{type(error).__name__}: {failure.message(error)}", ""
        if isinstance(error, freeze.Refused):
            why, how = error.args
        elif isinstance(error, OSError) and error.errno in freeze.NO_DESCRIPTORS:
            why, how = freeze.TOO_MANY_OPEN
        goes_on = bool(request.get("optional"))
        channel.send({"t": "unfrozen", "id": token, "why": why, "how": how, "goes_on": goes_on})
        if not goes_on:
            for fd in request["fds"][1:]:
                os.close(fd)
        return goes_on
    if isinstance(outcome, freeze.Woken):
        said = {"t": "awake", "python": _python_info(), "lost": outcome.lost}
        if outcome.salvaged is not None:
            said["salvaged"] = outcome.salvaged
        channel.introduce(said, freezer.greeting and freezer.greeting[0], outcome.greeted)
        outcome.finish()
        return False
    if answer is not None:
        if outcome is not None:
            channel.send({**answer, "data": {"warnings": outcome}})
    elif outcome and request.get("optional"):
        # Nobody has asked for this snapshot: what it does not keep is told when somebody returns to it.
        freezer.told.difference_update(outcome)
    elif outcome:
        channel.send({"t": "frozen", "id": token, "warnings": outcome})
    return True


def salvage(request, frame, keeping):
    """The named values of an execution that failed, written down before the process goes."""
    fd = request["fds"][1]
    try:
        if frame["t"] == "error":
            restorer.rescue(keeping, request["salvage"], fd)
    except BaseException as error:
        frame["unsalvaged"] = f"{type(error).__name__}: {failure.message(error)}"
    finally:
        os.close(fd)


def restore(request, guard, executor, keeping):
    """Loads a checkpoint. Code of the user's runs on the way, so it can be interrupted; a failure is undone."""
    token = request["id"]
    guard.mode = stop.DEFER
    if guard.pending and not executor.channel.was_interrupted(token):
        guard.pending = False
    guard.begin()
    try:
        try:
            guard.mode = stop.ON
            guard.raise_pending()
            answer = {"t": "reply", "id": token, "data": restorer.restore(keeping, request["fds"][1])}
        finally:
            guard.mode = stop.DEFER
    except BaseException as error:
        guard.mode = stop.DEFER
        why, how = f"{type(error).__name__}: {failure.message(error)}", ""
        if isinstance(error, restorer.Refused):
            why, how = error.args
        answer = {"t": "unrestored", "id": token, "why": why, "how": how}
    guard.end()
    executor.output.flush()
    return answer


def save(request, channel, guard, executor, keeping):
    """Writes the state down in this very process. Code of the user's runs on the way, so it can be interrupted."""
    token, fds = request["id"], request["fds"]
    guard.mode = stop.DEFER
    if guard.pending and not channel.was_interrupted(token):
        guard.pending = False
    guard.begin()
    try:
        # The kernel leaves the channel out where there is no room for it; its other end says so.
        if fds:
            from . import in_process_saver

            in_process_saver.run(keeping, guard, fds[0], lambda: channel.was_interrupted(token))
    except OSError as error:
        said = encode({"t": "failed", "why": f"{type(error).__name__}: {error}"}).encode()
        os.write(fds[0], len(said).to_bytes(4, "big") + said)
        os.close(fds[0])
    finally:
        guard.mode = stop.DEFER
    guard.end()
    executor.output.flush()
    return {"t": "reply", "id": token, "data": {}}


def query(request, guard, executor):
    """Answers a question about the session. Properties and reprs of the user's run, so it can be interrupted."""
    guard.mode = stop.DEFER
    if guard.pending and not executor.channel.was_interrupted(request["id"]):
        guard.pending = False
    guard.begin()
    try:
        try:
            guard.mode = stop.ON
            guard.raise_pending()
            data = introspect.answer(request, executor)
        finally:
            guard.mode = stop.DEFER
    except BaseException as error:
        guard.mode = stop.DEFER
        data = {"error": f"{type(error).__name__}: {failure.message(error)}"}
    guard.end()
    executor.output.flush()
    return {"t": "reply", "id": request["id"], "data": data}


def apply(setup):
    """Working directory, environment, limits, and what `python FILE` sets."""
    mode = setup["mode"]
    for name, value in setup["env"].items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if setup.get("cwd"):
        os.chdir(setup["cwd"])
    for name, value in setup["rlimits"].items():
        which = getattr(resource, "RLIMIT_" + name)
        _soft, hard = resource.getrlimit(which)
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        resource.setrlimit(which, (value, value))
    sys.argv = list(mode["argv"])
    sys.path.insert(0, mode["path0"])
    if mode["file"] is not None:
        _main.__file__ = mode["file"]
    _main.__builtins__ = builtins


def forget_the_parent():
    """Effects that belong to the process that this one was forked from must not happen here a second time."""
    exits.begin_session()
    # Where it was not imported before the fork, it is seeded when it is.
    random = sys.modules.get("random")
    if random is not None:
        random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def leave(executor, request):
    """Ends as a Python program does: threads, `atexit`, the namespace's finalizers, files. Then this process is gone."""
    code = request["code"]
    guard = executor.guard
    guard.begin()
    guard.mode = stop.ON
    try:
        if executor.loop is not None:
            executor.loop.close()
        if request["join"]:
            threading._shutdown()
        exits.run()
        namespace = executor.namespace
        for private in (True, False):
            for name in list(namespace):
                if name == "__builtins__" or (name.startswith("_") and not name.startswith("__")) != private:
                    continue
                if not exits.is_inherited(name, namespace[name]):
                    namespace[name] = None
        if not exits.line:
            # In a branch that could end what is its parent's.
            gc.collect()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except BaseException as error:
        guard.mode = stop.DEFER
        code = code or (130 if isinstance(error, KeyboardInterrupt) else 120)
        executor.output.flush()
        try:
            os.write(2, failure.describe(error)["traceback"].encode())
        except OSError:
            pass
    guard.mode = stop.DEFER
    executor.output.flush()
    os._exit(code)


def warm_up(code, namespace):
    """Runs a pool's warm-up code in a template."""
    source.known.add("<warm-up>", code)
    program = execute.Program(code, "<warm-up>", 0)
    if program.awaits():
        raise SyntaxError("warm-up code cannot use top-level await: an event loop does not survive a fork")
    for part in (program.body, program.last):
        if part is not None:
            exec(part, namespace)


def warm_up_traceback(error):
    return failure.describe(error)["traceback"]


def _high(fd):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    for lowest in (1000, 200, 20):
        if lowest < limit or limit == resource.RLIM_INFINITY:
            try:
                moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, lowest)
            except OSError:
                continue
            os.close(fd)
            return moved
    return fd


def _python_info():
    from .zygote import python_info

    return python_info()


def _print_failure(kind, error, trace):
    if not isinstance(error, BaseException):
        sys.__excepthook__(kind, error, trace)  # it says what is wrong with that
        return
    sys.stderr.write(failure.describe(error)["traceback"])


def _print_unasked(error):
    """What code of the user's raises that no execution has called."""
    try:
        sys.stderr.write(failure.describe(error)["traceback"])
        sys.stderr.flush()
        sys.stdout.flush()
    except Exception:
        pass  # what user code put in the place of the streams


def _print_thread_failure(arguments):
    # The interpreter's own would not find the source of executions.
    if arguments.exc_type is SystemExit or sys.stderr is None:
        return
    name = arguments.thread.name if arguments.thread is not None else "?"
    text = failure.describe(arguments.exc_value)["traceback"]
    sys.stderr.write(f"Exception in thread {name}:\n{text}")
    sys.stderr.flush()
