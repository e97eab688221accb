"""Every Python block of the guide and of the READMEs runs as it stands, each in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from service import Server
from support import ROOT, client

DOCUMENTS = [ROOT / "docs" / "python.md", ROOT / "python" / "README.md", ROOT / "README.md"]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[object]:
    found: list[object] = []
    for document in DOCUMENTS:
        text = document.read_text() if document.exists() else ""
        for block in BLOCK.finditer(text):
            line = text.count("\n", 0, block.start()) + 2
            found.append(pytest.param(block[1], id=f"{document.relative_to(ROOT)}:{line}"))
    return found


@pytest.fixture
def served(nothing_left: None, own_data: Path, request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Where a service is, for blocks that use one."""
    if "PYREPL3_URL" not in request.node.callspec.params["code"]:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="pyrepl3-service-") as place:
        server = Server(str(own_data), place, 0, tcp=True)
        server.start()
        try:
            yield {"PYREPL3_URL": server.url, "PYREPL3_TOKEN": server.token}
        finally:
            server.stop()


@pytest.mark.parametrize("code", blocks())
def test_a_block_runs(code: str, tmp_path: Path, served: dict[str, str]) -> None:
    if re.search(r"^\s*(await|async (with|for)) ", re.sub(r"(?ms)^(async )?def .*?(?=^\S)", "", code), re.MULTILINE):
        body = "".join(f"    {line}\n" for line in code.splitlines())
        code = f"import asyncio\nasync def main():\n{body}\nasyncio.run(main())\n"
    environment = {**os.environ, **served}
    found = subprocess.run(client(code), capture_output=True, text=True, cwd=tmp_path, timeout=100, env=environment)
    assert found.returncode == 0, found.stderr


def test_the_guide_has_blocks() -> None:
    assert len(BLOCK.findall((ROOT / "docs" / "python.md").read_text())) > 10
