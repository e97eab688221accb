"""Random programs against a model: what a session does to its state is what plain Python and copies would do.

A program is a list of steps: executions with every policy and every end (completed, failed half-way, interrupted, out
of time, killed), transactions with savepoints, named snapshots, returns to any of them, undo, redo, and branches, which
run programs of their own beside. The model runs the same statements in a namespace of this process, and has a deep copy
of it wherever the session has a frozen process. After every step these must agree:

- how the step ended;
- the namespace: names, values, order, and which objects are the same. The session is asked without an execution, which
  would be a step of undo;
- which snapshots are kept, and for what;
- where nothing but a return happened, the identities of the objects: they are those of the moment that is back.

The programs are the same every time. `PYREPL3_MODEL_SEEDS=500` runs the first 500, `=700:20` 20 from seed 700 on. One
that fails is made smaller first, as far as it still fails, and shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

import pyrepl3

STEPS = 24
"""Steps of a program, without those of its branches."""

TOGETHER = 12
"""Programs of one test, all with the same engine."""

AT_ONCE = 3
"""Programs that run at a time: some wait for their sessions while another one computes."""

LIMIT = 20.0
"""Seconds that one program may take."""

SHRINKING = 30.0
"""Seconds after which a failing program is shown as small as it is by then."""


def _seeds() -> list[int]:
    first, _, count = os.environ.get("PYREPL3_MODEL_SEEDS", "60").rpartition(":")
    return list(range(int(first or 0), int(first or 0) + int(count)))


SEEDS = _seeds()
CHUNKS = [SEEDS[at : at + TOGETHER] for at in range(0, len(SEEDS), TOGETHER)]

# ---- what runs on both sides ---------------------------------------------------------------------------------

CANONICAL = '''
import json, random, zlib

class Node:
    def __init__(self, value):
        self.value = value
        self.rest = []

def canonical(namespace, hidden):
    """By name, a text of what is reachable: containers are numbered as they are met. And their identities."""
    seen, ids, kept = {}, [], []

    def walk(it):
        kind = type(it).__name__
        if it is None or kind in ("int", "float", "str", "bool"):
            return repr(it)
        if kind == "tuple":
            return "(" + ", ".join([walk(each) for each in it]) + ")"
        if id(it) in seen:
            return "#%d" % seen[id(it)]
        number = seen[id(it)] = len(seen)
        ids.append(id(it))
        kept.append(it)
        if kind == "list":
            inside = ", ".join([walk(each) for each in it])
        elif kind == "dict":
            inside = ", ".join([walk(key) + ": " + walk(value) for key, value in it.items()])
        elif kind == "set":
            inside = ", ".join([repr(each) for each in sorted(it)])
        elif kind == "bytearray":
            inside = "%d bytes, crc %08x" % (len(it), zlib.crc32(it))
        elif kind == "Random":
            inside = "crc %08x" % zlib.crc32(repr(it.getstate()).encode())
        elif kind == "Node":
            inside = ", ".join([key + "=" + walk(value) for key, value in it.__dict__.items()])
        elif kind == "list_iterator":
            made = it.__reduce__()
            kind, inside = "walker", "over" if len(made) == 2 else walk(made[1][0]) + " at " + repr(made[2])
        elif kind == "walker":
            inside = "over" if it.over else walk(it.items) + " at " + repr(it.at)
        else:  # A generator or a closure; in the model, an instance that plays it.
            if kind == "generator":
                kind, parts = it.gi_code.co_name, dict(it.gi_frame.f_locals)
            elif kind == "function":
                cells = [cell.cell_contents for cell in it.__closure__]
                kind, parts = it.__name__, dict(zip(it.__code__.co_freevars, cells))
            else:
                parts = dict(it.__dict__)
            inside = ", ".join([key + "=" + walk(parts[key]) for key in sorted(parts)])
        return "#%d %s<%s>" % (number, kind, inside)

    names = sorted(name for name in namespace if name not in hidden and not name.startswith("_"))
    return {name: walk(namespace[name]) for name in names}, ids
'''

LIVE = '''
def counting(count, target):
    while True:
        count += 1
        target.append(count)
        yield count

def bumper(count, target):
    def bump():
        nonlocal count
        count += 1
        target.append(-count)
        return count
    return bump

walker = iter

class Probe:
    @property
    def __doc__(self):
        return json.dumps(canonical(globals(), hidden))

_probe, hidden = Probe(), set()
hidden.update(globals())
'''
"""The session's part: objects that no copy could be made of. Asked for its documentation, the probe tells the state."""

START = """
l0 = [1, 2, [3]]; l1 = l0[2]; l2 = []
d0 = {'a': l0, 'b': 1}; d1 = {}
s0 = {1, 2, 3}; s1 = set()
b0 = bytearray(b'abc'); b1 = bytearray(100000)
n0 = Node(1); n1 = Node(n0); n0.rest.append(n1)
g0 = counting(0, l2); g1 = counting(10, l1)
f0 = bumper(0, l2); f1 = f0
r0 = random.Random(1); r1 = random.Random(2)
i0 = walker(l0); i1 = i0
"""


class counting:  # noqa: N801
    """The generator, in the model."""

    def __init__(self, count: int, target: list[Any]) -> None:
        self.count, self.target = count, target

    def __next__(self) -> int:
        self.count += 1
        self.target.append(self.count)
        return self.count


class bump:  # noqa: N801
    """The closure, in the model."""

    def __init__(self, count: int, target: list[Any]) -> None:
        self.count, self.target = count, target

    def __call__(self) -> int:
        self.count += 1
        self.target.append(-self.count)
        return self.count


class walker:  # noqa: N801
    """A list's iterator, in the model: `deepcopy` makes another one of it that is over, and two of one in its list."""

    def __init__(self, what: list[Any]) -> None:
        self.items, self.at, self.over = what, 0, False

    def __iter__(self) -> walker:
        return self

    def __next__(self) -> Any:
        if self.over or self.at >= len(self.items):
            self.over, self.items = True, []
            raise StopIteration
        self.at += 1
        return self.items[self.at - 1]


HELPERS: dict[str, Any] = {}
exec(CANONICAL, HELPERS)
HELPERS.update(counting=counting, bumper=bump, walker=walker)

# ---- programs ------------------------------------------------------------------------------------------------

STATEMENTS = """
    L = [I, L]
    L = L
    L = [N, D]
    L.append(I)
    L.append(V)
    L.insert(0, (I, V))
    L.extend(L[:3])
    L += [I, I]
    L.pop()
    L[0] = V
    del L[1:3]
    L.reverse()
    L.clear()
    D = {'a': V, I: I}
    D = D
    D['a'] = V
    D[I] = V
    D.setdefault('b', []).append(I)
    D.pop(I, None)
    D.popitem()
    D.update(a=L, c=V)
    D.clear()
    S = {I, I}
    S = S
    S.add(I)
    S.discard(I)
    S ^= {I, I}
    L.append(S)
    B = bytearray(bytes([I]) * I)
    B = B
    B += bytes([I, I])
    B[I:I] = b'xyz'
    B[0] ^= I
    del B[:I]
    D['bytes'] = B
    N = Node(V)
    N = N
    N.value = V
    N.rest.append(V)
    N.extra = I
    del N.extra
    N.other = N
    N.__dict__.update(more=L)
    N.rest = L
    L.append(next(G))
    next(G); next(G)
    G = G
    G = counting(I, L)
    D['generator'] = G
    F()
    F = F
    F = bumper(I, L)
    N.call = F
    L.append(R.randrange(100))
    R.random(); R.gauss(0, 1)
    R.shuffle(L)
    R = random.Random(I)
    R = R
    L.append(R)
    L.append(next(O, None))
    O = walker(L)
    N.walk = O
    O = O
    del V
    L.append(V); N.value = L; D['late'] = N
    L, L = L, L
""".strip().splitlines()

NAMES: dict[str, tuple[str, ...]] = {"L": ("l0", "l1", "l2")}
NAMES |= {kind: (f"{name}0", f"{name}1") for kind, name in zip("DSBNGFRO", "dsbngfri", strict=True)}
"""What the letters of the statements stand for: V for any of them, I for a small number."""


@dataclass(frozen=True)
class Step:
    """`at` chooses among what there is, so that it means something also after other steps were taken away."""

    what: str
    at: int = 0
    policy: str = "commit_always"
    code: tuple[str, ...] = ()
    end: str = ""
    branches: tuple[tuple[Step, ...], ...] = ()

    def lines(self, indent: str = "    ") -> Iterator[str]:
        if self.what == "execute":
            yield f"{indent}execute, {self.policy}" + (f", to be {self.end}" if self.end else "")
            yield from (f"{indent}    | {line}" for line in self.code)
        elif self.what == "branch":
            yield f"{indent}branch"
            for number, steps in enumerate(self.branches):
                yield f"{indent}  in branch {number}:"
                for step in steps:
                    yield from step.lines(indent + "    ")
        else:
            chooses = self.what in ("rollback_to", "rollback_to_named", "tx.rollback_to", "drop_snapshot")
            yield indent + self.what + (f" (choice {self.at})" if chooses else "")


@dataclass(frozen=True)
class Program:
    seed: int
    undo: int
    room: int
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        head = f"seed {self.seed}: Session(undo={self.undo}, limits={{'snapshots': {self.room}}})"
        return "\n".join([head, *(line for step in self.steps for line in step.lines())])


WEIGHTS: dict[str, float] = {
    "execute": 40,
    "begin": 6,
    "commit": 5,
    "rollback": 5,
    "savepoint": 14,
    "tx.rollback_to": 12,
    "snapshot": 8,
    "rollback_to_named": 8,
    "rollback_to": 3,
    "drop_snapshot": 3,
    "undo": 9,
    "redo": 6,
    "branch": 3,
}
POLICIES = {"commit_always": 8, "commit_on_success": 6, "rollback_on_failure": 6, "explicit": 4}
ENDS = {"": 20, "failed": 8, "killed": 5, "interrupted": 1, "timed_out": 1}
ENDING = {
    "": "",
    "failed": "1 / 0",
    "killed": "__import__('os').kill(__import__('os').getpid(), 9)",
    "interrupted": "print('on', flush=True)\nwhile True: pass",
    "timed_out": "while True: pass",
}


def program_of(seed: int) -> Program:
    rng = random.Random(seed)
    undo, room = rng.choice([5, 5, 5, 2, 0]), rng.choice([64, 64, 64, 5, 3])
    return Program(seed, undo, room, tuple(some_steps(rng, STEPS, 0, undo > 0)))


def some_steps(rng: random.Random, count: int, depth: int, undoes: bool) -> Iterator[Step]:
    room = 2 - depth  # For branches.
    open, undone = False, False  # Most likely.
    for _ in range(count):
        # What would be refused is rare.
        weights = dict(WEIGHTS)
        for name in ("begin",) if open else ("commit", "rollback", "savepoint", "tx.rollback_to"):
            weights[name] /= 8
        weights["redo"] *= 4 if undone else 0.1
        if not undoes:
            weights |= {"undo": 0.5, "redo": 0.5}
        if not room:
            weights["branch"] = 0
        what = rng.choices(list(weights), list(weights.values()))[0]
        open = what == "begin" or (open and what not in ("commit", "rollback"))
        undone = what == "undo" or (undone and what not in ("execute", "rollback_to", "rollback_to_named"))
        step = Step(what, rng.randrange(100))
        if what == "execute":
            policy = rng.choices(list(POLICIES), list(POLICIES.values()))[0]
            end = rng.choices(list(ENDS), list(ENDS.values()))[0]
            if end == "timed_out" and policy not in ("commit_on_success", "rollback_on_failure"):
                end = "failed"  # How far it got would be seen.
            step = replace(step, policy=policy, end=end, code=tuple(some_code(rng)))
        if what == "branch":
            room -= 1
            made = [tuple(some_steps(rng, rng.randint(3, 7), depth + 1, undoes)) for _ in range(rng.randint(1, 2))]
            step = replace(step, branches=tuple(made))
        yield step


def some_code(rng: random.Random) -> Iterator[str]:
    def filled(letter: str) -> str:
        if letter == "V":
            letter = rng.choice(list(NAMES))
        if letter == "I":
            return str(rng.randrange(9))
        return rng.choice(NAMES[letter])

    for _ in range(rng.randint(1, 4)):
        yield re.sub(r"\b[LDSBNGFROIV]\b", lambda found: filled(found[0]), rng.choice(STATEMENTS).strip())


# ---- the model -----------------------------------------------------------------------------------------------

Ids = list[int]


@dataclass(eq=False)
class Mark:
    """A frozen process: the state then, and what it is kept for."""

    variables: dict[str, Any]
    ids: Ids
    roles: set[str]
    id: str = ""  # The snapshot's, once the session has told.

    def kind(self) -> str:
        kinds = {"named": "named", "savepoint": "savepoint", "begin": "transaction", "undo": "undo", "redo": "redo"}
        return next(kind for role, kind in kinds.items() if role in self.roles)


class Model:
    """A session as the documentation has it."""

    def __init__(self, undo: int, room: int) -> None:
        self.undo_steps, self.room = undo, room
        self.line: list[Mark] = []
        self.redo_marks: list[Mark] = []
        self.open: Mark | None = None  # Where the open transaction began.
        self.ever: list[Mark] = []  # All that the session told of.
        self.ids: Ids | None = None  # None: they are new, the session tells.
        self.variables: dict[str, Any] = {}
        self.start()

    def start(self) -> None:
        self.variables = {}
        self.ids = None
        self.run(START)

    def branch(self) -> Model:
        made = Model(self.undo_steps, self.room)
        made.variables, made.ids = copy.deepcopy(self.variables), self.ids
        return made

    def canonical(self) -> tuple[dict[str, str], Ids]:
        found: tuple[dict[str, str], Ids] = HELPERS["canonical"](self.variables, ())
        return found

    def run(self, code: str) -> str:
        """The name of the exception that it raised, or nothing."""
        namespace = {**HELPERS, **self.variables}
        try:
            exec(code, namespace)
            return ""
        except Exception as error:
            return type(error).__name__
        finally:
            self.variables = {name: value for name, value in namespace.items() if name not in HELPERS}

    def mark(self, role: str, target: Mark | None = None) -> Mark:
        """`target` is about to be returned to, so it never goes to make room."""
        evicted = False
        while len(self.line) + len(self.redo_marks) >= self.room:
            if not self.evict(target):
                if not evicted:
                    raise Refused("too_many")
                break
            evicted = True
        assert self.ids is not None
        made = Mark(copy.deepcopy(self.variables), self.ids, {role})
        (self.redo_marks if role == "redo" else self.line).append(made)
        return made

    def evict(self, target: Mark | None) -> bool:
        free = [m for m in self.line if not m.roles & {"guard", "begin", "savepoint"} and m is not target]
        unnamed, named = [m for m in free if "named" not in m.roles], [m for m in free if "named" in m.roles]
        redone = [mark for mark in self.redo_marks if mark is not target]
        for marks, among in ((self.line, unnamed), (self.redo_marks, redone), (self.line, named)):
            if among:
                marks.remove(among[0])
                return True
        return False

    def take(self, mark: Mark, role: str) -> None:
        mark.roles.discard(role)
        if not mark.roles and mark in self.line:
            self.line.remove(mark)

    def restore(self, mark: Mark) -> None:
        self.variables, self.ids = copy.deepcopy(mark.variables), mark.ids

    def back_to(self, mark: Mark, used: str = "") -> None:
        """Later ones are gone; the mark stays for what else it is kept for."""
        self.restore(mark)
        at = self.line.index(mark)
        later = self.line[at + 1 :]
        del self.line[at + 1 :]
        if self.open in later or (self.open is mark and used in ("begin", "undo")):
            self.open = None
            mark.roles.discard("begin")
        mark.roles -= {"undo", "guard", used}
        for each in list(self.line):
            if self.open is None:
                each.roles.discard("savepoint")
            if not each.roles:
                self.line.remove(each)

    # ---- the steps: each returns how it ends, or raises Refused ------------------------------------------------

    def execute(self, step: Step) -> str:
        mark = None
        guards = step.policy != "commit_always"
        if guards or self.undo_steps:
            try:
                mark = self.mark("guard")
            except Refused:
                if guards:
                    raise
        self.redo_marks.clear()
        if step.policy == "explicit" and self.open is None:
            assert mark is not None
            mark.roles.add("begin")
            self.open = mark
        raised = self.run("\n".join(step.code))
        self.ids = None
        if raised:
            status, failed = f"failed with {raised}", True
        elif step.end == "failed":
            status, failed = "failed with ZeroDivisionError", True
        else:
            status, failed = step.end or "completed", step.end == "timed_out"
        if status == "killed":
            if not self.line:
                self.open = None
                self.start()
                return "crashed, lost"
            self.back_to(self.line[-1], "guard")
            return "crashed, undone"
        undone = {
            "commit_on_success": failed or status == "interrupted",
            "rollback_on_failure": failed,
        }
        if undone.get(step.policy):
            assert mark is not None
            self.back_to(mark, "guard")
            return f"{status}, undone"
        if mark is not None and self.undo_steps:
            mark.roles.add("undo")
            undos = [each for each in self.line if "undo" in each.roles]
            for each in undos[: -self.undo_steps]:
                self.take(each, "undo")
        if mark is not None:
            self.take(mark, "guard")
        return status

    def begin(self) -> None:
        if self.open is not None:
            raise Refused("transaction_open")
        self.open = self.mark("begin")

    def commit(self) -> None:
        if self.open is None:
            raise Refused("no_transaction")
        self.open = None
        for mark in list(self.line):
            for role in ("begin", "savepoint"):
                self.take(mark, role)

    def rollback(self) -> None:
        if self.open is None:
            raise Refused("no_transaction")
        self.redo_marks.clear()
        self.back_to(self.open, "begin")

    def rollback_to(self, mark: Mark) -> None:
        if mark not in self.line:
            raise Refused("snapshot_not_found")
        self.redo_marks.clear()
        self.back_to(mark)

    def drop_snapshot(self, mark: Mark) -> None:
        if mark not in self.line + self.redo_marks:
            raise Refused("snapshot_not_found")
        if "named" not in mark.roles:
            raise Refused("bad_request")
        self.take(mark, "named")

    def undo(self) -> None:
        undos = [mark for mark in self.line if "undo" in mark.roles]
        if not undos:
            raise Refused("nothing_to_undo")
        self.mark("redo", undos[-1])
        self.back_to(undos[-1], "undo")

    def redo(self) -> None:
        if not self.redo_marks:
            raise Refused("nothing_to_redo")
        target = self.redo_marks[-1]
        self.mark("undo", target)
        self.redo_marks.remove(target)
        self.restore(target)


class Refused(Exception):
    """The step is refused: the code of the error."""


# ---- both, step by step --------------------------------------------------------------------------------------


class Mismatch(AssertionError):
    """The session is not as the model."""


@dataclass
class Run:
    """A session and its model."""

    session: Any
    model: Model
    where: str
    tx: Any = None
    tx_open: Mark | None = None  # Where the model's transaction began that `tx` is.
    tx_over: bool = False  # The client knows that it has ended.
    branches: list[asyncio.Task[None]] = field(default_factory=list)

    async def all(self, steps: tuple[Step, ...]) -> None:
        try:
            await self.compare("the start")
            for number, step in enumerate(steps, 1):
                what = f"{self.where}, step {number}:\n" + "\n".join(step.lines())
                expected, found = await self.step(step, what)
                if expected != found:
                    raise Mismatch(f"{what}\n  ended: {found}\n  model: {expected}")
                await self.compare(what)
            await asyncio.gather(*self.branches)
            await self.compare(f"{self.where}, at the end")
        finally:
            for branch in self.branches:
                branch.cancel()
            await asyncio.gather(*self.branches, return_exceptions=True)

    async def compare(self, what: str) -> None:
        answer = await self.session.inspect("_probe")
        try:
            found, ids = json.loads(answer.doc or "")
        except (TypeError, ValueError):
            raise Mismatch(f"{what}\n  the session does not tell its state: {answer}") from None
        expected, _ = self.model.canonical()
        if found != expected:
            lines = [
                f"  {name}\n    session: {found.get(name, '-')}\n    model:   {expected.get(name, '-')}"
                for name in sorted(found | expected)
                if found.get(name) != expected.get(name)
            ]
            raise Mismatch("\n".join([what, *lines]))
        if self.model.ids is None:
            self.model.ids = ids
        if self.model.ids != ids:
            raise Mismatch(f"{what}\n  the objects' identities: {ids}\n  were then: {self.model.ids}")
        await self.compare_marks(what)

    async def compare_marks(self, what: str) -> None:
        marks = self.model.line + self.model.redo_marks
        listed = await self.session.snapshots()
        kinds = [mark.kind() for mark in marks]
        if [each.kind for each in listed] != kinds:
            raise Mismatch(f"{what}\n  snapshots: {[each.kind for each in listed]}\n  model:     {kinds}")
        for mark, each in zip(marks, listed, strict=True):
            if not mark.id:
                mark.id = each.snapshot_id
                self.model.ever.append(mark)
            if mark.id != each.snapshot_id:
                raise Mismatch(f"{what}\n  the snapshot {each.snapshot_id} was {mark.id} before")

    async def step(self, step: Step, what: str) -> tuple[str, str]:
        """How it ends: what the model says, and the session."""
        if step.what == "execute":
            return await self.execute(step)
        model, session = self.model, self.session
        role = {"rollback_to_named": "named", "drop_snapshot": "named", "tx.rollback_to": "savepoint"}.get(step.what)
        chosen = self.choose(step.at, role)

        def in_transaction(act: Callable[[], Any]) -> None:
            if self.tx_over or model.open is None or model.open is not self.tx_open:
                raise Refused("no_transaction")
            act()

        if step.what == "branch":
            return await self.branch(step)
        if step.what in ("begin", "commit", "rollback", "snapshot", "undo", "redo"):
            plan = {"snapshot": lambda: model.mark("named")}.get(step.what) or getattr(model, step.what)
            act = self.begin if step.what == "begin" else getattr(session, step.what)
        elif self.tx is not None and step.what == "savepoint":
            plan, act = lambda: in_transaction(lambda: model.mark("savepoint")), self.tx.savepoint
        elif chosen is None or (step.what == "tx.rollback_to" and self.tx is None) or step.what == "savepoint":
            return "", ""
        elif step.what == "tx.rollback_to":
            target = chosen

            def plan() -> None:
                if not self.tx_over and target not in model.line + model.redo_marks:
                    raise Refused("snapshot_not_found")
                in_transaction(lambda: model.rollback_to(target))

            def act() -> Any:
                return self.tx.rollback_to(target.id)
        else:
            name = step.what.removesuffix("_named")
            target = chosen

            def plan() -> None:
                getattr(model, name)(target)

            def act() -> Any:
                return getattr(session, name)(target.id)

        expected = found = "done"
        try:
            plan()
        except Refused as refused:
            expected = str(refused)
        try:
            message = await act()
        except pyrepl3.Pyrepl3Error as error:
            found = error.code
            message = None
        if isinstance(message, pyrepl3.RolledBackMessage) and not message.exact:
            raise Mismatch(f"{what}\n  not exact: {message.report}")
        if expected == "done" and step.what == "begin":
            self.tx_open, self.tx_over = model.open, False
        if expected == "done" and step.what in ("commit", "rollback"):
            self.tx_over = True
        return expected, found

    def choose(self, at: int, role: str | None) -> Mark | None:
        """One of all the snapshots that there ever were: mostly one that there is, and of the role."""
        among = self.model.ever
        if role is not None and at % 8:
            among = [mark for mark in among if role in mark.roles] or among
        if at % 4:
            among = [mark for mark in among if mark in self.model.line] or among
        return among[at // 4 % len(among)] if among else None

    async def begin(self) -> None:
        tx = self.session.transaction()
        await tx.__aenter__()
        self.tx = tx

    async def execute(self, step: Step) -> tuple[str, str]:
        try:
            expected = self.model.execute(step)
        except Refused as refused:
            expected = str(refused)
        timeout = 0.05 if step.end == "timed_out" else None
        code = "\n".join([*step.code, ENDING[step.end]])
        execution = self.session.execute(code, transaction_policy=step.policy, timeout=timeout)
        try:
            if step.end == "interrupted":
                async for message in execution:
                    if isinstance(message, pyrepl3.OutputMessage):
                        await self.session.interrupt()
            await execution
            found = "completed"
        except pyrepl3.ExecutionError as error:
            message = error.message
            found = message.status + (f" with {message.ename}" if message.status == "failed" else "")
            found += ", undone" * message.rolled_back + ", lost" * message.session_lost
            if message.session_lost:
                await prepare(self.session)
        except pyrepl3.Pyrepl3Error as error:
            found = error.code
        if step.end == "timed_out" and expected.endswith("undone") and found.endswith("undone"):
            found = expected  # On a slow machine its time is over before it fails by itself.
        return expected, found

    async def branch(self, step: Step) -> tuple[str, str]:
        sessions = await self.session.branch(len(step.branches))
        for number, (session, steps) in enumerate(zip(sessions, step.branches, strict=True)):
            run = Run(session, self.model.branch(), f"{self.where}, branch {number}")
            self.branches.append(asyncio.create_task(run.apart(steps)))
        return "", ""

    async def apart(self, steps: tuple[Step, ...]) -> None:
        try:
            await self.all(steps)
        finally:
            await self.session.shutdown()


async def prepare(session: Any) -> None:
    """Gives a session whose namespace is empty what the model starts with."""
    await session.execute(CANONICAL + LIVE)
    await session.execute(START)


async def failure_of(program: Program) -> str:
    """In what the session and the model differ, or nothing."""
    made = pyrepl3.Session(undo=program.undo, limits={"snapshots": program.room})
    model = Model(program.undo, program.room)
    try:
        async with contextlib.AsyncExitStack() as stack:
            session = await stack.enter_async_context(made)
            await prepare(session)
            if program.undo:  # What prepared it could be undone. A branch begins without that.
                (session,) = await session.branch()
                await stack.enter_async_context(session)
            await asyncio.wait_for(Run(session, model, "the session").all(program.steps), LIMIT)
    except asyncio.TimeoutError:
        return f"it took longer than {LIMIT} seconds"
    except Mismatch as mismatch:
        return str(mismatch)
    except pyrepl3.Pyrepl3Error as error:
        return f"{type(error).__name__}: {error}"
    return ""


# ---- smaller programs ----------------------------------------------------------------------------------------


def smaller(steps: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    """The steps with something left out, large parts first."""
    size = len(steps)
    while size:
        for at in range(0, len(steps), size):
            yield steps[:at] + steps[at + size :]
        size //= 2
    for at, step in enumerate(steps):
        before, after = steps[:at], steps[at + 1 :]
        for line in range(len(step.code)):
            yield (*before, replace(step, code=step.code[:line] + step.code[line + 1 :]), *after)
        if step.end:
            yield (*before, replace(step, end=""), *after)
        if step.what == "execute" and step.policy != "commit_always":
            yield (*before, replace(step, policy="commit_always"), *after)
        for number, inside in enumerate(step.branches):
            others = step.branches[:number], step.branches[number + 1 :]
            if len(step.branches) > 1:
                yield (*before, replace(step, branches=(*others[0], *others[1])), *after)
            for less in smaller(inside):
                yield (*before, replace(step, branches=(*others[0], less, *others[1])), *after)


async def shrunk(program: Program, failure: str) -> tuple[Program, str]:
    end = time.monotonic() + SHRINKING
    found = True
    while found:
        found = False
        for steps in smaller(program.steps):
            if time.monotonic() > end:
                return program, failure
            candidate = replace(program, steps=steps)
            if again := await failure_of(candidate):
                program, failure, found = candidate, again, True
                break
    return program, failure


# ---- the test ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", CHUNKS, ids=lambda seeds: f"seeds {seeds[0]} to {seeds[-1]}")
async def test_a_session_is_as_its_model(seeds: list[int]) -> None:
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
            pytest.fail(f"{failure}\n\nThe program, as small as it still fails:\n{program}{more}", pytrace=False)
