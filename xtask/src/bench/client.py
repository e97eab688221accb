"""Measures the Python client. Prints JSON: samples in seconds (rates in MB/s) by key."""

import asyncio
import json
import sys
import time

import pyrepl3

FEWER = int(sys.argv[1])


async def main():
    found = {}
    async with pyrepl3.Session() as session:
        samples = []
        for i in range(5000 // FEWER + 200):
            begin = time.perf_counter()
            await session.execute("1+1")
            if i >= 200:
                samples.append(time.perf_counter() - begin)
        found["execute_python"] = samples
        await session.execute("import time")
        samples = []
        for _ in range(1000 // FEWER):
            async for message in session.execute("print(time.time_ns())"):
                if isinstance(message, pyrepl3.OutputMessage):
                    samples.append((time.time_ns() - int(message.data)) / 1e9)
        found["print_python"] = samples
        rates = []
        for _ in range(max(1, 5 // FEWER)):
            begin = time.perf_counter()
            count = 0
            async for message in session.execute("for _ in range(100): print('x' * 999_999)"):
                if isinstance(message, pyrepl3.OutputMessage):
                    count += len(message.data)
            assert count == 100_000_000, count
            rates.append(100 / (time.perf_counter() - begin))
        found["output_python"] = rates
    config = pyrepl3.PoolConfig(min_idle=8, max_sessions=16)
    async with pyrepl3.SessionPool(config) as pool:
        samples = []
        for _ in range(500 // FEWER):
            while True:
                stats = await pool.stats() if asyncio.iscoroutinefunction(pool.stats) else pool.stats()
                if asyncio.iscoroutine(stats):
                    stats = await stats
                idle = stats["idle"] if isinstance(stats, dict) else stats.idle
                if idle >= 8:
                    break
                await asyncio.sleep(0.001)
            begin = time.perf_counter()
            session = await pool.acquire()
            samples.append(time.perf_counter() - begin)
            await pool.release(session)
        found["acquire_python"] = samples
    print(json.dumps(found))


asyncio.run(main())
