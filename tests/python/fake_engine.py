"""An engine that runs no Python: it speaks the protocol, and misbehaves where a test asks for it.

Started as the real one is (`engine --handoff`), see the fixture `fake` in conftest.py. `FAKE_HANDSHAKE` says how it
greets; with `FAKE_NUMBERS` it does not number what its sessions say. What an `execute` does is named by its code:

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
    sent TYPE               the value: all requests of that type so far
    fail                    an error, rolled back
    warn TEXT               a warning, then an output
    tell                    events of the session: a warning, and a snapshot that was evicted
    save                    events of the session: it saved itself, and came back
    expire                  the open transaction's time limit passes

It keeps no state of Python, but which transaction is open and which snapshots there are.
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


PYTHON = {"version": "3.0", "executable": "none", "prefix": "none", "implementation": "fake"}


FAILURES = ("checkpoint_failed", "checkpoint_damaged", "checkpoint_not_found", "restore_failed", "storage_full")
CHECKPOINT = {
    "checkpoint_id": "ckp_1",
    "parent": None,
    "variables": [{"name": "x", "tier": "pickle", "type": "int", "size": 5}, {"name": "np", "tier": "import"}],
    "lost": [{"name": "umask", "reason": "it is refused"}],
    "size_bytes": 500,
    "stored_bytes": 50,
    "pause": 0.25,
    "duration": 0.5,
    "execution_count": 3,
}
RESTORED = {
    "checkpoint_id": "ckp_1",
    "variables": CHECKPOINT["variables"],
    "lost": CHECKPOINT["lost"],
    "packages": [{"name": "numpy", "saved": "2.0", "found": None}],
    "reason": "a client asked",
    "undone": [4, 5],
    "execution_count": 3,
}


class State:
    """What is known of one session."""

    def __init__(self) -> None:
        self.transaction: str | None = None
        self.snapshots: list[Json] = []
        self.count = 0
        self.undone = 0
        self.log = itertools.count(1)


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
        self.requests: list[Json] = []
        self.states: dict[str, State] = {}

    # ---- frames ------------------------------------------------------------------------------------------

    def send(self, kind: str, /, **fields: Any) -> int:
        message = {"type": kind, "id": f"msg_{next(self.ids)}", "timestamp": time.time(), "unknown": [1], **fields}
        if fields.get("session_id") and "reply_to" not in fields and "FAKE_NUMBERS" not in os.environ:
            message["seq"] = next(self.state(fields).log)
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
            pass
        finally:  # Also after a bug in here: else who waits for an answer waits for ever.
            self.sock.close()

    def handle(self, request: Json) -> None:
        kind = request["type"]
        self.seen.append(kind)
        self.requests.append(request)
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
        self.ready(reply_to=request["id"], session_id=f"ses_{next(self.ids)}", python=PYTHON)

    on_pool_acquire = on_start

    def on_pool_start(self, request: Json) -> None:
        self.send("reply", reply_to=request["id"], data={"pool_id": f"pol_{next(self.ids)}"})

    def on_status(self, request: Json) -> None:
        self.reply(request, {"session_id": request["session_id"], "state": "idle", "later": [1]})

    def on_variables(self, request: Json) -> None:
        self.reply(request, [{"name": "x", "later": 1}, {"name": "t", "type": "a.T", "repr": "…", "shape": [2, 3]}])

    def on_complete(self, request: Json) -> None:
        found = [{"text": "x", "later": 1}]
        self.reply(request, {"matches": found, "start": 0, "end": request.get("cursor", 1), "later": 1})

    def on_inspect(self, request: Json) -> None:
        if request["name"] == "broken":
            return self.reply(request, {"name": "broken"})
        self.reply(request, {"found": False, "name": request["name"], "why": "NameError", "later": 1})

    def on_is_complete(self, request: Json) -> None:
        self.reply(request, {"status": "complete", "later": 1})

    def on_pool_stats(self, request: Json) -> None:
        found = {"idle": 3, "wait_seconds": {"p50": 0.5, "later": 1}, "later": 1}
        self.send("reply", reply_to=request["id"], data=found)

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
        state = self.state(request)
        if "transaction_id" in request and not self.in_transaction(request):
            return
        if request.get("transaction_policy") == "explicit" and state.transaction is None:
            state.transaction = f"txn_{next(self.ids)}"
        state.count += 1
        state.undone = 0
        getattr(self, "do_" + verb)(rest, where)

    # ---- state -------------------------------------------------------------------------------------------

    def state(self, request: Json) -> State:
        return self.states.setdefault(request["session_id"], State())

    def refuse(self, request: Json, code: str) -> None:
        self.send(
            "failure",
            reply_to=request["id"],
            session_id=request["session_id"],
            code=code,
            what=code.replace("_", " "),
            why="the engine says so",
            how="do something else",
        )

    def reply(self, request: Json, data: Any = None) -> None:
        self.send("reply", reply_to=request["id"], session_id=request["session_id"], data=data)

    def in_transaction(self, request: Json) -> bool:
        """Whether the transaction that is meant is open; refuses the request if not."""
        current = self.state(request).transaction
        good = current is not None and request.get("transaction_id", current) == current
        if not good:
            self.refuse(request, "no_transaction")
        return good

    def rolled_back(self, request: Json, **fields: Any) -> None:
        self.send(
            "rolled_back",
            reply_to=request["id"],
            session_id=request["session_id"],
            **{"snapshot_id": None, "report": "all of it", "exact": True, "duration": 0.5} | fields,
            execution_count=3,
        )

    def on_begin(self, request: Json) -> None:
        state = self.state(request)
        if state.transaction is not None:
            self.refuse(request, "transaction_open")
        else:
            state.transaction = f"txn_{next(self.ids)}"
            self.reply(request, {"transaction_id": state.transaction})

    def on_commit(self, request: Json) -> None:
        if self.in_transaction(request):
            self.state(request).transaction = None
            self.reply(request)

    def on_rollback(self, request: Json) -> None:
        if self.in_transaction(request):
            self.state(request).transaction = None
            self.rolled_back(request, reason="rollback")

    def on_cancel(self, request: Json) -> None:
        """Ends what waits: the real engine ends whatever it stops."""
        ended = [one for one in self.waiting if one.get("id") == request["execution_id"]]
        self.waiting = [one for one in self.waiting if one not in ended]
        for one in ended:
            self.answer(one)
        self.on_other(request)

    def on_savepoint(self, request: Json) -> None:
        if self.in_transaction(request):
            self.freeze(request, "savepoint")

    def on_snapshot(self, request: Json) -> None:
        if request.get("name") == "cuda":
            self.refuse(request, "snapshot_refused")
        else:
            self.freeze(request, "named")

    def freeze(self, request: Json, kind: str) -> None:
        state = self.state(request)
        made = {"snapshot_id": f"snp_{next(self.ids)}", "name": request.get("name"), "kind": kind}
        told = {"execution_count": state.count}
        state.snapshots.append({**made, **told, "created_at": 1.5, "age": 2.5, "memory": None})
        where = {"reply_to": request["id"], "session_id": request["session_id"]}
        self.send("snapshot_created", warnings=["a thread"], duration=0.25, **where, **made, **told)

    def on_snapshots(self, request: Json) -> None:
        self.reply(request, self.state(request).snapshots)

    def place(self, request: Json) -> int | None:
        """Where the snapshot that is meant is; refuses the request if it is nowhere."""
        names = [each["snapshot_id"] for each in self.state(request).snapshots]
        if request["snapshot_id"] in names:
            return names.index(request["snapshot_id"])
        self.refuse(request, "snapshot_not_found")
        return None

    def on_drop_snapshot(self, request: Json) -> None:
        if (place := self.place(request)) is not None:
            del self.state(request).snapshots[place]
            self.reply(request)

    def on_rollback_to(self, request: Json) -> None:
        if "transaction_id" in request and not self.in_transaction(request):
            return
        if (place := self.place(request)) is not None:
            del self.state(request).snapshots[place + 1 :]
            self.rolled_back(request, snapshot_id=request["snapshot_id"], reason="rollback_to", exact=False)

    def on_undo(self, request: Json) -> None:
        state = self.state(request)
        if state.undone >= state.count:
            self.refuse(request, "nothing_to_undo")
        else:
            state.undone += 1
            self.rolled_back(request, reason="undo")

    def on_redo(self, request: Json) -> None:
        state = self.state(request)
        if not state.undone:
            self.refuse(request, "nothing_to_redo")
        else:
            state.undone -= 1
            self.rolled_back(request, reason="redo")

    def on_branch(self, request: Json) -> None:
        parent = request["session_id"]
        made = [
            {"session_id": f"ses_{next(self.ids)}", "python": PYTHON, "parent": parent, "branched_at": 7}
            for _ in range(request["count"])
        ]
        self.send("branched", reply_to=request["id"], session_id=parent, branches=made)
        for each in made:  # At once: nothing of it may be missed.
            self.send("warning", text="just made", session_id=each["session_id"])

    def on_checkpoint(self, request: Json) -> None:
        where = {"reply_to": request["id"], "session_id": request["session_id"]}
        name = request.get("name")
        if name in FAILURES:
            return self.refuse(request, name)
        for done in range(3):
            self.send("progress", bytes=100 * done, done=done, total=2, name=f"v{done}", **where)
        self.send("checkpoint_created", **CHECKPOINT, name=name, **where)

    def on_restore(self, request: Json) -> None:
        where = {"reply_to": request["id"], "session_id": request["session_id"]}
        self.send("restored", **RESTORED, **where)

    def on_checkpoints(self, request: Json) -> None:
        self.reply(request, [{"checkpoint_id": "ckp_1"}, {"checkpoint_id": "ckp_2", "damaged": "cut off"}])

    def on_diff(self, request: Json) -> None:
        one = {"name": "x", "change": "added", "type": "int", "size_before": None, "size_after": 5}
        self.reply(request, [one, {"name": "y", "change": "removed"}])

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

    def do_sent(self, rest: str, where: Json) -> None:
        self.result(where, [request for request in self.requests if request["type"] == rest])

    def do_fail(self, rest: str, where: Json) -> None:
        told = {"status": "failed", "ename": "ValueError", "evalue": "no", "error": "no"}
        self.send("error", traceback="ValueError: no\n", rolled_back=True, report="all of it", **told, **where)

    def do_warn(self, rest: str, where: Json) -> None:
        self.send("warning", text=rest, **where)
        self.send("output", stream="stdout", data="out", **where)
        self.result(where)

    def do_tell(self, rest: str, where: Json) -> None:
        session = {"session_id": where["session_id"]}
        self.send("warning", text="take care", **session)
        self.send("evicted", snapshot_id="snp_old", name="old", kind="named", reason="no room", **session)
        self.result(where)

    def do_save(self, rest: str, where: Json) -> None:
        session = {"session_id": where["session_id"]}
        self.send("checkpoint_created", **CHECKPOINT, **session)
        self.send("restored", **RESTORED, **session)
        self.send("progress", bytes=1, done=1, total=1, name="late", reply_to="req_none", **session)
        self.result(where)

    def do_expire(self, rest: str, where: Json) -> None:
        session = {"session_id": where["session_id"]}
        self.state(where).transaction = None
        self.send("rolled_back", snapshot_id=None, report="late", exact=True, reason="time limit", **session)
        self.result(where)


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
