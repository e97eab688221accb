"""Runs cases against the real engine, a few at a time, ahead of the tests that report them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
import support

import pyrepl3

from .case import Case

LIMIT = 240.0
"""Seconds that one case may take in one mode: it tells what hangs from what is slow beside much other work."""

HANGS = 5
"""After so many that took longer no more are begun: the engine is stuck."""

AT_ONCE = 2 * (os.cpu_count() or 1)
"""How many sessions run at a time."""

Mode = Callable[[Any, Case], Coroutine[Any, Any, Any]]
"""What is done with a session and a case; what it returns is the result."""

async def run(target: Any, what: str, code: str) -> None:
    """Runs code in a session or transaction; a failure tells which part of the case it was, and where."""
    try:
        await target.execute(code)
    except pyrepl3.ExecutionError as error:
        message = error.message
        raise AssertionError(f"{what}: {message.status}\n{message.traceback or message.error}") from None


class Runs:
    """An event loop in a thread of its own, in which the wanted cases and modes run, in the order of the tests."""

    def __init__(self, wanted: list[tuple[Case, Mode]], directory: str) -> None:
        self.directory = directory
        self.keepers: list[pyrepl3.Session] = []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.gate = asyncio.Semaphore(AT_ONCE)
        self.results: dict[tuple[str, str], Future[Any]] = {}
        self.tasks: set[asyncio.Task[Any]] = set()
        self.hangs = 0
        groups = dict.fromkeys(case.preload() for case, _ in wanted)
        try:
            # These keep the engine and the zygotes alive between the sessions of the tests.
            self.call(self.keep(list(groups))).result(2 * LIMIT)
        except BaseException:
            self.close()
            raise
        for case, mode in wanted:
            self.results[case.name, mode.__name__] = self.call(self.one(case, mode))

    def call(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    async def keep(self, groups: list[tuple[str, ...]]) -> None:
        for group in groups:
            session = self.session(group, "keeper")
            await session.start()
            self.keepers.append(session)

    def session(self, preload: tuple[str, ...], name: str) -> pyrepl3.Session:
        return pyrepl3.Session(
            preload=preload,
            name=name,
            data=os.path.join(self.directory, "data"),
            env={"TMPDIR": self.directory, "MPLBACKEND": "Agg"},
        )

    async def one(self, case: Case, mode: Mode) -> Any:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        async with self.gate:
            assert self.hangs < HANGS, "not run: too many before it hung"
            session = self.session(case.preload(), f"{case.name}: {mode.__name__}")
            try:
                await asyncio.wait_for(session.start(), LIMIT)
                return await asyncio.wait_for(mode(session, case), LIMIT)
            except asyncio.TimeoutError:
                self.hangs += 1
                raise AssertionError(f"it took longer than {LIMIT} seconds") from None
            finally:
                await asyncio.wait_for(session.shutdown(), LIMIT)

    def close(self) -> None:
        for result in self.results.values():
            result.cancel()

        async def end() -> None:
            # What was cancelled shuts its own session down first.
            await asyncio.gather(*self.tasks, return_exceptions=True)
            await asyncio.gather(*(keeper.shutdown() for keeper in self.keepers), return_exceptions=True)

        with contextlib.suppress(TimeoutError):
            self.call(end()).result(LIMIT)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


def runs_of(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    test: Callable[..., object],
    mode: Callable[[dict[str, Any]], Mode],
) -> Iterator[Runs]:
    """What a fixture gives the tests that report: the runs of those cases that are asked for and installed, each in the mode that its
    test's parameters say. Afterwards nothing is left."""
    before = set(support.processes())
    wanted: list[tuple[Case, Mode]] = []
    for item in request.session.items:
        if isinstance(item, pytest.Function) and item.function is test:
            parameters: dict[str, Any] = item.callspec.params
            if not parameters["case"].missing():
                wanted.append((parameters["case"], mode(parameters)))
    made = Runs(wanted, str(tmp_path_factory.mktemp("cases")))
    try:
        yield made
    finally:
        made.close()
    support.eventually(
        lambda: set(support.processes()) <= before,
        lambda: {pid: command for pid, command in support.processes().items() if pid not in before},
    )
