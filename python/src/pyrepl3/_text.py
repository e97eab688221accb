"""What an execution printed and showed, kept within limits: the beginning and the end, the middle left out."""

from __future__ import annotations

from collections import deque

from .messages import DisplayMessage

TEXT_LIMIT = 8 << 20
"""Characters kept of each stream of an execution: half from the beginning, half from the end."""

DISPLAY_LIMIT = 16 << 20
"""Bytes kept of an execution's displays, as counted on the wire: half from the beginning, half from the end."""

_BLOCK = 64 << 10


class BoundedText:
    """Text that grows at the end, at most `limit` characters of it kept.

    Pieces are joined into blocks of 64 Ki characters, so that a million tiny writes do not stay a million
    objects. Every character is copied a fixed number of times.
    """

    __slots__ = ("_fresh", "_fresh_size", "_half", "_head", "_head_size", "_joined", "_tail", "_tail_size", "missing")

    def __init__(self, limit: int = TEXT_LIMIT) -> None:
        self._half = limit // 2
        self._head: list[str] = []
        self._head_size = 0
        self._tail: deque[str] = deque()
        self._tail_size = 0
        self._fresh: list[str] = []
        self._fresh_size = 0
        self._joined: str | None = ""
        self.missing = 0
        """Characters that were left out."""

    def append(self, text: str) -> None:
        """Adds text at the end."""
        if not text:
            return
        self._joined = None
        self._fresh.append(text)
        self._fresh_size += len(text)
        if self._fresh_size >= _BLOCK:
            self._store()

    def _store(self) -> None:
        block = "".join(self._fresh)
        self._fresh.clear()
        self._fresh_size = 0
        room = self._half - self._head_size
        if room > 0:
            self._head.append(block[:room])
            self._head_size += min(room, len(block))
            block = block[room:]
        if not block:
            return
        if len(block) > self._half:
            self.missing += len(block) - self._half
            block = block[-self._half :]
        self._tail.append(block)
        self._tail_size += len(block)
        while self._tail_size > self._half:
            oldest = self._tail[0]
            excess = self._tail_size - self._half
            if len(oldest) <= excess:
                self._tail.popleft()
            else:
                self._tail[0] = oldest[excess:]
            cut = min(len(oldest), excess)
            self._tail_size -= cut
            self.missing += cut

    def text(self) -> str:
        """What is kept, with a line that says how many characters are missing where any are."""
        if self._joined is None:
            self._store()
            parts = list(self._head)
            if self.missing:
                parts.append(f"\n[… {self.missing:,} characters are left out here …]\n")
            parts.extend(self._tail)
            self._joined = "".join(parts)
        return self._joined


class BoundedDisplays:
    """Displays in order, at most `limit` bytes of them kept, as counted on the wire."""

    __slots__ = ("_half", "_head", "_head_size", "_tail", "_tail_size", "missing")

    def __init__(self, limit: int = DISPLAY_LIMIT) -> None:
        self._half = limit // 2
        self._head: list[DisplayMessage] = []
        self._head_size = 0
        self._tail: deque[tuple[DisplayMessage, int]] = deque()
        self._tail_size = 0
        self.missing = 0
        """Displays that were left out."""

    def append(self, message: DisplayMessage, size: int) -> None:
        """Adds a display. The newest is kept whatever its size."""
        if not self._tail and self._head_size + size <= self._half:
            self._head.append(message)
            self._head_size += size
            return
        self._tail.append((message, size))
        self._tail_size += size
        while self._tail_size > self._half and len(self._tail) > 1:
            self._tail_size -= self._tail.popleft()[1]
            self.missing += 1

    def list(self) -> list[DisplayMessage]:
        """What is kept, with a display of plain text that says how many are missing where any are."""
        kept = list(self._head)
        if self.missing:
            kept.append(DisplayMessage(data={"text/plain": f"[… {self.missing:,} displays are left out here …]"}))
        kept.extend(message for message, _ in self._tail)
        return kept
