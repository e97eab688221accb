"""One run: clients work, something breaks what it can, and in the end it is looked at what is there."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults.checker import check
from faults.proxy import Proxy
from faults.rest import Rest
from faults.workload import Client
from faults.world import World

LIMIT = 110.0
"""Seconds after which a run hangs."""
STUCK = 3.0
"""Seconds after which a saboteur waits no longer for clients to hear something."""


@dataclass
class Scene:
    """What a saboteur has to do with."""

    world: World
    proxy: Proxy
    clients: list[Client]
    chance: random.Random
    over: asyncio.Event
    """Set when every client has its answers."""

    async def go_on(self, most: int) -> bool:
        """Waits until clients have heard some events more, and a moment. False where nothing is left to disturb."""
        wanted, loop = self.heard() + self.chance.randint(0, most), asyncio.get_running_loop()
        end = loop.time() + STUCK
        while self.heard() < wanted and loop.time() < end and not self.over.is_set():
            await asyncio.sleep(0.002)
        return await self.pause(0.03)

    def heard(self) -> int:
        """How much clients have heard."""
        return sum(client.heard for client in self.clients)

    async def pause(self, longest: float) -> bool:
        """Waits a random time. False where there is nothing more to disturb."""
        return not await self.within(self.over.wait(), self.chance.random() * longest)

    async def dead(self) -> bool:
        """Waits until the server has died. False where there is nothing more to disturb."""
        waiting = [asyncio.ensure_future(self.world.died()), asyncio.ensure_future(self.over.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            return not self.over.is_set()
        finally:
            for one in waiting:
                one.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    @staticmethod
    async def within(what: Awaitable[object], seconds: float) -> bool:
        """Whether something comes true within a time."""
        try:
            await asyncio.wait_for(what, seconds)
        except asyncio.TimeoutError:
            return False
        return True


Sabotage = Callable[[Scene], Coroutine[Any, Any, None]]


async def nothing(scene: Scene) -> None:
    """Nothing is disturbed."""


@dataclass(frozen=True)
class Kind:
    """A kind of run."""

    sabotage: Sabotage = nothing
    faults: Callable[[random.Random, World], str] = lambda chance, world: ""
    """Those of the first server."""
    flags: tuple[str, ...] = ()
    network: bool = False
    """Whether connections are cut, and requests repeated."""
    may_crash: bool = False
    talks: bool = True
    """Whether sessions are used over WebSockets, too."""
    always: str = ""
    """Faults of every server."""
    descriptors: int | None = None
    """How many descriptors the first server may have."""
    sessions: int = 2
    executions: int = 6


async def violations(kind: Kind, place: Path, seed: int) -> list[str]:
    """Runs, and returns what is not as it was promised."""
    chance = random.Random(seed)
    world = World(place, random.Random(chance.random()), *kind.flags)
    proxy = Proxy(random.Random(chance.random()) if kind.network else None, lambda: world.address)
    try:
        return await asyncio.wait_for(_run(kind, world, proxy, chance), LIMIT)
    finally:
        await world.end()
        await proxy.close()


async def _run(kind: Kind, world: World, proxy: Proxy, chance: random.Random) -> list[str]:
    url = await proxy.start()
    world.always = kind.always
    await world.restart(kind.faults(chance, world), descriptors=kind.descriptors)
    names = [f"one-{index}" for index in range(kind.sessions)]
    clients = [Client(world, url, name, random.Random(chance.random())) for name in names]
    scene = Scene(world, proxy, clients, random.Random(chance.random()), asyncio.Event())
    working = asyncio.ensure_future(_work(kind, clients))
    working.add_done_callback(lambda _: scene.over.set())
    both = [working, asyncio.ensure_future(kind.sabotage(scene))]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_EXCEPTION)
        for one in both:
            if one.done():
                one.result()
    finally:
        for one in both:
            one.cancel()
        await asyncio.gather(*both, return_exceptions=True)
    proxy.heal()
    # What the next server tells is on the disk.
    await world.restart()
    found = await look(world, clients, kind)
    await world.stop()
    return found


async def _work(kind: Kind, clients: list[Client]) -> None:
    await asyncio.gather(*(client.work(kind.executions, talks=kind.talks) for client in clients))


async def look(world: World, clients: list[Client], kind: Kind) -> list[str]:
    """Compares what clients were told with what there is."""
    assert world.address is not None
    host, port = world.address
    rest, counts = Rest(f"http://{host}:{port}", world.token), world.counts()
    found: list[str] = []
    for client in clients:
        events: list[Any] = await rest.events(client.session) or []
        violations = check(client.record, events, counts, may_crash=kind.may_crash)
        found += [f"{client.session}: {one}" for one in violations]
    planned = {token for client in clients for token in client.record.plans}
    return found + [f"{token} ran, and nobody asked for it" for token in counts if token not in planned]


async def clean(kind: Kind, place: Path, seed: int) -> None:
    """Runs, and fails where something is not as it was promised."""
    found = await violations(kind, place, seed)
    assert not found, "\n".join([f"seed {seed}", *found])
