"""Runs the analysis of nile.py step by step in a session, from Python: python examples/nile_session.py"""

import asyncio
import base64
import pathlib
import tempfile

import pyrepl3

STEPS = pathlib.Path(__file__).with_name("nile.py").read_text().split("\n# %%")


async def main() -> None:
    async with pyrepl3.Session(cwd=str(pathlib.Path(__file__).parent.parent)) as session:
        for step in STEPS:
            execution = session.execute("#" + step if step is not STEPS[0] else step)
            async for message in execution:
                if isinstance(message, pyrepl3.OutputMessage):
                    print(message.data, end="")
                elif isinstance(message, pyrepl3.DisplayMessage) and "image/png" in message.data:
                    with tempfile.NamedTemporaryFile(suffix=".png", delete=False) as file:
                        file.write(base64.b64decode(message.data["image/png"]))
                    print(f"a figure of {pathlib.Path(file.name).stat().st_size} bytes")
                    pathlib.Path(file.name).unlink()
            result = await execution
        print(result.value)
        # The session is still there: ask it something else.
        print((await session.execute("max(flow, key=flow.get)")).value, "was the wettest year")


asyncio.run(main())
