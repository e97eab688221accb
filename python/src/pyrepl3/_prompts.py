"""Prompts of `pyrepl3.sync`: has `on_input` called in the right thread."""

from __future__ import annotations

import asyncio
import queue
import threading
import weakref
from contextlib import suppress
from typing import Any

from ._channel import OnInput
from ._portal import Call
from .messages import InputMessage
from .options import check_on_input


class Prompts:
    """The prompts of one session. Knows no session, so that it can be collected."""

    def __init__(self, on_input: OnInput | None) -> None:
        check_on_input(on_input)
        self.on_input = on_input
        self.calls: weakref.WeakValueDictionary[str, Call] = weakref.WeakValueDictionary()
        """Who waits in `execute` or `stream`, by execution id."""

    def handler(self) -> OnInput | None:
        """The `on_input` of the asynchronous session."""
        return self._ask if self.on_input is not None else None

    async def _ask(self, message: InputMessage) -> str | None:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()

        def settle(value: Any, error: Exception | None) -> None:
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(value)

        def job() -> None:
            value: Any = None
            failure: Exception | None = None
            try:
                assert self.on_input is not None
                value = self.on_input(message)
            except Exception as error:
                failure = error
            finally:  # Ctrl-C in it is end-of-file here, and goes on to interrupt the execution.
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(settle, value, failure)

        call = self.calls.get(message.execution_id or "")
        if call is not None:
            call.jobs.put(job)
        else:
            threading.Thread(target=job, name="pyrepl3-input", daemon=True).start()
        value: str | None = await answer
        return value

    def forget(self, execution_id: str, call: Call) -> None:
        """Nobody waits there any more: a prompt that came meanwhile gets a thread of its own."""
        self.calls.pop(execution_id, None)
        with suppress(queue.Empty):
            while True:
                job = call.jobs.get_nowait()
                if not isinstance(job, Call):
                    threading.Thread(target=job, name="pyrepl3-input", daemon=True).start()
