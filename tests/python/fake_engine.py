"""An engine that runs no Python: it speaks the protocol, and misbehaves where a test asks for it.

Started as the real one is (`engine --handoff`), see the fixture `fake` in conftest.py. `FAKE_HANDSHAKE` says how it
greets. What an `execute` does is named by its code:

    value JSON              a result of that value
    output COUNT SIZE       COUNT outputs of SIZE characters, within the window; the value is what it saw of the acks
    outputs TEXT…           one output each; then a result
    ask                     a prompt; the value is the answer
    die STATUS / killed     the engine exits, or is killed, in the middle
    garbage                 a frame that is no message
    drop                    closes the connection
    wait                    nothing, until another session executes `go`
    go                      lets everything go on that waits: executions, and requests that were held
    hold TYPE               the next request of that type is answered only after `go`
    seen                    the value: the types of all requests so far
    end                     the session is lost for good
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import sys
import threading
import time
from typing import Any

WINDOW = 4 << 20
Json = dict[str, Any]


class Peer:
    """One connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = b""
        self.ids = itertools.count(1)
        self.seen: list[str] = []
        self.held: list[str] = []
        self.waiting: list[Json] = []
        self.acked: dict[str, int] = {}
        self.answers: dict[str, str | None] = {}

    # ---- frames ------------------------------------------------------------------------------------------

    def send(self, kind: str, **fields: Any) -> int:
        message = {"type": kind, "id": f"msg_{next(self.ids)}", "timestamp": time.time(), "unknown": [1], **fields}
        body = json.dumps(message).encode()
        self.sock.sendall(len(body).to_bytes(4, "big") + body)
        return len(body) + 4

    def receive(self) -> Json:
        while True:
            if len(self.buffer) >= 4:
                size = int.from_bytes(self.buffer[:4], "big")
                if len(self.buffer) >= 4 + size:
                    body, self.buffer = self.buffer[4 : 4 + size], self.buffer[4 + size :]
                    message: Json = json.loads(body)
                    return message
            data = self.sock.recv(1 << 16)
            if not data:
                raise EOFError
            self.buffer += data

    def ready(self, version: int = 1, **fields: Any) -> None:
        self.send("ready", protocol_version=version, server_version="0.fake", capabilities=[], **fields)

    # ---- requests ----------------------------------------------------------------------------------------

    def serve(self) -> None:
        greeting = os.environ.get("FAKE_HANDSHAKE", "ready")
        if greeting == "exit":
            os._exit(7)
        elif greeting == "garbage":
            self.sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        elif greeting == "version":
            self.ready(version=2)
        elif greeting == "ready":
            self.ready()
        try:
            while True:
                self.handle(self.receive())
        except (EOFError, OSError):
            self.sock.close()

    def handle(self, request: Json) -> None:
        kind = request["type"]
        self.seen.append(kind)
        if kind in self.held:
            self.held.remove(kind)
            self.waiting.append(request)
        else:
            self.answer(request)

    def answer(self, request: Json) -> None:
        getattr(self, "on_" + request["type"], self.on_other)(request)

    def on_other(self, request: Json) -> None:
        self.send("reply", reply_to=request["id"], session_id=request.get("session_id"), data=None)

    def on_start(self, request: Json) -> None:
        python = {"version": "3.0", "executable": "none", "prefix": "none", "implementation": "fake"}
        self.ready(reply_to=request["id"], session_id=f"ses_{next(self.ids)}", python=python)

    on_pool_acquire = on_start

    def on_pool_start(self, request: Json) -> None:
        self.send("reply", reply_to=request["id"], data={"pool_id": f"pol_{next(self.ids)}"})

    def on_status(self, request: Json) -> None:
        self.send("reply", reply_to=request["id"], data=request)

    def on_ack(self, request: Json) -> None:
        name = request.get("execution_id") or "events"
        self.acked[name] = self.acked.get(name, 0) + request["bytes"]

    def on_cancel(self, request: Json) -> None:
        self.send("failure", reply_to=request["id"], code="unknown_execution", what="it is unknown")

    def on_input_response(self, request: Json) -> None:
        self.answers[request["input_id"]] = request["value"]
        self.send("reply", reply_to=request["id"], data=None)

    def on_execute(self, request: Json) -> None:
        verb, _, rest = request["code"].partition(" ")
        where = {"session_id": request["session_id"], "execution_id": request["id"]}
        getattr(self, "do_" + verb)(rest, where)

    # ---- what executions do ------------------------------------------------------------------------------

    def result(self, where: Json, value: Any = None) -> None:
        self.send("result", value=value, duration=0.0, memory_delta=0, changes={}, execution_count=1, **where)

    def do_value(self, rest: str, where: Json) -> None:
        self.result(where, json.loads(rest))

    def do_output(self, rest: str, where: Json) -> None:
        count, size = map(int, rest.split())
        name = where["execution_id"]
        sent = stalls = 0
        for number in range(count):
            while sent - self.acked.get(name, 0) >= WINDOW:
                stalls += 1
                self.handle(self.receive())
            text = str(number).ljust(size, ".")
            sent += self.send("output", stream="stdout", data=text, **where)
        self.result(where, {"sent": sent, "acked": self.acked.get(name, 0), "stalls": stalls})

    def do_outputs(self, rest: str, where: Json) -> None:
        for text in rest.split():
            self.send("output", stream="stdout", data=text, **where)
        self.result(where)

    def do_ask(self, rest: str, where: Json) -> None:
        name = f"inp_{next(self.ids)}"
        self.send("input", prompt="? ", **where | {"id": name})
        while name not in self.answers:
            self.handle(self.receive())
        self.result(where, self.answers[name])

    def do_die(self, rest: str, where: Json) -> None:
        self.send("output", stream="stdout", data="last words", **where)
        os._exit(int(rest))

    def do_killed(self, rest: str, where: Json) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def do_garbage(self, rest: str, where: Json) -> None:
        self.sock.sendall(b"\0\0\0\3{]}")

    def do_drop(self, rest: str, where: Json) -> None:
        self.sock.shutdown(socket.SHUT_RDWR)

    def do_wait(self, rest: str, where: Json) -> None:
        self.waiting.append({"type": "execute", "code": "value null", "id": where["execution_id"], **where})

    def do_go(self, rest: str, where: Json) -> None:
        waiting, self.waiting = self.waiting, []
        for request in waiting:
            self.answer(request)
        self.result(where)

    def do_hold(self, rest: str, where: Json) -> None:
        self.held.append(rest)
        self.result(where)

    def do_seen(self, rest: str, where: Json) -> None:
        self.result(where, self.seen)

    def do_end(self, rest: str, where: Json) -> None:
        self.send("session_lost", reason="it was time", recovered=False, session_id=where["session_id"])


def main() -> None:
    """Takes connections until the handoff ends."""
    assert sys.argv[1:3] == ["engine", "--handoff"], sys.argv
    handoff = socket.socket(fileno=0)
    while True:
        data, descriptors, _, _ = socket.recv_fds(handoff, 1, 1)
        if not data:
            os._exit(0)
        assert data == b"c"
        peer = Peer(socket.socket(fileno=descriptors[0]))
        threading.Thread(target=peer.serve, daemon=True).start()


main()
