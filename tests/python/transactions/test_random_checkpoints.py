"""Random programs, saved after some steps, killed and restored: what comes back is as if the program had just run so far.

A program assigns, shares, mutates, makes views of arrays, and functions over globals and over each other's variables.
The model is the same program in a namespace of this process. After the restore both go on with further steps, so that
what comes back is also seen to work: functions find the live globals, views write through, iterators go on.

`PYREPL3_MODEL_SEEDS=500` runs the first 500 programs, `=700:20` 20 from seed 700 on. One that fails is made smaller
first, as far as it still fails, and shown.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import tempfile
import time
import types
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import pyrepl3

from .checkpointed import KILL
from .shape import SOURCE, asking, difference

TOGETHER = 10
"""Programs of one test, all with the same engine."""
AT_ONCE = 3
STEPS = 14
"""Statements before the checkpoint."""
LIMIT = 40.0
"""Seconds that one program may take."""
SHRINKING = 40.0


def _seeds() -> list[int]:
    first, _, count = os.environ.get("PYREPL3_MODEL_SEEDS", "60").rpartition(":")
    return list(range(int(first or 0), int(first or 0) + int(count)))


SEEDS = _seeds()
CHUNKS = [SEEDS[at : at + TOGETHER] for at in range(0, len(SEEDS), TOGETHER)]

START = """
import random
try:
    import numpy as np
except ImportError:
    np = None
class Node:
    def __init__(self, value):
        self.value = value
        self.rest = []
class Slotted(Node):
    __slots__ = ('more',)
    def all(self): return [self.value, *self.rest, l0]
def bumper(count, target):
    def bump():
        nonlocal count
        count += 1
        target.append(-count)
        return count
    return bump
l0 = [1, 2, [3]]; l1 = l0[2]; l2 = []
d0 = {'a': l0, 'b': 1}; d1 = {}
s0 = {1, 2, 3}; s1 = set()
b0 = bytearray(b'abc'); b1 = bytearray(100000)
n0 = Node(1); n1 = Slotted(n0); n0.rest.append(n1)
f0 = bumper(0, l2); f1 = f0
r0 = random.Random(1); r1 = random.Random(2)
i0 = iter(l0); i1 = i0
if np is not None:
    a0 = np.arange(12.0); a1 = a0[2:]
else:
    a0 = [0.0] * 12; a1 = a0[2:]
"""

STATEMENTS = """
    L = [I, L]
    L = L
    L = [N, D]
    L.append(I)
    L.append(V)
    L.insert(0, (I, V))
    L.extend(L[:3])
    L.pop()
    L[0] = V
    del L[1:3]
    L.clear()
    D = {'a': V, I: I}
    D = D
    D['a'] = V
    D.setdefault('b', []).append(I)
    D.popitem()
    D.update(a=L, c=V)
    S = {I, I}
    S = S
    S.add(I)
    L.append(S)
    B = bytearray(bytes([I]) * I)
    B += bytes([I, I])
    B[0] ^= I
    D['bytes'] = B
    N = Node(V)
    N = Slotted(V)
    N = N
    N.value = V
    N.rest.append(V)
    N.more = L
    N.rest = L
    L.append(N.all())
    Node.known = V
    Slotted.count = I
    D['class'] = Node
    F()
    F = F
    F = bumper(I, L)
    N.call = F
    F = lambda it=V: it
    F.note = V
    F = N.all
    def fI(): return L, D
    L.append(fI())
    D['function'] = fI
    L.append(R.randrange(100))
    R.gauss(0, 1)
    R = random.Random(I)
    D['random'] = R
    L.append(next(O, None))
    O = iter(L)
    O = O
    N.walk = O
    A = np.arange(I + 4.0)
    A = np.arange(3000.0 + I)
    A = A[1:]
    A = A[::2]
    A = A[::-1]
    A = A
    A = A.copy()
    A[0] = I
    A += I
    D['array'] = A
    N.view = A[1:3]
    L.append(A[:2])
    A = A.reshape(-1, 1)[:, 0]
    del V
    L.append(V); N.value = L; D['late'] = N
    L, L = L, L
""".strip().splitlines()

NAMES: dict[str, tuple[str, ...]] = {"L": ("l0", "l1", "l2")}
NAMES |= {kind: (f"{kind.lower()}0", f"{kind.lower()}1") for kind in "DSBNFRA"} | {"O": ("i0", "i1")}


@dataclass(frozen=True)
class Program:
    """Statements until the checkpoint, those between it and the kill, which are lost, and those after the restore."""

    seed: int
    before: tuple[str, ...]
    lost: tuple[str, ...]
    after: tuple[str, ...]

    def __str__(self) -> str:
        parts = ("before the checkpoint", self.before), ("until the kill", self.lost), ("after the restore", self.after)
        return "\n".join(f"  {title}:\n" + "\n".join(f"    | {line}" for line in lines) for title, lines in parts)


def program_of(seed: int) -> Program:
    rng = random.Random(seed)

    def filled(letter: str) -> str:
        if letter == "V":
            letter = rng.choice(list(NAMES))
        return str(rng.randrange(9)) if letter == "I" else rng.choice(NAMES[letter])

    def some(count: int) -> tuple[str, ...]:
        chosen = (rng.choice(STATEMENTS).strip() for _ in range(count))
        # `fI` is one of two functions, so that it is redefined, and called.
        named = (each.replace("fI", f"g{rng.randrange(2)}") for each in chosen)
        return tuple(re.sub(r"\b[LDSBNFROAIV]\b", lambda found: filled(found[0]), each) for each in named)

    return Program(seed, some(rng.randint(3, STEPS)), some(3), some(6))


class Model:
    """The same program in a namespace of this process."""

    def __init__(self) -> None:
        self.module = types.ModuleType("__main__")
        self.own: dict[str, Any] = {}
        exec(SOURCE, self.own)
        self.run(START)

    def run(self, statement: str) -> str:
        try:
            exec(compile(statement, "<model>", "exec", dont_inherit=True), vars(self.module))
        except Exception as error:
            return type(error).__name__
        return ""

    def shape(self) -> dict[str, list[Any]]:
        with tempfile.NamedTemporaryFile() as file:
            self.own["shape"](vars(self.module), (), {}, file.name)
            found: dict[str, list[Any]] = json.load(file)[0]
            return found


class Mismatch(AssertionError):
    """The session is not as the model."""


async def both(session: Any, model: Model, statement: str) -> None:
    expected = model.run(statement)
    found = ""
    try:
        await session.execute(statement)
    except pyrepl3.ExecutionError as error:
        found = error.message.ename or error.message.status
    if expected != found:
        raise Mismatch(f"{statement!r}\n  ended: {found or 'completed'}\n  model: {expected or 'completed'}")


async def compare(session: Any, model: Model, what: str) -> None:
    with tempfile.NamedTemporaryFile() as file:
        await session.execute(asking(file.name, []))
        found = json.loads(Path(file.name).read_text())[0]
    if differs := difference(model.shape(), found):
        raise Mismatch(f"{what}: the session (is) and the model (was) differ\n{differs}")


async def run(program: Program) -> None:
    preload = ("numpy",) if _has_numpy() else ()
    async with pyrepl3.Session(preload=preload) as session:
        model = Model()
        await session.execute(START)
        for statement in program.before:
            await both(session, model, statement)
        await compare(session, model, "before the checkpoint")
        saved = await session.checkpoint()
        for statement in program.lost:
            try:
                await session.execute(statement)
            except pyrepl3.ExecutionError as error:
                assert error.message.status == "failed"
        try:
            await session.execute(KILL)
        except pyrepl3.ExecutionError as error:
            assert error.message.session_lost
        restored = await session.restore(saved)
        if restored.lost:
            raise Mismatch(f"nothing of this may be lost: {restored.lost}")
        await compare(session, model, "after the restore")
        for statement in program.after:
            await both(session, model, statement)
        await compare(session, model, "after further steps")


def _has_numpy() -> bool:
    import importlib.util

    return importlib.util.find_spec("numpy") is not None


async def failure_of(program: Program) -> str:
    """In what the session and the model differ, or nothing."""
    try:
        await asyncio.wait_for(run(program), LIMIT)
    except asyncio.TimeoutError:
        return f"it took longer than {LIMIT} seconds"
    except Mismatch as mismatch:
        return str(mismatch)
    except pyrepl3.Pyrepl3Error as error:
        return f"{type(error).__name__}: {error}"
    return ""


async def shrunk(program: Program, failure: str) -> tuple[Program, str]:
    """The program with as many statements left out as it still fails without."""
    end, found = time.monotonic() + SHRINKING, True
    while found:
        found = False
        for part in ("after", "lost", "before"):
            lines = getattr(program, part)
            for at in range(len(lines)):
                if time.monotonic() > end:
                    return program, failure
                candidate = replace(program, **{part: lines[:at] + lines[at + 1 :]})
                if again := await failure_of(candidate):
                    program, failure, found = candidate, again, True
                    break
    return program, failure


@pytest.mark.parametrize("seeds", CHUNKS, ids=lambda seeds: f"seeds {seeds[0]} to {seeds[-1]}")
async def test_what_comes_back_is_what_the_program_had_made(seeds: list[int]) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(seed: int) -> tuple[Program, str]:
        program = program_of(seed)
        async with gate:
            return program, await failure_of(program)

    async with pyrepl3.Session():  # It keeps the engine.
        results = await asyncio.gather(*(one(seed) for seed in seeds))
        failing = [(program, failure) for program, failure in results if failure]
        if failing:
            program, failure = await shrunk(*failing[0])
            others = [each.seed for each, _ in failing[1:]]
            more = f"\n\nthese seeds fail, too: {others}" if others else ""
            pytest.fail(f"{failure}\n\nThe program (seed {program.seed}):\n{program}{more}", pytrace=False)
