"""Prompts: answered by hand, by `inputs`, by `on_input`; from executions and from the background."""

from __future__ import annotations

import asyncio
import logging

import pytest

import pyrepl3
from pyrepl3 import ExecutionError, InputMessage, Session


async def prompt_of(execution: pyrepl3.Execution) -> InputMessage:
    async for message in execution:
        if isinstance(message, InputMessage):
            return message
    raise AssertionError("no prompt came")


async def test_a_prompt_is_answered_by_hand() -> None:
    async with Session() as session:
        execution = session.execute("input('Name: ')")
        message = await prompt_of(execution)
        assert (message.prompt, message.password, message.answered) == ("Name: ", False, False)
        assert message.execution_id == execution.id
        await session.input_response(message.id, "Zoë \ud800")
        assert (await execution).value == "Zoë \ud800"


async def test_end_of_file() -> None:
    async with Session() as session:
        execution = session.execute("input()")
        await session.input_response((await prompt_of(execution)).id, None)
        with pytest.raises(ExecutionError) as caught:
            await execution
        assert caught.value.message.ename == "EOFError"


async def test_an_answer_that_nobody_waits_for_is_refused() -> None:
    async with Session() as session:
        execution = session.execute("input()")
        message = await prompt_of(execution)
        await session.input_response(message.id, "once")
        await execution
        for name in (message.id, "no such prompt"):
            with pytest.raises(pyrepl3.UnknownInput) as caught:
                await session.input_response(name, "twice")
            assert caught.value.code == "unknown_input"
        with pytest.raises(TypeError):
            await session.input_response(message.id, 5)  # type: ignore[arg-type]


async def test_passwords_say_so() -> None:
    async with Session() as session:
        execution = session.execute("import getpass; getpass.getpass('Secret: ')")
        message = await prompt_of(execution)
        assert message.password
        assert message.prompt == "Secret: "
        await session.input_response(message.id, "x")
        assert (await execution).value == "x"


@pytest.mark.parametrize(
    "code", ["input()", "import builtins; builtins.input()", "import sys; sys.stdin.readline().rstrip()"]
)
async def test_all_ways_to_read(code: str) -> None:
    async with Session() as session:
        for _ in range(2):
            assert (await session.execute(code, inputs=["line"])).value == "line"


async def test_inputs_answer_in_order_and_then_end_of_file() -> None:
    asked: list[InputMessage] = []
    async with Session(on_input=lambda message: asked.append(message)) as session:
        result = await session.execute("[input('a'), input('b')]", inputs=["1", "2", "left over"])
        assert result.value == ["1", "2"]
        with pytest.raises(ExecutionError) as caught:
            await session.execute("[input(), input()]", inputs=["1"])
        assert caught.value.message.ename == "EOFError"
        with pytest.raises(ExecutionError):
            await session.execute("input()", inputs=[])
    assert asked == []


async def test_prompts_that_inputs_answer_are_seen_as_answered() -> None:
    async with Session() as session:
        found = [m async for m in session.execute("input('a')", inputs=["1"]) if isinstance(m, InputMessage)]
        assert [(m.prompt, m.answered) for m in found] == [("a", True)]


async def test_on_input_may_be_a_function_or_a_coroutine() -> None:
    asked: list[str] = []

    async def later(message: InputMessage) -> str:
        await asyncio.sleep(0)
        return message.prompt.upper()

    def now(message: InputMessage) -> str:
        asked.append(message.prompt)
        return message.prompt + "!"

    async with Session(on_input=now) as session:
        assert (await session.execute("[input('a'), input('b')]")).value == ["a!", "b!"]
        session.on_input = later
        assert (await session.execute("input('c')")).value == "C"
    assert asked == ["a", "b"]


async def test_on_input_that_returns_none_is_end_of_file() -> None:
    async with Session(on_input=lambda message: None) as session:
        with pytest.raises(ExecutionError) as caught:
            await session.execute("input()")
        assert caught.value.message.ename == "EOFError"


async def test_on_input_that_raises_is_the_cause_of_what_follows(caplog: pytest.LogCaptureFixture) -> None:
    def broken(message: InputMessage) -> str:
        raise LookupError("no answer to " + message.prompt)

    async with Session(on_input=broken) as session:
        with caplog.at_level(logging.ERROR, "pyrepl3"), pytest.raises(ExecutionError) as caught:
            await session.execute("input('Age?')")
        assert caught.value.message.ename == "EOFError"
        assert isinstance(caught.value.__cause__, LookupError)
    assert "no answer to Age?" in caplog.text


async def test_on_input_while_the_execution_is_iterated_too() -> None:
    async with Session(on_input=lambda message: "yes") as session:
        found = [m.type.value async for m in session.execute("input('sure? ')")]
        assert found == ["input", "result"]


async def test_prompts_of_the_background_are_answered_too() -> None:
    async with Session(on_input=lambda message: f"to {message.prompt}{message.execution_id}") as session:
        events = session.events()
        await session.execute(
            "import threading\nanswers = []\n"
            "def ask():\n    go.wait()\n    answers.append(input('late? '))\n"
            "go = threading.Event(); thread = threading.Thread(target=ask); thread.start()"
        )
        await session.execute("threading.Timer(0.05, go.set).start()")
        message = await anext(events)
        assert isinstance(message, InputMessage)
        assert message.execution_id is None
        assert (await session.execute("thread.join(); answers")).value == ["to late? None"]


async def test_a_time_limit_runs_on_while_a_prompt_waits() -> None:
    async with Session() as session:
        with pytest.raises(ExecutionError) as caught:
            await session.execute("input()", timeout=0.1)
        assert (caught.value.message.status, caught.value.message.ename) == ("timed_out", "TimeoutError")
        assert (await session.execute("input()", inputs=["still works"])).value == "still works"


async def test_a_prompt_waits_for_as_long_as_it_takes() -> None:
    async with Session() as session:
        execution = session.execute("input()")
        prompts = (await session.status()).inputs
        while not prompts:
            prompts = (await session.status()).inputs
        await session.input_response(prompts[0].id, "found in the status")
        assert (await execution).value == "found in the status"
