#!/bin/sh
# A long job in a session of a service, with curl: asked for with a key, and its lines read from any number on.
#
#     PYREPL3_URL=http://127.0.0.1:8787 PYREPL3_TOKEN=… sh examples/service/client.sh
set -eu

api() { curl --silent --show-error --fail-with-body --header "authorization: Bearer $PYREPL3_TOKEN" "$@"; }
session="$PYREPL3_URL/v1/sessions/job-curl"

api --request PUT "$session" --json '{}' >/dev/null
api "$session/executions" --header 'idempotency-key: the job' --json '{
    "code": "import time\nfor line in range(200):\n    print(\"line\", line)\n    time.sleep(0.01)\n\"done\""
}'
echo

# The same key again: the job does not run again. This is what a retry does that never heard an answer.
api "$session/executions?wait=60" --header 'idempotency-key: the job' --json '{
    "code": "import time\nfor line in range(200):\n    print(\"line\", line)\n    time.sleep(0.01)\n\"done\""
}' | grep -o '"replayed":true'

# Lines of JSON, one for each event. Come back with after=N, where N is the last number that you saw.
api "$session/events?after=0&follow=false" --header 'accept: application/x-ndjson'
api --request DELETE "$session"
