"""Runs a save or a load in an interpreter of its own: `python harness.py save|load DIRECTORY`.

DIRECTORY/job.json says what to run in `__main__`: {"setup": [texts]} before a save, {"check": text} after a load.
The blobs of the checkpoint are files of the directory, the body is body.json. The result is result.json.
"""

import hashlib
import json
import linecache
import os
import sys
import time

PACKAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), *[os.pardir] * 3, "crates", "worker", "py")


def import_package():
    """Makes `_pyrepl3` importable without the engine: its modules are files here."""
    import types

    if "_pyrepl3" not in sys.modules:
        package = types.ModuleType("_pyrepl3")
        package.__path__ = [PACKAGE]
        package.__spec__ = __import__("importlib.machinery", fromlist=["x"]).ModuleSpec("_pyrepl3", None, is_package=True)
        sys.modules["_pyrepl3"] = package


class Sources:
    """As `_pyrepl3.source.Sources`, without what the worker needs besides."""

    def __init__(self):
        self.texts = {}

    def add(self, file, text):
        self.texts[file] = text
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)


class Directory:
    """A checkpoint's blobs as files; both sink and source."""

    def __init__(self, path):
        self.path, self.count, self.told = path, 0, []

    def _next(self):
        self.count += 1
        return self.count - 1

    def stream(self, index=None):
        if index is not None:
            return self.buffer(index)
        return _Stream(self)

    def buffer(self, what):
        if isinstance(what, int):
            with open(os.path.join(self.path, str(what)), "rb") as file:
                return bytearray(file.read())
        index = self._next()
        with open(os.path.join(self.path, str(index)), "wb") as file:
            file.write(what)
        return index

    def progress(self, done, total, name):
        self.told.append((done, total, name))

    def busy(self, parts):
        pass


class _Stream:
    def __init__(self, directory):
        self.directory, self.data = directory, b""

    def write(self, data):
        self.data += data

    def close(self):
        return self.directory.buffer(memoryview(self.data))


def run(texts, sources, namespace, first=1):
    for number, text in enumerate(texts, first):
        file = f"<execution {number}>"
        sources.add(file, text)
        exec(compile(text, file, "exec", dont_inherit=True), namespace)


def dump(keeper, objects):
    """A context that keeps these objects."""
    items = []
    for obj in objects:
        try:
            items.append({"kept": keeper.dump(obj)})
        except keeper.Lost as lost:
            items.append({"error": str(lost)})
    return items, [{"name": "gone", "reason": "named by the context"}]


def undump(items, keeper, namespace):
    namespace["from_context"] = [keeper.load(item["kept"]) for item in items if "kept" in item]
    return [{"name": "also", "reason": "named at the restore"}]


class Digests:
    """A sink that keeps a digest of each blob."""

    def __init__(self):
        self.kept = []

    def stream(self):
        return _Stream(self)

    def buffer(self, what):
        self.kept.append(hashlib.blake2b(what).hexdigest())
        return len(self.kept) - 1

    def progress(self, done, total, name):
        pass

    busy = staticmethod(lambda parts: None)


def digests(path, number, namespace, sources):
    """Saves in a fork, and writes for each name the digests of its group."""
    from _pyrepl3.serializer import save

    child = os.fork()
    if not child:
        sink = Digests()
        body = save.save(namespace, sink, sources=sources)
        found = {}
        for group in body["groups"]:
            blobs = [sink.kept[at] for at in (group["stream"], *group["buffers"]) if at is not None]
            found.update(dict.fromkeys(group["names"], [group["tier"], blobs]))
        with open(os.path.join(path, f"digests{number}.json"), "w") as file:
            json.dump(found, file)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def main(mode, path):
    with open(os.path.join(path, "job.json")) as file:
        job = json.load(file)
    for entry in job.get("path", ()):
        sys.path.insert(0, entry)
    import types

    module = sys.modules["__main__"] = types.ModuleType("__main__")
    namespace = vars(module)
    namespace["__builtins__"] = __import__("builtins")
    sources = Sources()
    import_package()
    from _pyrepl3.serializer import load, save

    result = {}
    directory = Directory(path)
    if mode == "forks":
        run(job["setup"], sources, namespace)
        for number in range(job["forks"]):
            digests(path, number, namespace, sources)
        run(job["then"], sources, namespace, 50)
        digests(path, job["forks"], namespace, sources)
    elif mode in ("save", "context"):
        run(job["setup"], sources, namespace)
        begin = time.perf_counter()
        options = dict(job.get("options", {}))
        if job.get("dump"):
            options["context"] = lambda keeper: dump(keeper, [eval(text, namespace) for text in job["dump"]])
        body = save.save(namespace, directory, sources=sources, **options)
        result["seconds"] = time.perf_counter() - begin
        with open(os.path.join(path, "body.json"), "w") as file:
            json.dump(body, file)
    else:
        with open(os.path.join(path, "body.json")) as file:
            body = json.load(file)
        run(job.get("before", ()), sources, namespace, 1 if job.get("same_names") else 2000)
        options = dict(job.get("load_options", {}))
        if job.get("context"):
            options["context"] = lambda items, keeper: undump(items, keeper, namespace)
        begin = time.perf_counter()
        result["missing"] = load.missing(body)
        result["report"] = load.load(body, directory, namespace, sources=sources, **options)
        result["seconds"] = time.perf_counter() - begin
        with open(os.path.join(path, "report.json"), "w") as file:
            json.dump(result["report"], file)
        run([job["check"]] if isinstance(job["check"], str) else job["check"], sources, namespace, 3000)
        if job.get("save_again"):
            body = save.save(namespace, Directory(os.path.join(path, "again")), sources=sources)
            with open(os.path.join(path, "again", "body.json"), "w") as file:
                json.dump(body, file)
    with open(os.path.join(path, "result.json"), "w") as file:
        json.dump(result, file)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
