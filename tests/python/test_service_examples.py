"""The examples of the service, as a user runs them: each follows a job, and loses no line of it when the server is killed.

The one in Rust is tried by `crates/server/tests/server/example.rs`, which it is built with.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from service import Server
from support import ROOT, SOURCE

LINES = [f"line {line}" for line in range(200)]


@pytest.fixture
def server(nothing_left: None, own_data: Path) -> Iterator[Server]:
    """A server on an address, which it keeps when it is started again."""
    with tempfile.TemporaryDirectory(prefix="pyrepl3-service-") as place:
        server = Server(str(own_data), place, 0, tcp=True)
        server.start()
        try:
            yield server
        finally:
            server.start()
            server.stop()


async def run(server: Server, *command: str, kill: bool) -> str:
    """What a program prints; `kill`: the server is killed in the middle of it, and started again."""
    environment = {**os.environ, "PYREPL3_URL": server.url, "PYREPL3_TOKEN": server.token, "PYTHONPATH": str(SOURCE)}
    for more in filter(None, [os.environ.get("PYTHONPATH")]):
        environment["PYTHONPATH"] += os.pathsep + more
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=environment, cwd=ROOT
    )
    assert process.stdout is not None
    said = ""
    while line := await process.stdout.readline():
        said += line.decode()
        if kill and "line 20" in said:
            kill = False
            server.kill()
            server.start()
    assert await process.wait() == 0, said
    return said


def lines_of(said: str) -> list[str]:
    return re.findall(r"^line \d+$", said, re.MULTILINE)


async def test_python(server: Server) -> None:
    said = await run(server, sys.executable, "examples/service/client.py", kill=True)
    assert "the job is done" in said
    # The first of them came before it left.
    assert lines_of(said) == LINES[len(LINES) - len(lines_of(said)) :]
    assert len(lines_of(said)) > 100


async def test_curl(server: Server) -> None:
    said = await run(server, "sh", "examples/service/client.sh", kill=False)
    assert '"replayed":true' in said and "end_of_stream" in said
    text = "".join(re.findall(r'"data":"((?:line \d+\\n)+)"', said)).replace("\\n", "\n")
    assert lines_of(text) == LINES


async def test_javascript(server: Server) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node here")
    said = await run(server, node, "--experimental-websocket", "examples/service/client.mjs", kill=True)
    assert lines_of(said) == LINES
    assert "the job is done" in said
