"""Output: exact, in order, and bounded, against the real engine's window."""

from __future__ import annotations

import asyncio

import pytest

from pyrepl3 import OutputMessage, ResultMessage, Session
from support import messages_of

MIB = 1 << 20


def data(messages: list[object]) -> str:
    return "".join(m.data for m in messages if isinstance(m, OutputMessage))


async def test_both_streams_and_all_sources() -> None:
    async with Session() as session:
        result = await session.execute(
            "import os, subprocess, sys\n"
            "print('python')\nprint('error', file=sys.stderr)\nos.write(1, b'os\\n')\n"
            "_ = subprocess.run(['echo', 'child'])"
        )
        assert result.stdout == "python\nos\nchild\n"
        assert result.stderr == "error\n"


async def test_bytes_that_are_no_text_are_exact() -> None:
    async with Session() as session:
        execution = session.execute("import os; _ = os.write(1, b'a\\xff\\xfeb\\n')")
        found = [m for m in await messages_of(execution) if isinstance(m, OutputMessage)]
        assert data(list(found)) == "a\ufffd\ufffdb\n"
        assert b"".join(m.bytes if m.bytes is not None else m.data.encode() for m in found) == b"a\xff\xfeb\n"


async def test_characters_are_not_cut() -> None:
    async with Session() as session:
        result = await session.execute("import sys; _ = sys.stdout.write('é😀' * 500_000)")
        assert result.stdout == "é😀" * 500_000


async def test_output_comes_while_the_code_runs() -> None:
    async with Session() as session:
        execution = session.execute("print('first'); x = input(); print(x)")
        async for message in execution:
            if isinstance(message, OutputMessage) and message.data == "first\n":
                status = await session.status()
                while not status.inputs:
                    status = await session.status()
                await session.input_response(status.inputs[0].id, "second")
        assert execution.stdout == "first\nsecond\n"


@pytest.mark.parametrize("mode", ["iterated", "awaited", "left", "both"])
async def test_far_more_than_the_window(mode: str) -> None:
    size = 24 * MIB
    async with Session() as session:
        execution = session.execute(f"import sys\nfor i in range({size // MIB}): _ = sys.stdout.write('x' * {MIB})")
        if mode == "iterated":
            found = await messages_of(execution)
            assert len(data(list(found))) == size
            assert isinstance(found[-1], ResultMessage)
        elif mode == "left":
            async for _ in execution:
                break
        elif mode == "both":
            await asyncio.gather(execution, messages_of(execution))
        result = await execution
        assert execution._stdout.missing == size - 8 * MIB
        assert "characters are left out" in result.stdout


async def test_a_slow_iterator_makes_the_code_wait_and_nobody_else() -> None:
    async with Session() as session, Session() as other:
        execution = session.execute("for i in range(24): print('x' * 1048575)\n'done'")
        iterator = execution.__aiter__()
        first = await anext(iterator)
        # It cannot end while nobody takes its output; meanwhile others run, and it can be asked how it is.
        for number in range(20):
            assert (await other.execute(str(number))).value == number
        assert (await session.status()).state == "running"
        assert not execution.done()
        rest = [message async for message in iterator]
        assert len(data([first, *rest])) == 24 * MIB
        assert execution.message is rest[-1]


async def test_an_interrupt_comes_through_while_output_waits() -> None:
    async with Session() as session:
        execution = session.execute("while True: print('x' * 1000)")
        iterator = execution.__aiter__()
        await anext(iterator)
        interrupt = asyncio.ensure_future(session.interrupt())
        found = [message async for message in iterator]
        await interrupt
        assert found[-1].type == "error"


async def test_what_a_session_says_in_the_background_is_bounded() -> None:
    async with Session() as session:
        await session.execute(
            "import threading\n"
            "def chatter():\n    go.wait()\n    for i in range(12_000): print('x' * 999)\n    done.set()\n"
            "go, done = threading.Event(), threading.Event()\n"
            "thread = threading.Thread(target=chatter); thread.start()"
        )
        await session.execute("threading.Timer(0.05, go.set).start()")
        while not (await session.execute("done.wait(0.01)")).value:
            pass
        flow = session._channel.events if session._channel else None
        assert flow is not None
        assert flow._tail_size <= 2 * MIB
        assert (await session.execute("1")).value == 1
