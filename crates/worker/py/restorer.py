"""Brings a checkpoint back into the live namespace, and named values out of a failed execution into the state before."""

import fcntl
import os
import socket

from .serializer import transport

_socket, _close = socket.socket, os.close
# Where the restore's own descriptor is, while files are opened under the numbers that they had.
_HIGH = 512


class Refused(Exception):
    """The checkpoint cannot be restored here: (why, how)."""


def restore(keeping, fd):
    """The session's state becomes that of the checkpoint. Returns what came back, and what did not."""
    from .serializer import context, load

    namespace = keeping.namespace
    source = transport.SocketSource(_socket(fileno=_out_of_the_way(fd)))
    try:
        head, _fds = source.frame()
        body = transport.decode(source.exactly(head["n"]).decode(), 0)[0]
        missing = load.missing(body)
        absent = [one for one in missing if one["here"] is None]
        if absent and not head["partial"]:
            raise Refused(
                "packages that it needs are not installed here: " + ", ".join(_wanted(one) for one in absent),
                "install them, or restore it partially: what needs them is then lost, and named",
            )
        for name in list(namespace):
            if name not in keeping.initial:
                del namespace[name]
        if "__doc__" in namespace:
            namespace["__doc__"] = None
        if "__annotations__" in namespace:
            namespace["__annotations__"] = {}

        def restore_context(items, keeper):
            # What the context shares with variables came with them, under names that no variable can have.
            roots = {name: namespace.pop(name) for name in list(namespace) if name.startswith("<")}
            return context.restore(items, keeper, keeping.baseline, keeping.options(), roots)

        report = load.load(
            body, source, namespace, sources=keeping.sources, files=context.open_file, context=restore_context
        )
        report["restored"] = [entry for entry in report["restored"] if not entry["name"].startswith("<")]
        report["packages"] = [{"name": one["name"], "saved": one["saved"], "found": one["here"]} for one in missing]
        try:
            _remember(keeping.sources, body, source)
        except load.Lost as lost:
            report["lost"].append({"name": "the history of sources", "reason": lost.reason})
        return report
    finally:
        source.socket.close()


def _out_of_the_way(fd):
    """The same descriptor under a high number: files of the session may have had the low ones."""
    try:
        high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH)
    except OSError:
        return fd  # the session's limit is lower: then a file may get another number
    _close(fd)
    return high


def _remember(sources, body, source):
    """The sources of the executions before the checkpoint."""
    if body.get("history") is not None:
        for file, text in transport.decode(bytes(source.stream(body["history"])).decode(), 0)[0]:
            if file not in sources.texts:
                sources.add(file, text)


def _wanted(one):
    return f"{one['name']} {one['saved']}" if one.get("saved") else one["name"]


def rescue(keeping, names, fd):
    """After an execution that failed: writes the named values to a file that the supervisor keeps."""
    from .serializer import context, save

    sink = transport.Sink(transport.write_to_file(fd))
    body = save.save(
        keeping.namespace,
        sink,
        skip=frozenset(keeping.namespace) - set(names),
        sources=keeping.sources,
        files=context.describe_file,
        reducers=context.reducers(),
    )
    sink.body(body)
    return body


def take_over(keeping, fd):
    """In the process that goes on with the state before: the values are there again. Returns what came, and what not."""
    from .serializer import context, load

    source = transport.FileSource(fd)
    _close(fd)
    if source.body is None:
        return {"restored": [], "lost": []}
    return load.load(source.body, source, keeping.namespace, sources=keeping.sources, files=context.open_file)
