"""Values that are carried out of a failed execution into the state before it."""

from __future__ import annotations

from typing import Any

import pytest

import pyrepl3
from pyrepl3 import ErrorMessage, ExecutionError, Session


async def failed(session: Session, code: str, *names: str, **options: Any) -> ErrorMessage:
    """The message of code that fails."""
    with pytest.raises(ExecutionError) as caught:
        await session.execute(code, salvage=names, **options)
    return caught.value.message


@pytest.mark.parametrize("policy", ["rollback_on_failure", "commit_on_success"])
async def test_what_was_paid_for_is_not_thrown_away(policy: str) -> None:
    async with Session(default_policy=policy) as session:
        await session.execute("x = 1; results = []")
        code = "x = 2; results.append([1]); also = results[0]; raise ValueError('no')"
        message = await failed(session, code, "results", "also")
        assert (message.status, message.rolled_back, message.salvaged) == ("failed", True, ["results", "also"])
        assert message.report is not None and "results, also" in message.report
        # Only what was named; and names that shared an object share it again.
        assert (await session.execute("x, results, results[0] is also")).repr == "(1, [[1]], True)"


async def test_what_completes_needs_no_salvage() -> None:
    async with Session(default_policy="commit_on_success") as session:
        result = await session.execute("results = [1]; x = 2", salvage=["results"])
        assert result.changes.added == ["results", "x"]
        assert (await session.execute("results, x")).repr == "([1], 2)"


async def test_a_time_limit_and_an_interrupt_salvage_too() -> None:
    async with Session(default_policy="commit_on_success") as session:
        message = await failed(session, "got = [1]\nwhile True: pass", "got", timeout=0.3)
        assert (message.status, message.salvaged) == ("timed_out", ["got"])
        execution = session.execute("got.append(2); y = 1; print('on')\nwhile True: pass", salvage=["got"])
        async for part in execution:
            if isinstance(part, pyrepl3.OutputMessage):
                await session.interrupt()
        assert isinstance(execution.message, ErrorMessage)
        assert (execution.message.status, execution.message.rolled_back) == ("interrupted", True)
        assert execution.message.salvaged == ["got"]
        assert (await session.execute("got, 'y' in dir()")).repr == "([1, 2], False)"


@pytest.mark.parametrize(
    ("code", "options"),
    [
        ("got = 5; import os; os.abort()", {}),
        ("got = 5\nimport signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass", {"timeout": 0.3}),
    ],
    ids=["crashed", "killed"],
)
async def test_a_process_that_died_cannot_be_asked(code: str, options: dict[str, Any]) -> None:
    async with Session(default_policy="rollback_on_failure", limits={"interrupt_grace": 0.3}) as session:
        await session.execute("got = 1")
        message = await failed(session, code, "got", **options)
        assert (message.rolled_back, message.salvaged) == (True, [])
        assert message.report is not None
        assert "Could not be carried over: got (the process ended" in message.report
        assert (await session.execute("got")).value == 1


async def test_each_name_that_cannot_be_carried_over_is_said() -> None:
    async with Session(default_policy="rollback_on_failure") as session:
        await session.execute("g = 'before'")
        message = await failed(session, "good = [1]; g = (i for i in ()); 1 / 0", "good", "g", "nothing")
        assert message.salvaged == ["good"]
        assert message.report is not None
        assert "g (a generator" in message.report
        assert "nothing (the failed state has no such variable)" in message.report
        assert (await session.execute("good, g, 'nothing' in dir()")).repr == "([1], 'before', False)"


async def test_functions_and_classes_are_carried_over() -> None:
    async with Session(default_policy="rollback_on_failure") as session:
        await session.execute("scale = 10")
        code = """
            class Point:
                def __init__(self, x): self.x = x
            def grown(p): return p.x * scale
            point = Point(3)
            scale = 0
            raise ValueError
        """
        code = "\n".join(line[12:] for line in code.splitlines())
        message = await failed(session, code, "Point", "grown", "point")
        assert message.salvaged == ["Point", "grown", "point"]
        # `scale` was not named, and is as before; the function sees it.
        assert (await session.execute("grown(point), type(point) is Point")).repr == "(30, True)"


async def test_what_keeps_its_changes_salvages_nothing_and_is_refused() -> None:
    async with Session() as session:
        for policy in (None, "commit_always", "explicit"):
            with pytest.raises(pyrepl3.BadValue, match="nothing is undone"):
                await session.execute("x = 1", salvage=["x"], transaction_policy=policy)
        async with session.transaction() as tx:
            with pytest.raises(pyrepl3.BadValue, match="nothing is undone"):
                await tx.execute("x = 1", salvage=["x"])
        assert (await session.execute("'x' in dir()")).value is False


@pytest.mark.parametrize("names", [["a.b"], ["a[0]"], [""], ["a b"], ["x"] * 101], ids=lambda names: repr(names)[:20])
async def test_what_is_no_name_is_refused(names: list[str]) -> None:
    async with Session(default_policy="rollback_on_failure") as session:
        with pytest.raises(pyrepl3.BadValue, match="salvage"):
            await session.execute("x = 1", salvage=names)
        assert (await session.execute("'x' in dir()")).value is False


async def test_salvage_is_a_list_of_names() -> None:
    async with Session(default_policy="rollback_on_failure") as session:
        for wrong in ("results", [1]):
            with pytest.raises(pyrepl3.BadType, match="salvage"):
                session.execute("x = 1", salvage=wrong)  # type: ignore[arg-type]
