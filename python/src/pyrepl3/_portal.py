"""The thread behind `pyrepl3.sync`: one event loop for all its sessions and pools, while there are any.

calling thread                          thread "pyrepl3"
Portal.run ── call_soon_threadsafe ──▶  a task of the coroutine
    │ waits on Call.jobs  ◀── on_input, to be called here
    ◀──────────────────────────── None: the task has ended
"""

from __future__ import annotations

import asyncio
import inspect
import os
import queue
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

from .errors import BadRequest, SessionClosed

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Job = Callable[[], None]
"""Something that the calling thread does while it waits."""

Make = Callable[[], Coroutine[Any, Any, T]]
"""Makes a coroutine, in the loop."""


def like(
    other: Callable[Concatenate[Any, P], object],
) -> Callable[[Callable[..., R]], Callable[Concatenate[Any, P], R]]:
    """Gives a method the parameters of its asynchronous counterpart, for type checkers, `help()` and editors."""

    def same(method: Callable[..., R]) -> Callable[Concatenate[Any, P], R]:
        own, theirs = inspect.signature(method), inspect.signature(other)
        method.__signature__ = theirs.replace(return_annotation=own.return_annotation)  # type: ignore[attr-defined]
        return method

    return same


class Call:
    """A calling thread that waits for a coroutine in the loop, and does jobs meanwhile."""

    def __init__(self, jobs: queue.SimpleQueue[Job | Call] | None = None) -> None:
        # Not a Future: this wait can be broken off by Ctrl-C, and takes jobs. A call in it: that one has ended.
        self.jobs: queue.SimpleQueue[Job | Call] = queue.SimpleQueue() if jobs is None else jobs
        self.task: asyncio.Task[Any] | None = None

    def begin(self, make: Make[Any]) -> None:
        """In the loop: runs a coroutine."""
        self.task = asyncio.get_running_loop().create_task(make())
        self.task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled():
            task.exception()  # Seen: it is raised in the calling thread, unless that was interrupted.
        self.jobs.put(self)

    def cancel(self) -> None:
        """In the loop: ends the coroutine early."""
        if self.task is None or self.task.done():
            self.jobs.put(self)
        else:
            self.task.cancel()

    def wait(self) -> None:
        """In the calling thread: does jobs until the coroutine has ended."""
        while True:
            try:
                # In steps: Ctrl-C just before the thread sleeps does not wake it, it is seen afterwards only.
                job = self.jobs.get(timeout=1.0)
            except queue.Empty:
                continue
            if job is self:
                return
            if not isinstance(job, Call):
                job()


class Portal:
    """An event loop in a daemon thread, so that an exit of the interpreter never waits for it."""

    def __init__(self) -> None:
        self.users = 0
        self.process = os.getpid()
        self.loop = asyncio.new_event_loop()
        self._gate = threading.Lock()
        self._stopped = False
        self.thread = threading.Thread(target=self._serve, name="pyrepl3", daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        with self._gate:
            self._stopped = True
        # Who came just before the gate was shut hears that it is too late.
        self.loop.run_until_complete(_cancel_others())
        self.loop.close()

    def run(self, make: Make[T], call: Call | None = None, stop: Make[None] | None = None) -> T:
        """Blocks until the coroutine that `make` makes, in the loop, has ended.

        A KeyboardInterrupt cancels it or, if `stop` is given, runs that, and waits for the end of that. A second
        one does not wait.
        """
        call = call or Call()
        call.task = None
        self.check()
        try:
            if not self._post(call.begin, make):
                raise _gone()
            call.wait()
        except BaseException:
            # Wherever it was broken off: what is posted now comes after `begin`, if that was posted.
            ending = Call(call.jobs) if stop is not None else call
            if self._post(ending.begin, stop) if stop is not None else self._post(call.cancel):
                ending.wait()
            raise
        task = call.task
        assert task is not None
        if task.cancelled():
            raise _gone()
        result: T = task.result()
        return result

    def check(self) -> None:
        """Refuses calls that could never return."""
        if os.getpid() != self.process:
            raise BadRequest(
                "this session belongs to another process",
                "the process was forked after the session had started, and sessions do not follow a fork",
                "start a new session in the child process",
            )
        if threading.current_thread() is self.thread:
            raise BadRequest(
                "a blocking call was made in the thread of pyrepl3.sync itself",
                "it would wait for itself",
                "use the asynchronous pyrepl3.Session in coroutines",
            )

    def _post(self, function: Callable[..., None], *arguments: Any) -> bool:
        with self._gate:
            if not self._stopped:
                self.loop.call_soon_threadsafe(function, *arguments)
            return not self._stopped


async def _cancel_others() -> None:
    await asyncio.sleep(0)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _gone() -> SessionClosed:
    return SessionClosed("the session was shut down", how="start a new one")


_lock = threading.Lock()
_portal: Portal | None = None


def enter() -> Portal:
    """The portal for one more user; starts it if there is none. Give it back with `leave`."""
    global _portal
    with _lock:
        if _portal is None:
            _portal = Portal()
        _portal.users += 1
        return _portal


def share(portal: Portal, users: int) -> None:
    """More users of a portal, which each `leave` it. Raises `SessionClosed` if its last one went meanwhile."""
    with _lock:
        if _portal is not portal:
            raise _gone()
        portal.users += users


def leave(portal: Portal) -> None:
    """A user goes; the last one ends the thread. Not for destructors, which must not wait for a lock."""
    global _portal
    if portal.process != os.getpid():
        return
    with _lock:
        portal.users -= 1
        if portal.users > 0:
            return
        if _portal is portal:
            _portal = None
    portal.loop.call_soon_threadsafe(portal.loop.stop)
    if threading.current_thread() is not portal.thread:
        portal.thread.join()


def _after_fork_in_child() -> None:
    global _lock, _portal
    _lock = threading.Lock()  # Another thread of the parent may have held it.
    _portal = None


os.register_at_fork(after_in_child=_after_fork_in_child)
