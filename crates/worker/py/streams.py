"""stdout, stderr, stdin, `input` and `getpass`.

Output goes through Python's own text layer to the pipes at descriptors 1 and 2. Input speaks the control channel:
`input` is replaced once, in `builtins`, and never restored.
"""

import builtins
import getpass
import io
import os
import sys
from _thread import allocate_lock as _allocate_lock

from .codec import clean

_str, _type, _isinstance = str, type, isinstance


class Output:
    """Both output streams of the worker."""

    def __init__(self):
        # Made in the zygote, for descriptors that become pipes in the worker. A text layer asks whether it can seek
        # when it is made, so pipes have to be there then too.
        read, write = os.pipe()
        kept = [os.dup(1), os.dup(2)]
        for fd in (1, 2):
            os.dup2(write, fd)
        errors = getattr(sys.stdout, "errors", None) or "strict"
        self.stdout = self._open(1, errors)
        self.stderr = self._open(2, "backslashreplace")
        for fd, old in zip((1, 2), kept):
            os.dup2(old, fd)
            os.close(old)
        os.close(read)
        os.close(write)

    @staticmethod
    def _open(fd, errors):
        raw = io.FileIO(fd, "w", closefd=False)
        raw.name = "<stdout>" if fd == 1 else "<stderr>"
        text = io.TextIOWrapper(io.BufferedWriter(raw, 32768), encoding="utf-8", errors=errors, line_buffering=True)
        text.mode = "w"
        return text

    def install(self):
        sys.stdout = sys.__stdout__ = self.stdout
        sys.stderr = sys.__stderr__ = self.stderr

    def flush(self):
        """Before every frame: what was printed comes before it."""
        for stream in (self.stdout, self.stderr):
            try:
                stream.flush()
            except (ValueError, OSError):
                pass  # closed by user code: `mend` sees to it

    def mend(self):
        """After user code: a stream that it closed is opened again; one that it put in place is left alone."""
        if self.stdout.closed:
            stale, self.stdout = self.stdout, self._open(1, "strict")
            sys.__stdout__ = self.stdout
            if sys.stdout is stale or sys.stdout is None:
                sys.stdout = self.stdout
        if self.stderr.closed:
            stale, self.stderr = self.stderr, self._open(2, "backslashreplace")
            sys.__stderr__ = self.stderr
            if sys.stderr is stale or sys.stderr is None:
                sys.stderr = self.stderr


class Prompts:
    """Asks the client for input, from any thread."""

    def __init__(self, channel, guard, output):
        self.channel, self.guard, self.output = channel, guard, output
        self.execution = None  # token of the running execution
        self._lock = _allocate_lock()
        self._last = 0

    def ask(self, prompt, password=False):
        """A line without its end, or None for end-of-file."""
        entered = self.guard.enter()
        try:
            return self._exchange({"t": "input", "prompt": clean(prompt), "password": password})
        finally:
            self.guard.leave(entered)


    def confirm(self, frame):
        """Sends a frame and waits until the engine has it: what is printed next is told after it."""
        entered = self.guard.enter()
        try:
            self._exchange(frame)
        finally:
            self.guard.leave(entered)

    def inquire(self, frame):
        """Sends a frame and returns the answer."""
        entered = self.guard.enter()
        try:
            return self._exchange(frame)
        finally:
            self.guard.leave(entered)

    def _exchange(self, frame):
        if not self.channel.open:
            return None
        with self._lock:
            self._last += 1
            frame["input"] = number = self._last
        frame["id"] = self.execution
        self.output.flush()
        self.channel.expect(number, frame)
        self.channel.send(frame)
        return self.channel.answer(number)["value"]


class _Lines(io.RawIOBase):
    """Standard input as bytes: each read that finds nothing asks for a line."""

    def __init__(self, prompts):
        self._prompts = prompts
        self._rest = b""
        self.name = "<stdin>"
        self.mode = "rb"

    def readable(self):
        return True

    def fileno(self):
        return 0

    def isatty(self):
        return False

    def readinto(self, buffer):
        if not self._rest:
            line = self._prompts.ask("")
            if line is None:
                return 0
            self._rest = (line + "\n").encode("utf-8", "surrogatepass")
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


class _Stdin(io.TextIOWrapper):
    def close(self):
        """Nothing: `exit()` closes standard input, and the session goes on."""


def _flush(stream):
    try:
        stream.flush()
    except Exception:
        pass  # as `input` does: what the session has put in a stream's place need not be one


def _line_of(given, stdout, prompt):
    """A line of what the session has put in the place of standard input."""
    stdout.write(prompt)
    _flush(stdout)
    line = given.readline()
    if not _isinstance(line, _str):
        raise TypeError("object.readline() returned non-string")
    if not line:
        raise EOFError("EOF when reading a line")
    return line[:-1] if line.endswith("\n") else line


def make_input(prompts):
    """What replaces `input`, `getpass` and `sys.stdin`, for good: a function that does it."""

    def ask_user(prompt="", /):
        """Read a line from the client; the prompt is shown to the user.

        Raises EOFError when the client has no more input.
        """
        for name in ("stdin", "stdout", "stderr"):
            if getattr(sys, name, None) is None:
                raise RuntimeError(f"input(): lost sys.{name}")
        given, stdout = sys.stdin, sys.stdout
        text = prompt if _type(prompt) is _str else _str(prompt)
        if given is not stdin:
            return _line_of(given, stdout, text)
        if stdout is not prompts.output.stdout:
            _flush(stdout)
        answer = prompts.ask(text)
        if answer is None:
            raise EOFError("EOF when reading a line")
        return answer

    def ask_password(prompt="Password: ", stream=None, *, echo_char=None):
        """Read a password from the client, who is told not to show it."""
        answer = prompts.ask(_str(prompt), password=True)
        if answer is None:
            raise EOFError("EOF when reading a line")
        return answer

    ask_user.__name__ = ask_user.__qualname__ = "input"
    ask_user.__module__ = "builtins"
    ask_password.__name__ = ask_password.__qualname__ = "getpass"
    ask_password.__module__ = "getpass"
    stdin = _Stdin(
        io.BufferedReader(_Lines(prompts), 8192), encoding="utf-8", errors="surrogatepass", line_buffering=True
    )
    stdin.mode = "r"

    def install():
        builtins.input = ask_user
        getpass.getpass = ask_password
        sys.stdin = sys.__stdin__ = stdin

    return install


def install_real_input():
    """Standard input is a descriptor of the script's own, as under `python FILE`."""
    try:
        sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)
    except OSError:
        sys.stdin = sys.__stdin__ = None
