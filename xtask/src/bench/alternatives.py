"""What people do instead of a snapshot, measured. Prints JSON: samples by key. With `floors` as its second argument, bare forks
only.

A bare `fork`, which is what the kernel asks for any snapshot of this kind. A deep copy of the namespace; dill's dump and load of the session; everything run again in a fresh interpreter.
"""

import copy
import gc
import json
import os
import subprocess
import sys
import tempfile
import time

TIMES = max(1, 3 // int(sys.argv[1]))
IMPORTS = "import numpy as np, pandas as pd"
STATES = {
    "pandas": [IMPORTS, "df = pd.DataFrame({'a': range(1000)})"],
    "gib": [IMPORTS, "big = np.ones(2**27)"],
    "dicts": [IMPORTS, "dicts = [{i: str(i)} for i in range(1_000_000)]"],
}

DILL = """
import dill, json, sys, time
{setup}
dill.settings["recurse"] = False
begin = time.perf_counter()
dill.dump_module(sys.argv[1])
dumped = time.perf_counter() - begin
begin = time.perf_counter()
dill.load_module(sys.argv[1])
print(json.dumps([dumped, time.perf_counter() - begin]))
"""


FLOOR = """
import ctypes, json, os, time
{setup}
fork, samples = ctypes.PyDLL(None).fork, []
for _ in range(60):
    begin = time.perf_counter()
    pid = fork()
    if pid == 0:
        os._exit(0)
    samples.append(time.perf_counter() - begin)
    os.waitpid(pid, 0)
    time.sleep(0.006)  # as between two snapshots
print(json.dumps(samples))
"""


SIXTEEN = """
import ctypes, json, os, time
import numpy as np, pandas as pd
big = np.ones(175_000_000)
fork, samples = ctypes.PyDLL(None).fork, []
for _ in range(3):
    read, write = os.pipe()
    begin = time.perf_counter()
    pids = []
    for _ in range(16):
        pid = fork()
        if pid == 0:
            os.close(write)
            os.read(read, 1)
            os._exit(0)
        pids.append(pid)
    samples.append(time.perf_counter() - begin)
    os.close(write)
    os.close(read)
    for pid in pids:
        os.waitpid(pid, 0)
print(json.dumps(samples))
"""


def deep_copy(setup):
    namespace = {}
    for code in setup:
        exec(code, namespace)
    kept = {name: value for name, value in namespace.items() if not isinstance(value, type(sys)) and name[0] != "_"}
    gc.collect()
    begin = time.perf_counter()
    copy.deepcopy(kept)
    return time.perf_counter() - begin


def main():
    found = {}
    for name, setup in {"bare": [], **STATES}.items():
        command = [sys.executable, "-c", FLOOR.format(setup="\n".join(setup))]
        found[f"floor_{name}"] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    for name, huge in (("huge", "1"), ("small", "0")):
        environment = {**os.environ, "NUMPY_MADVISE_HUGEPAGE": huge}
        ran = subprocess.run([sys.executable, "-c", SIXTEEN], check=True, capture_output=True, env=environment)
        found[f"floor_{name}"] = json.loads(ran.stdout)
    for name, setup in () if "floors" in sys.argv[2:] else STATES.items():
        for _ in range(TIMES):
            found.setdefault(f"copy_{name}", []).append(deep_copy(setup))
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", "\n".join(setup)], check=True)
            found.setdefault(f"again_{name}", []).append(time.perf_counter() - begin)
            with tempfile.TemporaryDirectory() as directory:
                script = DILL.format(setup="\n".join(setup))
                command = [sys.executable, "-c", script, os.path.join(directory, "session.pkl")]
                dumped, loaded = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            found.setdefault(f"dump_{name}", []).append(dumped)
            found.setdefault(f"load_{name}", []).append(loaded)
    print(json.dumps(found))


main()
