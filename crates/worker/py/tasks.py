"""The event loop that a session keeps for top-level await. Between executions its idle wait runs inside it."""

import asyncio
import contextvars
import sys

from . import stop

_current_task, _cancelled = asyncio.current_task, asyncio.CancelledError
_new_event_loop, _set_event_loop = asyncio.new_event_loop, asyncio.set_event_loop
# Later versions warn of the one without an underscore.
_policy = getattr(asyncio.events, "_get_event_loop_policy", None) or asyncio.get_event_loop_policy


class Loop:
    def __init__(self, guard, channel, context):
        self.loop = _new_event_loop()
        _set_event_loop(self.loop)
        self.guard, self.channel, self.context = guard, channel, context
        self.main = None  # the task of the running execution
        self.interrupted = False
        guard.loop = self

    def offer(self):
        """`asyncio.run` leaves the thread without a current loop: then it is this one again. Another one that user code has set
        stays."""
        current = getattr(getattr(_policy(), "_local", None), "_loop", self.loop)
        if current is None and self.usable():
            _set_event_loop(self.loop)

    # ---- executions ----

    def run(self, coroutine):
        """Runs a coroutine to its end, in the session's context: its value, or raises what it raised."""
        self.interrupted = False
        self.noted = []
        outcome = []

        async def hold():
            try:
                outcome.append((True, await coroutine))
            except BaseException as error:
                outcome.append((False, error))
            if sys.version_info < (3, 11):
                self._note_context()

        if sys.version_info >= (3, 11):
            self.main = self.loop.create_task(hold(), context=self.context)
        else:
            self.main = self.context.run(self.loop.create_task, hold())
        try:
            while not outcome:
                try:
                    self._complete(self.main)
                except KeyboardInterrupt:
                    # It was raised into another task's step; the execution is what it was meant for.
                    self.interrupted = True
                    self.main.cancel()
                except _cancelled:
                    break
        finally:
            self.main = None
            for variable, value in self.noted:
                self.context.run(variable.set, value)
        if not outcome:
            raise KeyboardInterrupt
        completed, value = outcome[0]
        if completed:
            return value
        if self.interrupted and isinstance(value, _cancelled):
            raise KeyboardInterrupt().with_traceback(value.__traceback__) from None
        raise value

    def _complete(self, future):
        """`run_until_complete`, whoever stops the loop meanwhile: user code, or a callback of an earlier call that an
        interrupt has left in the loop."""
        while True:
            try:
                return self.loop.run_until_complete(future)
            except RuntimeError:
                if future.done() or not self.usable():
                    raise

    def _note_context(self):
        # Before 3.11 a task cannot run in a given context, only in a copy of it: what it set is copied back.
        for variable, value in contextvars.copy_context().items():
            if variable not in self.context or self.context[variable] is not value:
                self.noted.append((variable, value))

    # ---- interrupts: called by the signal handler ----

    def interrupt(self):
        """An interrupt while user code runs. True when it was dealt with: the loop waits, so its task is cancelled."""
        if self.main is None or not self.loop.is_running() or _current_task(self.loop) is not None:
            return False
        self.interrupted = True
        self.main.cancel()
        self.loop.call_soon_threadsafe(lambda: None)
        return True

    def is_blocked(self):
        """Whether a task of the idle loop keeps it from its work."""
        return self.loop.is_running() and _current_task(self.loop) is not None

    # ---- between executions ----

    def usable(self):
        return not self.loop.is_closed() and not self.loop.is_running()

    def request(self):
        """Waits for the next request while the loop's tasks go on."""
        loop, channel = self.loop, self.channel
        while True:
            wake, fd = loop.create_future(), channel.fd

            def ready(wake=wake):
                if not wake.done():
                    wake.set_result(None)

            channel.on_request = lambda ready=ready: loop.call_soon_threadsafe(ready)
            try:
                request = channel.request_now()
                if request is not None:
                    return request
                fd = channel.fd  # it may change meanwhile
                loop.add_reader(fd, ready)
                self.guard.mode = stop.IDLE
                if self.guard.noted:
                    self.guard.call_noted()
                self._complete(wake)
            except (KeyboardInterrupt, SystemExit):
                pass  # a task of the user's ended by it; its own exception says so
            finally:
                self.guard.mode = stop.OFF
                channel.on_request = None
                loop.remove_reader(fd)

    def close(self):
        """Cancels what still runs, and closes the loop, as `asyncio.run` does."""
        if not self.usable():
            return
        loop = self.loop
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self._complete(loop.create_task(asyncio.wait(tasks, timeout=1)))
        self._complete(loop.create_task(loop.shutdown_asyncgens()))
        loop.close()
