"""Coroutines, async generators, the session's event loop, futures, queues, threads' data."""

from ..case import case

case(
    "coroutine_suspended",
    setup="""
        import types
        log = []
        @types.coroutine
        def pause(value):
            return (yield value)
        async def work():
            for n in range(3):
                log.append((n, await pause(n)))
            return "done"
        c = work(); c.send(None); c.send("a")
    """,
    mutate="c.send('b'); c.close()",
    check="""
        assert log == [(0, "a")] and c.cr_frame is not None and c.cr_await is not None
        assert c.send("x") == 2
        try:
            c.send("y")
        except StopIteration as stop:
            assert stop.value == "done"
        assert log == [(0, "a"), (1, "x"), (2, "y")]
    """,
    consumes=True,
)
case(
    "async_generator_half_consumed",
    setup="""
        log = []
        async def numbers():
            try:
                for n in range(5):
                    log.append(n)
                    yield n
            finally:
                log.append("closed")
        g = numbers()
        first = [await g.__anext__(), await g.__anext__()]
    """,
    mutate="await g.__anext__(); await g.aclose()",
    check="""
        assert first == [0, 1] and log == [0, 1] and not g.ag_running and g.ag_frame is not None
        assert [n async for n in g] == [2, 3, 4] and log == [0, 1, 2, 3, 4, "closed"]
    """,
    consumes=True,
)
case(
    "pending_future",
    setup="""
        import asyncio
        async def make():
            f = asyncio.get_running_loop().create_future()
            f.add_done_callback(lambda f: log.append(f.result()))
            return f
        log = []
        future = await make()
    """,
    mutate="future.set_result(1); await asyncio.sleep(0)",
    check="""
        async def look():
            assert future.get_loop() is asyncio.get_running_loop()
        await look()
        assert not future.done() and log == []
        future.set_result("later")
        await asyncio.sleep(0)
        assert log == ["later"] and await future == "later"
    """,
    consumes=True,
)
case(
    "pending_task",
    setup="""
        import asyncio
        steps = []
        gate = asyncio.Event()
        async def work():
            steps.append("begun")
            await gate.wait()
            steps.append("ended")
            return len(steps)
        task = asyncio.ensure_future(work())
        await asyncio.sleep(0)
    """,
    mutate="gate.set(); await task; steps.append('x')",
    check="""
        assert steps == ["begun"] and not task.done() and not gate.is_set() and task in asyncio.all_tasks()
        gate.set()
        assert await task == 2 and steps == ["begun", "ended"]
    """,
    consumes=True,
)
case(
    "cancelled_and_failed_tasks",
    setup="""
        import asyncio
        async def fail(): raise KeyError("no")
        async def sleep():
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                cleaned.append(1)
                raise
        cleaned = []
        failed, sleeper = asyncio.ensure_future(fail()), asyncio.ensure_future(sleep())
        await asyncio.sleep(0)
        await asyncio.wait([failed])
        error = failed.exception()
    """,
    mutate="""
        sleeper.cancel()
        await asyncio.wait([sleeper])
        error.args = ()
    """,
    check="""
        assert cleaned == [] and not sleeper.done() and failed.exception() is error and error.args == ("no",)
    """,
)
case(
    "asyncio_queues_and_locks",
    setup="""
        import asyncio
        q, lock, sem = asyncio.Queue(3), asyncio.Lock(), asyncio.Semaphore(2)
        q.put_nowait("a"); q.put_nowait("b")
        await lock.acquire()
        got = []
        async def wait():
            async with lock:
                got.append(await q.get())
        waiting = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
    """,
    mutate="lock.release(); await waiting; await sem.acquire(); q.put_nowait('c')",
    check="""
        assert lock.locked() and q.qsize() == 2 and got == [] and not waiting.done() and sem._value == 2
        lock.release()
        await waiting
        assert got == ["a"] and q.get_nowait() == "b" and q.empty() and not lock.locked()
    """,
    consumes=True,
)
case(
    "timers_of_the_loop",
    setup="""
        import asyncio
        fired = []
        async def plan():
            return asyncio.get_running_loop().call_later(3600, fired.append, 1)
        handle = await plan()
        when = handle.when()
    """,
    mutate="handle.cancel(); handle = await plan()",
    check="assert fired == [] and not handle.cancelled() and handle.when() == when",
)
case(
    "context_variables_of_tasks",
    setup="""
        import asyncio, contextvars
        var = contextvars.ContextVar("var", default=0)
        var.set(1)
        seen, gate = [], asyncio.Event()
        async def look():
            var.set(var.get() + 10)
            await gate.wait()
            seen.append(var.get())
        task = asyncio.ensure_future(look())
        await asyncio.sleep(0)
        var.set(2)
    """,
    mutate="var.set(50); gate.set(); await task",
    check="""
        assert var.get() == 2 and seen == []
        gate.set()
        await task
        assert seen == [11] and var.get() == 2
    """,
    consumes=True,
)
case(
    "concurrent_future",
    setup="""
        from concurrent.futures import Future
        f, g = Future(), Future()
        told = []
        f.add_done_callback(lambda f: told.append(f.result()))
        g.set_running_or_notify_cancel()
    """,
    mutate="f.set_result(1); g.set_exception(KeyError())",
    check="""
        assert not f.done() and not f.running() and g.running() and told == []
        assert not g.cancel() and len(f._done_callbacks) == 1
    """,
)
case(
    "queues",
    setup="""
        import queue
        q, lifo, prio, simple = queue.Queue(3), queue.LifoQueue(), queue.PriorityQueue(), queue.SimpleQueue()
        token = object()
        for k in (q, lifo, prio, simple):
            k.put((1, "a")); k.put((0, "b"))
        q.put(token)
    """,
    mutate="q.get(); q.task_done(); q.put('z'); lifo.put(1); prio.put((-1, 'x')); simple.get()",
    check="""
        assert q.full() and q.unfinished_tasks == 3 and list(q.queue)[2] is token and q.queue[0] == (1, "a")
        assert lifo.get() == (0, "b") and prio.get() == (0, "b") and simple.get() == (1, "a")
        assert lifo.qsize() == prio.qsize() == simple.qsize() == 1
    """,
    consumes=True,
)
case(
    "thread_local_data",
    setup="""
        import threading
        local = threading.local()
        local.items = [1]
        items = local.items
        main = threading.current_thread()
        main.tag = "main"
    """,
    mutate="local.items.append(2); local.other = 1; main.tag = None; main.name = 'renamed'; local.items = items[:]",
    check="""
        assert local.items is items == [1] and not hasattr(local, "other")
        assert threading.current_thread() is main is threading.main_thread() and main.tag == "main"
        assert main.name == "MainThread" and threading.active_count() == len(threading.enumerate())
    """,
)
case(
    "locks_and_conditions",
    setup="""
        import threading
        lock, rlock, event, sem = threading.Lock(), threading.RLock(), threading.Event(), threading.Semaphore(3)
        lock.acquire(); rlock.acquire(); rlock.acquire(); sem.acquire()
        condition = threading.Condition(lock)
        barrier = threading.Barrier(2)
    """,
    mutate="lock.release(); rlock.release(); event.set(); sem.release(); barrier.abort()",
    check="""
        assert lock.locked() and not event.is_set() and sem._value == 2 and not barrier.broken
        assert rlock._is_owned() and rlock._release_save()[0] == 2
        rlock.acquire(); rlock.acquire()
        assert condition._lock is lock and not lock.acquire(blocking=False)
    """,
)
case(
    "a_thread_that_has_ended",
    setup="""
        import threading
        results = []
        thread = threading.Thread(target=results.append, args=(1,), name="worker")
        thread.start(); thread.join()
        unstarted = threading.Thread(target=results.append, args=(2,))
    """,
    mutate="unstarted.start(); unstarted.join(); thread.name = 'x'",
    check="""
        assert results == [1] and not thread.is_alive() and thread.name == "worker" and unstarted.ident is None
        assert thread not in threading.enumerate()
    """,
)
