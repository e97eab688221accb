"""Threads of Python, and what runs in them: each goes on inside the call that it was in."""

from ..case import case

# A thread that does what it is asked to, and tells what came of it.
ASKER = """
    import queue, threading
    asked, told = queue.SimpleQueue(), queue.SimpleQueue()
    def serve():
        while (what := asked.get()) is not None:
            told.put(what())
    def ask(what):
        asked.put(what)
        return told.get(timeout=20)
    thread = threading.Thread(target=serve, name="the asker", daemon=True); thread.start()
"""
# Waits for what a thread does. A limit, so that a thread that is gone is seen.
WAIT = """
        import time
        def comes_true(condition):
            for _ in range(2000):
                if condition():
                    return True
                time.sleep(0.005)
            return False
"""

case(
    "a_thread_that_counts",
    setup="""
        import threading, time
        stopped = False
        def work():
            while not stopped:
                thread.count += 1
                time.sleep(0.001)
        thread = threading.Thread(target=work, name="the counter", daemon=True); thread.count = 0; thread.start()
    """,
    mutate="stopped = True; thread.join(); thread.count = -1",
    check=WAIT
    + """
        assert thread.is_alive() and not stopped and thread.count >= 0 and thread in threading.enumerate()
        seen = thread.count
        assert comes_true(lambda: thread.count > seen)
    """,
)
case(
    "a_thread_that_is_no_daemon",
    setup="""
        import threading
        gate, got = threading.Event(), []
        def work():
            gate.wait(); got.append(1)
        thread = threading.Thread(target=work, name="the waiter"); thread.start()
    """,
    mutate="gate.set(); thread.join()",
    check="""
        assert thread.is_alive() and not thread.daemon and got == [] and not gate.is_set()
        gate.set(); thread.join(20)
        assert got == [1] and not thread.is_alive()
    """,
    consumes=True,
)
case(
    "threads_that_wait",
    setup="""
        import os, queue, socket, threading, time
        got = []
        r, w = os.pipe()
        near, far = socket.socketpair()
        lock, rlock, event = threading.Lock(), threading.RLock(), threading.Event()
        lock.acquire(); rlock.acquire()
        condition, semaphore, barrier = threading.Condition(), threading.Semaphore(0), threading.Barrier(2)
        tasks, simple = queue.Queue(), queue.SimpleQueue()
        def with_condition():
            with condition: condition.wait()
        def with_rlock():
            with rlock: pass
        waits = {
            "pipe": lambda: os.read(r, 1), "socket": lambda: near.recv(1), "lock": lock.acquire, "rlock": with_rlock,
            "event": event.wait, "event, with a limit": lambda: event.wait(1000), "condition": with_condition,
            "semaphore": semaphore.acquire, "barrier": barrier.wait, "queue": tasks.get, "simple": simple.get,
            "queue, with a limit": lambda: tasks.get(timeout=1000), "sleep": lambda: time.sleep(3600),
        }
        def work(name):
            waits[name](); got.append(name)
        threads = {name: threading.Thread(target=work, args=(name,), name=name, daemon=True) for name in waits}
        for thread in threads.values(): thread.start()
        waits["join"] = threads["event"].join
        threads["join"] = threading.Thread(target=work, args=("join",), daemon=True); threads["join"].start()
        def sleeps(thread):
            with open(f"/proc/self/task/{thread.native_id}/stat") as file:
                return file.read().rpartition(")")[2].split()[0] == "S"
        while not all(map(sleeps, threads.values())): time.sleep(0.001)
        def let_go():
            os.write(w, b"x"); far.send(b"x"); lock.release(); rlock.release(); event.set(); semaphore.release()
            with condition: condition.notify()
            barrier.wait(); tasks.put(1); tasks.put(2); simple.put(1)
            for name, thread in threads.items():
                if name != "sleep": thread.join(20)
    """,
    mutate="let_go()",
    check="""
        assert got == [] and all(thread.is_alive() for thread in threads.values())
        let_go()
        assert sorted(got) == sorted(set(waits) - {"sleep"}) and threads["sleep"].is_alive()
    """,
    consumes=True,
)
case(
    "an_executor_with_tasks_in_flight",
    setup="""
        import threading
        from concurrent.futures import ThreadPoolExecutor
        begun, go, told = threading.Semaphore(0), threading.Event(), []
        def work(number):
            begun.release(); go.wait()
            return number
        executor = ThreadPoolExecutor(2, thread_name_prefix="pool")
        done = executor.submit(pow, 2, 3)
        done.result()
        running = [executor.submit(work, number) for number in range(2)]
        queued = [executor.submit(pow, number, 2) for number in range(5)]
        queued[4].add_done_callback(lambda future: told.append(future.result()))
        begun.acquire(); begun.acquire()
    """,
    mutate="go.set(); [each.result() for each in running + queued]; executor.shutdown(); queued.clear()",
    check="""
        assert done.result() == 8 and all(each.running() for each in running) and not any(each.done() for each in queued)
        assert told == [] and not go.is_set()
        go.set()
        assert [each.result(20) for each in running + queued] == [0, 1, 0, 1, 4, 9, 16]
        assert list(executor.map(str, range(3))) == ["0", "1", "2"]
        executor.shutdown()
        assert told == [16]
    """,
    consumes=True,
)
case(
    "a_timer",
    setup="""
        import threading
        fired = []
        timer, other = threading.Timer(3600, fired.append, (1,)), threading.Timer(3600, fired.append, (2,))
        timer.start(); other.start()
    """,
    mutate="timer.cancel(); timer.join()",
    check="""
        assert timer.is_alive() and other.is_alive() and not timer.finished.is_set() and fired == []
        # What its thread waits with can be ended, so it is waited for.
        other.cancel(); other.join(20)
        assert not other.is_alive() and timer.is_alive() and fired == []
        other = threading.Timer(0, fired.append, (3,)); other.start(); other.join(20)
        assert fired == [3]
        fired.clear(); other = threading.Timer(3600, fired.append, (2,)); other.start()
    """,
)
case(
    "a_loop_in_a_thread",
    setup="""
        import asyncio, threading
        loop = asyncio.new_event_loop()
        async def tick():
            while True:
                thread.ticks += 1
                await asyncio.sleep(0.001)
        async def wait():
            await gate.wait()
            return asyncio.get_running_loop() is loop
        async def begin():
            global gate
            gate = asyncio.Event()
            return asyncio.ensure_future(tick())
        def on_loop(coroutine): return asyncio.run_coroutine_threadsafe(coroutine, loop)
        thread = threading.Thread(target=loop.run_forever, name="the loop", daemon=True); thread.ticks = 0; thread.start()
        ticking = on_loop(begin()).result()
        waiting = on_loop(wait())
    """,
    mutate="loop.call_soon_threadsafe(gate.set); waiting.result(); loop.call_soon_threadsafe(loop.stop); thread.join()",
    check=WAIT
    + """
        assert loop.is_running() and thread.is_alive() and not waiting.done() and not ticking.done()
        seen = thread.ticks
        assert comes_true(lambda: thread.ticks > seen)
        async def look():
            await asyncio.sleep(0)
            return asyncio.get_running_loop() is loop, len(asyncio.all_tasks())
        assert on_loop(look()).result(20) == (True, 3)
        loop.call_soon_threadsafe(gate.set)
        assert waiting.result(20) is True
    """,
    consumes=True,
)
case(
    "a_loop_in_a_thread_that_is_inside_a_callback",
    setup="""
        import asyncio, threading
        loop, inside, go = asyncio.new_event_loop(), threading.Event(), threading.Event()
        def block():
            inside.set(); go.wait()
            assert asyncio.get_running_loop() is loop
            result.set_result(asyncio.get_event_loop() is loop)
        result = loop.create_future()
        loop.call_soon(block)
        answers = []
        thread = threading.Thread(
            target=lambda: answers.append(loop.run_until_complete(result)), name="the loop", daemon=True
        )
        thread.start(); inside.wait()
    """,
    mutate="go.set(); thread.join()",
    check="""
        assert thread.is_alive() and answers == [] and not result.done() and loop.is_running()
        go.set(); thread.join(20)
        assert answers == [True] and not loop.is_running()
    """,
    consumes=True,
    note="before Python 3.12 a running loop is one of a pid",
)
case(
    "a_listener_of_logs",
    setup="""
        import logging, logging.handlers, queue
        seen = []
        class Keep(logging.Handler):
            def emit(self, record): seen.append(record.getMessage())
        line = queue.Queue(-1)
        log = logging.getLogger("case.listener")
        log.setLevel("INFO"); log.propagate = False
        log.handlers[:] = [logging.handlers.QueueHandler(line)]
        listener = logging.handlers.QueueListener(line, Keep())
        listener.start()
        log.info("one %d", 1); line.join()
    """,
    mutate="log.info('two'); listener.stop(); log.handlers.clear()",
    check="""
        assert seen == ["one 1"] and listener._thread.is_alive() and len(log.handlers) == 1
        log.info("again"); line.join()
        assert seen == ["one 1", "again"] and line.empty()
        seen.pop()
    """,
)
case(
    "bars_of_tqdm_and_their_monitor",
    needs=("tqdm",),
    setup="""
        import io
        from tqdm import tqdm
        out = io.StringIO()
        tqdm.monitor_interval = 0.01
        bar = tqdm(total=10, file=out, mininterval=1000, miniters=5); bar.update(3)
        monitor = tqdm.monitor
    """,
    mutate="bar.update(4); bar.close(); monitor.exit()",
    check="""
        assert bar.n == 3 and tqdm.monitor is monitor and monitor.is_alive() and not monitor.was_killed.is_set()
        assert bar in tqdm._instances and not bar.disable
    """,
)
case(
    "a_watchdog_of_faulthandler",
    setup="""
        import faulthandler, os
        def threads(): return len(os.listdir("/proc/self/task"))
        before = threads()
        # Not so soon that it looks at threads that run: that is not safe in any program.
        faulthandler.dump_traceback_later(3600, file=2)
    """,
    mutate=WAIT
    + """
        faulthandler.cancel_dump_traceback_later()
        # It has said that it ends, and the kernel may still be about it.
        assert comes_true(lambda: threads() == before)
    """,
    check=WAIT
    + """
        # One that was told to end may be on its way.
        assert comes_true(lambda: threads() == before + 1)
        # It is told to end, and is waited for.
        faulthandler.cancel_dump_traceback_later()
        faulthandler.dump_traceback_later(3600, file=2)
    """,
    note="a thread of the interpreter that no list of threads has",
)
case(
    "names_and_data_of_a_thread",
    setup=ASKER
    + """
    def native():
        with open(f"/proc/self/task/{threading.get_native_id()}/comm") as file: return file.read().strip()
    import contextvars, decimal
    local, var = threading.local(), contextvars.ContextVar("var", default=0)
    def begin():
        local.items = [1]; var.set(2); decimal.getcontext().prec = 9
        with open(f"/proc/self/task/{threading.get_native_id()}/comm", "w") as file: file.write("mine")
        return threading.current_thread(), threading.get_ident(), local.items
    me, ident, items = ask(begin)
    """,
    mutate="""
        def change():
            local.items.append(2); var.set(3); decimal.getcontext().prec = 3; local.other = 1
            with open(f"/proc/self/task/{threading.get_native_id()}/comm", "w") as file: file.write("other")
            threading.current_thread().name = "changed"
        ask(change)
    """,
    check="""
        def look():
            return (threading.current_thread() is me is thread, threading.get_ident() == ident == me.ident, local.items is items,
                    local.items, hasattr(local, "other"), var.get(), decimal.getcontext().prec, me.name, native())
        assert ask(look) == (True, True, True, [1], False, 2, 9, "the asker", "mine")
        assert not hasattr(local, "items") and var.get() == 0 and decimal.getcontext().prec == 28
    """,
)
case(
    "signal_mask_of_a_thread",
    setup=ASKER
    + """
    import os, signal
    def mask(how=signal.SIG_BLOCK, which=()): return ask(lambda: signal.pthread_sigmask(how, which)) and mask_of()
    def mask_of(): return sorted(ask(lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ())))
    ask(lambda: signal.pthread_sigmask(signal.SIG_SETMASK, [signal.SIGUSR1, signal.SIGHUP]))
    mine = sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    """,
    mutate="ask(lambda: signal.pthread_sigmask(signal.SIG_SETMASK, [signal.SIGUSR2]))",
    check="""
        assert mask_of() == [signal.SIGHUP, signal.SIGUSR1] and thread.is_alive()
        assert sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())) == mine
    """,
)
case(
    "affinity_and_niceness_of_a_thread",
    setup=ASKER
    + """
    import os
    all_of_them = os.sched_getaffinity(0)
    one = {min(all_of_them)}
    def about(): return os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    def set_up():
        os.sched_setaffinity(0, one); os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 7)
    ask(set_up)
    """,
    mutate="ask(lambda: os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 11) or os.sched_setaffinity(0, all_of_them))",
    check="""
        assert ask(about) == (one, 7) and about() == (all_of_them, os.getpriority(os.PRIO_PROCESS, 0))
    """,
)
case(
    "threads_that_begin_and_end",
    setup="""
        import threading, time
        stopped, missing = False, []
        def work(number):
            while not stopped:
                box = []
                few = [threading.Thread(target=box.append, args=(number,)) for number in range(4)]
                for each in few: each.start()
                for each in few: each.join()
                if sorted(box) != [0, 1, 2, 3]: missing.append(box)
                threads[number].done += 1
        threads = [threading.Thread(target=work, args=(number,), name="the starter", daemon=True) for number in range(2)]
        for each in threads: each.done = 0; each.start()
        del each
    """,
    mutate="stopped = True\nfor each in threads: each.join()",
    check=WAIT
    + """
        assert all(each.is_alive() for each in threads) and not stopped
        seen = threads[0].done
        assert comes_true(lambda: threads[0].done > seen + 20) and missing == []
    """,
)
case(
    "a_database_of_a_thread",
    setup=ASKER
    + """
    import sqlite3
    def begin():
        global db
        db = sqlite3.connect(":memory:")
        db.execute("create table t (n)"); db.execute("insert into t values (1)"); db.commit()
        db.execute("insert into t values (2)")
    ask(begin)
    def look(): return db.execute("select n from t").fetchall(), db.in_transaction
    """,
    mutate="ask(lambda: [db.execute('insert into t values (3)'), db.commit()])",
    check="""
        assert ask(look) == ([(1,), (2,)], True)
        try:
            db.execute("select 1")
        except sqlite3.ProgrammingError:
            pass
        else:
            assert False, "it is another thread's"
    """,
)
case(
    "reentrant_locks_of_a_thread",
    setup=ASKER
    + """
    lock, condition = threading.RLock(), threading.Condition()
    ask(lambda: lock.acquire() and lock.acquire() and condition.acquire())
    """,
    mutate="ask(lambda: lock.release() or lock.release() or condition.release()); lock.acquire()",
    check="""
        assert not lock.acquire(blocking=False) and not condition.acquire(False)
        assert ask(lambda: (lock._is_owned(), lock.acquire(), lock.release())) == (True, True, None)
        ask(lambda: lock.release() or lock.release() or condition.release())
        assert lock.acquire(timeout=20) and condition.acquire(timeout=20)
        lock.release(); condition.release()
        ask(lambda: lock.acquire() and lock.acquire() and condition.acquire())
    """,
)
case(
    "threads_inside_of_c",
    setup="""
        import hashlib, threading, zlib
        data = bytes(range(256)) * 4096
        expected = hashlib.sha256(data).digest(), zlib.crc32(data), len(zlib.compress(data, 9))
        stopped, wrong = False, []
        def work(number):
            what = [lambda: hashlib.sha256(data).digest(), lambda: zlib.crc32(data), lambda: len(zlib.compress(data, 9))][number]
            while not stopped:
                if what() != expected[number]: wrong.append(number)
                threads[number].done += 1
        threads = [threading.Thread(target=work, args=(number,), name=f"work {number}", daemon=True) for number in range(3)]
        for each in threads: each.done = 0; each.start()
        del each
    """,
    mutate="stopped = True\nfor each in threads: each.join()",
    check=WAIT
    + """
        assert all(each.is_alive() for each in threads) and not stopped
        seen = [each.done for each in threads]
        assert comes_true(lambda: all(each.done > then + 1 for each, then in zip(threads, seen))) and wrong == []
    """,
)
case(
    "an_exception_on_its_way_in_a_thread",
    setup="""
        import threading
        inside, go, log = threading.Event(), threading.Event(), []
        def deep():
            try:
                raise KeyError("first")
            except KeyError:
                try:
                    inside.set(); go.wait()
                    raise ValueError("second")
                finally:
                    log.append("finally")
        def work():
            try:
                deep()
            except ValueError as error:
                log.append((str(error), repr(error.__context__)))
        thread = threading.Thread(target=work, name="the raiser", daemon=True); thread.start(); inside.wait()
    """,
    mutate="go.set(); thread.join()",
    check="""
        assert thread.is_alive() and log == []
        go.set(); thread.join(20)
        assert log == ["finally", ("second", "KeyError('first')")]
    """,
    consumes=True,
)
