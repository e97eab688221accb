"""The client's tests, through a service: `pytest --service`. Each data directory of a test has a server of its own, started
with the first session there; what a test says to the embedded engine, it says to that."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pyrepl3
import support
from pyrepl3._hosting import Served

PATIENCE = 30.0


class Server:
    """A server on a Unix socket, or on an address that it keeps; started when it is needed first."""

    def __init__(self, data: str, place: str, number: int, *, tcp: bool = False) -> None:
        self.data = data
        self.address = "127.0.0.1:0" if tcp else None
        self.socket = os.path.join(place, f"{number}.sock")
        self.token_file = os.path.join(place, f"{number}.token")
        self.token = f"token-{number}-{os.urandom(8).hex()}"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"unix:{self.socket}" if self.address is None else f"http://{self.address}"

    def start(self, *words: str) -> None:
        """Starts it, if it does not run; returns when it takes requests."""
        if self.process is not None and self.process.poll() is None:
            return
        Path(self.token_file).write_text(self.token)
        os.chmod(self.token_file, 0o600)
        where = ["--unix", self.socket] if self.address is None else ["--listen", self.address]
        command = [os.environ["PYREPL3_BIN"], "serve", *where, "--json", "--token-file", self.token_file]
        command += ["--data", self.data, "--log-level", "error", "--drain", "0", *words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the server did not start: status {self.process.wait()}"
        url = json.loads(line)["url"]
        if self.address is not None:
            self.address = url.removeprefix("http://")
        assert url == self.url

    def kill(self) -> None:
        """Kills it; its sessions wait for the next one."""
        assert self.process is not None and self.process.stdout is not None
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process = None

    def stop(self) -> None:
        """Ends it, and its sessions."""
        if self.process is None:
            return
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("the server did not end in time") from None
        finally:
            self.process.stdout.close()
        self.process = None


class Servers:
    """The servers of one test, by data directory."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._servers: dict[str, Server] = {}

    def of(self, data: Any) -> Server:
        """That of a data directory; without one, of the user's own."""
        default = os.path.join(os.environ["XDG_DATA_HOME"], "pyrepl3")
        key = os.path.realpath(default if data is None else data)
        if key not in self._servers:
            self._servers[key] = Server(key, self._place, len(self._servers))
        return self._servers[key]

    def at(self, url: str) -> Server | None:
        """That of an address."""
        return next((server for server in self._servers.values() if server.url == url), None)

    def stop(self) -> None:
        """Ends all of them."""
        for server in self._servers.values():
            server.stop()


def install(monkeypatch: pytest.MonkeyPatch, servers: Servers) -> None:
    """From now on a `Session` without a `url` is one of a service."""
    make, open_it = pyrepl3.Session.__init__, Served.open

    @functools.wraps(make)
    def init(self: pyrepl3.Session, url: str | None = None, **options: Any) -> None:
        make(self, url, **options)  # What is wrong with the arguments is said as ever.
        if url is not None or options.pop("token", None) is not None:
            return
        server = servers.of(options.pop("data", None))
        make(self, server.url, token=server.token, **options)

    async def kill(session: pyrepl3.Session) -> None:
        # The session would outlive its server.
        await session.shutdown()
        server = servers.at(session._hosting.service.url) if isinstance(session._hosting, Served) else None
        assert server is not None
        server.kill()

    async def start(self: Served, options: dict[str, Any], *args: Any) -> Any:
        server = servers.at(self.service.url)
        if server is not None:
            server.start("--spares", "0")  # Tests look at which processes there are.
            # Those of this process, as the embedded engine has them.
            options = {"python": sys.executable, "cwd": os.getcwd(), **options}
        return await open_it(self, options, *args)

    monkeypatch.setattr(pyrepl3.Session, "__init__", init)
    monkeypatch.setattr(Served, "open", start)
    monkeypatch.setattr(support, "kill_engine", kill)

