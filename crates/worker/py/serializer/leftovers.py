"""What lives outside of the process's memory, and can only be named: threads, processes, event loops."""

import gc
import os
import sys
import threading

_IDENT = threading.get_ident
# Python's own process that removes what others leave behind; it comes back by itself.
_TRACKERS = ("multiprocessing.resource_tracker", "joblib.externals.loky.backend.resource_tracker")


def pid():
    return os.getpid()


def threads():
    """Names of the threads other than the calling one."""
    me = _IDENT()
    return [str(thread.name) for thread in threading.enumerate() if thread.ident != me and thread is not threading.main_thread()]


def processes():
    """(pid, name) of the children that user code can know of."""
    trackers = {getattr(getattr(sys.modules.get(name), "_resource_tracker", None), "_pid", None) for name in _TRACKERS}
    found = []
    for task in os.listdir("/proc/self/task"):
        try:
            # As bytes: a codec that is not loaded yet would be imported into the session.
            with open(f"/proc/self/task/{task}/children", "rb") as file:
                children = [int(word) for word in file.read().split()]
        except OSError:
            continue  # the thread has ended meanwhile
        for child in children:
            name = _name(child)
            if child not in trackers and name is not None and not name.startswith("pyrepl3-"):
                found.append((child, name))
    return found


def _name(child):
    try:
        with open(f"/proc/{child}/comm", "rb") as file:
            return file.read().decode("utf-8", "replace").strip()
    except OSError:
        return None


def capture(here):
    before = here.options.before
    for name in before["threads"] if before else threads():
        here.lose(f"thread {name}", "a thread ends with the process: start it again")
    for child, name in before["processes"] if before else processes():
        here.lose(f"process {child}", f"a child process ({name}) ends with the session: start it again")
    for name in _tasks():
        here.lose(f"asyncio task {name}", "what waits in an event loop ends with the process: start it again")
    return ()


def _tasks():
    """Names of the tasks that have not ended, of any loop."""
    tasks = sys.modules.get("asyncio.tasks")
    if tasks is None:
        return []
    known = []
    for holder in ("_scheduled_tasks", "_all_tasks", "_eager_tasks"):
        known += list(getattr(tasks, holder, ()))
    if sys.version_info >= (3, 14):
        # Its C code has them in a list of each thread's, and tells them loop by loop.
        known += [each for each in gc.get_objects() if issubclass(type(each), tasks.Task)]
    return sorted({task.get_name() for task in known if not task.done()})
