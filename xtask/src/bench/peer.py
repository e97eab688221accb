"""Measures ipykernel through jupyter_client, as one would use it. Prints JSON: samples by key."""

import json
import queue
import sys
import time

from jupyter_client.manager import KernelManager

FEWER = int(sys.argv[1])


def start():
    begin = time.perf_counter()
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(extra_arguments=["--HistoryManager.enabled=False"])
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    return manager, client, time.perf_counter() - begin


def run(client, code, on_output=lambda text: None):
    """Until the reply and the idle status: all output has come then."""
    ident = client.execute(code)
    while True:
        message = client.get_iopub_msg(timeout=120)
        if message["parent_header"].get("msg_id") != ident:
            continue
        if message["msg_type"] == "stream":
            on_output(message["content"]["text"])
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            break
    while True:
        reply = client.get_shell_msg(timeout=120)
        if reply["parent_header"].get("msg_id") == ident:
            return


def memory(manager):
    pid = manager.provisioner.process.pid
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:")) / 1024


def main():
    found = {"peer_start": []}
    for _ in range(max(2, 10 // FEWER)):
        manager, client, seconds = start()
        found["peer_start"].append(seconds)
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    manager, client, _ = start()
    found["peer_memory"] = [memory(manager)]
    samples = []
    for i in range(1000 // FEWER + 50):
        begin = time.perf_counter()
        run(client, "1+1")
        if i >= 50:
            samples.append(time.perf_counter() - begin)
    found["peer_execute"] = samples
    run(client, "import time")
    samples = []
    for _ in range(500 // FEWER):
        # The end of a line may come by itself.
        run(client, "print(time.time_ns())", lambda text: text.strip() and samples.append((time.time_ns() - int(text)) / 1e9))
    found["peer_print"] = samples
    for key, code, size in (
        ("peer_output", "for _ in range(100): print('x' * 999_999)", 100_000_000),
        ("peer_prints", "for i in range(1_000_000): print(i)", 6_888_890),
    ):
        found[key] = []
        for _ in range(max(1, 3 // FEWER)):
            count = 0

            def take(text):
                nonlocal count
                count += len(text)

            begin = time.perf_counter()
            run(client, code, take)
            seconds = time.perf_counter() - begin
            assert count == size, (count, size)
            found[key].append(100 / seconds if key == "peer_output" else seconds)
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    print(json.dumps(found))


try:
    main()
except queue.Empty:
    sys.exit("ipykernel did not answer within two minutes")
