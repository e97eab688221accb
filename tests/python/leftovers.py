"""What a run of the tests leaves behind: processes, shared memory, temporary files."""

from __future__ import annotations

import os
from pathlib import Path

import known_state
import support

SHARED = Path("/dev/shm")


class Leftovers:
    """Takes note when it is made, and compares in `found`. Temporary files are all in the directory `private`."""

    def __init__(self, private: Path) -> None:
        self._private = private
        self._shared = _names(SHARED)

    def found(self) -> list[str]:
        """What is there that was not, one line each; deletes the directory for temporary files."""
        lines: list[str] = []
        try:
            support.eventually(lambda: not support.processes())
        except AssertionError:
            lines += [f"process {pid}: {command}" for pid, command in support.processes().items()]
        try:
            support.eventually(lambda: not self._new_shared())
        except AssertionError:
            lines += [f"shared memory: {SHARED / name}" for name in self._new_shared()]
        lines += [f"temporary file: {path}" for path in known_state.leave(self._private)]
        return lines

    def _new_shared(self) -> list[str]:
        return [name for name in sorted(_names(SHARED) - self._shared) if not _is_in_use(str(SHARED / name))]


def _names(place: Path) -> set[str]:
    """What of this user's is there, but for the directories of the store's tests in Rust, which may run beside."""
    try:
        entries = [entry for entry in os.scandir(place) if not entry.name.startswith(".tmp")]
        return {entry.name for entry in entries if entry.stat(follow_symlinks=False).st_uid == os.getuid()}
    except OSError:
        return set()


def _is_in_use(path: str) -> bool:
    """Whether a process has it, which is none of ours: those have ended."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if path in Path("/proc", entry, "maps").read_text(errors="replace"):
                    return True
                for descriptor in os.scandir(f"/proc/{entry}/fd"):
                    if os.readlink(descriptor.path) == path:
                        return True
            except OSError:
                continue
    return False
