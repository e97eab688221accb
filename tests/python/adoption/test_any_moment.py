"""Supervisors that die at any moment, one after the other: what was asked for happens once, what is printed comes once."""

from __future__ import annotations

import os
import random

import pytest
from adoption.supervisor import Message, Supervisor, Zygote

LARGE = 64 << 10


class Journal:
    """What outlives a supervisor: what was asked, what was answered, what was printed."""

    def __init__(self) -> None:
        self.asked: dict[int, tuple[str, Message]] = {}
        self.values: dict[int, object] = {}
        self.printed = b""
        self.expected = b""
        self.done = 0

    def take(self, message: Message) -> None:
        if message["seq"] > self.done:
            assert message["seq"] == self.done + 1
            self.done += 1
            assert message["t"] == "result", message
            assert message["id"] not in self.values
            self.values[message["id"]] = message["value"]


class Life:
    def __init__(self, one: Supervisor, seed: int) -> None:
        self.one, self.chance, self.journal = one, random.Random(seed), Journal()
        os.set_blocking(one.pipes["stdout"], False)

    def ask(self) -> None:
        number = self.one.asked + 1
        size = self.chance.choice([1, 10, 200_000])
        fields: Message = {"id": number, "count": number, "file": f"<{number}>"}
        fields["code"] = f"seen.append({number}); print('line', {number})\n'x' * {size} + str({number})"
        self.journal.asked[number] = ("execute", fields)
        self.journal.expected += b"line %d\n" % number
        self.one.ask("execute", **fields)

    def drink(self) -> None:
        """All output that there is."""
        try:
            while piece := os.read(self.one.pipes["stdout"], 65536):
                self.journal.printed += piece
        except BlockingIOError:
            pass

    def hear(self) -> None:
        """One frame. A small one is taken whole, or not at all."""
        control = self.one.control
        assert control is not None
        size = control.peek()
        while len(control.buffer) < size:
            assert control.read(min(size - len(control.buffer), 30_000))
            if size > LARGE and self.chance.random() < 0.1:
                return self.die()
        message = control.whole()
        assert message is not None
        self.journal.take(message)
        if size > LARGE and self.chance.random() < 0.7:
            self.one.ask("ack", seq=message["seq"])
            self.journal.asked[self.one.asked] = ("ack", {"seq": message["seq"]})

    def die(self) -> None:
        one = self.one
        if one.control is not None and self.chance.random() < 0.3:
            one.control.socket.sendall(b"\0\0\0\x50" + b'{"op":"execute"'[: self.chance.randrange(15)])
        self.drink()
        one.die()
        one.done = self.journal.done
        self.one = other = one.take_over()
        os.set_blocking(other.pipes["stdout"], False)
        for message in other.renew():
            self.journal.take(message)
        for number, (op, fields) in sorted(self.journal.asked.items()):
            # Also one that it knows.
            if number >= other.said["request"]:
                other.asked = number - 1
                other.ask(op, **fields)
        other.asked = max(self.journal.asked, default=0)

    def unanswered(self) -> int:
        return sum(op == "execute" for op, _ in self.journal.asked.values()) - len(self.journal.values)


@pytest.mark.parametrize("seed", range(4))
def test_supervisors_die_at_any_moment(zygote: Zygote, seed: int) -> None:
    one = zygote.session().ready()
    one.value("seen = []")
    life = Life(one, seed)
    life.journal.asked = {1: ("setup", {}), 2: ("execute", {})}
    life.journal.values, life.journal.done = {2: None}, one.done
    for _ in range(60):
        what = life.chance.choice(["ask", "ask", "hear", "hear", "drink", "die"])
        if what == "ask" and life.unanswered() < 4:
            life.ask()
        elif what == "hear" and life.unanswered():
            life.hear()
        elif what == "drink":
            life.drink()
        elif what == "die":
            life.die()
    while life.unanswered():
        life.hear()
    life.drink()
    executed = sorted(number for number, (op, _) in life.journal.asked.items() if op == "execute" and number > 2)
    assert sorted(life.journal.values) == [2, *executed]
    assert life.journal.printed == life.journal.expected
    for number in executed:
        value = life.journal.values[number]
        assert isinstance(value, str) and value.endswith(f"x{number}")
    life.one.done = life.journal.done
    assert life.one.value("seen") == executed
