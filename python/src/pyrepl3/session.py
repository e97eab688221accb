"""A session: a live Python process whose namespace persists between executions."""

from __future__ import annotations

import asyncio
import os
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from . import _wire
from ._channel import Channel, OnInput
from ._checkpoints import CheckpointOperations, CheckpointRef, checkpoint_id
from ._events import events_after
from ._exchange import ErrorMaker, Exchange
from ._flow import MessageIterator
from ._hosting import Embedded, Hosting, Served, check_id
from ._questions import Questions
from ._remote import RECONNECT_SECONDS, RemoteConnection
from ._service import Service
from ._state import StateOperations
from ._wire import Json
from .errors import BadRequest, BadType, BadValue, Pyrepl3Error, SessionClosed, Unsupported
from .execution import Execution
from .messages import ExecuteMessage
from .options import (
    Autosave,
    Environment,
    Limits,
    TransactionPolicy,
    autosave_on_wire,
    check_count,
    check_on_input,
    check_policy,
    check_seconds,
    check_text,
    path_text,
    texts,
)
from .parts import Branch, PythonInfo

if TYPE_CHECKING:
    from .pool import SessionPool


class Session(StateOperations, CheckpointOperations, Questions):
    """A session of the embedded engine or, with `url`, of a service. Also an async context manager.

    Leaving it shuts the session down, but for one of a service whose `id` was given: that lives on, and another client, or
    the same one later, attaches to it by its `id`. The constructor does no I/O. Arguments:

    * `url`, `token`: where a service is (`pyrepl3 serve`), "http://HOST:PORT", "https://…" or "unix:PATH", and the token
      that it printed. The connection is made again where it breaks.

    * `python`: path of an interpreter or of a virtual environment; `sys.executable` by default.
    * `preload`: modules to import before the session starts; sessions with the same ones start from there.
    * `isolation`: only "none" is available yet, and the default.
    * `limits`: a `Limits` or a dict of the same names.
    * `data`: the directory of the checkpoints, made if it is not there; the user's data directory by default.
    * `name`: a name for people, and for `autosave` to find the session again.
    * `cwd`, `env`: working directory (this process's by default) and environment variables to set; None
      removes one.
    * `on_input`: called with an `InputMessage` for each prompt that `inputs` do not answer, also for those
      of background threads; sync (it runs in the event loop, so it must not block) or async. None is
      end-of-file. If it raises, that is logged and the prompt gets end-of-file.
    * `default_policy`: the `TransactionPolicy` of executions that name none; "commit_always" without it.
    * `undo`: how many executions back `undo` can go; each keeps a frozen process.
    * `transaction_timeout`: seconds after which an explicit transaction in which nothing is done any more rolls
      back; 600 without it.
    * `from_checkpoint`: the checkpoint that it begins with. What came back is an event, a `RestoredMessage`.
    * `autosave`: when it saves itself, an `Autosave` or a dict of the same names; True is after every execution.
      After its process died with its state, and when a session of the same `name` is started again, the newest
      checkpoint comes back, which is an event too.

    With `url` also:

    * `id`: the session of this id is made, or attached to where it is there; what is given of the arguments is compared
      with what it was made with. Without it a new one is made. 1 to 100 of the characters a-z, 0-9, _ and -.
    * `idle_timeout`, `lifetime`: seconds after which the service ends it: unused, and in any case.
    * `labels`: texts by which the service lists sessions.
    * `reconnect`: seconds that the service may be away before the session is given up; 300 by default.
    * `python`, `cwd` are paths of the service's machine, and its own choice by default; there is no `data`.

    Belongs to the event loop that it was started in.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        python: str | os.PathLike[str] | None = None,
        preload: Iterable[str] = (),
        isolation: str | None = None,
        limits: Limits | Mapping[str, Any] | None = None,
        data: str | os.PathLike[str] | None = None,
        name: str | None = None,
        on_input: OnInput | None = None,
        default_policy: TransactionPolicy | str | None = None,
        from_checkpoint: CheckpointRef | None = None,
        autosave: Autosave | Mapping[str, Any] | bool | None = None,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str | None] | None = None,
        undo: int = 0,
        transaction_timeout: float | None = None,
        id: str | None = None,
        idle_timeout: float | None = None,
        lifetime: float | None = None,
        labels: Mapping[str, str] | None = None,
        reconnect: float = RECONNECT_SECONDS,
    ) -> None:
        for argument, text in (("url", url), ("token", token), ("id", id)):
            check_text(text, argument)
        for argument, seconds in (("idle_timeout", idle_timeout), ("lifetime", lifetime)):
            check_seconds(seconds, argument)
        check_seconds(reconnect, "reconnect", zero=True)
        check_id(id)
        check_text(name, "name")
        check_on_input(on_input)
        check_count(undo, "undo", 0)
        check_seconds(transaction_timeout, "transaction_timeout")
        self.name = name
        self.on_input = on_input
        self.parent: str | None = None
        """Of a branch: the id of the session that it was made from."""
        self.branched_at: int | None = None
        """Of a branch: the execution count of its parent at that moment."""
        self._environment = Environment.check(
            python=python, preload=preload, isolation=isolation, limits=limits, cwd=cwd, env=env
        )
        self._options: Json = {
            "name": name,
            "default_policy": check_policy(default_policy, "default_policy"),
            "undo": undo or None,
            "transaction_timeout": transaction_timeout,
            "from_checkpoint": None if from_checkpoint is None else checkpoint_id(from_checkpoint, "from_checkpoint"),
            "autosave": autosave_on_wire(autosave),
        }
        directory = path_text(data, "data")
        only_served: Json = {"idle_timeout": idle_timeout, "lifetime": lifetime, "labels": labels and dict(labels)}
        self._hosting: Hosting
        if url is None:
            for argument, value in {"token": token, "id": id, **only_served}.items():
                if value is not None:
                    raise BadValue(f"{argument} is given without url", "only sessions of a service have it")
            self._hosting = Embedded(directory)
        else:
            if directory is not None:
                raise BadValue("data is given with url", "the data directory is the service's own", "leave it out")
            self._options.update(only_served)
            self._hosting = Served(Service.at(url, token), id, reconnect, stays=id is not None)
        self._channel: Channel | None = None
        self._starting = False
        self._ended = False
        self._ending: asyncio.Task[None] | None = None
        self._pool: SessionPool | None = None
        self._finalizer: weakref.finalize[Any, Session] | None = None

    def __repr__(self) -> str:
        state = "closed" if self.closed else "started" if self._channel else "not started"
        return f"<Session {self.id or self.name or ''} {state}>".replace("  ", " ")

    # ---- life ------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The session's id; empty before it is started."""
        return self._channel.id if self._channel else ""

    @property
    def python(self) -> PythonInfo | None:
        """Its interpreter; None before it is started."""
        return self._channel.python if self._channel else None

    @property
    def closed(self) -> bool:
        """Whether it was shut down, was given back to its pool, or has ended otherwise."""
        channel = self._channel
        return self._ended or (
            channel is not None and (channel.closed is not None or channel.connection.failure is not None)
        )

    async def start(self) -> None:
        """Starts it, and the engine if it is the first. Does nothing when it is started already.

        Raises `BinaryNotFound`, `PythonNotFound`, `EnvironmentFailed`, what `restore` raises with `from_checkpoint`
        and `autosave`, `SessionClosed` after a shutdown, and `NoEventLoop` where asyncio does not run.
        """
        if self._ended or (self._channel is not None and self.closed):
            raise _ended(self)
        if self._channel is not None:
            return
        if self._starting:
            raise BadRequest("start() was called while another start() of the session is under way")
        self._starting = True
        try:
            channel = await self._hosting.open(self._all_options(), lambda connection: Channel(connection, input_of(self)))
            self._adopt(channel)
        finally:
            self._starting = False
        if self._ended:
            await self._end(channel)
            raise _ended(self)

    def _all_options(self) -> Json:
        options = self._environment.on_wire(here=isinstance(self._hosting, Embedded))
        options.update({name: value for name, value in self._options.items() if value is not None})
        return options

    def _adopt(self, channel: Channel, pool: SessionPool | None = None) -> None:
        """From here on the session is alive, and ends when nobody refers to it any more."""
        self._channel = channel
        self._pool = pool
        # The connection of a session on loan is its pool's.
        goodbye: Callable[[], None] = channel.goodbye
        if pool is not None:
            goodbye = partial(channel.goodbye_to_pool, pool.id)
        elif self._hosting.stays:
            goodbye = channel.leave
        self._finalizer = weakref.finalize(self, channel.connection.collected, goodbye, pool is None)
        self._finalizer.atexit = False

    def _branches(self, message: Json) -> list[Session]:
        """The sessions of a `branched`, while it is dispatched, so that nothing is missed that follows it."""
        return [self._branch(each) for each in _wire.branched(message).branches]

    def _branch(self, branch: Branch) -> Session:
        assert self._channel is not None
        session = Session(name=self.name, on_input=self.on_input)
        session._environment, session._options = self._environment, self._options
        session._hosting, connection = self._hosting.branch(self._channel, branch.session_id)
        session.parent, session.branched_at = branch.parent, branch.branched_at
        channel = Channel(connection, input_of(session))
        channel.enter(branch.session_id, branch.python or self.python)
        session._adopt(channel)
        return session

    async def shutdown(self) -> None:
        """Ends it. Returns when its processes are gone, and the engine's if it was the last. May be repeated.

        Raises `Pyrepl3Error` (code ``bad_request``) for a session on loan from a pool: release it instead.
        """
        if self._pool is not None:
            raise BadRequest(
                "a session on loan cannot be shut down",
                "it belongs to its pool",
                "give it back with `await pool.release(session)`",
            )
        channel = self._channel
        if channel is None or channel.connection.loop.is_closed():
            self._ended = True
            if self._finalizer is not None:
                self._finalizer()
            return
        if self._ending is None:
            if channel.connection.loop is not asyncio._get_running_loop():
                channel.check()  # Raises.
            self._ended = True
            self._ending = channel.connection.loop.create_task(self._end(channel))
        # Once begun it goes on, also when the one who asked for it is cancelled.
        await asyncio.shield(self._ending)

    async def _end(self, channel: Channel) -> None:
        if self._finalizer is not None:
            self._finalizer.detach()
        connection = channel.connection
        try:
            if connection.failure is None:
                await connection.request({"type": "shutdown", "session_id": channel.id})
        except Pyrepl3Error as error:
            # It, or the engine, ended before: what was wanted.
            if error.code not in ("session_closed", "session_lost"):
                raise
        finally:
            channel.close(_shut_down)
            await connection.release()

    async def detach(self) -> None:
        """Leaves a session of a service: it lives on, and so does what runs. May be repeated.

        A `Session` of the same `id` attaches to it again; `events(after=…)` has what it said meanwhile. Raises
        `Unsupported` for a session of the embedded engine, which ends with its client.
        """
        channel = self._channel
        if not isinstance(self._hosting, Served):
            raise Unsupported(
                "the session cannot be left",
                "it belongs to the engine of this process, and ends with it",
                "checkpoint it, or use a session of a service: Session(url, …)",
            )
        self._ended = True
        if channel is not None:
            if self._finalizer is not None:
                self._finalizer.detach()
            if not channel.connection.loop.is_closed():
                channel.close(_left)
                await channel.connection.release()

    async def aclose(self) -> None:
        """What the end of ``async with`` does, for `contextlib.aclosing`."""
        if self._hosting.stays:
            await self.detach()
        else:
            await self.shutdown()

    async def __aenter__(self) -> Session:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    # ---- execution -------------------------------------------------------------------------------------

    def execute(
        self,
        code: str | ExecuteMessage,
        *,
        transaction_policy: TransactionPolicy | str | None = None,
        timeout: float | None = None,
        inputs: Iterable[str] | None = None,
        salvage: Iterable[str] = (),
        stop_on_error: bool = False,
        idempotency_key: str | None = None,
    ) -> Execution:
        """Sends code, at once: the order of calls is the order of execution. Await or iterate what it returns.

        * `timeout`: seconds of wall time from the start of the execution, waits for input included.
        * `inputs`: answers to its prompts, in order; when used up, prompts get end-of-file.
        * `stop_on_error`: if it fails, what is queued behind it is cancelled.
        * `idempotency_key`: with a key that was used before, the code does not run again; it ends as the first did.
        * `transaction_policy`: what becomes of what it changes, a `TransactionPolicy` or its text; the session's
          `default_policy` without it. "explicit" begins an explicit transaction if none is open.
        * `salvage`: names of variables. If it fails and is undone, their values are carried over into the state
          before: `ErrorMessage.salvaged` lists those that were, the `report` says why others were not. Under a policy
          that does not undo it is refused (`BadValue`).

        Raises `SessionClosed`, `SessionLost`, `BadType`, `BadValue`. What the engine refuses (``duplicate_id``,
        `SnapshotRefused`) is raised by awaiting the execution.
        """
        return self._send(
            code,
            transaction_policy,
            None,
            timeout=timeout,
            inputs=inputs,
            salvage=salvage,
            stop_on_error=stop_on_error,
            idempotency_key=idempotency_key,
        )

    def _send(
        self,
        code: str | ExecuteMessage,
        transaction_policy: TransactionPolicy | str | None,
        transaction_id: str | None,
        *,
        timeout: float | None,
        inputs: Iterable[str] | None,
        salvage: Iterable[str],
        stop_on_error: bool,
        idempotency_key: str | None,
    ) -> Execution:
        name: str | None = None
        stamp: float | None = None
        if isinstance(code, ExecuteMessage):
            name, stamp = code.id, code.timestamp
            timeout = code.timeout if timeout is None else timeout
            transaction_policy = transaction_policy or code.transaction_policy
            code = code.code
        if not isinstance(code, str):
            raise BadType(f"code must be a string or an ExecuteMessage, not {type(code).__name__}")
        channel = self._usable()
        message: Json = {
            "type": "execute",
            "id": name if name is not None else f"exe_{os.urandom(16).hex()}",
            "timestamp": time.time() if stamp is None else stamp,
            "code": code,
        }
        if transaction_policy is not None:
            message["transaction_policy"] = check_policy(transaction_policy, "transaction_policy")
        if transaction_id is not None:
            message["transaction_id"] = transaction_id
        if timeout is not None:
            check_seconds(timeout, "timeout")
            message["timeout"] = timeout
        if inputs is not None:
            message["inputs"] = texts(inputs, "inputs")
        if names := texts(salvage, "salvage"):
            message["salvage"] = names
        if stop_on_error:
            message["stop_on_error"] = True
        if idempotency_key is not None:
            check_text(idempotency_key, "idempotency_key")
            message["idempotency_key"] = idempotency_key
        check_text(name, "id")
        if name == "":
            raise BadValue("id must not be empty", "the engine takes an empty id for none", "leave it out")
        execution = Execution(self, channel, message["id"], code)
        channel.launch(execution, message)
        return execution

    async def input_response(self, input_id: str, value: str | None) -> None:
        """Answers a prompt: `input_id` is the `id` of its `InputMessage`; a value of None is end-of-file.

        Raises `UnknownInput` if the prompt does not wait any more.
        """
        check_text(value, "value")
        await self._usable().request("input_response", input_id=input_id, value=value)

    async def interrupt(self) -> None:
        """Stops what runs; returns when it has ended, at once if nothing runs. What is queued runs then."""
        await self._usable().request("interrupt")

    def events(self, after: int | None = None) -> MessageIterator:
        """What the session says outside executions. An async iterator, which ends with the session.

        Output, displays and prompts of what user code left running; `SessionLostMessage`; of its state what nobody
        asked for: `EvictedMessage`, `RolledBackMessage` (a transaction's time limit passed), `WarningMessage`,
        `CheckpointCreatedMessage` (it saved itself), `RestoredMessage` (it began with a checkpoint, or recovered).

        It begins with what was said before, of which 1 MiB is kept. Raises `SessionClosed` before the start.

        With `after`, for a session of a service: all that it has said and says, whoever asked for it, from the event
        behind that number on (0: from the first). Each message has its number, `seq`. Where the connection breaks it goes
        on behind the last one that came. The first message raises `Gone` if events behind `after` are not kept any more.
        """
        if self._channel is None:
            raise _not_started()
        if after is None:
            return MessageIterator(self._channel.events, self)
        check_count(after, "after", 0)
        self._usable()
        connection = self._channel.connection
        if not isinstance(connection, RemoteConnection):
            raise Unsupported(
                "events cannot be asked for by their number",
                "only a service keeps them",
                "leave `after` out, or use a session of a service: Session(url, …)",
            )
        return events_after(connection, after)

    def _usable(self) -> Channel:
        channel = self._channel
        if self._ended:
            raise _ended(self)
        if channel is None:
            raise _not_started()
        channel.check()
        return channel


def input_of(session: Session) -> Any:
    """How a channel asks for the session's `on_input` without keeping the session alive."""
    reference = weakref.ref(session)

    def current() -> OnInput | None:
        alive = reference()
        return alive.on_input if alive is not None else None

    return current


def _shut_down() -> Pyrepl3Error:
    return SessionClosed("the session was shut down", how="start a new one")


def _left() -> Pyrepl3Error:
    return SessionClosed("the session was left", how="a Session of the same id attaches to it again")


def _not_started() -> Pyrepl3Error:
    return SessionClosed("the session was not started", how="start it first: `await session.start()`")


def _ended(session: Session) -> Pyrepl3Error:
    channel = session._channel
    failure: ErrorMaker | None = None
    if channel is not None:
        failure = channel.closed or channel.connection.failure
    return (failure or _shut_down)()
