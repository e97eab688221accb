"""What is kept for iterators, and what is acknowledged when: the arithmetic, without an engine."""

from __future__ import annotations

import asyncio

from pyrepl3 import InputMessage, Message, OutputMessage
from pyrepl3._flow import ACK_BATCH, Cursor, Flow, MessageIterator

KIB = 1 << 10


def output(data: str, **more: object) -> OutputMessage:
    return OutputMessage(stream="stdout", data=data, **more)  # type: ignore[arg-type]


class Acks:
    """A flow and what it acknowledged."""

    def __init__(self, head: int = 100, tail: int = 100) -> None:
        self.acks: list[int] = []
        self.flow = Flow(asyncio.get_event_loop(), self.acks.append, head, tail)

    @property
    def total(self) -> int:
        return sum(self.acks)


def drain(flow: Flow, cursor: Cursor) -> list[str | int]:
    """What an iterator gets: text, or the number of bytes that are missing."""
    found: list[str | int] = []
    while (message := flow.take(cursor)) is not None:
        if isinstance(message, OutputMessage):
            found.append(message.dropped or message.data)
        elif isinstance(message, InputMessage):
            found.append(message.prompt)
    return found


async def test_everything_is_kept_while_it_fits() -> None:
    flow = Acks().flow
    for number in range(20):
        flow.add(output(str(number)), 10)
    assert drain(flow, flow.attach()) == [str(number) for number in range(20)]


async def test_beyond_the_limit_the_middle_is_dropped_and_counted() -> None:
    flow = Acks().flow
    for number in range(100):
        flow.add(output(f"{number:03}"), 10)
    late = flow.attach()
    head = [f"{number:03}" for number in range(10)]
    tail = [f"{number:03}" for number in range(90, 100)]
    assert drain(flow, late) == [*head, 80 * 3, *tail]
    flow.add(output("end"), 10)
    assert drain(flow, late) == ["end"]
    assert drain(flow, flow.attach())[10] == 81 * 3


async def test_missing_bytes_are_counted_as_bytes() -> None:
    flow = Acks(head=0, tail=1).flow
    flow.add(output("é"), 10)
    flow.add(output("\ufffd", bytes=b"\xff", dropped=5), 10)
    flow.add(output("\ud800"), 10)
    flow.add(output("end"), 10)
    assert drain(flow, flow.attach()) == [2 + 6 + 3, "end"]


async def test_a_prompt_is_never_dropped() -> None:
    flow = Acks().flow
    for number in range(100):
        flow.add(InputMessage(prompt="name? ") if number == 50 else output("abc"), 10)
    found = drain(flow, flow.attach())
    assert found == ["abc"] * 10 + [79 * 3, "name? "] + ["abc"] * 10


async def test_an_iterator_in_the_middle_hears_only_of_what_it_missed() -> None:
    flow = Acks().flow
    early = flow.attach()
    waiter = asyncio.get_running_loop().create_future()
    flow.end_waiters.append(waiter)  # Somebody awaits the end: nothing is held back for the iterator.
    for number in range(30):
        flow.add(output("abc"), 10)
        if number < 15:
            assert drain(flow, early) == ["abc"]
    assert drain(flow, early) == [5 * 3] + ["abc"] * 10
    assert drain(flow, flow.attach()) == ["abc"] * 10 + [10 * 3] + ["abc"] * 10


async def test_what_an_attached_iterator_needs_is_not_dropped() -> None:
    flow = Acks().flow
    slow = flow.attach()
    for number in range(100):
        flow.add(output(str(number)), 10)
    assert drain(flow, slow) == [str(number) for number in range(100)]


async def test_small_amounts_are_not_acknowledged() -> None:
    acks = Acks()
    acks.flow.add(output("x"), ACK_BATCH - 1)
    assert acks.acks == []
    acks.flow.add(output("x"), 1)
    assert acks.acks == [ACK_BATCH]
    acks.flow.skip(ACK_BATCH - 1)
    assert acks.total == ACK_BATCH
    acks.flow.skip(5)
    assert acks.total == 2 * ACK_BATCH + 4


async def test_an_iterator_acknowledges_what_it_consumed() -> None:
    acks = Acks(head=16 << 20)
    cursor = acks.flow.attach()
    for _ in range(8):
        acks.flow.add(output("x"), 256 * KIB)
    assert acks.total == 0
    for number in range(1, 9):
        acks.flow.take(cursor)
        assert acks.total == number * 256 * KIB


async def test_the_slowest_of_several_iterators_counts() -> None:
    acks = Acks(head=16 << 20)
    fast, slow = acks.flow.attach(), acks.flow.attach()
    for _ in range(4):
        acks.flow.add(output("x"), 256 * KIB)
    drain(acks.flow, fast)
    assert acks.total == 0
    acks.flow.take(slow)
    assert acks.total == 256 * KIB
    acks.flow.detach(slow)
    assert acks.total == 4 * 256 * KIB


async def test_a_dropped_iterator_lets_flow() -> None:
    acks = Acks(head=16 << 20)
    iterator = MessageIterator(acks.flow, None)
    acks.flow.add(output("x"), 1 << 20)
    assert acks.total == 0
    del iterator
    await asyncio.sleep(0)
    assert acks.total == 1 << 20


async def test_awaiting_lets_flow_in_spite_of_an_iterator() -> None:
    acks = Acks(head=16 << 20)
    cursor = acks.flow.attach()
    acks.flow.add(output("x"), 1 << 20)
    waiter = asyncio.get_running_loop().create_future()
    acks.flow.end_waiters.append(waiter)
    acks.flow.settle()
    assert acks.total == 1 << 20
    waiter.cancel()  # From here on the iterator counts again.
    acks.flow.add(output("x"), 1 << 20)
    assert acks.total == 1 << 20
    drain(acks.flow, cursor)
    assert acks.total == 2 << 20


async def test_nothing_is_acknowledged_after_the_end() -> None:
    acks = Acks(head=16 << 20)
    cursor = acks.flow.attach()
    acks.flow.add(output("x"), 1 << 20)
    acks.flow.finish()
    acks.flow.add(output("last"), 1 << 20)
    assert drain(acks.flow, cursor) == ["x", "last"]
    assert acks.acks == []


async def test_iterators_wait_and_end_together() -> None:
    flow = Acks().flow

    async def everything() -> list[Message]:
        return [message async for message in MessageIterator(flow, None)]

    tasks = [asyncio.create_task(everything()) for _ in range(3)]
    for _ in range(3):
        await asyncio.sleep(0)
        flow.add(output("x"), 1)
    flow.finish()
    assert [len(found) for found in await asyncio.gather(*tasks)] == [3, 3, 3]
    assert flow._cursors == []


async def test_a_batch_takes_what_is_there() -> None:
    flow = Acks().flow
    iterator = MessageIterator(flow, None)
    for _ in range(5):
        flow.add(output("x"), 1)
    assert len(await iterator.batch(3)) == 3
    assert len(await iterator.batch(3)) == 2
    flow.finish()
    assert await iterator.batch(3) == []
    assert await iterator.batch(3) == []


async def test_a_cancelled_wait_for_a_message_leaves_nothing_behind() -> None:
    flow = Acks().flow
    iterator = MessageIterator(flow, None)
    task = asyncio.ensure_future(anext(iterator))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert flow._waiting == []
    flow.add(output("x"), 1)
    assert (await anext(iterator)).type == "output"
