"""What `python -i` prints for each input of a program, and what a session does, made comparable."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from pyrepl3 import ExecutionError, Session

LIMIT = 60.0
"""Seconds for one program."""
MARK = "\x01"
_MARKS = r"assert __import__('os').write(1, b'\x01') and __import__('os').write(2, b'\x01')"
# What Python says of its own prompt before it can be told to have none.
_SILENT = "import sys; sys.ps1 = sys.ps2 = ''; del sys"


@dataclass(frozen=True)
class Said:
    """What one input made of standard output and standard error, after `comparable`."""

    out: str
    err: str


async def by_python(python: str, inputs: list[str]) -> list[Said]:
    """Runs a program at Python's prompt."""
    lines = [_SILENT, _MARKS]
    for text in inputs:
        lines += [text, "", _MARKS] if _is_compound(text) else [text, _MARKS]
    process = await asyncio.create_subprocess_exec(
        python, "-i", "-q", "-u", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate("\n".join(lines).encode("utf-8", "surrogatepass") + b"\n"), LIMIT)
    outs, errs = (text.decode("utf-8", "backslashreplace").split(MARK) for text in (out, err))
    assert len(outs) == len(errs) == len(inputs) + 2, f"the prompt went astray:\n{out!r}\n{err!r}"
    return [Said(comparable(one), comparable(other)) for one, other in zip(outs[1:-1], errs[1:-1])]


def _is_compound(text: str) -> bool:
    return "\n" in text or text.startswith("@") or re.match(r"(if|for|while|def|class|with|try|async|match)\b", text) is not None


async def by_session(session: Session, inputs: list[str]) -> list[Said]:
    """Runs a program in a session. What a client would show of a value or an error counts as printed."""
    said = []
    for text in inputs:
        execution = session.execute(text, timeout=LIMIT)
        out = err = ""
        try:
            result = await execution
        except ExecutionError as error:
            assert error.message.status == "failed", error.message
            err = "" if error.message.shown else error.message.traceback
        else:
            out = "" if result.shown or result.repr is None else f"{result.repr}\n"
        said.append(Said(comparable(execution.stdout + out), comparable(execution.stderr + err)))
    return said


def comparable(text: str) -> str:
    """Without addresses, places of the input, source lines, and how often something was repeated."""
    text = re.sub(r"0x[0-9a-f]{6,}", "0x…", text)
    text = re.sub(r"\[Previous line repeated \d+ more times\]", "[Previous line repeated]", text)
    text = re.sub(r"^([ |]*)File \"<[^>]*>(-\d+)?\", line", r'\1File "<input>", line', text, flags=re.M)
    text = re.sub(r"^([ |]*)__main__\.", r"\1", text, flags=re.M)  # Python 3.10 names it, the module traceback does not
    text = re.sub(r"\((<[^>]*>), line", "(<input>, line", text)
    text = re.sub(r"^<[^>]*>(-\d+)?:(\d+): ", r"<input>:\2: ", text, flags=re.M)
    kept: list[str] = []
    has_source = False
    for line in text.split("\n"):
        bare = line.lstrip(" |")
        if has_source and (line[:1] == " " or line.startswith("\x20")) and not bare.startswith(("File ", "+")) and "|" not in line[:4]:
            continue  # the source, and what is marked in it
        if has_source and "|" in line[:6] and re.match(r"[ |]* {4}\S", line) and not bare.startswith("File "):
            continue
        has_source = bare.startswith("File ") or re.match(r"<input>:\d+: ", line) is not None or bare.startswith("[Previous")
        kept.append(line.rstrip())
    return "\n".join(kept)
