"""Brings a checkpoint back into the live namespace, and named values out of a failed execution into the state before."""

import os
import socket

from .keep import transport

_socket, _close = socket.socket, os.close


class Refused(Exception):
    """The checkpoint cannot be restored here: (why, how)."""


def restore(keeping, fd):
    """The session's state becomes that of the checkpoint. Returns what came back, and what did not."""
    from .keep import context, load

    namespace = keeping.namespace
    source = transport.SocketSource(_socket(fileno=fd))
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
        options = keeping.options()

        def state(items, keeper):
            roots = {name: namespace.pop(name) for name in list(namespace) if name.startswith("<")}
            return context.restore(items, keeper, keeping.baseline, options, roots)

        report = load.load(
            body,
            source,
            namespace,
            sources=keeping.sources,
            files=context.open_file,
            context=state,
        )
        report["restored"] = [one for one in report["restored"] if not one["name"].startswith("<")]
        report["packages"] = [{"name": one["name"], "saved": one["saved"], "found": one["here"]} for one in missing]
        _remember(keeping.sources, body, source)
        return report
    finally:
        source.socket.close()


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
    from .keep import context, save

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
    from .keep import context, load

    source = transport.FileSource(fd)
    _close(fd)
    if source.body is None:
        return {"restored": [], "lost": []}
    return load.load(source.body, source, keeping.namespace, sources=keeping.sources, files=context.open_file)
