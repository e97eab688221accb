"""The worker's end of the control channel, by itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

SERIALIZER = Path(__file__).parent / "serializer"


def test_what_a_thread_says_is_said_whenever_the_process_has_introduced_itself() -> None:
    """A process that was woken introduces itself first, and its other threads wait for that. It may be done at any moment: here, between
    two looks of a thread whether it is."""
    code = """
        import _thread, socket, sys, types
        sys.path.insert(0, sys.argv[1])
        import harness
        harness.import_package()
        from _pyrepl3.channel import Channel

        class Introduced(Channel):
            looks, lock = 0, _thread.allocate_lock()

            @property
            def _greeting(self):
                self.looks += 1
                return self.lock if self.looks == 1 else None

            @_greeting.setter
            def _greeting(self, value):
                pass

        mine, theirs = socket.socketpair()
        channel = Introduced(types.SimpleNamespace(main=0))
        channel.attach(mine.detach())
        channel.send({"t": "wait"})
        theirs.settimeout(10)
        assert b'"t":"wait"' in theirs.recv(1000).replace(b" ", b"")
    """
    subprocess.run([sys.executable, "-c", dedent(code), str(SERIALIZER)], check=True, timeout=60)
