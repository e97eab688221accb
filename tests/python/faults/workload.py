"""Clients that ask for much, come back whenever something breaks, and take note of what they are told.

Each execution writes down outside, before all else, that it ran; what it prints, and how it ends, is drawn from a seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Coroutine
from typing import Any

import pyrepl3
from faults.checker import Json, Plan, Record
from faults.rest import Rest
from faults.world import World

PATIENCE = 90.0
"""Seconds after which a client that gets no answer is a failure."""
SIZES = (0, 1, 7, 100, 4000, 70_000, 300_000)

CODE = """
import os as _os, random as _random, time as _time, sys as _sys
_file = _os.open({effects!r}, _os.O_WRONLY | _os.O_APPEND)
_os.write(_file, {token!r}.encode() + b"\\n")
_os.close(_file)
def _put(to, data, step, pause):
    for at in range(0, len(data), step):
        piece = data[at : at + step]
        while piece:
            piece = piece[_os.write(to, piece) :]
        if pause:
            _time.sleep(pause)
{writes}
{last}
"""


class Client:
    """One session's clients, and what they were told."""

    def __init__(self, world: World, url: str, session: str, chance: random.Random) -> None:
        self.record = Record()
        self.session = session
        self._world = world
        self._url = url
        self._rest = Rest(url, world.token)
        self._chance = chance
        self.heard = 0
        """How many events were told, over all."""
        self._number = 0
        self._asking: dict[str, str] = {}
        """Tokens by the ids of executions whose prompts are answered here."""

    # ---- what is asked -----------------------------------------------------------------------------------

    def draw(self) -> tuple[Plan, str, bool]:
        """An execution: its plan, its code, and whether it asks for input."""
        self._number += 1
        chance, token = self._chance, f"{self.session}-{self._number:04d}-x"
        written = {"stdout": b"", "stderr": b""}
        writes = []
        for _ in range(chance.choice([0, 1, 1, 2, 4])):
            name = chance.choice(["stdout", "stdout", "stderr"])
            size, seed = chance.choice(SIZES), chance.randrange(1 << 30)
            step, pause = chance.choice([100, 5000, 100_000]), chance.choice([0, 0, 0.001])
            if size > 1000:
                step, pause = max(step, 5000), 0
            if chance.random() < 0.5:
                data = random.Random(seed).randbytes(size)
                source = f"_random.Random({seed}).randbytes({size})"
            else:
                data = (f"{seed:x} äöü\n" * (size // 10 + 1)).encode()
                source = f"('{seed:x} äöü\\n' * {size // 10 + 1}).encode()"
            written[name] += data
            writes.append(f"_put({1 if name == 'stdout' else 2}, {source}, {step}, {pause})")
        if chance.random() < 0.3:
            writes.insert(0, f"_time.sleep({chance.random() * 0.05})")
        asks, fails = chance.random() < 0.2, chance.random() < 0.15
        value: object = token
        if asks:
            writes.append("_answer = input('what? ')")
            value = f"answer of {token}"
        if fails and chance.random() < 0.5:
            writes.append("try:\n    bytearray(1 << 46)\nexcept MemoryError:\n    pass")
        last = f"raise RuntimeError({token!r})" if fails else "_answer" if asks else repr(token)
        plan = Plan(token, written["stdout"], written["stderr"], value, fails)
        code = CODE.format(effects=str(self._world.effects), token=token, writes="\n".join(writes), last=last)
        self.record.plan(plan)
        return plan, code, asks

    # ---- over HTTP ---------------------------------------------------------------------------------------

    async def make(self) -> None:
        """The session is there, whoever made it."""
        await self._until_answered("PUT", f"/v1/sessions/{self.session}", {})

    async def execute(self) -> None:
        """Runs code over HTTP, and asks until it has ended."""
        plan, code, asks = self.draw()
        body: Json = {"code": code}
        if asks:
            body["inputs"] = [plan.value]
        how = self._chance.choice(["wait", "later", "events"])
        path = f"/v1/sessions/{self.session}/executions"
        if how == "wait":
            path += "?wait=20"
        if how == "events":
            await self._stream(plan, path, body)
        answer = await self._until_answered("POST", path, body, idempotency_key=plan.token)
        execution = answer["execution_id"]
        self.record.take(plan.token, execution, answer["seq"])
        while "end" not in answer:
            path = f"/v1/sessions/{self.session}/executions/{execution}?wait=20"
            answer = await self._until_answered("GET", path)
            if answer.get("code") == "unknown_execution":
                self.record.contradictions.append(f"{plan.token} was taken as {execution}, which is not known any more")
                return
        self.record.end(execution, answer["end"])

    async def _stream(self, plan: Plan, path: str, body: Json) -> None:
        """The execution's events as the answer. Whatever breaks, they are asked for again by who calls."""
        life = self._world.life
        with contextlib.suppress(OSError):
            headers = {"accept": "application/x-ndjson", "idempotency_key": plan.token}
            async with self._rest.asked("POST", path, body, **headers) as answer:
                if answer.status == 200:
                    async for event in answer.lines():
                        self._hear(event, life)

    async def _until_answered(self, method: str, path: str, body: Json | None = None, **headers: str) -> Json:
        """Asks until there is an answer that says it was done. Makes the session anew where it is lost."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        last: object = None
        while asyncio.get_running_loop().time() < deadline:
            try:
                status, answer = await self._rest.ask(method, path, body, **headers)
            except OSError as error:
                last = error
            else:
                if status < 300:
                    assert isinstance(answer, dict)
                    return answer
                last = answer
                if answer["code"] == "unknown_execution":
                    return dict(answer)
                if answer["code"] in ("session_not_found", "session_closed") and "/executions" in path:
                    await self.make()
                elif not (answer["retryable"] or answer["code"] in AGAIN):
                    raise AssertionError(f"{method} {path}: {answer}")
            await asyncio.sleep(self._chance.random() * 0.05)
        raise AssertionError(f"{method} {path} has no answer: {last}")

    # ---- over a WebSocket --------------------------------------------------------------------------------

    async def talk(self, count: int) -> None:
        """Runs code with the client of Python, which comes back by itself. A session that is lost is made anew."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while count > 0:
            assert asyncio.get_running_loop().time() < deadline, "the session cannot be used"
            session = pyrepl3.Session(
                self._url, token=self._world.token, id=self.session, on_input=self._answer, reconnect=PATIENCE
            )
            try:
                await session.start()
                while count > 0:
                    count -= 1
                    await self._while_powered(self._say(session))
            except pyrepl3.Pyrepl3Error as error:
                if error.code not in LOST:
                    raise
                await asyncio.sleep(0.05)
            finally:
                await session.detach()

    async def _while_powered(self, what: Coroutine[Any, Any, None]) -> None:
        """Gives something up where the power goes.

        A client that has seen events after which no promise came takes others of the same numbers for those: it has to
        begin anew.
        """
        life, task = self._world.life, asyncio.ensure_future(what)
        while not task.done() and life == self._world.life:
            await asyncio.wait([task], timeout=0.05)
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise pyrepl3.ConnectionLost("the power went")
        await task

    def _answer(self, message: pyrepl3.InputMessage) -> str | None:
        # Prompts of executions over HTTP are answered by what they were given.
        token = self._asking.get(message.execution_id or "")
        return None if token is None else f"answer of {token}"

    async def _say(self, session: pyrepl3.Session) -> None:
        plan, code, _ = self.draw()
        execution = session.execute(code)
        self._asking[execution.id] = plan.token
        heard = {"stdout": b"", "stderr": b""}
        missing = 0
        async for message in execution:
            if isinstance(message, pyrepl3.OutputMessage):
                heard[message.stream] += message.bytes if message.bytes is not None else message.data.encode()
                missing += message.dropped
        end = execution.message
        if end is None:
            await execution  # Raises why there is none.
        elif isinstance(end, pyrepl3.ResultMessage):
            said = {"type": "result", "value": end.value, "execution_count": end.execution_count, "seq": end.seq}
            self.record.end(execution.id, said)
        elif isinstance(end, pyrepl3.ErrorMessage):
            said = {"type": "error", "status": end.status, "ename": end.ename, "evalue": end.evalue, "seq": end.seq}
            self.record.end(execution.id, {**said, "execution_count": end.execution_count})
        self.record.heard[execution.id] = heard["stdout"], heard["stderr"]
        if missing:
            self.record.contradictions.append(f"{plan.token}: a client was told that {missing} bytes are missing")

    # ---- everything that is said -------------------------------------------------------------------------

    async def follow(self) -> None:
        """Reads all events, from the last one on whenever it breaks. Never ends by itself."""
        while True:
            life, last = self._world.life, max(self.record.events, default=0)
            path = f"/v1/sessions/{self.session}/events?after={last}"
            with contextlib.suppress(OSError):
                async with self._rest.asked("GET", path, accept="application/x-ndjson") as answer:
                    if answer.status == 200:
                        async for event in answer.lines():
                            self._hear(event, life)
            await asyncio.sleep(0.01 + self._chance.random() * 0.05)

    def _hear(self, event: Json, life: int) -> None:
        # What was under way when the power went was never told.
        if "seq" in event and life == self._world.life:
            self.heard += 1
            self.record.hear(event)

    async def work(self, count: int, *, talks: bool = True) -> None:
        """So many executions, over both, and somebody who reads all of it."""
        await self.make()
        following = asyncio.create_task(self.follow())
        try:
            talking = self._chance.randint(0, count) if talks else 0
            await asyncio.gather(self.talk(talking), self._in_turn(count - talking))
        finally:
            # `wait_for` swallows a cancellation that comes with its result.
            while not following.done():
                following.cancel()
                await asyncio.wait([following], timeout=0.1)

    async def _in_turn(self, count: int) -> None:
        for _ in range(count):
            await self.execute()


AGAIN: tuple[str, ...] = ("session_lost", "session_starting", "session_closed", "starting", "draining", "overloaded")
AGAIN += ("storage_full", "internal", "protocol_error", "timeout", "environment_failed", "python_not_found")
"""Codes of refusals after which it is tried again."""
LOST: tuple[str, ...] = ("session_lost", "session_closed", "session_not_found", "session_starting", "connection_lost")
LOST += ("service_unreachable", "storage_full", "internal", "gone", "environment_failed", "python_not_found")
LOST += ("protocol_error",)
"""Codes after which a client begins anew with the session."""
