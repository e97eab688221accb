"""A loss of power: what a machine may come back with.

The binary appends each change that it makes to a file (`PYREPL3_FAULTS=trace=FILE`). What was not synced when the power
goes may be on the disk or not, each by itself: the kernel writes in what order it likes.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PAGE = 4096


@dataclass
class Change:
    """A change to names that the disk need not have: how it is undone."""

    paths: list[str]
    undo: Callable[[], object]

    def needs(self, earlier: Change) -> bool:
        """Whether it cannot have happened where the earlier one has not."""
        return any(_within(one, other) or _within(other, one) for one in self.paths for other in earlier.paths)


@dataclass
class Unsynced:
    """What a trace says that need not be on the disk."""

    synced: dict[str, int] = field(default_factory=dict)
    """Of files that were written to: so many bytes are there for certain."""
    changes: list[tuple[int, Change]] = field(default_factory=list)
    """In their order, each with its place in the trace."""
    kept: dict[str, str] = field(default_factory=dict)

    def take(self, at: int, line: dict[str, Any]) -> None:
        """One line of the trace."""
        step, path = line["step"], str(line["path"])
        if step == "write":
            # What was there when the trace began is on the disk.
            self.synced[path] = min(self.synced.get(path, line["from"]), line["from"])
        elif step == "sync":
            self.synced[path] = max(self.synced.get(path, 0), int(line["length"]))
        elif step == "sync_directory":
            directory = path.rstrip("/")
            self.changes = [
                (place, change)
                for place, change in self.changes
                if place >= line["mark"] or os.path.dirname(change.paths[-1]) != directory
            ]
        elif step == "keep":
            self.kept[path] = line["kept"]
        elif step == "create":
            self.synced[path] = 0
            self._changed(at, [path], lambda: _remove(path))
        elif step == "create_directory":
            self._changed(at, [path], lambda: shutil.rmtree(path, ignore_errors=True))
        elif step == "remove":
            back = self.kept.pop(path, None)
            synced = self.synced.pop(path, None)
            self._changed(at, [path], lambda: self._restore(path, back, synced))
        elif step == "rename":
            self._renamed(at, line["from"], path)

    def _renamed(self, at: int, source: str, path: str) -> None:
        before, synced = self.kept.pop(path, None), self.synced.get(path)
        if source in self.synced:
            self.synced[path] = self.synced.pop(source)

        def undo() -> None:
            if os.path.exists(path):
                os.rename(path, source)
            self._restore(path, before, synced)

        self._changed(at, [source, path], undo)

    def _restore(self, path: str, kept: str | None, synced: int | None) -> None:
        if kept is not None and os.path.isdir(os.path.dirname(path)):
            shutil.copyfile(kept, path)
            if synced is not None:
                os.truncate(path, min(os.path.getsize(path), synced))

    def _changed(self, at: int, paths: list[str], undo: Callable[[], object]) -> None:
        self.changes.append((at, Change(paths, undo)))


def read(trace: Path) -> Unsynced:
    """What is not certain at the end of a trace."""
    unsynced, at = Unsynced(), 0
    for line in trace.read_bytes().splitlines(keepends=True):
        # The last one may have been cut short with its process.
        if line.endswith(b"\n"):
            unsynced.take(at, json.loads(line))
        at += len(line)
    return unsynced


def strike(trace: Path, chance: random.Random) -> list[str]:
    """Takes a part of what was not synced away. Returns what, in words.

    Whatever writes must be dead. The trace begins anew.
    """
    unsynced, done = read(trace), []
    for path, synced in unsynced.synced.items():
        if os.path.isfile(path) and (size := os.path.getsize(path)) > synced:
            done += _lose_bytes(path, synced, size, chance)
    changes = [change for _, change in unsynced.changes]
    lost: list[Change] = []
    odds = chance.choice([0.0, 0.2, 0.5, 1.0])
    for change in changes:
        if chance.random() < odds or any(change.needs(earlier) for earlier in lost):
            lost.append(change)
    for change in reversed(lost):
        change.undo()
        done.append(f"a change of {[os.path.basename(path) for path in change.paths]} is undone")
    trace.write_bytes(b"")
    return done


def _lose_bytes(path: str, synced: int, size: int, chance: random.Random) -> list[str]:
    # Of output that no event tells of nothing says whether it is whole: a length without its bytes is not tried there.
    how = chance.choice(["stay", "cut", "all", *(["pages"] if path.endswith(".events") else [])])
    if how in ("cut", "all"):
        length = synced if how == "all" else chance.randint(synced, size)
        os.truncate(path, length)
        return [f"{os.path.basename(path)} is cut from {size} to {length} ({synced} were synced)"]
    if how == "pages":
        # The length came to the disk, and not all that is within it.
        with open(path, "r+b") as file:
            for page in range(synced // PAGE, size // PAGE + 1):
                start, end = max(page * PAGE, synced), min((page + 1) * PAGE, size)
                if start < end and chance.random() < 0.5:
                    file.seek(start)
                    file.write(bytes(end - start))
        return [f"pages of {os.path.basename(path)} from {synced} to {size} are zeros"]
    return []


def _within(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory + "/")


def _remove(path: str) -> None:
    if os.path.lexists(path):
        os.remove(path)
