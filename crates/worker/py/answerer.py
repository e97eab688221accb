"""The process that answers questions about the state before what runs: a fork of a frozen process, thrown away with all effects
that an answer has.
"""

import os
import socket

from . import introspect, saver, system
from .codec import decode, encode
from .failure import message as _message

_exit = os._exit


def run(keeping, present):
    """Answers until nobody asks any more. Never returns."""
    try:
        channel = socket.socket(fileno=present.request.channel)
        saver.forget_supervisor(keeping)
        saver.restore_random(present)
        system.set_name(b"pyrepl3-answer")
        saver.detach(present.inventory)
        saver.thaw_libraries(present)
        while (request := _receive(channel)) is not None:
            try:
                data = introspect.answer(request, keeping.executor)
            except BaseException as error:
                data = {"error": f"{type(error).__name__}: {_message(error)}"}
            body = encode({"data": data}).encode("ascii")
            channel.sendall(len(body).to_bytes(4, "big") + body)
        _exit(0)
    except BaseException:
        _exit(1)  # its channel closes, which the supervisor sees


def _receive(channel):
    head = channel.recv(4, socket.MSG_WAITALL)
    size = int.from_bytes(head, "big")
    body = channel.recv(size, socket.MSG_WAITALL) if len(head) == 4 else b""
    return decode(body.decode(), 0)[0] if body and len(body) == size else None
