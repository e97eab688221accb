#!/usr/bin/env python3
"""A scripted interpreter: one process that is zygote, session inits and workers of all sessions at once.

The engine starts it like any interpreter and speaks its private protocol with it (docs/design/processes.md). A session is four
descriptors here and no process, so that there can be ten thousand of them, and what they cost the engine be measured. Code is
one expression, which is evaluated here; it may call `print`. All else that a worker can do is not understood, and ends this
process: a test that needs it needs a real one.
"""

import json
import os
import selectors
import socket
import sys

PYTHON = {
    "version": ".".join(map(str, sys.version_info[:3])),
    "executable": sys.executable,
    "prefix": sys.prefix,
    "implementation": "cpython",
}
FDS = 8


class Channel:
    """Frames, one way and the other. They are small, and come whole."""

    def __init__(self, fd):
        self.socket = socket.socket(fileno=fd)

    def receive(self):
        """The next frame and its descriptors; (None, []) at the end."""
        # Descriptors come with the first byte of the frame that they belong to.
        head, fds, _flags, _address = socket.recv_fds(self.socket, 4, FDS, socket.MSG_CMSG_CLOEXEC)
        if not head:
            return None, []
        head += self.exactly(4 - len(head))
        return json.loads(self.exactly(int.from_bytes(head, "big"))), fds

    def exactly(self, size):
        data = bytearray()
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            if not piece:
                os._exit(1)
            data += piece
        return bytes(data)

    def send(self, message, fds=()):
        body = json.dumps(message).encode()
        socket.send_fds(self.socket, [len(body).to_bytes(4, "big") + body], fds)


class Session:
    def __init__(self, number, fds, pidfd):
        init, worker, self.stdout, self.stderr, stdin = fds
        os.close(stdin)
        self.number, self.seq = number, 0
        self.init, self.worker = Channel(init), Channel(worker)
        self.init.send({"t": "spawned", "worker": number, "fds": 1}, [pidfd])

    def say(self, t, **frame):
        self.seq += 1
        self.worker.send({"seq": self.seq, "t": t, **frame})

    def ask_worker(self, watched):
        request, _fds = self.worker.receive()
        op = "exit" if request is None else request["op"]
        if op == "setup":
            self.say("hello", python=PYTHON)
        elif op == "execute":
            self.execute(request)
        elif op == "exit":
            self.leave(watched)
            self.init.send({"t": "exit", "worker": self.number, "code": 0})
        else:
            raise ValueError(f"a scripted worker knows no {op}")

    def execute(self, request):
        value = eval(request["code"], {"print": self.print})
        presented = {} if value is None else {"value": value, "repr": repr(value), "value_type": type(value).__name__}
        if value is not None:
            presented["data"] = {"text/plain": repr(value)}
        self.say("result", id=request["id"], duration=0.00001, memory_delta=0, **presented)

    def print(self, text):
        data = f"{text}\n".encode()
        while data:
            data = data[os.write(self.stdout, data) :]

    def leave(self, watched):
        """The worker ends, if it has not."""
        if self.worker is not None:
            watched.unregister(self.worker.socket)
            self.worker.socket.close()
            os.close(self.stdout)
            os.close(self.stderr)
            self.worker = None

    def ask_init(self, watched):
        request, _fds = self.init.receive()
        if request is not None and request["op"] != "end":
            raise ValueError(f"a scripted session init knows no {request['op']}")
        self.leave(watched)
        if request is not None:
            self.init.send({"t": "ended"})
        watched.unregister(self.init.socket)
        self.init.socket.close()


def process_of_all_workers():
    """A process for pidfds, which ends with this one."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(write)
        os.close(0)
        os.read(read, 1)
        os._exit(0)
    os.close(read)
    return os.pidfd_open(pid)


def main():
    pidfd = process_of_all_workers()
    zygote = Channel(0)
    # The program that a real interpreter would run, padded to one block, and the worker's source in two parts.
    zygote.exactly(4096)
    for _ in range(2):
        zygote.exactly(int(zygote.exactly(10)))
    watched = selectors.DefaultSelector()

    def ask_zygote(_watched):
        request, fds = zygote.receive()
        op = "end" if request is None else request["op"]
        if op == "environment":
            zygote.send({"t": "ready", "python": PYTHON})
        elif op == "session":
            session = Session(request["worker"], fds, pidfd)
            watched.register(session.init.socket, selectors.EVENT_READ, session.ask_init)
            watched.register(session.worker.socket, selectors.EVENT_READ, session.ask_worker)
        elif op == "end":
            os._exit(0)
        else:
            raise ValueError(f"a scripted zygote knows no {op}")

    watched.register(zygote.socket, selectors.EVENT_READ, ask_zygote)
    while True:
        for key, _events in watched.select():
            # One that was asked in this round may have ended another's turn.
            if key.fileobj.fileno() >= 0:
                key.data(watched)


main()
