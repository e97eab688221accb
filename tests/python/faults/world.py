"""A machine for a service: a data directory, servers that come and die, the processes of sessions."""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import signal
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import support
from faults import power
from faults.checker import Record

PATIENCE = 60.0
MARK = "PYREPL3_FAULT_WORLD"

BUILD = "cargo build -p pyrepl3 --features faults, and copy target/debug/pyrepl3 there (`cargo xtask test` does)"


def binary() -> str:
    """The binary with faults. Fails where it is not there: nothing is left out silently."""
    path = os.environ.get("PYREPL3_FAULTS_BIN") or str(support.ROOT / "target" / "faults" / "pyrepl3")
    if not os.access(path, os.X_OK):
        raise AssertionError(f"there is no {path}: build it with {BUILD}, or set PYREPL3_FAULTS_BIN")
    return path


class World:
    """One data directory, and at most one server on it."""

    def __init__(self, place: Path, chance: random.Random, *flags: str) -> None:
        self.data = place / "data"
        self.effects = place / "effects"
        """Where executions write down that they ran."""
        self.trace = place / "trace"
        self.log = place / "log"
        self.token = "token-of-the-faults"
        self.address: tuple[str, int] | None = None
        """Where the server is, while there is one that takes requests."""
        self.always = ""
        """Faults of every server."""
        self.environment: dict[str, str] = {}
        """Of every server, beside its own."""
        self.life = 0
        """How often the power has gone."""
        self.said: list[str] = []
        """What was done to it."""
        self._chance = chance
        self._flags = flags
        self._mark = f"{MARK}={place}"
        self._server: subprocess.Popen[bytes] | None = None
        self._token_file = place / "token"
        self._token_file.write_text(self.token)
        self._token_file.chmod(0o600)
        self.effects.touch()
        self.trace.touch()

    # ---- servers -----------------------------------------------------------------------------------------

    async def start(self, faults: str = "", *, descriptors: int | None = None) -> bool:
        """Starts a server. False where it died before it took requests, as the faults may want."""
        assert self._server is None
        faults = ",".join(word for word in (faults, self.always) if word)
        command = [binary(), "serve", "--listen", "127.0.0.1:0", "--data", str(self.data), "--json", "--drain", "0"]
        command += ["--token-file", str(self._token_file), "--log-level", "error", *self._flags]
        environment = {**os.environ, **self.environment, MARK: self._mark.partition("=")[2], "PYREPL3_FAULTS": faults}
        self.said.append(f"start with {faults!r}")
        with self.log.open("ab") as log:
            log.write(f"---- {faults}\n".encode())
            log.flush()
            server = self._server = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, env=environment, preexec_fn=_limit(descriptors)
            )
        assert server.stdout is not None
        line = await asyncio.get_running_loop().run_in_executor(None, server.stdout.readline)
        if not line:
            await self._buried()
            return False
        url = urlsplit(json.loads(line)["url"])
        assert url.hostname is not None and url.port is not None
        self.address = url.hostname, url.port
        return True

    async def restart(self, faults: str = "", *, descriptors: int | None = None) -> None:
        """A server that takes requests; one that dies before it does is followed by one without faults."""
        if self._server is not None:
            await self.kill()
        if not await self.start(faults, descriptors=descriptors):
            assert faults and await self.start(), f"a server has died by itself: {self.log.read_text()[-2000:]}"

    @property
    def server(self) -> int:
        """The pid of the server."""
        assert self._server is not None
        return self._server.pid

    async def died(self) -> None:
        """Waits until the server has died by itself. May be given up."""
        while self._server is not None and self._server.poll() is None:
            await asyncio.sleep(0.005)
        self.address = None

    async def kill(self) -> None:
        """Kills the server; its sessions wait for the next one."""
        self.said.append("the server is killed")
        await self._buried()

    async def stop(self) -> None:
        """Ends the server, and its sessions."""
        if self._server is not None:
            self._server.terminate()
            deadline = asyncio.get_running_loop().time() + PATIENCE
            while self._server.poll() is None:
                assert asyncio.get_running_loop().time() < deadline, "the server does not end"
                await asyncio.sleep(0.005)
            await self._buried()

    async def _buried(self) -> None:
        self.address = None
        server, self._server = self._server, None
        if server is not None and server.stdout is not None:
            server.kill()
            await asyncio.get_running_loop().run_in_executor(None, server.wait)
            server.stdout.close()

    # ---- processes ---------------------------------------------------------------------------------------

    def processes(self) -> dict[int, str]:
        """The processes of sessions, and what they are: `zygote`, `init` or `worker`."""
        found: dict[int, str] = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit() and (self._server is None or int(entry) != self._server.pid):
                try:
                    if self._mark.encode() in Path("/proc", entry, "environ").read_bytes().split(b"\0"):
                        found[int(entry)] = _role(int(entry))
                except OSError:
                    continue
        return found

    def kill_one(self, role: str) -> bool:
        """Kills a process of a session; False where there is none."""
        pids = sorted(pid for pid, found in self.processes().items() if found == role)
        if not pids:
            return False
        self.said.append(f"a {role} is killed")
        _kill(self._chance.choice(pids))
        return True

    async def end(self) -> None:
        """Nothing runs any more."""
        if self._server is not None:
            await self._buried()
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while pids := self.processes():
            for pid in pids:
                _kill(pid)
            await asyncio.sleep(0.005)
            assert asyncio.get_running_loop().time() < deadline, f"they do not end: {pids}"

    def limit_memory(self, more: int) -> tuple[int, int]:
        """The server gets so many bytes more, and no more. Returns what it might have before."""
        self.said.append(f"the server has {more} bytes left")
        pages = int(Path("/proc", str(self.server), "statm").read_text().split()[0])
        before = resource.prlimit(self.server, resource.RLIMIT_AS)
        resource.prlimit(self.server, resource.RLIMIT_AS, (pages * resource.getpagesize() + more, before[1]))
        return before

    def lift(self, limit: tuple[int, int]) -> None:
        """The server may have again what it might have."""
        if not self.is_dead():
            resource.prlimit(self.server, resource.RLIMIT_AS, limit)

    def is_dead(self) -> bool:
        """Whether the server has died."""
        return self._server is None or self._server.poll() is not None

    # ---- the disk ----------------------------------------------------------------------------------------

    async def lose_power(self, records: Iterable[Record]) -> None:
        """Everything ends at once, and the disk has a part of what was not synced."""
        await self.end()
        # From here on nobody is told anything in between.
        self.life += 1
        for record in records:
            record.lose_power()
        self.said.append(f"the power goes: {power.strike(self.trace, self._chance)}")

    def counts(self) -> dict[str, int]:
        """How often each token was written down."""
        counts: dict[str, int] = {}
        for line in self.effects.read_text().splitlines():
            counts[line] = counts.get(line, 0) + 1
        return counts

    def journal(self, session: str) -> Path:
        """Where a session's journal is."""
        return self.data / "events" / session


def _limit(descriptors: int | None) -> Callable[[], None] | None:
    if descriptors is None:
        return None
    limit = descriptors
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _role(pid: int) -> str:
    # Session init leads a session of the system, and its worker is in that; a zygote is in ours.
    group = os.getsid(pid)
    return "init" if group == pid else "zygote" if group == os.getsid(0) else "worker"


def seeds(default: int, long: bool) -> Sequence[int]:
    """The seeds of a kind: few, or with `--long` as many as `PYREPL3_FAULT_SEEDS` says."""
    count = int(os.environ.get("PYREPL3_FAULT_SEEDS", "300")) if long else default
    first = int(os.environ.get("PYREPL3_FAULT_FIRST", "0"))
    return range(first, first + count)
