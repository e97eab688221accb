"""Prints of dicts: tell whether a dict has changed without touching what is in it.

To compare a dict's values by identity counts a reference to each, and so writes to the memory of each: in a forked
process that copies every page, some 40 ms with pandas and matplotlib loaded. The table of a dict holds the addresses
of its keys and values; to read it as bytes writes nothing. Where it is equal nothing has changed, as long as the old
values are alive, so that no other can have their addresses: who asks keeps them. Where it differs the dicts have to be
compared, since the interpreter notes things of its own in a table.
"""

import ctypes
import os
import sys
from array import array

_id, _len, _hash = id, len, hash

_Pointer = ctypes.c_void_p
# `ma_keys` is the last but one member of PyDictObject (Include/cpython/dictobject.h).
_KEYS_AT = dict.__basicsize__ - 2 * ctypes.sizeof(_Pointer)
_read_pointer, _bytes_at, _size = _Pointer.from_address, ctypes.string_at, dict.__sizeof__


def _table(mapping):
    address = _read_pointer(_id(mapping) + _KEYS_AT).value
    return address, _bytes_at(address, _size(mapping) - dict.__basicsize__)


def _table_is_understood():
    """Tries on a dict of its own whether the table is where it is read, and tells of a change."""
    first, second = object(), object()
    mapping = {f"name{number}": first for number in range(20)}
    try:
        size = _size(mapping) - dict.__basicsize__
        if sys.implementation.name != "cpython" or not 20 * 16 <= size <= 4096:
            return False
        if not _looks_like_table(_id(mapping) + _KEYS_AT):
            return False
        before = _table(mapping)
        at = before[1].find(_id(first).to_bytes(ctypes.sizeof(_Pointer), sys.byteorder))
        mapping["name7"] = second
        after = _table(mapping)
    except (ValueError, OSError, MemoryError):
        return False
    return at > 0 and before != after and _id(second).to_bytes(ctypes.sizeof(_Pointer), sys.byteorder) in after[1]


def _looks_like_table(address):
    """Whether what stands there is an address of readable memory: asked of the kernel, which does not crash."""
    target = _read_pointer(address).value
    if not target:
        return False
    try:
        with open("/proc/self/mem", "rb", buffering=0) as memory:
            memory.seek(target)
            return bool(memory.read(1))
    except (OSError, OverflowError):
        return False


_UNDERSTOOD = os.name == "posix" and _table_is_understood()


def print_of(mapping):
    """Equal only while nothing in the dict was set or deleted; equal to nothing where that cannot be told."""
    if not _UNDERSTOOD:
        return object()
    address, table = _table(mapping)
    return address, _hash(table)


class Prints:
    """Prints of many dicts, which must live as long. In arrays of numbers: to look at them counts no reference."""

    def __init__(self):
        self._at, self._tables, self._sizes, self._hashes = array("Q"), array("Q"), array("Q"), array("q")

    def add(self, mapping):
        for part in (self._at, self._tables, self._sizes, self._hashes):
            part.append(0)
        self.renew(_len(self._at) - 1, mapping)

    def renew(self, at, mapping):
        if not _UNDERSTOOD:
            return
        address, table = _table(mapping)
        self._at[at] = _id(mapping) + _KEYS_AT
        self._tables[at], self._sizes[at], self._hashes[at] = address, _len(table), _hash(table)

    def changed(self):
        """Numbers of the dicts that may have changed, in the order in which they were added."""
        if not _UNDERSTOOD:
            return list(range(_len(self._at)))
        # A table that has grown or shrunk is another one; as long as it is the same its size is.
        return [
            number
            for number, (at, table, size, mark) in enumerate(zip(self._at, self._tables, self._sizes, self._hashes))
            if _read_pointer(at).value != table or _hash(_bytes_at(table, size)) != mark
        ]
