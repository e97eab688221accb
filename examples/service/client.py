"""A long job in a session of a service: left, and found again with every line.

    PYREPL3_URL=http://127.0.0.1:8787 PYREPL3_TOKEN=… python examples/service/client.py

Kill the server in the middle, with SIGKILL, and start it again: nothing is missing.
"""

import asyncio
import os

import pyrepl3
from pyrepl3 import OutputMessage, ResultMessage

URL, TOKEN = os.environ["PYREPL3_URL"], os.environ["PYREPL3_TOKEN"]
JOB = "import time\nfor line in range(200):\n    print('line', line)\n    time.sleep(0.01)\n'done'"


async def main() -> None:
    last = 0
    async with pyrepl3.Session(URL, token=TOKEN, id="job-python") as session:
        # The key is what makes it run once, however often this program is started.
        execution = session.execute(JOB, idempotency_key="the job")
        async for message in execution:
            if isinstance(message, OutputMessage):
                last = message.seq or 0
                break
    print("left behind event", last)

    async with pyrepl3.Session(URL, token=TOKEN, id="job-python") as session:
        async for message in session.events(after=last):
            if isinstance(message, OutputMessage):
                print(message.data, end="")
            elif isinstance(message, ResultMessage):
                print("the job is", message.value)
                break
        await session.shutdown()


asyncio.run(main())
