"""Mixed load for a while: what the server holds ends where it began."""

from __future__ import annotations

import asyncio
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest
from faults.checker import Json
from faults.proxy import Proxy
from faults.rest import Rest
from faults.runs import Kind, look
from faults.soak import Held
from faults.workload import Client
from faults.world import World

SECONDS = 4.0
"""How long there is load, twice."""
ROUND = 3
"""Sessions at a time."""
LONG = 60.0
"""The same with `--long`."""
REMEMBERED = 64
"""Sessions that have ended and can be looked at still."""
SETTLED = 20.0
"""Seconds within which what was used is given back."""


def test_what_a_server_holds_ends_where_it_began(tmp_path: Path) -> None:
    asyncio.run(soak(tmp_path, SECONDS))


@pytest.mark.long
def test_what_a_server_holds_ends_where_it_began_after_long(tmp_path: Path) -> None:
    asyncio.run(soak(tmp_path, LONG))


async def soak(place: Path, seconds: float) -> None:
    """Sessions come, work over a bad network, and go. Journals of those that have ended go when a server begins."""
    chance = random.Random(0)
    world = World(place, chance, "--journal-days", "0")
    # What is measured is what the server holds, not what an allocator keeps for each of its threads.
    world.environment = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "65536"}
    proxy = Proxy(random.Random(1), lambda: world.address)
    try:
        url = await proxy.start()
        await world.restart()
        # At first as much again, so that what is made once is there, and what the allocator keeps.
        await load(world, url, chance, seconds, "a")
        before = await settled(world, None)
        await load(world, url, chance, seconds, "b")
        after = await settled(world, before)
        assert not before.more(after), before.more(after)
        await world.stop()
        await world.restart()
        await settled(world, None)
        assert not [name for _, _, names in os.walk(world.data / "events") for name in names]
        await world.stop()
    finally:
        await world.end()
        await proxy.close()


async def load(world: World, url: str, chance: random.Random, seconds: float, name: str) -> None:
    """Sessions that work, round after round; then some that are remembered."""
    loop, number = asyncio.get_running_loop(), 0
    end = loop.time() + seconds
    while loop.time() < end:
        await work(world, url, chance, f"{name}-{number}")
        number += 1
    await pass_by(world, name)


async def work(world: World, url: str, chance: random.Random, name: str) -> None:
    """Some sessions, from their beginning to their end. What they say is looked at, too."""
    assert world.address is not None
    rest = Rest(f"http://{world.address[0]}:{world.address[1]}", world.token)
    names = [f"one-{name}-{index}" for index in range(ROUND)]
    clients = [Client(world, url, name, random.Random(chance.random())) for name in names]
    await asyncio.gather(*(client.work(4) for client in clients))
    assert not (found := await look(world, clients, Kind())), found
    for name in names:
        status, answer = await rest.ask("DELETE", f"/v1/sessions/{name}")
        assert status == 204, answer
    world.effects.write_text("")


async def pass_by(world: World, name: str) -> None:
    """Sessions that come and go, as many as a server remembers: what it holds of these is the same each time."""
    assert world.address is not None
    rest = Rest(f"http://{world.address[0]}:{world.address[1]}", world.token)
    for number in range(REMEMBERED + 1):
        path = f"/v1/sessions/passing-{name}-{number}"
        code = {"code": "print(1)"}
        requests: tuple[tuple[str, str, Json | None], ...]
        requests = (("PUT", path, {}), ("POST", f"{path}/executions?wait=20", code), ("DELETE", path, None))
        for method, where, body in requests:
            status, answer = await rest.ask(method, where, body)
            assert status < 300, answer


async def settled(world: World, before: Held | None) -> Held:
    """What is held once nothing changes any more; what is still more than before is given some time to go."""
    loop = asyncio.get_running_loop()
    end, held, same = loop.time() + SETTLED, Held.by(world), 0
    while loop.time() < end and (same < 3 or (before is not None and before.more(held))):
        await asyncio.sleep(0.3)
        now = Held.by(world)
        same = same + 1 if replace(now, memory=held.memory) == held else 0
        held = now
    return held
