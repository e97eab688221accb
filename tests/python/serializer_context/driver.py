"""Runs in the interpreter that a test chooses: a session in one process, without the engine.

Standard input is JSON: `keep`, the directory of the package, and a list of steps, each `["run", code]`, `["capture"]`
(in a forked process, as in the product), `["restore", items]`, `["restore_last"]`
(what was captured last), `["save", names]` and `["load", entries]` (variables, and
what `capture` says after them), `["time", how often]`. One result for each goes to the
descriptor that `out` names.
"""

import io
import json
import marshal
import os
import pickle
import sys
import types

__name__ = "_pyrepl3_driver"
sys.modules[__name__] = sys.modules["__main__"]
main = sys.modules["__main__"] = types.ModuleType("__main__")
vars(main)["__builtins__"] = __builtins__


def load_package(path):
    for name, directory in (("_pyrepl3", os.path.dirname(path)), ("_pyrepl3.serializer", path)):
        module = types.ModuleType(name)
        module.__path__ = [directory]
        sys.modules[name] = module
    from _pyrepl3.serializer import baseline, context

    return baseline, context


def function(code, name, defaults, module):
    made = types.FunctionType(marshal.loads(code), vars(main), name, defaults)
    made.__module__ = module
    return made


class Keeper:
    """Stands in for the codec: pickle with the reducers of the package, and functions of the session by their code."""

    class Lost(Exception):
        pass

    def __init__(self, reducers, originals):
        self.reducers, self.originals = reducers, originals

    def begin(self, kind):
        pass

    def dump(self, thing):
        keeper, file = self, io.BytesIO()

        class Pickler(pickle.Pickler):
            dispatch_table = keeper.reducers

            def persistent_id(self, one):
                if id(one) in keeper.originals:
                    return ("original", *keeper.originals[id(one)])
                if isinstance(one, type) and one.__module__ == "__main__":
                    return ("main", one.__name__)
                return None

            def reducer_override(self, one):
                if type(one) is types.FunctionType and one.__module__ == "__main__":
                    if one.__closure__:
                        raise Keeper.Lost("a closure")
                    return function, (marshal.dumps(one.__code__), one.__name__, one.__defaults__, "__main__")
                return NotImplemented

        try:
            Pickler(file, 5).dump(thing)
        except Exception as error:
            raise Keeper.Lost(f"{type(error).__name__}: {error}") from None
        return {"pickle": file.getvalue().hex()}

    def load(self, entry):
        class Unpickler(pickle.Unpickler):
            def persistent_load(self, pid):
                return getattr(main if pid[0] == "main" else sys.modules[pid[1]], pid[-1])

        return Unpickler(io.BytesIO(bytes.fromhex(entry["pickle"]))).load()


class Session:
    def __init__(self, keep, preload):
        self.began, self.context = load_package(keep)
        worker = None
        if "worker" in preload:
            # All that the worker puts in place, in its order.
            from _pyrepl3 import inventory, worker

            worker.install_early()
            inventory.note_inherited()
        for name in preload:
            if name != "worker":
                __import__(name)
        if worker is not None:
            worker.prepare()
        self.baseline = self.began.take()
        if worker is not None:
            worker.prepared.output.install()
            worker.prepared.install_input()
            worker.prepared.displays.show_as_displays()
            worker.forget_the_parent()
            worker.prepared.executor.attach()
        self.baseline.session_started()
        self.sources = {}

    def options(self, **more):
        return self.context.Options(namespace=vars(main), sources=self.sources, own_fds=own, **more)

    def run(self, code):
        self.baseline.note_modules()
        name = f"<{len(self.sources)}>"
        self.sources[name] = code
        exec(compile(code, name, "exec"), vars(main))

    def save(self, names):
        return self.capture(names)

    def load(self, entries):
        keeper = Keeper({}, {})
        for name, entry in entries.items():
            vars(main)[name] = keeper.load(entry)

    def capture(self, names=()):
        before = self.context.look_before_fork()
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.close(read)
            # As the codec does before the context is asked: none of this is the session's doing.
            import gc
            import warnings

            gc.disable()
            sys.setrecursionlimit(12345)
            warnings.simplefilter("ignore")
            try:
                options = self.options(before=before)
                options.own_fds = own | {write}
                keeper = Keeper(self.context.reducers(), self.context.originals(self.baseline))
                kept, not_kept = {}, {}
                for name in names:
                    try:
                        kept[name] = keeper.dump(vars(main)[name])
                    except Keeper.Lost as error:
                        not_kept[name] = str(error)
                items, lost = self.context.capture(self.baseline, keeper, options)
                send(write, [kept, not_kept, items, lost] if names else [items, lost])
            except BaseException as error:
                send(write, f"{type(error).__name__}: {error}")
            os._exit(0)
        os.close(write)
        text = b""
        while piece := os.read(read, 65536):
            text += piece
        os.close(read)
        os.waitpid(child, 0)
        found = marshal.loads(text)
        if isinstance(found, str):
            raise RuntimeError(found)
        self.last = found[-2]
        return found

    def restore_last(self):
        return self.restore(self.last)

    def restore(self, items):
        return self.context.restore(items, Keeper({}, {}), self.baseline, self.options())

    def time(self, count):
        """Milliseconds of the processor: of one capture in each of some forked processes, the first in each as in the product."""
        import time

        found = []
        for _ in range(count):
            read, write = os.pipe()
            before = self.context.look_before_fork()
            if not os.fork():
                begin = time.process_time()
                keeper = Keeper(self.context.reducers(), self.context.originals(self.baseline))
                self.context.capture(self.baseline, keeper, self.options(before=before))
                os.write(write, str((time.process_time() - begin) * 1e3).encode())
                os._exit(0)
            os.wait()
            found.append(float(os.read(read, 100)))
            os.close(read)
            os.close(write)
        return found


own = frozenset()


def send(fd, value):
    # Not as JSON: what a test patches must not be what tells of it.
    data = marshal.dumps(value)
    while data:
        data = data[os.write(fd, data):]


def run():
    import traceback

    global own
    request = json.load(sys.stdin)
    out = request["out"]
    own = frozenset([0, 1, 2, out])
    for name in request["forget"]:
        sys.modules.pop(name, None)
    session = Session(request["keep"], request["preload"])
    results = []
    for step, *arguments in request["steps"]:
        try:
            results.append({"value": getattr(session, step)(*arguments)})
        except BaseException:
            results.append({"error": traceback.format_exc()})
            break
    for pid, _name in session.context.leftovers.processes():
        os.kill(pid, 9)
    send(out, results)
    os._exit(0)


run()
