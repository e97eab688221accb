"""What a server holds: memory, descriptors, processes, files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from faults.world import World

MORE_MEMORY = 16 << 20
"""Bytes that the server may have more in the end: what an allocator keeps for the next time."""
MORE_DESCRIPTORS = 12
"""Descriptors: connections that are being closed, and files of the sessions that are remembered."""


@dataclass(frozen=True)
class Held:
    """What a server holds at a time."""

    memory: int
    """Its proportional set size, in bytes."""
    descriptors: int
    processes: int
    """Those of sessions; zygotes are kept for the next ones."""
    files: int
    """Below the data directory, but for journals: those of ended sessions are kept for a while."""

    @staticmethod
    def by(world: World) -> Held:
        """What it holds now."""
        place = Path("/proc", str(world.server))
        lines = (place / "smaps_rollup").read_text().splitlines()
        memory = next(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
        roles = list(world.processes().values())
        journals = str(world.data / "events")
        files = sum(len(names) for below, _, names in os.walk(world.data) if not below.startswith(journals))
        return Held(memory, len(os.listdir(place / "fd")), len(roles) - roles.count("zygote"), files)

    def more(self, later: Held) -> list[str]:
        """What there is more later on, in words."""
        found = [
            f"{name}: {getattr(self, name)}, then {getattr(later, name)}"
            for name, most in (("descriptors", MORE_DESCRIPTORS), ("processes", 0), ("files", 0))
            if getattr(later, name) > getattr(self, name) + most
        ]
        if later.memory > self.memory + MORE_MEMORY:
            found.append(f"memory: {self.memory >> 10} KiB, then {later.memory >> 10} KiB")
        return found
