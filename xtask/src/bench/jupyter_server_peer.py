"""Measures jupyter_server's kernels over its WebSocket, as a client of it would use them. Prints JSON: samples by key."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid

from websockets.sync.client import connect

FEWER = int(sys.argv[1])
TOKEN = uuid.uuid4().hex


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def request(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(f"{URL}{path}", data, {"Authorization": f"token {TOKEN}"}, method=method)
    with urllib.request.urlopen(asked, timeout=60) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def message(kind, content, channel="shell"):
    header = {"msg_id": uuid.uuid4().hex, "msg_type": kind, "username": "", "session": "bench", "date": "", "version": "5.3"}
    return {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": channel, "buffers": []}


def ask(channel, kind, content, on_output=lambda text: None):
    """Until the reply and the idle status."""
    asked = message(kind, content)
    channel.send(json.dumps(asked))
    ident, left = asked["header"]["msg_id"], {"reply", "idle"}
    while left:
        got = json.loads(channel.recv(timeout=120))
        if got["parent_header"].get("msg_id") != ident:
            continue
        if got["msg_type"] == "stream":
            on_output(got["content"]["text"])
        elif got["msg_type"] == "status" and got["content"]["execution_state"] == "idle":
            left.discard("idle")
        elif got["msg_type"].endswith("_reply"):
            left.discard("reply")


def execute(channel, code, on_output=lambda text: None):
    ask(channel, "execute_request", {"code": code, "silent": False, "store_history": False, "allow_stdin": False}, on_output)


def start(stack):
    begin = time.perf_counter()
    kernel = request("POST", "/api/kernels", {"name": "python3"})["id"]
    place = f"{URL.replace('http', 'ws')}/api/kernels/{kernel}/channels?token={TOKEN}"
    channel = stack.enter_context(connect(place, max_size=None, compression=None, proxy=None))
    ask(channel, "kernel_info_request", {})
    return kernel, channel, time.perf_counter() - begin


def main(stack):
    found = {"peer_service_create": []}
    for _ in range(max(2, 10 // FEWER)):
        kernel, channel, seconds = start(stack)
        found["peer_service_create"].append(seconds)
        channel.close()
        request("DELETE", f"/api/kernels/{kernel}")
    kernel, channel, _ = start(stack)
    samples = []
    for i in range(1000 // FEWER + 50):
        begin = time.perf_counter()
        execute(channel, "1+1")
        if i >= 50:
            samples.append(time.perf_counter() - begin)
    found["peer_service_execute"] = samples
    found["peer_service_output"] = []
    for _ in range(max(1, 3 // FEWER)):
        count = 0

        def take(text):
            nonlocal count
            count += len(text)

        begin = time.perf_counter()
        execute(channel, "for _ in range(100): print('x' * 999_999)", take)
        seconds = time.perf_counter() - begin
        assert count == 100_000_000, count
        found["peer_service_output"].append(100 / seconds)
    channel.close()
    print(json.dumps(found))


with tempfile.TemporaryDirectory() as place:
    port = free_port()
    URL = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "jupyter_server", "--no-browser", f"--port={port}", "--ip=127.0.0.1", "--allow-root"]
    command += [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={place}", "--ServerApp.log_level=ERROR"]
    # Its default drops output above 1 MB/s.
    command += ["--ZMQChannelsWebsocketConnection.iopub_data_rate_limit=0", "--ZMQChannelsWebsocketConnection.iopub_msg_rate_limit=0"]
    environment = {**os.environ, "JUPYTER_CONFIG_DIR": place, "JUPYTER_DATA_DIR": place, "JUPYTER_RUNTIME_DIR": place}
    environment["JUPYTER_PREFER_ENV_PATH"] = "1"
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                request("GET", "/api/status")
                break
            except OSError:
                time.sleep(0.1)
        with contextlib.ExitStack() as stack:
            main(stack)
    finally:
        server.terminate()
        server.wait()
