"""Python's buffered writers on files that are only appended to: what they hold must not be appended twice."""

import gc
import io
import weakref

_Buffered, _Text, _Random = io.BufferedWriter, io.TextIOWrapper, io.BufferedRandom
_ref, _objects = weakref.ref, gc.get_objects


class Writers:
    """Python's buffered writers on files that are only appended to: flushed before a fork, or both processes would
    append what they hold. In any other file both write it to the same place, so that it may stay where it is."""

    def __init__(self):
        self.known = {}  # descriptor -> (identity of the file, weak references to its writers)

    def flush(self, files):
        """`files`: descriptor -> identity, of those that are only appended to."""
        new = {fd for fd, one in files.items() if self.known.get(fd, (None,))[0] != one}
        self.known = {fd: known for fd, known in self.known.items() if fd in files and fd not in new}
        if new:
            for fd in new:
                self.known[fd] = (files[fd], [])
            # There is no list of writers: they are looked for once for each file that is new.
            for one in _objects():
                # Not `isinstance`, which asks the object itself: a proxy raises when what it stands for is gone.
                if issubclass(type(one), (_Buffered, _Text, _Random)):
                    try:
                        fd = one.fileno()
                    except Exception:
                        continue
                    if fd in new:
                        self.known[fd][1].append(_ref(one))
        for _identity, writers in self.known.values():
            for reference in writers:
                writer = reference()
                if writer is not None:
                    try:
                        _flush(writer)
                    except Exception:
                        pass  # closed, or its disk is full: what it holds stays in it, as without a snapshot


def _flush(writer):
    if isinstance(writer, _Random) and writer.tell() <= writer.raw.tell():
        # It holds nothing that is to be written, and flushing it would throw away what it has read ahead.
        return
    (_Text if isinstance(writer, _Text) else type(writer)).flush(writer)
