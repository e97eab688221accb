"""The process that answers a question about the state before what runs: a fork of a frozen process, thrown away with all effects
that the answer has.
"""

import _signal as _native
import os
import socket

from . import introspect, saver, system
from .codec import decode, encode
from .failure import message as _message

_exit = os._exit
_signal, _setitimer, _sigmask = _native.signal, _native.setitimer, _native.pthread_sigmask
# Seconds. The supervisor ends it earlier; this is for one that is gone.
_LIMIT = 10.0


def run(keeping, present):
    """Answers one question. Never returns."""
    try:
        channel = socket.socket(fileno=present.request.channel)
        saver.forget_supervisor(keeping)
        saver.restore_random(present)
        # The supervisor asks when it has hold of this process. Until then it has the name of those that wait, which a return to
        # a snapshot leaves alone.
        _say(channel, {"hello": {}})
        request = _receive(channel)
        if request is None:
            _exit(0)
        system.set_name(system.ANSWERS.encode())
        saver.die_first()
        _end_by_itself()
        saver.detach(present.inventory)
        saver.thaw_libraries(present)
        try:
            data = introspect.answer(request, keeping.executor)
        except BaseException as error:
            data = {"error": f"{type(error).__name__}: {_message(error)}"}
        _say(channel, {"data": data})
        # The supervisor ends its process group, by a number that is no other's while this process lives.
        channel.recv(1)
        _exit(0)
    except BaseException:
        _exit(1)  # its channel closes, which the supervisor sees


def _say(channel, message):
    body = encode(message).encode("ascii")
    channel.sendall(len(body).to_bytes(4, "big") + body)


def _receive(channel):
    head = channel.recv(4, socket.MSG_WAITALL)
    size = int.from_bytes(head, "big")
    body = channel.recv(size, socket.MSG_WAITALL) if len(head) == 4 else b""
    return decode(body.decode(), 0)[0] if body and len(body) == size else None


def _end_by_itself():
    """What an answer runs may never end, and then nobody else ends it where the supervisor is gone."""
    _signal(_native.SIGALRM, _native.SIG_DFL)
    _setitimer(_native.ITIMER_REAL, _LIMIT)
    _sigmask(_native.SIG_UNBLOCK, [_native.SIGALRM])
