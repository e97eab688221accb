"""A supervisor dies without a word, at any moment, and another one takes over: nothing is lost, nothing happens twice."""

from __future__ import annotations

import os
import select
import signal
import socket

import pytest
from adoption.supervisor import BRANCH, LEAVE, LIMIT, MODE, Channel, Supervisor, Zygote, pair


def gone(pidfd: int) -> bool:
    return bool(select.select([pidfd], [], [], LIMIT)[0])


def test_output_comes_whole_and_once(zygote: Zygote) -> None:
    one = zygote.session().ready()
    expected = b"".join(b"line %d\n" % number for number in range(30_000))
    one.execute("for number in range(30_000): print('line', number)\n'done'")
    seen = one.read(1000)
    one.die()
    other = one.take_over()
    # The pipe is full: the code waits, as long as nobody reads.
    seen += other.read(len(expected) - len(seen))
    assert seen == expected
    assert [words["value"] for words in other.renew()] in ([], ["done"])
    if other.done == 1:
        assert other.heard("result")["value"] == "done"
    assert other.value("1 + 1") == 2


def test_a_prompt_waits_on(zygote: Zygote) -> None:
    one = zygote.session().ready()
    one.execute("name = input('name? ')\nname * 2")
    prompt = one.heard("input")
    one.die()
    other = one.take_over()
    assert other.renew() == []
    assert other.said["waiting"] == [prompt["input"]]
    other.ask("answer", input=prompt["input"], value="ab")
    assert other.heard("result")["value"] == "abab"


def test_a_prompt_in_another_thread_waits_on(zygote: Zygote) -> None:
    one = zygote.session().ready()
    code = "import threading\ngot = []\nthread = threading.Thread(target=lambda: got.append(input()))\nthread.start()"
    one.execute(code)
    assert one.control is not None
    messages = {}
    for _ in range(2):
        message = one.control.receive()
        assert message is not None
        messages[message["t"]] = message
    one.done += 2
    prompt = messages["input"]["input"]
    one.die()
    other = one.take_over()
    other.renew()
    assert other.said["waiting"] == [prompt]
    other.ask("answer", input=prompt, value="x")
    assert other.value("thread.join(); got") == ["x"]


def test_a_session_with_an_event_loop_goes_on(zygote: Zygote) -> None:
    one = zygote.session().ready()
    one.execute("import asyncio\nasync def tick():\n    while True:\n        await asyncio.sleep(0.001)\n")
    one.heard("result")
    one.execute("task = asyncio.create_task(tick())\nawait asyncio.sleep(0)")
    one.heard("result")
    one.die()
    other = one.take_over()
    other.renew()
    assert other.value("task.done()") is False


def test_running_code_does_not_notice(zygote: Zygote) -> None:
    one = zygote.session().ready()
    gate = zygote.place / "gate"
    os.mkfifo(gate)
    one.execute(f"print('before', flush=True)\nwith open({str(gate)!r}) as file: got = file.read()\nprint('after')\ngot")
    assert one.read(7) == b"before\n"
    one.die()
    other = one.take_over()
    assert other.control is not None
    other.control.socket.shutdown(socket.SHUT_WR)
    gate.write_text("open")
    # Its end is the last word on the old channel: it looks at that only when it wants to read.
    assert [words["value"] for words in other.renew()] == ["open"]
    assert other.read(6) == b"after\n"


def test_there_is_room_for_another_channel_whatever_is_open(zygote: Zygote) -> None:
    one = zygote.session(setup=False)
    one.ask("setup", env={}, rlimits={"NOFILE": 64}, mode=MODE)
    one.ready()
    code = "import os\nopened = []\ntry:\n    while True: opened.append(os.dup(0))\nexcept OSError as error: pass\nlen(opened)"
    assert one.value(code) > 50
    for _ in range(3):
        one.die()
        one = one.take_over()
        one.renew()
        assert one.value("len(opened)") > 50


def test_a_large_frame_that_was_half_read_comes_again(zygote: Zygote) -> None:
    one = zygote.session().ready()
    one.execute("display({'text/plain': 'x' * 1_000_000}, raw=True)\nprint('after')")
    assert one.control is not None and one.control.read(10_000)
    one.die()
    other = one.take_over()
    words = other.renew()
    assert words == [] and other.said["kept"] == one.done + 1
    display = other.heard("display")
    assert display["data"]["text/plain"] == "x" * 1_000_000
    other.ask("ack", seq=display["seq"])
    other.ask("answer", input=display["input"], value=None)
    other.heard("result")
    assert other.read(6) == b"after\n"
    assert other.value("2") == 2
    # What was acknowledged does not come a third time.
    other.die()
    third = other.take_over()
    assert third.renew() == [] and "kept" not in third.said
    assert third.value("3") == 3


def test_a_large_frame_that_was_read_and_not_acknowledged_is_told_by_its_number(zygote: Zygote) -> None:
    one = zygote.session().ready()
    one.execute("'y' * 200_000")
    one.heard("result")
    one.execute("'after'")
    one.heard("result")
    one.die()
    other = one.take_over()
    assert other.renew() == [] and other.said["kept"] == 2
    # Both come again, and are known.
    assert other.value("4") == 4


def test_a_torn_request_is_dropped_and_a_known_one_not_done_twice(zygote: Zygote) -> None:
    one = zygote.session().ready()
    assert one.value("seen = []") is None
    assert one.control is not None
    torn, end = pair()
    frame = b'\0\0\0\x50{"op":"freeze"'
    socket.send_fds(one.control.socket, [frame], [end.fileno()])
    end.close()
    one.die()
    other = one.take_over()
    assert other.renew() == []
    assert other.asked == one.asked
    # The descriptor that came with it is not left behind.
    assert torn.receive() is None
    torn.close()
    other.execute("seen.append(1)")
    other.heard("result")
    other.asked -= 1
    other.execute("seen.append(2)")
    assert other.value("seen") == [1]


def test_what_was_said_and_not_read_is_read_by_the_next(zygote: Zygote) -> None:
    one = zygote.session().ready()
    one.execute("'unread'")
    assert one.control is not None
    assert select.select([one.control], [], [], LIMIT)[0]
    one.die()
    other = one.take_over()
    assert [words["value"] for words in other.renew()] == ["unread"]


@pytest.mark.parametrize("size", [5, 200_000])
def test_who_takes_over_may_die_over_it(zygote: Zygote, size: int) -> None:
    one = zygote.session().ready()
    one.execute("'small'")
    assert one.control is not None and select.select([one.control], [], [], LIMIT)[0]
    one.execute(f"'x' * {size}")
    one.die()
    other = one.take_over()
    assert other.control is not None
    other.control.socket.shutdown(socket.SHUT_WR)
    # It has the worker's next channel, and has not read what is on the one before.
    while size > 1000 and other.control.read(1 << 20):
        pass
    claim = other.claim()
    other.claims.append(claim)
    assert claim.get("kept") == (3 if size > 1000 else None)
    for fd in claim["descriptors"]:
        os.close(fd)
    other.done = one.done
    other.die()
    third = other.take_over()
    if size > 1000:
        # What was read, and not written down, was a small frame: there its journal says less than was read.
        assert third.before is not None and third.before[1] == 3
        third.done += 1
        third.renew()
        assert third.heard("result")["value"] == "x" * size
    else:
        assert [words["value"] for words in third.renew()] == ["small", "x" * size]
    assert third.value("7") == 7


def test_frozen_processes_wait_on_and_can_be_woken(zygote: Zygote) -> None:
    one = zygote.session().ready()
    one.value("x = 1")
    one.freeze(1)
    one.value("x = 2")
    one.freeze(2)
    one.value("x = 3")
    one.die()
    other = one.take_over()
    other.renew()
    other.marks({1, 2})
    assert other.value("x") == 3
    other.wake(1, keep=True)
    other.frozen.pop(2)[0].ask_frozen(LEAVE)
    other.rolled()
    assert other.init is not None
    other.init.expect("swept")
    other.heard("awake")
    assert other.value("x") == 1
    # The one that took its place lives on with the next supervisor, too.
    other.die()
    third = other.take_over()
    third.renew()
    third.marks({1})
    assert third.worker == 2


def test_a_frozen_process_without_a_mark_leaves(zygote: Zygote) -> None:
    one = zygote.session().ready()
    channel, theirs = pair()
    one.ask("freeze", (theirs.fileno(),), id=7)
    theirs.close()
    one.heard("reply")
    channel.expect_frozen()
    pidfd = os.pidfd_open(channel.pid)
    channel.close()
    assert gone(pidfd)
    os.close(pidfd)


@pytest.mark.parametrize("step", ["killed", "woken", "rolled"])
def test_a_rollback_that_was_half_done(zygote: Zygote, step: str) -> None:
    one = zygote.session().ready()
    one.value("x = 1")
    one.freeze(5)
    one.freeze(6)
    one.value("x = 2")
    assert one.init is not None
    one.init.send({"op": "note", "text": "rollback to 5, to be worker 2"})
    if step == "killed":
        one.kill()
        one.process = -1
        one.init.expect("exit")
    else:
        one.wake(5)
        if step == "rolled":
            one.rolled()
    one.die()
    other = one.take_over()
    assert other.adopted["note"] == "rollback to 5, to be worker 2"
    assert other.init is not None
    # Whether session init had been told is seen by the number.
    assert other.worker == (2 if step == "rolled" else 1)
    if step == "killed":
        assert other.adopted["exit"] == {"signal": 9}
        other.marks({5, 6})
        other.wake(5)
        other.rolled()
        other.init.expect("swept")
        other.heard("awake")
    else:
        other.marks({6})
        assert [words["t"] for words in other.renew()] in ([], ["awake"])
        assert other.said["mark"] == 5
        assert other.said["worker"] == (2 if step == "rolled" else None)
        if step == "woken":
            other.rolled()
            other.init.expect("swept")
    assert other.value("x") == 1


@pytest.mark.parametrize("kept", [True, False])
def test_between_the_fork_and_the_first_word(zygote: Zygote, kept: bool) -> None:
    one = zygote.session(keep=kept, setup=kept)
    one.die()
    other = one.take_over()
    if kept:
        other.done, other.asked = 0, 1
        words = other.renew()
        if not words:
            words = [other.heard("hello")]
        assert [message["t"] for message in words] == ["hello"]
        assert other.value("1") == 1
    else:
        claim = other.claim()
        assert (claim["request"], claim["seq"]) == (0, 0)
        other.take(claim)
        other.asked = 0
        other.ask("setup", env={}, rlimits={}, mode=MODE)
        other.heard("hello")
        # Its output had nowhere to go: who wants it must have it kept before anything is forked.
        assert other.value("1") == 1


def test_the_end_of_a_worker_is_remembered_and_another_is_forked(zygote: Zygote) -> None:
    one = zygote.session().ready()
    one.execute("import os; os._exit(7)")
    assert one.init is not None and one.init.expect("exit")["code"] == 7
    one.die()
    other = one.take_over()
    assert other.adopted["exit"] == {"code": 7}
    assert other.process == -1 and other.init is not None
    fds = other.worker_fds()
    other.done = other.asked = 0
    other.keep()
    other.ask("setup", env={}, rlimits={}, mode=MODE)
    other.init.send({"op": "spawn", "worker": 2}, tuple(fds))
    for fd in fds:
        os.close(fd)
    other.worker = 2
    other.ready()
    # The new one knows the way, too.
    other.die()
    third = other.take_over()
    third.renew()
    assert third.worker == 2 and third.value("5") == 5


def test_one_supervisor_at_a_time(zygote: Zygote) -> None:
    one = zygote.session().ready()
    other = one.take_over(epoch=7)
    # The first lives, and has nothing more to say.
    assert one.init is not None and one.init.receive() is None
    one.die()
    for epoch in (7, 3, -1, "8", None):
        late = other.connect()
        late.send({"op": "adopt", "epoch": epoch})
        refused = late.receive()
        assert refused is not None and refused["t"] == "refused" and "7 is known here" in refused["why"]
        assert late.receive() is None
        late.close()
    other.renew()
    assert other.value("1") == 1


def test_strangers_block_nobody(zygote: Zygote) -> None:
    one = zygote.session().ready()
    silent = [one.connect() for _ in range(12)]
    for bytes in (b"\xff\xff\xff\xff", b"\0\0\0\4nope", b"\0\0\0\2{}", b'\0\0\0\x12{"op":"adopt"}\0\0\0\0'):
        loud = one.connect()
        loud.socket.sendall(bytes)
        refused = loud.receive()
        assert refused is None or refused["t"] == "refused"
        loud.close()
    assert one.value("1") == 1
    one.die()
    other = one.take_over()
    other.renew()
    assert other.value("2") == 2
    # The oldest of them had to go.
    assert silent[0].receive() is None
    for channel in silent:
        channel.close()


def test_unknown_requests_are_answered_in_words(zygote: Zygote) -> None:
    one = zygote.session().ready()
    assert one.init is not None
    for request, why in (
        ({"op": "fly"}, "does not know it"),
        ({"op": "keep", "name": "x"}, "a name and a descriptor"),
        ({"op": "note", "text": "x" * (1 << 20) + "y"}, "1048576 bytes"),
        ({"op": "note"}, "not understood"),
        ({"op": "rolled", "worker": 2, "keep": 1}, "not all processes"),
        ({"op": "member", "worker": 1, "number": 2}, "takes a channel"),
    ):
        one.init.send(request)
        refused = one.init.expect("refused")
        assert refused["op"] == request["op"] and why in refused["why"], refused
    assert one.value("1") == 1


def test_a_note_is_whole_or_the_one_before(zygote: Zygote) -> None:
    one = zygote.session().ready()
    assert one.init is not None
    text = "\U0001f40d" * (1 << 18)
    one.init.send({"op": "note", "text": text})
    one.init.send({"op": "keep", "name": "spare"}, (one.init.fileno(),))
    one.init.send({"op": "release", "names": ["spare", "nothing"]})
    one.init.socket.sendall(b'\0\x10\0\0{"op":"note","text":"half')
    one.die()
    other = one.take_over()
    assert other.adopted["note"] == text
    assert sorted(other.adopted["held"]) == ["control", "stderr", "stdout"]


def test_at_the_end_of_the_grace_nothing_is_left(zygote: Zygote) -> None:
    one = zygote.session(grace=0.2).ready()
    pids = one.value(
        "import os, subprocess, sys\n"
        "daemon = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'], start_new_session=True)\n"
        "[os.getpid(), os.getppid(), daemon.pid]"
    )
    one.freeze(1)
    pidfds = [os.pidfd_open(pid) for pid in (*pids, one.frozen[1][0].pid)]
    watched = [os.dup(fd) for fd in one.pipes.values()]
    one.die()
    assert all(gone(pidfd) for pidfd in pidfds)
    for fd in watched:
        assert os.read(fd, 1) == b""
    with pytest.raises(ConnectionRefusedError):
        one.connect()
    for fd in (*pidfds, *watched):
        os.close(fd)


def test_without_a_grace_all_ends_with_the_supervisor(zygote: Zygote) -> None:
    one = zygote.session(grace=None).ready()
    one.freeze(1)
    pids = one.value("import os; [os.getpid(), os.getppid()]")
    pidfds = [os.pidfd_open(pid) for pid in (*pids, one.frozen[1][0].pid)]
    one.die()
    assert all(gone(pidfd) for pidfd in pidfds)
    for fd in pidfds:
        os.close(fd)


def test_a_family_is_adopted_one_by_one(zygote: Zygote) -> None:
    one = zygote.session().ready()
    one.value("x = 'common'")
    channel, theirs = pair()
    one.ask("branch", (theirs.fileno(),), id=9)
    theirs.close()
    one.heard("reply")
    channel.expect_frozen()
    branches = []
    for index in range(2):
        branch = Supervisor(zygote, one.path.with_name(f"branch-{index}.sock"))
        fds = branch.worker_fds()
        channel.ask_frozen(BRANCH, fds, index=index, member=index + 1)
        for fd in fds:
            os.close(fd)
        branch.heard("awake")
        assert branch.control is not None and one.init is not None
        branch.process = os.pidfd_open(branch.control.pid)
        branch.init, theirs = pair()
        listener = branch.listen()
        request = {"op": "member", "worker": 1, "number": index + 1, "linger": {"grace": 60.0}}
        one.init.send(request, (theirs.fileno(), branch.process, listener.fileno()))
        theirs.close()
        listener.close()
        branch.init.expect("up")
        branch.keep()
        branches.append(branch)
    channel.ask_frozen(LEAVE)
    channel.close()
    for branch in branches:
        branch.value(f"x = {branch.path.name!r}")
        branch.freeze(1)
    for each in (branches[0], one, branches[1]):
        each.die()
    for each in (one, *branches):
        other = each.take_over()
        other.renew()
        if each is not one:
            # Marks are each session's own.
            other.marks({1})
        assert other.value("x") == ("common" if each is one else each.path.name)


def test_a_branch_that_has_not_joined_is_told_to_its_parent(zygote: Zygote) -> None:
    one = zygote.session().ready()
    channel, theirs = pair()
    one.ask("branch", (theirs.fileno(),), id=9)
    theirs.close()
    one.heard("reply")
    channel.expect_frozen()
    branch = Supervisor(zygote, one.path.with_name("branch.sock"))
    fds = branch.worker_fds()
    channel.ask_frozen(BRANCH, fds, member=4)
    for fd in fds:
        os.close(fd)
    branch.heard("awake")
    branch.die()
    channel.close()
    one.die()
    other = one.take_over()
    claims = [other.claim()]
    other.control.socket.shutdown(socket.SHUT_WR)  # type: ignore[union-attr]
    claims.append(other.claim())
    lost = next(claim for claim in claims if claim.get("branch"))
    mine = next(claim for claim in claims if claim["worker"] is not None)
    assert lost["branch"] == 4 and lost["worker"] is None
    # Nobody has heard of it, so it goes.
    os.close(lost["descriptors"][0])
    signal.pidfd_send_signal(lost["descriptors"][1], signal.SIGKILL)
    assert gone(lost["descriptors"][1])
    os.close(lost["descriptors"][1])
    other.control.close()  # type: ignore[union-attr]
    other.take(mine)
    assert other.value("1") == 1


def test_user_code_has_no_part_in_it(zygote: Zygote) -> None:
    one = zygote.session().ready()
    # A process that user code forks has neither the channel nor the line.
    code = (
        "import os\nr, w = os.pipe()\npid = os.fork()\nif pid == 0:\n"
        "    left = [f for f in os.listdir('/proc/self/fd')]\n"
        "    left = [f for f in left if os.path.exists(f'/proc/self/fd/{f}') and 'socket' in os.readlink(f'/proc/self/fd/{f}')]\n"
        "    os.write(w, str(len(left)).encode()); os._exit(0)\n"
        "os.waitpid(pid, 0)\nint(os.read(r, 10))"
    )
    assert one.value(code) == 0
    # What the worker has is out of the way of user code's descriptors.
    own = "[int(f) for f in os.listdir('/proc/self/fd') if 'socket' in os.path.realpath(f'/proc/self/fd/{f}')]"
    assert min(eval(one.value(f"str({own})"))) >= 20
    # It may close its channel; the supervisor sees that, and is asked for another.
    find = "fds = [int(f) for f in os.listdir('/proc/self/fd') if int(f) >= 100]\n"
    one.execute(find + "os.close(min(fds))")
    claim = one.claim()
    assert claim["worker"] == 1
    assert one.control is not None and isinstance(one.control, Channel)
    one.control.close()
    os.close(one.process)
    one.process = -1
    one.take(claim)
    one.heard("result")
    assert one.value("6") == 6
