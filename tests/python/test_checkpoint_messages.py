"""Checkpoints as the client speaks of them, against fake_engine.py: what is sent, what is made of the answers, and what
becomes of a request whose caller is gone. What they keep of Python is in test_checkpoints.py."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import pyrepl3
from pyrepl3 import (
    Autosave,
    Checkpoint,
    CheckpointCreatedMessage,
    CheckpointDamaged,
    CheckpointFailed,
    CheckpointNotFound,
    Difference,
    Lost,
    PackageDifference,
    ProgressMessage,
    RestoredMessage,
    RestoreFailed,
    Session,
    StorageFull,
    Variable,
)

pytestmark = pytest.mark.usefixtures("fake")

VARIABLES = [Variable(name="x", tier="pickle", type="int", size=5), Variable(name="np", tier="import")]
LOST = [Lost(name="umask", reason="it is refused")]


async def sent(session: Session, kind: str) -> list[dict[str, Any]]:
    """All requests of a type that the engine has got, without what each one has."""
    found: list[dict[str, Any]] = (await session.execute(f"sent {kind}")).value
    return [{name: value for name, value in each.items() if name not in ("timestamp", "type")} for each in found]


async def test_what_is_sent_and_what_is_made_of_it() -> None:
    async with Session() as session:
        told: list[ProgressMessage] = []
        made = await session.checkpoint("one", on_progress=told.append)
        assert isinstance(made, CheckpointCreatedMessage)
        assert (made.checkpoint_id, made.name, made.parent) == ("ckp_1", "one", None)
        assert (made.variables, made.lost) == (VARIABLES, LOST)
        assert (made.size_bytes, made.stored_bytes, made.pause, made.duration) == (500, 50, 0.25, 0.5)
        assert (made.execution_count, made.session_id) == (3, session.id)
        assert [(each.bytes, each.done, each.total, each.name) for each in told] == [
            (0, 0, 2, "v0"),
            (100, 1, 2, "v1"),
            (200, 2, 2, "v2"),
        ]
        await session.checkpoint()
        assert [each.get("name") for each in await sent(session, "checkpoint")] == ["one", None]

        restored = await session.restore(made, partial=True)
        assert isinstance(restored, RestoredMessage)
        assert (restored.variables, restored.lost) == (VARIABLES, LOST)
        assert restored.packages == [PackageDifference(name="numpy", saved="2.0", found=None)]
        assert (restored.undone, restored.reason) == ([4, 5], "a client asked")
        await session.restore(restored)
        await session.restore("name")
        asked = await sent(session, "restore")
        assert [each["checkpoint_id"] for each in asked] == ["ckp_1", "ckp_1", "name"]
        assert [each["partial"] for each in asked] == [True, False, False]

        listed = await session.checkpoints()
        assert listed == [Checkpoint(checkpoint_id="ckp_1"), Checkpoint(checkpoint_id="ckp_2", damaged="cut off")]
        await session.delete_checkpoint(listed[1])
        (deleted,) = await sent(session, "delete_checkpoint")
        assert deleted["checkpoint_id"] == "ckp_2"

        assert await session.diff(listed[0], made) == [
            Difference(name="x", change="added", type="int", size_before=None, size_after=5),
            Difference(name="y", change="removed"),
        ]
        await session.diff("one")
        assert [(each["a"], each.get("b")) for each in await sent(session, "diff")] == [
            ("ckp_1", "ckp_1"),
            ("one", None),
        ]


async def test_what_a_session_is_started_with() -> None:
    made = CheckpointCreatedMessage(checkpoint_id="ckp_1")
    cases: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"from_checkpoint": made}, {"from_checkpoint": "ckp_1"}),
        ({"from_checkpoint": "one", "autosave": True}, {"from_checkpoint": "one", "autosave": {"executions": 1}}),
        ({"autosave": Autosave(idle=5, recover=False)}, {"autosave": {"idle": 5, "recover": False}}),
        ({"autosave": {"seconds": 1.5, "keep": None}}, {"autosave": {"seconds": 1.5}}),
        ({"autosave": False}, {}),
    ]
    async with Session() as first:
        for given, _ in cases:
            await Session(**given).start()
        starts = (await sent(first, "start"))[1:]
        for start, (_, expected) in zip(starts, cases, strict=True):
            found = {name: start["options"].get(name) for name in ("from_checkpoint", "autosave")}
            assert {name: value for name, value in found.items() if value is not None} == expected


async def test_salvage_is_sent() -> None:
    async with Session() as session:
        await session.execute("value 1", salvage=("a", "b"))
        await session.execute("value 2", salvage=[])
        async with session.transaction() as tx:
            await tx.execute("value 3", salvage=["c"])
        assert [each.get("salvage") for each in await sent(session, "execute")] == [["a", "b"], None, ["c"], None]


@pytest.mark.parametrize(
    "kind", [CheckpointFailed, CheckpointDamaged, CheckpointNotFound, RestoreFailed, StorageFull]
)
async def test_each_failure_has_its_class(kind: type[pyrepl3.Pyrepl3Error]) -> None:
    async with Session() as session:
        with pytest.raises(kind) as caught:
            await session.checkpoint(kind.default_code)
        assert type(caught.value) is kind
        assert caught.value.code == kind.default_code
        assert (caught.value.why, caught.value.how) == ("the engine says so", "do something else")


async def test_a_cancelled_checkpoint_is_given_up_and_deleted_if_it_was_made_all_the_same() -> None:
    told: list[ProgressMessage] = []
    async with Session() as session:
        await session.execute("hold checkpoint")
        saving = asyncio.create_task(session.checkpoint("one", on_progress=told.append))
        await asyncio.sleep(0)
        (request,) = await sent(session, "checkpoint")
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving
        (given_up,) = await sent(session, "cancel_checkpoint")
        assert given_up["request"] == request["id"]
        assert await sent(session, "delete_checkpoint") == []
        await session.execute("go")
        (deleted,) = await sent(session, "delete_checkpoint")
        assert deleted["checkpoint_id"] == "ckp_1"
        assert told == []  # Nobody is told of what nobody waits for.


async def test_what_on_progress_raises_gives_it_up() -> None:
    calls: list[ProgressMessage] = []
    async with Session() as session:
        # A future cannot hold a StopIteration.
        for error, kind in ((KeyError("no"), KeyError), (StopIteration(), RuntimeError)):

            def on_progress(message: ProgressMessage, error: Exception = error) -> None:
                calls.append(message)
                raise error

            with pytest.raises(kind):
                await session.checkpoint(on_progress=on_progress)
            assert len(calls) == 1
            calls.clear()
        # The engine had answered already: what it made is deleted.
        assert len(await sent(session, "cancel_checkpoint")) == len(await sent(session, "delete_checkpoint")) == 2
        assert (await session.checkpoint()).checkpoint_id == "ckp_1"


async def test_what_comes_by_itself_is_an_event() -> None:
    async with Session() as session:
        await session.execute("save")
        events = session.events()
        saved, back = await events.__anext__(), await events.__anext__()
        assert isinstance(saved, CheckpointCreatedMessage) and isinstance(back, RestoredMessage)
        assert (saved.variables, saved.execution_count) == (VARIABLES, 3)
        assert (back.lost, back.undone) == (LOST, [4, 5])
