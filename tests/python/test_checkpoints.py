"""Checkpoints through the client: what is kept and said, by whom it is found, and what is refused."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from textwrap import dedent

import pytest
from known_state import PYENV

import pyrepl3
from pyrepl3 import (
    CheckpointCreatedMessage,
    CheckpointNotFound,
    OutputMessage,
    ProgressMessage,
    RestoredMessage,
    Session,
    SessionPool,
)
from support import event_of, restart

# ---- what a message says -------------------------------------------------------------------------------------


async def test_what_a_checkpoint_says() -> None:
    async with Session() as session:
        await session.execute("numbers = list(range(1000)); lock = __import__('threading').Lock(); _ = lock.acquire()")
        await session.execute("import json, os; json.HO = 5; _ = os.umask(0o27)")
        first = await session.checkpoint("first")
        assert isinstance(first, CheckpointCreatedMessage)
        assert first.type == "checkpoint_created"
        assert (first.name, first.parent, first.session_id, first.execution_count) == ("first", None, session.id, 2)
        (numbers,) = [variable for variable in first.variables if variable.name == "numbers"]
        assert (numbers.tier, numbers.type) == ("pickle", "list")
        assert 1000 < numbers.size < 10_000
        assert "lock" in {lost.name for lost in first.lost}
        assert all(lost.reason for lost in first.lost)
        assert 0 < numbers.size <= first.size_bytes
        assert first.stored_bytes > 0
        assert 0 < first.pause <= first.duration

        second = await session.checkpoint()
        assert (second.name, second.parent) == (None, first.checkpoint_id)
        assert second.size_bytes == first.size_bytes


async def test_state_that_is_no_variable_comes_back_or_is_named() -> None:
    async with Session() as session:
        await session.execute("import json, os; json.HO = 5; _ = os.umask(0o27); os.environ['TINT'] = 'blue'")
        await session.execute("import sys; sys.setrecursionlimit(1234)")
        first = await session.checkpoint()
        await session.execute("del json.HO; os.umask(0o22); del os.environ['TINT']; sys.setrecursionlimit(1000)")
        restored = await session.restore(first)
        lost = {each.name for each in restored.lost}
        look = {
            "json.HO": "getattr(json, 'HO', None) == 5",
            "umask": "(os.umask(0o27) == 0o27)",
            "TINT": "os.environ.get('TINT') == 'blue'",
            "recursion limit": "sys.getrecursionlimit() == 1234",
        }
        for name, code in look.items():
            assert (await session.execute(code)).value or name in lost, (name, lost)


async def test_a_checkpoint_is_restored_by_what_names_it() -> None:
    async with Session() as session:
        await session.execute("x = 1")
        made = await session.checkpoint("one")
        (listed,) = await session.checkpoints()
        for name in (made, made.checkpoint_id, made.checkpoint_id[:20], "one", listed):
            await session.execute("x = 0")
            restored = await session.restore(name)
            assert isinstance(restored, RestoredMessage)
            assert (restored.checkpoint_id, restored.name) == (made.checkpoint_id, "one")
            assert restored.reason
            assert (await session.execute("x")).value == 1
        await session.execute("x = 2")
        await session.checkpoint("one")
        await session.restore("one")
        assert (await session.execute("x")).value == 2  # The newest of a name.


async def test_checkpoints_are_listed_newest_first() -> None:
    async with Session() as session:
        assert await session.checkpoints() == []
        await session.execute("x = 'x' * 1000; g = iter(lambda: 1, 2)")
        made = [await session.checkpoint(name) for name in ("a", None, "c")]
        listed = await session.checkpoints()
        assert [each.checkpoint_id for each in listed] == [each.checkpoint_id for each in reversed(made)]
        assert [each.name for each in listed] == ["c", None, "a"]
        assert {each.session_id for each in listed} == {session.id}
        assert [each.parent for each in listed] == [made[1].checkpoint_id, made[0].checkpoint_id, None]
        assert [each.created_at for each in listed] == sorted([each.created_at for each in listed], reverse=True)
        assert [each.size_bytes for each in listed] == [each.size_bytes for each in reversed(made)]
        assert [each.stored_bytes for each in listed] == [each.stored_bytes for each in reversed(made)]
        assert all(each.damaged is None for each in listed)
        assert session.python is not None
        assert {each.python for each in listed} == {session.python.version}
        assert [each.variables for each in listed] == [len(each.variables) for each in reversed(made)]
        assert [each.lost for each in listed] == [len(each.lost) for each in reversed(made)]

        await session.delete_checkpoint(made[1])
        assert [each.name for each in await session.checkpoints()] == ["c", "a"]
        with pytest.raises(CheckpointNotFound):
            await session.delete_checkpoint(made[1])
        await session.restore("a")
        assert (await session.execute("len(x)")).value == 1000


async def test_what_differs() -> None:
    async with Session() as session:
        await session.execute("same = [1]; gone = 'g'; grows = [0] * 10; number = 1")
        first = await session.checkpoint()
        await session.execute("del gone; grows.extend([0] * 1000); number = 2; new = {'a': 1}")
        second = await session.checkpoint("second")
        for found in (await session.diff(first, second), await session.diff(first)):
            assert {each.name: each.change for each in found} == {
                "gone": "removed",
                "grows": "changed",
                "new": "added",
                "number": "changed",
            }
            by_name = {each.name: each for each in found}
            assert by_name["gone"].size_after is None
            assert by_name["new"].size_before is None
            assert (by_name["new"].type, by_name["number"].type) == ("dict", "int")
            grown = by_name["grows"]
            assert grown.size_before is not None and grown.size_after is not None
            assert grown.size_before < grown.size_after
        # The present was saved to be compared, and is not kept.
        assert [each.checkpoint_id for each in await session.checkpoints()] == [
            second.checkpoint_id,
            first.checkpoint_id,
        ]
        assert await session.diff("second", "second") == []
        assert await session.diff("second") == []
        with pytest.raises(CheckpointNotFound):
            await session.diff(first, "nothing")


# ---- on the way ----------------------------------------------------------------------------------------------

SLOW = """
class Slow:
    def __getstate__(self):
        import time; time.sleep(0.05); return {'n': self.n}
    def __init__(self, n): self.n = n
for n in range(20): globals()[f'slow{n}'] = Slow(n)
"""


async def test_progress_is_told() -> None:
    told: list[ProgressMessage] = []
    async with Session() as session:
        await session.execute(SLOW)
        made = await session.checkpoint(on_progress=told.append)
    assert {message.type for message in told} == {"progress"}
    assert len(told) > 3
    assert [message.done for message in told] == sorted(message.done for message in told)
    assert [message.bytes for message in told] == sorted(message.bytes for message in told)
    assert {message.total for message in told if message.total} == {len(made.variables)}
    assert {message.name for message in told if message.name} <= {variable.name for variable in made.variables}
    assert len({message.name for message in told}) > 3


async def test_the_session_goes_on_while_it_is_saved() -> None:
    async with Session() as session:
        await session.execute(SLOW)
        begun = asyncio.Event()
        saving = asyncio.create_task(session.checkpoint("one", on_progress=lambda _: begun.set()))
        await begun.wait()
        assert (await session.execute("slow0.n = 'later'; slow0.n")).value == "later"
        assert not saving.done()
        made = await saving
        await session.restore(made)
        assert (await session.execute("slow0.n")).value == 0  # As it was when it was asked for.


async def test_a_cancelled_checkpoint_leaves_nothing() -> None:
    async with Session() as session:
        await session.execute(SLOW)
        begun = asyncio.Event()
        saving = asyncio.create_task(session.checkpoint("one", on_progress=lambda _: begun.set()))
        await begun.wait()
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving
        made = await session.checkpoint("two")
        assert [each.name for each in await session.checkpoints()] == ["two"]
        assert made.parent is None


async def test_what_on_progress_raises_gives_it_up() -> None:
    class Enough(Exception):
        pass

    def on_progress(message: ProgressMessage) -> None:
        raise Enough

    async with Session() as session:
        await session.execute(SLOW)
        with pytest.raises(Enough):
            await session.checkpoint("one", on_progress=on_progress)
        await session.checkpoint("two")
        assert [each.name for each in await session.checkpoints()] == ["two"]
        assert (await session.execute("slow19.n")).value == 19


async def test_a_checkpoint_while_code_runs_that_may_be_undone_is_of_the_state_before_it() -> None:
    async with Session(default_policy="rollback_on_failure") as session:
        await session.execute("x = 1; done = []")
        execution = session.execute("x = 2; done.append(1); print('on', flush=True); input(); 'end'")
        async for message in execution:
            if isinstance(message, OutputMessage):
                made = await session.checkpoint()  # While it runs.
                assert not execution.done()
                assert made.execution_count == 1
            if isinstance(message, pyrepl3.InputMessage):
                await session.input_response(message.id, "")
        assert (await execution).value == "end"
        await session.restore(made)
        assert (await session.execute("x, done")).repr == "(1, [])"


async def test_a_checkpoint_while_code_runs_that_stays_waits_for_its_end() -> None:
    async with Session() as session:
        execution = session.execute("x = 1; input(); x = 2")
        async for message in execution:
            if isinstance(message, pyrepl3.InputMessage):
                saving = asyncio.create_task(session.checkpoint())
                await session.status()
                assert not saving.done()
                await session.input_response(message.id, "")
        made = await saving
        assert made.execution_count == 1
        await session.execute("x = 3")
        await session.restore(made)
        assert (await session.execute("x")).value == 2


# ---- restoring -----------------------------------------------------------------------------------------------


async def test_a_restore_stops_what_runs_and_cancels_what_waits() -> None:
    async with Session() as session:
        await session.execute("x = 1")
        made = await session.checkpoint()
        running, waiting = session.execute("x = 2\nprint('on')\nwhile True: pass"), session.execute("x = 3")
        async for message in running:
            if isinstance(message, OutputMessage):
                restored = await session.restore(made)
        assert running.message is not None and waiting.message is not None
        assert isinstance(running.message, pyrepl3.ErrorMessage) and running.message.status == "interrupted"
        assert isinstance(waiting.message, pyrepl3.ErrorMessage) and waiting.message.status == "cancelled"
        assert restored.undone == [2]
        assert (await session.execute("x")).value == 1


async def test_a_restore_after_the_worker_was_killed() -> None:
    async with Session() as session:
        await session.execute("x = [1, 2]; y = x")
        made = await session.checkpoint()
        os.kill((await session.status()).pid, signal.SIGKILL)
        lost = await event_of(session, pyrepl3.SessionLostMessage)
        assert lost.recovered
        await session.restore(made)
        assert (await session.execute("x, x is y")).repr == "([1, 2], True)"


async def test_a_restore_in_another_process_after_this_engine_was_killed(tmp_path: Path) -> None:
    async with restart(tmp_path) as session:
        await session.execute("x = [1, 2]; y = x\ndef f(): return len(x)")
        made = await session.checkpoint("one")
    async with Session(data=tmp_path, from_checkpoint=made) as session:
        assert (await session.execute("x, x is y, f()")).repr == "([1, 2], True, 2)"
    async with Session(data=tmp_path) as session:
        await session.restore("one")
        assert (await session.execute("x, x is y, f()")).repr == "([1, 2], True, 2)"


async def test_a_session_that_begins_with_a_checkpoint_tells_what_came_back() -> None:
    async with Session() as session:
        await session.execute("x = 1; g = (i for i in ())")
        made = await session.checkpoint("one")
    async with Session(from_checkpoint="one") as session:
        restored = await event_of(session, RestoredMessage)
        assert restored.checkpoint_id == made.checkpoint_id
        assert [variable.name for variable in restored.variables] == ["x"]
        assert [lost.name for lost in restored.lost] == ["g"]
        assert restored.reason
        assert (await session.checkpoint()).parent == made.checkpoint_id


async def test_a_restore_that_fails_leaves_the_session_as_it_was(tmp_path: Path) -> None:
    # As a package installs one: what the session itself has brought would come with the checkpoint.
    installed = tmp_path / "site-packages"
    installed.mkdir()
    module = installed / "passing.py"
    module.write_text("class Thing:\n    def __init__(self): self.a = 1\n")
    async with Session() as session:
        await session.execute(f"import sys; sys.path.insert(0, {str(installed)!r})")
        await session.execute("import passing; t = passing.Thing(); x = 1; del sys")
        made = await session.checkpoint()
    module.unlink()
    for left in installed.glob("__pycache__/*"):
        left.unlink()
    async with Session() as session:
        await session.execute("x = 'mine'; l = [1]; m = l")
        with pytest.raises(pyrepl3.RestoreFailed) as caught:
            await session.restore(made)
        assert "passing" in str(caught.value)
        assert (await session.execute("x, l is m, 't' in dir()")).repr == "('mine', True, False)"
        with pytest.raises(pyrepl3.RestoreFailed):
            await Session(from_checkpoint=made).start()
        restored = await session.restore(made, partial=True)
        assert "t" in {lost.name for lost in restored.lost}
        assert (await session.execute("x, 't' in dir()")).repr == "(1, False)"


async def test_a_checkpoint_of_another_interpreter(tmp_path: Path) -> None:
    others = sorted(PYENV.glob("versions/3.1*/bin/python3"))
    if len(others) < 2:
        pytest.skip("there is one version of Python on this machine")
    code = "class P:\n    def __init__(self, x): self.x = x\n    def twice(self): return [*self.x, *self.x]\n"
    async with Session(python=others[0]) as session:
        await session.execute(f"{code}l = [1]; p = P(l)\ndef f(): return p.twice()")
        made = await session.checkpoint()
    async with Session(python=others[-1], from_checkpoint=made) as session:
        assert (await session.execute("f(), p.x is l, type(p) is P")).repr == "([1, 1], True, True)"


async def test_a_restore_in_a_transaction_belongs_to_it() -> None:
    async with Session() as session:
        await session.execute("x = 1")
        made = await session.checkpoint()
        await session.execute("x = 2")
        with pytest.raises(ZeroDivisionError):
            async with session.transaction() as tx:
                await tx.execute("x = 3")
                await session.restore(made)
                assert (await tx.execute("x")).value == 1
                raise ZeroDivisionError
        assert (await session.execute("x")).value == 2
        async with session.transaction():
            await session.restore(made)
        assert (await session.execute("x")).value == 1


# ---- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "x" * 257, "ä" * 129, "a\nb", "\x1b[31m", "\0", "ckp_0a", "a\u202eb"], ids=repr)
async def test_a_bad_name_is_refused(name: str) -> None:
    async with Session() as session:
        with pytest.raises(pyrepl3.BadValue, match="name"):
            await session.checkpoint(name)
        assert await session.checkpoints() == []


@pytest.mark.parametrize("name", ["a name", "ä" * 128, "../../etc/passwd", "ckp_", "*", "-", "日本", "'"], ids=repr)
async def test_a_name_is_only_a_name(name: str) -> None:
    async with Session() as session:
        await session.execute("x = 1")
        made = await session.checkpoint(name)
        assert made.name == name
        await session.execute("x = 2")
        assert (await session.restore(name)).checkpoint_id == made.checkpoint_id
        assert (await session.execute("x")).value == 1


@pytest.mark.parametrize("asked", ["nothing", "ckp_00000000000000000000000000000000", "", "../one", "ckp_", "\0"])
async def test_what_is_not_there_is_refused_and_says_what_is(asked: str) -> None:
    async with Session() as session:
        await session.execute("x = 1")
        made = await session.checkpoint("one")
        with pytest.raises(CheckpointNotFound) as caught:
            await session.restore(asked)
        assert "one" in str(caught.value) or made.checkpoint_id in str(caught.value)
        with pytest.raises(CheckpointNotFound):
            await Session(from_checkpoint=asked).start()
        assert (await session.execute("x")).value == 1


async def test_without_any_checkpoint_it_says_so() -> None:
    async with Session() as session:
        with pytest.raises(CheckpointNotFound) as caught:
            await session.restore("one")
        assert caught.value.code == "checkpoint_not_found"
        assert caught.value.what and caught.value.why


# ---- where they are ------------------------------------------------------------------------------------------


async def test_they_are_in_the_users_data_directory(own_data: Path, tmp_path: Path) -> None:
    async with Session() as session, Session(data=tmp_path / "else" / "where") as elsewhere:
        await session.checkpoint("here")
        await elsewhere.checkpoint("there")
        assert [each.name for each in await session.checkpoints()] == ["here"]
        assert [each.name for each in await elsewhere.checkpoints()] == ["there"]
    assert any(own_data.rglob("*"))
    async with Session(data=own_data) as session:
        assert [each.name for each in await session.checkpoints()] == ["here"]


async def test_a_pools_sessions_have_them_too(tmp_path: Path) -> None:
    pool = SessionPool(min_idle=1, data=tmp_path, warmup_code="import json; warm = {'a': 1}")
    async with pool:
        async with pool.session() as session:
            await session.execute("warm['b'] = 2")
            await session.checkpoint("pooled")
        async with pool.session() as session:
            assert (await session.execute("warm")).value == {"a": 1}
            await session.restore("pooled")
            assert (await session.execute("warm")).value == {"a": 1, "b": 2}
        async with pool.session() as session:
            assert (await session.execute("warm")).value == {"a": 1}
    async with Session(data=tmp_path, from_checkpoint="pooled") as session:
        assert (await session.execute("warm")).value == {"a": 1, "b": 2}


async def test_a_branch_is_saved_by_itself() -> None:
    async with Session() as session:
        await session.execute("x = 1")
        first = await session.checkpoint("first")
        (branch,) = await session.branch()
        async with branch:
            await branch.execute("x = 2")
            second = await branch.checkpoint("second")
            assert second.parent == first.checkpoint_id
            await session.restore("second")
            assert (await session.execute("x")).value == 2
            await branch.restore("first")
            assert (await branch.execute("x")).value == 1


# ---- what it costs the second time ------------------------------------------------------------------------------


async def test_what_saving_needs_is_loaded_once_and_unseen() -> None:
    loaded = "import sys; '_pyrepl3.serializer.context' in sys.modules"
    async with Session() as session:
        await session.execute("x = 1")
        await session.checkpoint()
        for _ in range(1000):
            # Between two of these the worker has nothing to do.
            await asyncio.sleep(0.05)
            if (await session.execute(loaded)).value:
                break
        else:
            raise AssertionError("it was never loaded")


async def test_code_that_watches_imports_does_not_see_those_of_the_worker() -> None:
    watch = """
        import sys
        seen = []
        class Finder:
            def find_spec(self, name, path=None, target=None):
                seen.append(name)
        sys.meta_path.insert(0, Finder())
    """
    async with Session() as session:
        await session.execute(dedent(watch))
        await session.checkpoint()
        await asyncio.sleep(0.1)
        assert (await session.execute("seen")).value == []


async def test_settings_that_a_session_declares_itself() -> None:
    code = """
        level = [1]
        def get_level(): return level[0]
        def set_level(value): told.append(value)
        def fails(*_): raise OSError("not now")
        told = []
        __checkpoint_settings__ = {"mine": (get_level, set_level), "a": 5, "b": (fails, print), 3: (dict, dict), "c": (dict, fails)}
    """
    async with Session() as session:
        await session.execute(dedent(code))
        made = await session.checkpoint()
        lost = {one.name: one.reason for one in made.lost}
        assert set(lost) == {"__checkpoint_settings__['a']", "__checkpoint_settings__['b']", "__checkpoint_settings__[3]"}
        assert "pair of functions" in lost["__checkpoint_settings__['a']"] and "OSError: not now" in lost["__checkpoint_settings__['b']"]
        assert (await session.execute("told")).value == []
    async with Session() as session:
        lost = {one.name: one.reason for one in (await session.restore(made)).lost}
        assert "OSError: not now" in lost["__checkpoint_settings__['c']"]
        assert (await session.execute("told")).value == [1]
        await session.execute("__checkpoint_settings__ = 5")
        assert [one.reason for one in (await session.checkpoint()).lost if one.name == "__checkpoint_settings__"]


# ---- found by a hostile review -----------------------------------------------------------------------------------


async def test_a_reason_that_is_no_text_is_told_all_the_same(tmp_path: Path) -> None:
    trouble = tmp_path / "trouble"
    code = f"""
        import os
        class B:
            def __init__(self): self.v = 1
            def __setstate__(self, state):
                self.__dict__.update(state)
                if os.path.exists({str(trouble)!r}): raise ValueError('caf\\udce9.txt')
        class R:
            def __reduce__(self): raise ValueError('\\ud800 bad')
        b = B(); r = R(); z = 1
    """
    async with Session() as session:
        await session.execute(dedent(code))
        saved = await session.checkpoint()
        assert [lost.name for lost in saved.lost] == ["r"]
        trouble.touch()
        restored = await session.restore(saved.checkpoint_id)
        assert {lost.name: lost.reason for lost in restored.lost}["b"].endswith("caf?.txt")
        assert (await session.execute("z")).value == 1


async def test_odd_modules_and_names_stop_no_checkpoint() -> None:
    async with Session() as session:
        await session.execute("import sys; sys.modules[5] = None; globals()['x' * 70_000] = 8; globals()['\\ud800'] = 4; ok = 1")
        saved = await session.checkpoint()
        assert [variable.name for variable in saved.variables] == ["sys", "ok"]
        assert {"?", "x" * 60 + "…"} <= {lost.name for lost in saved.lost}


async def test_what_is_set_on_classes_of_logging_is_kept() -> None:
    async with Session() as session:
        await session.execute("import logging\ndef trace(self): return 'traced'\nlogging.Logger.trace = trace")
        saved = await session.checkpoint()
    async with Session(from_checkpoint=saved.checkpoint_id) as session:
        assert (await session.execute("logging.getLogger('a').trace()")).value == "traced"


WRAPPED = """
import functools, json, sqlite3, string
def timed(function):
    @functools.wraps(function)
    def wrapper(*given): return f'w{function(*given)}'
    return wrapper
json.dumps = timed(json.dumps)
string.Template.substitute = timed(string.Template.substitute)
db = sqlite3.connect(':memory:'); db.execute('create table t (x)'); db.execute('insert into t values (5)'); db.commit()
"""


async def test_what_is_saved_once_more_after_a_restore_is_the_same(tmp_path: Path) -> None:
    """Functions of libraries that the session has wrapped have the library's names; a database in memory that was put there as a whole
    has a name of its own."""
    look = "[json.dumps(1), string.Template('$x').substitute({'x': 2}), db.execute('select * from t').fetchall()[0][0]]"
    async with Session(data=tmp_path) as session:
        await session.execute(WRAPPED)
        saved = await session.checkpoint()
        assert not saved.lost
    for _ in range(2):
        async with Session(data=tmp_path) as session:
            assert not (await session.restore(saved)).lost
            assert (await session.execute(look)).value == ["w1", "w2", 5]
            saved = await session.checkpoint()
            assert not saved.lost


async def test_what_executions_are_compiled_with_comes_back(tmp_path: Path) -> None:
    async with Session(data=tmp_path) as session:
        await session.execute("from __future__ import annotations")
        saved = await session.checkpoint()
    code = "def typed(x: nowhere): pass\ntyped.__annotations__"
    async with Session(data=tmp_path) as session:
        before = await session.checkpoint()
        assert not (await session.restore(saved)).lost
        assert (await session.execute(code)).value == {"x": "nowhere"}
        # And goes with it.
        await session.restore(before)
        with pytest.raises(pyrepl3.ExecutionError, match="nowhere"):
            await session.execute(code)


async def test_what_a_session_has_said_of_libraries_that_set_themselves(tmp_path: Path) -> None:
    async with Session(data=tmp_path) as session:
        await session.execute("import logging, tempfile; logging.raiseExceptions = False; tempfile.tempdir = '/var/tmp'")
        saved = await session.checkpoint()
        assert not saved.lost
    async with Session(data=tmp_path) as session:
        assert not (await session.restore(saved)).lost
        look = "import logging, tempfile; [logging.raiseExceptions, tempfile.gettempdir()]"
        assert (await session.execute(look)).value == [False, "/var/tmp"]


HANDED_ON = """
import contextvars, json, logging, signal
class Counter:
    def count(self, *_): self.n = 1
counter, listed, state = Counter(), [1], {'stop': False}
def install():
    s = state
    def stop(*_): s['stop'] = True
    signal.signal(signal.SIGUSR1, stop)
install()
signal.signal(signal.SIGUSR2, counter.count)
json.listed = listed
variable = contextvars.ContextVar('variable'); variable.set(listed)
handler = logging.StreamHandler(); logging.getLogger().addHandler(handler)
def function(): pass
json.function = function
"""


async def test_what_the_context_has_a_copy_of_is_named() -> None:
    async with Session() as session:
        await session.execute(HANDED_ON)
        saved = await session.checkpoint()
        assert {lost.name for lost in saved.lost} == {"counter in signal", "state in signal", "listed in patch", "listed in variable"}
        assert {lost.reason for lost in saved.lost} == {"what is no variable comes back with a copy of its own"}
