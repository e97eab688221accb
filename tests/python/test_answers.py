"""The answers to questions: typed, frozen, and the same whatever a newer engine adds or an older one leaves out."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
from typing import Any

import pytest

import pyrepl3
from pyrepl3 import ResultMessage, Session, SessionPool, _answers, answers, sync

CLASSES = [
    cls
    for _, cls in inspect.getmembers(answers, inspect.isclass)
    if cls.__module__ == answers.__name__ and cls is not answers.Variables
]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_an_answer_is_a_frozen_dataclass_that_is_exported_and_explained(cls: type) -> None:
    assert dataclasses.is_dataclass(cls)
    assert cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert all(field.kw_only for field in dataclasses.fields(cls))
    assert getattr(pyrepl3, cls.__name__) is cls
    assert cls.__name__ in pyrepl3.__all__
    assert cls.__doc__
    assert not cls.__doc__.startswith(f"{cls.__name__}(")


def test_every_class_is_met() -> None:
    assert len(CLASSES) == 9


def test_variables_are_a_list_that_says_of_which_state_they_are() -> None:
    found = _answers.variables({"data": [{"name": "x"}], "as_of": 3})
    assert found == [pyrepl3.VariableInfo(name="x")]
    assert (type(found), found.as_of) == (pyrepl3.Variables, 3)
    again = pickle.loads(pickle.dumps(found))
    assert (again, again.as_of) == (found, 3)
    assert _answers.variables({"data": []}).as_of is None


# ---- the real engine ---------------------------------------------------------------------------------------


async def test_all_fields_of_a_variable() -> None:
    async with Session() as session:
        await session.execute("import json, array\nn = 5\nl = [1, 2, 3]\ndef f(): pass")
        found = {each.name: each for each in await session.variables()}
        assert list(found) == ["json", "array", "n", "l", "f"]
        assert (found["json"].type, found["json"].module) == ("module", "json")
        number = found["n"]
        assert (number.type, number.repr, number.shape, number.module) == ("int", "5", None, None)
        assert number.size is not None
        assert number.size > 0
        assert (found["l"].shape, found["l"].repr) == ((3,), "[1, 2, 3]")
        assert found["f"].type == "function"
        assert pickle.loads(pickle.dumps(found)) == found
        with pytest.raises(dataclasses.FrozenInstanceError):
            number.name = "m"  # type: ignore[misc]


async def test_all_fields_of_the_other_answers() -> None:
    async with Session(name="mine") as session:
        await session.execute('def twice(x):\n    """Doubles."""\n    return x * 2')
        found = await session.inspect("twice")
        assert (found.found, found.name, found.type, found.line, found.why) == (True, "twice", "function", 1, None)
        assert found.repr.startswith("<function twice")
        assert found.file
        missing = await session.inspect("no.such")
        assert not missing.found
        assert "no" in (missing.why or "")
        assert (missing.type, missing.doc) == ("", None)

        completed = await session.complete("twi + 1", 3)
        assert completed == pyrepl3.Completions(
            matches=[pyrepl3.Completion(text="twice", type="function")], start=0, end=3
        )
        assert await session.is_complete("if x:\n    y") == pyrepl3.Completeness(status="incomplete", indent=4)

        status = await session.status()
        assert (status.session_id, status.name, status.state) == (session.id, "mine", "idle")
        assert (status.execution_count, status.incarnation, status.running, status.queued) == (1, 1, None, [])
        assert (status.transaction, status.snapshots, status.inputs) == (None, 0, [])
        assert status.python == session.python
        assert status.pid == (await session.execute("import os; os.getpid()")).value
        execution = session.execute("input('? ')")
        async for message in execution:
            if isinstance(message, pyrepl3.InputMessage):
                (prompt,) = (await session.status()).inputs
                asked = (prompt.id, prompt.prompt, prompt.password, prompt.execution_id)
                assert asked == (message.id, "? ", False, execution.id)
                await session.input_response(message.id, None)


CODE = """
import os
class Counts:
    mine, asked = os.getpid(), 0
    def __repr__(self):
        Counts.asked += 1
        while os.getpid() != self.mine and Counts.hangs: pass
        return f"asked {Counts.asked}"
    hangs = False
c, x = Counts(), 1
def before(): pass
"""


async def running(session: Session, code: str, **options: Any) -> pyrepl3.Execution:
    """An execution that has begun: it has printed something."""
    execution = session.execute(f"print('on')\n{code}", **options)
    async for message in execution:
        if isinstance(message, pyrepl3.OutputMessage):
            break
    return execution


async def test_the_state_before_what_runs_answers_while_it_runs() -> None:
    async with Session() as session:
        await session.execute(CODE)
        execution = await running(
            session, "x = 2; input()", transaction_policy=pyrepl3.TransactionPolicy.ROLLBACK_ON_FAILURE
        )
        for _ in range(2):
            found = await session.variables()
            assert found.as_of == 1
            assert {each.name: each.repr for each in found if each.name in "cx"} == {"c": "asked 1", "x": "1"}
        completed = await session.complete("befo")
        assert (completed.as_of, [each.text for each in completed.matches]) == (1, ["before"])
        inspected = await session.inspect("x")
        assert (inspected.as_of, inspected.repr) == (1, "1")
        assert (await session.is_complete("1 +* 1")).status == "invalid"
        (prompt,) = (await session.status()).inputs
        await session.input_response(prompt.id, "")
        await execution
        assert (await session.variables()).as_of is None
        inspected = await session.inspect("c")
        assert (inspected.as_of, inspected.repr) == (None, "asked 2")


async def test_an_answer_that_does_not_come_while_code_runs_is_given_up() -> None:
    async with Session(undo=1) as session:
        await session.execute(CODE + "Counts.hangs = True")
        execution = await running(session, "input()")
        with pytest.raises(pyrepl3.Pyrepl3Error, match="within 5 s") as caught:
            await session.variables()
        assert caught.value.code == "interrupted"
        assert (await session.inspect("x")).as_of == 1
        await session.interrupt()
        with pytest.raises(pyrepl3.ExecutionError):
            await execution
        assert (await session.inspect("c")).as_of is None


async def test_without_a_snapshot_they_wait_until_the_code_has_ended() -> None:
    async with Session() as session:
        await session.execute(CODE)
        execution = await running(session, "import time; time.sleep(0.3); x = 2")
        inspected = await session.inspect("x")
        assert (inspected.as_of, inspected.repr) == (None, "2")
        await execution


async def test_the_statistics_of_a_pool() -> None:
    async with SessionPool(min_idle=1, max_sessions=2) as pool, pool.session():
        found = await pool.stats()
        assert (found.leased, found.waiting, found.timeouts, found.died) == (1, 0, 0, 0)
        assert found.started >= 1
        assert isinstance(found.start_seconds, pyrepl3.Quantiles)
        assert 0 < found.start_seconds.p50 <= found.start_seconds.p99 <= found.start_seconds.max


def test_without_await() -> None:
    with sync.SessionPool(min_idle=1) as pool, pool.session() as session:
        session.execute("x = 1")
        found = session.variables()
        assert ([each.name for each in found], found.as_of) == (["x"], None)
        assert session.complete("impor").matches[0].type == "keyword"
        assert session.inspect("x").repr == "1"
        assert session.is_complete("1 +* 1").status == "invalid"
        assert session.status().state == "idle"
        assert pool.stats().leased == 1


# ---- other engines -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fake")
async def test_what_is_unknown_is_ignored_and_what_is_missing_has_a_default() -> None:
    async with Session() as session:
        assert await session.variables() == [
            pyrepl3.VariableInfo(name="x"),
            pyrepl3.VariableInfo(name="t", type="a.T", repr="…", shape=(2, 3)),
        ]
        completion = pyrepl3.Completion(text="x")
        assert await session.complete("x", 1) == pyrepl3.Completions(matches=[completion], start=0, end=1)
        assert await session.inspect("y") == pyrepl3.Inspection(found=False, name="y", why="NameError")
        assert await session.is_complete("x") == pyrepl3.Completeness(status="complete")
        assert await session.status() == pyrepl3.SessionStatus(session_id=session.id, state="idle")
    async with SessionPool() as pool:
        assert await pool.stats() == pyrepl3.PoolStats(idle=3, wait_seconds=pyrepl3.Quantiles(p50=0.5))


@pytest.mark.usefixtures("fake")
async def test_an_answer_that_cannot_be_understood_is_a_broken_protocol() -> None:
    session = Session()
    await session.start()
    with pytest.raises(pyrepl3.ProtocolError, match="KeyError"):
        await session.inspect("broken")
    assert session.closed
    await session.shutdown()


@pytest.mark.parametrize(
    ("parse", "data"),
    [
        (_answers.variables, [{"type": "int"}]),
        (_answers.variables, None),
        (_answers.completions, {"matches": [{}], "start": 0, "end": 1}),
        (_answers.completeness, {}),
        (_answers.status, {}),
        (_answers.pool_stats, []),
    ],
)
def test_what_has_no_default_has_to_be_there(parse: Any, data: Any) -> None:
    with pytest.raises((KeyError, TypeError, AttributeError)):
        parse({"data": data})


# ---- whether a result's value is the value -------------------------------------------------------------------

HAS_VALUE = {
    "None": (True, None),
    "5": (True, 5),
    "''": (True, ""),
    "[None]": (True, [None]),
    "False": (True, False),
    "x = 1": (True, None),
    "print(1)": (True, None),
    "": (True, None),
    "type(None)": (False, None),
    "object()": (False, None),
    "(1, 2)": (False, None),
    "float('nan')": (False, None),
    "list(range(1_000_000))": (False, None),
    "type('NoneType', (), {'__module__': 'mine'})()": (False, None),
    "type('O', (), {'__repr__': lambda self: 'None'})()": (False, None),
}


def test_has_value() -> None:
    with sync.Session() as session:
        found = {code: session.execute(code) for code in HAS_VALUE}
    assert {code: (result.has_value, result.value) for code, result in found.items()} == HAS_VALUE


async def test_has_value_of_a_repeated_end() -> None:
    async with Session() as session:
        for code, expected in (("None", True), ("object()", False)):
            for replayed in (False, True):
                result = await session.execute(code, idempotency_key=code)
                assert (result.replayed, result.has_value) == (replayed, expected)


def test_has_value_of_an_engine_that_tells_the_type_of_none() -> None:
    assert ResultMessage(value=None, value_type="NoneType", repr="None").has_value
