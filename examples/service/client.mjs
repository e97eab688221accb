// A long job in a session of a service, with plain fetch and WebSocket: it comes back by itself, with every line once.
//
//     PYREPL3_URL=http://127.0.0.1:8787 PYREPL3_TOKEN=… node examples/service/client.mjs
//
// Node has WebSocket from version 22 on (before: node --experimental-websocket). In a browser it is there.

const url = process.env.PYREPL3_URL;
const token = process.env.PYREPL3_TOKEN;
const session = `${url}/v1/sessions/job-js`;
const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
const job = "import time\nfor line in range(200):\n    print('line', line)\n    time.sleep(0.01)\n'done'";

async function api(method, path = "", body = undefined) {
  const answer = await fetch(session + path, { method, headers, body: body && JSON.stringify(body) });
  if (!answer.ok) throw new Error(JSON.stringify(await answer.json()));
  return answer.status === 204 ? null : answer.json();
}

// Every event behind a number; where the connection breaks, it is made again behind the last one that came.
async function* events(last) {
  for (;;) {
    const socket = new WebSocket(`${session.replace(/^http/, "ws")}/channel?after=${last}`, ["pyrepl3.v1", `bearer.${token}`]);
    const queue = [];
    let wake = () => {};
    let open = true;
    socket.onmessage = (event) => { queue.push(JSON.parse(event.data)); wake(); };
    socket.onclose = socket.onerror = () => { open = false; wake(); };
    while (open || queue.length > 0) {
      if (queue.length === 0) {
        await new Promise((resolve) => { wake = resolve; });
        continue;
      }
      const message = queue.shift();
      if (message.type === "end_of_stream" && message.reason === "session_ended") return;
      if (message.seq > last) {
        last = message.seq;
        yield message;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

await api("PUT", "", {});
const asked = await fetch(`${session}/executions`, {
  method: "POST",
  headers: { ...headers, "idempotency-key": "the job" },
  body: JSON.stringify({ code: job }),
});
const { execution_id: execution, seq } = await asked.json();

for await (const message of events(seq - 1)) {
  if (message.type === "output") process.stdout.write(message.data);
  if (message.type === "result" && message.execution_id === execution) {
    console.log("the job is", message.value);
    break;
  }
}
await api("DELETE");
process.exit(0);
