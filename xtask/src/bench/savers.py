"""What people save a session with instead, measured: dill's `dump_module`, cloudpickle of the namespace.

Prints JSON: samples by key. The twenty steps of steps.py run in this process's `__main__`, and it is saved after each.
"""

import json
import os
import sys
import tempfile
import time
import types

HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "steps.py")) as _file:
    STEPS = _file.read().split("\n# %%")[1:]
# What is this script's own, and not the session's.
OWN = frozenset(globals()) | {"OWN", "with_dill", "with_cloudpickle", "steps", "main"}


def with_dill(path):
    import dill

    dill.dump_module(path)


def with_cloudpickle(path):
    import cloudpickle

    names = {
        name: value
        for name, value in globals().items()
        if name not in OWN and name[:2] != "__" and not isinstance(value, types.ModuleType)
    }
    with open(path, "wb") as file:
        cloudpickle.dump(names, file, protocol=5)


def steps(save):
    """Megabytes that were written, and seconds in which the session waits."""
    size = seconds = 0
    with tempfile.TemporaryDirectory(dir=sys.argv[2]) as directory:
        for number, step in enumerate(STEPS):
            exec(compile("#" + step, f"<step {number}>", "exec"), globals())
            path = os.path.join(directory, f"{number}.pkl")
            begin = time.perf_counter()
            save(path)
            seconds += time.perf_counter() - begin
            size += os.stat(path).st_size
    return size / 1e6, seconds


def main():
    save = {"dill": with_dill, "cloudpickle": with_cloudpickle}[sys.argv[1]]
    size, seconds = steps(save)
    print(json.dumps({f"{sys.argv[1]}_steps_bytes": [size], f"{sys.argv[1]}_steps_blocked": [seconds]}))


if __name__ == "__main__":
    main()
