"""What a service has promised, and whether it is there. Pure: records in, violations in words out.

A record is what clients were told of one session. It is compared with the session's events as they are in the end, and
with how often each execution has had its effect outside.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

PROMISES = ("accepted", "result", "error")
"""Events that survive the machine where the service says so, and all before them."""


@dataclass(frozen=True)
class Plan:
    """What an execution is to do. Its code names the token, and its effect outside is to write that down once."""

    token: str
    stdout: bytes = b""
    stderr: bytes = b""
    value: object = None
    fails: bool = False
    """Whether it raises, with its token as the text."""


@dataclass
class Record:
    """What clients were told of one session."""

    plans: dict[str, Plan] = field(default_factory=dict)
    taken: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By token: the id of the execution, and its number."""
    events: dict[int, Json] = field(default_factory=dict)
    ends: dict[str, Json] = field(default_factory=dict)
    """By id of the execution."""
    heard: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)
    """By id of the execution: all that a client was given of its output, once it had ended."""
    unknown: dict[str, int] = field(default_factory=dict)
    """By token: how often the power went while nobody was told that it was taken. It may have run each time."""
    shaken: set[str] = field(default_factory=set)
    """Tokens of those whose end nobody was told of when the power went. Their output can have gaps that are told."""
    contradictions: list[str] = field(default_factory=list)
    """What was told twice, and not the same."""

    def plan(self, plan: Plan) -> None:
        """Takes note of what is about to be asked for."""
        self.plans[plan.token] = plan

    def take(self, token: str, execution: str, seq: int) -> None:
        """A request was answered: the execution was taken."""
        known = self.taken.setdefault(token, (execution, seq))
        if known != (execution, seq):
            self.contradictions.append(f"{token} was taken as {known}, then as {(execution, seq)}")

    def end(self, execution: str, end: Json) -> None:
        """The end of an execution was told."""
        known = self.ends.setdefault(execution, end)
        if in_short(known) != in_short(end):
            self.contradictions.append(f"{execution} ended as {in_short(known)}, then as {in_short(end)}")

    def hear(self, event: Json) -> None:
        """An event was told."""
        known = self.events.setdefault(event["seq"], event)
        if known != event:
            self.contradictions.append(f"event {event['seq']} was {brief(known)}, then {brief(event)}")

    def relied_on(self) -> int:
        """The number of the last promise."""
        told: list[int] = [seq for seq, event in self.events.items() if event["type"] in PROMISES]
        ends: list[int] = [end["seq"] for end in self.ends.values() if end.get("seq")]
        return max([*told, *ends, *(seq for _, seq in self.taken.values()), 0])

    def lose_power(self) -> None:
        """The machine is gone: what came after the last promise need not be there any more."""
        accepted = [event for event in self.events.values() if event["type"] == "accepted"]
        known = {token_of(self.plans, event): event["execution_id"] for event in accepted}
        known |= {token: execution for token, (execution, _) in self.taken.items()}
        ended = {event["execution_id"] for event in self.events.values() if event["type"] in ("result", "error")}
        for token in self.plans:
            if token not in known:
                self.unknown[token] = self.unknown.get(token, 0) + 1
            if known.get(token) not in ended | self.ends.keys():
                self.shaken.add(token)
        last = self.relied_on()
        self.events = {seq: event for seq, event in self.events.items() if seq <= last}


def brief(event: Json) -> str:
    """An event for people."""
    text = str(event)
    return text if len(text) <= 300 else f"{text[:300]}…"


def in_short(end: Json) -> tuple[Any, ...]:
    """An end, without what differs between those who are told."""
    if end["type"] == "result":
        return "result", end.get("value"), end.get("execution_count")
    return "error", end.get("status"), end.get("ename"), end.get("evalue"), end.get("execution_count")


def is_as_planned(end: Json | None) -> bool:
    """Whether code came to its own end, and was not lost."""
    return end is not None and (end["type"] == "result" or end["status"] == "failed")


def check(record: Record, events: list[Json], effects: Mapping[str, int], *, may_crash: bool) -> list[str]:
    """What is not as it was promised.

    * `events`: all of the session, as they are in the end.
    * `effects`: how often each token was written down outside.
    * `may_crash`: whether processes of the session were killed, or its machine.
    """
    final = {event["seq"]: event for event in events}
    found = [*record.contradictions, *_numbers(events), *_acknowledged(record, final)]
    runs: dict[str, list[str]] = {token: [] for token in record.plans}
    for event in events:
        if event["type"] == "accepted":
            token = token_of(record.plans, event)
            if token is None:
                found.append(f"nobody asked for what event {event['seq']} says was taken")
            else:
                runs[token].append(event["execution_id"])
    unattributed = {name: output_of(events, None, name) for name in ("stdout", "stderr")}
    for token, executions in runs.items():
        # What the machine took with it before anybody was told of it does not count.
        effect = effects.get(token, 0)
        if effect > (1 if executions else 0):
            effect = max(effect - record.unknown.get(token, 0), 1 if executions else 0)
        if len(executions) > 1:
            found.append(f"{token} was taken {len(executions)} times")
        if effect > 1:
            found.append(f"{token} ran {effect} times")
        if not executions and effect:
            found.append(f"{token} ran, and no event says that it was taken")
        for execution in executions:
            plan = record.plans[token]
            gaps = token in record.shaken
            others = [record.plans[other] for other in record.shaken] if gaps else []
            found += _execution(plan, execution, events, effect, may_crash, gaps, others, unattributed)
            found += _heard(record, plan, execution)
    for name, rest in unattributed.items():
        if not _explained(rest, [planned(record.plans[token], name) for token in record.shaken]):
            found.append(f"{len(rest)} bytes of {name} belong to nothing that was lost")
    return found


def planned(plan: Plan, stream: str) -> bytes:
    """What an execution is to write."""
    return plan.stdout if stream == "stdout" else plan.stderr


def _explained(written: bytes, plans: list[bytes]) -> bool:
    """Whether something is what executions were to write, one after the other, each to some byte. Where the power went,
    nobody knows whose an output was.
    """
    if not written:
        return True
    for index, plan in enumerate(plans):
        for begin in {0, max(plan.find(written[:16]), 0)}:
            common = _common(plan[begin:], written)
            if common and _explained(written[common:], plans[:index] + plans[index + 1 :]):
                return True
    return False


def token_of(plans: Iterable[str], accepted: Json) -> str | None:
    """Whose code it is that was taken."""
    return next((token for token in plans if token in accepted["code"]), None)


def _numbers(events: list[Json]) -> list[str]:
    found = []
    for number, event in enumerate(events, 1):
        if event["seq"] != number:
            before = events[number - 2]["seq"] if number > 1 else 0
            found.append(f"event {event['seq']} comes after event {before}")
            break
    return found


def _acknowledged(record: Record, final: Mapping[int, Json]) -> list[str]:
    found = []
    for seq, event in sorted(record.events.items()):
        there = final.get(seq)
        if there is None:
            found.append(f"event {seq} ({event['type']}) was told, and is gone")
        elif there != event:
            found.append(f"event {seq} was told as {brief(event)}, and is {brief(there)}")
    for token, (execution, seq) in record.taken.items():
        there = final.get(seq, {})
        if (there.get("type"), there.get("execution_id")) != ("accepted", execution):
            found.append(f"{token} was taken as {execution}, number {seq}; that is {there.get('type', 'nothing')} now")
    ends = {event["execution_id"]: event for event in final.values() if event["type"] in ("result", "error")}
    for execution, end in record.ends.items():
        known = ends.get(execution)
        if known is None:
            found.append(f"the end of {execution} was told, and is gone")
        elif in_short(known) != in_short(end):
            found.append(f"{execution} ended as {in_short(end)}, and its end is {in_short(known)} now")
    return found


def _execution(
    plan: Plan,
    execution: str,
    events: list[Json],
    effect: int,
    may_crash: bool,
    gaps: bool,
    others: list[Plan],
    unattributed: dict[str, bytes],
) -> list[str]:
    mine = [event for event in events if event.get("execution_id") == execution]
    ends = [event for event in mine if event["type"] in ("result", "error")]
    if len(ends) != 1:
        return [f"{plan.token} ({execution}) has {len(ends)} ends"]
    end, found = ends[0], []
    if mine[-1] is not end:
        found.append(f"{plan.token}: {mine[-1]['type']} {mine[-1]['seq']} comes after its end")
    if mine[0]["type"] != "accepted":
        found.append(f"{plan.token}: {mine[0]['type']} {mine[0]['seq']} comes before it was taken")
    as_planned = is_as_planned(end)
    if end["type"] == "result" and (plan.fails or end.get("value") != plan.value):
        found.append(f"{plan.token} came to {end.get('value')!r}")
    elif as_planned and end["type"] == "error" and not (plan.fails and end["evalue"] == plan.token):
        found.append(f"{plan.token} failed with {end['ename']}: {end['evalue']}")
    elif not as_planned and end["status"] != "cancelled" and not may_crash:
        found.append(f"{plan.token} ended as {end['status']} ({end['ename']}: {end['evalue']})")
    if as_planned and effect != 1:
        found.append(f"{plan.token} has ended, and ran {effect} times")
    if not as_planned and end["status"] == "cancelled" and effect:
        found.append(f"{plan.token} was cancelled, and ran")
    for name in ("stdout", "stderr"):
        wanted = planned(plan, name)
        written = _filled(mine, name, wanted) if gaps else output_of(mine, execution, name)
        if as_planned:
            if written != wanted:
                found.append(f"{plan.token}: {differ(name, wanted, written)}")
            continue
        rest = unattributed[name]
        if rest and wanted.startswith(written + rest):
            written, unattributed[name] = written + rest, b""
        candidates = [wanted, *(planned(one, name) for one in others)]
        if not wanted.startswith(written) and not _explained(written, candidates):
            found.append(f"{plan.token} was lost: {differ(name, wanted, written)}")
    dropped = sum(event.get("dropped", 0) for event in mine if event["type"] == "output")
    if dropped and not gaps and not found:
        found.append(f"{plan.token}: {dropped} bytes of output are said to be missing")
    return found


def _filled(events: Iterable[Json], stream: str, wanted: bytes) -> bytes:
    """What was written, with what is said to be missing taken from what was planned."""
    written = b""
    for event in events:
        if event["type"] == "output" and event["stream"] == stream:
            written += wanted[len(written) : len(written) + event.get("dropped", 0)] + bytes_of(event)
    return written


def _heard(record: Record, plan: Plan, execution: str) -> list[str]:
    """What a client was given of an execution's output by the time of its end."""
    heard, end = record.heard.get(execution), record.ends.get(execution)
    if heard is None or not is_as_planned(end):
        return []
    pairs = zip(("stdout", "stderr"), (plan.stdout, plan.stderr), heard)
    return [f"{plan.token}, as a client heard it: {differ(*pair)}" for pair in pairs if pair[1] != pair[2]]


def output_of(events: Iterable[Json], execution: str | None, stream: str) -> bytes:
    """What was written by an execution, or by none, byte by byte."""
    of_it = (e for e in events if e["type"] == "output" and e.get("execution_id") == execution)
    return b"".join(bytes_of(event) for event in of_it if event["stream"] == stream)


def bytes_of(event: Json) -> bytes:
    """The exact bytes of an `output`."""
    exact = event.get("bytes")
    return b64decode(exact) if exact is not None else str(event.get("data", "")).encode()


def differ(name: str, wanted: bytes, written: bytes) -> str:
    """Where two differ."""
    at = _common(wanted, written)
    return f"{name} differs at byte {at}: {len(wanted)} were written, {len(written)} are there"


def _common(one: bytes, other: bytes) -> int:
    """How many bytes two have in common at their beginning."""
    return next((at for at, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))
