"""Every Python block of the guide and of the READMEs runs as it stands, each in a process of its own."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("code", blocks())
def test_a_block_runs(code: str, tmp_path: Path) -> None:
    if re.search(r"^\s*(await|async (with|for)) ", re.sub(r"(?ms)^(async )?def .*?(?=^\S)", "", code), re.MULTILINE):
        body = "".join(f"    {line}\n" for line in code.splitlines())
        code = f"import asyncio\nasync def main():\n{body}\nasyncio.run(main())\n"
    found = subprocess.run(client(code), capture_output=True, text=True, cwd=tmp_path, timeout=100)
    assert found.returncode == 0, found.stderr


def test_the_guide_has_blocks() -> None:
    assert len(BLOCK.findall((ROOT / "docs" / "python.md").read_text())) > 10
